//! The lecture's `optim.SGD` and `optim.Adam`, and AdamW, over libtorch's own fused kernels. Unlike tch's optimizers they
//! can be saved and restored.
//!
//! Lecture: "Setup a optimizer", "Set the learning rate", "Let's explore the learning rate".

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::libtorch::{AdamStep, forget_gradients, fused_adam, fused_sgd};

/// The rule by which a step changes the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// `v ← momentum·v + (g + wd·p);  p ← p − lr·v`, with gradient g and weight decay wd.
    Sgd {
        /// The fraction of `v` that is carried over to the next step.
        momentum: f64,
    },
    /// Kingma and Ba 2015, with the decay added to the gradient (L2), as in the lecture.
    Adam,
    /// Adam with decoupled weight decay, outside the moving averages (Loshchilov and Hutter 2019).
    AdamW,
}

impl Rule {
    /// The rule for a reader, such as "SGD with momentum 0.9".
    pub fn in_words(self) -> String {
        match self {
            Rule::Sgd { momentum: 0.0 } => "SGD".to_owned(),
            Rule::Sgd { momentum } => format!("SGD with momentum {momentum}"),
            Rule::Adam => "Adam".to_owned(),
            Rule::AdamW => "AdamW".to_owned(),
        }
    }
}

/// PyTorch's default betas.
pub const BETAS: (f64, f64) = (0.9, 0.999);
/// Keeps Adam's division from zero; also PyTorch's default.
pub const EPS: f64 = 1e-8;

/// A parameter and its optimizer state.
#[derive(Debug)]
pub(crate) struct Slot {
    pub name: String,
    pub param: Tensor,
    /// SGD: the momentum buffer. Adam: the moving averages of the gradient and of its square. Each has the parameter's
    /// shape.
    pub buffers: Vec<Tensor>,
    /// Adam: steps taken, (), float32, as libtorch's fused kernels require it. SGD: only the fast stepper counts them.
    pub step: Tensor,
    pub weight_decay: f64,
}

/// An optimizer over all parameters of a model.
#[derive(Debug)]
pub struct Optimizer {
    pub(crate) rule: Rule,
    pub(crate) slots: Vec<Slot>,
    lr: f64,
}

/// `optim.SGD(model.parameters(), lr)`; chain `.weight_decay(wd)` and `.momentum(0.9)` where PyTorch takes arguments.
pub fn sgd(vs: &VarStore, lr: f64) -> Optimizer {
    Optimizer::new(vs, Rule::Sgd { momentum: 0.0 }, lr, 0.0)
}

/// `optim.Adam(model.parameters(), lr)`
pub fn adam(vs: &VarStore, lr: f64) -> Optimizer {
    Optimizer::new(vs, Rule::Adam, lr, 0.0)
}

/// `optim.AdamW(model.parameters(), lr)`, whose weight decay is 0.01 unless you set another.
pub fn adamw(vs: &VarStore, lr: f64) -> Optimizer {
    Optimizer::new(vs, Rule::AdamW, lr, 0.01)
}

/// The model's parameters by name (`u.weight`), sorted by name.
pub fn named_parameters(vs: &VarStore) -> Vec<(String, Tensor)> {
    let mut named: Vec<_> = vs.variables().into_iter().collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

impl Optimizer {
    /// An optimizer for the trainable parameters in `vs`, on their device: make it after `vs.set_device`.
    pub fn new(vs: &VarStore, rule: Rule, lr: f64, weight_decay: f64) -> Optimizer {
        let n_buffers = if let Rule::Sgd { .. } = rule { 1 } else { 2 };
        let trained = named_parameters(vs).into_iter().filter(|(_, param)| param.requires_grad());
        let slots = trained.map(|(name, param)| Slot {
            buffers: (0..n_buffers).map(|_| param.detach().zeros_like()).collect(),
            step: Tensor::zeros([], (Kind::Float, param.device())),
            name,
            param,
            weight_decay,
        });
        Optimizer { rule, lr, slots: slots.collect() }
    }

    /// Sets the momentum.
    ///
    /// # Panics
    /// The optimizer is not SGD.
    pub fn momentum(mut self, momentum: f64) -> Optimizer {
        assert!(matches!(self.rule, Rule::Sgd { .. }), "{:?} has no momentum", self.rule);
        self.rule = Rule::Sgd { momentum };
        self
    }

    /// Sets the weight decay of all parameters.
    pub fn weight_decay(mut self, weight_decay: f64) -> Optimizer {
        self.slots.iter_mut().for_each(|slot| slot.weight_decay = weight_decay);
        self
    }

    /// The parameters by name (`u.weight`), sorted by name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.param.shallow_clone())).collect()
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.slots.first().map_or(Device::Cpu, |slot| slot.param.device())
    }

    /// The current learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The lecture's `set_lrs(opt, lr)`: keeps the momentum. There are no parameter groups, so one rate is for all.
    pub fn set_lrs(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// A different weight decay for one layer, such as `u` or `lin1`: for its weight and its bias.
    ///
    /// # Errors
    /// There is no such layer.
    pub fn set_decay(&mut self, layer: &str, weight_decay: f64) -> Result<()> {
        let mut found = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.name.split('.').next() == Some(layer)) {
            slot.weight_decay = weight_decay;
            found = true;
        }
        ensure!(found, "the model has no layer '{layer}'");
        Ok(())
    }

    /// `opt.zero_grad()`: forgets the gradients of the last step.
    pub fn zero_grad(&mut self) {
        forget_gradients(self.slots.iter().map(|slot| &slot.param));
    }

    /// `opt.step()`: moves the parameters by the gradients that `backward` left.
    ///
    /// # Errors
    /// If a parameter has no gradient (PyTorch would skip it), or libtorch refuses the step.
    pub fn step(&mut self) -> Result<()> {
        self.step_at(&Tensor::from(self.lr))
    }

    /// [`Optimizer::step`] with the learning rate in a tensor, (): float64 on the CPU, or float32 on a card.
    pub(crate) fn step_at(&mut self, lr: &Tensor) -> Result<()> {
        if let Some(slot) = self.slots.iter().find(|slot| !slot.param.grad().defined()) {
            bail!("'{}' has no gradient: the loss does not depend on it", slot.name);
        }
        // One call for all parameters, unless layers differ in their decay.
        for slots in self.slots.chunk_by(|a, b| a.weight_decay == b.weight_decay) {
            let grads: Vec<Tensor> = slots.iter().map(|slot| slot.param.grad()).collect();
            let weight_decay = slots[0].weight_decay;
            let grads: Vec<&Tensor> = grads.iter().collect();
            let params: Vec<&Tensor> = slots.iter().map(|slot| &slot.param).collect();
            let buffer = |i: usize| slots.iter().map(|slot| &slot.buffers[i]).collect::<Vec<_>>();
            match self.rule {
                // PyTorch starts without a momentum buffer; a buffer of zeros makes the same first step.
                Rule::Sgd { momentum } => {
                    fused_sgd(&params, &grads, &buffer(0), lr, momentum, weight_decay)?;
                }
                Rule::Adam | Rule::AdamW => {
                    let steps: Vec<&Tensor> = slots.iter().map(|slot| &slot.step).collect();
                    let (beta1, beta2) = BETAS;
                    let decoupled = self.rule == Rule::AdamW;
                    let with = AdamStep { beta1, beta2, eps: EPS, weight_decay, decoupled };
                    fused_adam(&params, &grads, &buffer(0), &buffer(1), &steps, lr, with)?;
                }
            }
        }
        Ok(())
    }

    /// The optimizer's state by name: `lr`, the current learning rate (a float64 scalar), and for each parameter
    /// `u.weight.momentum`, or `u.weight.exp_avg`, `u.weight.exp_avg_sq` and `u.weight.step`. All but the rate are the
    /// optimizer's own tensors, not copies. The rule, its momentum and the weight decays are settings, not state.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let kinds: &[&str] = match self.rule {
            Rule::Sgd { .. } => &["momentum"],
            Rule::Adam | Rule::AdamW => &["exp_avg", "exp_avg_sq"],
        };
        let mut state = vec![("lr".to_owned(), Tensor::from(self.lr))];
        for slot in &self.slots {
            for (kind, buffer) in kinds.iter().zip(&slot.buffers) {
                state.push((format!("{}.{kind}", slot.name), buffer.shallow_clone()));
            }
            if !matches!(self.rule, Rule::Sgd { .. }) {
                state.push((format!("{}.step", slot.name), slot.step.shallow_clone()));
            }
        }
        state
    }

    /// Puts a saved [`Optimizer::state`] back.
    ///
    /// # Errors
    /// If a tensor is missing or has a different shape: the state belongs to a different optimizer or model. The optimizer
    /// may then be half loaded: drop it.
    pub fn load_state(&mut self, saved: &[(String, Tensor)]) -> Result<()> {
        for (name, mut mine) in self.state() {
            let Some((_, theirs)) = saved.iter().find(|(saved, _)| *saved == name) else {
                bail!("the saved optimizer has no '{name}': it was another optimizer or another model")
            };
            let (size, wanted) = (theirs.size(), mine.size());
            ensure!(
                size == wanted,
                "the saved optimizer's '{name}' has shape {size:?}, not {wanted:?}: it belongs to another model"
            );
            if name == "lr" {
                self.lr = theirs.double_value(&[]);
            } else {
                tch::no_grad(|| mine.copy_(theirs));
            }
        }
        Ok(())
    }
}
