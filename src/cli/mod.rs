//! The command line: parse, dispatch, print the error chain. The commands are the lecture's table of contents.

mod ask;
mod data;
mod sections;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::sections::Section;
use data::Data;
use lecture5::beyond::tune;
use lecture5::fast::{NOT_ON_CUDA, StepperKind};
use lecture5::fit::Options;
use lecture5::history::{Callback, Epoch, FitState};
use lecture5::libtorch::doctor;
use lecture5::notebook::{Echo, html, ipynb};
use lecture5::optim::Rule;
use lecture5::run::lecture::Lecture;
use lecture5::run::options::RunOptions;
use lecture5::run::progress::{self, Telling, epoch_event, say};
use lecture5::saved::checkpoint::Checkpoint;
use lecture5::settings::{ModelKind, Plan, Settings};
use lecture5::system::failure::{self, wrong_use};
use lecture5::system::files;
use lecture5::system::interrupt::{self, Interrupted};
use lecture5::verify::ensemble::{self, Ensemble, Made, Processes};
use lecture5::{libtorch, plots, verify};

/// Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
/// libtorch.
#[derive(Parser)]
#[command(name = "lecture5", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the lecture, or the named sections of it.
    Run(Run),
    /// Train one model, with the lecture's settings or any other.
    Fit(Box<Fit>),
    /// Hold the lecture's numbers against many seeds, or this build against a saved ensemble.
    Verify(Verify),
    /// Which movies, or which people, are similar: asked of a saved model.
    Similar(ask::Similar),
    /// What a user, known or new, should watch next: asked of a saved model.
    Recommend(ask::Recommend),
    /// How a user, known or new, would rate a movie: asked of a saved model.
    Predict(ask::Predict),
    /// Print one run's losses as JSON: what `verify` starts for each seed.
    #[command(hide = true)]
    OneRun(OneRun),
    /// Choose the settings of section `beyond` again, on folds of the training rows, and print every fold's error.
    Tune(Tune),
    /// List the sections.
    List,
    /// Say which libtorch this is, and whether it computes on the CPU and on CUDA.
    Doctor,
}

#[derive(Args)]
struct Common {
    /// Seed of the random generator, set before each fit: 0 to 4294967295.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<i64>(0, MOST_SEED))]
    seed: i64,
    /// Where to compute: auto (CUDA where there is one), cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: String,
    /// The folder to write results to.
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Threads within an operation of the CPU. At batches of 64 a second one gains nothing, and where other
    /// programs are busy it costs many times the run.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<i32>(1, 1024))]
    threads: i32,
    /// Train by the fast stepper instead of libtorch: on the CPU, several times faster, with the same losses to five
    /// digits. It is no test of libtorch.
    #[arg(long)]
    fast: bool,
    /// Resolution of the PNG plots, in dots per inch.
    #[arg(long, value_name = "N", default_value_t = plots::PRINT_DPI, allow_negative_numbers = true, value_parser = whole::<u32>(20, 1200))]
    dpi: u32,
    /// Write each plot as SVG too.
    #[arg(long)]
    svg: bool,
    /// Print nothing but errors.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON object a line: each epoch, and at the end the metrics.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: Data,
}

#[derive(Args)]
struct Run {
    /// Sections to run, as `lecture5 list` names them; all of them when none is named.
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Fit {
    /// The model: dot, bias, net, or learner (fastai's own).
    #[arg(long, value_name = "MODEL")]
    model: ModelKind,
    /// The optimizer: sgd, adam (L2 decay) or adamw [default: the lecture's for the model].
    #[arg(long, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// RATExEPOCHS,… or cosine:RATE,cycles=N,len=N,mult=N [default: the lecture's for the model].
    #[arg(long, value_name = "PLAN", allow_hyphen_values = true)]
    schedule: Option<Plan>,
    /// Weight decay [default: the lecture's for the model].
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = not_negative)]
    wd: Option<f64>,
    /// Momentum of SGD [default: 0.9].
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = share)]
    momentum: Option<f64>,
    /// The embeddings start uniform within ±X, or from LOW to HIGH [default: the lecture's for the model].
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
    /// Dropout after the net's embeddings and after its hidden layers, as in 0.05,0.5; one number for both
    /// [default: 0, which is what the lecture's 0.75 amounted to].
    #[arg(long, value_name = "P[,P]", allow_negative_numbers = true, value_parser = dropout)]
    dropout: Option<(f64, f64)>,
    /// Keep the fit in this folder after each epoch, so that --resume can go on.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Go on from what --checkpoint keeps, as if the fit had never been broken off; with the same settings and
    /// data. Where nothing is kept yet, begin.
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Verify {
    /// How many seeds each fit is run with, from --seed on.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = whole::<u16>(1, 10_000))]
    seeds: u16,
    /// The fits, as in learner,dot,bias,net [default: all].
    #[arg(long, value_name = "FIT,…", value_delimiter = ',')]
    fits: Vec<ModelKind>,
    /// How many runs at a time, each a process [default: as many as there are processors].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    jobs: Option<u16>,
    /// One seed only, --seed: is it the ensemble's own run, where machine and libtorch are the same, and could it
    /// be one more of them where they are not?
    #[arg(long, conflicts_with = "against")]
    quick: bool,
    /// Compare with a saved ensemble, seed by seed: exactly where libtorch and machine are the same.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Take the runs from a saved ensemble instead of running them.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// As a share of the number: the deviation that must be detectable [default: 0.05], or, with --against,
    /// the difference that is let pass [default: 0.005].
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    margin: Option<f64>,
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

#[derive(Args)]
struct Tune {
    /// Folds that the training rows are cut into.
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = whole::<u16>(2, 20))]
    folds: u16,
    /// Steps down the gradient for the weights of the Gaussian process; 0 leaves that out.
    #[arg(long, value_name = "N", default_value_t = 30, allow_negative_numbers = true, value_parser = whole::<u16>(0, 1000))]
    steps: u16,
    /// What to choose again [default: everything].
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    only: Vec<tune::Part>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct OneRun {
    #[arg(long)]
    model: ModelKind,
    #[command(flatten)]
    common: Common,
}

/// libtorch's generator takes the lower 32 bits of a seed: beyond them two seeds would be one without a word.
const MOST_SEED: i64 = u32::MAX as i64;

/// Takes a whole number within bounds, and says which where it is not.
pub(crate) fn whole<T: TryFrom<i64>>(low: i64, high: i64) -> impl Fn(&str) -> Result<T> + Clone {
    move |text| {
        let n = text.trim().parse::<i64>().ok().filter(|n| (low..=high).contains(n));
        let n = n.and_then(|n| T::try_from(n).ok());
        n.with_context(|| format!("it must be a whole number from {low} to {high}"))
    }
}

fn device(text: &str) -> Result<String> {
    ensure!(libtorch::is_device(text), "{}", libtorch::DEVICES);
    Ok(text.to_owned())
}

fn number(text: &str) -> Result<f64> {
    let x: f64 = text.trim().parse().ok().with_context(|| format!("'{text}' is not a number"))?;
    ensure!(x.is_finite(), "'{text}' is not a finite number");
    Ok(x)
}

fn not_negative(text: &str) -> Result<f64> {
    let x = number(text)?;
    ensure!(x >= 0.0, "it must not be negative");
    Ok(x)
}

fn share(text: &str) -> Result<f64> {
    let x = number(text)?;
    ensure!((0.0..1.0).contains(&x), "it must be at least 0 and below 1");
    Ok(x)
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
    ensure!(low.abs().max(high.abs()) <= 1e6, "they must lie within a million");
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

/// Parses the arguments and runs the command. Status 2: used wrongly; 1: failed; 130: interrupted.
pub fn main() -> ExitCode {
    failure::tell_panics_in_a_line();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => run(args),
        Command::Fit(args) => fit(*args),
        Command::Verify(args) => verify(args),
        Command::Similar(args) => ask::similar(args),
        Command::Recommend(args) => ask::recommend(args),
        Command::Predict(args) => ask::predict(args),
        Command::Tune(args) => {
            let lecture = args.common.check_out(&["tune.json"]).and_then(|()| args.common.begin());
            lecture.and_then(|l| tune::run(&l, args.folds.into(), args.steps.into(), &args.only))
        }
        Command::OneRun(args) => one_run(args),
        Command::List => list(),
        Command::Doctor => examine(),
    };
    match outcome.and_then(|()| progress::all_was_said()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

impl Common {
    fn telling(&self) -> Telling {
        match (self.quiet, self.json) {
            (true, _) => Telling::Quiet,
            (_, true) => Telling::Json,
            _ => Telling::Plain,
        }
    }

    /// Whether results could be written, before an hour is spent on them: these files, where `_` is any.
    fn check_out(&self, files: &[&str]) -> Result<()> {
        files.iter().try_for_each(|file| files::check_writable(&self.out.join(file)))
    }

    /// Sets the process up, reads the data and begins a run.
    fn begin(&self) -> Result<Lecture> {
        self.data.check().map_err(wrong_use)?;
        let device = libtorch::device(&self.device)?;
        // Before libtorch starts its threads, which inherit it.
        libtorch::flush_subnormals();
        tch::set_num_threads(self.threads);
        let stepper = if self.fast { StepperKind::Fast } else { StepperKind::Libtorch };
        if self.fast && device != tch::Device::Cpu {
            return Err(wrong_use(format!("--fast: {NOT_ON_CUDA}")));
        }
        let ml = self.data.read()?;
        // Until here nothing is lost by a Ctrl-C that ends the process at once.
        interrupt::listen()?;
        let run = RunOptions {
            seed: self.seed,
            device,
            stepper,
            split: self.data.split(),
            out: self.out.clone(),
            dpi: self.dpi,
            svg: self.svg,
            telling: self.telling(),
        };
        Lecture::new(run, ml)
    }
}

fn run(args: Run) -> Result<()> {
    let chosen = sections::choose(&args.sections).map_err(wrong_use)?;
    args.common.check_out(&[
        "metrics.json",
        "lecture.html",
        "plots/_",
        "notebooks/_",
        "excel/_",
        "models/_",
    ])?;
    let mut lecture = args.common.begin()?;
    let telling = lecture.run.telling;
    let mut notebooks = Vec::new();
    let mut interrupted = None;
    for (at, section) in chosen.iter().enumerate() {
        lecture.at_section = (at + 1, chosen.len());
        let echo = if telling == Telling::Plain { Echo::Plain } else { Echo::Quiet };
        let outcome = interrupt::check().and_then(|()| section.run(&mut lecture, echo));
        if let Err(error) = &outcome
            && error.is::<Interrupted>()
        {
            interrupted = Some(Error::new(Interrupted).context(missing(&chosen, at, &lecture.run.out)));
            break;
        }
        notebooks.push(outcome.with_context(|| format!("section {}", section.name))?);
        if telling == Telling::Plain {
            say("");
        }
    }
    if notebooks.is_empty()
        && let Some(error) = interrupted
    {
        return Err(error);
    }
    if let Some(figure) = lecture.all_validation_losses()? {
        lecture.write_plot(&figure)?;
    }
    write_metrics(&lecture)?;
    ipynb::write(&notebooks, &lecture.run.out.join("notebooks"))?;
    files::write_whole(
        &lecture.run.out.join("lecture.html"),
        html::write(&notebooks, &about(&lecture)).as_bytes(),
    )?;
    match interrupted {
        Some(error) => Err(error),
        None => finish(&lecture),
    }
}

/// What to tell whoever interrupted a run in the section `at`: what is whole, and how to get the rest.
fn missing(chosen: &[&Section], at: usize, out: &Path) -> String {
    let names = |part: &[&Section]| part.iter().map(|s| s.name).collect::<Vec<_>>().join(" ");
    let here = chosen[at].name;
    if at == 0 {
        return format!("interrupted in section {here}: no section is whole");
    }
    format!(
        "interrupted in section {here}: {} are whole, and metrics.json and lecture.html in {} hold these. For the rest: \
         lecture5 run {} --out ANOTHER",
        names(&chosen[..at]),
        out.display(),
        names(&chosen[at..])
    )
}

/// What lecture.html says of the run as a whole.
fn about(lecture: &Lecture) -> html::RunInfo {
    let m = &lecture.metrics;
    let pair = |name: &str, value: String| (name.to_owned(), value);
    html::RunInfo {
        title: "Lecture 5: collaborative filtering on MovieLens".to_owned(),
        introduction: "Lecture 5 of fast.ai's *Deep Learning for Coders* (2017), reproduced in Rust over libtorch. \
                       Every cell below was run to make this page."
            .to_owned(),
        comparison: (!m.fits.is_empty()).then(|| m.beside_the_lecture()),
        comparison_note: "Mean squared errors, in stars². *Training* is the debiased running mean at the end of the \
                          epoch, *validation* the mean over the batches held out. Each comes from one random start; \
                          the lecture's came from another."
            .to_owned(),
        settings: vec![
            pair("seed", m.seed.to_string()),
            pair("data", lecture.ml.snapshot.name()),
            pair(&lecture.ml.file_name(), format!("sha256 {}", lecture.ml.sha256)),
            pair("split", lecture.run.split.to_string()),
        ],
        machine: vec![
            pair("device", m.device.clone()),
            pair("threads", m.threads.to_string()),
            pair("libtorch", m.libtorch.clone()),
            pair("stepper", m.stepper.name().to_owned()),
            pair("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ],
    }
}

fn write_metrics(lecture: &Lecture) -> Result<()> {
    let text = serde_json::to_string_pretty(&lecture.metrics)? + "\n";
    files::write_whole(&lecture.run.out.join("metrics.json"), text.as_bytes())
}

/// The last words of a run: the table, and where the files are.
fn finish(lecture: &Lecture) -> Result<()> {
    match lecture.run.telling {
        Telling::Quiet => {}
        Telling::Json => say(json!({"event": "done", "metrics": lecture.metrics})),
        Telling::Plain => {
            if !lecture.metrics.fits.is_empty() {
                say(lecture.metrics.beside_the_lecture().to_text());
            }
            if let Some(why) = lecture.why_not_the_lectures() {
                say(format!("{why}: the lecture's numbers are left out."));
            }
            say(format!("Results are in {}/", lecture.run.out.display()));
        }
    }
    Ok(())
}

impl Fit {
    /// The lecture's settings for the model, with what was asked for instead.
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
}

fn fit(args: Fit) -> Result<()> {
    let settings = args.settings().map_err(wrong_use)?;
    args.common.check_out(&["metrics.json", "plots/_", "models/_"])?;
    let mut lecture = args.common.begin()?;
    let name = settings.model.name();
    let mut learner = lecture.learner(&settings)?;
    let telling = lecture.run.telling;
    let mut checkpoint =
        args.checkpoint.as_deref().map(|folder| Checkpoint::new(folder, lecture.card(&settings)));
    let resume = match &mut checkpoint {
        Some(checkpoint) if checkpoint.take_over(args.resume)? => checkpoint.load(&mut learner)?,
        _ => FitState::default(),
    };
    let mut done = resume.history.epochs.len();
    if args.resume && telling == Telling::Plain {
        say(match done {
            0 => "Nothing is kept yet: the fit begins.".to_owned(),
            done => format!("Resuming after {done} epochs."),
        });
    }
    let tell = |epoch: &Epoch| {
        match telling {
            Telling::Quiet => {}
            Telling::Plain => say(epoch),
            Telling::Json => say(epoch_event(name, done, epoch)),
        }
        done += 1;
    };
    let mut options = Options { resume, ..lecture.options_of(name.to_owned(), tell) };
    options.callbacks.extend(checkpoint.as_mut().map(|c| Box::new(c) as Box<dyn Callback>));
    let history = learner.fit_plan(options).map_err(|error| match &checkpoint {
        _ if !error.is::<Interrupted>() => error,
        Some(checkpoint) => error.context(checkpoint.how_to_resume()),
        None => error
            .context("interrupted: nothing was kept; with --checkpoint DIR a fit is kept after each epoch"),
    })?;

    let (preds, y) = (learner.predict()?, Vec::<f32>::try_from(&learner.data.val.y)?);
    let set_lrs = settings.plan.rate_changes();
    let rates = history.rates.clone();
    lecture.record(name, history);
    lecture.write_plot(&lecture.loss_curves(name, &format!("Loss of --model {name}"), &set_lrs)?)?;
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

fn one_run(args: OneRun) -> Result<()> {
    let lecture = args.common.begin()?;
    let mut learner = lecture.learner(&lecture.settings(args.model))?;
    let history = learner.fit_plan(lecture.quiet_options())?;
    let made = Made::here(&lecture);
    let losses = history.epochs.iter().flat_map(|e| [e.trn, e.val]).collect();
    say(serde_json::to_string(&ensemble::OneRun { made, losses })?);
    Ok(())
}

impl Verify {
    /// Runs the seeds, or reads them.
    fn ensemble(&self) -> Result<Ensemble> {
        let mut models = ModelKind::ALL.to_vec();
        if !self.fits.is_empty() {
            models.retain(|model| self.fits.contains(model));
        }
        if let Some(path) = &self.from {
            let mut saved = Ensemble::read(path)?;
            saved.fits.retain(|fit| models.iter().any(|model| model.lecture_fit() == fit.name));
            ensure!(!saved.fits.is_empty(), "{}: it has none of these fits", path.display());
            return Ok(saved);
        }
        let (first, n) = (self.common.seed, if self.quick { 1 } else { self.seeds });
        let seeds: Vec<i64> = (0..i64::from(n)).map(|at| first + at).collect();
        let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let how = Processes {
            jobs: self.jobs.map_or(processors, usize::from),
            device: self.common.device.clone(),
            data: self.common.data.arguments(),
            threads: self.common.threads,
            fast: self.common.fast,
            command: format!(
                "lecture5 verify --seeds {n} --seed {first} --fits {} --device {} --threads {}{}",
                names.join(","),
                self.common.device,
                self.common.threads,
                if self.common.fast { " --fast" } else { "" }
            ),
        };
        let bar = progress::count("runs", self.common.telling(), models.len() * seeds.len());
        let fits: Vec<_> = models.into_iter().map(|model| (model, seeds.clone())).collect();
        let ensemble = ensemble::run(&fits, &how, &|_, _| bar.inc(1));
        bar.finish_and_clear();
        ensemble
    }

    /// Refuses ratings that are not those of `saved`, before anything is run on them.
    fn same_ratings(&self, saved: &Ensemble, whose: &str) -> Result<()> {
        let (ours, place) = match &self.from {
            Some(path) => (Ensemble::read(path)?.made.data, path.display().to_string()),
            None => (self.common.data.read()?.id(self.common.data.split()), self.common.data.shown()),
        };
        ensure!(
            ours == saved.made.data,
            "{whose} to other ratings (sha256 {}) than {} has (sha256 {ours}): their losses cannot be compared",
            saved.made.data,
            place
        );
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        files::write_whole(&self.common.out.join(name), text.as_bytes())
    }

    /// verify.json, and the same on one line with --json.
    fn write_json(&self, value: &serde_json::Value) -> Result<()> {
        self.write("verify.json", &(serde_json::to_string_pretty(value)? + "\n"))?;
        if self.common.telling() == Telling::Json {
            say(value);
        }
        Ok(())
    }

    fn tell(&self, text: impl std::fmt::Display) {
        if self.common.telling() == Telling::Plain {
            say(text);
        }
    }

    /// This build against a saved ensemble.
    fn against(&self, path: &Path) -> Result<()> {
        let saved = Ensemble::read(path)?;
        self.same_ratings(&saved, &format!("{} belongs", path.display()))?;
        let ours = self.ensemble()?;
        let found = verify::against(&saved, &ours, self.margin.unwrap_or(verify::AGAINST_MARGIN))?;
        self.write_json(&json!({
            "saved": {"file": path, "command": saved.command, "made": saved.made}, "command": ours.command,
            "made": ours.made, "comparison": found,
        }))?;
        ours.write(&self.common.out.join("ensemble.json"))?;
        self.tell(found.table().to_text());
        self.tell(found.rule());
        self.tell(format!("Results are in {}/", self.common.out.display()));
        found.ensure_the_same(&path.display().to_string())
    }

    /// The lecture's numbers, or with --quick those of one seed, against an ensemble.
    fn inside(&self) -> Result<()> {
        let margin = self.margin.unwrap_or(verify::MARGIN);
        let mut committed = verify::committed()?;
        self.same_ratings(&committed, "the lecture's numbers and the ensemble belong")?;
        let ours = self.ensemble()?;
        let (judged, report, ensemble, same) = if self.quick {
            let report = verify::inside(&committed, &ours, margin)?;
            let same = match verify::has_the_same_runs(&committed, &ours) {
                true => Some(verify::against(&committed, &ours, verify::AGAINST_MARGIN)?),
                false => None,
            };
            committed.fits.retain(|fit| ours.fit(&fit.name).is_some());
            ("this run", report, committed, same)
        } else {
            ours.write(&self.common.out.join("ensemble.json"))?;
            ("lecture", verify::beside_the_lecture(&ours, margin)?, ours.clone(), None)
        };
        self.write_json(&json!({
            "judged": judged, "command": ensemble.command, "made": ensemble.made,
            "run": self.quick.then(|| json!({"command": ours.command, "made": ours.made, "fits": ours.fits})),
            "comparison": same, "report": report,
        }))?;
        // Where the lecture is judged, "this run" is the first seed: the one that `lecture5 run` shows.
        verify::figure(&ensemble, Some(&ours))?.save(
            &self.common.out.join("plots"),
            self.common.dpi,
            self.common.svg,
        )?;
        self.tell(report.table(judged).to_text());
        self.tell(report.fits_table().to_text());
        self.tell(report.summary());
        match &same {
            Some(found) => self.tell(found.rule()),
            None if self.quick => self.tell(verify::why_not_exact(&ensemble, &ours)),
            None => {}
        }
        self.tell(format!("Results are in {}/", self.common.out.display()));
        let deviations = report.deviations();
        ensure!(deviations.is_empty(), "{} deviate: {}", deviations.len(), deviations.join("; "));
        same.map_or(Ok(()), |found| found.ensure_the_same("the ensemble that comes with the program"))
    }
}

fn verify(args: Verify) -> Result<()> {
    let (n, first) = (usize::from(args.seeds), args.common.seed);
    if args.from.is_none() && !args.quick {
        let fewest = verify::FEWEST_RUNS;
        if args.against.is_none() && n < fewest {
            return Err(wrong_use(format!("--seeds {n}: it takes at least {fewest} to tell a spread")));
        }
        if first + n as i64 - 1 > MOST_SEED {
            return Err(wrong_use(format!(
                "--seed {first} and {n} seeds from it on: they end at {MOST_SEED}"
            )));
        }
    }
    args.common.check_out(&["verify.json", "ensemble.json", "plots/_"])?;
    match &args.against {
        Some(path) => args.against(path),
        None => args.inside(),
    }
}

fn list() -> Result<()> {
    let width = sections::SECTIONS.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for section in sections::SECTIONS {
        let nb = section.notebook(Echo::Quiet);
        say(format!("{:width$}  {}", section.name, nb.summary()));
    }
    Ok(())
}

fn examine() -> Result<()> {
    let report = doctor::examine();
    for line in &report.lines {
        say(line);
    }
    ensure!(report.faults.is_empty(), "{}", report.faults.join("; "));
    Ok(())
}
