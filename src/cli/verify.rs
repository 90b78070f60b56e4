//! `lecture5 verify`: the lecture's numbers against many seeds, or this build against a saved ensemble.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;

use super::common::Common;
use super::parse::{not_negative, whole};
use lecture5::libtorch::device;
use lecture5::run::progress::{self, Telling};
use lecture5::settings::{MOST_SEED, ModelKind};
use lecture5::system::failure::{complain, unjudged, wrong_use};
use lecture5::system::terminal::say;
use lecture5::system::{files, interrupt, memory};
use lecture5::verify;
use lecture5::verify::ensemble::{self, Ensemble, Environment, Processes};

#[derive(Args)]
pub struct Verify {
    /// How many seeds each fit is run with, starting at --seed.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = whole::<u16>(1, 10_000))]
    seeds: u16,
    /// The fits, as in learner,dot,bias,net [default: all].
    #[arg(long, value_name = "FIT,…", value_delimiter = ',')]
    fits: Vec<ModelKind>,
    /// How many runs at a time, each a process [default: the number of processors; on a card 1, and 4 at most,
    /// since each takes some of its memory and they wait for each other].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    jobs: Option<u16>,
    /// Run one seed only, --seed. It must be the ensemble's own run if machine and libtorch are the same; otherwise it
    /// must look like one more of them.
    #[arg(long, conflicts_with = "against")]
    quick: bool,
    /// Compare with a saved ensemble, seed by seed: exactly if libtorch and machine are the same.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Take the runs from a saved ensemble instead of running them.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The deviation that must be detectable, as a share of the number [default: 0.05]; with --against, the difference
    /// that is accepted [default: 0.005].
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    margin: Option<f64>,
    #[command(flatten)]
    common: Common,
}

/// The arguments of the command that `verify` starts for each seed.
#[derive(Args)]
pub struct OneRun {
    #[arg(long)]
    model: ModelKind,
    /// End when the standard input ends, that is, together with the process at its other end.
    #[arg(long)]
    end_with_stdin: bool,
    #[command(flatten)]
    common: Common,
}

/// `lecture5 verify`
pub fn verify(args: Verify) -> Result<()> {
    let (n, first) = (usize::from(args.seeds), args.common.seed);
    if args.from.is_none() && !args.quick {
        let fewest = verify::FEWEST_RUNS;
        if args.against.is_none() && n < fewest {
            return Err(wrong_use(format!("--seeds {n}: it takes at least {fewest} to estimate a spread")));
        }
        if first + n as i64 - 1 > MOST_SEED {
            return Err(wrong_use(format!(
                "--seed {first} and {n} seeds from it on: they end at {MOST_SEED}"
            )));
        }
    }
    args.common.check_out(&["verify.json", "ensemble.json", "plots/_"])?;
    let _lock = args.common.lock_out()?;
    match &args.against {
        Some(path) => args.against(path),
        None => args.inside(),
    }
}

/// Bytes that a process takes before it reads anything, most of them libtorch's.
const PROCESS: u64 = 300 << 20;
/// Bytes that it takes for each rating: in the file, in the table, as indices, and twice as tensors.
const PER_ROW: u64 = 200;

/// How many runs at a time.
fn jobs(asked: Option<u16>, on_card: bool) -> Result<usize> {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let most = if on_card { MOST_ON_A_CARD } else { u16::MAX };
    match asked {
        Some(asked) => {
            ensure!(asked <= most, "--jobs {asked}: on a card at most {most}");
            Ok(asked.into())
        }
        None => Ok(if on_card { 1 } else { processors }),
    }
}

/// Each run holds some hundred MB of the card for its context.
const MOST_ON_A_CARD: u16 = 4;

impl Verify {
    /// Runs the seeds, or reads them.
    fn ensemble(&self, rows: usize) -> Result<Ensemble> {
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
        // Once for all runs, and the note only once.
        let device = device::name(self.common.choose_device()?.device);
        let wanted = jobs(self.jobs, device != "cpu").map_err(wrong_use)?;
        let jobs = memory::at_a_time(wanted, PROCESS + rows as u64 * PER_ROW);
        if jobs < wanted && self.jobs.is_some() {
            complain(&format!(
                "note: --jobs {wanted}: only {jobs} at a time, because more do not fit into memory"
            ));
        }
        let how = Processes {
            jobs,
            device: device.clone(),
            data: self.common.data.arguments(),
            threads: self.common.threads,
            fast: self.common.fast,
            command: format!(
                "lecture5 verify --seeds {n} --seed {first} --fits {} --device {} --threads {}{}",
                names.join(","),
                device,
                self.common.threads,
                if self.common.fast { " --fast" } else { "" }
            ),
        };
        interrupt::listen()?;
        let bar = progress::count("runs", self.common.telling(), models.len() * seeds.len());
        let fits: Vec<_> = models.into_iter().map(|model| (model, seeds.clone())).collect();
        let ensemble = ensemble::run(&fits, &how, &|_, _| bar.inc(1));
        bar.finish_and_clear();
        ensemble
    }

    /// Refuses ratings that are not those of `saved`, before anything is run on them. Returns their number, if runs are
    /// to be made of them.
    fn same_ratings(&self, saved: &Ensemble, whose: &str) -> Result<usize> {
        let (ours, place, rows) = match &self.from {
            Some(path) => (Ensemble::read(path)?.environment.data, path.display().to_string(), 0),
            None => {
                let ml = self.common.data.read()?;
                (ml.id(self.common.data.split()), self.common.data.shown(), ml.ratings.height())
            }
        };
        match ours == saved.environment.data {
            true => Ok(rows),
            false => Err(unjudged(format!(
                "{whose} to other ratings (sha256 {}) than {place} has (sha256 {ours}): their losses cannot be compared",
                saved.environment.data
            ))),
        }
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
        let rows = self.same_ratings(&saved, &format!("{} belongs", path.display()))?;
        let ours = self.ensemble(rows)?;
        let found = verify::against(&saved, &ours, self.margin.unwrap_or(verify::AGAINST_MARGIN))?;
        self.write_json(&json!({
            "saved": {"file": path.display().to_string(), "command": saved.command, "made": saved.environment}, "command": ours.command,
            "made": ours.environment, "comparison": found,
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
        let rows = self.same_ratings(&committed, "the lecture's numbers and the ensemble belong")?;
        let ours = self.ensemble(rows)?;
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
            "judged": judged, "command": ensemble.command, "made": ensemble.environment,
            "run": self.quick.then(|| json!({"command": ours.command, "made": ours.environment, "fits": ours.fits})),
            "comparison": same, "report": report,
        }))?;
        // If the lecture is judged, "this run" is the first seed: the one that `lecture5 run` shows.
        verify::figure(&ensemble, Some(&ours))?.save(
            &self.common.out.join("plots"),
            self.common.dpi,
            &self.common.format,
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
        match same {
            Some(found) => found.ensure_the_same("the ensemble that comes with the program"),
            None if !report.judges() => Err(unjudged(format!(
                "nothing could be judged: in {} runs of each fit no deviation of {}% would have been seen; run more --seeds",
                ensemble.fits.iter().map(|fit| fit.runs.len()).min().unwrap_or(0),
                100.0 * margin
            ))),
            None => Ok(()),
        }
    }
}

/// Prints the losses of one run as JSON.
pub fn one_run(args: OneRun) -> Result<()> {
    if args.end_with_stdin {
        interrupt::end_with_stdin()?;
    }
    let lecture = args.common.begin()?;
    let mut learner = lecture.learner(&lecture.settings(args.model))?;
    let history = learner.fit_plan(lecture.quiet_options())?;
    let environment = Environment::here(&lecture);
    let losses = history.epochs.iter().flat_map(|e| [e.trn, e.val]).collect();
    say(serde_json::to_string(&ensemble::OneRun { environment, build: ensemble::build(), losses })?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::jobs;

    #[test]
    fn a_card_takes_one_run_at_a_time_and_at_most_four() {
        assert_eq!(jobs(None, true).unwrap(), 1);
        assert_eq!(jobs(Some(4), true).unwrap(), 4);
        assert!(jobs(Some(5), true).is_err());
        assert_eq!(jobs(Some(50), false).unwrap(), 50);
        assert!(jobs(None, false).unwrap() >= 1);
    }
}
