//! The lecture's second spreadsheet: gradient descent on two numbers, by hand.
//!
//! There is a line y = 2x + 30 and 29 of its points. A model y = a·x + b starts at slope a = 1 and intercept b = 1, and
//! takes one step per point; one pass through all points is an epoch. Each sheet of the workbook is one [`Optimizer`].
//! [`run`] gives everything that a sheet shows, row by row.
//!
//! # How the sheets differ from libtorch
//!
//! * The averages that a step uses are those of the row *before* (libtorch first takes this row's gradient
//!   into them, then steps). So the sheets are always one row late.
//! * Averages do not start at zero and are not corrected for it: a warm-up (below) fills them instead.
//! * Nothing is added to a denominator (libtorch adds ε), and there is no weight decay.
//!
//! What else is particular to one optimizer is described in [`Optimizer`].
//!
//! # Reset, warm-up, run
//!
//! "Reset" puts a = b = 1, the averages of the gradients at 0 and those of their squares at 10,000. Then the sheet goes
//! through the points once or twice only to warm the averages up: the values of the last row are carried to the top,
//! and a and b go back to 1. "Run" is five epochs; each begins with the values of the last row of the one before, a and
//! b included.
//!
//! # Where the sheets leave a choice
//!
//! * A warm-up pass is an epoch like any other, except that a and b go back to 1 after it. So it is "the epoch before"
//!   the first counted one, for everything that compares with the epoch before (Adagrad, Eve, annealing).
//! * Adagrad's √Σg²/n is read as √(Σg²/n), the root mean square gradient, and "10,000 at reset" as its value before the
//!   first pass. With √(Σg²)/n instead, or with 10,000 as the mean square, "adagrad_ann" at rate 0.5 diverges to 10⁶
//!   and beyond within an epoch.
//! * The measure that annealing watches is the squared length of the epoch's mean gradient, mean(de/db)² +
//!   mean(de/da)². When it more than doubles from one epoch to the next, the rate is halved for the following epochs,
//!   at most once per epoch. With it "adam_ann" settles within forty epochs; with the length itself the rate would
//!   never be halved in them.
//! * "adagrad_ann" and "adam_ann" warm up once: the lecture names only three sheets that do so twice.
//! * Eve's measure d starts at 1 and first moves when there are two epochs to compare.

mod line;
mod optimizer;
mod pair;

use std::ops::Add as _;

pub use line::{
    START, STEP, TRUTH, X, finite_difference, gradient, points, predict, rmse, running_mean, squared_error,
};
pub use optimizer::{Optimizer, Settings};
pub use pair::Pair;

/// Epochs of one "run".
pub const EPOCHS: usize = 5;

/// What the averages of squared gradients are at reset.
pub const SQUARES_AT_RESET: f64 = 10_000.0;

/// Eve: how much of the measure d is kept from one epoch to the next.
pub const EVE_BETA: f64 = 0.9;

/// An optimizer between two rows: the weights, and what it remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    optimizer: Optimizer,
    settings: Settings,
    /// b and a
    pub w: Pair,
    /// running average of the gradients
    pub mean: Pair,
    /// running average of their squares
    pub square: Pair,
    /// learning rate in force (annealing halves it)
    pub lr: f64,
    /// root mean square gradient of the epoch before (Adagrad)
    pub rms: Pair,
    /// how much the loss moves (Eve)
    pub d: f64,
    loss_before: Option<f64>,
    measure_before: Option<f64>,
}

impl State {
    /// The state at reset.
    pub fn new(optimizer: Optimizer, settings: Settings) -> State {
        State {
            optimizer,
            settings,
            w: START,
            mean: Pair::both(0.0),
            square: Pair::both(SQUARES_AT_RESET),
            lr: settings.lr,
            rms: Pair::both(SQUARES_AT_RESET),
            d: 1.0,
            loss_before: None,
            measure_before: None,
        }
    }

    /// The rates of this epoch, for b and for a.
    pub fn rate(&self) -> Pair {
        match self.optimizer {
            Optimizer::Adagrad | Optimizer::AdagradAnn => Pair::both(self.lr) / self.rms,
            Optimizer::Eve => Pair::both(self.lr / self.d),
            _ => Pair::both(self.lr),
        }
    }

    /// One row of the sheet: predict, differentiate, move, and only then take the gradient into the averages.
    pub fn step(&mut self, x: f64, y: f64) -> Row {
        let w = self.w;
        let g = gradient(w, x, y);
        let rate = self.rate();
        let update = match self.optimizer {
            Optimizer::Sgd | Optimizer::Adagrad | Optimizer::AdagradAnn => rate * g,
            Optimizer::Momentum => rate * self.mean,
            Optimizer::RmsProp => rate * g / self.square.map(f64::sqrt),
            Optimizer::Adam | Optimizer::Eve | Optimizer::AdamAnn => {
                rate * self.mean / self.square.map(f64::sqrt)
            }
        };
        let Settings { beta1, beta2, .. } = self.settings;
        self.w = w - update;
        self.mean = beta1 * self.mean + (1.0 - beta1) * g;
        self.square = beta2 * self.square + (1.0 - beta2) * (g * g);
        let (pred, err2) = (predict(w, x), squared_error(w, x, y));
        Row { x, y, w, pred, err2, gradient: g, mean: self.mean, square: self.square, new: self.w }
    }

    /// One pass through the points, and what is computed at the end of an epoch.
    pub fn epoch(&mut self, points: &[(f64, f64)]) -> SheetEpoch {
        let n = points.len() as f64;
        let (lr, rate, d) = (self.lr, self.rate(), self.d);
        let rows: Vec<Row> = points.iter().map(|&(x, y)| self.step(x, y)).collect();

        let total = |of: &dyn Fn(&Row) -> Pair| rows.iter().map(of).fold(Pair::both(0.0), Pair::add);
        let mean_gradient = total(&|row| row.gradient).map(|sum| sum / n);
        let rms_gradient = total(&|row| row.gradient * row.gradient).map(|sum| (sum / n).sqrt());
        let sum_err2: f64 = rows.iter().map(|row| row.err2).sum();
        let loss = sum_err2.sqrt();
        let moved = self.loss_before.map(|before| (loss - before).abs() / loss.min(before));
        let measure = mean_gradient.b * mean_gradient.b + mean_gradient.a * mean_gradient.a;
        let halve = self.optimizer.is_annealed() && self.measure_before.is_some_and(|m| measure > 2.0 * m);

        if let Some(r) = moved {
            self.d = EVE_BETA * self.d + (1.0 - EVE_BETA) * r;
        }
        if halve {
            self.lr /= 2.0;
        }
        self.rms = rms_gradient;
        self.loss_before = Some(loss);
        self.measure_before = Some(measure);
        SheetEpoch {
            rows,
            lr,
            rate,
            d,
            loss,
            rmse: (sum_err2 / n).sqrt(),
            moved,
            rms_gradient,
            mean_gradient,
            measure,
        }
    }
}

/// One row of a sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// the point
    pub x: f64,
    /// the point
    pub y: f64,
    /// b and a, before the step
    pub w: Pair,
    /// b + a·x
    pub pred: f64,
    /// (y − pred)²
    pub err2: f64,
    /// de/db and de/da
    pub gradient: Pair,
    /// running average of the gradients, this row's included (the step used the row's before)
    pub mean: Pair,
    /// running average of the squared gradients, this row's included
    pub square: Pair,
    /// b and a, after the step
    pub new: Pair,
}

/// One epoch: its rows, the rates in force, and what is measured at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetEpoch {
    /// one per point
    pub rows: Vec<Row>,
    /// learning rate in force
    pub lr: f64,
    /// the rates for b and a in force: lr, divided as Adagrad and Eve do
    pub rate: Pair,
    /// Eve's measure in force
    pub d: f64,
    /// f = √Σerr², the figure on the sheet (150.755 in basic SGD's first epoch)
    pub loss: f64,
    /// √(mean err²), in the units of y
    pub rmse: f64,
    /// Eve's r: how much `loss` moved since the epoch before; none in the first
    pub moved: Option<f64>,
    /// √(Σg²/n)
    pub rms_gradient: Pair,
    /// Σg/n
    pub mean_gradient: Pair,
    /// mean(de/db)² + mean(de/da)², which annealing watches
    pub measure: f64,
}

/// Everything on a sheet, from the reset on.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// the sheet
    pub optimizer: Optimizer,
    /// its settings
    pub settings: Settings,
    /// the passes that only warmed the averages up
    pub warm_ups: Vec<SheetEpoch>,
    /// the counted epochs
    pub epochs: Vec<SheetEpoch>,
    /// the state after the last row
    pub end: State,
}

impl Trace {
    /// RMSE of each counted epoch, over the errors of its rows, each computed before the row's step.
    pub fn rmse(&self) -> Vec<f64> {
        self.epochs.iter().map(|epoch| epoch.rmse).collect()
    }

    /// The rows of all counted epochs.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.epochs.iter().flat_map(|epoch| &epoch.rows)
    }

    /// (b, a) from the start through every counted step: the path over the error surface.
    pub fn path(&self) -> Vec<Pair> {
        std::iter::once(START).chain(self.rows().map(|row| row.new)).collect()
    }
}

/// "Reset", then `epochs` epochs over `points`. With the optimizer's own settings, [`points`] and
/// [`EPOCHS`] it is one press of the sheet's "run".
pub fn run(optimizer: Optimizer, settings: Settings, points: &[(f64, f64)], epochs: usize) -> Trace {
    let mut state = State::new(optimizer, settings);
    let mut warm_ups = Vec::new();
    for _ in 0..settings.warm_ups {
        warm_ups.push(state.epoch(points));
        state.w = START;
    }
    let epochs = (0..epochs).map(|_| state.epoch(points)).collect();
    Trace { optimizer, settings, warm_ups, epochs, end: state }
}
