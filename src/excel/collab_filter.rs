//! `collab_filter.xlsx`: 15 users, 15 movies, and the factors that explain the ratings.

mod crosstab;
mod embedding;
mod fall;
mod grid;
mod layout;

use anyhow::{Result, ensure};
use rust_xlsxwriter::Workbook;

use super::sheet::finished;
use crate::excel::solver::Descent;
pub use crosstab::Crosstab;
use embedding::embedding;
use fall::fall;
use grid::grid;

/// The workbook's bytes. `dotprod` and `bias` are the descents from the random start to the solved state,
/// without and with biases (see [`crate::excel::solver::solve`]).
///
/// Sheets: "dotprod" and "bias" at their random start, ready for Solver (target and changing cells are
/// preset); "dotprod solved" and "bias solved", the same after the descent; "movielens_emb", the start as a
/// neural net sees it; "descent", how the RMSE fell.
///
/// # Errors
/// When the crosstab or the factors are inconsistent, or the file cannot be built.
pub fn collab_filter(crosstab: &Crosstab, dotprod: &Descent, bias: &Descent) -> Result<Vec<u8>> {
    ensure!(
        !dotprod.start.has_bias() && bias.start.has_bias(),
        "the first descent must be without biases and the second with them"
    );
    for descent in [dotprod, bias] {
        crosstab.check(&descent.start)?;
    }
    let crosstab = &crosstab.with_ids_for_match();
    let mut book = Workbook::new();
    grid(&mut book, "dotprod", crosstab, &dotprod.start, false)?;
    grid(&mut book, "dotprod solved", crosstab, &dotprod.solution, true)?;
    grid(&mut book, "bias", crosstab, &bias.start, false)?;
    grid(&mut book, "bias solved", crosstab, &bias.solution, true)?;
    embedding(&mut book, crosstab, &dotprod.start)?;
    fall(&mut book, crosstab, dotprod, bias)?;
    finished(book, "Collaborative filtering in a spreadsheet")
}
