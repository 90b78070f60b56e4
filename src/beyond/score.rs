//! How good predictions are, and how sure that is.

use std::collections::HashSet;

use serde::Serialize;

use super::rows::Pairs;
use crate::system::arithmetic::mean;
use crate::system::random::Random;

/// Errors of predictions for held-out rows, with the interval of the mean squared one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Mean squared error, in stars².
    pub mse: f64,
    /// Its root, in stars.
    pub rmse: f64,
    /// Mean absolute error, in stars.
    pub mae: f64,
    /// Lower end of the 95% interval of the mean squared error.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// Resamples behind an interval.
pub const RESAMPLES: usize = 2_000;

/// Scores predictions against the ratings `y` of `user`s.
pub fn score(predicted: &[f64], y: &[f64], user: &[usize]) -> Score {
    let n = y.len() as f64;
    let squares = squared_errors(predicted, y);
    let mse = mean(&squares);
    let mae = predicted.iter().zip(y).map(|(p, y)| (p - y).abs()).sum::<f64>() / n;
    let (low, high) = bootstrap_by_user(&squares, user, RESAMPLES, 0);
    Score { mse, rmse: mse.sqrt(), mae, low, high }
}

/// The mean squared error, in stars².
pub fn mse(predicted: &[f64], y: &[f64]) -> f64 {
    mean(&squared_errors(predicted, y))
}

/// (prediction − truth)², row by row.
pub fn squared_errors(predicted: &[f64], y: &[f64]) -> Vec<f64> {
    assert_eq!(predicted.len(), y.len(), "there must be as many predictions as ratings");
    predicted.iter().zip(y).map(|(p, y)| (p - y).powi(2)).collect()
}

/// The 95% interval of the mean of `values` by the bootstrap over users (Efron and Tibshirani 1993, percentile
/// method): whole users are drawn with replacement, since the errors of one user are correlated. With the differences
/// of two models' squared errors as values, it says whether one is better.
pub fn bootstrap_by_user(values: &[f64], user: &[usize], resamples: usize, seed: u64) -> (f64, f64) {
    let n_users = user.iter().max().map_or(0, |last| last + 1);
    let mut sums = vec![(0.0, 0.0); n_users];
    for (&value, &u) in values.iter().zip(user) {
        sums[u].0 += value;
        sums[u].1 += 1.0;
    }
    sums.retain(|(_, n)| *n > 0.0);
    if sums.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let mut random = Random::new(seed);
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| {
            let (mut sum, mut n) = (0.0, 0.0);
            for _ in 0..sums.len() {
                let (s, c) = sums[random.below(sums.len())];
                sum += s;
                n += c;
            }
            sum / n
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (means.len() - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

/// Rows held out, by whether their user and their movie have training rows.
pub fn known_and_new(trn: &Pairs, val: &Pairs) -> Vec<(&'static str, Vec<usize>)> {
    let of = |indices: &[usize]| indices.iter().copied().collect::<HashSet<usize>>();
    let (users, items) = (of(&trn.user), of(&trn.item));
    let group = |row: usize| match (users.contains(&val.user[row]), items.contains(&val.item[row])) {
        (true, true) => 0,
        (false, _) => 1,
        (true, false) => 2,
    };
    let mut groups =
        vec![("both are known", vec![]), ("a new user", vec![]), ("a known user, a new movie", vec![])];
    (0..val.len()).for_each(|row| groups[group(row)].1.push(row));
    groups.retain(|(_, rows)| !rows.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_whether_their_user_and_movie_were_trained_on() {
        let pairs = |user: &[usize], item: &[usize]| Pairs {
            user: user.to_vec(),
            item: item.to_vec(),
            time: Vec::new(),
        };
        let trn = pairs(&[0, 1], &[0, 1]);
        let val = pairs(&[0, 1, 2, 2, 0], &[1, 5, 0, 5, 0]);
        let rows =
            |val: &Pairs| known_and_new(&trn, val).into_iter().map(|(_, rows)| rows).collect::<Vec<_>>();
        assert_eq!(rows(&val), [vec![0, 4], vec![2, 3], vec![1]]);
        assert_eq!(rows(&pairs(&[0], &[1])), [vec![0]]);
    }

    #[test]
    fn the_errors_of_three_rows_are_those_computed_by_hand() {
        let s = score(&[3.0, 4.0, 1.0], &[4.0, 4.0, 3.0], &[0, 0, 1]);
        assert_eq!((s.mse, s.mae), (5.0 / 3.0, 1.0));
        assert_eq!(s.rmse, (5.0f64 / 3.0).sqrt());
        // One of the users alone, or the other.
        assert_eq!((s.low, s.high), (0.5, 4.0));
    }

    /// Users with their own mean error and their own number of rows: 95% intervals cover the true mean in
    /// about 95% of repetitions, where intervals from rows drawn one by one would not.
    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let mut random = Random::new(3);
        let mut uniform = move || random.uniform();
        let (mut by_user, mut by_row) = (0, 0);
        for repetition in 0..300 {
            let (mut values, mut user) = (Vec::new(), Vec::new());
            for u in 0..60 {
                let level = uniform() - 0.5; // mean 0
                for _ in 0..5 + (uniform() * 20.0) as usize {
                    values.push(level + 0.3 * (uniform() - 0.5));
                    user.push(u);
                }
            }
            let covers = |(low, high): (f64, f64)| usize::from(low <= 0.0 && 0.0 <= high);
            by_user += covers(bootstrap_by_user(&values, &user, 400, repetition));
            let rows: Vec<usize> = (0..values.len()).collect();
            by_row += covers(bootstrap_by_user(&values, &rows, 400, repetition));
        }
        assert!((270..=297).contains(&by_user), "{by_user} of 300");
        assert!(by_row < 240, "{by_row} of 300: the test could not distinguish the two");
    }
}
