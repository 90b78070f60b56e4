//! Counting points in hexagons. Pure: nothing is drawn here.

/// The part of the plane that is divided into hexagons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// From and to, along x.
    pub x: (f64, f64),
    /// From and to, along y.
    pub y: (f64, f64),
}

/// One hexagon with its middle and the number of points that lie nearest to that middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hexagon {
    /// The middle, in the units of the data.
    pub center: (f64, f64),
    /// How many points lie in it; never 0.
    pub count: u32,
}

/// Counts each point in the hexagon whose middle is nearest.
///
/// The middles are those of matplotlib's `hexbin`: two rectangular lattices, `gridsize.0` columns and
/// `gridsize.1` rows of cells over the extent, the second shifted by half a cell in both directions.
/// "Nearest" is measured as it looks when a cell is drawn √3 times as high as wide, which makes the hexagons
/// regular: `dx² + 3·dy²` in units of the cell. A point as near to both lattices goes to the second.
///
/// Every point is counted once; one outside the extent goes to the nearest hexagon inside, so choose an extent that
/// holds them all. Points that are not finite are left out. The hexagons come row by row from the lowest, only those
/// that hold a point.
///
/// # Panics
/// When `x` and `y` differ in length or a gridsize is 0: a mistake in the program, not in the data.
pub fn hexbin(x: &[f64], y: &[f64], extent: Extent, gridsize: (usize, usize)) -> Vec<Hexagon> {
    assert_eq!(x.len(), y.len(), "hexbin: as many x as y");
    let (columns, rows) = gridsize;
    assert!(columns > 0 && rows > 0, "hexbin: gridsize {gridsize:?} leaves no hexagon");
    let width = (extent.x.1 - extent.x.0) / columns as f64;
    let height = (extent.y.1 - extent.y.0) / rows as f64;

    // Middles on the corners of the cells, and middles in the middle of the cells.
    let mut on_corners = vec![0_u32; (columns + 1) * (rows + 1)];
    let mut in_cells = vec![0_u32; columns * rows];
    for (&x, &y) in x.iter().zip(y) {
        let (column, row) = ((x - extent.x.0) / width, (y - extent.y.0) / height);
        if !(column.is_finite() && row.is_finite()) {
            continue;
        }
        let corner = (column.round().clamp(0.0, columns as f64), row.round().clamp(0.0, rows as f64));
        let cell =
            (column.floor().clamp(0.0, (columns - 1) as f64), row.floor().clamp(0.0, (rows - 1) as f64));
        let distance = |to: (f64, f64)| (column - to.0).powi(2) + 3.0 * (row - to.1).powi(2);
        if distance(corner) < distance((cell.0 + 0.5, cell.1 + 0.5)) {
            on_corners[corner.1 as usize * (columns + 1) + corner.0 as usize] += 1;
        } else {
            in_cells[cell.1 as usize * columns + cell.0 as usize] += 1;
        }
    }

    let mut hexagons = Vec::new();
    let mut take_row = |counts: &[u32], row: f64, shift: f64| {
        for (column, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let center = (extent.x.0 + (column as f64 + shift) * width, extent.y.0 + row * height);
            hexagons.push(Hexagon { center, count });
        }
    };
    for row in 0..=rows {
        take_row(&on_corners[row * (columns + 1)..(row + 1) * (columns + 1)], row as f64, 0.0);
        if row < rows {
            take_row(&in_cells[row * columns..(row + 1) * columns], row as f64 + 0.5, 0.5);
        }
    }
    hexagons
}
