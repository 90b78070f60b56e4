//! The side of the run that is watched: what `run --live` tells.

use crate::cli::sections::Section;
use lecture5::notebook::{Echo, hear_cells, html};
use lecture5::run::live::CellEvent;

/// From here on the section's cells are told of as they begin, and as they show something.
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
