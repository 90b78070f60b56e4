//! The training loop. It is a function of its arguments: it reports, it neither prints nor draws.
//!
//! Lecture: the `fit` function at its end, whose steps this one takes in the same order, and "Similar idea
//! implemented in fast ai".

use std::fmt;
use std::time::Instant;

use anyhow::{Result, ensure};
use tch::nn::ModuleT;
use tch::{Device, Kind, Reduction, Tensor};

use crate::optim::Optimizer;
use crate::ratings::{ColumnarModelData, Columns};
use crate::schedule::Schedule;
use crate::system::interrupt;

/// A loss: predictions and targets, both (bs,), to a scalar. PyTorch's `crit`.
pub type Criterion = fn(&Tensor, &Tensor) -> Tensor;

/// `F.mse_loss`, guarded: (bs,) against (bs, 1) would broadcast to (bs, bs) and give a wrong number without
/// a word.
pub fn mse_loss(preds: &Tensor, y: &Tensor) -> Tensor {
    assert_eq!(preds.size(), y.size(), "predictions and targets must have the same shape");
    preds.mse_loss(y, Reduction::Mean)
}

/// The running mean of the loss that the progress bar shows: exponentially weighted, debiased.
///
/// Lecture: `avg_loss = avg_loss * avg_mom + loss * (1-avg_mom)`, divided by `1 - avg_mom**batch_num`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunningMean {
    /// The mean before it is debiased.
    pub avg_loss: f64,
    /// Batches taken in.
    pub batch_num: i32,
}

impl RunningMean {
    const AVG_MOM: f64 = 0.98;

    /// Takes a batch's loss in; answers the debiased mean so far.
    pub fn update(&mut self, loss: f64) -> f64 {
        self.batch_num += 1;
        self.avg_loss = self.avg_loss * Self::AVG_MOM + loss * (1.0 - Self::AVG_MOM);
        self.avg_loss / (1.0 - Self::AVG_MOM.powi(self.batch_num))
    }
}

/// The losses of one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 0 within a `fit` call.
    pub epoch: usize,
    /// Debiased running mean of the training loss at the epoch's last batch.
    pub trn: f64,
    /// Validation loss as the lecture's fastai averaged it: the mean of the means of batches of 128.
    pub val: f64,
    /// Validation loss with every row weighing the same, as later fastai averaged it.
    pub val_by_rows: f64,
}

impl fmt::Display for Epoch {
    /// As the lecture's `fit` printed it: `[ 0.       1.68932  1.64501]`, NumPy's array of up to 5 decimals.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let numbers = [self.epoch as f64, self.trn, self.val].map(|x| {
            let text = format!("{x:.5}");
            text.trim_end_matches('0').to_owned()
        });
        let decimals = |text: &str| text.len() - text.find('.').map_or(text.len(), |dot| dot + 1);
        let whole = |text: &str| text.find('.').unwrap_or(text.len());
        let (left, right) =
            numbers.iter().fold((0, 0), |(left, right), n| (left.max(whole(n)), right.max(decimals(n))));
        let padded = numbers
            .iter()
            .map(|n| format!("{}{n}{}", " ".repeat(left - whole(n)), " ".repeat(right - decimals(n))));
        write!(f, "[ {}]", padded.collect::<Vec<_>>().join("  "))
    }
}

/// What a `fit` call did.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
    /// The debiased running mean of the training loss after each batch.
    pub running: Vec<f64>,
    /// The learning rate of each batch.
    pub rates: Vec<f64>,
    /// Wall-clock time of the call.
    pub seconds: f64,
}

impl History {
    /// Appends a later `fit` call of the same model; its epochs are counted on.
    pub fn extend(&mut self, later: History) {
        let done = self.epochs.len();
        self.epochs.extend(later.epochs.into_iter().map(|e| Epoch { epoch: done + e.epoch, ..e }));
        self.running.extend(later.running);
        self.rates.extend(later.rates);
        self.seconds += later.seconds;
    }
}

/// What `fit` reports while it runs.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// Some batches of an epoch are done.
    Batches {
        /// The epoch, counted from 0.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Batches done in this epoch.
        done: usize,
        /// Batches of an epoch.
        n_batches: usize,
        /// The debiased running mean of the loss: the progress bar's `loss=`.
        loss: f64,
    },
    /// An epoch is done.
    Epoch(Epoch),
}

/// On CUDA, reading a loss waits for the device, so losses are read this many batches at a time.
const CUDA_BATCHES_PER_READ: usize = 50;

/// A `fit` call under way: what one epoch hands to the next. Who keeps it with the model, the optimiser and the
/// generators can go on after any epoch.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Epochs of the `fit` call.
    pub epochs: usize,
    /// Epochs of the same model before it.
    pub before: usize,
    /// The running mean of this `fit` call.
    pub mean: RunningMean,
    /// What was done with the model so far.
    pub history: History,
}

impl Course {
    /// Takes up a `fit` call of so many epochs, after so many: from its start, or where it was left.
    pub fn take_up(&mut self, before: usize, epochs: usize) {
        if self.done() == before {
            self.mean = RunningMean::default();
        }
        (self.before, self.epochs) = (before, epochs);
    }

    /// Epochs done, those before this `fit` call included.
    pub fn done(&self) -> usize {
        self.history.epochs.len()
    }
}

/// Trains a model: the lecture's `fit(model, data, epochs, opt, crit)`.
///
/// In the midst of an epoch the rows that no batch has read lately are behind (see [`Optimizer::reads`]); at
/// its end, before `report` hears of it, all weights are what they should be.
///
/// # Errors
/// As [`fit_epoch`]'s.
pub fn fit(
    model: &dyn ModuleT,
    data: &ColumnarModelData,
    epochs: usize,
    opt: &mut Optimizer,
    crit: Criterion,
    schedule: &Schedule,
    report: &mut dyn FnMut(Event),
) -> Result<History> {
    let mut course = Course { epochs, ..Default::default() };
    while course.done() < epochs {
        fit_epoch(model, data, opt, crit, schedule, &mut course, report)?;
    }
    Ok(course.history)
}

/// The next epoch of a `fit` call.
///
/// # Errors
/// The loss stops being a number (at which batch, and what to try), or is beyond reason after the epoch; Ctrl-C;
/// or libtorch fails. The model and `course` are then in the midst of an epoch: drop them.
pub fn fit_epoch(
    model: &dyn ModuleT,
    data: &ColumnarModelData,
    opt: &mut Optimizer,
    crit: Criterion,
    schedule: &Schedule,
    course: &mut Course,
    report: &mut dyn FnMut(Event),
) -> Result<()> {
    let started = Instant::now();
    let n_batches = data.n_batches();
    let per_read = if data.trn.y.device() == Device::Cpu { 1 } else { CUDA_BATCHES_PER_READ };
    let Course { epochs, before, mean, history } = course;
    let (epoch, epochs) = (history.epochs.len() - *before, *epochs);
    let mut debias_loss = f64::NAN;
    let mut unread: Vec<Tensor> = Vec::new();

    for (batch, (x, y)) in data.trn.shuffled().batches(data.bs).enumerate() {
        interrupt::check()?;
        if let Some(lr) = schedule.rate(epoch * n_batches + batch, n_batches) {
            opt.set_lrs(lr);
        }
        let loss = opt.loss(&x, &y, |x, y| crit(&model.forward_t(x, true), y)); // ()
        opt.zero_grad();
        loss.backward();
        opt.step()?;

        history.rates.push(opt.lr());
        unread.push(loss.detach());
        let done = batch + 1;
        if unread.len() < per_read && done < n_batches {
            continue;
        }
        let first = done - unread.len();
        for (at, loss) in read(&unread)?.into_iter().enumerate() {
            debias_loss = mean.update(loss);
            history.running.push(debias_loss);
            ensure!(
                loss.is_finite(),
                "the loss became {loss} in epoch {epoch} at batch {} of {n_batches}, at a learning rate of {:?}: {TRY}",
                first + at,
                opt.lr()
            );
        }
        unread.clear();
        report(Event::Batches { epoch, epochs, done, n_batches, loss: debias_loss });
    }
    opt.settle(); // validation reads any row
    let (val, val_by_rows) = validate(model, &data.val, VAL_BATCH)?;
    let of_zeros = data.val.y.square().mean(Kind::Float).double_value(&[]);
    ensure!(
        val < BEYOND_REASON * of_zeros.max(1.0),
        "the validation loss became {val:e} after epoch {epoch}, at a learning rate of {:?}, where predicting \
         nothing but zeros gives {of_zeros:.1}: {TRY}",
        opt.lr()
    );
    let done = Epoch { epoch, trn: debias_loss, val, val_by_rows };
    history.epochs.push(Epoch { epoch: *before + epoch, ..done });
    history.seconds += started.elapsed().as_secs_f64();
    report(Event::Epoch(done));
    Ok(())
}

/// What helps against a loss that grows without bound.
const TRY: &str = "try a smaller one, or less weight decay or a narrower start if those were raised";
/// A validation loss so many times that of zeros comes from predictions a thousand times too large.
const BEYOND_REASON: f64 = 1e6;

/// The losses of some batches.
fn read(losses: &[Tensor]) -> Result<Vec<f64>> {
    Ok(match losses {
        [loss] => vec![f64::try_from(loss)?],
        many => Vec::try_from(Tensor::stack(many, 0).to_kind(Kind::Double))?,
    })
}

/// fastai's validation batches had twice the 64 rows of training.
const VAL_BATCH: usize = 128;
/// Rows predicted in one pass: large enough that the pass, not its start, is the cost.
pub const ROWS_PER_PASS: i64 = 1 << 16;

/// Mean squared error over `rows`: as the mean of the means of batches of `bs`, and over all rows alike.
pub fn validate(model: &dyn ModuleT, rows: &Columns, bs: usize) -> Result<(f64, f64)> {
    let preds = predict(model, rows)?;
    let y = Vec::<f32>::try_from(&rows.y)?;
    let squares: Vec<f64> = preds.iter().zip(&y).map(|(p, y)| f64::from(p - y).powi(2)).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let batch_means: Vec<f64> = squares.chunks(bs).map(mean).collect();
    Ok((mean(&batch_means), mean(&squares)))
}

/// A model's predictions in stars, one a row.
pub fn predict(model: &dyn ModuleT, rows: &Columns) -> Result<Vec<f32>> {
    let mut preds = Vec::with_capacity(rows.len() as usize);
    for (x, _) in rows.batches(ROWS_PER_PASS) {
        let y = tch::no_grad(|| model.forward_t(&x, false)); // (rows,)
        preds.extend(Vec::<f32>::try_from(y)?);
    }
    Ok(preds)
}
