//! The optimizers of the workbook, and the settings of their sheets.

use std::fmt;

/// The sheets of the workbook. g is the row's gradient, m its running average, s that of its square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// "basic SGD": w ← w − lr·g. The same as libtorch's with batches of one point.
    Sgd,
    /// "momentum": w ← w − lr·m, m of the row before. m ← β·m + (1 − β)·g is libtorch's with
    /// `momentum = β, dampening = 1 − β`. Its default, dampening 0, takes steps 1/(1 − β) times as long at the same
    /// rate. And libtorch sets m = g in the very first step.
    Momentum,
    /// "adagrad": w ← w − (lr / rms)·g, where rms is the root mean square gradient of the epoch before, so the rate is
    /// fixed for an epoch. libtorch's divides by √ of the sum of all squares so far, updated in every step, so it only
    /// ever slows down.
    Adagrad,
    /// "rmsprop": w ← w − lr·g/√s, s of the row before. libtorch's keeps β = 0.99 of s by default, here 0.9.
    RmsProp,
    /// "adam": w ← w − lr·m/√s, both of the row before, with β1 = 0.7 and β2 = 0.9 (libtorch: 0.9, 0.999).
    /// libtorch's divides m and s by 1 − β^steps (bias correction) and adds ε to √s.
    Adam,
    /// "eve": Adam with the rate lr/d, where d ← 0.9·d + 0.1·r follows how much the loss f moves from one epoch to the
    /// next: r = |f₁ − f₂| / min(f₁, f₂). libtorch does not have it. (Koushik and Hayashi 2016, "Improving stochastic
    /// gradient descent with feedback".)
    Eve,
    /// "adagrad_ann": Adagrad, starting at a far higher rate which is halved as the mean gradient grows.
    AdagradAnn,
    /// "adam_ann": Adam with the same annealing. In libtorch a rate is changed from outside the optimizer.
    AdamAnn,
}

impl Optimizer {
    /// All, in the order of the workbook.
    pub const ALL: [Optimizer; 8] = [
        Optimizer::Sgd,
        Optimizer::Momentum,
        Optimizer::Adagrad,
        Optimizer::RmsProp,
        Optimizer::Adam,
        Optimizer::Eve,
        Optimizer::AdagradAnn,
        Optimizer::AdamAnn,
    ];

    /// The sheet's name.
    pub fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "basic SGD",
            Optimizer::Momentum => "momentum",
            Optimizer::Adagrad => "adagrad",
            Optimizer::RmsProp => "rmsprop",
            Optimizer::Adam => "adam",
            Optimizer::Eve => "eve",
            Optimizer::AdagradAnn => "adagrad_ann",
            Optimizer::AdamAnn => "adam_ann",
        }
    }

    /// The sheet's settings.
    pub fn settings(self) -> Settings {
        let settings = |lr, beta1, beta2, warm_ups| Settings { lr, beta1, beta2, warm_ups };
        match self {
            Optimizer::Sgd => settings(1e-4, 0.0, 0.0, 0),
            Optimizer::Momentum => settings(1e-4, 0.9, 0.0, 1),
            Optimizer::Adagrad => settings(1e-3, 0.0, 0.0, 1),
            Optimizer::RmsProp => settings(0.02, 0.0, 0.9, 2),
            Optimizer::Adam | Optimizer::Eve => settings(1.0, 0.7, 0.9, 2),
            Optimizer::AdagradAnn => settings(0.5, 0.0, 0.0, 1),
            Optimizer::AdamAnn => settings(1.0, 0.7, 0.9, 1),
        }
    }

    /// Whether the step uses the average of the gradients.
    pub fn uses_mean(self) -> bool {
        matches!(self, Optimizer::Momentum | Optimizer::Adam | Optimizer::Eve | Optimizer::AdamAnn)
    }

    /// Whether the step uses the average of their squares.
    pub fn uses_square(self) -> bool {
        matches!(self, Optimizer::RmsProp | Optimizer::Adam | Optimizer::Eve | Optimizer::AdamAnn)
    }

    /// Whether the rate is divided by the root mean square gradient of the epoch before.
    pub fn is_adagrad(self) -> bool {
        matches!(self, Optimizer::Adagrad | Optimizer::AdagradAnn)
    }

    /// Whether the rate is halved as the mean gradient grows.
    pub fn is_annealed(self) -> bool {
        matches!(self, Optimizer::AdagradAnn | Optimizer::AdamAnn)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What can be set on a sheet. [`Optimizer::settings`] has the sheet's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// learning rate
    pub lr: f64,
    /// how much of the average of the gradients is kept from one row to the next
    pub beta1: f64,
    /// how much of the average of their squares is kept
    pub beta2: f64,
    /// passes at reset that only warm the averages up
    pub warm_ups: usize,
}
