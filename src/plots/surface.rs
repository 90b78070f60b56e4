//! The error over intercept and slope, and the paths that optimizers take down it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use plotters::style::RGBColor;

use super::axes::{Axes, color_bar, header};
use super::axis::{Axis, short};
use super::canvas::Rect;
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::numbers::range_of;
use super::palette;

/// A function's values on a grid of slopes `a` and intercepts `b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The slopes, ascending.
    pub a: Vec<f64>,
    /// The intercepts, ascending.
    pub b: Vec<f64>,
    /// `values[j * a.len() + i]` is the value at `a[i]`, `b[j]`.
    pub values: Vec<f64>,
}

impl Grid {
    /// The values of `f(a, b)` on `n` by `n` points of the two ranges.
    pub fn of(a: (f64, f64), b: (f64, f64), n: usize, f: impl Fn(f64, f64) -> f64) -> Self {
        let points = |(lo, hi): (f64, f64)| -> Vec<f64> {
            (0..n).map(|i| lo + (hi - lo) * i as f64 / (n.max(2) - 1) as f64).collect()
        };
        let (a, b) = (points(a), points(b));
        let values = b.iter().flat_map(|&b| a.iter().map(move |&a| (a, b))).map(|(a, b)| f(a, b)).collect();
        Self { a, b, values }
    }
}

/// Bands of equal error from dark (small) to light (large), each a round factor above the last, with the path of each
/// optimizer as `(a, b)` points, one per epoch, from its start (a square) to its end (a disc). `minimum` is marked. A grid of some 200
/// by 200 points draws smooth bands. Meant for an error with one valley, as a mean squared error has: a hilltop inside
/// the plot would not be seen.
///
/// # Errors
/// When the grid is smaller than 2 by 2 or a value is not finite or below 0.
pub fn error_surface(
    name: &str,
    title: &str,
    grid: &Grid,
    minimum: (f64, f64),
    paths: &[(&str, &[(f64, f64)])],
) -> Result<Figure> {
    let (width, height) = (grid.a.len(), grid.b.len());
    ensure!(
        width >= 2 && height >= 2 && grid.values.len() == width * height,
        "{name}: a surface needs at least 2 by 2 values; there are {} for {width} by {height}",
        grid.values.len()
    );
    ensure!(
        grid.values.iter().all(|v| v.is_finite() && *v >= 0.0),
        "{name}: an error of the surface is not finite or below 0"
    );
    let (lowest, highest) = range_of(grid.values.iter().copied()).unwrap_or((0.0, 1.0));
    let levels = levels(lowest, highest);
    let ends: Vec<String> = paths
        .iter()
        .filter_map(|(label, path)| path.last().map(|(a, b)| format!("{label} to a = {a:.2}, b = {b:.2}")))
        .collect();
    let alt = format!(
        "Mean squared error over slope a and intercept b, least at a = {}, b = {}; paths: {}.",
        short(minimum.0),
        short(minimum.1),
        ends.join("; ")
    );
    let color = |i: usize, label| {
        let series = palette::SERIES[(i + 1) % palette::SERIES.len()];
        palette::optimizer(label).unwrap_or((series, false))
    };
    // The first path shows on both sides of another that runs along it.
    let thickness = |i: usize| if i == 0 { 5.0 } else { 1.9 };
    let mut legend: Vec<(Key, &str)> = Vec::new();
    for (i, (label, _)) in paths.iter().enumerate() {
        let (color, dashed) = color(i, label);
        legend.push((
            if dashed { Key::Dashes(color, thickness(i)) } else { Key::Line(color, thickness(i)) },
            label,
        ));
    }
    legend.extend([
        (Key::Mark(Shape::Square, palette::INK), "start"),
        (Key::Mark(Shape::Dot, palette::INK), "after an epoch"),
        (Key::Mark(Shape::Disc, palette::INK), "end"),
        (Key::Mark(Shape::OpenDiamond, palette::INK), "minimum"),
    ]);
    Figure::draw(name, &alt, 760, 560, |c| {
        let body = header(c, title, "", &legend);
        let (x, y) = (
            Axis::linear(grid.a[0], grid.a[width - 1], 7, "slope a"),
            Axis::linear(grid.b[0], grid.b[height - 1], 7, "intercept b"),
        );
        let mut axes = Axes::within(c, Rect { w: body.w - 90.0, ..body }, x, y)?;
        // From the widest region inward, each over the last.
        axes.area(c, (axes.x.lo, axes.y.lo), (axes.x.hi, axes.y.hi), band_color(levels.len(), levels.len()));
        for (i, &level) in levels.iter().enumerate().rev() {
            for ring in below(grid, level) {
                axes.polygon(c, ring, band_color(i, levels.len()));
            }
        }
        axes.draw(c);
        for (i, (label, path)) in paths.iter().enumerate() {
            // A white edge under the line keeps it visible on any band.
            axes.line(c, path, palette::WHITE, thickness(i) + 1.5);
            match color(i, label) {
                (color, false) => axes.line(c, path, color, thickness(i)),
                (color, true) => axes.dashed(c, path, color, thickness(i), (5.0, 3.0)),
            }
        }
        // White inside, so that it is seen on the darkest band.
        axes.mark(c, Shape::Diamond, minimum, 5.2, palette::WHITE);
        axes.mark(c, Shape::OpenDiamond, minimum, 5.0, palette::INK);
        for (i, (label, path)) in paths.iter().enumerate() {
            let color = color(i, label).0;
            path.iter().for_each(|&at| axes.mark(c, Shape::Dot, at, 2.6, color));
            if let (Some(&start), Some(&end)) = (path.first(), path.last()) {
                axes.mark(c, Shape::Square, start, 4.0, palette::INK);
                axes.mark(c, Shape::Disc, end, 4.2, color);
            }
        }
        let colors: Vec<RGBColor> = (0..=levels.len()).map(|i| band_color(i, levels.len())).collect();
        let borders = levels.iter().enumerate().map(|(i, &level)| (i as f64 + 1.0, short(level))).collect();
        let high = (0.62 * axes.inner.h).min(30.0 * colors.len() as f64);
        let middle = axes.inner.y + axes.inner.h / 2.0;
        let bar = Rect { x: body.right() - 13.0, y: middle - high / 2.0, w: 13.0, h: high };
        color_bar(c, bar, "mean squared error, log scale", &colors, borders)
    })
}

/// The color of the band below `levels[i]`: the smaller the error the darker.
fn band_color(i: usize, n: usize) -> RGBColor {
    palette::sequential(0.78 * (1.0 - i as f64 / n as f64))
}

/// Round levels, by 1-2-5, 1-3 or powers of ten, that divide the values into at most nine bands.
fn levels(lowest: f64, highest: f64) -> Vec<f64> {
    let floor = lowest.max(highest * 1e-4).max(f64::MIN_POSITIVE);
    let powers = floor.log10().floor() as i32..=highest.log10().ceil() as i32;
    let within = |leads: &[f64]| -> Vec<f64> {
        let all = powers.clone().flat_map(|p| leads.iter().map(move |l| l * 10_f64.powi(p)));
        all.filter(|&l| l > floor && l < highest).collect()
    };
    let fine = within(&[1.0, 2.0, 5.0]);
    let middling = within(&[1.0, 3.0]);
    match (fine.len(), middling.len()) {
        (..=9, _) => fine,
        (_, ..=9) => middling,
        _ => within(&[1.0]),
    }
}

/// The borders of the region where the grid's function, whose root is taken as linear between its points, is
/// at most `level`: closed rings.
///
/// Marching squares over the grid with a frame of infinity around it, so that a region which reaches the edge
/// is closed along the edge.
fn below(grid: &Grid, level: f64) -> Vec<Vec<(f64, f64)>> {
    let (width, height) = (grid.a.len() as i64, grid.b.len() as i64);
    let value = |i: i64, j: i64| {
        let inside = (0..width).contains(&i) && (0..height).contains(&j);
        if inside { grid.values[(j * width + i) as usize] } else { f64::INFINITY }
    };
    let place =
        |i: i64, j: i64| (grid.a[i.clamp(0, width - 1) as usize], grid.b[j.clamp(0, height - 1) as usize]);
    // Where the border crosses the line between two grid points, the first of them in the region.
    type Corner = (i64, i64);
    let crossing = |(p, q): (Corner, Corner)| {
        let (v, w) = (value(p.0, p.1), value(q.0, q.1));
        // A squared error grows with the square of the distance, so its root is what is nearly linear.
        let root = |v: f64| if v > 0.0 { v.sqrt() } else { 0.0 };
        let share = if w.is_finite() { (root(level) - root(v)) / (root(w) - root(v)) } else { 1.0 };
        let ((x0, y0), (x1, y1)) = (place(p.0, p.1), place(q.0, q.1));
        (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
    };
    // Around each cell, counterclockwise: the border leaves the cell where the region ends and enters it where it
    // begins.
    let mut next: BTreeMap<(Corner, Corner), (Corner, Corner)> = BTreeMap::new();
    for j in -1..height {
        for i in -1..width {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let low = corners.map(|(i, j)| value(i, j) <= level);
            let ends = (0..4).filter(|&k| low[k] && !low[(k + 1) % 4]);
            for k in ends {
                // Back along the region to where it begins; two opposite low corners make two borders.
                let begin = (1..4).map(|back| (k + 4 - back) % 4).find(|&m| !low[m]).unwrap_or(k);
                let from = (corners[k], corners[(k + 1) % 4]);
                let to = (corners[(begin + 1) % 4], corners[begin]);
                next.insert(from, to);
            }
        }
    }
    let mut rings = Vec::new();
    while let Some((&start, _)) = next.iter().next() {
        let mut ring = Vec::new();
        let mut at = start;
        while let Some(to) = next.remove(&at) {
            ring.push(crossing(at));
            at = to;
        }
        rings.push(ring);
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(ring: &[(f64, f64)]) -> f64 {
        let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
        pairs.map(|(p, q)| p.0 * q.1 - q.0 * p.1).sum::<f64>().abs() / 2.0
    }

    #[test]
    fn the_region_below_a_level_of_a_bowl_is_a_disc() {
        let bowl = Grid::of((-2.0, 2.0), (-2.0, 2.0), 81, |a, b| a * a + b * b);
        let rings = below(&bowl, 1.0);
        assert_eq!(rings.len(), 1);
        assert!((area(&rings[0]) - std::f64::consts::PI).abs() < 0.01, "area {}", area(&rings[0]));
        assert!(rings[0].iter().all(|(a, b)| (a.hypot(*b) - 1.0).abs() < 0.001));
    }

    #[test]
    fn a_region_that_reaches_the_edge_is_closed_along_it() {
        let slope = Grid::of((0.0, 1.0), (0.0, 1.0), 11, |a, _| a * a);
        let rings = below(&slope, 0.35 * 0.35);
        assert_eq!(rings.len(), 1);
        assert!((area(&rings[0]) - 0.35).abs() < 1e-9, "area {}", area(&rings[0]));
        let whole = below(&slope, 2.0);
        assert!((area(&whole[0]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn two_low_corners_opposite_each_other_make_two_regions() {
        let saddle = Grid { a: vec![0.0, 1.0], b: vec![0.0, 1.0], values: vec![0.0, 1.0, 1.0, 0.0] };
        assert_eq!(below(&saddle, 0.4).len(), 2);
    }
}
