//! `optim.SGD`, `optim.Adam` and AdamW: a thin layer over libtorch's fused steps, whose state can be saved
//! and restored (tch's own optimisers cannot), and the schedules of the learning rate.
//!
//! Lecture: "Setup a optimizer", "Set the learning rate", "Let's explore the learning rate".

pub mod schedule;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::libtorch::{AdamStep, fused_adam, fused_sgd};
use crate::models::named_parameters;

/// The rule by which a step changes the weights, with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// `optim.SGD(params, lr, weight_decay=wd, momentum=momentum)`: momentum without dampening, decay added
    /// to the gradient.
    Sgd {
        /// Share of the last step that is kept.
        momentum: f64,
    },
    /// `optim.Adam(params, lr, weight_decay=wd)`: decay added to the gradient (L2), as in the lecture.
    Adam,
    /// `optim.AdamW`: decay outside the moving averages (Loshchilov and Hutter, "Decoupled weight decay
    /// regularization").
    AdamW,
}

/// PyTorch's own constants of Adam.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// A parameter with what the optimiser remembers of it.
#[derive(Debug)]
struct Slot {
    name: String,
    param: Tensor,
    /// SGD: the momentum buffer. Adam: the averages of the gradient and of its square. Each as the parameter.
    buffers: Vec<Tensor>,
    /// Steps taken: (), float32, where libtorch's fused kernels want it.
    step: Tensor,
}

/// An optimiser over all parameters of a model.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    lr: f64,
    weight_decay: f64,
    slots: Vec<Slot>,
}

impl Optimizer {
    /// An optimiser for the parameters in `vs`, on their device.
    pub fn new(vs: &VarStore, rule: Rule, lr: f64, weight_decay: f64) -> Optimizer {
        let buffers = match rule {
            Rule::Sgd { .. } => 1,
            Rule::Adam | Rule::AdamW => 2,
        };
        let slots = named_parameters(vs).into_iter().map(|(name, param)| Slot {
            buffers: (0..buffers).map(|_| param.detach().zeros_like()).collect(),
            step: Tensor::zeros([], (Kind::Float, param.device())),
            name,
            param,
        });
        Optimizer { rule, lr, weight_decay, slots: slots.collect() }
    }

    /// The learning rate in force.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The lecture's `set_lrs(opt, lr)`: the same optimiser goes on, momentum included.
    pub fn set_lrs(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.param.zero_grad();
        }
    }

    /// Moves every parameter by the gradients that `backward` left.
    ///
    /// # Errors
    /// libtorch refuses the step.
    pub fn step(&mut self) -> Result<()> {
        let slots = &self.slots;
        let grads: Vec<Tensor> = slots.iter().map(|s| s.param.grad()).collect();
        let grads: Vec<&Tensor> = grads.iter().collect();
        let params: Vec<&Tensor> = slots.iter().map(|s| &s.param).collect();
        let buffer = |i: usize| slots.iter().map(|s| &s.buffers[i]).collect::<Vec<_>>();
        match self.rule {
            // A momentum buffer of zeros makes the first step the one that PyTorch makes without a buffer.
            Rule::Sgd { momentum } => {
                fused_sgd(&params, &grads, &buffer(0), self.lr, momentum, self.weight_decay)
            }
            Rule::Adam | Rule::AdamW => {
                let steps: Vec<&Tensor> = slots.iter().map(|s| &s.step).collect();
                let with = AdamStep {
                    lr: self.lr,
                    beta1: BETAS.0,
                    beta2: BETAS.1,
                    eps: EPS,
                    weight_decay: self.weight_decay,
                    decoupled: self.rule == Rule::AdamW,
                };
                fused_adam(&params, &grads, &buffer(0), &buffer(1), &steps, with)
            }
        }
    }

    /// What the optimiser remembers, by name: `lr`, the rate in force ((), float64), and for each parameter
    /// `u.weight.momentum`, or `u.weight.exp_avg`, `u.weight.exp_avg_sq` and `u.weight.step`. All but the rate
    /// are the optimiser's own tensors, not copies.
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
    /// A tensor is missing or has another shape: the state belongs to another optimiser or model.
    pub fn load_state(&mut self, saved: &[(String, Tensor)]) -> Result<()> {
        for (name, mut mine) in self.state() {
            let found = saved.iter().find(|(n, _)| *n == name);
            let Some((_, theirs)) = found else {
                anyhow::bail!(
                    "the saved optimiser has no '{name}': it was another optimiser or another model"
                )
            };
            ensure!(
                theirs.size() == mine.size(),
                "the saved optimiser's '{name}' has shape {:?}, not {:?}: it belongs to another model",
                theirs.size(),
                mine.size()
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
