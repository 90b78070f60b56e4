//! What the models of this module see: pairs of a user and a movie, the ratings of those they learn from, and
//! what is known of the movies.

use crate::movielens::SplitBy;
use crate::system::arithmetic::mean;
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
        mean(&self.y)
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
    /// How ratings are held out: what is right for one way of it is not for another.
    pub split: SplitBy,
}

impl World {
    /// A world of which only the size and the range are known, with the lecture's split.
    pub fn new(n_users: usize, n_items: usize, range: (f64, f64)) -> World {
        let (year, genres) = (vec![None; n_items], vec![0; n_items]);
        World { n_users, n_items, range, year, genres, split: SplitBy::LECTURE }
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

/// Rows to learn from and rows held out, both in order.
pub type Fold = (Vec<usize>, Vec<usize>);

/// `k` folds of the training rows, made as the split was made. Random: any fifth of the rows (or less, if there are more
/// than five folds) is held out, and no row twice. By time: the last fifth, from all before it; then, of those, the last
/// fifth again, and so on. By user: the same within each user's rows. If too few rows have an order, the folds are random.
pub fn folds(split: SplitBy, pairs: &Pairs, k: usize, seed: u64) -> Vec<Fold> {
    let made = match split {
        SplitBy::Random { .. } => Vec::new(),
        SplitBy::Time => rolling(pairs, k, seed, |_| 0),
        SplitBy::User { .. } => rolling(pairs, k, seed, |row| pairs.user[row]),
    };
    if made.is_empty() { random_folds(pairs.len(), k, seed) } else { made }
}

fn random_folds(n: usize, k: usize, seed: u64) -> Vec<Fold> {
    let parts = k.max(5).min(n.max(1));
    let mut part = vec![0; n];
    for (place, row) in Random::new(seed).permutation(n).into_iter().enumerate() {
        part[row] = place % parts;
    }
    (0..k.min(parts)).map(|f| (0..n).partition(|&row| part[row] != f)).collect()
}

/// Folds that predict the last fifth of each group of rows from what was before, by time or, without times, by chance.
fn rolling(pairs: &Pairs, k: usize, seed: u64, group: impl Fn(usize) -> usize) -> Vec<Fold> {
    let mut rows: Vec<usize>;
    if pairs.have_times() {
        rows = (0..pairs.len()).collect();
        rows.sort_by(|&a, &b| pairs.time[a].total_cmp(&pairs.time[b]));
    } else {
        rows = Random::new(seed).permutation(pairs.len());
    }
    rows.sort_by_key(|&row| group(row));
    let mut folds = Vec::new();
    for _ in 0..k {
        let (mut learned, mut asked) = (Vec::new(), Vec::new());
        for of_group in rows.chunk_by(|&a, &b| group(a) == group(b)) {
            let (before, last) = of_group.split_at(of_group.len() - of_group.len() / 5);
            learned.extend(before);
            asked.extend(last);
        }
        if asked.is_empty() {
            break;
        }
        rows = learned.clone();
        learned.sort();
        asked.sort();
        folds.push((learned, asked));
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 103 rows of three users, in no order of time.
    fn pairs() -> Pairs {
        Pairs {
            user: (0..103).map(|row| row % 3).collect(),
            item: (0..103).collect(),
            time: (0..103).map(|row| f64::from(row * 37 % 103)).collect(),
        }
    }

    #[test]
    fn random_folds_hold_out_each_row_once() {
        let made = folds(SplitBy::LECTURE, &pairs(), 5, 0);
        let mut asked: Vec<usize> = made.iter().flat_map(|(_, asked)| asked.clone()).collect();
        asked.sort();
        assert_eq!(asked, (0..103).collect::<Vec<_>>());
        for (learned, asked) in &made {
            assert_eq!(learned.len() + asked.len(), 103);
            assert!(asked.iter().all(|row| !learned.contains(row)));
            assert!((20..=21).contains(&asked.len()));
        }
        assert_ne!(made, folds(SplitBy::LECTURE, &pairs(), 5, 1));
        assert_eq!(
            folds(SplitBy::LECTURE, &pairs(), 1, 0)[0],
            made[0],
            "a fifth, even if it is the only one"
        );
    }

    #[test]
    fn folds_by_time_predict_later_ratings_from_earlier_ones() {
        let pairs = pairs();
        let made = folds(SplitBy::Time, &pairs, 2, 0);
        let time = |rows: &[usize]| rows.iter().map(|&row| pairs.time[row]).collect::<Vec<_>>();
        let (first, last) = (
            |v: Vec<f64>| v.into_iter().fold(f64::MAX, f64::min),
            |v: Vec<f64>| v.into_iter().fold(0.0, f64::max),
        );
        for (learned, asked) in &made {
            assert!(last(time(learned)) < first(time(asked)));
        }
        let sizes: Vec<(usize, usize)> = made.iter().map(|(l, a)| (l.len(), a.len())).collect();
        assert_eq!(sizes, [(83, 20), (67, 16)]);
        assert!(last(time(&made[1].1)) < first(time(&made[0].1)), "the second fold is before the first");
    }

    #[test]
    fn folds_by_user_predict_each_users_last_ratings() {
        let mut pairs = pairs();
        let by_user = SplitBy::User { seed: 42 };
        let (learned, asked) = folds(by_user, &pairs, 1, 0).swap_remove(0);
        for &row in &asked {
            let same = learned.iter().filter(|&&other| pairs.user[other] == pairs.user[row]);
            assert!(same.clone().count() >= 27);
            assert!(same.into_iter().all(|&other| pairs.time[other] < pairs.time[row]));
        }
        pairs.time.clear();
        assert_eq!(
            folds(by_user, &pairs, 1, 0)[0].1.len(),
            asked.len(),
            "any fifth of each user's without times"
        );
        pairs.user = (0..103).collect();
        assert_eq!(folds(by_user, &pairs, 1, 0)[0].1.len(), 21, "random if no user has five");
    }
}
