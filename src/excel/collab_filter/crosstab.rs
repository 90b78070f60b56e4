//! The table of ratings that the workbook is about.

use anyhow::{Result, ensure};
use rust_xlsxwriter::{Format, Worksheet};

use crate::excel::sheet::At;
use crate::excel::solver::Factors;
use crate::movielens::Id;

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
    pub(super) fn check(&self, factors: &Factors) -> Result<()> {
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

    /// The same with ids that Excel's `MATCH` finds.
    pub(super) fn with_ids_for_match(&self) -> Crosstab {
        Crosstab {
            users: names_for_match(&self.users, &self.user_idx),
            movies: names_for_match(&self.movies, &self.movie_idx),
            ..self.clone()
        }
    }
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

pub(super) fn write_id(sheet: &mut Worksheet, (row, col): At, id: &Id, format: &Format) -> Result<()> {
    match id {
        Id::Whole(id) => sheet.write_with_format(row, col, *id, format)?,
        Id::Text(id) => sheet.write_with_format(row, col, id, format)?,
    };
    Ok(())
}
