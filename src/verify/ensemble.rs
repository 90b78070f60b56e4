//! Ensembles: the losses of a fit for many seeds, each run in its own process, stored in a file.

use std::cmp::Ordering::Equal;
use std::ffi::OsString;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::fast::StepperKind;
use crate::movielens::LECTURE_SHA256;
use crate::run::lecture::Lecture;
use crate::run::metrics::card;
use crate::run::reference;
use crate::settings::{MOST_SEED, ModelKind};
use crate::system::{files, interrupt, machine};

/// What one process prints for one fit of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneRun {
    /// Where and with what it ran.
    #[serde(rename = "made")]
    pub environment: Environment,
    /// Which build of this program it was.
    pub build: String,
    /// Training and validation loss of each epoch in turn: trn 0, val 0, trn 1, val 1, …
    pub losses: Vec<f64>,
}

/// Which build of this program runs: its version, and the size and time of its file.
pub fn build() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let (size, time) = file.map_or((0, None), |file| (file.len(), file.modified().ok()));
    let time = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{}, {size} bytes, {}", env!("CARGO_PKG_VERSION"), time.as_nanos())
}

/// What makes two runs comparable digit by digit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// libtorch's version.
    pub libtorch: String,
    /// System, architecture and processor.
    pub machine: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The name of the card, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// Which stepper computed.
    #[serde(default)]
    pub stepper: StepperKind,
    /// SHA-256 of ratings.csv.
    pub data: String,
}

impl Environment {
    /// The values of this process, for this run of the lecture.
    pub fn here(lecture: &Lecture) -> Environment {
        Environment {
            libtorch: lecture.metrics.libtorch.clone(),
            machine: machine::kind(),
            device: lecture.metrics.device.clone(),
            card: card(lecture.run.device).map(|card| card.name),
            threads: lecture.metrics.threads,
            stepper: lecture.metrics.stepper,
            data: lecture.ml.id(lecture.run.split),
        }
    }
}

/// The file of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// The command that made it.
    pub command: String,
    /// Where and with what it was made.
    #[serde(rename = "made")]
    pub environment: Environment,
    /// One entry per fit.
    pub fits: Vec<FitEnsemble>,
}

/// One fit's runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitEnsemble {
    /// As in the reference.
    pub name: String,
    /// The seed of each run.
    pub seeds: Vec<i64>,
    /// Each run's losses, as in [`OneRun`].
    pub runs: Vec<Vec<f64>>,
}

/// The losses that fits on the lecture's ratings can have: predicting zeros gives 13.4 stars², and no model of the
/// lecture comes below half a star² in three epochs.
const OF_THE_LECTURE: RangeInclusive<f64> = 0.1..=100.0;
/// The losses that fits on any ratings can have.
const OF_ANY: RangeInclusive<f64> = f64::MIN_POSITIVE..=1e9;
/// No ensemble's file is longer than this.
const MOST_BYTES: u64 = 1 << 28;

impl FitEnsemble {
    /// Checks that these can be the runs of a fit of the lecture.
    fn check(&self, possible: &RangeInclusive<f64>) -> Result<()> {
        let name = shown(&self.name);
        let lecture = reference::lecture(&self.name)
            .with_context(|| format!("'{name}' is not a fit of the lecture"))?;
        let (seeds, runs, n) = (self.seeds.len(), self.runs.len(), 2 * lecture.losses.len());
        ensure!(seeds == runs, "{name}: {seeds} seeds and {runs} runs; their numbers must be equal");
        ensure!(runs > 0, "{name}: it has no runs");
        let mut sorted = self.seeds.clone();
        sorted.sort_unstable();
        if let Some(two) = sorted.windows(2).find(|two| two[0] == two[1]) {
            bail!("{name}: seed {} twice, which is one run, not two", two[0]);
        }
        if let Some(seed) = self.seeds.iter().find(|seed| !(0..=MOST_SEED).contains(*seed)) {
            bail!("{name}: a seed of {seed}; seeds are 0 to {MOST_SEED}");
        }
        let mut by_losses: Vec<(&Vec<f64>, i64)> = self.runs.iter().zip(self.seeds.iter().copied()).collect();
        by_losses.sort_by(|a, b| a.0.partial_cmp(b.0).unwrap_or(Equal));
        if let Some(two) = by_losses.windows(2).find(|two| two[0].0 == two[1].0) {
            let (one, other) = (two[0].1, two[1].1);
            bail!("{name}: seeds {one} and {other} have the same losses, so they are one run, not two");
        }
        for (seed, run) in self.seeds.iter().zip(&self.runs) {
            ensure!(run.len() == n, "{name}: {} losses of seed {seed}, where the lecture has {n}", run.len());
            if let Some(loss) = run.iter().find(|loss| !possible.contains(loss)) {
                bail!("{name}: a loss of {loss:?} with seed {seed}, which is impossible for these ratings");
            }
        }
        Ok(())
    }

    /// One number of every run.
    pub fn column(&self, j: usize) -> Vec<f64> {
        self.runs.iter().map(|run| run[j]).collect()
    }
}

impl Ensemble {
    /// The fit of that name.
    pub fn fit(&self, name: &str) -> Option<&FitEnsemble> {
        self.fits.iter().find(|fit| fit.name == name)
    }

    /// What a run of the lecture has fitted so far, as an ensemble of its one seed.
    pub fn of(lecture: &Lecture) -> Ensemble {
        let fits = lecture.metrics.fits.iter().filter(|fit| reference::lecture(&fit.name).is_some());
        let fits = fits.map(|fit| FitEnsemble {
            name: fit.name.clone(),
            seeds: vec![lecture.run.seed],
            runs: vec![fit.epochs.iter().flat_map(|e| [e.trn, e.val]).collect()],
        });
        Ensemble {
            command: "lecture5 run".to_owned(),
            environment: Environment::here(lecture),
            fits: fits.collect(),
        }
    }

    /// Reads an ensemble's file.
    ///
    /// # Errors
    /// It cannot be read, or is not an ensemble.
    pub fn read(path: &Path) -> Result<Ensemble> {
        let bytes = files::read(path, MOST_BYTES)?;
        let parse = || Self::parse(std::str::from_utf8(&bytes)?);
        parse().with_context(|| format!("{}: not an ensemble of `lecture5 verify`", path.display()))
    }

    /// Parses an ensemble's text.
    ///
    /// # Errors
    /// It is not JSON of this form, or the runs of a fit differ in length.
    pub fn parse(text: &str) -> Result<Ensemble> {
        let ensemble: Ensemble = serde_json::from_str(text)?;
        ensure!(!ensemble.fits.is_empty(), "it has no fits");
        let possible = if ensemble.environment.data == LECTURE_SHA256 { OF_THE_LECTURE } else { OF_ANY };
        for (at, fit) in ensemble.fits.iter().enumerate() {
            fit.check(&possible)?;
            let twice = ensemble.fits[..at].iter().any(|other| other.name == fit.name);
            ensure!(!twice, "{}: it has this fit twice", shown(&fit.name));
        }
        Ok(ensemble)
    }

    /// The file's text: one run per line, seven significant digits.
    pub fn to_text(&self) -> Result<String> {
        let mut text = format!(
            "{{\n\"command\": {},\n\"made\": {},\n\"fits\": [\n",
            serde_json::to_string(&self.command)?,
            serde_json::to_string(&self.environment)?
        );
        for (at, fit) in self.fits.iter().enumerate() {
            let seeds = serde_json::to_string(&fit.seeds)?;
            let name = serde_json::to_string(&fit.name)?;
            write!(text, "{{\"name\": {name}, \"seeds\": {seeds},\n\"runs\": [\n")?;
            for (row, run) in fit.runs.iter().enumerate() {
                let digits: Vec<String> = run.iter().map(|x| seven_digits(*x).to_string()).collect();
                let end = if row + 1 == fit.runs.len() { "" } else { "," };
                writeln!(text, "[{}]{end}", digits.join(", "))?;
            }
            text += if at + 1 == self.fits.len() { "]}\n" } else { "]},\n" };
        }
        Ok(text + "]\n}\n")
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_whole(path, self.to_text()?.as_bytes())
    }
}

/// A name from a file, cut to fit on a line.
fn shown(name: &str) -> String {
    name.chars().take(60).collect()
}

/// Rounded to seven significant digits.
fn seven_digits(x: f64) -> f64 {
    format!("{x:.6e}").parse().unwrap_or(x)
}

/// How the processes of an ensemble are run.
#[derive(Debug, Clone)]
pub struct Processes {
    /// How many at a time.
    pub jobs: usize,
    /// As `--device` takes it.
    pub device: String,
    /// Which ratings, as options.
    pub data: Vec<OsString>,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// Whether the fast stepper computes.
    pub fast: bool,
    /// The command to note in the file.
    pub command: String,
}

/// Runs each fit with each of its seeds, each in its own process, `jobs` at a time. A process draws from its own
/// generator, so the result does not depend on how many run at once or on which ends first. `done` is called after
/// each.
///
/// # Errors
/// The first run that failed, with its message.
pub fn run(
    fits: &[(ModelKind, Vec<i64>)],
    how: &Processes,
    done: &(dyn Fn(ModelKind, i64) + Sync),
) -> Result<Ensemble> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let tasks: Vec<(ModelKind, i64)> =
        fits.iter().flat_map(|(model, seeds)| seeds.iter().map(|seed| (*model, *seed))).collect();
    ensure!(!tasks.is_empty(), "there is nothing to run");
    let results: Vec<Mutex<Option<Result<OneRun>>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..how.jobs.clamp(1, tasks.len()) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == 0 {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(model, seed)) = tasks.get(at) else { return };
                    let outcome = interrupt::check().and_then(|()| one_process(&program, model, seed, how));
                    if outcome.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    *results[at].lock().unwrap_or_else(|p| p.into_inner()) = Some(outcome);
                    done(model, seed);
                }
            });
        }
    });
    interrupt::check()?;
    let mut runs = Vec::new();
    for result in results {
        match result.into_inner().unwrap_or_else(|p| p.into_inner()) {
            Some(outcome) => runs.push(outcome?),
            None => bail!("a run was not started, because a later one had failed already"),
        }
    }
    let environment = one_environment(&tasks, &runs)?;
    let mut runs = runs.into_iter();
    let fits = fits
        .iter()
        .map(|(model, seeds)| FitEnsemble {
            name: model.lecture_fit().to_owned(),
            seeds: seeds.clone(),
            runs: runs.by_ref().take(seeds.len()).map(|run| run.losses).collect(),
        })
        .collect();
    Ok(Ensemble { command: how.command.clone(), environment, fits })
}

/// Where and with what all runs were made.
fn one_environment(tasks: &[(ModelKind, i64)], runs: &[OneRun]) -> Result<Environment> {
    let first = runs.first().context("there are no runs")?;
    for ((model, seed), run) in tasks.iter().zip(runs) {
        ensure!(
            (&run.environment, &run.build) == (&first.environment, &first.build),
            "--model {} with seed {seed} ran on another build or other data ({}; {}) than the first run ({}; {}): do not \
             change the program or the data until all runs have ended",
            model.name(),
            serde_json::to_string(&run.environment)?,
            run.build,
            serde_json::to_string(&first.environment)?,
            first.build
        );
    }
    Ok(first.environment.clone())
}

/// The signal that ended a process, if one did.
#[cfg(unix)]
fn killed_by(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal()?;
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
    Some(format!("{name} (signal {signal})"))
}

#[cfg(not(unix))]
fn killed_by(_: ExitStatus) -> Option<String> {
    None
}

fn one_process(program: &Path, model: ModelKind, seed: i64, how: &Processes) -> Result<OneRun> {
    let what = || format!("--model {} with seed {seed}", model.name());
    let mut child = Command::new(program)
        .args([
            "one-run",
            "--end-with-stdin",
            "--model",
            model.name(),
            "--seed",
            &seed.to_string(),
            "--device",
            &how.device,
        ])
        .args(["--threads", &how.threads.to_string()])
        .args(how.fast.then_some("--fast"))
        .args(&how.data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{}: {} does not start", what(), program.display()))?;
    // The system closes it when this process ends, however it ends: the child then ends too.
    let _alive = child.stdin.take();
    let output = child.wait_with_output().with_context(what)?;
    if let Some(signal) = killed_by(output.status) {
        bail!("{}: killed by {signal}; if memory ran out, take fewer --jobs", what());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", what(), said.trim().trim_start_matches("error: "));
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}: its answer is not understood", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_another_build_or_other_data_make_no_ensemble() {
        let ensemble = crate::verify::committed().unwrap();
        let losses = ensemble.fits[0].runs[0].clone();
        let run = OneRun { environment: ensemble.environment.clone(), build: build(), losses };
        let tasks = [(ModelKind::Dot, 0), (ModelKind::Dot, 1)];
        let two = [run.clone(), run.clone()];
        assert_eq!(one_environment(&tasks, &two).unwrap(), ensemble.environment);
        for change in [
            |run: &mut OneRun| run.environment.data = "0".to_owned(),
            |run: &mut OneRun| run.environment.libtorch = "1".to_owned(),
            |run: &mut OneRun| run.build += "1",
        ] {
            let mut two = two.clone();
            change(&mut two[1]);
            let error = one_environment(&tasks, &two).unwrap_err().to_string();
            assert!(
                error.starts_with("--model dot with seed 1 ran on another build or other data"),
                "{error}"
            );
        }
    }
}
