//! What Excel's Solver does on the lecture's spreadsheet, in Rust: move all the factors at once until the
//! predictions of the rated cells are as close to the ratings as they get.
//!
//! Excel's default method (GRG, a generalized reduced gradient) is, without constraints, a quasi-Newton
//! descent. Here that is L-BFGS, in f64 and on plain vectors, so that every machine takes the same steps.

use anyhow::{Result, anyhow, ensure};
use argmin::core::observers::{Observe, ObserverMode};
use argmin::core::{CostFunction, Executor, Gradient, IterState, KV, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use rand_mt::Mt;
use std::sync::{Arc, Mutex};

use crate::system::arithmetic::{dot, mean};

/// A table of ratings, one row per user and one column per movie; `None` is a movie that the user did not rate.
pub type Ratings = [Vec<Option<f32>>];

/// What is optimized: some numbers (factors) for every user and every movie and, on the sheet "bias", one
/// more number for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// `(n_users, n_factors)`
    pub users: Vec<Vec<f64>>,
    /// `(n_movies, n_factors)`
    pub movies: Vec<Vec<f64>>,
    /// `(n_users)`, or empty: no bias
    pub user_bias: Vec<f64>,
    /// `(n_movies)`, or empty: no bias
    pub movie_bias: Vec<f64>,
}

impl Factors {
    /// The lecture's random start: every number uniform in 0 to 1.
    ///
    /// MT19937 seeded with `seed` draws the users' factors row by row, then the movies', then (with `bias`) one number
    /// per user and one per movie; so the factors are the same with and without bias. A number is the generator's usual
    /// 53-bit one, NumPy's `RandomState(seed).rand()`.
    pub fn random(n_users: usize, n_movies: usize, n_factors: usize, bias: bool, seed: u32) -> Factors {
        let mut generator = Mt::new(seed);
        let mut uniform = || {
            let (high, low) = (generator.next_u32() >> 5, generator.next_u32() >> 6);
            (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0 // (high · 2²⁶ + low) / 2⁵³
        };
        let mut column = |n: usize| (0..n).map(|_| uniform()).collect::<Vec<_>>();
        let users = (0..n_users).map(|_| column(n_factors)).collect();
        let movies = (0..n_movies).map(|_| column(n_factors)).collect();
        let (user_bias, movie_bias) =
            if bias { (column(n_users), column(n_movies)) } else { (Vec::new(), Vec::new()) };
        Factors { users, movies, user_bias, movie_bias }
    }

    /// Whether there are biases.
    pub fn has_bias(&self) -> bool {
        !self.user_bias.is_empty()
    }

    /// How many numbers there are to optimize.
    pub fn count(&self) -> usize {
        let factors = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).sum::<usize>();
        factors(&self.users) + factors(&self.movies) + self.user_bias.len() + self.movie_bias.len()
    }

    /// The predicted rating: the product of the user's and the movie's factors, plus their biases if any.
    pub fn predict(&self, user: usize, movie: usize) -> f64 {
        let product = dot(&self.users[user], &self.movies[movie]);
        if self.has_bias() { product + self.user_bias[user] + self.movie_bias[movie] } else { product }
    }

    /// The sheet's corner, √(Σ(rating − prediction)² / number of ratings), over the rated cells.
    pub fn rmse(&self, ratings: &Ratings) -> f64 {
        self.mean_squared_error(ratings).sqrt()
    }

    fn mean_squared_error(&self, ratings: &Ratings) -> f64 {
        let square = |(u, m, y): (usize, usize, f64)| (y - self.predict(u, m)).powi(2);
        mean(&rated(ratings).map(square).collect::<Vec<f64>>())
    }

    /// All numbers in a row: users, movies, user biases, movie biases.
    fn flat(&self) -> Vec<f64> {
        let mut flat = self.users.concat();
        flat.extend(self.movies.concat());
        flat.extend(&self.user_bias);
        flat.extend(&self.movie_bias);
        flat
    }

    /// The inverse of [`Factors::flat`], with the shape of `self`.
    fn filled(&self, flat: &[f64]) -> Factors {
        let mut numbers = flat.iter().copied();
        let mut like = |shape: &[f64]| numbers.by_ref().take(shape.len()).collect::<Vec<_>>();
        let users = self.users.iter().map(|row| like(row)).collect();
        let movies = self.movies.iter().map(|row| like(row)).collect();
        let (user_bias, movie_bias) = (like(&self.user_bias), like(&self.movie_bias));
        Factors { users, movies, user_bias, movie_bias }
    }
}

/// The rated cells in reading order: (user, movie, rating).
pub fn rated(ratings: &Ratings) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
    ratings.iter().enumerate().flat_map(|(u, row)| {
        row.iter().enumerate().filter_map(move |(m, rating)| rating.map(|y| (u, m, f64::from(y))))
    })
}

/// A descent: how the error fell, and where it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    /// The factors that it started from.
    pub start: Factors,
    /// RMSE at the start (first) and after each iteration; never rises.
    pub rmse: Vec<f64>,
    /// The factors with the last, smallest RMSE.
    pub solution: Factors,
    /// Why it stopped, in the minimizer's words.
    pub stopped: String,
}

/// Minimizes the RMSE of the rated cells over all of `start`'s numbers, for at most `max_iterations`.
///
/// The function minimized is the mean squared error, whose minimum is in the same place and which stays smooth where
/// the RMSE reaches zero. It stops early once the gradient is nearly flat.
///
/// # Errors
/// When the table and the factors differ in size, when nothing is rated, or when the minimizer fails.
pub fn solve(ratings: &Ratings, start: &Factors, max_iterations: u64) -> Result<Descent> {
    let (n_users, n_movies) = (start.users.len(), start.movies.len());
    ensure!(
        ratings.len() == n_users && ratings.iter().all(|row| row.len() == n_movies),
        "the factors are for {n_users} users and {n_movies} movies, but the table of ratings has {} rows of {:?} cells",
        ratings.len(),
        ratings.iter().map(Vec::len).max().unwrap_or(0)
    );
    ensure!(rated(ratings).next().is_some(), "the table has no ratings, so there is nothing to fit");

    let rmse = Arc::new(Mutex::new(vec![start.rmse(ratings)]));
    // A long memory costs nothing at this size and makes the steps nearly Newton's.
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), 50).with_tolerance_grad(1e-7).map_err(reworded)?;
    let result = Executor::new(Problem { ratings, shape: start }, solver)
        .configure(|state| state.param(start.flat()).max_iters(max_iterations))
        .add_observer(Recorder(rmse.clone()), ObserverMode::Always)
        .run()
        .map_err(reworded)?;
    let state = result.state;
    let best = state.get_best_param().ok_or_else(|| anyhow!("the minimizer ended without a solution"))?;
    let rmse = rmse.lock().map_err(|_| anyhow!("the minimizer's record is broken"))?.clone();
    Ok(Descent {
        start: start.clone(),
        rmse,
        solution: start.filled(best),
        stopped: state.get_termination_status().to_string(),
    })
}

/// Converts argmin's own error type, and says where the error comes from.
fn reworded(error: argmin::core::Error) -> anyhow::Error {
    anyhow!("minimizing the RMSE failed: {error}")
}

/// The mean squared error of a table as a function of all numbers of `shape` in a row.
struct Problem<'a> {
    ratings: &'a Ratings,
    shape: &'a Factors,
}

impl CostFunction for Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, flat: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        Ok(self.shape.filled(flat).mean_squared_error(self.ratings))
    }
}

impl Gradient for Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, flat: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        let at = self.shape.filled(flat);
        let mut slope = self.shape.filled(&vec![0.0; flat.len()]);
        let n = rated(self.ratings).count() as f64;
        for (u, m, y) in rated(self.ratings) {
            let de = 2.0 * (at.predict(u, m) - y) / n;
            for k in 0..at.users[u].len() {
                slope.users[u][k] += de * at.movies[m][k];
                slope.movies[m][k] += de * at.users[u][k];
            }
            if at.has_bias() {
                slope.user_bias[u] += de;
                slope.movie_bias[m] += de;
            }
        }
        Ok(slope.flat())
    }
}

/// Writes down the RMSE of every iteration.
struct Recorder(Arc<Mutex<Vec<f64>>>);

impl Observe<IterState<Vec<f64>, Vec<f64>, (), (), (), f64>> for Recorder {
    fn observe_iter(
        &mut self,
        state: &IterState<Vec<f64>, Vec<f64>, (), (), (), f64>,
        _: &KV,
    ) -> Result<(), argmin::core::Error> {
        if let Ok(mut rmse) = self.0.lock() {
            rmse.push(state.get_best_cost().sqrt());
        }
        Ok(())
    }
}
