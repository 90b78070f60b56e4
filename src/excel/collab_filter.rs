//! `collab_filter.xlsx`: 15 users, 15 movies, and the factors that explain the ratings.

mod embedding;
mod fall;
mod grid;
mod layout;

use anyhow::{Result, ensure};
use rust_xlsxwriter::{Format, Workbook, Worksheet};

use super::{At, finished};
use crate::excel::solver::{Descent, Factors};
use crate::movielens::Id;
use embedding::embedding;
use fall::fall;
use grid::grid;

/// The ratings of the busiest users for the most rated movies, ids ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Crosstab {
    /// user ids
    pub users: Vec<Id>,
    /// their contiguous indices
    pub user_idx: Vec<usize>,
    /// movie ids
    pub movies: Vec<Id>,
    /// their contiguous indices
    pub movie_idx: Vec<usize>,
    /// movie titles
    pub titles: Vec<String>,
    /// one row per user, one column per movie; `None`: not rated
    pub ratings: Vec<Vec<Option<f32>>>,
}

impl Crosstab {
    fn check(&self, factors: &Factors) -> Result<()> {
        let (n_users, n_movies) = (self.users.len(), self.movies.len());
        ensure!(
            n_users > 0 && n_movies > 0 && n_users <= 1000 && n_movies <= 1000,
            "the workbook is for a small table, but this one has {n_users} users and {n_movies} movies: choose the busiest few of each"
        );
        ensure!(
            self.user_idx.len() == n_users
                && self.movie_idx.len() == n_movies
                && self.titles.len() == n_movies
                && self.ratings.len() == n_users
                && self.ratings.iter().all(|row| row.len() == n_movies),
            "the crosstab is inconsistent: {n_users} users with {} indices and {} rows of ratings, {n_movies} movies with {} indices and {} titles",
            self.user_idx.len(),
            self.ratings.len(),
            self.movie_idx.len(),
            self.titles.len()
        );
        ensure!(
            factors.users.len() == n_users && factors.movies.len() == n_movies,
            "the factors are for {} users and {} movies, the crosstab has {n_users} and {n_movies}",
            factors.users.len(),
            factors.movies.len()
        );
        Ok(())
    }
}

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
    let crosstab = &Crosstab {
        users: names_for_match(&crosstab.users, &crosstab.user_idx),
        movies: names_for_match(&crosstab.movies, &crosstab.movie_idx),
        ..crosstab.clone()
    };
    let mut book = Workbook::new();
    grid(&mut book, "dotprod", crosstab, &dotprod.start, false)?;
    grid(&mut book, "dotprod solved", crosstab, &dotprod.solution, true)?;
    grid(&mut book, "bias", crosstab, &bias.start, false)?;
    grid(&mut book, "bias solved", crosstab, &bias.solution, true)?;
    embedding(&mut book, crosstab, &dotprod.start)?;
    fall(&mut book, crosstab, dotprod, bias)?;
    finished(book, "Collaborative filtering in a spreadsheet")
}

/// Ids that Excel's `MATCH` finds: it compares numbers to 53 bits, and text without regard to case, with wildcards, up
/// to 255 characters. An id that it would confuse with another is replaced by its index.
fn names_for_match(ids: &[Id], idx: &[usize]) -> Vec<Id> {
    let folded = |id: &Id| id.to_string().to_lowercase();
    let plain = |id: &Id| match id {
        Id::Whole(id) => id.unsigned_abs() < 1 << 53,
        Id::Text(text) => {
            text.chars().count() <= 100
                && !text.contains(|c: char| "*?~".contains(c) || c.is_control())
                && ids.iter().filter(|other| folded(other) == folded(id)).count() == 1
        }
    };
    let named =
        |(id, index): (&Id, &usize)| if plain(id) { id.clone() } else { Id::Text(format!("no. {index}")) };
    ids.iter().zip(idx).map(named).collect()
}

fn write_id(sheet: &mut Worksheet, (row, col): At, id: &Id, format: &Format) -> Result<()> {
    match id {
        Id::Whole(id) => sheet.write_with_format(row, col, *id, format)?,
        Id::Text(id) => sheet.write_with_format(row, col, id, format)?,
    };
    Ok(())
}
