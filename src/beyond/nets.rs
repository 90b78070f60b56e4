//! The lecture's own models as rows of the table, and the variations of EmbeddingNet that the lecture suggests.

use std::time::Instant;

use anyhow::Result;
use tch::Device;

use crate::fast::StepperKind;
use crate::fit::{Options, VAL_BATCH, validate};
use crate::learner::Learner;
use crate::movielens::Split;
use crate::run::lecture::Lecture;
use crate::schedule::{OneCycle, Schedule};
use crate::settings::{ModelKind, Plan, Settings};

/// The lecture's fits with the names that its text gives the models.
pub const LECTURE: [(&str, ModelKind); 4] = [
    ("EmbeddingDot", ModelKind::Dot),
    ("EmbeddingDotBias", ModelKind::Bias),
    ("EmbeddingNet", ModelKind::Net),
    ("fastai's learner", ModelKind::Learner),
];

/// The options of this module's fits. On the CPU the fast stepper trains all of them, even if libtorch trains the
/// lecture's: one waits a fifth of the time, for the same losses to five digits.
fn options(lecture: &Lecture, name: &str) -> Options<'static> {
    let on_cpu = lecture.run.device == Device::Cpu;
    lecture.minor_options(name, if on_cpu { StepperKind::Fast } else { lecture.run.stepper })
}

/// The predictions of one of the lecture's models for the held-out rows, in stars, and its training time in seconds.
/// The model is the one that this run has trained; if there is none, it is trained now, as the lecture does.
pub fn lecture_model(lecture: &Lecture, model: ModelKind) -> Result<(Vec<f64>, f64)> {
    if let Some((stars, seconds)) = lecture.predictions(model.lecture_fit()) {
        return Ok((stars.iter().copied().map(f64::from).collect(), seconds));
    }
    let started = Instant::now();
    let mut learner = lecture.learner(&lecture.settings(model))?;
    learner.fit_plan(options(lecture, model.lecture_fit()))?;
    let stars = learner.predict()?.into_iter().map(f64::from).collect();
    Ok((stars, started.elapsed().as_secs_f64()))
}

/// EmbeddingNet with something changed.
#[derive(Debug, Clone)]
pub struct Variation {
    /// What is changed.
    pub name: &'static str,
    /// All settings.
    pub settings: Settings,
    /// Weight decay of single layers, if it differs from the others'.
    pub decay: Vec<(&'static str, f64)>,
    /// One cycle instead of the plan of the settings.
    pub one_cycle: Option<OneCycle>,
}

/// Epochs of a variation: the lecture's two rates, but half as long.
const EPOCHS: usize = 3;

/// What the lecture suggests: "add dropout", "use embeddings of different sizes", "add more hidden layers with more
/// nodes", "add different amounts of regularization" and, by its learner, other schedules.
/// `one_cycle_lr` is the highest rate of the one-cycle variation.
pub fn variations(seed: i64, one_cycle_lr: f64) -> Vec<Variation> {
    let lecture =
        Settings { seed, plan: Plan::Steps(vec![(1e-2, 2), (1e-3, 1)]), ..Settings::lecture(ModelKind::Net) };
    let with = |name, change: &dyn Fn(&mut Settings)| {
        let mut settings = lecture.clone();
        change(&mut settings);
        Variation { name, settings, decay: Vec::new(), one_cycle: None }
    };
    let one_cycle = Some(OneCycle { lr: one_cycle_lr, epochs: EPOCHS });
    vec![
        with("as in the lecture", &|_| {}),
        with("dropout: embeddings 0.05, hidden 0.5", &|s| s.dropout = (0.05, 0.5)),
        with("dropout 0.75, really on", &|s| s.dropout = (0.75, 0.75)),
        with("20 for a user, 80 for a movie", &|s| s.n_factors = (20, 80)),
        with("deeper: hidden layers of 50, 10", &|s| s.hidden = vec![50, 10]),
        with("wider: a hidden layer of 100", &|s| s.hidden = vec![100]),
        Variation {
            decay: vec![("u", 2e-3), ("m", 2e-3), ("lin1", 0.0), ("lin2", 0.0)],
            ..with("decay 0.002, embeddings only", &|_| {})
        },
        Variation { one_cycle, ..with("one cycle", &|_| {}) },
    ]
}

/// A variation's validation loss before the first epoch and after each, trained and validated on `split`; every row
/// weighs the same.
pub fn losses(lecture: &Lecture, split: &Split, variation: &Variation) -> Result<Vec<f64>> {
    let (cf, _) = lecture.ratings();
    let mut learner = Learner::new(&cf, split, &variation.settings, lecture.run.device)?;
    for (layer, decay) in &variation.decay {
        learner.opt.set_decay(layer, *decay)?;
    }
    let (_, before) = validate(&*learner.model, &learner.data.val, VAL_BATCH)?;
    let options = options(lecture, variation.name);
    let history = match variation.one_cycle {
        Some(cycle) => {
            learner.fit(cycle.epochs, Options { schedule: Schedule::OneCycle(cycle), ..options })?
        }
        None => learner.fit_plan(options)?,
    };
    let after = history.epochs.iter().map(|epoch| epoch.val_by_rows);
    Ok(std::iter::once(before).chain(after).collect())
}

/// What the learning-rate finder sees with the lecture's EmbeddingNet on `split`.
pub fn find_lr(lecture: &Lecture, split: &Split) -> Result<Vec<(f64, f64)>> {
    let (cf, _) = lecture.ratings();
    let settings = lecture.settings(ModelKind::Net);
    Learner::new(&cf, split, &settings, lecture.run.device)?
        .lr_find((1e-5, 10.0), options(lecture, "learning-rate finder"))
}

/// fastai's rule for the finder's result: a tenth of the rate at which the loss is lowest, here to one digit. If the
/// finder found nothing, the lecture's 0.01.
pub fn suggested_lr(found: &[(f64, f64)]) -> f64 {
    let lowest = found.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.1, |(rate, _)| *rate);
    format!("{:.0e}", lowest / 10.0).parse().unwrap_or(0.01)
}
