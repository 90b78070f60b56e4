//! `lecture5 fit`: one training run with any setting.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::common::{Common, finish, write_metrics};
use super::earlier;
use super::parse::{not_negative, number, share, whole};
use lecture5::fit::Options;
use lecture5::history::{Callback, Epoch, FitState};
use lecture5::optim::Rule;
use lecture5::plots;
use lecture5::run::progress::{Telling, epoch_event};
use lecture5::saved::checkpoint::Checkpoint;
use lecture5::settings::{ModelKind, Plan, Settings};
use lecture5::system::failure::wrong_use;
use lecture5::system::interrupt::{self, Interrupted};
use lecture5::system::lock::Lock;
use lecture5::system::terminal::say;

const EXAMPLES: &str = "\
Examples:
  lecture5 fit --model dot                            as the lecture did
  lecture5 fit --model dot --schedule 0.1x3,0.01x3    3 epochs at a rate of 0.1, then 3 at 0.01
  lecture5 fit --model bias --schedule cosine:0.01,cycles=2,len=1,mult=2
                                                      2 cosine cycles from 0.01, of 1 and 2 epochs
  lecture5 fit --model net --hidden 50,10 --dropout 0.05,0.5";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Fit {
    /// The model: dot, bias, net, or learner (fastai's own).
    #[arg(long, value_name = "MODEL")]
    model: ModelKind,
    /// The optimizer: sgd, adam (L2 decay) or adamw [default: the lecture's for the model].
    #[arg(long, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// Learning rates and epochs: RATExEPOCHS,… as in 0.1x3,0.01x3; or cosine annealing with restarts, as in
    /// cosine:0.01,cycles=2,len=1,mult=2: a rate, a number of cycles, the epochs of the first, and how many times as long
    /// each next one is [default: the lecture's for the model].
    #[arg(long, value_name = "PLAN", allow_hyphen_values = true)]
    schedule: Option<Plan>,
    /// Weight decay [default: the lecture's for the model].
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = not_negative)]
    wd: Option<f64>,
    /// Momentum of SGD [default: 0.9].
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = share)]
    momentum: Option<f64>,
    /// The embeddings start with uniform numbers within ±X, or from LOW to HIGH [default: the lecture's for the model].
    #[arg(long, value_name = "X|LOW:HIGH", value_parser = bounds, allow_hyphen_values = true)]
    init: Option<(f64, f64)>,
    /// Length of the embeddings' vectors; for the net also USERS,MOVIES [default: 50].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = factors)]
    factors: Option<(i64, i64)>,
    /// Ratings in a batch.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true, value_parser = whole::<i64>(1, 100_000_000))]
    batch_size: i64,
    /// Widths of the net's hidden layers, as in 50,10 [default: 10].
    #[arg(long, value_name = "N,…", value_delimiter = ',', allow_negative_numbers = true, value_parser = whole::<i64>(1, 100_000))]
    hidden: Option<Vec<i64>>,
    /// Dropout after the net's embeddings and after its hidden layers, as in 0.05,0.5; one number for both [default: 0,
    /// since the lecture's 0.75 had no effect].
    #[arg(long, value_name = "P[,P]", allow_negative_numbers = true, value_parser = dropout)]
    dropout: Option<(f64, f64)>,
    /// Save the fit as a checkpoint in this folder after each epoch, so that --resume can continue it.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Continue from the checkpoint, with the same settings and data, as if the fit had never been interrupted. If
    /// there is no checkpoint yet, begin. From a card to the CPU, or back, only if --device names where to.
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Replace what another run has left in --out, instead of adding to it or refusing.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    common: Common,
}

/// The values of `--optimizer`.
#[derive(Clone, Copy, ValueEnum)]
enum OptimizerName {
    Sgd,
    Adam,
    #[value(name = "adamw")]
    AdamW,
}

fn bounds(text: &str) -> Result<(f64, f64)> {
    let (low, high) = match text.split_once(':') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => {
            let x = number(text)?;
            ensure!(x >= 0.0, "within ±{x}: give the positive bound, or LOW:HIGH");
            (-x, x)
        }
    };
    ensure!(low <= high, "from {low} to {high}: the lower bound comes first");
    ensure!(low.abs().max(high.abs()) <= 1e6, "they must be within a million");
    Ok((low, high))
}

fn factors(text: &str) -> Result<(i64, i64)> {
    let length = |text: &str| -> Result<i64> {
        let n: i64 = text.trim().parse().ok().with_context(|| format!("'{text}' is not a whole number"))?;
        ensure!((1..=100_000).contains(&n), "'{text}': from 1 to 100000");
        Ok(n)
    };
    match text.split_once(',') {
        Some((users, movies)) => Ok((length(users)?, length(movies)?)),
        None => length(text).map(|n| (n, n)),
    }
}

fn dropout(text: &str) -> Result<(f64, f64)> {
    match text.split_once(',') {
        Some((embeddings, hidden)) => Ok((share(embeddings)?, share(hidden)?)),
        None => share(text).map(|p| (p, p)),
    }
}

impl Fit {
    /// The lecture's settings for the model, with those given by options instead.
    fn settings(&self) -> Result<Settings> {
        let mut s = Settings::lecture(self.model);
        s.seed = self.common.seed;
        s.batch_size = self.batch_size;
        let momentum = self.momentum.unwrap_or(0.9);
        match self.optimizer {
            Some(OptimizerName::Sgd) => s.rule = Rule::Sgd { momentum },
            Some(OptimizerName::Adam) => s.rule = Rule::Adam,
            Some(OptimizerName::AdamW) => s.rule = Rule::AdamW,
            None => {
                if let Rule::Sgd { .. } = s.rule {
                    s.rule = Rule::Sgd { momentum };
                }
            }
        }
        if self.momentum.is_some() && !matches!(s.rule, Rule::Sgd { .. }) {
            bail!(
                "--momentum belongs to sgd, and this fit uses {:?}; leave it out or take --optimizer sgd",
                s.rule
            );
        }
        if let Some(plan) = &self.schedule {
            s.plan = plan.clone();
        }
        if let Some(wd) = self.wd {
            s.wd = wd;
        }
        if let Some(init) = self.init {
            s.init = init;
        }
        if let Some(factors) = self.factors {
            s.n_factors = factors;
        }
        if self.model != ModelKind::Net {
            ensure!(
                self.hidden.is_none(),
                "--hidden belongs to --model net; {} has no layers",
                self.model.name()
            );
            ensure!(
                self.dropout.is_none(),
                "--dropout belongs to --model net; {} drops nothing",
                self.model.name()
            );
        }
        if let Some(hidden) = &self.hidden {
            s.hidden = hidden.clone();
        }
        if let Some(dropout) = self.dropout {
            s.dropout = dropout;
        }
        s.check().context("--factors")?;
        Ok(s)
    }

    /// Locks the folder of the checkpoint, unless it is that of the results, which is locked already.
    fn lock_checkpoint(&self) -> Result<Option<Lock>> {
        let Some(folder) = &self.checkpoint else { return Ok(None) };
        let whole = |path: &Path| std::fs::canonicalize(path).ok();
        let same = whole(folder).is_some() && whole(folder) == whole(&self.common.out);
        (!same).then(|| Lock::take(folder, "--checkpoint")).transpose()
    }
}

const NOTHING_KEPT: &str =
    "interrupted: nothing was saved; with --checkpoint DIR a fit is saved after each epoch";

/// `lecture5 fit`
pub fn fit(args: Fit) -> Result<()> {
    let settings = args.settings().map_err(wrong_use)?;
    args.common.check_out(&["metrics.json", "plots/_", "models/_"])?;
    let mut lecture = args.common.begin()?;
    let _lock = args.common.lock_out()?;
    let _checkpoint_lock = args.lock_checkpoint()?;
    let name = settings.model.name();
    earlier::of_a_lecture(&mut lecture, args.fresh)?;
    let mut learner = lecture.learner(&settings)?;
    let telling = lecture.run.telling;
    let mut checkpoint =
        args.checkpoint.as_deref().map(|folder| Checkpoint::new(folder, lecture.card(&settings)));
    let resume = match &mut checkpoint {
        Some(checkpoint) if checkpoint.take_over(args.resume)? => {
            checkpoint.load(&mut learner, args.common.device != "auto")?
        }
        _ => FitState::default(),
    };
    let mut done = resume.history.epochs.len();
    if args.resume && telling == Telling::Plain {
        say(match done {
            0 => "There is no checkpoint yet: the fit begins.".to_owned(),
            done => format!("Resuming after {done} epochs."),
        });
    }
    let mut has_heads = false;
    let tell = |epoch: &Epoch| {
        match telling {
            Telling::Quiet | Telling::Live => {}
            Telling::Plain => {
                if !std::mem::replace(&mut has_heads, true) {
                    say(Epoch::HEADS);
                }
                say(epoch);
            }
            Telling::Json => say(epoch_event(name, done, epoch)),
        }
        done += 1;
    };
    if checkpoint.is_none() {
        interrupt::last_words(NOTHING_KEPT.to_owned());
    }
    let mut options = Options { resume, ..lecture.options_of(name.to_owned(), tell) };
    options.callbacks.extend(checkpoint.as_mut().map(|c| Box::new(c) as Box<dyn Callback>));
    let history = learner.fit_plan(options).map_err(|error| match &checkpoint {
        _ if !error.is::<Interrupted>() => error,
        Some(checkpoint) => error.context(checkpoint.how_to_resume()),
        None => error.context(NOTHING_KEPT),
    })?;

    let (preds, y) = (learner.predict()?, Vec::<f32>::try_from(&learner.data.val.y)?);
    let rates = history.rates.clone();
    lecture.record(name, history);
    lecture.write_plot(&lecture.loss_curves(name, &format!("Loss of --model {name}"))?)?;
    let title = format!("--model {name}: predicted and true ratings");
    lecture.write_plot(&plots::joint(&format!("{name}_joint"), &title, &preds, &y, true)?)?;
    if let Plan::Cosine(_) = settings.plan {
        let title = "Learning rate: cosine annealing with restarts";
        lecture.write_plot(&plots::lr_schedule(
            &format!("{name}_rates"),
            title,
            &rates,
            learner.data.n_batches(),
        )?)?;
    }
    lecture.save(name, &settings, &learner.opt)?;
    write_metrics(&lecture)?;
    finish(&lecture)
}
