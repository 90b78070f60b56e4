//! `optim.SGD`, `optim.Adam` and AdamW, whose state can be saved and restored (tch's own optimisers cannot).
//!
//! Lecture: "Setup a optimizer", "Set the learning rate", "Let's explore the learning rate".
//!
//! A batch of 64 ratings reads at most 128 rows of the embedding tables, yet momentum and decay move every
//! row at every step. By default a row makes up for the steps it sat out when it is next read, and the
//! batch's operations are replayed without libtorch ([`Update::Lazy`]), with the same result; see
//! docs/performance.md.

mod adam;
mod replay;
mod sgd;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::libtorch::memory::{Gradient, forget_gradients, gradient, indices};
use crate::libtorch::record::record;
use crate::libtorch::{AdamStep, fused_adam, fused_sgd};
use crate::models::named_parameters;
use adam::Adam;
use replay::{Replay, Weights};
use sgd::Sgd;
use table::{ByRow, MOST_STEPS_BEHIND, Row, Table};

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

/// When the rows of an embedding table are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Update {
    /// A row is moved when a batch reads it, and then by all the steps that it sat out. On the CPU and in
    /// float32; elsewhere it is [`Update::Dense`].
    #[default]
    Lazy,
    /// Every row is moved at every step, by libtorch's fused kernels.
    Dense,
}

static DENSE: AtomicBool = AtomicBool::new(false);

/// What [`Optimizer::new`] takes from here on, in the whole process (as `tch::set_num_threads` is).
pub fn set_update(update: Update) {
    DENSE.store(update == Update::Dense, Ordering::Relaxed);
}

/// What [`set_update`] said last.
pub fn update() -> Update {
    if DENSE.load(Ordering::Relaxed) { Update::Dense } else { Update::Lazy }
}

/// A parameter with what the optimiser remembers of it.
#[derive(Debug)]
struct Slot {
    name: String,
    param: Tensor,
    /// SGD: the momentum buffer. Adam: the averages of the gradient and of its square. Each as the parameter.
    buffers: Vec<Tensor>,
    /// Adam: steps taken, (), float32, where libtorch's fused kernels want it.
    step: Tensor,
    weight_decay: f64,
}

impl Slot {
    /// The parameter with its buffers.
    ///
    /// # Safety
    /// As [`Row::of`].
    unsafe fn whole(&self) -> Row<'_> {
        // SAFETY: promised by the caller.
        unsafe { Row::of(&self.param, &self.buffers) }
    }
}

fn no_gradient(name: &str) -> String {
    format!("'{name}' has no gradient: the loss does not depend on it")
}

/// An optimiser over all parameters of a model.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    lr: f64,
    slots: Vec<Slot>,
    /// The steps that rows may be behind by; `None` where every step moves everything.
    steps: Option<Box<dyn ByRow>>,
    /// The parameters with sparse gradients, since all rows were settled.
    tables: Vec<Table>,
    /// For each parameter the column of a batch that looks it up, where that is known.
    columns: Vec<Option<usize>>,
    /// Whether the rows that the coming gradients belong to were announced by [`Optimizer::reads`].
    announced: bool,
    /// The announced batch, column by column.
    ids: Vec<i64>,
    /// How the loss of a batch is computed.
    forward: Forward,
    /// The loss of a replayed batch that no step has used yet.
    replayed: Option<Tensor>,
}

/// How [`Optimizer::loss`] computes.
#[derive(Debug)]
enum Forward {
    /// By libtorch, recording which operations that takes.
    Unrecorded,
    /// By libtorch: some operation cannot be replayed.
    Eager,
    /// By libtorch, and tables are looked up by more than the batch's columns: every row must be up to date.
    Everywhere,
    /// By replaying.
    Replayed(Replay),
}

impl Optimizer {
    /// An optimiser for the parameters in `vs`, on their device.
    pub fn new(vs: &VarStore, rule: Rule, lr: f64, weight_decay: f64) -> Optimizer {
        Optimizer::with_update(vs, rule, lr, weight_decay, update())
    }

    /// The same with its own answer to when rows are moved, whatever [`set_update`] said.
    pub fn with_update(vs: &VarStore, rule: Rule, lr: f64, weight_decay: f64, update: Update) -> Optimizer {
        let buffers = match rule {
            Rule::Sgd { .. } => 1,
            Rule::Adam | Rule::AdamW => 2,
        };
        let slots = named_parameters(vs).into_iter().map(|(name, param)| Slot {
            buffers: (0..buffers).map(|_| param.detach().zeros_like()).collect(),
            step: Tensor::zeros([], (Kind::Float, param.device())),
            name,
            param,
            weight_decay,
        });
        let slots: Vec<Slot> = slots.collect();
        let in_memory = |s: &Slot| s.param.device() == Device::Cpu && s.param.kind() == Kind::Float;
        let by_row = update == Update::Lazy && slots.iter().all(|s| in_memory(s) && s.param.is_contiguous());
        let steps = by_row.then(|| -> Box<dyn ByRow> {
            match rule {
                Rule::Sgd { momentum } => Box::new(Sgd::new(momentum, weight_decay)),
                Rule::Adam | Rule::AdamW => {
                    Box::new(Adam::new(BETAS, EPS, weight_decay, rule == Rule::AdamW))
                }
            }
        });
        Optimizer {
            rule,
            lr,
            slots,
            steps,
            tables: Vec::new(),
            columns: Vec::new(),
            announced: false,
            ids: Vec::new(),
            forward: Forward::Unrecorded,
            replayed: None,
        }
    }

    /// The learning rate in force.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// The lecture's `set_lrs(opt, lr)`: the same optimiser goes on, momentum included.
    pub fn set_lrs(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// Another weight decay for one layer, such as `u` or `lin1`: for its weight and its bias. From then on every
    /// step moves every row, as with [`Update::Dense`].
    ///
    /// # Errors
    /// There is no such layer.
    pub fn set_decay(&mut self, layer: &str, weight_decay: f64) -> Result<()> {
        let of_layer = |slot: &&mut Slot| slot.name.split('.').next() == Some(layer);
        ensure!(self.slots.iter_mut().any(|slot| of_layer(&slot)), "the model has no layer '{layer}'");
        self.settle();
        self.steps = None;
        self.slots.iter_mut().filter(of_layer).for_each(|slot| slot.weight_decay = weight_decay);
        Ok(())
    }

    /// Announces that the next forward pass looks up `x`, and brings every row that `x` names up to date.
    ///
    /// Until [`Optimizer::settle`] the optimiser moves rows in memory of its own: the model's tables have these rows
    /// as they are now, and others as they were. Who never calls this has all rows up to date after each step.
    pub fn reads(&mut self, x: &Tensor) {
        self.bring(x);
        self.show();
    }

    /// Brings the rows that `x` names up to date.
    fn bring(&mut self, x: &Tensor) {
        let Some(steps) = &self.steps else { return };
        let by_column = x.device() == Device::Cpu && x.kind() == Kind::Int64 && x.dim() == 2;
        if !by_column || matches!(self.forward, Forward::Everywhere) {
            return self.catch_up();
        }
        if steps.taken() >= MOST_STEPS_BEHIND {
            self.catch_up();
        }
        self.announced = true;
        let Some(steps) = &self.steps else { return };
        indices(x, &mut self.ids);
        for table in &mut self.tables {
            let ids = table.ids(&self.ids);
            steps.reads(table, ids);
        }
    }

    /// Gives the parameters the rows of the batch, for libtorch to read them.
    fn show(&mut self) {
        for table in &mut self.tables {
            let ids = table.ids(&self.ids);
            // SAFETY: no other reference to these numbers is alive.
            let mut params = unsafe { wholes(&self.slots, &table.slots) };
            ids.iter().for_each(|&id| table.put_back(id as usize, &mut params));
        }
    }

    /// The loss of a batch: `forward(x, y)`, for which the rows that `x` names are brought up to date first.
    ///
    /// Where it can, it computes the same without libtorch: the operations of the first batch are recorded,
    /// and replayed for those that follow until [`Optimizer::settle`]. One [`Optimizer::step`] follows each loss.
    pub fn loss(&mut self, x: &Tensor, y: &Tensor, forward: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        if self.steps.is_none() {
            return forward(x, y);
        }
        self.bring(x);
        self.replayed = None;
        if let Forward::Replayed(replay) = &mut self.forward
            && let Some(loss) = replay.run(&self.ids, y, &weights(&self.slots, &self.tables))
        {
            let loss = Tensor::from(loss).set_requires_grad(true);
            self.replayed = Some(loss.shallow_clone());
            return loss;
        }
        self.show();
        if !matches!(self.forward, Forward::Unrecorded) {
            return forward(x, y);
        }
        let params: Vec<&Tensor> = self.slots.iter().map(|s| &s.param).collect();
        let known: Vec<&Tensor> = [x, y].into_iter().chain(params.iter().copied()).collect();
        let Ok((loss, calls)) = record(&known, || forward(x, y)) else { return forward(x, y) };
        let columns = replay::columns(&calls, params.len());
        let sizes: Vec<Vec<i64>> = params.iter().map(|p| p.size()).collect();
        let weights = weights(&self.slots, &self.tables);
        let replay = Replay::new(&calls, &sizes)
            .and_then(|mut replay| replay.agrees(&loss, &self.ids, y, &weights).then_some(replay));
        self.forward = match replay {
            Some(replay) => Forward::Replayed(replay),
            None if columns.is_some() => Forward::Eager,
            None => Forward::Everywhere,
        };
        self.columns = columns.unwrap_or_default();
        loss
    }

    /// Whether [`Optimizer::loss`] has found that the batch's operations can be replayed.
    pub fn replays(&self) -> bool {
        matches!(self.forward, Forward::Replayed(_))
    }

    /// Brings every row up to date: before anyone looks at the weights.
    pub fn settle(&mut self) {
        self.catch_up();
        self.begin();
    }

    /// The next batch is recorded anew, and its tables are copied anew.
    fn begin(&mut self) {
        self.tables.clear();
        self.columns.clear();
        self.forward = Forward::Unrecorded;
    }

    fn catch_up(&mut self) {
        let Some(steps) = &mut self.steps else { return };
        for table in &mut self.tables {
            // SAFETY: no other reference to these numbers is alive.
            let mut params = unsafe { wholes(&self.slots, &table.slots) };
            steps.settle(table, &mut params);
        }
        for slot in &mut self.slots {
            let _ = slot.step.fill_(steps.in_all() as f64);
        }
        steps.start(steps.in_all());
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&mut self) {
        forget_gradients(self.slots.iter().map(|slot| &slot.param));
    }

    /// Moves the parameters by the gradients that `backward` left.
    ///
    /// # Errors
    /// A parameter without a gradient, rows that were read behind the back of [`Optimizer::reads`], or
    /// libtorch refuses the step.
    pub fn step(&mut self) -> Result<()> {
        let Some(steps) = &mut self.steps else { return self.dense_step() };
        let replay = match (&mut self.forward, self.replayed.take()) {
            (Forward::Replayed(replay), Some(loss)) => {
                let factor = loss.grad();
                ensure!(factor.defined(), "no gradient: loss.backward() comes before step()");
                // Several passes, or a loss that was multiplied.
                let factor = factor.double_value(&[]) as f32;
                if factor != 1.0 {
                    replay.scale(factor);
                }
                Some(&*replay)
            }
            _ => None,
        };
        steps.take(self.lr);
        let mut sparse = Vec::with_capacity(self.slots.len());
        for (at, slot) in self.slots.iter().enumerate() {
            let name = &slot.name;
            let grad = match replay {
                Some(replay) => Some(replay.gradient(at, &self.ids)),
                // SAFETY: no gradient is touched before the end of the step.
                None => unsafe { gradient(&slot.param) }.with_context(|| format!("'{name}'"))?,
            };
            match grad.with_context(|| no_gradient(name))? {
                Gradient::Rows { ids, values } => sparse.push(Sparse { slot: at, ids, values }),
                Gradient::Dense(grad) => {
                    let known = self.tables.iter().any(|table| table.has(at));
                    ensure!(!known, "'{name}' had sparse gradients before, and has a dense one now");
                    // SAFETY: no other reference to these numbers is alive.
                    steps.step(unsafe { slot.whole() }, grad);
                }
            }
        }
        let new = new_tables(&sparse, &self.tables, &self.slots, &self.columns, steps.taken() - 1);
        self.tables.extend(new);
        for table in &mut self.tables {
            let of_slot = |slot: &usize| sparse.iter().find(|grad| grad.slot == *slot);
            let grads: Vec<&Sparse> = table.slots.iter().filter_map(of_slot).collect();
            let name = |grad: &Sparse| &self.slots[grad.slot].name;
            let first = grads[0];
            for grad in &grads {
                ensure!(grad.ids == first.ids, "'{}' and '{}' read different rows", name(first), name(grad));
            }
            let values: Vec<&[f32]> = grads.iter().map(|grad| grad.values).collect();
            steps.step_rows(table, first.ids, &values).with_context(|| format!("'{}'", name(first)))?;
        }
        if !std::mem::take(&mut self.announced) {
            self.catch_up();
        }
        Ok(())
    }

    /// One step of libtorch's fused kernels over everything: one call, unless layers differ in their decay.
    fn dense_step(&self) -> Result<()> {
        let mut groups = self.slots.chunk_by(|a, b| a.weight_decay == b.weight_decay);
        groups.try_for_each(|slots| self.dense_step_of(slots, slots[0].weight_decay))
    }

    fn dense_step_of(&self, slots: &[Slot], weight_decay: f64) -> Result<()> {
        let grads = slots.iter().map(|slot| {
            let grad = slot.param.grad();
            ensure!(grad.defined(), no_gradient(&slot.name));
            Ok(if grad.is_sparse() { grad.to_dense(None, false) } else { grad })
        });
        let grads: Vec<Tensor> = grads.collect::<Result<_>>()?;
        let grads: Vec<&Tensor> = grads.iter().collect();
        let params: Vec<&Tensor> = slots.iter().map(|s| &s.param).collect();
        let buffer = |i: usize| slots.iter().map(|s| &s.buffers[i]).collect::<Vec<_>>();
        match self.rule {
            // A momentum buffer of zeros makes the first step the one that PyTorch makes without a buffer.
            Rule::Sgd { momentum } => fused_sgd(&params, &grads, &buffer(0), self.lr, momentum, weight_decay),
            Rule::Adam | Rule::AdamW => {
                let steps: Vec<&Tensor> = slots.iter().map(|s| &s.step).collect();
                let with = AdamStep {
                    lr: self.lr,
                    beta1: BETAS.0,
                    beta2: BETAS.1,
                    eps: EPS,
                    weight_decay,
                    decoupled: self.rule == Rule::AdamW,
                };
                fused_adam(&params, &grads, &buffer(0), &buffer(1), &steps, with)
            }
        }
    }

    /// What the optimiser remembers, by name: `lr`, the rate in force ((), float64), and for each parameter
    /// `u.weight.momentum`, or `u.weight.exp_avg`, `u.weight.exp_avg_sq` and `u.weight.step`. All but the rate
    /// are the optimiser's own tensors, not copies.
    ///
    /// After steps with [`Optimizer::reads`], [`Optimizer::settle`] comes first.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        assert!(
            self.steps.as_ref().is_none_or(|s| s.taken() == 0),
            "rows are behind: call settle() before state()"
        );
        self.remembered()
    }

    fn remembered(&self) -> Vec<(String, Tensor)> {
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

    /// Puts a saved [`Optimizer::state`] back. The weights that go with it are in place already: no row is
    /// behind afterwards.
    ///
    /// # Errors
    /// A tensor is missing or has another shape: the state belongs to another optimiser or model.
    pub fn load_state(&mut self, saved: &[(String, Tensor)]) -> Result<()> {
        for (name, mut mine) in self.remembered() {
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
        if let Some(steps) = &mut self.steps {
            steps.start(self.slots.first().map_or(0, |slot| slot.step.double_value(&[]) as u64));
        }
        self.announced = false;
        self.begin();
        Ok(())
    }
}

/// The gradient of a table.
#[derive(Debug)]
struct Sparse<'a> {
    slot: usize,
    ids: &'a [i64],
    values: &'a [f32],
}

/// Tables of the parameters that have their first sparse gradient, after `seen` steps: one for those that the same
/// column looks up.
fn new_tables(
    sparse: &[Sparse],
    tables: &[Table],
    slots: &[Slot],
    columns: &[Option<usize>],
    seen: u32,
) -> Vec<Table> {
    let column = |slot: usize| columns.get(slot).copied().flatten();
    let n_rows = |slot: usize| slots[slot].param.size()[0];
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for slot in
        sparse.iter().map(|grad| grad.slot).filter(|&slot| !tables.iter().any(|table| table.has(slot)))
    {
        let read_by = |slot: usize| Some((column(slot)?, n_rows(slot)));
        let mate = |others: &&mut Vec<usize>| read_by(slot).is_some() && read_by(slot) == read_by(others[0]);
        match groups.iter_mut().find(mate) {
            Some(others) => others.push(slot),
            None => groups.push(vec![slot]),
        }
    }
    let table = |group: Vec<usize>| {
        // SAFETY: no other reference to these numbers is alive.
        let mut params = unsafe { wholes(slots, &group) };
        let (column, n_rows) = (column(group[0]), n_rows(group[0]) as usize);
        Table::new(group, column, n_rows, &mut params, seen)
    };
    groups.into_iter().map(table).collect()
}

/// These parameters with their buffers.
///
/// # Safety
/// As [`Row::of`].
unsafe fn wholes<'a>(slots: &'a [Slot], which: &[usize]) -> Vec<Row<'a>> {
    // SAFETY: promised by the caller; the parameters are different ones.
    which.iter().map(|&slot| unsafe { slots[slot].whole() }).collect()
}

/// Where the weights of each parameter are.
fn weights<'a>(slots: &'a [Slot], tables: &'a [Table]) -> Vec<Weights<'a>> {
    let of = |(at, slot): (usize, &'a Slot)| {
        // SAFETY: contiguous float32 in the CPU's memory, which nobody changes meanwhile.
        tables
            .iter()
            .find_map(|table| table.weights(at))
            .unwrap_or_else(|| unsafe { Weights::of(&slot.param) })
    };
    slots.iter().enumerate().map(of).collect()
}
