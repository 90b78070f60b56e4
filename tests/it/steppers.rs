//! Both steppers: libtorch computes every batch, and the fast one computes the same.

use std::cell::Cell;
use std::sync::MutexGuard;

use lecture5::fast;
use lecture5::fit::{Criterion, MakeStepper, Options, by_libtorch, fit, fit_with, mse_loss};
use lecture5::history::Epoch;
use lecture5::learner::Learner;
use lecture5::libtorch::rng_state;
use lecture5::models::{EmbeddingDotBias, EmbeddingNet, EmbeddingSpec, NetSpec, RatingRange};
use lecture5::movielens::{CollabFilterDataset, Ids, Split};
use lecture5::optim::{self, Optimizer, Rule, named_parameters};
use lecture5::ratings::ColumnarModelData;
use lecture5::settings::{ModelKind, Plan, Settings};
use tch::nn::{Embedding, EmbeddingConfig, Init, Module, ModuleT, VarStore, embedding};
use tch::{Device, Kind, Tensor};

fn alone() -> MutexGuard<'static, ()> {
    tch::set_num_threads(1); // a second thread would only wait for the other tests
    crate::common::alone()
}

const ROWS: (i64, i64) = (37, 101);
const STEPPERS: [MakeStepper; 2] = [by_libtorch, fast::compile];
const SGD: Rule = Rule::Sgd { momentum: 0.9 };

/// A model that counts how often its `forward_t` runs.
#[derive(Debug)]
struct Counted {
    model: Box<dyn ModuleT>,
    calls: Cell<usize>,
}

impl ModuleT for Counted {
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        self.calls.set(self.calls.get() + usize::from(train));
        self.model.forward_t(x, train)
    }
}

/// EmbeddingDotBias, or EmbeddingNet with some dropout, on small tables.
fn small(width: i64, dropout: Option<f64>) -> (VarStore, Counted) {
    tch::manual_seed(3);
    let vs = VarStore::new(Device::Cpu);
    let e = EmbeddingSpec { n_users: ROWS.0, n_movies: ROWS.1, n_factors: (width, width), init: (-0.5, 0.5) };
    let range = RatingRange { min: 0.5, max: 5.0 };
    let model: Box<dyn ModuleT> = match dropout {
        None => Box::new(EmbeddingDotBias::new(&vs.root(), &e, range)),
        Some(p) => {
            let shape = NetSpec { hidden: vec![7, 5], dropout: (p, p) };
            Box::new(EmbeddingNet::new(&vs.root(), &e, &shape, range))
        }
    };
    (vs, Counted { model, calls: Cell::new(0) })
}

/// Random batches: some rows often, some rarely, many never; the same row several times in a batch.
fn batches(n: usize, seed: u64) -> Vec<(Tensor, Tensor)> {
    let mut state = seed;
    let mut random = move |below: i64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) as i64) % below
    };
    let batch = |_| {
        let bs = 1 + random(9);
        let mut id = |rows: i64| if random(3) == 0 { random(rows / 2) } else { random(4) * 3 };
        let x: Vec<i64> = (0..bs).flat_map(|_| [id(ROWS.0), id(ROWS.1)]).collect();
        let y: Vec<f32> = x.chunks(2).map(|ids| (ids[0] - ids[1] % 5) as f32 / 10.0).collect();
        (Tensor::from_slice(&x).view([bs, 2]), Tensor::from_slice(&y))
    };
    (0..n).map(batch).collect()
}

/// Named tensors, flattened.
type Numbers = Vec<(String, Vec<f32>)>;

/// All weights and all that the optimizer remembers.
fn everything(opt: &Optimizer) -> Numbers {
    let all = opt.parameters().into_iter().chain(opt.state());
    all.map(|(name, t)| (name, Vec::try_from(t.reshape([-1])).unwrap())).collect()
}

fn worst(ours: &Numbers, theirs: &Numbers) -> f32 {
    assert!(ours.iter().map(|(name, _)| name).eq(theirs.iter().map(|(name, _)| name)));
    let pairs = ours.iter().zip(theirs).flat_map(|((_, a), (_, b))| a.iter().zip(b));
    pairs.map(|(a, b)| (a - b).abs() / (b.abs() + 1e-2)).fold(0.0, f32::max)
}

/// Takes a step for each of `batches`, and resets in both directions after every `resets`-th.
fn train(
    make: MakeStepper,
    model: &dyn ModuleT,
    opt: &mut Optimizer,
    crit: Criterion,
    batches: &[(Tensor, Tensor)],
    resets: usize,
) -> Vec<f64> {
    let mut stepper = make(model, opt, crit).unwrap();
    stepper.reset(true).unwrap();
    let mut losses = Vec::new();
    for (i, (x, y)) in batches.iter().enumerate() {
        losses.push(stepper.step(x, y).unwrap().double_value(&[]));
        if (i + 1) % resets == 0 {
            stepper.reset(false).unwrap();
            stepper.reset(true).unwrap();
        }
    }
    stepper.reset(false).unwrap();
    losses
}

/// The end of 60 batches by each stepper, and how often the model's `forward_t` ran.
fn both(dropout: Option<f64>, crit: Criterion) -> [(Numbers, usize); 2] {
    STEPPERS.map(|make| {
        let (vs, model) = small(6, dropout);
        let mut opt = optim::sgd(&vs, 0.05).weight_decay(0.01).momentum(0.9);
        train(make, &model, &mut opt, crit, &batches(60, 11), usize::MAX);
        (everything(&opt), model.calls.get())
    })
}

#[test]
fn by_default_forward_t_runs_once_for_each_batch_of_a_fit() {
    let _alone = alone();
    let (cf, split) = ratings();
    let data = ColumnarModelData::new(&cf, &split, 7, Device::Cpu).unwrap();
    let (vs, model) = small(6, None);
    let mut opt = optim::sgd(&vs, 0.05).momentum(0.9);
    fit(&model, &data, 3, &mut opt, mse_loss).unwrap();
    assert_eq!(model.calls.get(), 3 * data.n_batches());
}

#[test]
fn the_fast_stepper_calls_forward_t_once_for_a_whole_fit() {
    let _alone = alone();
    let (cf, split) = ratings();
    let data = ColumnarModelData::new(&cf, &split, 7, Device::Cpu).unwrap();
    let (vs, model) = small(6, None);
    let mut opt = optim::sgd(&vs, 0.05).momentum(0.9);
    let options = Options { stepper: fast::compile, ..Options::default() };
    fit_with(&model, &data, 3, &mut opt, mse_loss, options).unwrap();
    assert_eq!(model.calls.get(), 1);
}

#[test]
fn rows_that_catch_up_end_where_libtorch_moves_them_whatever_is_read_and_whenever_the_rate_changes() {
    let _alone = alone();
    let sgd = |momentum| Rule::Sgd { momentum };
    for rule in [sgd(0.9), sgd(0.0), Rule::Adam, Rule::AdamW] {
        for (case, (wd, width)) in [(0.0, 50), (0.01, 50), (0.01, 3), (0.2, 130)].into_iter().enumerate() {
            let ends = STEPPERS.map(|make| {
                let (vs, model) = small(width, None);
                let mut opt = Optimizer::new(&vs, rule, 0.004, wd);
                let start = everything(&opt);
                let mut stepper = make(&model, &mut opt, mse_loss).unwrap();
                stepper.reset(true).unwrap();
                for (i, (x, y)) in batches(300, case as u64).iter().enumerate() {
                    // A rate that changes at every step for a while, and then rarely.
                    if i < 100 || i % 50 == 0 {
                        stepper.opt().set_lrs(0.001 + 0.002 * (1.0 + (i as f64).cos()));
                    }
                    drop(stepper.step(x, y).unwrap());
                    if i % 70 == 69 {
                        stepper.reset(false).unwrap();
                        stepper.reset(true).unwrap();
                    }
                }
                stepper.reset(false).unwrap();
                drop(stepper);
                let mut end = everything(&opt);
                assert!(start != end, "nothing was trained");
                // Without momentum nothing reads the buffer, and libtorch's kernel leaves it alone.
                end.retain(|(name, _)| rule != sgd(0.0) || !name.ends_with("momentum"));
                end
            });
            let apart = worst(&ends[1], &ends[0]);
            assert!(apart < 1e-4, "{rule:?}, decay {wd}, width {width}: {apart}");
        }
    }
}

#[test]
fn adams_rows_come_out_the_same_to_the_bit_however_often_they_catch_up_and_on_any_threads() {
    let _alone = alone();
    for rule in [Rule::Adam, Rule::AdamW] {
        let ends = [(usize::MAX, 1), (1, 1), (7, 2), (usize::MAX, 3)].map(|(resets, threads)| {
            tch::set_num_threads(threads);
            let (vs, model) = small(50, None);
            let mut opt = Optimizer::new(&vs, rule, 0.004, 0.01);
            train(fast::compile, &model, &mut opt, mse_loss, &batches(100, 5), resets);
            everything(&opt)
        });
        tch::set_num_threads(1);
        assert!(ends.iter().all(|end| *end == ends[0]), "{rule:?}");
    }
}

#[test]
fn a_state_saved_and_restored_in_the_middle_continues_to_the_same_bytes() {
    let _alone = alone();
    let copies = |named: Vec<(String, Tensor)>| -> Vec<(String, Tensor)> {
        named.into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
    };
    for make in STEPPERS {
        for rule in [SGD, Rule::Adam, Rule::AdamW] {
            let (before, after) = (batches(60, 1), batches(60, 2));
            let (vs, model) = small(50, None);
            let mut unbroken = Optimizer::new(&vs, rule, 0.004, 0.01);
            train(make, &model, &mut unbroken, mse_loss, &before, usize::MAX);
            let (weights, state) = (copies(unbroken.parameters()), copies(unbroken.state()));

            // It has earlier state, none of which may remain.
            let (other_vs, other) = small(50, None);
            let mut restored = Optimizer::new(&other_vs, rule, 0.004, 0.01);
            train(make, &other, &mut restored, mse_loss, &batches(33, 9), usize::MAX);
            for ((_, mut mine), (_, theirs)) in restored.parameters().into_iter().zip(&weights) {
                tch::no_grad(|| mine.copy_(theirs));
            }
            restored.load_state(&state).unwrap();

            train(make, &model, &mut unbroken, mse_loss, &after, usize::MAX);
            train(make, &other, &mut restored, mse_loss, &after, usize::MAX);
            assert!(everything(&unbroken) == everything(&restored), "{rule:?}");
        }
    }
}

fn both_fits(
    cf: &CollabFilterDataset,
    split: &Split,
    settings: &Settings,
    device: Device,
) -> [Vec<Epoch>; 2] {
    STEPPERS.map(|stepper| {
        let mut learner = Learner::new(cf, split, settings, device).unwrap();
        learner.fit_plan(Options { stepper, ..Options::default() }).unwrap().epochs
    })
}

/// Each epoch's losses by the two steppers lie within this of each other, relative to libtorch's.
pub fn compare(model: ModelKind, [libtorch, fast]: [Vec<Epoch>; 2], within: f64) {
    assert_eq!(libtorch.len(), fast.len());
    for (a, b) in fast.iter().zip(&libtorch) {
        for (ours, theirs) in [(a.trn, b.trn), (a.val, b.val), (a.val_by_rows, b.val_by_rows)] {
            let apart = (ours / theirs - 1.0).abs();
            let name = model.name();
            assert!(
                apart < within,
                "{name}: {ours} in epoch {}, libtorch's {theirs}: {apart:.1e} apart",
                a.epoch
            );
        }
    }
}

/// 40 users × 30 movies, a third of the pairs rated.
pub fn ratings() -> (CollabFilterDataset, Split) {
    let pairs: Vec<[i64; 2]> = (0..ROWS.0)
        .flat_map(|u| (0..30).map(move |m| [u, m]))
        .filter(|[u, m]| (u * 7 + m * 11) % 3 == 0)
        .collect();
    let y = pairs.iter().map(|[u, m]| 0.5 + 0.5 * ((u * 3 + m * 5) % 10) as f32).collect();
    let (users, items) = (Ids::new(0..ROWS.0), Ids::new(0..30));
    let (user_idx, item_idx) = pairs.iter().map(|pair| (pair[0], pair[1])).unzip();
    let cf = CollabFilterDataset { users, items, user_idx, item_idx, y, scale: None };
    let split = Split::new(cf.len(), &(0..cf.len()).step_by(5).collect::<Vec<_>>());
    (cf, split)
}

/// Fits all models with all rules, constant and moving rates, and a shorter last batch.
pub fn losses_agree_with_any_rule_and_schedule(device: Device, within: f64) {
    let _alone = alone();
    let (cf, split) = ratings();
    for model in ModelKind::ALL {
        for rule in [SGD, Rule::Sgd { momentum: 0.0 }, Rule::Adam, Rule::AdamW] {
            for plan in ["0.02x2,0.01x1", "cosine:0.02,cycles=2,len=1,mult=2"] {
                let plan: Plan = plan.parse().unwrap();
                let settings = Settings { rule, plan, batch_size: 7, ..Settings::lecture(model) };
                compare(model, both_fits(&cf, &split, &settings, device), within);
            }
        }
    }
}

#[test]
fn both_steppers_give_the_same_losses_with_any_rule_and_schedule() {
    losses_agree_with_any_rule_and_schedule(Device::Cpu, 1e-3);
}

#[test]
fn models_of_known_operations_are_replayed_and_end_where_libtorch_does() {
    let _alone = alone();
    for dropout in [None, Some(0.0), Some(0.3), Some(1.0)] {
        let [(libtorch, _), (fast, forwards)] = both(dropout, mse_loss);
        assert_eq!(forwards, if dropout == Some(1.0) { 60 } else { 1 }, "dropout {dropout:?}");
        assert!(worst(&fast, &libtorch) < 1e-4, "dropout {dropout:?}");
    }
}

#[test]
fn replayed_dropout_leaves_the_generator_where_libtorchs_leaves_it() {
    let _alone = alone();
    let states = STEPPERS.map(|make| {
        let (vs, model) = small(6, Some(0.3));
        let mut opt = optim::adam(&vs, 0.01);
        train(make, &model, &mut opt, mse_loss, &batches(5, 7), usize::MAX);
        Vec::<u8>::try_from(rng_state(Device::Cpu).unwrap()).unwrap()
    });
    assert!(states[0] == states[1]);
}

#[test]
fn another_loss_is_computed_by_libtorch() {
    let _alone = alone();
    let [(libtorch, _), (fast, forwards)] = both(None, |preds, y| mse_loss(preds, y) * 1.5);
    let [(plain, _), _] = both(None, mse_loss);
    assert_eq!(forwards, 60);
    assert!(fast == libtorch && fast != plain);
}

#[test]
fn a_step_without_a_gradient_is_refused() {
    let _alone = alone();
    let (vs, _model) = small(6, None);
    let error = optim::sgd(&vs, 0.1).step().unwrap_err().to_string();
    assert!(error.contains("has no gradient"), "{error}");
}

/// A table that is looked up by ids that the test chooses, and optionally detached from the gradient.
#[derive(Debug)]
struct Odd {
    table: Embedding,
    next: bool,
    hidden: bool,
}

impl ModuleT for Odd {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Tensor {
        let ids = x.select(1, 0);
        let ids = if self.next { (ids + 1).remainder(ROWS.0) } else { ids };
        let rows = self.table.forward(&ids);
        let seen = if self.hidden { tch::no_grad(|| self.table.forward(&x.select(1, 0))) } else { rows };
        (seen * self.table.ws.mean(Kind::Float)).sum_dim_intlist(1, false, None)
    }
}

#[test]
fn a_table_read_in_a_way_that_the_batch_does_not_show_ends_where_libtorch_moves_it() {
    let _alone = alone();
    for (next, hidden) in [(true, false), (false, true), (true, true)] {
        let ends = STEPPERS.map(|make| {
            tch::manual_seed(5);
            let vs = VarStore::new(Device::Cpu);
            let config =
                EmbeddingConfig { ws_init: Init::Uniform { lo: -0.5, up: 0.5 }, ..Default::default() };
            let table = embedding(vs.root() / "table", ROWS.0, 4, config);
            let model = Counted { model: Box::new(Odd { table, next, hidden }), calls: Cell::new(0) };
            let mut opt = optim::adam(&vs, 0.01).weight_decay(0.01);
            train(make, &model, &mut opt, mse_loss, &batches(40, 3), usize::MAX);
            assert_eq!(model.calls.get(), 40, "libtorch trains it");
            everything(&opt)
        });
        assert!(ends[0] == ends[1], "next {next}, hidden {hidden}");
    }
}

#[test]
fn layers_of_unequal_decay_end_where_libtorch_moves_them() {
    let _alone = alone();
    for adam in [false, true] {
        let ends = STEPPERS.map(|make| {
            let (vs, model) = small(6, Some(0.0));
            let mut opt = if adam { optim::adam(&vs, 0.01) } else { optim::sgd(&vs, 0.05).momentum(0.9) };
            opt = opt.weight_decay(0.01);
            opt.set_decay("lin1", 0.5).unwrap();
            opt.set_decay("m", 0.2).unwrap();
            train(make, &model, &mut opt, mse_loss, &batches(60, 3), 13);
            (everything(&opt), model.calls.get())
        });
        assert_eq!(ends[1].1, 1);
        assert!(worst(&ends[1].0, &ends[0].0) < 1e-4, "{}", worst(&ends[1].0, &ends[0].0));
    }
}

#[test]
fn one_recording_serves_batches_of_any_size_and_both_steppers_give_the_same_losses() {
    let _alone = alone();
    let losses = STEPPERS.map(|make| {
        let (vs, model) = small(6, None);
        let mut opt = optim::adam(&vs, 0.01);
        train(make, &model, &mut opt, mse_loss, &batches(30, 4), 10)
    });
    for (ours, theirs) in losses[1].iter().zip(&losses[0]) {
        assert!((ours / theirs - 1.0).abs() < 1e-5, "{losses:?}");
    }
}

#[test]
fn the_optimizers_read_as_pytorchs_lines_and_are_the_settings_rules() {
    let _alone = alone();
    let (vs, _model) = small(6, None);
    let named = named_parameters(&vs).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(named, ["m.weight", "mb.weight", "u.weight", "ub.weight"]);
    for (opt, same) in [
        (optim::sgd(&vs, 0.1).weight_decay(1e-5).momentum(0.9), Optimizer::new(&vs, SGD, 0.1, 1e-5)),
        (optim::adam(&vs, 0.1), Optimizer::new(&vs, Rule::Adam, 0.1, 0.0)),
        (optim::adamw(&vs, 0.1), Optimizer::new(&vs, Rule::AdamW, 0.1, 0.01)),
    ] {
        assert_eq!(format!("{opt:?}"), format!("{same:?}"));
    }
}
