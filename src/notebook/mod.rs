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
mod cell;
pub mod earlier;
pub mod highlight;
pub mod html;
pub mod ipynb;
mod output;
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
pub use cell::{Cell, CellKind};
use cell::{cell, cells as cut_into_cells, second_level_headings};
pub use lecture5_cells::cells;
pub use output::{Output, Picture};
pub use table::{Align, Column, Table};

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
    /// Cells whose headings are told, or wait for an output.
    told: usize,
    /// The heading that the terminal shows before the next output. One without outputs is left out.
    heading: Option<String>,
    echo: Echo,
    /// Whether its cells were checked in the kernel `lecture5`; unknown of a notebook that is not a section.
    live: Option<bool>,
}

/// The title of a section: the first `# ` heading of its file's prose; without one, the name.
pub fn title(stem: &str, source: &str) -> String {
    let heading = source.lines().find_map(|line| line.trim_start().strip_prefix("// # "));
    heading.map_or_else(|| section_name(stem).replace('_', " "), |heading| heading.trim().to_owned())
}

impl Notebook {
    /// The section in the file `STEM.rs` (such as `05_embedding_dot`), whose text is `source`. Nothing has run yet.
    pub fn new(stem: &str, source: &str, echo: Echo) -> Notebook {
        let (cells, run_lines) = cut_into_cells(source);
        let mut notebook = Notebook {
            stem: stem.to_string(),
            title: title(stem, source),
            cells,
            run_lines,
            latest: None,
            told: 0,
            heading: None,
            echo,
            live: None,
        };
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

    /// Lets the `.ipynb` say whether its cells were checked in the kernel `lecture5` (scripts/live.sh).
    pub fn live(self, runs: bool) -> Notebook {
        Notebook { live: Some(runs), ..self }
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

    /// As [`title`] finds it.
    pub fn title(&self) -> &str {
        &self.title
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

    /// Says a line in the terminal only, such as the heads of columns that follow. In the page, the text says them.
    pub fn remark(&mut self, text: &str) {
        self.tell(text);
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
            self.heading = second_level_headings(&self.cells[i]).pop().or(self.heading.take());
        }
        self.told = self.told.max(cell + 1);
        self.latest = Some(cell);
        cell
    }

    fn record(&mut self, caller: &Location, output: Output) {
        let cell = self.enter_cell_of(caller);
        match &output {
            Output::Picture(picture) => self.tell(&format!("  plots/{}.png", picture.name)),
            Output::Rust { .. } => {} // a terminal does not show the code of cells either
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
        let heading = self.heading.take().map_or(String::new(), |heading| format!("\n{heading}\n"));
        let text = &format!("{heading}{text}");
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
