//! A loss may be a number and still be absurd: a fit that predicts worse than a constant has failed.

use std::ops::ControlFlow;

use anyhow::{Result, ensure};

use crate::fit::DIVERGENCE_ADVICE;
use crate::history::{Batch, Callback, Epoch, FitState};
use crate::movielens::{CollabFilterDataset, Split};
use crate::optim::Optimizer;

/// Stops a fit whose loss is finite but absurdly large, and makes it an error if a fit ends worse than a constant
/// prediction.
pub struct WithinReason {
    /// The validation loss of predicting only zeros.
    of_zeros: f64,
    /// The validation loss of predicting the mean rating.
    of_the_mean: f64,
    /// Validation rows.
    rows: usize,
    /// Of the `fit` call: the approximate number of rows in a batch, and the epochs.
    batch_size: usize,
    epochs: usize,
}

impl WithinReason {
    /// A validation loss this many times the loss of zeros comes from predictions a thousand times too large.
    const BEYOND: f64 = 1e6;
    /// At the end of a `fit` call, a loss this many times the loss of zeros comes from a rate that was too large, or
    /// from something worse.
    const AT_THE_END: f64 = 10.0;
    /// If there are enough rows to decide, a fit must not end at this many times the loss of the mean rating, nor of
    /// the start.
    const OF_NOTHING: f64 = 2.0;
    const ENOUGH: usize = 100;

    /// For fits on these ratings.
    pub fn new(cf: &CollabFilterDataset, split: &Split) -> WithinReason {
        let ratings: Vec<f64> = split.val.iter().map(|&row| f64::from(cf.y[row])).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / ratings.len() as f64;
        let rating = mean(&mut ratings.iter().copied());
        WithinReason {
            of_zeros: mean(&mut ratings.iter().map(|y| y * y)),
            of_the_mean: mean(&mut ratings.iter().map(|y| (y - rating).powi(2))),
            rows: ratings.len(),
            batch_size: 1,
            epochs: 0,
        }
    }

    /// Without the comparison with what the fit started from.
    pub fn of_a_section(self) -> WithinReason {
        WithinReason { rows: 0, ..self }
    }

    /// The model's loss on the first 64 rows or so, before it had learned anything.
    fn of_the_start(&self, running: &[f64]) -> f64 {
        let batches = (64 / self.batch_size.max(1)).clamp(1, running.len().max(1));
        running.get(batches - 1).copied().unwrap_or(f64::INFINITY)
    }
}

impl Callback for WithinReason {
    fn on_batch_end(&mut self, at: &Batch) -> Result<ControlFlow<()>> {
        self.epochs = at.n_epochs;
        // From the training rows, which are four times as many.
        self.batch_size = 4 * self.rows / at.n_batches;
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, at: &Epoch, state: &FitState, opt: &Optimizer) -> Result<ControlFlow<()>> {
        let last = at.epoch + 1 == self.epochs;
        let most = if last { Self::AT_THE_END } else { Self::BEYOND };
        let where_it_ended = || {
            let rate = state.history.rates.iter().copied().fold(opt.lr(), f64::max);
            format!("became {:e} after epoch {}, at learning rates up to {rate:?}", at.val, at.epoch)
        };
        ensure!(
            at.val < most * self.of_zeros.max(1.0),
            "the validation loss {}, where predicting only zeros gives {:.1}: {DIVERGENCE_ADVICE}",
            where_it_ended(),
            self.of_zeros
        );
        let nothing = self.of_the_mean.max(self.of_the_start(&state.history.running));
        ensure!(
            !last || self.rows < Self::ENOUGH || at.val < Self::OF_NOTHING * nothing,
            "the validation loss {}, where predicting only the mean rating gives {:.1}: {DIVERGENCE_ADVICE}",
            where_it_ended(),
            self.of_the_mean
        );
        Ok(ControlFlow::Continue(()))
    }
}
