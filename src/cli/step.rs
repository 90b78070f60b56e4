//! `lecture5 run --step`: cell by cell, in a terminal.

use std::cell::RefCell;
use std::fmt;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::sections::Section;
use lecture5::notebook::{Cell, CellKind, Echo, Notebook, hear_cells};
use lecture5::system::failure::wrong_use;
use lecture5::system::terminal::say;

/// The error of a run that was ended with `q`.
#[derive(Debug)]
pub struct Quit;

impl fmt::Display for Quit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ended with q")
    }
}

impl std::error::Error for Quit {}

/// Refuses to wait for a key that nobody can press.
pub fn check_terminal() -> Result<()> {
    if stdin().is_terminal() && stdout().is_terminal() {
        return Ok(());
    }
    Err(wrong_use(
        "--step waits for Enter before each cell, and needs a terminal: leave it out if there is none",
    ))
}

/// A section that is shown and run cell by cell.
pub struct Steps(Rc<RefCell<Progress>>);

struct Progress {
    notebook: Notebook,
    /// Cells that have been shown.
    cells: usize,
}

impl Steps {
    /// From here on each cell of the section waits for Enter before it runs.
    pub fn begin(section: &Section) -> Steps {
        let progress = Rc::new(RefCell::new(Progress { notebook: section.notebook(Echo::Quiet), cells: 0 }));
        let steps = Steps(Rc::clone(&progress));
        hear_cells(move |line| {
            let mut progress = progress.borrow_mut();
            match progress.notebook.cell_at(line) {
                Some(cell) => {
                    progress.show(cell + 1);
                    wait()
                }
                None => Ok(()),
            }
        });
        steps
    }

    /// What the cells show, as text.
    pub fn echo(&self) -> Echo {
        Echo::Outputs(Box::new(|shown| say(shown.output.to_text())))
    }

    /// Shows the text after the last cell that ran.
    pub fn end(&self) {
        let mut progress = self.0.borrow_mut();
        let all = progress.notebook.cells().len();
        progress.show(all);
    }
}

impl Progress {
    /// Shows prose and code of the cells before `end` that have not been shown.
    fn show(&mut self, end: usize) {
        for cell in self.notebook.cells().get(self.cells..end).unwrap_or_default() {
            say(format!("\n{}", text(cell)));
        }
        self.cells = self.cells.max(end);
    }
}

fn text(cell: &Cell) -> String {
    match cell.kind {
        CellKind::Markdown => cell.text.clone(),
        CellKind::Code => {
            let lines = cell.text.lines().map(|line| format!("  │ {line}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn wait() -> Result<()> {
    print!("[Enter] runs this cell, q ends: ");
    stdout().flush()?;
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer).context("the terminal cannot be read")?;
    ensure!(read > 0 && !answer.trim().eq_ignore_ascii_case("q"), Quit);
    Ok(())
}
