//! The run's side of `watch`: the events that `run --live` prints.

use crate::cli::sections::Section;
use lecture5::notebook::{Echo, hear_cells, html};
use lecture5::run::live::CellEvent;

/// From here on, an event is printed when a cell of the section begins, and when it shows something.
pub fn echo(section: &Section) -> Echo {
    let notebook = section.notebook(Echo::Quiet);
    hear_cells(move |line| {
        if let Some(cell) = notebook.cell_at(line) {
            CellEvent::Begins { cell }.tell();
        }
        Ok(())
    });
    Echo::Outputs(Box::new(|shown| {
        CellEvent::Shows { cell: shown.cell, html: html::outputs(shown.all) }.tell();
    }))
}
