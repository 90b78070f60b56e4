//! An interface like fastai's: a model, its data and its optimizer together.
//!
//! Lecture: `learn = cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam)`, `learn.fit`, `learn.predict`.

use std::ops::ControlFlow;

use anyhow::Result;
use tch::Device;
use tch::nn::{ModuleT, VarStore};

use crate::fit::{Options, fit_with, mse_loss, predict};
use crate::history::{Batch, Callback, FitState, History, RunningMean};
use crate::models::{EmbeddingDot, EmbeddingDotBias, EmbeddingNet, EmbeddingSpec, RatingRange};
use crate::movielens::{CollabFilterDataset, Split};
use crate::optim::Optimizer;
use crate::ratings::ColumnarModelData;
use crate::schedule::Schedule;
use crate::settings::{ModelKind, Plan, Settings};

/// A model, its data and its optimizer.
pub struct Learner {
    /// Its parameters.
    pub vs: VarStore,
    /// The model.
    pub model: Box<dyn ModuleT>,
    /// What it is trained and validated on.
    pub data: ColumnarModelData,
    /// Its optimizer.
    pub opt: Optimizer,
    plan: Plan,
}

impl Learner {
    /// Seeds the generator and initializes the model of `settings` for the data, on the CPU; then moves it to `device` (the
    /// lecture's `.cuda()`), so that a seed gives the same weights on every device. The shuffles and dropout of a fit draw
    /// from the same generator afterward (dropout on CUDA from the card's, seeded alike).
    ///
    /// # Errors
    /// If the settings contradict each other, or there are too few ratings.
    pub fn new(
        cf: &CollabFilterDataset,
        split: &Split,
        settings: &Settings,
        device: Device,
    ) -> Result<Learner> {
        let data = ColumnarModelData::new(cf, split, settings.batch_size, device)?;
        tch::manual_seed(settings.seed);
        let mut vs = VarStore::new(Device::Cpu);
        let (min, max) = cf.range();
        let model = build(&vs, (cf.users.len(), cf.items.len()), RatingRange { min, max }, settings)?;
        vs.set_device(device);
        let opt = Optimizer::new(&vs, settings.rule, settings.plan.first_lr(), settings.wd);
        Ok(Learner { vs, model, data, opt, plan: settings.plan.clone() })
    }

    /// One call to `fit`, for `epochs` epochs; the schedule is one of the options.
    ///
    /// # Errors
    /// Same as [`fit_with`].
    pub fn fit(&mut self, epochs: usize, options: Options) -> Result<History> {
        fit_with(&*self.model, &self.data, epochs, &mut self.opt, mse_loss, options)
    }

    /// The `fit` calls of the settings' plan, one after another, or the remaining ones when `options.resume` is the state of
    /// an interrupted plan. The schedule is the plan's, not that of the options.
    ///
    /// # Errors
    /// Same as [`fit_with`].
    pub fn fit_plan(&mut self, mut options: Options) -> Result<History> {
        let mut state = std::mem::take(&mut options.resume);
        let mut before = 0;
        for (new_lr, schedule, epochs) in self.plan.calls() {
            let (done, end) = (state.history.epochs.len(), before + epochs);
            if done < end {
                // What is kept of a fit does not say which calls it consisted of.
                state.earlier = before;
                if done == before {
                    state.mean = RunningMean::default();
                    if let Some(lr) = new_lr {
                        self.opt.set_lrs(lr);
                    }
                }
                let (stepper, callbacks) = (options.stepper, reborrow(&mut options.callbacks));
                let history = self.fit(epochs, Options { schedule, callbacks, stepper, resume: state })?;
                if history.stopped {
                    return Ok(history);
                }
                state = FitState { history, ..FitState::default() };
            }
            before = end;
        }
        state.history.device = Some(self.opt.device()); // nothing may have been left to do
        Ok(state.history)
    }

    /// `learn.lr_find()`: trains for at most an epoch while the learning rate grows from batch to batch, and returns
    /// each rate with the running mean of the loss. Stops if that is not finite or exceeds four times its lowest value.
    /// Unlike fastai's it does not put the weights back: train a new model afterward. Of the options it takes the stepper and
    /// the callbacks.
    ///
    /// # Errors
    /// Same as [`fit_with`].
    pub fn lr_find(&mut self, (from, to): (f64, f64), mut options: Options) -> Result<Vec<(f64, f64)>> {
        let mut finder = LrFinder { lowest: f64::INFINITY, found: Vec::new() };
        let (stepper, mut callbacks) = (options.stepper, reborrow(&mut options.callbacks));
        callbacks.push(Box::new(&mut finder));
        let schedule = Schedule::Growth { from, to };
        self.fit(1, Options { schedule, callbacks, stepper, resume: FitState::default() })?;
        Ok(finder.found)
    }

    /// The lecture's `learn.predict()`: stars for the validation rows, in file order.
    pub fn predict(&self) -> Result<Vec<f32>> {
        predict(&*self.model, &self.data.val)
    }
}

/// The callbacks for one of several `fit` calls.
fn reborrow<'a>(callbacks: &'a mut [Box<dyn Callback + '_>]) -> Vec<Box<dyn Callback + 'a>> {
    callbacks.iter_mut().map(|callback| Box::new(&mut **callback) as Box<dyn Callback>).collect()
}

/// Collects what [`Learner::lr_find`] returns.
struct LrFinder {
    lowest: f64,
    found: Vec<(f64, f64)>,
}

impl Callback for LrFinder {
    fn on_batch_end(&mut self, batch: &Batch) -> Result<ControlFlow<()>> {
        self.lowest = self.lowest.min(batch.debias_loss);
        if !batch.debias_loss.is_finite() || batch.debias_loss > 4.0 * self.lowest {
            return Ok(ControlFlow::Break(()));
        }
        self.found.push((batch.lr, batch.debias_loss));
        // Stopping at the last batch skips validation.
        let last = batch.batch + 1 == batch.n_batches;
        Ok(if last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

/// Initializes the model that `settings` describes, for `n_users` users, `n_movies` movies and ratings within `range`.
///
/// # Errors
/// If the settings contradict each other.
pub fn build(
    vs: &VarStore,
    (n_users, n_movies): (i64, i64),
    range: RatingRange,
    settings: &Settings,
) -> Result<Box<dyn ModuleT>> {
    settings.check()?;
    let e = EmbeddingSpec { n_users, n_movies, n_factors: settings.n_factors, init: settings.init };
    let vs = &vs.root();
    Ok(match settings.model {
        ModelKind::Dot => Box::new(EmbeddingDot::new(vs, &e)),
        ModelKind::Bias | ModelKind::Learner => Box::new(EmbeddingDotBias::new(vs, &e, range)),
        ModelKind::Net => Box::new(EmbeddingNet::new(vs, &e, &settings.net_shape(), range)),
    })
}
