//! The lecture as an executed notebook: a section's own source, cut into cells, with what each cell showed.
//!
//! A section is a Rust file in the percent format: `// %% [markdown]` begins a cell of prose (every line a
//! `// ` comment), `// %%` a cell of code. It is compiled like any module, and it runs by its
//! `pub fn run(nb: &mut Notebook, …) -> Result<()>`. Whatever it shows goes through methods marked
//! `#[track_caller]`: the line of the call says which cell it is in. So the outputs are placed under the code
//! that made them, and nothing has to be kept in sync by hand.
//!
//! The lines that only make the file a module are not shown: its `//!` comment, the header of `run`, and the
//! `Ok(())` and brace that end it.
//!
//! A name after the marker, `// %% fit`, pairs a cell with the cell `# %% embedding_dot: fit` of a Python program
//! ([`Notebook::beside`]); a cell named `plumbing` is folded away.
//!
//! [`ipynb`] and [`html`] write the record out.

mod begin;
pub mod earlier;
pub mod highlight;
pub mod html;
pub mod ipynb;
pub mod source;
mod table;

use std::fmt::Display;
use std::io::Write as _;
use std::ops::Range;
use std::panic::Location;
use std::path::Path;

use anyhow::{Context, Result};

use crate::system::terminal::printable;
pub use begin::{begin_cell, hear_cells};
pub use lecture5_cells::cells;
pub use table::{Align, Column, Table};

/// Prose or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Markdown,
    /// Rust.
    Code,
}

/// One cell of a section and what it showed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Prose or code.
    pub kind: CellKind,
    /// The name after the `%%` of a code cell's marker; empty if there is none.
    pub name: String,
    /// The same step in Python, if a program has a cell of that name.
    pub python: Option<String>,
    /// The cell's text as a notebook shows it: Markdown without its `// `, code moved to the left margin.
    pub text: String,
    /// The lines of the file that the cell is on, from 1, the end exclusive.
    pub lines: Range<usize>,
    /// In the order they were shown.
    pub outputs: Vec<Output>,
}

impl Cell {
    /// Whether the code only makes the cells around it work (`use` lines, rows of a table): a page folds it away. Its
    /// name is `plumbing`.
    pub fn is_plumbing(&self) -> bool {
        self.name == "plumbing"
    }
}

/// Something that a cell shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Printed lines; what a cell prints in a row is one stream.
    Stream(String),
    /// A value as text.
    Text(String),
    /// Rows and columns.
    Table(Table),
    /// Formatted text.
    Markdown(String),
    /// The source of an item, such as `struct EmbeddingDot`, that another file defines.
    Rust {
        /// As it was requested.
        item: String,
        /// Its source.
        text: String,
    },
    /// A picture.
    Picture(Picture),
    /// Why the cell failed.
    Error(String),
}

/// A picture as a page or a notebook holds it.
#[derive(Clone, PartialEq)]
pub struct Picture {
    /// The file's name without its ending; the picture is `plots/NAME.png`.
    pub name: String,
    /// What the picture shows, for readers who cannot see it.
    pub alt: String,
    /// Width and height in CSS pixels (96 an inch).
    pub size: (u32, u32),
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// The text of an SVG file, if one was requested.
    pub svg: Option<String>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Picture({}: {}, {} bytes)", self.name, self.alt, self.png.len())
    }
}

impl From<String> for Output {
    fn from(text: String) -> Output {
        Output::Text(text)
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Output {
        Output::Text(text.to_string())
    }
}

impl From<Table> for Output {
    fn from(table: Table) -> Output {
        Output::Table(table)
    }
}

impl From<Picture> for Output {
    fn from(picture: Picture) -> Output {
        Output::Picture(picture)
    }
}

macro_rules! numbers_are_shown_as_text {
    ($($number:ty),*) => {$(
        impl From<$number> for Output {
            fn from(number: $number) -> Output {
                Output::Text(number.to_string())
            }
        }
    )*};
}
numbers_are_shown_as_text!(f32, f64, i64, usize, bool);

impl Output {
    /// The output in plain text: what a terminal shows of it, without a newline at the end.
    pub fn to_text(&self) -> String {
        match self {
            Output::Stream(text) | Output::Text(text) | Output::Markdown(text) | Output::Error(text) => {
                text.trim_end().to_string()
            }
            Output::Table(table) => table.to_text().trim_end().to_string(),
            Output::Rust { text, .. } => text.clone(),
            Output::Picture(picture) => picture.alt.clone(),
        }
    }
}

/// Where a run's headings and outputs are shown while it runs.
pub enum Echo {
    /// On the standard output, as plain text.
    Plain,
    /// Nowhere.
    Quiet,
    /// Handed to a function, a line or more at a time: for a terminal that also draws progress bars.
    With(Box<dyn FnMut(&str)>),
    /// Handed to a function as the outputs that they are, without headings.
    Outputs(Box<dyn FnMut(Shown)>),
}

/// An output that a cell has just shown.
pub struct Shown<'a> {
    /// The cell, counted from 0.
    pub cell: usize,
    /// The output.
    pub output: &'a Output,
    /// All outputs of the cell so far, this one included.
    pub all: &'a [Output],
}

/// A section of the lecture that records what its cells show.
pub struct Notebook {
    stem: String,
    title: String,
    cells: Vec<Cell>,
    /// The lines inside `run`: a call from elsewhere (a helper) does not say which cell is running.
    run_lines: Range<usize>,
    /// The cell of the latest output.
    latest: Option<usize>,
    /// Cells whose headings the terminal has seen.
    told: usize,
    echo: Echo,
}

impl Notebook {
    /// The section in the file `STEM.rs` (such as `05_embedding_dot`), whose text is `source`. Nothing has run yet.
    pub fn new(stem: &str, source: &str, echo: Echo) -> Notebook {
        let (cells, run_lines) = cells(source);
        let first = cells.iter().find(|cell| cell.kind == CellKind::Markdown);
        let heading = first.and_then(|cell| cell.text.lines().find_map(|line| line.strip_prefix("# ")));
        let title = heading.map_or_else(|| section_name(stem).replace('_', " "), |h| h.trim().to_string());
        let mut notebook =
            Notebook { stem: stem.to_string(), title, cells, run_lines, latest: None, told: 0, echo };
        notebook.tell(&format!("# {}", notebook.title));
        notebook
    }

    /// Pairs a Python program's cells with those that they are named after: `# %% embedding_dot: fit` with `// %% fit` of
    /// this section.
    pub fn beside(mut self, python: &str) -> Notebook {
        for (name, text) in source::python_cells(python) {
            let of_section = name.split_once(": ").filter(|(section, _)| *section == self.name());
            let Some((_, name)) = of_section else { continue };
            self.cells
                .iter_mut()
                .filter(|cell| cell.name == name)
                .for_each(|cell| cell.python = Some(text.clone()));
        }
        self
    }

    /// The file's name without `.rs`: `05_embedding_dot`.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The section's name on the command line: `embedding_dot`.
    pub fn name(&self) -> &str {
        section_name(&self.stem)
    }

    /// The section's number, if its file has one: `5`.
    pub fn number(&self) -> Option<u32> {
        self.stem.split('_').next()?.parse().ok()
    }

    /// The first `# ` heading of the prose; without one, the name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The paragraph under the title on one line, for a list of the sections.
    pub fn summary(&self) -> String {
        let first = self.cells.iter().find(|cell| cell.kind == CellKind::Markdown);
        let lines = first.map_or("", |cell| &cell.text).lines().map(str::trim);
        let paragraph: Vec<&str> = lines
            .skip_while(|line| line.is_empty() || line.starts_with('#'))
            .take_while(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        paragraph.join(" ")
    }

    /// The section's cells with the outputs recorded so far.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cell of code on a line of the file.
    pub fn cell_at(&self, line: usize) -> Option<usize> {
        self.cells.iter().position(|cell| cell.kind == CellKind::Code && cell.lines.contains(&line))
    }

    /// The id of cell `i`, in the `.ipynb` and as an anchor in the page: `embedding_dot-fit` or, without a name,
    /// `embedding_dot-03`.
    pub fn cell_id(&self, i: usize) -> String {
        // An id of nbformat has these characters, and 64 of them at most.
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let id = |text: &str, most: usize| text.chars().map(allowed).take(most).collect::<String>();
        match &self.cells[i] {
            cell if cell.name.is_empty() || cell.is_plumbing() => {
                format!("{}-{:02}", id(self.name(), 50), i + 1)
            }
            cell => format!("{}-{}", id(self.name(), 25), id(&cell.name, 25)),
        }
    }

    /// Shows a value (text, a number, a table, a picture) under the cell of the calling line.
    ///
    /// A helper that shows things for a cell should be `#[track_caller]` too; what one without it shows goes
    /// under the cell of the latest output.
    #[track_caller]
    pub fn show(&mut self, output: impl Into<Output>) {
        self.record(Location::caller(), output.into());
    }

    /// Prints a line (or lines) as `println!` would, under the cell of the calling line.
    #[track_caller]
    pub fn print(&mut self, text: impl Display) {
        self.record(Location::caller(), Output::Stream(format!("{text}\n")));
    }

    /// Shows formatted text: prose that depends on the run.
    #[track_caller]
    pub fn markdown(&mut self, text: impl Into<String>) {
        self.record(Location::caller(), Output::Markdown(text.into()));
    }

    /// Shows an item of another module as that file defines it: see [`source::item_text`] for what `item` may be.
    ///
    /// The lecture defines its classes in the notebook; here they are the crate's own, shown where it defines
    /// them. Fails if `file_text` has no such item.
    #[track_caller]
    pub fn source(&mut self, file_text: &str, item: &str) -> Result<()> {
        let caller = Location::caller();
        let text = source::item_text(file_text, item)
            .with_context(|| format!("{}:{}: cannot show the source", caller.file(), caller.line()))?;
        self.record(caller, Output::Rust { item: item.to_string(), text });
        Ok(())
    }

    /// Marks the cell of the calling line as the running one: what helpers show from now on goes under it.
    #[track_caller]
    pub fn enter(&mut self) {
        self.enter_cell_of(Location::caller());
    }

    /// Shows why the section failed, under the cell that was running.
    pub fn fail(&mut self, error: impl Display) {
        let is_code = |cell: &Cell| cell.kind == CellKind::Code;
        if let Some(at) = self.latest.or_else(|| self.cells.iter().position(is_code)) {
            self.cells[at].outputs.push(Output::Error(format!("error: {error}")));
        }
    }

    fn enter_cell_of(&mut self, caller: &Location) -> usize {
        let cell = self.cell_of(caller);
        for i in self.told..=cell {
            for heading in second_level_headings(&self.cells[i]) {
                self.tell(&format!("\n{heading}"));
            }
        }
        self.told = self.told.max(cell + 1);
        self.latest = Some(cell);
        cell
    }

    fn record(&mut self, caller: &Location, output: Output) {
        let cell = self.enter_cell_of(caller);
        match &output {
            Output::Picture(picture) => self.tell(&format!("  plots/{}.png", picture.name)),
            // A terminal does not show the code of cells either.
            Output::Rust { item, .. } => self.tell(&format!("  {item}")),
            other => self.tell(&other.to_text()),
        }
        let all = &mut self.cells[cell].outputs;
        match (all.last_mut(), &output) {
            (Some(Output::Stream(before)), Output::Stream(text)) => before.push_str(text),
            _ => all.push(output.clone()),
        }
        if let Echo::Outputs(show) = &mut self.echo {
            show(Shown { cell, output: &output, all });
        }
    }

    /// The cell that a call belongs to: the one on its line, if that is in this file's `run` and does not lie
    /// before the latest output (a closure made earlier does); else the one of the latest output.
    fn cell_of(&mut self, caller: &Location) -> usize {
        let line = caller.line() as usize;
        let stem = Path::new(caller.file()).file_stem();
        let here = stem.is_some_and(|stem| stem == self.stem.as_str()) && self.run_lines.contains(&line);
        let is_code = |cell: &Cell| cell.kind == CellKind::Code;
        let on_line = self.cell_at(line);
        if let Some(on_line) = on_line.filter(|&on_line| here && self.latest <= Some(on_line)) {
            return on_line;
        }
        let in_run = |cell: &Cell| is_code(cell) && cell.lines.start > self.run_lines.start;
        let first = self.cells.iter().position(in_run).or_else(|| self.cells.iter().position(is_code));
        self.latest.or(first).unwrap_or_else(|| {
            // A section without any code: its outputs still need a place.
            self.cells.push(cell(CellKind::Code, "", String::new(), 0..0));
            self.cells.len() - 1
        })
    }

    fn tell(&mut self, text: &str) {
        match &mut self.echo {
            // A closed pipe does not end the run: its files are still wanted.
            Echo::Plain => drop(writeln!(std::io::stdout(), "{}", printable(text))),
            Echo::Quiet | Echo::Outputs(_) => {}
            Echo::With(tell) => tell(text),
        }
    }
}

/// `05_embedding_dot` without its number.
fn section_name(stem: &str) -> &str {
    stem.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('_')
}

fn second_level_headings(cell: &Cell) -> Vec<String> {
    if cell.kind == CellKind::Code {
        return Vec::new();
    }
    let mut in_fence = false;
    let is_heading = |line: &&str| {
        in_fence ^= line.starts_with("```");
        !in_fence && line.starts_with("## ")
    };
    cell.text.lines().filter(is_heading).map(str::to_string).collect()
}

fn cell(kind: CellKind, name: &str, text: String, lines: Range<usize>) -> Cell {
    Cell { kind, name: name.to_owned(), python: None, text, lines, outputs: Vec::new() }
}

/// The cells of a section's source, without what only makes it a module, and the lines inside its `run`.
fn cells(source: &str) -> (Vec<Cell>, Range<usize>) {
    let mut lines: Vec<&str> = source.lines().collect();
    let run_lines = blank_scaffolding(source, &mut lines);

    let mut cells = Vec::new();
    let mut begin = |kind, name: &str, text: String, lines| {
        if !text.trim().is_empty() {
            cells.push(cell(kind, name, text, lines));
        }
    };
    let is_marker = |line: &&str| line.trim_start().strip_prefix("//").is_some_and(is_percent);
    let markers: Vec<usize> = (0..lines.len()).filter(|&i| is_marker(&lines[i])).collect();
    let first = markers.first().copied().unwrap_or(lines.len());
    begin(CellKind::Code, "", source::dedent(&lines[..first].join("\n")), 1..first + 1);
    for (m, &marker) in markers.iter().enumerate() {
        let end = markers.get(m + 1).copied().unwrap_or(lines.len());
        let mut start = marker + 1;
        let mut name = lines[marker].split_once("%%").map_or("", |(_, name)| name.trim());
        if name.starts_with("[markdown]") || name.starts_with("[md]") {
            name = "";
            // Prose ends at a line that is not a comment: code may follow without its own marker.
            let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
            let prose_end = lines[start..end].iter().position(is_code).map_or(end, |i| start + i);
            let prose: Vec<&str> = lines[start..prose_end].iter().map(|line| uncommented(line)).collect();
            begin(
                CellKind::Markdown,
                "",
                prose.join("\n").trim_matches('\n').to_string(),
                start + 1..prose_end + 1,
            );
            start = prose_end;
        }
        begin(CellKind::Code, name, source::dedent(&lines[start..end].join("\n")), start + 1..end + 1);
    }
    (cells, run_lines)
}

/// True for what follows the `//` of a marker line: ` %%`, ` %% [markdown]`, ` %% a title`.
fn is_percent(after: &str) -> bool {
    after.trim_start().strip_prefix("%%").is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn uncommented(line: &str) -> &str {
    let text = line.trim_start();
    let text = text.strip_prefix("//").unwrap_or(text);
    text.strip_prefix(' ').unwrap_or(text).trim_end()
}

/// Empties the lines that only make the file a module (`//!` comments and `#![…]` before the first cell, the
/// header of `run`, its last `Ok(())` and brace). Returns the lines inside `run`, from 1, the end exclusive.
fn blank_scaffolding(source: &str, lines: &mut [&str]) -> Range<usize> {
    for line in lines.iter_mut().take_while(|line| !line.contains("%%")) {
        if line.starts_with("//!") || line.starts_with("#![") {
            *line = "";
        }
    }
    let Some(run) = source::function_lines(source, "run") else {
        return 1..lines.len() + 1;
    };
    lines[run.start - 1..run.open].fill("");
    lines[run.close - 1] = "";
    let last = (run.open..run.close - 1).rev().find(|&i| !lines[i].trim().is_empty());
    if let Some(last) = last.filter(|&i| lines[i].trim() == "Ok(())") {
        lines[last] = "";
    }
    run.open + 1..run.close
}
