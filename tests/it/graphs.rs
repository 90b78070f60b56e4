//! The fast stepper on a card. Without one, these tests say that they were skipped.

use lecture5::fast;
use lecture5::fit::{MakeStepper, Options, by_libtorch, fit_with, mse_loss};
use lecture5::learner::Learner;
use lecture5::libtorch::{device, graph};
use lecture5::optim;
use lecture5::ratings::ColumnarModelData;
use lecture5::settings::{ModelKind, Settings};
use tch::nn::{Embedding, Module, ModuleT, VarStore, embedding};
use tch::{Device, Kind, Tensor};

use crate::common::alone;
use crate::steppers::{losses_agree_with_any_rule_and_schedule, ratings};

/// The card, or none with the reason.
fn card() -> Option<Device> {
    let why = match device::why_no_cuda() {
        None if graph::has_graphs() => return Some(Device::Cuda(0)),
        None => "this program was built without CUDA's headers".to_owned(),
        Some(why) => why,
    };
    println!("skipped: {why}");
    None
}

/// The weights after a fit on a card.
fn fitted(settings: &Settings, card: Device) -> Vec<Vec<f32>> {
    let (cf, split) = ratings();
    let mut learner = Learner::new(&cf, &split, settings, card).unwrap();
    let history = learner.fit_plan(Options { stepper: fast::compile, ..Options::default() }).unwrap();
    assert_eq!(history.device, Some(card));
    let weights = learner.opt.parameters().into_iter();
    weights.map(|(_, w)| Vec::try_from(w.reshape([-1])).unwrap()).collect()
}

#[test]
fn a_replayed_step_has_libtorchs_losses_with_any_rule_schedule_and_a_shorter_last_batch() {
    if let Some(card) = card() {
        losses_agree_with_any_rule_and_schedule(card, 1e-4);
    }
}

#[test]
fn replayed_dropout_is_drawn_anew_for_each_batch_and_follows_from_the_seed() {
    let Some(card) = card() else { return };
    let _alone = alone();
    let settings = |p| Settings { dropout: (p, p), ..Settings::lecture(ModelKind::Net) };
    let [none, some, again, other] = [(0.0, 0), (0.3, 0), (0.3, 0), (0.3, 1)]
        .map(|(p, seed)| fitted(&Settings { seed, ..settings(p) }, card));
    assert!(some == again);
    assert!(some != none && some != other);
    // One mask for all batches would leave the same loss for the same batch and a rate of almost nothing.
    let (cf, split) = ratings();
    let one_batch = Settings { batch_size: 1000, plan: "1e-30x9".parse().unwrap(), ..settings(0.3) };
    let mut learner = Learner::new(&cf, &split, &one_batch, card).unwrap();
    let history = learner.fit_plan(Options { stepper: fast::compile, ..Options::default() }).unwrap();
    let mut running = history.running.clone();
    running.dedup();
    assert_eq!(running.len(), 9, "{running:?}");
}

/// Looks at a number in the batch, which a recorded step cannot.
#[derive(Debug)]
struct Curious {
    table: Embedding,
}

impl ModuleT for Curious {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Tensor {
        let first = x.int64_value(&[0, 0]) as f64;
        self.table.forward(&x.select(1, 0)).sum_dim_intlist(1, false, Kind::Float) + first * 0.01
    }
}

#[test]
fn a_model_that_reads_numbers_from_the_card_is_trained_by_libtorch() {
    let Some(card) = card() else { return };
    let _alone = alone();
    let (cf, split) = ratings();
    let data = ColumnarModelData::new(&cf, &split, 7, card).unwrap();
    let ends = [by_libtorch as MakeStepper, fast::compile].map(|stepper| {
        tch::manual_seed(0);
        let mut vs = VarStore::new(Device::Cpu);
        let model = Curious { table: embedding(vs.root() / "table", 40, 4, Default::default()) };
        vs.set_device(card);
        let mut opt = optim::sgd(&vs, 0.01);
        let options = Options { stepper, ..Options::default() };
        fit_with(&model, &data, 2, &mut opt, mse_loss, options).unwrap().epochs[1].val
    });
    assert!((ends[0] / ends[1] - 1.0).abs() < 1e-5, "{ends:?}");
}
