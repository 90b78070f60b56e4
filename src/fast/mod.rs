//! The fast stepper: trains the lecture's models several times faster than libtorch's own operations do, with the same
//! losses to five digits. Like `torch.compile`, it is turned on by one line:
//!
//! ```ignore
//! let history = fit_with(&model, &data, 3, &mut opt, mse_loss, Options { stepper: fast::compile, ..Options::default() })?;
//! ```
//!
//! Two things are done differently.
//!
//! - **Rows move when they are read** (`table.rs`). A batch of 64 ratings reads at most 128 rows of the embeddings, yet
//!   momentum and decay move every row at every step. Here a row catches up with the steps it sat out when a batch reads
//!   it, and all rows catch up before anything else reads the model.
//! - **A batch is replayed** (`replay.rs`). For a small batch, libtorch spends most of the time on arranging its
//!   operations. The operations of the first batch are recorded. If this module knows all of them, each batch replays
//!   them on plain numbers, forward and backward.
//!
//! It must not be used for a model whose operations depend on the numbers in a batch, or to test libtorch, whose
//! kernels hardly run. A model with an operation that is not known here, such as `tanh`, is trained by libtorch as if
//! the fast stepper had not been requested, and a note says so. On a card libtorch's kernels compute, started
//! together as one CUDA graph for each step (`graph.rs`).

mod adam;
mod graph;
mod notes;
mod reader;
mod replay;
mod sgd;
mod table;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Device, Kind, Tensor};

use crate::fit::{Criterion, MakeStepper, Step, by_libtorch};
use crate::libtorch::graph::has_graphs;
use crate::libtorch::memory::indices;
use crate::libtorch::record::record;
use crate::libtorch::{rng_state, set_rng_state};
use crate::optim::{BETAS, EPS, Optimizer, Rule, Slot};
use adam::Adam;
use graph::GraphStepper;
use notes::say_once;
use replay::{Gradient, Replay, Weights};
use sgd::Sgd;
use table::{ByRow, MOST_STEPS_BEHIND, ParamTable, Row};

/// Which stepper computes: `--fast`, and `"stepper"` in metrics.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepperKind {
    /// libtorch computes every batch.
    #[default]
    Libtorch,
    /// [`compile`]
    Fast,
}

impl StepperKind {
    /// The function that makes it for a fit.
    pub fn make(self) -> MakeStepper {
        match self {
            StepperKind::Libtorch => by_libtorch,
            StepperKind::Fast => compile,
        }
    }

    /// As in metrics.json.
    pub fn name(self) -> &'static str {
        match self {
            StepperKind::Libtorch => "libtorch",
            StepperKind::Fast => "fast",
        }
    }
}

/// The fast stepper: give it to a fit as [`Options::stepper`](crate::fit::Options::stepper).
///
/// # Errors
/// The model is on a card, and this program was built without CUDA's headers.
pub fn compile<'a>(
    model: &'a dyn ModuleT,
    opt: &'a mut Optimizer,
    crit: Criterion,
) -> Result<Box<dyn Step + 'a>> {
    let mut devices = opt.slots.iter().map(|slot| slot.param.device());
    if let Some(card) = devices.find(|device| *device != Device::Cpu) {
        check_device(card)?;
        return Ok(Box::new(GraphStepper::new(model, opt, crit)));
    }
    if let Some(why) = unsupported(opt) {
        say_once(&why);
        return by_libtorch(model, opt, crit);
    }
    Ok(Box::new(FastStepper { model, opt, crit, plan: Plan::Unknown, ids: Vec::new() }))
}

/// Checks that the fast stepper can train there.
///
/// # Errors
/// It is a card, and this program was built without CUDA's headers.
pub fn check_device(device: Device) -> Result<()> {
    ensure!(
        device == Device::Cpu || has_graphs(),
        "on a card the fast stepper needs CUDA graphs, and this program was built without CUDA's headers; leave out --fast, \
         or take --device cpu"
    );
    Ok(())
}

/// Why the parameters of an optimizer cannot be moved here.
fn unsupported(opt: &Optimizer) -> Option<String> {
    let plain = |slot: &Slot| slot.param.kind() == Kind::Float && slot.param.is_contiguous();
    (!opt.slots.iter().all(plain)).then(|| "some parameter is not contiguous float32".to_owned())
}

/// A stepper that replays batches, once it has seen one.
struct FastStepper<'a> {
    model: &'a dyn ModuleT,
    opt: &'a mut Optimizer,
    crit: Criterion,
    plan: Plan,
    /// The ids of the batch, column by column.
    ids: Vec<i64>,
}

/// How the batches are computed.
enum Plan {
    /// No batch has been recorded yet.
    Unknown,
    /// By libtorch: some operation is not known here.
    Libtorch,
    /// By replaying.
    Replay(Replayer),
}

/// A recorded batch, and the parameters as it trains them.
struct Replayer {
    replay: Replay,
    /// The optimizer's rule, once for each weight decay.
    rules: Vec<Box<dyn ByRow>>,
    /// Which of them moves each parameter.
    rule_of: Vec<usize>,
    /// The parameters that are looked up by row. They are here between `reset(true)` and `reset(false)`.
    tables: Vec<ParamTable>,
}

impl Step for FastStepper<'_> {
    fn reset(&mut self, train: bool) -> Result<()> {
        if let Plan::Replay(replayer) = &mut self.plan {
            replayer.settle(&mut self.opt.slots);
            if train {
                replayer.start(&self.opt.slots);
            }
        }
        Ok(())
    }

    fn step(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        if let Plan::Unknown = self.plan {
            let loss = self.record(x, y)?;
            if let Plan::Libtorch = self.plan {
                return self.step_by_libtorch(loss);
            }
        }
        indices(x, &mut self.ids);
        let lr = self.opt.lr();
        if let Plan::Replay(replayer) = &mut self.plan
            && let Some(loss) = replayer.step(&self.ids, y, lr, &mut self.opt.slots)
        {
            return Ok(Tensor::from(loss));
        }
        // A batch unlike the recorded one: libtorch computes it, or says what is wrong with it.
        self.reset(false)?;
        let loss = (self.crit)(&self.model.forward_t(x, true), y);
        let loss = self.step_by_libtorch(loss);
        self.reset(true)?;
        loss
    }

    fn opt(&mut self) -> &mut Optimizer {
        self.opt
    }
}

impl FastStepper<'_> {
    /// Computes the loss of the first batch by libtorch, and makes the plan from the recorded operations.
    fn record(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let params: Vec<&Tensor> = self.opt.slots.iter().map(|slot| &slot.param).collect();
        let known: Vec<&Tensor> = [x, y].into_iter().chain(params.iter().copied()).collect();
        let before = rng_state(Device::Cpu)?;
        let (loss, calls) = record(&known, || (self.crit)(&self.model.forward_t(x, true), y))?;
        let after = rng_state(Device::Cpu)?;
        // The batch is computed again below, and again by the first step: dropout is to draw the same numbers each time.
        set_rng_state(Device::Cpu, &before)?;
        let sizes: Vec<Vec<i64>> = params.iter().map(|param| param.size()).collect();
        let agreeing = Replay::new(&calls, &sizes).and_then(|mut replay| {
            indices(x, &mut self.ids);
            // SAFETY: contiguous float32 on the CPU, which nothing changes meanwhile.
            let weights: Vec<Weights> = params.iter().map(|param| unsafe { Weights::of(param) }).collect();
            let replayed = replay.run(&self.ids, y, &weights);
            let libtorchs = f32::try_from(&loss).unwrap_or(f32::NAN);
            match replayed {
                Some(replayed) if (replayed - libtorchs).abs() <= 1e-3 * libtorchs.abs() => Ok(replay),
                _ => Err("the replayed loss is not the one that libtorch computes".to_owned()),
            }
        });
        set_rng_state(Device::Cpu, if agreeing.is_ok() { &before } else { &after })?;
        self.plan = match agreeing {
            Ok(replay) => {
                let (rules, rule_of) = self.rules();
                let mut replayer = Replayer { replay, rules, rule_of, tables: Vec::new() };
                replayer.start(&self.opt.slots);
                Plan::Replay(replayer)
            }
            Err(why) => {
                say_once(&why);
                Plan::Libtorch
            }
        };
        Ok(loss)
    }

    /// The optimizer's rule for each weight decay, from the optimizer's current state, and which of them is each
    /// parameter's.
    fn rules(&self) -> (Vec<Box<dyn ByRow>>, Vec<usize>) {
        let slots = &self.opt.slots;
        let taken = slots.first().map_or(0, |slot| slot.step.double_value(&[]) as u64);
        let mut decays: Vec<f64> = Vec::new();
        let rule_of = |slot: &Slot| {
            decays.iter().position(|decay| *decay == slot.weight_decay).unwrap_or_else(|| {
                decays.push(slot.weight_decay);
                decays.len() - 1
            })
        };
        let rule_of = slots.iter().map(rule_of).collect();
        let rule = |&weight_decay: &f64| {
            let mut rule: Box<dyn ByRow> = match self.opt.rule {
                Rule::Sgd { momentum } => Box::new(Sgd::new(momentum, weight_decay)),
                rule => Box::new(Adam::new(BETAS, EPS, weight_decay, rule == Rule::AdamW)),
            };
            rule.start(taken);
            rule
        };
        (decays.iter().map(rule).collect(), rule_of)
    }

    fn step_by_libtorch(&mut self, loss: Tensor) -> Result<Tensor> {
        self.opt.zero_grad();
        loss.backward();
        self.opt.step()?;
        Ok(loss.detach())
    }
}

impl Replayer {
    /// Copies the tables out of the parameters.
    fn start(&mut self, slots: &[Slot]) {
        let alike = slots.iter().zip(&self.rule_of).map(|(slot, rule)| (slot.param.size()[0], rule));
        for (column, group) in self.replay.tables(alike) {
            // SAFETY: no other reference to these numbers is alive.
            let mut params: Vec<Row> = group.iter().map(|&slot| unsafe { whole(&slots[slot]) }).collect();
            let n_rows = slots[group[0]].param.size()[0] as usize;
            self.tables.push(ParamTable::new(group, column, n_rows, &mut params, self.taken()));
        }
    }

    /// Steps since all rows were last up to date.
    fn taken(&self) -> u32 {
        self.rules.first().map_or(0, |rule| rule.taken())
    }

    /// Brings every row up to date and gives the tables back to the parameters.
    fn settle(&mut self, slots: &mut [Slot]) {
        for mut table in self.tables.drain(..) {
            // SAFETY: no other reference to these numbers is alive.
            let mut params: Vec<Row> =
                table.slots.iter().map(|&slot| unsafe { whole(&slots[slot]) }).collect();
            self.rules[self.rule_of[table.slots[0]]].settle(&mut table, &mut params);
        }
        for (slot, rule) in slots.iter_mut().zip(&self.rule_of) {
            let _ = slot.step.fill_(self.rules[*rule].in_all() as f64);
        }
        self.rules.iter_mut().for_each(|rule| rule.start(rule.in_all()));
    }

    /// Trains on one batch, and returns the loss before the step. `ids` are the columns of the batch one after another.
    /// `None` if the batch is not like the recorded one.
    fn step(&mut self, ids: &[i64], y: &Tensor, lr: f64, slots: &mut [Slot]) -> Option<f32> {
        if self.taken() >= MOST_STEPS_BEHIND {
            self.settle(slots);
            self.start(slots);
        }
        for table in &mut self.tables {
            let ids = table.ids(ids);
            self.rules[self.rule_of[table.slots[0]]].reads(table, ids);
        }
        let loss = self.replay.run(ids, y, &weights(&self.tables, slots))?;
        self.rules.iter_mut().for_each(|rule| rule.take(lr));
        for (at, slot) in slots.iter().enumerate() {
            if let Gradient::Dense(grad) = self.replay.gradient(at) {
                // SAFETY: no other reference to these numbers is alive.
                self.rules[self.rule_of[at]].step(unsafe { whole(slot) }, grad);
            }
        }
        for table in &mut self.tables {
            let values = table.slots.iter().filter_map(|&slot| match self.replay.gradient(slot) {
                Gradient::Rows(values) => Some(values),
                Gradient::Dense(_) => None,
            });
            let values: Vec<&[f32]> = values.collect();
            let ids = table.ids(ids);
            self.rules[self.rule_of[table.slots[0]]].step_rows(table, ids, &values);
        }
        Some(loss)
    }
}

/// Where the weights of each parameter are now.
fn weights<'a>(tables: &'a [ParamTable], slots: &'a [Slot]) -> Vec<Weights<'a>> {
    let of = |(at, slot): (usize, &'a Slot)| {
        // SAFETY: contiguous float32 on the CPU, which nothing changes while a batch is computed.
        tables.iter().find_map(|t| t.weights(at)).unwrap_or_else(|| unsafe { Weights::of(&slot.param) })
    };
    slots.iter().enumerate().map(of).collect()
}

/// A parameter with its buffers.
///
/// # Safety
/// As [`Row::of`].
unsafe fn whole(slot: &Slot) -> Row<'_> {
    // SAFETY: promised by the caller.
    unsafe { Row::of(&slot.param, &slot.buffers) }
}
