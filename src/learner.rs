//! The fastai-like front: a model, its data and its optimiser in one hand.
//!
//! Lecture: `learn = cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam)`, `learn.fit`,
//! `learn.predict`.

use std::path::Path;

use anyhow::Result;
use tch::Device;
use tch::nn::{ModuleT, VarStore};

use crate::fit::{Course, Event, History, RunningMean, fit, fit_epoch, mse_loss, predict};
use crate::models::{EmbeddingDot, EmbeddingDotBias, EmbeddingNet, Embeddings, NetShape, Range};
use crate::movielens::{CollabFilterDataset, Split};
use crate::optim::Optimizer;
use crate::ratings::ColumnarModelData;
use crate::saved::model_file::{self, About};
use crate::schedule::Schedule;
use crate::settings::{ModelKind, Plan, Settings};
use crate::system::memory::Needed;

/// A model with everything that trains it.
pub struct Learner {
    /// Its parameters.
    pub vs: VarStore,
    /// The model.
    pub model: Box<dyn ModuleT>,
    /// What it is trained and validated on.
    pub data: ColumnarModelData,
    /// What changes its weights.
    pub opt: Optimizer,
    plan: Plan,
}

impl Learner {
    /// Seeds the generator and draws the model of `settings` for the data, on the CPU; then moves it to
    /// `device` (the lecture's `.cuda()`), so that a seed means the same start everywhere.
    ///
    /// # Errors
    /// Settings that do not go together, too few ratings, or a model that does not fit into memory.
    pub fn new(
        cf: &CollabFilterDataset,
        split: &Split,
        settings: &Settings,
        device: Device,
    ) -> Result<Learner> {
        settings.check()?;
        Needed::new(settings, (cf.users.len(), cf.items.len()), split.trn.len(), split.val.len())
            .check(device)?;
        let data = ColumnarModelData::new(cf, split, settings.batch_size, device)?;
        tch::manual_seed(settings.seed);
        let mut vs = VarStore::new(Device::Cpu);
        let (min, max) = cf.range();
        let model = build(&vs, (cf.users.len(), cf.items.len()), Range { min, max }, settings)?;
        vs.set_device(device);
        let lr = match &settings.plan {
            Plan::Steps(steps) => steps[0].0,
            Plan::Cosine(cosine) => cosine.lr,
        };
        let opt = Optimizer::new(&vs, settings.rule, lr, settings.wd);
        Ok(Learner { vs, model, data, opt, plan: settings.plan.clone() })
    }

    /// Trains through the whole plan of the settings.
    pub fn fit_plan(&mut self, report: &mut dyn FnMut(Event)) -> Result<History> {
        self.fit_plan_from(Course::default(), report, &mut |_, _| Ok(()))
    }

    /// Trains through what is left of the plan after `course`; hands itself and the course on after each epoch.
    pub fn fit_plan_from(
        &mut self,
        mut course: Course,
        report: &mut dyn FnMut(Event),
        each_epoch: &mut dyn FnMut(&Learner, &Course) -> Result<()>,
    ) -> Result<History> {
        let mut before = 0;
        for (set_lrs, schedule, epochs) in self.plan.calls() {
            let end = before + epochs;
            if course.done() < end {
                course.take_up(before, epochs);
                if let Some(lr) = set_lrs {
                    self.opt.set_lrs(lr);
                }
            }
            while course.done() < end {
                let Learner { model, data, opt, .. } = self;
                fit_epoch(&**model, data, opt, mse_loss, &schedule, &mut course, report)?;
                each_epoch(self, &course)?;
            }
            before = end;
        }
        Ok(course.history)
    }

    /// One `fit` call.
    pub fn fit(
        &mut self,
        epochs: usize,
        schedule: &Schedule,
        report: &mut dyn FnMut(Event),
    ) -> Result<History> {
        fit(&*self.model, &self.data, epochs, &mut self.opt, mse_loss, schedule, report)
    }

    /// fastai's `learn.lr_find()` (Smith 2015, "Cyclical learning rates"): trains for at most an epoch while the rate
    /// grows from batch to batch, each time by the same factor, from `from` to `to`. Each rate with the running
    /// mean of the loss; ends where that leaves the numbers or four times its lowest value. The model is spoilt
    /// by it: take a fresh one to train.
    pub fn lr_find(&mut self, (from, to): (f64, f64)) -> Result<Vec<(f64, f64)>> {
        let n_batches = self.data.n_batches();
        let growth = (to / from).powf(1.0 / (n_batches.max(2) - 1) as f64);
        let (mut mean, mut lowest, mut found) = (RunningMean::default(), f64::INFINITY, Vec::new());
        for (batch, (x, y)) in self.data.trn.shuffled().batches(self.data.bs).enumerate() {
            let lr = from * growth.powi(batch as i32);
            self.opt.set_lrs(lr);
            let loss = self.opt.loss(&x, &y, |x, y| mse_loss(&self.model.forward_t(x, true), y)); // ()
            self.opt.zero_grad();
            loss.backward();
            self.opt.step()?;
            let running = mean.update(loss.double_value(&[]));
            lowest = lowest.min(running);
            if !running.is_finite() || running > 4.0 * lowest {
                break;
            }
            found.push((lr, running));
        }
        self.opt.settle();
        Ok(found)
    }

    /// The lecture's `learn.predict()`: stars for the validation rows, in file order.
    pub fn predict(&self) -> Result<Vec<f32>> {
        predict(&*self.model, &self.data.val)
    }

    /// Saves everything that training goes on from: see [`model_file::save`].
    pub fn save(&self, path: &Path, about: &About) -> Result<()> {
        model_file::save(path, about, &self.vs, &self.opt)
    }

    /// Puts a state of [`Learner::save`] back into a learner made with the same settings.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        model_file::load(path, &self.vs, &mut self.opt)
    }
}

/// Draws the model of `settings` for so many users and movies, and ratings within `range`.
pub fn build(
    vs: &VarStore,
    (n_users, n_movies): (i64, i64),
    range: Range,
    settings: &Settings,
) -> Result<Box<dyn ModuleT>> {
    let e = Embeddings { n_users, n_movies, n_factors: settings.n_factors, init: settings.init };
    let vs = &vs.root();
    settings.check()?;
    Ok(match settings.model {
        ModelKind::Dot => Box::new(EmbeddingDot::new(vs, &e)),
        ModelKind::Bias | ModelKind::Learner => Box::new(EmbeddingDotBias::new(vs, &e, range)),
        ModelKind::Net => {
            let shape = NetShape { hidden: settings.hidden.clone(), dropout: settings.dropout };
            Box::new(EmbeddingNet::new(vs, &e, &shape, range))
        }
    })
}
