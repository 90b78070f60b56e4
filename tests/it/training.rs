//! Models, loss, loop, optimizers, schedules and saved states, on small data.

use std::ops::ControlFlow;
use std::path::Path;

use lecture5::fast::StepperKind;
use lecture5::fit::{Options, fit, mse_loss, predict, validate};
use lecture5::history::{Batch, Callback, Epoch, FitState, RunningMean};
use lecture5::learner::Learner;
use lecture5::models::{EmbeddingDot, EmbeddingDotBias, EmbeddingNet, EmbeddingSpec, NetSpec, RatingRange};
use lecture5::movielens::{CollabFilterDataset, Ids, MovieLens, Split, SplitBy};
use lecture5::optim::{self, Optimizer, Rule, named_parameters};
use lecture5::ratings::ColumnarModelData;
use lecture5::run::lecture::Lecture;
use lecture5::run::options::RunOptions;
use lecture5::run::progress::Telling;
use lecture5::saved::model_file::{self, ModelCard};
use lecture5::schedule::{CosineRestarts, Schedule};
use lecture5::settings::{ModelKind, Plan, Settings};
use tch::nn::{ModuleT, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor, nn};

use crate::common::alone;

/// 40 users × 30 movies; a third of the pairs are rated, with some structure.
fn small() -> (CollabFilterDataset, Split) {
    let pairs: Vec<[i64; 2]> = (0..40)
        .flat_map(|u| (0..30).map(move |m| [u, m]))
        .filter(|[u, m]| (u * 7 + m * 11) % 3 == 0)
        .collect();
    let y = pairs.iter().map(|[u, m]| 0.5 + 0.5 * ((u * 3 + m * 5) % 10) as f32).collect::<Vec<_>>();
    let (user_idx, item_idx) = pairs.iter().map(|pair| (pair[0], pair[1])).unzip();
    let cf = CollabFilterDataset {
        users: Ids::new(0..40),
        items: Ids::new(0..30),
        user_idx,
        item_idx,
        y,
        scale: None,
    };
    let val: Vec<usize> = (0..cf.len()).step_by(5).collect();
    let split = Split::new(cf.len(), &val);
    (cf, split)
}

fn settings(model: ModelKind) -> Settings {
    Settings { n_factors: (4, 4), ..Settings::lecture(model) }
}

fn learner(settings: &Settings) -> Learner {
    let (cf, split) = small();
    Learner::new(&cf, &split, settings, Device::Cpu).unwrap()
}

const EMBEDDINGS: EmbeddingSpec =
    EmbeddingSpec { n_users: 40, n_movies: 30, n_factors: (4, 4), init: (-0.05, 0.05) };

#[test]
fn parameters_are_drawn_one_by_one_in_the_contracts_order() {
    let _alone = alone();
    tch::manual_seed(3);
    let vs = VarStore::new(Device::Cpu);
    let shape = NetSpec { hidden: vec![10], dropout: (0.0, 0.0) };
    let _net = EmbeddingNet::new(&vs.root(), &EMBEDDINGS, &shape, RatingRange { min: 0.5, max: 5.0 });

    tch::manual_seed(3);
    let variables = vs.variables();
    for (name, size, bound) in [
        ("u.weight", vec![40, 4], 0.05),
        ("m.weight", vec![30, 4], 0.05),
        ("lin1.weight", vec![10, 8], 1.0 / 8f64.sqrt()),
        ("lin1.bias", vec![10], 1.0 / 8f64.sqrt()),
        ("lin2.weight", vec![1, 10], 1.0 / 10f64.sqrt()),
        ("lin2.bias", vec![1], 1.0 / 10f64.sqrt()),
    ] {
        let drawn = Tensor::zeros(&size, (Kind::Float, Device::Cpu)).uniform_(-bound, bound);
        assert!(variables[name] == drawn, "{name} is not what the contract's order draws");
    }
}

#[test]
fn a_loss_between_unequal_shapes_is_refused_instead_of_broadcast() {
    let (preds, y) =
        (Tensor::zeros([64], (Kind::Float, Device::Cpu)), Tensor::zeros([64, 1], (Kind::Float, Device::Cpu)));
    assert!(std::panic::catch_unwind(|| mse_loss(&preds, &y)).is_err());
}

#[test]
fn a_model_answers_one_number_a_row_even_for_a_single_row() {
    let _alone = alone();
    let vs = VarStore::new(Device::Cpu);
    let range = RatingRange { min: 0.5, max: 5.0 };
    let bias = EmbeddingDotBias::new(&(vs.root() / "bias"), &EMBEDDINGS, range);
    let shape = NetSpec { hidden: vec![7, 3], dropout: (0.0, 0.0) };
    let net = EmbeddingNet::new(&(vs.root() / "net"), &EMBEDDINGS, &shape, range);
    for rows in [1, 64] {
        let cats = Tensor::zeros([rows, 2], (Kind::Int64, Device::Cpu));
        assert_eq!(bias.forward_t(&cats, true).size(), [rows]);
        assert_eq!(net.forward_t(&cats, true).size(), [rows]);
    }
}

#[test]
fn dropout_is_on_in_training_and_off_at_validation() {
    let _alone = alone();
    let vs = VarStore::new(Device::Cpu);
    let shape = NetSpec { hidden: vec![10], dropout: (0.5, 0.5) };
    let net = EmbeddingNet::new(&vs.root(), &EMBEDDINGS, &shape, RatingRange { min: 0.5, max: 5.0 });
    let cats = Tensor::zeros([64, 2], (Kind::Int64, Device::Cpu));
    assert!(net.forward_t(&cats, false) == net.forward_t(&cats, false));
    assert!(net.forward_t(&cats, true) != net.forward_t(&cats, true));
}

#[test]
fn an_epoch_prints_as_the_lectures_fit_printed_it() {
    let epoch = |epoch, trn, val| Epoch { epoch, trn, val, val_by_rows: 0.0 }.to_string();
    assert_eq!(epoch(0, 1.68932, 1.64501), "[ 0.       1.68932  1.64501]");
    assert_eq!(epoch(2, 0.5983, 0.76338), "[ 2.       0.5983   0.76338]");
    assert_eq!(epoch(1, 0.72746, 1.1352), "[ 1.       0.72746  1.1352 ]");
}

#[test]
fn the_running_mean_is_debiased_from_the_first_batch() {
    let mut mean = RunningMean::default();
    assert!((mean.update(3.0) - 3.0).abs() < 1e-12);
    // (0.98·0.02·3 + 0.02·1) / (1 − 0.98²)
    assert!((mean.update(1.0) - (0.98 * 0.02 * 3.0 + 0.02) / (1.0 - 0.98 * 0.98)).abs() < 1e-12);
}

#[test]
fn the_validation_loss_is_the_mean_of_batch_means_and_next_to_it_that_of_rows() {
    let _alone = alone();
    let learn = learner(&settings(ModelKind::Bias));
    let rows = &learn.data.val;
    let preds = predict(&*learn.model, rows).unwrap();
    let y = Vec::<f32>::try_from(&rows.y).unwrap();
    let squares: Vec<f64> = preds.iter().zip(&y).map(|(p, y)| f64::from(p - y).powi(2)).collect();
    let (val, by_rows) = validate(&*learn.model, rows, 64).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert_eq!(squares.len(), 80);
    assert!((val - (mean(&squares[..64]) + mean(&squares[64..])) / 2.0).abs() < 1e-12);
    assert!((by_rows - mean(&squares)).abs() < 1e-12);
    assert!((val - by_rows).abs() > 1e-6);
}

#[test]
fn every_training_row_is_seen_once_an_epoch_the_short_last_batch_included() {
    let _alone = alone();
    let (cf, split) = small();
    let data = ColumnarModelData::new(&cf, &split, 64, Device::Cpu).unwrap();
    let shuffled = data.trn.shuffled();
    let batches: Vec<(Tensor, Tensor)> = shuffled.batches(64).collect();
    let sizes: Vec<i64> = batches.iter().map(|(_, y)| y.size()[0]).collect();
    assert_eq!(sizes, [64, 64, 64, 64, 64]);
    assert_eq!(
        ColumnarModelData::new(&cf, &split, 50, Device::Cpu)
            .unwrap()
            .trn
            .batches(50)
            .last()
            .unwrap()
            .1
            .size(),
        [20]
    );
    let key = |cats: &Tensor| {
        let mut pairs = Vec::<i64>::try_from(cats.reshape([-1]))
            .unwrap()
            .chunks(2)
            .map(|p| (p[0], p[1]))
            .collect::<Vec<_>>();
        pairs.sort_unstable();
        pairs
    };
    assert!(shuffled.cats != data.trn.cats);
    assert_eq!(key(&shuffled.cats), key(&data.trn.cats));
}

#[test]
fn a_fit_that_diverges_stops_and_says_where() {
    let _alone = alone();
    let mut learn = learner(&settings(ModelKind::Dot));
    learn.opt.set_lrs(1e30);
    let error = learn.fit(3, Options::default()).unwrap_err().to_string();
    assert!(error.contains("in epoch 0 at batch") && error.contains("try a lower learning rate"), "{error}");
}

/// A callback that records its calls, and stops the fit after a batch or an epoch.
#[derive(Default)]
struct Recorder {
    batches: Vec<(usize, usize)>,
    epochs: Vec<Epoch>,
    stop_after_batch: Option<(usize, usize)>,
    stop_after_epoch: Option<usize>,
}

impl Callback for Recorder {
    fn on_batch_end(&mut self, at: &Batch) -> anyhow::Result<ControlFlow<()>> {
        assert_eq!((at.n_epochs, at.n_batches), (2, 5));
        self.batches.push((at.epoch, at.batch));
        let stop = self.stop_after_batch == self.batches.last().copied();
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn on_epoch_end(
        &mut self,
        e: &Epoch,
        state: &FitState,
        _: &Optimizer,
    ) -> anyhow::Result<ControlFlow<()>> {
        assert_eq!(state.done(), e.epoch + 1);
        self.epochs.push(*e);
        let stop = self.stop_after_epoch == Some(e.epoch);
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

#[test]
fn a_callback_can_stop_a_fit_after_a_batch_or_an_epoch() {
    let _alone = alone();
    for (stop_after_batch, stop_after_epoch, batches, epochs) in
        [(Some((1, 2)), None, 8, 1), (None, Some(0), 5, 1), (None, None, 10, 2)]
    {
        let mut recorder = Recorder { stop_after_batch, stop_after_epoch, ..Recorder::default() };
        let callbacks: Vec<Box<dyn Callback>> = vec![Box::new(&mut recorder)];
        let mut learn = learner(&settings(ModelKind::Bias));
        let history = learn.fit(2, Options { callbacks, ..Options::default() }).unwrap();
        assert_eq!(
            (recorder.batches.len(), recorder.epochs.len(), history.epochs.len()),
            (batches, epochs, epochs)
        );
    }
}

#[test]
fn a_callback_that_stops_after_the_last_epoch_of_a_call_stops_the_whole_plan() {
    let _alone = alone();
    let plan: Plan = "0.1x2,0.01x2".parse().unwrap();
    let mut learn = learner(&Settings { plan, ..settings(ModelKind::Bias) });
    let mut recorder = Recorder { stop_after_epoch: Some(1), ..Recorder::default() };
    let callbacks: Vec<Box<dyn Callback>> = vec![Box::new(&mut recorder)];
    let history = learn.fit_plan(Options { callbacks, ..Options::default() }).unwrap();
    assert!(history.stopped && history.epochs.len() == 2, "{:?}", history.epochs);
}

#[test]
fn a_fit_reports_each_batch_and_each_epoch() {
    let _alone = alone();
    let mut learn = learner(&settings(ModelKind::Bias));
    let mut recorder = Recorder::default();
    let callbacks: Vec<Box<dyn Callback>> = vec![Box::new(&mut recorder)];
    let history = learn.fit(2, Options { callbacks, ..Options::default() }).unwrap();
    assert_eq!(recorder.batches, (0..2).flat_map(|e| (0..5).map(move |b| (e, b))).collect::<Vec<_>>());
    assert_eq!(recorder.epochs, history.epochs);
    assert_eq!((history.running.len(), history.rates), (10, vec![0.1; 10]));
    assert_eq!(history.running[9], history.epochs[1].trn);
}

/// Cosine annealing as in fastai 0.7, computed by hand for lr 1 and 40 batches per epoch:
/// the first two (40/20) at a hundredth, then lr/2·(cos(π·c/40) + 1); the second cycle over 80 batches.
#[test]
fn the_cosine_schedule_restarts_with_a_doubled_cycle() {
    let cosine = CosineRestarts { lr: 1.0, cycles: 2, len: 1, mult: 2 };
    assert_eq!(cosine.epochs(), 3);
    for (batch, rate) in [
        (0, 0.01),
        (1, 0.01),
        (2, 0.993_844_170_297_569),   // c = 2: (cos 9° + 1)/2
        (10, 0.853_553_390_593_274),  // c = 10: (cos 45° + 1)/2
        (20, 0.5),                    // c = 20: cos 90°
        (39, 0.001_541_333_133_436),  // c = 39: (cos 175.5° + 1)/2
        (40, 1.0),                    // restart, no warm-up
        (42, 0.998_458_666_866_564),  // c = 2 of 80: (cos 4.5° + 1)/2
        (80, 0.5),                    // c = 40 of 80
        (119, 0.000_385_481_879_638), // c = 79 of 80: (cos 177.75° + 1)/2
    ] {
        let ours = cosine.rate(batch, 40);
        assert!((ours - rate).abs() < 1e-12, "batch {batch}: {ours}, by hand {rate}");
    }
}

#[test]
fn a_fit_under_the_schedule_uses_its_rates() {
    let _alone = alone();
    let mut learn = learner(&settings(ModelKind::Learner));
    let cosine = CosineRestarts { lr: 0.01, cycles: 2, len: 1, mult: 2 };
    let history = learn
        .fit(cosine.epochs(), Options { schedule: Schedule::Cosine(cosine), ..Options::default() })
        .unwrap();
    let wanted: Vec<f64> = (0..15).map(|t| cosine.rate(t, 5)).collect();
    assert_eq!(history.rates, wanted);
}

/// The linear function Σ wᵢ·scaleᵢ, whose gradients are the scales.
fn steps(mut step: impl FnMut(&Tensor), w: &Tensor) {
    for i in 0..5 {
        let scales = Tensor::from_slice(&[1.0f32, -0.5, 0.01 * i as f32]);
        step(&(w * scales).sum(Kind::Float));
    }
}

#[test]
fn each_optimizer_steps_as_tchs_own_does() {
    for rule in [Rule::Sgd { momentum: 0.9 }, Rule::Sgd { momentum: 0.0 }, Rule::Adam, Rule::AdamW] {
        let store = || {
            let vs = VarStore::new(Device::Cpu);
            let w = vs.root().var_copy("w", &Tensor::from_slice(&[0.3f32, -2.0, 1.0]));
            (vs, w)
        };
        let ((ours, w), (theirs, v)) = (store(), store());
        let mut opt = Optimizer::new(&ours, rule, 0.05, 0.1);
        let mut tchs = match rule {
            Rule::Sgd { momentum } => nn::sgd(momentum, 0.0, 0.1, false).build(&theirs, 0.05),
            Rule::Adam => nn::adam(0.9, 0.999, 0.1).build(&theirs, 0.05),
            Rule::AdamW => nn::adamw(0.9, 0.999, 0.1).build(&theirs, 0.05),
        }
        .unwrap();
        steps(
            |loss| {
                opt.zero_grad();
                loss.backward();
                opt.step().unwrap();
            },
            &w,
        );
        steps(|loss| tchs.backward_step(loss), &v);
        assert!(w.allclose(&v, 1e-5, 1e-7, false), "{rule:?}: {w:?} beside tch's {v:?}");
    }
}

/// The model card of a model of `settings` on the small data.
fn card(settings: &Settings) -> ModelCard {
    let (cf, split) = small();
    ModelCard::new(&cf, &split, settings, "none")
}

/// Weights, optimizer and generator after some epochs, saved; starts from a file if one is given.
fn train(settings: &Settings, epochs: usize, from: Option<&Path>, to: &Path) {
    let mut learn = learner(settings);
    if let Some(from) = from {
        tch::manual_seed(12345);
        model_file::load(from, &mut learn.opt).unwrap();
    }
    learn.fit(epochs, Options::default()).unwrap();
    model_file::save(to, &card(settings), &learn.opt).unwrap();
}

#[test]
fn three_epochs_saved_loaded_and_three_more_give_the_bytes_of_six() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for model in ModelKind::ALL {
        let mut settings = settings(model);
        if model == ModelKind::Net {
            settings.dropout = (0.2, 0.2); // draws from the same generator as the shuffling
        }
        train(&settings, 6, None, &path("six"));
        train(&settings, 3, None, &path("three"));
        train(&settings, 3, Some(&path("three")), &path("again"));
        let bytes = |name: &str| std::fs::read(path(name)).unwrap();
        assert!(bytes("six") == bytes("again"), "{}", model.name());
        assert!(bytes("six") != bytes("three"));
    }
}

#[test]
fn a_loaded_learner_continues_at_the_rate_it_was_saved_at() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let settings = settings(ModelKind::Dot); // its schedule starts at 0.1 and ends at 0.01
    let mut unbroken = learner(&settings);
    unbroken.fit_plan(Options::default()).unwrap();
    model_file::save(&path("saved"), &card(&settings), &unbroken.opt).unwrap();
    unbroken.fit(2, Options::default()).unwrap();
    model_file::save(&path("unbroken"), &card(&settings), &unbroken.opt).unwrap();

    let mut resumed = learner(&settings);
    model_file::load(&path("saved"), &mut resumed.opt).unwrap();
    assert_eq!(resumed.opt.lr(), 0.01);
    resumed.fit(2, Options::default()).unwrap();
    model_file::save(&path("resumed"), &card(&settings), &resumed.opt).unwrap();
    let bytes = |name: &str| std::fs::read(path(name)).unwrap();
    assert!(bytes("unbroken") == bytes("resumed"));
}

#[test]
fn a_validation_loss_that_is_no_number_stops_the_fit() {
    let _alone = alone();
    let mut learn = learner(&settings(ModelKind::Bias));
    learn.data.bs = 1_000_000; // one batch: the training loss is taken before the only step
    learn.opt.set_lrs(f64::MAX);
    let error = learn.fit(1, Options::default()).unwrap_err().to_string();
    assert!(error.contains("validation loss") && error.contains("try a lower learning rate"), "{error}");
}

#[test]
fn a_saved_model_of_another_kind_or_size_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dot.safetensors");
    let dot = settings(ModelKind::Dot);
    model_file::save(&path, &card(&dot), &learner(&dot).opt).unwrap();
    let refusal = |s: &Settings| format!("{:#}", model_file::load(&path, &mut learner(s).opt).unwrap_err());
    assert!(refusal(&settings(ModelKind::Bias)).contains("it has no 'mb.weight'"));
    let wider = Settings { n_factors: (5, 5), ..settings(ModelKind::Dot) };
    assert!(refusal(&wider).contains("its 'm.weight' has shape [30, 4], this model's [30, 5]"));
    let adam = Settings { rule: Rule::Adam, ..settings(ModelKind::Dot) };
    assert!(refusal(&adam).contains("another optimizer or another model"));
    std::fs::write(&path, "not a model").unwrap();
    assert!(refusal(&settings(ModelKind::Dot)).contains("text; only models that this program"));
}

#[test]
fn a_saved_model_says_what_it_is_whom_its_rows_represent_and_what_it_saw() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    for model in ModelKind::ALL {
        let settings = Settings { hidden: vec![7, 3], seed: 5, ..settings(model) };
        model_file::save(&path, &card(&settings), &learner(&settings).opt).unwrap();
        let (metadata, tensors) = model_file::read(&path).unwrap();
        let read = model_file::card(&metadata).unwrap();
        assert_eq!(read, card(&settings));
        assert_eq!((read.range, read.users[39].as_str(), read.movies.len()), ((0.5, 5.0), "39", 30));
        let (cf, split) = small();
        assert_eq!(read.user_ratings.iter().sum::<u32>() as usize, split.trn.len());
        let of_movie_3 = split.trn.iter().filter(|&&row| cf.item_idx[row] == 3).count();
        assert_eq!(read.movie_ratings[3] as usize, of_movie_3);
        assert_eq!(tensors["u.weight"].size(), [40, 4]);
    }
}

#[test]
fn the_low_level_fit_is_what_the_learner_runs() {
    let _alone = alone();
    let settings = settings(ModelKind::Bias);
    let by_learner = learner(&settings).fit(2, Options::default()).unwrap();

    let (cf, split) = small();
    let data = ColumnarModelData::new(&cf, &split, 64, Device::Cpu).unwrap();
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let emb = EmbeddingSpec { init: (-0.01, 0.01), ..EMBEDDINGS };
    let (min, max) = cf.range();
    let model = EmbeddingDotBias::new(&vs.root(), &emb, RatingRange { min, max });
    let mut opt = optim::sgd(&vs, 0.1).weight_decay(2e-4).momentum(0.9);
    let by_hand = fit(&model, &data, 2, &mut opt, mse_loss).unwrap();
    assert_eq!(by_learner.epochs, by_hand.epochs);
    assert_eq!(named_parameters(&vs).len(), 4);
}

#[test]
fn a_schedule_reads_back_as_it_is_written() {
    for text in ["0.1x3,0.01x3", "cosine:0.01,cycles=2,len=1,mult=2"] {
        assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
    }
    assert_eq!("0.1x3,0.01x2,1x1".parse::<Plan>().unwrap().rate_changes(), [(3, 0.01), (5, 1.0)]);
    let in_words = |text: &str, factor: f64| text.parse::<Plan>().unwrap().times(factor).in_words();
    assert_eq!(in_words("0.1x3,0.01x1", 3.0), "rate 0.3 for 3 epochs, then 0.03 for 1 epoch");
    assert_eq!(
        in_words("cosine:0.01,cycles=2,len=1,mult=2", 1.0),
        "rate from 0.01 down to 0 by a cosine, in cycles of 1 and 2 epochs"
    );
    for (text, why) in [
        ("0.1", "RATExEPOCHS"),
        ("0x3", "above zero"),
        ("-1x3", "above zero"),
        ("nanx3", "above zero"),
        ("0.1x0", "from 1 to"),
        ("0.1xmany", "not a whole number"),
        ("cosine:0.1,speed=2", "cycles, len and mult"),
        ("cosine:0.1,cycles=40,mult=2", "more than 100000 epochs"),
        ("", "RATExEPOCHS"),
    ] {
        let error = text.parse::<Plan>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_a_cell_changes_is_in_the_saved_settings_and_in_the_plots_label() {
    let _alone = alone();
    let out = tempfile::tempdir().unwrap();
    let run = RunOptions {
        seed: 5,
        device: Device::Cpu,
        device_reason: None,
        stepper: StepperKind::Libtorch,
        rate: 1.0,
        split: SplitBy::LECTURE,
        all_splits: false,
        out: out.path().to_owned(),
        dpi: 100,
        formats: vec![],
        telling: Telling::Quiet,
    };
    let ml = MovieLens::read(Path::new("data/ml-latest-small")).unwrap();
    let mut lecture = Lecture::new(run, ml).unwrap();
    let (cf, split) = lecture.ratings();
    let data = ColumnarModelData::new(&cf, &split, 512, Device::Cpu).unwrap();
    let init = (0.0, 0.1);
    let e = EmbeddingSpec { n_users: cf.users.len(), n_movies: cf.items.len(), n_factors: (7, 7), init };
    let vs = VarStore::new(Device::Cpu);
    let model = EmbeddingDot::new(&vs.root(), &e);
    let mut opt = optim::sgd(&vs, 0.2).weight_decay(3e-3).momentum(0.5);
    let mut history = fit(&model, &data, 1, &mut opt, mse_loss).unwrap();
    opt.set_lrs(0.05);
    history.extend(fit(&model, &data, 2, &mut opt, mse_loss).unwrap());
    lecture.record("embedding_dot", history);

    let settings = lecture.settings_of(ModelKind::Dot, init, &data, &opt);
    assert_eq!(settings.plan.to_string(), "0.2x1,0.05x2");
    assert_eq!((settings.rule, settings.wd), (Rule::Sgd { momentum: 0.5 }, 3e-3));
    assert_eq!(
        (settings.n_factors, settings.init, settings.batch_size, settings.seed),
        ((7, 7), init, 512, 5)
    );
    let figure = lecture.loss_curves("embedding_dot", "changed").unwrap();
    assert!(figure.svg().contains("learning rate 0.05"), "the label has the rate that the cell set");
}
