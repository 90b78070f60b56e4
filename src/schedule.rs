//! Learning-rate schedules, as pure functions of the batch.

use std::f64::consts::PI;

/// How the learning rate goes from batch to batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The optimizer's rate does not change.
    Constant,
    /// Cosine annealing with restarts (Loshchilov and Hutter, "SGDR"), as fastai of 2017 stepped it.
    Cosine(CosineRestarts),
    /// One rise and one fall over the whole fit.
    OneCycle(OneCycle),
    /// From one rate to another within an epoch, each batch's rate the same multiple of the one before: fastai's
    /// `learn.lr_find()` (Smith 2015, "Cyclical learning rates").
    Growth {
        /// The rate of the first batch.
        from: f64,
        /// The rate of the last batch.
        to: f64,
    },
}

/// Smith 2018, "A disciplined approach to neural network hyper-parameters", as fastai's `fit_one_cycle` shapes it:
/// along a cosine from lr/25 up to lr in the first quarter of the batches, then down to lr/100,000. The momentum does
/// not change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// The highest rate.
    pub lr: f64,
    /// Epochs of the fit.
    pub epochs: usize,
}

impl OneCycle {
    /// The rate of batch `t`, counted from the start of the fit, with `n_batches` in an epoch.
    pub fn rate(&self, t: usize, n_batches: usize) -> f64 {
        const RISE: f64 = 0.25;
        let done = t as f64 / (self.epochs * n_batches) as f64;
        let (from, to, share) = if done < RISE {
            (self.lr / 25.0, self.lr, done / RISE)
        } else {
            (self.lr, self.lr / 1e5, ((done - RISE) / (1.0 - RISE)).min(1.0))
        };
        to + (from - to) / 2.0 * ((PI * share).cos() + 1.0)
    }
}

/// `learn.fit(lr, cycles, cycle_len=len, cycle_mult=mult)`: `cycles` cosine cycles, the first of `len` epochs, each
/// following one `mult` times as long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineRestarts {
    /// The rate at which each cycle starts.
    pub lr: f64,
    /// Number of cycles.
    pub cycles: usize,
    /// Epochs of the first cycle.
    pub len: usize,
    /// How many times as long each following cycle is.
    pub mult: usize,
}

impl CosineRestarts {
    /// Epochs of all cycles together.
    pub fn epochs(&self) -> usize {
        (0..self.cycles).map(|cycle| self.len * self.mult.pow(cycle as u32)).sum()
    }

    /// The rate of batch `t`, counted from the start of the fit, with `n_batches` in an epoch.
    ///
    /// At clock c of a cycle of nb batches it is lr/2·(cos(π·c/nb) + 1). The first nb/20 batches of the first cycle run
    /// at lr/100 instead, while the clock advances.
    pub fn rate(&self, t: usize, n_batches: usize) -> f64 {
        let (mut clock, mut nb) = (t, n_batches * self.len);
        let warming_up = (t as f64) < nb as f64 / 20.0;
        while clock >= nb && nb > 0 {
            clock -= nb;
            nb *= self.mult;
        }
        if warming_up {
            self.lr / 100.0
        } else {
            self.lr / 2.0 * ((PI * clock as f64 / nb as f64).cos() + 1.0)
        }
    }
}

impl Schedule {
    /// The rate of batch `t` of a fit, or `None` if the optimizer's own rate stays in force.
    pub fn rate(&self, t: usize, n_batches: usize) -> Option<f64> {
        match self {
            Schedule::Constant => None,
            Schedule::Cosine(cosine) => Some(cosine.rate(t, n_batches)),
            Schedule::OneCycle(cycle) => Some(cycle.rate(t, n_batches)),
            Schedule::Growth { from, to } => {
                Some(from * (to / from).powf(t as f64 / (n_batches.max(2) - 1) as f64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_for_a_quarter_of_the_batches_and_falls_for_the_rest() {
        let cycle = OneCycle { lr: 1.0, epochs: 4 };
        let rates: Vec<f64> = (0..400).map(|t| cycle.rate(t, 100)).collect();
        assert!((rates[0] - 1.0 / 25.0).abs() < 1e-12);
        assert_eq!(rates[100], 1.0);
        assert!(rates[..101].windows(2).all(|w| w[0] < w[1]));
        assert!(rates[100..].windows(2).all(|w| w[0] > w[1]));
        assert!((rates[250] - (1.0 + 1e-5) / 2.0).abs() < 1e-12, "half-way down at half of it");
        assert!(rates[399] < 1e-4);
    }
}
