//! The fast stepper on a card: a whole step, forward, backward and the optimizer's, as one CUDA graph. The same kernels of
//! libtorch compute; only starting them one by one is saved, which takes longer than what they do for a small batch.

use anyhow::Result;
use tch::nn::ModuleT;
use tch::{Kind, Tensor};

use super::notes::say_once;
use crate::fit::{Criterion, Step};
use crate::libtorch::graph::Graph;
use crate::optim::Optimizer;

/// A stepper that replays a step, once it has recorded one.
pub(super) struct GraphStepper<'a> {
    model: &'a dyn ModuleT,
    opt: &'a mut Optimizer,
    crit: Criterion,
    /// The learning rate on the card, (), float32, and as it was set.
    rate: (Tensor, f64),
    plan: Plan,
}

/// How the batches are computed.
enum Plan {
    /// No step has been recorded yet.
    Unknown,
    /// One by one: the step cannot be recorded.
    Libtorch,
    /// By replaying.
    Replay(Recorded),
}

/// A recorded step and the tensors that it reads and writes.
struct Recorded {
    graph: Graph,
    /// The batch: x (bs, 2) and y (bs,).
    x: Tensor,
    y: Tensor,
    /// Its loss before the step, ().
    loss: Tensor,
}

impl<'a> GraphStepper<'a> {
    pub(super) fn new(model: &'a dyn ModuleT, opt: &'a mut Optimizer, crit: Criterion) -> Self {
        let rate = (Tensor::full([], opt.lr(), (Kind::Float, opt.device())), opt.lr());
        GraphStepper { model, opt, crit, rate, plan: Plan::Unknown }
    }

    /// A step by libtorch's own operations. The rate is read from the card, so that a recorded step reads the next one.
    fn by_libtorch(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let loss = (self.crit)(&self.model.forward_t(x, true), y); // ()
        self.opt.zero_grad();
        loss.backward();
        self.opt.step_at(&self.rate.0)?;
        Ok(loss.detach())
    }

    /// Takes the first step, and records another of the same size.
    fn record(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let graph = Graph::begin(self.opt.device())?;
        let first = self.by_libtorch(x, y)?;
        let (x, y) = (x.copy(), y.copy());
        self.plan = match graph.record(|| self.by_libtorch(&x, &y)) {
            Ok(loss) => Plan::Replay(Recorded { graph, x, y, loss }),
            Err(why) => {
                say_once(&format!("the model's step cannot be recorded on a card ({why})"));
                Plan::Libtorch
            }
        };
        Ok(first)
    }
}

impl Step for GraphStepper<'_> {
    fn reset(&mut self, _train: bool) -> Result<()> {
        Ok(()) // the parameters are moved in place
    }

    fn step(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        if self.rate.1 != self.opt.lr() {
            self.rate.1 = self.opt.lr();
            let _ = self.rate.0.fill_(self.rate.1);
        }
        match &mut self.plan {
            Plan::Unknown => self.record(x, y),
            Plan::Replay(recorded) if recorded.y.size() == y.size() => {
                recorded.x.copy_(x);
                recorded.y.copy_(y);
                recorded.graph.replay()?;
                Ok(recorded.loss.copy())
            }
            // The last batch of an epoch may be shorter.
            Plan::Replay(_) | Plan::Libtorch => self.by_libtorch(x, y),
        }
    }

    fn opt(&mut self) -> &mut Optimizer {
        self.opt
    }
}
