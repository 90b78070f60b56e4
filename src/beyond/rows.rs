//! What the models of this module see: pairs of a user and a movie, the ratings of those they learn from, and
//! what is known of the movies.

use crate::system::random::Random;

/// Pairs of a user and a movie, and when each was (or is to be) rated. Pairs to predict have no ratings, so no model
/// can look at the held-out ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Index of the user.
    pub user: Vec<usize>,
    /// Index of the movie.
    pub item: Vec<usize>,
    /// Seconds since 1970; empty if the data has no times.
    pub time: Vec<f64>,
}

/// Pairs with their ratings: what a model learns from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rated {
    /// Who rated what, and when.
    pub pairs: Pairs,
    /// The ratings, in stars.
    pub y: Vec<f64>,
}

impl Pairs {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// Whether the times of the ratings are known.
    pub fn have_times(&self) -> bool {
        !self.time.is_empty()
    }

    /// The pairs in these rows.
    pub fn pick(&self, rows: &[usize]) -> Pairs {
        let time = if self.have_times() { rows.iter().map(|&r| self.time[r]).collect() } else { Vec::new() };
        Pairs {
            user: rows.iter().map(|&r| self.user[r]).collect(),
            item: rows.iter().map(|&r| self.item[r]).collect(),
            time,
        }
    }
}

impl Rated {
    /// Number of ratings.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// Whether there are no ratings.
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// The ratings in these rows.
    pub fn pick(&self, rows: &[usize]) -> Rated {
        Rated { pairs: self.pairs.pick(rows), y: rows.iter().map(|&r| self.y[r]).collect() }
    }

    /// The mean rating.
    pub fn mean(&self) -> f64 {
        self.y.iter().sum::<f64>() / self.len() as f64
    }
}

/// What does not depend on which ratings are held out: how many users and movies there are, the range of the
/// ratings, and what movies.csv says of the movies.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Number of users.
    pub n_users: usize,
    /// Number of movies.
    pub n_items: usize,
    /// Lowest and highest rating, in stars.
    pub range: (f64, f64),
    /// Year of each movie, from the end of its title: `Toy Story (1995)`.
    pub year: Vec<Option<f64>>,
    /// Genres of each movie, one bit a genre.
    pub genres: Vec<u64>,
}

impl World {
    /// A world of which only the size and the range are known.
    pub fn new(n_users: usize, n_items: usize, range: (f64, f64)) -> World {
        World { n_users, n_items, range, year: vec![None; n_items], genres: vec![0; n_items] }
    }

    /// The prediction, moved into the range of the ratings.
    pub fn clamp(&self, stars: f64) -> f64 {
        stars.clamp(self.range.0, self.range.1)
    }
}

/// The rows of each value of a key (a user, a movie), in order.
pub fn rows_by(key: &[usize], n: usize) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); n];
    for (row, &k) in key.iter().enumerate() {
        rows[k].push(row);
    }
    rows
}

/// `k` folds of `n` rows: for each, the training rows and the held-out rows, both in order. Every row is held out in
/// one fold.
pub fn folds(n: usize, k: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    let order = Random::new(seed).permutation(n);
    let mut fold = vec![0; n];
    for (place, &row) in order.iter().enumerate() {
        fold[row] = place % k;
    }
    (0..k).map(|f| (0..n).partition(|&row| fold[row] != f)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_asked_about_in_one_fold_and_learned_from_in_the_others() {
        let made = folds(103, 5, 0);
        let mut asked: Vec<usize> = made.iter().flat_map(|(_, asked)| asked.clone()).collect();
        asked.sort();
        assert_eq!(asked, (0..103).collect::<Vec<_>>());
        for (learned, asked) in &made {
            assert_eq!(learned.len() + asked.len(), 103);
            assert!(asked.iter().all(|row| !learned.contains(row)));
            assert!((20..=21).contains(&asked.len()));
        }
        assert_ne!(made, folds(103, 5, 1));
    }
}
