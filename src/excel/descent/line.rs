//! The sheets' points, the model, its error, and the gradient in two ways.

use super::pair::Pair;
use crate::system::arithmetic::mean;

/// The sheet's 29 values of x.
pub const X: [f64; 29] = [
    14., 86., 28., 51., 28., 29., 72., 62., 84., 15., 42., 62., 47., 35., 9., 38., 44., 99., 13., 21., 28.,
    20., 8., 64., 99., 70., 27., 17., 8.,
];

/// The line that the points lie on: slope a = 2, intercept b = 30.
pub const TRUTH: Pair = Pair { b: 30.0, a: 2.0 };

/// Where every sheet starts: a = b = 1.
pub const START: Pair = Pair { b: 1.0, a: 1.0 };

/// How far b and a are moved to estimate a gradient by finite differences.
pub const STEP: f64 = 0.01;

/// The sheet's 29 points (x, y) of the true line.
pub fn points() -> Vec<(f64, f64)> {
    X.iter().map(|&x| (x, predict(TRUTH, x))).collect()
}

/// The model: b + a·x.
pub fn predict(w: Pair, x: f64) -> f64 {
    w.b + w.a * x
}

/// The error at one point: (y − prediction)².
pub fn squared_error(w: Pair, x: f64, y: f64) -> f64 {
    let error = y - predict(w, x);
    error * error
}

/// √ of the mean squared error over points, at one fixed (b, a): the error surface.
pub fn rmse(w: Pair, points: &[(f64, f64)]) -> f64 {
    mean(&points.iter().map(|&(x, y)| squared_error(w, x, y)).collect::<Vec<f64>>()).sqrt()
}

/// The gradient estimated by finite differencing: move b (then a) by `h`, see how much the error changes.
/// One more pass through the model for every weight, which is why it does not scale.
pub fn finite_difference(w: Pair, x: f64, y: f64, h: f64) -> Pair {
    let here = squared_error(w, x, y);
    let moved_b = squared_error(Pair { b: w.b + h, ..w }, x, y);
    let moved_a = squared_error(Pair { a: w.a + h, ..w }, x, y);
    Pair { b: (moved_b - here) / h, a: (moved_a - here) / h }
}

/// The gradient by the chain rule: de/db = 2·(prediction − y)·1 and de/da = 2·(prediction − y)·x.
pub fn gradient(w: Pair, x: f64, y: f64) -> Pair {
    let de_db = 2.0 * (predict(w, x) - y);
    Pair { b: de_db, a: x * de_db }
}

/// The running mean of a loss as `fit` keeps it, after each batch: (biased, debiased).
///
/// The biased one, avg ← avg·avg_mom + loss·(1 − avg_mom), starts at 0 and so is too small at first;
/// the debiased one divides by 1 − avg_mom^batches, the weight that the losses have in it so far.
/// The lecture's `avg_mom` is 0.98.
pub fn running_mean(losses: &[f64], avg_mom: f64) -> Vec<(f64, f64)> {
    let (mut avg_loss, mut batch_num) = (0.0, 0);
    let mut means = Vec::with_capacity(losses.len());
    for loss in losses {
        batch_num += 1;
        avg_loss = avg_loss * avg_mom + loss * (1.0 - avg_mom);
        means.push((avg_loss, avg_loss / (1.0 - avg_mom.powi(batch_num))));
    }
    means
}
