//! What a fit is made of, with the lecture's value of every setting as its default.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::models::NetSpec;
use crate::optim::Rule;
use crate::schedule::{CosineRestarts, Schedule};

/// The largest seed. libtorch's generator takes the lower 32 bits: with more bits, two seeds could silently be the same.
pub const MOST_SEED: i64 = u32::MAX as i64;

/// The lecture's four models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "harness", derive(clap::ValueEnum))]
pub enum ModelKind {
    /// EmbeddingDot.
    Dot,
    /// EmbeddingDotBias.
    Bias,
    /// EmbeddingNet.
    Net,
    /// fastai's learner: its own EmbeddingDotBias, with Adam and cosine restarts.
    Learner,
}

impl ModelKind {
    /// All of them, in the order of the lecture's numbers.
    pub const ALL: [ModelKind; 4] = [ModelKind::Learner, ModelKind::Dot, ModelKind::Bias, ModelKind::Net];

    /// As `--model` takes it.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Dot => "dot",
            ModelKind::Bias => "bias",
            ModelKind::Net => "net",
            ModelKind::Learner => "learner",
        }
    }

    /// The lecture's fit of this model, as named in metrics.json and reference.toml.
    pub fn lecture_fit(self) -> &'static str {
        match self {
            ModelKind::Dot => "embedding_dot",
            ModelKind::Bias => "embedding_dot_bias",
            ModelKind::Net => "embedding_net",
            ModelKind::Learner => "collab_learner",
        }
    }
}

/// The learning rates of a whole fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Plan {
    /// One `fit` call after another on the same model, each with a rate and a number of epochs.
    Steps(Vec<(f64, usize)>),
    /// One `fit` call under cosine annealing with restarts.
    Cosine(CosineRestarts),
}

impl Plan {
    /// The `fit` calls of the plan: the rate set before each, its schedule, and its epochs.
    pub fn calls(&self) -> Vec<(Option<f64>, Schedule, usize)> {
        match self {
            Plan::Steps(steps) => {
                steps.iter().map(|&(lr, epochs)| (Some(lr), Schedule::Constant, epochs)).collect()
            }
            Plan::Cosine(cosine) => vec![(None, Schedule::Cosine(*cosine), cosine.epochs())],
        }
    }

    /// The plan for a reader, such as "rate 0.1 for 3 epochs".
    pub fn in_words(&self) -> String {
        // Rates that were multiplied have digits that nobody chose.
        let rate = |lr: f64| format!("{lr:.3e}").parse::<f64>().unwrap_or(lr);
        let epochs = |n: &str| format!("{n} epoch{}", if n == "1" { "" } else { "s" });
        match self {
            Plan::Steps(steps) => {
                let step = |&(lr, n): &(f64, usize)| format!("{} for {}", rate(lr), epochs(&n.to_string()));
                format!("rate {}", steps.iter().map(step).collect::<Vec<_>>().join(", then "))
            }
            Plan::Cosine(CosineRestarts { lr, cycles, len, mult }) => {
                let lengths: Vec<String> =
                    (0..*cycles).map(|cycle| (len * mult.pow(cycle as u32)).to_string()).collect();
                let cycles = epochs(&lengths.join(" and "));
                format!("rate from {} down to 0 by a cosine, in cycles of {cycles}", rate(*lr))
            }
        }
    }

    /// The same plan with its rates multiplied by a factor.
    pub fn times(self, factor: f64) -> Plan {
        match self {
            Plan::Steps(steps) => Plan::Steps(steps.into_iter().map(|(lr, n)| (lr * factor, n)).collect()),
            Plan::Cosine(cosine) => Plan::Cosine(CosineRestarts { lr: cosine.lr * factor, ..cosine }),
        }
    }

    /// The rate that the optimizer is made with.
    pub fn first_lr(&self) -> f64 {
        match self {
            Plan::Steps(steps) => steps.first().map_or(0.0, |step| step.0),
            Plan::Cosine(cosine) => cosine.lr,
        }
    }

    /// Where the rate changes between `fit` calls: after how many epochs, and to what.
    pub fn rate_changes(&self) -> Vec<(usize, f64)> {
        let Plan::Steps(steps) = self else { return Vec::new() };
        let mut done = 0;
        let mut changes = Vec::new();
        for &(rate, epochs) in steps {
            changes.push((done, rate));
            done += epochs;
        }
        changes.into_iter().skip(1).collect()
    }
}

impl FromStr for Plan {
    type Err = Error;

    /// `0.1x3,0.01x3`, or `cosine:0.01,cycles=2,len=1,mult=2`.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("cosine:") {
            let (rate, options) = rest.split_once(',').unwrap_or((rest, ""));
            let mut cosine = CosineRestarts { lr: learning_rate(rate)?, cycles: 1, len: 1, mult: 1 };
            let mut seen = Vec::new();
            for option in options.split(',').filter(|o| !o.is_empty()) {
                let (name, value) = option
                    .split_once('=')
                    .with_context(|| format!("'{option}' in the schedule: cycles=N, len=N or mult=N"))?;
                ensure!(!seen.contains(&name), "'{name}' twice in the schedule: leave one out");
                seen.push(name);
                let value = count(value)?;
                match name {
                    "cycles" => cosine.cycles = value,
                    "len" => cosine.len = value,
                    "mult" => cosine.mult = value,
                    _ => bail!("'{name}' in the schedule: it takes cycles, len and mult"),
                }
            }
            let epochs = (0..cosine.cycles as u32).try_fold(0usize, |sum, cycle| {
                sum.checked_add(cosine.len.checked_mul(cosine.mult.checked_pow(cycle)?)?)
            });
            ensure!(epochs.is_some_and(|n| n <= MOST_EPOCHS), "'{text}': more than {MOST_EPOCHS} epochs");
            return Ok(Plan::Cosine(cosine));
        }
        let steps = text.split(',').map(|step| {
            let (rate, epochs) = step
                .split_once('x')
                .with_context(|| format!("'{step}' in the schedule: RATExEPOCHS, as in 0.1x3"))?;
            Ok((learning_rate(rate)?, count(epochs)?))
        });
        let steps: Vec<(f64, usize)> = steps.collect::<Result<_>>()?;
        let epochs: usize = steps.iter().map(|(_, epochs)| epochs).sum();
        ensure!(epochs <= MOST_EPOCHS, "'{text}': more than {MOST_EPOCHS} epochs");
        Ok(Plan::Steps(steps))
    }
}

/// More epochs than this are refused as a typing error.
const MOST_EPOCHS: usize = 100_000;

fn learning_rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse().ok().with_context(|| format!("learning rate '{text}' is not a number"))?;
    ensure!(rate.is_finite() && rate > 0.0, "learning rate '{text}': it must be above zero");
    Ok(rate)
}

fn count(text: &str) -> Result<usize> {
    let n: usize =
        text.parse().ok().with_context(|| format!("'{text}' in the schedule is not a whole number"))?;
    ensure!((1..=MOST_EPOCHS).contains(&n), "'{text}' in the schedule: from 1 to {MOST_EPOCHS}");
    Ok(n)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Plan::Steps(steps) => {
                let steps: Vec<String> =
                    steps.iter().map(|(rate, epochs)| format!("{rate}x{epochs}")).collect();
                write!(f, "{}", steps.join(","))
            }
            Plan::Cosine(CosineRestarts { lr, cycles, len, mult }) => {
                write!(f, "cosine:{lr},cycles={cycles},len={len},mult={mult}")
            }
        }
    }
}

// A saved model keeps a plan as `--schedule` takes it.
impl TryFrom<String> for Plan {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Plan> for String {
    fn from(plan: Plan) -> String {
        plan.to_string()
    }
}

/// Every setting of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Which model.
    pub model: ModelKind,
    /// Which optimizer.
    pub rule: Rule,
    /// Its learning rates.
    pub plan: Plan,
    /// Weight decay: L2, except under AdamW.
    pub wd: f64,
    /// The embeddings start uniform between these.
    pub init: (f64, f64),
    /// Length of the users' and of the movies' vectors.
    pub n_factors: (i64, i64),
    /// Rows in a batch.
    pub batch_size: i64,
    /// Widths of the hidden layers (net).
    pub hidden: Vec<i64>,
    /// Dropout after the embeddings and after each hidden layer (net).
    pub dropout: (f64, f64),
    /// Seed of the one random generator.
    pub seed: i64,
}

impl Settings {
    /// The lecture's own settings for a model.
    pub fn lecture(model: ModelKind) -> Settings {
        let sgd = Rule::Sgd { momentum: 0.9 };
        let (rule, plan, wd, init) = match model {
            ModelKind::Learner => {
                let plan = Plan::Cosine(CosineRestarts { lr: 1e-2, cycles: 2, len: 1, mult: 2 });
                (Rule::Adam, plan, 2e-4, (-0.05, 0.05))
            }
            ModelKind::Dot => (sgd, Plan::Steps(vec![(1e-1, 3), (1e-2, 3)]), 1e-5, (0.0, 0.05)),
            ModelKind::Bias => (sgd, Plan::Steps(vec![(1e-1, 3)]), 2e-4, (-0.01, 0.01)),
            ModelKind::Net => (sgd, Plan::Steps(vec![(1e-2, 3), (1e-3, 3)]), 5e-4, (-0.05, 0.05)),
        };
        Settings {
            model,
            rule,
            plan,
            wd,
            init,
            n_factors: (50, 50),
            batch_size: 64,
            hidden: vec![10],
            dropout: (0.0, 0.0),
            seed: 0,
        }
    }

    /// The layers of the net.
    pub fn net_shape(&self) -> NetSpec {
        NetSpec { hidden: self.hidden.clone(), dropout: self.dropout }
    }

    /// Checks that the settings are consistent.
    ///
    /// # Errors
    /// The vectors differ in length, and the model multiplies them.
    pub fn check(&self) -> Result<()> {
        let (u, m) = self.n_factors;
        ensure!(
            self.model == ModelKind::Net || u == m,
            "a dot product needs vectors of one length, not {u} and {m} (the net takes both)"
        );
        Ok(())
    }
}
