//! The fast stepper on a card. Without one, these tests say that they were skipped.

use lecture5::fast;
use lecture5::fit::{MakeStepper, Options, by_libtorch, fit_with, mse_loss};
use lecture5::history::History;
use lecture5::learner::Learner;
use lecture5::libtorch::{device, graph};
use lecture5::movielens::{CollabFilterDataset, Ids, Split};
use lecture5::optim::{self, Rule};
use lecture5::ratings::ColumnarModelData;
use lecture5::settings::{ModelKind, Plan, Settings};
use tch::nn::{Embedding, Module, ModuleT, VarStore, embedding};
use tch::{Device, Kind, Tensor};

use crate::common::alone;

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

/// 40 users and 30 movies, a third of the pairs rated.
fn ratings() -> (CollabFilterDataset, Split) {
    let pairs = (0..40).flat_map(|u| (0..30).map(move |m| (u, m)));
    let (user_idx, item_idx): (Vec<i64>, Vec<i64>) = pairs.filter(|(u, m)| (u * 7 + m * 11) % 3 == 0).unzip();
    let y = user_idx.iter().zip(&item_idx).map(|(u, m)| 0.5 + 0.5 * ((u * 3 + m * 5) % 10) as f32).collect();
    let (users, items) = (Ids::new(0..40), Ids::new(0..30));
    let cf = CollabFilterDataset { users, items, user_idx, item_idx, y, scale: None };
    let split = Split::new(cf.len(), &(0..cf.len()).step_by(5).collect::<Vec<_>>());
    (cf, split)
}

/// A fit, and its weights.
fn fitted(settings: &Settings, device: Device, stepper: MakeStepper) -> (History, Vec<Vec<f32>>) {
    let (cf, split) = ratings();
    let mut learner = Learner::new(&cf, &split, settings, device).unwrap();
    let history = learner.fit_plan(Options { stepper, ..Options::default() }).unwrap();
    let weights = learner.opt.parameters().into_iter();
    (history, weights.map(|(_, w)| Vec::try_from(w.reshape([-1])).unwrap()).collect())
}

#[test]
fn a_replayed_step_has_libtorchs_losses_with_any_rule_schedule_and_a_shorter_last_batch() {
    let Some(card) = card() else { return };
    let _alone = alone();
    for model in ModelKind::ALL {
        for rule in [Rule::Sgd { momentum: 0.9 }, Rule::Sgd { momentum: 0.0 }, Rule::Adam, Rule::AdamW] {
            for plan in ["0.02x2,0.01x1", "cosine:0.02,cycles=2,len=1,mult=2"] {
                let plan: Plan = plan.parse().unwrap();
                let settings = Settings { rule, plan, batch_size: 7, ..Settings::lecture(model) };
                let ((libtorch, _), (graph, _)) =
                    (fitted(&settings, card, by_libtorch), fitted(&settings, card, fast::compile));
                assert_eq!(graph.device, Some(card));
                for (ours, theirs) in graph.epochs.iter().zip(&libtorch.epochs) {
                    for (a, b) in [(ours.trn, theirs.trn), (ours.val, theirs.val)] {
                        assert!((a / b - 1.0).abs() < 1e-4, "{settings:?}: {ours}, one by one {theirs}");
                    }
                }
            }
        }
    }
}

#[test]
fn replayed_dropout_is_drawn_anew_for_each_batch_and_follows_from_the_seed() {
    let Some(card) = card() else { return };
    let _alone = alone();
    let settings = |p| Settings { dropout: (p, p), ..Settings::lecture(ModelKind::Net) };
    let [none, some, again, other] = [(0.0, 0), (0.3, 0), (0.3, 0), (0.3, 1)]
        .map(|(p, seed)| fitted(&Settings { seed, ..settings(p) }, card, fast::compile).1);
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
