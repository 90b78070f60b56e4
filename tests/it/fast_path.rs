//! Rows that are moved when they are read are moved as if every step had moved them, and replayed batches are
//! computed as libtorch computes them.

use std::sync::MutexGuard;

use lecture5::fit::mse_loss;
use lecture5::learner::Learner;
use lecture5::models::{EmbeddingDotBias, EmbeddingNet, Embeddings, NetShape, Range, named_parameters};
use lecture5::movielens::{CollabFilterDataset, Ids, MovieLens, Split, get_cv_idxs};
use lecture5::optim::{Optimizer, Rule, Update};
use lecture5::settings::{ModelKind, Plan, Settings};
use tch::nn::{EmbeddingConfig, Init, Module, ModuleT, VarStore, embedding};
use tch::{Device, Kind, Tensor};

fn alone() -> MutexGuard<'static, ()> {
    tch::set_num_threads(1); // a second one would only wait for the other tests
    crate::common::alone()
}

/// Two tables that are looked up by the two columns of a batch: wide rows, and single numbers as the biases
/// are; and a small weight that every step reads.
struct Tables {
    vs: VarStore,
    wide: tch::nn::Embedding,
    narrow: tch::nn::Embedding,
    scale: Tensor,
    opt: Optimizer,
}

const ROWS: (i64, i64) = (37, 101);

impl Tables {
    fn new(rule: Rule, wd: f64, width: i64, update: Update) -> Tables {
        tch::manual_seed(7);
        let vs = VarStore::new(Device::Cpu);
        let config = EmbeddingConfig {
            sparse: true,
            ws_init: Init::Uniform { lo: -0.5, up: 0.5 },
            ..Default::default()
        };
        let wide = embedding(vs.root() / "wide", ROWS.0, width, config);
        let narrow = embedding(vs.root() / "narrow", ROWS.1, 1, config);
        let scale = vs.root().var("scale", &[width], Init::Uniform { lo: 0.5, up: 1.5 });
        let opt = Optimizer::with_update(&vs, rule, 0.004, wd, update);
        Tables { vs, wide, narrow, scale, opt }
    }

    /// A step on the batch `x` (bs, 2), towards `y` (bs,). Announced, if so wished.
    fn step(&mut self, x: &Tensor, y: &Tensor, announced: bool) {
        if announced {
            self.opt.reads(x);
        }
        let wide = (self.wide.forward(&x.select(1, 0)) * &self.scale).sum_dim_intlist(1, false, None);
        let preds = wide + self.narrow.forward(&x.select(1, 1)).squeeze_dim(1);
        let loss = preds.mse_loss(y, tch::Reduction::Mean);
        self.opt.zero_grad();
        loss.backward();
        self.opt.step().unwrap();
    }

    fn everything(&mut self) -> Vec<(String, Vec<f32>)> {
        self.opt.settle();
        let weights = named_parameters(&self.vs);
        let all = weights.into_iter().chain(self.opt.state());
        all.map(|(name, t)| (name, Vec::try_from(t.reshape([-1])).unwrap())).collect()
    }
}

/// Random batches: some rows often, some seldom, many never; the same row several times in a batch.
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

fn worst(ours: &[(String, Vec<f32>)], dense: &[(String, Vec<f32>)]) -> f32 {
    assert_eq!(
        ours.iter().map(|(n, _)| n).collect::<Vec<_>>(),
        dense.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    let pairs = ours.iter().zip(dense).flat_map(|((_, a), (_, b))| a.iter().zip(b));
    pairs.map(|(a, b)| (a - b).abs() / (b.abs() + 1e-2)).fold(0.0, f32::max)
}

#[test]
fn lazy_rows_end_where_dense_ones_do_whatever_is_read_and_whenever_the_rate_changes() {
    let _alone = alone();
    let sgd = |momentum| Rule::Sgd { momentum };
    for (rule, within) in [(sgd(0.9), 1e-4), (sgd(0.0), 1e-4), (Rule::Adam, 1e-4), (Rule::AdamW, 1e-4)] {
        for (case, (wd, width)) in [(0.0, 50), (0.01, 50), (0.01, 3), (0.2, 130)].into_iter().enumerate() {
            let mut lazy = Tables::new(rule, wd, width, Update::Lazy);
            let mut dense = Tables::new(rule, wd, width, Update::Dense);
            let start = dense.everything();
            for (i, (x, y)) in batches(300, case as u64).iter().enumerate() {
                // A rate that changes at every step for a while, and then seldom.
                if i < 100 || i % 50 == 0 {
                    let lr = 0.001 + 0.002 * (1.0 + (i as f64).cos());
                    lazy.opt.set_lrs(lr);
                    dense.opt.set_lrs(lr);
                }
                if i % 70 == 69 {
                    lazy.opt.settle();
                }
                lazy.step(x, y, true);
                dense.step(x, y, false);
            }
            let (mut ours, mut theirs) = (lazy.everything(), dense.everything());
            if rule == sgd(0.0) {
                // Nothing reads the buffer then, and libtorch's kernel leaves it alone.
                for all in [&mut ours, &mut theirs] {
                    all.retain(|(name, _)| !name.ends_with("momentum"));
                }
            }
            let apart = worst(&ours, &theirs);
            println!("{rule:?}, decay {wd}, width {width}: {apart:.1e}");
            assert!(apart < within, "{rule:?}, decay {wd}, width {width}: {apart}");
            assert!(start[0].1 != theirs[0].1, "nothing was trained");
        }
    }
}

#[test]
fn a_caller_that_announces_nothing_sees_every_row_up_to_date_after_each_step() {
    let _alone = alone();
    let rule = Rule::Sgd { momentum: 0.9 };
    let mut lazy = Tables::new(rule, 0.01, 5, Update::Lazy);
    let mut dense = Tables::new(rule, 0.01, 5, Update::Dense);
    for (x, y) in &batches(40, 3) {
        lazy.step(x, y, false);
        dense.step(x, y, false);
        for (a, b) in named_parameters(&lazy.vs).iter().zip(&named_parameters(&dense.vs)) {
            assert!(a.1.allclose(&b.1, 1e-5, 1e-6, false), "{}", a.0);
        }
    }
}

#[test]
fn rows_read_behind_the_optimisers_back_are_found_out() {
    let _alone = alone();
    let mut tables = Tables::new(Rule::Sgd { momentum: 0.9 }, 0.01, 50, Update::Lazy);
    let x = |user: i64| Tensor::from_slice(&[user, user]).view([1, 2]);
    let y = Tensor::from_slice(&[1.0f32]);
    tables.step(&x(1), &y, true);
    tables.step(&x(2), &y, true);
    // Row 1 sat out a step; it is looked up although another one was announced.
    tables.opt.reads(&x(2));
    let loss = tables.wide.forward(&x(1).select(1, 0)).sum(Kind::Float)
        + tables.narrow.forward(&x(2).select(1, 1)).sum(Kind::Float)
        + tables.scale.sum(Kind::Float);
    tables.opt.zero_grad();
    loss.backward();
    let error = format!("{:#}", tables.opt.step().unwrap_err());
    assert!(error.contains("'wide.weight': row 1 was read"), "{error}");
    // It goes on from there.
    tables.step(&x(2), &y, true);
}

#[test]
fn adams_lazy_rows_come_out_the_same_to_the_bit_whenever_they_are_settled() {
    let _alone = alone();
    for rule in [Rule::Adam, Rule::AdamW] {
        let mut seldom = Tables::new(rule, 0.01, 50, Update::Lazy);
        let mut always = Tables::new(rule, 0.01, 50, Update::Lazy);
        for (x, y) in &batches(100, 5) {
            seldom.step(x, y, true);
            always.step(x, y, false);
        }
        assert!(seldom.everything() == always.everything(), "{rule:?}");
    }
}

#[test]
fn a_state_saved_and_restored_in_the_middle_goes_on_to_the_same_bytes() {
    let _alone = alone();
    for rule in [Rule::Sgd { momentum: 0.9 }, Rule::Adam, Rule::AdamW] {
        let (before, after) = (batches(60, 1), batches(60, 2));
        let mut unbroken = Tables::new(rule, 0.01, 50, Update::Lazy);
        before.iter().for_each(|(x, y)| unbroken.step(x, y, true));
        unbroken.opt.settle();
        let copies = |named: Vec<(String, Tensor)>| -> Vec<(String, Tensor)> {
            named.into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
        };
        let (weights, state) = (copies(named_parameters(&unbroken.vs)), copies(unbroken.opt.state()));

        // It has its own past, some of it still to be made up for: none of that may remain.
        let mut restored = Tables::new(rule, 0.01, 50, Update::Lazy);
        batches(33, 9).iter().for_each(|(x, y)| restored.step(x, y, true));
        for ((_, mut mine), (_, theirs)) in named_parameters(&restored.vs).into_iter().zip(&weights) {
            tch::no_grad(|| mine.copy_(theirs));
        }
        restored.opt.load_state(&state).unwrap();

        for tables in [&mut unbroken, &mut restored] {
            after.iter().for_each(|(x, y)| tables.step(x, y, true));
        }
        assert!(unbroken.everything() == restored.everything(), "{rule:?}");
    }
}

fn both_ways(cf: &CollabFilterDataset, split: &Split, settings: &Settings) -> [Vec<lecture5::fit::Epoch>; 2] {
    [Update::Lazy, Update::Dense].map(|update| {
        lecture5::optim::set_update(update);
        let learner = Learner::new(cf, split, settings, Device::Cpu);
        lecture5::optim::set_update(Update::Lazy);
        learner.unwrap().fit_plan(&mut |_| {}).unwrap().epochs
    })
}

fn compare(model: ModelKind, [lazy, dense]: [Vec<lecture5::fit::Epoch>; 2], within: f64) {
    assert_eq!(lazy.len(), dense.len());
    for (a, b) in lazy.iter().zip(&dense) {
        for (ours, theirs) in [(a.trn, b.trn), (a.val, b.val), (a.val_by_rows, b.val_by_rows)] {
            assert!((ours / theirs - 1.0).abs() < within, "{}: {a} beside dense {b}", model.name());
        }
    }
}

#[test]
fn both_updates_give_the_same_losses_over_a_whole_fit_of_the_lecture() {
    let _alone = alone();
    lecture5::libtorch::flush_subnormals();
    let ml = MovieLens::read(std::path::Path::new("data/ml-latest-small")).unwrap();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    let split = Split::new(cf.len(), &get_cv_idxs(cf.len(), 0.2, 42));
    for (model, within) in [(ModelKind::Dot, 1e-5), (ModelKind::Learner, 1e-4)] {
        compare(model, both_ways(&cf, &split, &Settings::lecture(model)), within);
    }
}

#[test]
fn both_updates_give_the_same_losses_with_any_rule_and_schedule() {
    let _alone = alone();
    let pairs: Vec<[i64; 2]> = (0..40)
        .flat_map(|u| (0..30).map(move |m| [u, m]))
        .filter(|[u, m]| (u * 7 + m * 11) % 3 == 0)
        .collect();
    let y = pairs.iter().map(|[u, m]| 0.5 + 0.5 * ((u * 3 + m * 5) % 10) as f32).collect();
    let cf =
        CollabFilterDataset { users: Ids::new(0..40), items: Ids::new(0..30), cats: pairs, y, scale: None };
    let split = Split::new(cf.len(), &(0..cf.len()).step_by(5).collect::<Vec<_>>());
    for model in ModelKind::ALL {
        for rule in [Rule::Sgd { momentum: 0.9 }, Rule::Sgd { momentum: 0.0 }, Rule::Adam, Rule::AdamW] {
            for plan in ["0.02x2,0.01x1", "cosine:0.02,cycles=2,len=1,mult=2"] {
                let plan: Plan = plan.parse().unwrap();
                let settings = Settings { rule, plan, batch_size: 7, ..Settings::lecture(model) };
                compare(model, both_ways(&cf, &split, &settings), 1e-3);
            }
        }
    }
}

/// EmbeddingDotBias or EmbeddingNet on small tables.
fn small(dropout: Option<f64>, update: Update) -> (VarStore, Box<dyn ModuleT>, Optimizer) {
    tch::manual_seed(3);
    let vs = VarStore::new(Device::Cpu);
    let e = Embeddings { n_users: ROWS.0, n_movies: ROWS.1, n_factors: (6, 6), init: (-0.5, 0.5) };
    let range = Range { min: 0.5, max: 5.0 };
    let model: Box<dyn ModuleT> = match dropout {
        None => Box::new(EmbeddingDotBias::new(&vs.root(), &e, range)),
        Some(p) => {
            let shape = NetShape { hidden: vec![7, 5], dropout: (p, p) };
            Box::new(EmbeddingNet::new(&vs.root(), &e, &shape, range))
        }
    };
    let opt = Optimizer::with_update(&vs, Rule::Sgd { momentum: 0.9 }, 0.05, 0.01, update);
    (vs, model, opt)
}

/// The weights after some batches, each of whose losses goes through `change` first; and whether they were
/// replayed.
fn trained(dropout: Option<f64>, update: Update, change: fn(Tensor) -> Tensor) -> (Vec<Tensor>, bool) {
    let (vs, model, mut opt) = small(dropout, update);
    for (x, y) in &batches(60, 11) {
        let loss = opt.loss(x, y, |x, y| mse_loss(&model.forward_t(x, true), y));
        opt.zero_grad();
        change(loss).backward();
        opt.step().unwrap();
    }
    let replayed = opt.replays();
    opt.settle();
    (named_parameters(&vs).into_iter().map(|(_, t)| t).collect(), replayed)
}

#[test]
fn models_of_known_operations_are_replayed_others_are_not_and_both_end_where_dense_ones_do() {
    let _alone = alone();
    for (dropout, replays) in [(None, true), (Some(0.0), true), (Some(0.3), false)] {
        let (lazy, replayed) = trained(dropout, Update::Lazy, |loss| loss);
        let (dense, _) = trained(dropout, Update::Dense, |loss| loss);
        assert_eq!(replayed, replays, "dropout {dropout:?}");
        for (ours, theirs) in lazy.iter().zip(&dense) {
            assert!(ours.allclose(theirs, 1e-4, 1e-5, false), "dropout {dropout:?}: {ours:?} {theirs:?}");
        }
    }
}

#[test]
fn a_loss_that_is_multiplied_moves_the_weights_by_as_much_more() {
    let _alone = alone();
    let (lazy, replayed) = trained(None, Update::Lazy, |loss| loss * 1.5);
    let (dense, _) = trained(None, Update::Dense, |loss| loss * 1.5);
    let (plain, _) = trained(None, Update::Dense, |loss| loss);
    assert!(replayed);
    for ((ours, theirs), plain) in lazy.iter().zip(&dense).zip(&plain) {
        assert!(ours.allclose(theirs, 1e-4, 1e-5, false), "{ours:?} {theirs:?}");
        assert!(!ours.allclose(plain, 1e-3, 1e-4, false));
    }
}

#[test]
fn a_step_without_a_backward_pass_is_refused() {
    let _alone = alone();
    let (_vs, model, mut opt) = small(None, Update::Lazy);
    for (i, (x, y)) in batches(3, 1).iter().enumerate() {
        let loss = opt.loss(x, y, |x, y| mse_loss(&model.forward_t(x, true), y));
        opt.zero_grad();
        if i < 2 {
            loss.backward();
            opt.step().unwrap();
        }
    }
    let error = opt.step().unwrap_err().to_string();
    assert!(error.contains("loss.backward() comes before step()"), "{error}");
}

#[test]
fn a_model_that_hides_a_table_from_the_gradient_is_not_replayed() {
    let _alone = alone();
    let (_vs, model, mut opt) = small(None, Update::Lazy);
    let (x, y) = &batches(1, 1)[0];
    let loss = opt.loss(x, y, |x, y| mse_loss(&tch::no_grad(|| model.forward_t(x, true)), y));
    assert!(!opt.replays() && !loss.requires_grad());
}

#[test]
fn a_recording_lasts_until_the_rows_are_settled() {
    let _alone = alone();
    let (_vs, model, mut opt) = small(None, Update::Lazy);
    let (x, y) = &batches(1, 1)[0];
    for factor in [1.0, 3.0] {
        // Another loss after settle() is recorded anew.
        let mut losses = Vec::new();
        for _ in 0..2 {
            let loss = opt.loss(x, y, |x, y| mse_loss(&(model.forward_t(x, true) * factor), y));
            losses.push(f64::try_from(&loss).unwrap());
        }
        opt.settle();
        assert!((losses[0] / losses[1] - 1.0).abs() < 1e-5, "{losses:?}");
    }
}

#[test]
fn a_table_looked_up_by_more_than_the_batch_names_ends_where_the_dense_one_does() {
    let _alone = alone();
    let end = |update| {
        let mut tables = Tables::new(Rule::Sgd { momentum: 0.9 }, 0.01, 5, update);
        for (x, y) in &batches(40, 3) {
            let loss = tables.opt.loss(x, y, |x, y| {
                let next = (x.select(1, 0) + 1).remainder(ROWS.0);
                let wide = (tables.wide.forward(&next) * &tables.scale).sum_dim_intlist(1, false, None);
                mse_loss(&(wide + tables.narrow.forward(&x.select(1, 1)).squeeze_dim(1)), y)
            });
            tables.opt.zero_grad();
            loss.backward();
            tables.opt.step().unwrap();
        }
        tables.everything()
    };
    assert!(worst(&end(Update::Lazy), &end(Update::Dense)) < 1e-4);
}
