//! What a fit reports: the running mean of its training loss, the losses of each epoch, and its state; and the
//! callbacks that receive them.

use std::fmt;
use std::ops::ControlFlow;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::optim::Optimizer;

/// The running mean of the loss that the progress bar shows: exponentially weighted, debiased.
///
/// Lecture: `avg_loss = avg_loss * avg_mom + loss * (1-avg_mom)`, divided by `1 - avg_mom**batch_num`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunningMean {
    /// The mean before it is debiased.
    pub avg_loss: f64,
    /// Number of losses averaged.
    pub batch_num: i32,
}

impl RunningMean {
    const AVG_MOM: f64 = 0.98;

    /// Adds the loss of one batch and returns the debiased mean so far.
    pub fn update(&mut self, loss: f64) -> f64 {
        self.batch_num += 1;
        self.avg_loss = self.avg_loss * Self::AVG_MOM + loss * (1.0 - Self::AVG_MOM);
        self.avg_loss / (1.0 - Self::AVG_MOM.powi(self.batch_num))
    }
}

/// The losses of one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 0: within the `fit` call in `on_epoch_end`, over all calls in a [`History`].
    pub epoch: usize,
    /// Debiased running mean of the training loss at the epoch's last batch.
    pub trn: f64,
    /// Mean squared error of the validation rows, whatever the training loss is, averaged as the lecture's fastai did: the
    /// mean of the means of batches of 128.
    pub val: f64,
    /// Validation loss with every row weighing the same, as later versions of fastai averaged it.
    pub val_by_rows: f64,
}

impl Epoch {
    /// The heads of the columns of epochs in a terminal.
    pub const HEADS: &str = "  epoch    trn      val";
}

impl fmt::Display for Epoch {
    /// As the lecture's `fit` printed it, a NumPy array of up to 5 decimals: `[ 0.       1.68932  1.64501]`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // NumPy drops the zeros at the end and aligns the decimal points.
        let numbers = [self.epoch as f64, self.trn, self.val]
            .map(|x| format!("{x:.5}").trim_end_matches('0').to_owned());
        let point = |text: &str| text.find('.').unwrap_or(text.len());
        let left = numbers.iter().map(|n| point(n)).max().unwrap_or(0);
        let right = numbers.iter().map(|n| n.len() - point(n)).max().unwrap_or(0);
        let aligned = numbers.each_ref().map(|n| {
            let (whole, decimals) = n.split_at(point(n));
            format!("{whole:>left$}{decimals:<right$}")
        });
        write!(f, "[ {}]", aligned.join("  "))
    }
}

/// The record of one or more `fit` calls of a model.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// One entry per epoch.
    pub epochs: Vec<Epoch>,
    /// The debiased running mean of the training loss after each batch.
    pub running: Vec<f64>,
    /// The learning rate of each batch.
    pub rates: Vec<f64>,
    /// Wall-clock time of each epoch, validation included.
    pub epoch_seconds: Vec<f64>,
    /// Where the parameters were after the last call.
    pub device: Option<Device>,
    /// Whether a callback stopped the last call. `running` and `rates` then include an unfinished epoch.
    pub stopped: bool,
}

impl History {
    /// Appends a later `fit` call of the same model; its epochs, numbered from 0, continue the count. The history of a call
    /// that was given a [`FitState`] has the earlier calls in it already.
    pub fn extend(&mut self, later: History) {
        let done = self.epochs.len();
        self.epochs.extend(later.epochs.into_iter().map(|e| Epoch { epoch: done + e.epoch, ..e }));
        self.running.extend(later.running);
        self.rates.extend(later.rates);
        self.epoch_seconds.extend(later.epoch_seconds);
        self.device = later.device.or(self.device);
        self.stopped = later.stopped;
    }

    /// Wall-clock time of all epochs.
    pub fn seconds(&self) -> f64 {
        self.epoch_seconds.iter().sum()
    }
}

/// How far a `fit` call has got. To continue it also takes the model, the optimizer and the states of the random
/// generators.
#[derive(Debug, Clone, Default)]
pub struct FitState {
    /// The running mean of the training loss, which starts over with each `fit` call.
    pub mean: RunningMean,
    /// The record so far.
    pub history: History,
    /// How many of its epochs belong to earlier `fit` calls: a fit numbers its own from there on.
    pub earlier: usize,
}

impl FitState {
    /// Epochs of this `fit` call that are done.
    pub fn done(&self) -> usize {
        self.history.epochs.len() - self.earlier
    }
}

/// Losses of batches that have not been read from the device yet. Reading one on CUDA waits for the device, so they are
/// read 50 at a time.
pub struct Losses {
    unread: Vec<(usize, f64, Tensor)>,
    at_a_time: usize,
    n_batches: usize,
}

impl Losses {
    /// An empty queue for an epoch of `n_batches` batches.
    pub fn new(device: Device, n_batches: usize) -> Losses {
        Losses { unread: Vec::new(), at_a_time: if device.is_cuda() { 50 } else { 1 }, n_batches }
    }

    /// Queues the loss of a batch, (), with its learning rate; returns batch, rate and loss of every batch that is now
    /// read.
    ///
    /// # Errors
    /// libtorch cannot read them.
    pub fn push(&mut self, batch: usize, lr: f64, loss: Tensor) -> Result<Vec<(usize, f64, f64)>> {
        self.unread.push((batch, lr, loss));
        if self.unread.len() < self.at_a_time && batch + 1 < self.n_batches {
            return Ok(Vec::new());
        }
        let losses: Vec<&Tensor> = self.unread.iter().map(|(_, _, loss)| loss).collect();
        let numbers = match losses[..] {
            [loss] => vec![f64::try_from(loss)?],
            _ => Vec::try_from(Tensor::stack(&losses, 0).to_kind(Kind::Double))?,
        };
        Ok(self.unread.drain(..).zip(numbers).map(|((batch, lr, _), loss)| (batch, lr, loss)).collect())
    }
}

/// A batch that was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// Its epoch, counted from 0 within the `fit` call.
    pub epoch: usize,
    /// Epochs of the `fit` call.
    pub n_epochs: usize,
    /// Its place in the epoch, counted from 0.
    pub batch: usize,
    /// Batches of an epoch.
    pub n_batches: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Its loss before the step.
    pub loss: f64,
    /// The debiased running mean of the losses up to this one: the progress bar's `loss`.
    pub debias_loss: f64,
}

/// Something that watches a fit and can stop it: the lecture's `callbacks`. After a `Break` the fit returns without an
/// error. Its epochs are the completed ones; the weights include the unfinished one, and on CUDA up to 49 batches more.
pub trait Callback {
    /// `stop = cb.on_batch_end(debias_loss)`, before the fit fails at a loss that is not a number. On CUDA the calls come
    /// late, a few dozen batches at a time. The weights are not to be read here: the fast stepper keeps them elsewhere.
    fn on_batch_end(&mut self, _: &Batch) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// `stop = cb.on_epoch_end(vals)`: the losses of the epoch, the state of the fit after it, and its optimizer.
    fn on_epoch_end(&mut self, _: &Epoch, _: &FitState, _: &Optimizer) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }
}

/// All of them are called, in order (the lecture's stop at the first `True`); any one of them can stop the fit.
impl Callback for Vec<Box<dyn Callback + '_>> {
    fn on_batch_end(&mut self, batch: &Batch) -> Result<ControlFlow<()>> {
        call_all(self, |callback| callback.on_batch_end(batch))
    }

    fn on_epoch_end(&mut self, epoch: &Epoch, state: &FitState, opt: &Optimizer) -> Result<ControlFlow<()>> {
        call_all(self, |callback| callback.on_epoch_end(epoch, state, opt))
    }
}

fn call_all<'a>(
    callbacks: &mut [Box<dyn Callback + 'a>],
    call: impl Fn(&mut (dyn Callback + 'a)) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let mut stop = ControlFlow::Continue(());
    for callback in callbacks {
        if call(&mut **callback)?.is_break() {
            stop = ControlFlow::Break(());
        }
    }
    Ok(stop)
}

/// A callback can be borrowed for one `fit` call and kept for the next.
impl<C: Callback + ?Sized> Callback for &mut C {
    fn on_batch_end(&mut self, batch: &Batch) -> Result<ControlFlow<()>> {
        (**self).on_batch_end(batch)
    }

    fn on_epoch_end(&mut self, epoch: &Epoch, state: &FitState, opt: &Optimizer) -> Result<ControlFlow<()>> {
        (**self).on_epoch_end(epoch, state, opt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_are_read_late_keep_the_batch_and_the_rate_that_they_belong_to() {
        let mut losses = Losses { unread: Vec::new(), at_a_time: 50, n_batches: 120 };
        let mut read = Vec::new();
        for batch in 0..120 {
            let loss = if batch == 70 { f32::INFINITY } else { batch as f32 };
            read.push(losses.push(batch, 0.5 * batch as f64, Tensor::from(loss)).unwrap());
        }
        let at_once: Vec<usize> = read.iter().map(Vec::len).filter(|n| *n > 0).collect();
        assert_eq!(at_once, [50, 50, 20]);
        // Batch 70 is read with batch 99, and is still the one whose rate was 35.
        let diverged: Vec<_> = read.into_iter().flatten().filter(|(_, _, loss)| loss.is_infinite()).collect();
        assert_eq!(diverged, [(70, 35.0, f64::INFINITY)]);
    }
}
