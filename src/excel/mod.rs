//! The lecture's two workbooks, with live formulas: [`graddesc`] and [`collab_filter`].
//!
//! Colors as in the lecture's "optimize the ORANGE. Based on the loss, BLUE - RED": orange is what is optimized, blue
//! is a prediction, red is data. Every formula comes with its result, computed in Rust: a viewer that does not
//! calculate shows it, and a recalculation can be compared with it. The same input gives the same bytes.

mod collab_filter;
pub mod descent;
mod graddesc;
mod sheet;
pub mod solver;

pub use collab_filter::{Crosstab, collab_filter};
pub use graddesc::{epochs_shown, graddesc};

/// A text as a cell of a CSV file, in quotes. Programs take a cell that begins like a formula for a formula, whatever
/// it contains; an apostrophe before it marks it as text.
pub fn csv_text(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}
