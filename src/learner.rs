//! The fastai-like front: a model, its data and its optimiser in one hand.
//!
//! Lecture: `learn = cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam)`, `learn.fit`,
//! `learn.predict`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::nn::{ModuleT, VarStore};
use tch::{Device, Kind, Tensor};

use crate::files::write_whole;
use crate::fit::{Event, History, fit, mse_loss, predict};
use crate::libtorch;
use crate::models::{
    EmbeddingDot, EmbeddingDotBias, EmbeddingNet, Embeddings, NetShape, Range, named_parameters,
};
use crate::movielens::{CollabFilterDataset, Split};
use crate::optim::Optimizer;
use crate::optim::schedule::Schedule;
use crate::ratings::ColumnarModelData;
use crate::settings::{ModelKind, Plan, Settings};

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
    pub fn new(cf: &CollabFilterDataset, split: &Split, settings: &Settings, device: Device) -> Result<Learner> {
        let data = ColumnarModelData::new(cf, split, settings.batch_size, device)?;
        tch::manual_seed(settings.seed);
        let mut vs = VarStore::new(Device::Cpu);
        let model = build(&vs, cf, settings)?;
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
        match self.plan.clone() {
            Plan::Cosine(cosine) => self.fit(cosine.epochs(), &Schedule::Cosine(cosine), report),
            Plan::Steps(steps) => {
                let mut history = History::default();
                for (lr, epochs) in steps {
                    self.opt.set_lrs(lr);
                    history.extend(self.fit(epochs, &Schedule::Constant, report)?);
                }
                Ok(history)
            }
        }
    }

    /// One `fit` call.
    pub fn fit(&mut self, epochs: usize, schedule: &Schedule, report: &mut dyn FnMut(Event)) -> Result<History> {
        fit(&*self.model, &self.data, epochs, &mut self.opt, mse_loss, schedule, report)
    }

    /// The lecture's `learn.predict()`: stars for the validation rows, in file order.
    pub fn predict(&self) -> Result<Vec<f32>> {
        predict(&*self.model, &self.data.val)
    }

    /// Saves the weights, the optimiser's state and the random generators' states (safetensors), so that
    /// training goes on from the file exactly as it would have gone on without it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = named_parameters(&self.vs);
        tensors.extend(self.opt.state().into_iter().map(|(name, t)| (format!("optimizer.{name}"), t)));
        for (name, device) in self.generators() {
            tensors.push((name, libtorch::rng_state(device)?));
        }
        let tensors: Vec<(String, Vec<u8>, Vec<usize>, Dtype)> =
            tensors.into_iter().map(|(name, t)| Ok((name, bytes(&t)?, shape(&t), dtype(&t)?))).collect::<Result<_>>()?;
        let views: Vec<(&str, TensorView)> = tensors
            .iter()
            .map(|(name, bytes, shape, dtype)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<_>>()?;
        write_whole(path, &safetensors::serialize(views, None)?)
    }

    /// Puts a state of [`Learner::save`] back into a learner made with the same settings.
    ///
    /// # Errors
    /// The file is no safetensors file, or belongs to another model or optimiser. The learner may then hold
    /// part of it: drop it.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let file = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{}: not a whole safetensors file", path.display()))?;
        let saved: HashMap<String, Tensor> =
            file.tensors().into_iter().map(|(name, view)| Ok((name, tensor(&view)?))).collect::<Result<_>>()?;
        let mut put = || -> Result<()> {
            for (name, mut mine) in named_parameters(&self.vs) {
                let theirs = saved.get(&name).with_context(|| format!("it has no '{name}': another model"))?;
                ensure!(
                    theirs.size() == mine.size(),
                    "its '{name}' has shape {:?}, this model's {:?}",
                    theirs.size(),
                    mine.size()
                );
                tch::no_grad(|| mine.copy_(theirs));
            }
            let state: Vec<(String, Tensor)> = saved
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix("optimizer.")?.to_owned(), t.shallow_clone())))
                .collect();
            self.opt.load_state(&state)?;
            for (name, device) in self.generators() {
                let state = saved.get(&name).with_context(|| format!("it has no '{name}'"))?;
                libtorch::set_rng_state(device, state)?;
            }
            Ok(())
        };
        put().with_context(|| format!("{}: does not fit", path.display()))
    }

    /// The generators that training draws from: the CPU's, and on CUDA the device's (for dropout).
    fn generators(&self) -> Vec<(String, Device)> {
        let mut generators = vec![("rng.cpu".to_owned(), Device::Cpu)];
        if let Device::Cuda(index) = self.vs.device() {
            generators.push(("rng.cuda".to_owned(), Device::Cuda(index)));
        }
        generators
    }
}

/// Draws the model of `settings`, sized for the data.
fn build(vs: &VarStore, cf: &CollabFilterDataset, settings: &Settings) -> Result<Box<dyn ModuleT>> {
    let (min, max) = cf.range();
    let range = Range { min, max };
    let e = Embeddings {
        n_users: cf.users.len(),
        n_movies: cf.items.len(),
        n_factors: settings.n_factors,
        init: settings.init,
    };
    let vs = &vs.root();
    if settings.model != ModelKind::Net {
        let (u, m) = settings.n_factors;
        ensure!(u == m, "a dot product needs vectors of one length, not {u} and {m} (the net takes both)");
    }
    Ok(match settings.model {
        ModelKind::Dot => Box::new(EmbeddingDot::new(vs, &e)),
        ModelKind::Bias | ModelKind::Learner => Box::new(EmbeddingDotBias::new(vs, &e, range)),
        ModelKind::Net => {
            let shape = NetShape { hidden: settings.hidden.clone(), dropout: settings.dropout };
            Box::new(EmbeddingNet::new(vs, &e, &shape, range))
        }
    })
}

fn shape(t: &Tensor) -> Vec<usize> {
    t.size().iter().map(|&n| n as usize).collect()
}

fn dtype(t: &Tensor) -> Result<Dtype> {
    match t.kind() {
        Kind::Float => Ok(Dtype::F32),
        Kind::Uint8 => Ok(Dtype::U8),
        kind => bail!("no {kind:?} tensor is saved"),
    }
}

fn bytes(t: &Tensor) -> Result<Vec<u8>> {
    let t = t.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
    t.f_copy_data_u8(&mut bytes, t.numel())?;
    Ok(bytes)
}

fn tensor(view: &TensorView) -> Result<Tensor> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::U8 => Kind::Uint8,
        other => bail!("a tensor of type {other:?}, which this program does not save"),
    };
    let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    Ok(Tensor::f_from_data_size(view.data(), &size, kind)?)
}
