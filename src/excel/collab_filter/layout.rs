//! Where things are on a sheet with two grids.

use rust_xlsxwriter::utility::{row_col_to_cell, row_col_to_cell_absolute};

use crate::excel::sheet::At;
use crate::excel::solver::Factors;

/// The layout of a sheet with two grids, zero-based. The ratings are on top, the predictions below; the users' factors
/// are left of the predictions, the movies' above them.
pub(super) struct Layout {
    pub(super) n_users: u32,
    pub(super) n_movies: u16,
    pub(super) n_factors: u16,
    pub(super) bias: bool,
}

impl Layout {
    pub(super) const TITLES: u32 = 4;
    pub(super) const MOVIE_IDS: u32 = 5;
    pub(super) const MOVIE_INDICES: u32 = 6;
    pub(super) const RATINGS: u32 = 7;
    /// The users' factors start here; user ids are in the column before.
    pub(super) const USER_FACTORS: u16 = 1;

    pub(super) fn new(factors: &Factors) -> Layout {
        Layout {
            n_users: factors.users.len() as u32,
            n_movies: factors.movies.len() as u16,
            n_factors: factors.movies.first().map_or(0, |row| row.len() as u16),
            bias: factors.has_bias(),
        }
    }

    /// How many numbers a user or a movie has: its factors, and its bias if there is one.
    pub(super) fn numbers(&self) -> u16 {
        self.n_factors + u16::from(self.bias)
    }

    /// The column of the users' contiguous indices.
    pub(super) fn user_indices(&self) -> u16 {
        Self::USER_FACTORS + self.numbers()
    }

    /// The first column of both grids.
    pub(super) fn grid(&self) -> u16 {
        self.user_indices() + 1
    }

    /// The first row of the movies' factors.
    pub(super) fn movie_factors(&self) -> u32 {
        Self::RATINGS + self.n_users + 2
    }

    /// The row that repeats the movies' indices.
    pub(super) fn indices_again(&self) -> u32 {
        self.movie_factors() + u32::from(self.numbers())
    }

    /// The first row of the predictions.
    pub(super) fn predictions(&self) -> u32 {
        self.indices_again() + 1
    }

    /// The RMSE's cell, in the corner between the users' and the movies' factors.
    pub(super) fn corner(&self) -> At {
        (self.movie_factors() + 2, Self::USER_FACTORS + 1)
    }

    pub(super) fn rating(&self, user: u32, movie: u16) -> At {
        (Self::RATINGS + user, self.grid() + movie)
    }

    pub(super) fn prediction(&self, user: u32, movie: u16) -> At {
        (self.predictions() + user, self.grid() + movie)
    }

    pub(super) fn user_number(&self, user: u32, k: u16) -> At {
        (self.predictions() + user, Self::USER_FACTORS + k)
    }

    pub(super) fn movie_number(&self, movie: u16, k: u16) -> At {
        (self.movie_factors() + u32::from(k), self.grid() + movie)
    }

    /// The cells that are optimized: the users' numbers and the movies'.
    pub(super) fn orange(&self) -> [(At, At); 2] {
        let (user, movie, k) = (self.n_users - 1, self.n_movies - 1, self.numbers() - 1);
        [
            (self.user_number(0, 0), self.user_number(user, k)),
            (self.movie_number(0, 0), self.movie_number(movie, k)),
        ]
    }
}

pub(super) fn cell(at: At) -> String {
    row_col_to_cell(at.0, at.1)
}

pub(super) fn fixed(at: At) -> String {
    row_col_to_cell_absolute(at.0, at.1)
}

pub(super) fn range((from, to): (At, At)) -> String {
    format!("{}:{}", cell(from), cell(to))
}
