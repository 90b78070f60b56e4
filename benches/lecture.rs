//! `cargo bench`: the time of the parts of a run. Nothing here is asserted.
//!
//!     cargo bench --bench lecture                 # all of it, about five minutes
//!     cargo bench --bench lecture -- "bias, SGD"  # benchmarks with this in their name

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use lecture5::beyond::data::from_lecture;
use lecture5::beyond::models::MODELS;
use lecture5::fast::StepperKind;
use lecture5::fit::{mse_loss, validate};
use lecture5::learner::{Learner, build};
use lecture5::libtorch;
use lecture5::models::RatingRange;
use lecture5::movielens::{CollabFilterDataset, MovieLens, Split, SplitBy, get_cv_idxs};
use lecture5::optim::{Optimizer, Rule};
use lecture5::plots;
use lecture5::plots::hexbin::{Extent, hexbin};
use lecture5::settings::{ModelKind, Settings};
use tch::nn::{ModuleT, VarStore};
use tch::{Device, Kind, Tensor};

const DATA: &str = "data/ml-latest-small";
const BATCH: i64 = 64;
const BATCHES: i64 = 2_000;
const SGD: Rule = Rule::Sgd { momentum: 0.9 };

/// A model on tables with `rows` rows in total, which are read evenly, batch by batch.
fn model(kind: ModelKind, rows: i64) -> (VarStore, Box<dyn ModuleT>) {
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let range = RatingRange { min: 0.5, max: 5.0 };
    let model = build(&vs, (rows / 2, rows / 2), range, &Settings::lecture(kind)).expect("a model");
    (vs, model)
}

/// Steps by model, optimizer, stepper and number of rows.
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for (name, kind, rule) in [
        ("dot, SGD", ModelKind::Dot, SGD),
        ("bias, SGD", ModelKind::Bias, SGD),
        ("bias, Adam", ModelKind::Bias, Rule::Adam),
        ("net, SGD", ModelKind::Net, SGD),
    ] {
        for (stepper, all_rows) in [
            (StepperKind::Fast, &[10_000, 100_000, 1_000_000][..]),
            (StepperKind::Libtorch, &[10_000, 100_000]),
        ] {
            for &rows in all_rows {
                let id = BenchmarkId::new(format!("{name}, {}", stepper.name()), rows);
                let (vs, model) = model(kind, rows);
                let n = BATCHES * BATCH;
                let x = Tensor::randint(rows / 2, [n, 2], (Kind::Int64, Device::Cpu)); // (n, 2)
                let y = Tensor::rand([n], (Kind::Float, Device::Cpu)) * 5.0; // (n,)
                let mut opt = Optimizer::new(&vs, rule, 0.01, 2e-4);
                let mut stepper = stepper.make()(&*model, &mut opt, mse_loss).expect("a stepper");
                stepper.reset(true).expect("rows");
                let mut batches = (0..BATCHES).cycle();
                group.bench_function(id, |b| {
                    b.iter(|| {
                        let at = batches.next().unwrap_or(0) * BATCH;
                        stepper.step(&x.narrow(0, at, BATCH), &y.narrow(0, at, BATCH)).expect("a step")
                    });
                });
            }
        }
    }
    group.finish();
}

fn read() -> (MovieLens, CollabFilterDataset) {
    let ml = MovieLens::read(Path::new(DATA)).expect("the lecture's data");
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").expect("ids");
    (ml, cf)
}

/// The lecture's data, from its two files to batches, and from predictions to a plot.
fn data(c: &mut Criterion) {
    let (ml, cf) = read();
    c.bench_function("read both files", |b| b.iter(|| MovieLens::read(Path::new(DATA))));
    c.bench_function("ids to indices", |b| {
        b.iter(|| CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating"));
    });
    for n in [100_004, 1_000_000] {
        c.bench_function(&format!("split {n} rows"), |b| {
            b.iter(|| Split::new(n, &get_cv_idxs(black_box(n), 0.2, 42)));
        });
    }
    let split = Split::new(cf.len(), &get_cv_idxs(cf.len(), 0.2, 42));
    let learner =
        Learner::new(&cf, &split, &Settings::lecture(ModelKind::Bias), Device::Cpu).expect("a model");
    c.bench_function("shuffle an epoch", |b| b.iter(|| learner.data.trn.shuffled()));
    c.bench_function("validate 20,000 rows", |b| {
        b.iter(|| validate(&*learner.model, &learner.data.val, 128).expect("a loss"));
    });
    let xs: Vec<f64> = (0..20_000).map(|i| 0.5 + 4.5 * f64::from(i) / 20_000.0).collect();
    let ys: Vec<f64> = (0..20_000).map(|i| 0.5 + 0.5 * f64::from(i * 7 % 10)).collect();
    let extent = Extent { x: (0.5, 5.0), y: (0.5, 5.0) };
    c.bench_function("20,000 points into hexagons", |b| {
        b.iter_batched(
            || (xs.clone(), ys.clone()),
            |(x, y)| hexbin(&x, &y, extent, (30, 15)),
            BatchSize::LargeInput,
        );
    });
}

/// A joint plot of 20,000 ratings: drawn, and rasterized with its compression.
fn pictures(c: &mut Criterion) {
    let preds: Vec<f32> =
        (0..20_000_u32).map(|i| 0.5 + 4.5 * (i * 7919 % 20_011) as f32 / 20_011.0).collect();
    let y: Vec<f32> = (0..20_000_u16).map(|i| 0.5 + 0.5 * f32::from(i * 7 % 10)).collect();
    let drawn = || plots::joint("joint", "predicted and true ratings", &preds, &y, true).expect("a picture");
    c.bench_function("draw a joint plot", |b| b.iter(drawn));
    let figure = drawn();
    c.bench_function("a joint plot as PNG", |b| b.iter(|| figure.png(plots::PRINT_DPI).expect("pixels")));
}

/// Each model of section `beyond`, trained on the lecture's training rows.
fn beyond(c: &mut Criterion) {
    let (ml, cf) = read();
    let by = SplitBy::Random { seed: 42 };
    let split = ml.split(&cf, by).expect("a split");
    let (world, trn, val, _) = from_lecture(&ml, &cf, by, &split).expect("features");
    let mut group = c.benchmark_group("beyond");
    group.sample_size(10);
    for model in MODELS {
        group.bench_function(model.name, |b| b.iter(|| (model.predict)(&world, &trn, &val)));
    }
    group.finish();
}

/// A short configuration: the results are for comparison, not exact to three digits.
fn briefly() -> Criterion {
    libtorch::flush_subnormals();
    tch::set_num_threads(1);
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = lecture; config = briefly(); targets = steps, data, pictures, beyond }
criterion_main!(lecture);
