//! The training loop. All reporting goes through callbacks. The shuffles come from libtorch's CPU generator.
//!
//! Lecture: the `fit` function at the end. The steps are the lecture's, in its order and with its names.

use std::time::Instant;

use anyhow::{Result, ensure};
use tch::nn::ModuleT;
use tch::{Reduction, Tensor};

use crate::history::{Batch, Callback, Epoch, FitState, History, Losses};
use crate::optim::Optimizer;
use crate::ratings::{ColumnarModelData, Columns, ROWS_PER_PASS};
use crate::schedule::Schedule;
use crate::system::arithmetic::mean;

/// A loss: predictions and targets, both (bs,), to a scalar, (). fastai's `crit`.
pub type Criterion = fn(&Tensor, &Tensor) -> Tensor;

/// `F.mse_loss`.
///
/// # Panics
/// If the shapes differ: (bs,) against (bs, 1) would broadcast to (bs, bs) and silently give a wrong number.
pub fn mse_loss(preds: &Tensor, y: &Tensor) -> Tensor {
    assert_eq!(preds.size(), y.size(), "predictions and targets must have the same shape");
    preds.mse_loss(y, Reduction::Mean)
}

/// What `fit` does with a batch. [`Stepper`] is the lecture's; others may compute the same thing differently.
pub trait Step {
    /// `stepper.reset(True)` comes before the batches of an epoch. `stepper.reset(False)` comes before anything else reads
    /// the model, and writes back what the stepper keeps of its weights.
    fn reset(&mut self, train: bool) -> Result<()>;
    /// Trains on one batch, x (bs, 2) and y (bs,), and returns its loss before the step, ().
    fn step(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor>;
    /// The optimizer it uses.
    fn opt(&mut self) -> &mut Optimizer;
}

/// The lecture's `stepper = Stepper(model, opt, crit)`: libtorch computes every batch.
pub struct Stepper<'a> {
    model: &'a dyn ModuleT,
    opt: &'a mut Optimizer,
    crit: Criterion,
}

/// Makes the stepper of a fit: `Stepper` itself in the lecture's `fit(…, stepper=Stepper)`.
pub type MakeStepper =
    for<'a> fn(&'a dyn ModuleT, &'a mut Optimizer, Criterion) -> Result<Box<dyn Step + 'a>>;

/// [`Stepper`] as a [`MakeStepper`]. It always succeeds.
pub fn by_libtorch<'a>(
    model: &'a dyn ModuleT,
    opt: &'a mut Optimizer,
    crit: Criterion,
) -> Result<Box<dyn Step + 'a>> {
    Ok(Box::new(Stepper { model, opt, crit }))
}

impl Step for Stepper<'_> {
    fn reset(&mut self, _train: bool) -> Result<()> {
        Ok(()) // training mode is an argument of `forward_t`
    }

    fn step(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let preds = self.model.forward_t(x, true); // (bs,)
        let loss = (self.crit)(&preds, y); // ()
        self.opt.zero_grad();
        loss.backward();
        self.opt.step()?;
        Ok(loss.detach())
    }

    fn opt(&mut self) -> &mut Optimizer {
        self.opt
    }
}

/// Options beyond the lecture's arguments.
pub struct Options<'a> {
    /// How the learning rate moves from batch to batch.
    pub schedule: Schedule,
    /// Called after each batch and each epoch.
    pub callbacks: Vec<Box<dyn Callback + 'a>>,
    /// What computes the batches.
    pub stepper: MakeStepper,
    /// The state of an interrupted fit.
    pub resume: FitState,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            schedule: Schedule::Constant,
            callbacks: Vec::new(),
            stepper: by_libtorch,
            resume: FitState::default(),
        }
    }
}

/// The lecture's `fit(model, data, 3, opt, F.mse_loss)`. Its errors are those of [`fit_with`].
pub fn fit(
    model: &dyn ModuleT,
    data: &ColumnarModelData,
    epochs: usize,
    opt: &mut Optimizer,
    crit: Criterion,
) -> Result<History> {
    fit_with(model, data, epochs, opt, crit, Options::default())
}

/// Like [`fit`], with options. `n_epochs` is the total of this call, its part of `options.resume` included. The
/// validation loss is the mean squared error, whatever `crit` is, so that all fits compare.
///
/// # Errors
/// If the loss is no longer a number (the message names the rate, and what to try), or a callback or libtorch fails. The
/// history is then lost, and the model partway through an epoch: drop it.
pub fn fit_with(
    model: &dyn ModuleT,
    data: &ColumnarModelData,
    n_epochs: usize,
    opt: &mut Optimizer,
    crit: Criterion,
    options: Options,
) -> Result<History> {
    let Options { schedule, mut callbacks, stepper, resume: mut state } = options;
    let mut stepper = stepper(model, opt, crit)?;
    let n_batches = data.n_batches();
    'fit: for epoch in state.done()..n_epochs {
        let started = Instant::now();
        let mut losses = Losses::new(data.trn.y.device(), n_batches);
        let mut debias_loss = f64::NAN;
        stepper.reset(true)?;
        for (batch, (x, y)) in data.trn.shuffled().batches(data.bs).enumerate() {
            if let Some(lr) = schedule.rate(epoch * n_batches + batch, n_batches) {
                stepper.opt().set_lrs(lr);
            }
            let lr = stepper.opt().lr();
            let loss = stepper.step(&x, &y)?; // (), still on the device
            for (batch, lr, loss) in losses.push(batch, lr, loss)? {
                debias_loss = state.mean.update(loss);
                state.history.running.push(debias_loss);
                state.history.rates.push(lr);
                let done = Batch { epoch, n_epochs, batch, n_batches, lr, loss, debias_loss };
                if callbacks.on_batch_end(&done)?.is_break() {
                    state.history.stopped = true;
                    break 'fit;
                }
                ensure!(
                    loss.is_finite(),
                    "the loss became {loss} in epoch {epoch} at batch {batch} of {n_batches}, at a learning rate of \
                     {lr:?}: {DIVERGENCE_ADVICE}"
                );
            }
        }
        stepper.reset(false)?;
        let (val, val_by_rows) = validate(model, &data.val, VAL_BATCH)?;
        let lr = stepper.opt().lr();
        ensure!(
            val.is_finite(),
            "the validation loss became {val} at a learning rate of {lr:?}: {DIVERGENCE_ADVICE}"
        );
        let vals = Epoch { epoch, trn: debias_loss, val, val_by_rows };
        state.history.epochs.push(Epoch { epoch: state.earlier + epoch, ..vals });
        state.history.epoch_seconds.push(started.elapsed().as_secs_f64());
        if callbacks.on_epoch_end(&vals, &state, stepper.opt())?.is_break() {
            state.history.stopped = true;
            break;
        }
    }
    stepper.reset(false)?; // a callback may have stopped the fit within an epoch
    Ok(History { device: Some(stepper.opt().device()), ..state.history })
}

/// Advice for a loss that diverges.
pub const DIVERGENCE_ADVICE: &str =
    "try a lower learning rate, or a lower weight decay or a narrower initialization if those were raised";

/// Rows of a validation batch: fastai's had twice the rows of a training batch, which were 64. Ours never change.
pub const VAL_BATCH: usize = 128;

/// Mean squared error over `rows`: first the mean of the means of batches of `bs` rows, then the mean over all rows.
pub fn validate(model: &dyn ModuleT, rows: &Columns, bs: usize) -> Result<(f64, f64)> {
    let preds = predict(model, rows)?;
    let y = Vec::<f32>::try_from(&rows.y)?;
    let squares: Vec<f64> = preds.iter().zip(&y).map(|(p, y)| f64::from(p - y).powi(2)).collect();
    let batch_means: Vec<f64> = squares.chunks(bs).map(mean).collect();
    Ok((mean(&batch_means), mean(&squares)))
}

/// A model's predictions in stars, one per row.
pub fn predict(model: &dyn ModuleT, rows: &Columns) -> Result<Vec<f32>> {
    let mut preds = Vec::with_capacity(rows.len() as usize);
    for (x, _) in rows.batches(ROWS_PER_PASS) {
        let y = tch::no_grad(|| model.forward_t(&x, false)); // (rows,)
        preds.extend(Vec::<f32>::try_from(y)?);
    }
    Ok(preds)
}
