//! A table of text, as a terminal shows it; [`html::table`](super::html::table) writes it as HTML.

/// The side to which the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, shown above it.
    pub name: String,
    /// `None`: the column's cells decide; numbers are aligned to the right, and text to the left.
    pub align: Option<Align>,
}

/// Rows of text under named columns, as pandas shows a `DataFrame`.
///
/// ```
/// use lecture5::notebook::Table;
/// let table = Table::new(["epoch", "trn", "val"]).row(["0", "1.68932", "1.64501"]);
/// assert_eq!(table.to_text(), "epoch      trn      val\n    0  1.68932  1.64501\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// From left to right.
    pub columns: Vec<Column>,
    /// Each with one cell per column.
    pub rows: Vec<Vec<String>>,
    /// A column of row names in front: its own name (often empty), then one label per row.
    pub index: Option<(String, Vec<String>)>,
    /// A line above it.
    pub caption: Option<String>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Table {
        let column = |name: S| Column { name: name.into(), align: None };
        Table { columns: columns.into_iter().map(column).collect(), ..Table::default() }
    }

    /// The table with one more row. Panics if the row does not have one cell per column.
    pub fn row<S: Into<String>>(mut self, cells: impl IntoIterator<Item = S>) -> Table {
        self.push(cells);
        self
    }

    /// Adds a row. Panics if the row does not have one cell per column.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(row.len(), self.columns.len(), "a row needs one cell a column; this one is {row:?}");
        self.rows.push(row);
    }

    /// The table with row names in front, one per existing row.
    pub fn index<S: Into<String>>(
        mut self,
        name: impl Into<String>,
        labels: impl IntoIterator<Item = S>,
    ) -> Table {
        self.index = Some((name.into(), labels.into_iter().map(Into::into).collect()));
        self
    }

    /// The table with a line above it that says what it shows.
    pub fn caption(mut self, caption: impl Into<String>) -> Table {
        self.caption = Some(caption.into());
        self
    }

    /// The table with the named column on that side, whatever its cells are.
    pub fn align(mut self, column: &str, align: Align) -> Table {
        for found in self.columns.iter_mut().filter(|c| c.name == column) {
            found.align = Some(align);
        }
        self
    }

    /// The side of column `c`: its own choice, or right if all its nonempty cells are numbers.
    fn side(&self, c: usize) -> Align {
        self.columns[c].align.unwrap_or_else(|| {
            if all_numbers(self.rows.iter().map(|row| &row[c])) { Align::Right } else { Align::Left }
        })
    }

    /// The row name as a first column of every row (empty if there is none), then the cells.
    pub(super) fn grid(&self) -> (Vec<&str>, Vec<Vec<&str>>, Vec<Align>) {
        let mut header: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let mut rows: Vec<Vec<&str>> =
            self.rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let mut sides: Vec<Align> = (0..self.columns.len()).map(|c| self.side(c)).collect();
        if let Some((name, labels)) = &self.index {
            header.insert(0, name);
            for (i, row) in rows.iter_mut().enumerate() {
                row.insert(0, labels.get(i).map_or("", String::as_str));
            }
            sides.insert(0, if all_numbers(labels.iter()) { Align::Right } else { Align::Left });
        }
        (header, rows, sides)
    }

    /// The table as a terminal shows it: columns two spaces apart, one line per row, a newline at the end.
    pub fn to_text(&self) -> String {
        let (header, rows, sides) = self.grid();
        let width = |c: usize| {
            let cells = rows.iter().map(|row| row[c]).chain([header[c]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(widths.iter().zip(&sides))
                .map(|(cell, (&width, side))| match side {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let caption = self.caption.iter().map(|caption| format!("{caption}\n"));
        caption.chain([line(&header)]).chain(rows.iter().map(|row| line(row))).collect()
    }
}

/// True if some cell is not empty and all such cells are numbers: `0.5`, `-3`, `1,251`, `12 %`, `0.8 ± 0.1`.
fn all_numbers<'a>(cells: impl Iterator<Item = &'a String>) -> bool {
    let mut filled = cells.map(|cell| cell.trim()).filter(|cell| !matches!(*cell, "" | "–" | "—" | "NaN"));
    let mut any = false;
    let numbers = filled.all(|cell| {
        any = true;
        cell.split('±').all(|part| {
            let part = part.trim().trim_end_matches('%').trim_end().replace(',', "").replace('−', "-");
            part.parse::<f64>().is_ok()
        })
    });
    any && numbers
}
