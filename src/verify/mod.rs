//! `lecture5 verify`: does this program reproduce the lecture, and does it still do what it did?
//!
//! The lecture printed one number per loss: one draw out of all that its random start allows. So each fit is run with
//! many seeds ([`ensemble`]), and a test asks whether the lecture's run could be one more draw ([`stats`]).
//! docs/verification.md says what is accepted and why.

pub mod against;
pub mod ensemble;
pub mod stats;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::notebook::Table;
use crate::plots::{self, Figure};
use crate::run::reference;
use crate::system::failure::unjudged;
pub use against::{
    AGAINST_MARGIN, Comparison, Difference, EXACT, FAST, against, has_the_same_runs, why_not_exact,
};
use ensemble::{Ensemble, FitEnsemble};
pub use stats::{ALPHA, FEWEST_RUNS};

/// The power at which the smallest detectable deviation is stated.
pub const POWER: f64 = 0.8;
/// A number whose smallest detectable deviation is larger than this share of it is underpowered.
pub const MARGIN: f64 = 0.05;
/// With this many runs or more, rank judges every number: among N + 1 equally likely ranks the most extreme one has
/// probability 1/(N + 1), and four fits, one test each, share [`ALPHA`].
pub const RANKS_SUFFICE: usize = 79;
/// Simulated runs for the numbers that t judges.
pub const DRAWS: usize = 9_999;

/// The committed ensemble, with which the quick mode compares a run.
pub fn committed() -> Result<Ensemble> {
    Ensemble::parse(include_str!("../../data/ensembles/cpu.json")).context("data/ensembles/cpu.json")
}

/// The verdict on a number or on a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing speaks against it, and a deviation of the margin would have been found.
    Reproduced,
    /// Its p-value over all numbers is at most [`ALPHA`].
    Deviates,
    /// Nothing speaks against it, but a deviation as large as the margin might not have been found.
    Underpowered,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Verdict::Reproduced => "REPRODUCED",
            Verdict::Deviates => "DEVIATES",
            Verdict::Underpowered => "UNDERPOWERED",
        }
    }
}

/// One number compared with its ensemble.
#[derive(Debug, Clone, Serialize)]
pub struct Number {
    /// The fit.
    pub fit: String,
    /// Counted from 0.
    pub epoch: usize,
    /// `trn` or `val`.
    pub loss: &'static str,
    /// What is judged: the lecture's value, or that of a new run.
    pub value: f64,
    /// The ensemble's mean.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
    /// The 95 % prediction interval of one more draw.
    pub interval: (f64, f64),
    /// Two-sided, by t, of this number alone.
    pub p_t: f64,
    /// Two-sided, by rank, of this number alone.
    pub p_rank: f64,
    /// What decides: t, or rank where runs are many or contradict a normal distribution.
    pub by: By,
    /// The probability that any number of the fit that is judged alike is as many standard errors out.
    pub p_fit: f64,
    /// The same over all fits.
    pub p_adjusted: f64,
    /// The smallest deviation of this number alone that is found with probability [`POWER`]; `None` if the runs are too
    /// few to find any.
    pub detectable: Option<f64>,
    /// The decision.
    pub verdict: Verdict,
}

/// How a number is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// By Student's t: runs are few and look normal.
    T,
    /// By its rank alone, which is valid for any distribution.
    Rank,
}

impl By {
    fn text(self) -> &'static str {
        match self {
            By::T => "t",
            By::Rank => "rank",
        }
    }
}

/// The numbers of one fit together, those that are judged alike.
#[derive(Debug, Clone, Serialize)]
pub struct FitTest {
    /// The fit.
    pub fit: String,
    /// How they are judged.
    pub by: By,
    /// How many numbers there are.
    pub numbers: usize,
    /// Runs in the fit's ensemble.
    pub runs: usize,
    /// The largest distance of one of them from the mean, in standard errors.
    pub largest_t: f64,
    /// How often the largest distance in a run is as large.
    pub p: f64,
    /// The same over all fits.
    pub p_adjusted: f64,
    /// Whether that is at most [`ALPHA`].
    pub deviates: bool,
    /// The largest distance in each run, ascending.
    #[serde(skip)]
    null: Vec<f64>,
}

/// Everything that was judged.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Probability of a false alarm anywhere.
    pub alpha: f64,
    /// The power at which the detectable deviations are stated.
    pub power: f64,
    /// What a detectable deviation must not exceed, as a share of the value.
    pub margin: f64,
    /// One entry per number.
    pub numbers: Vec<Number>,
    /// One or two entries per fit.
    pub fits: Vec<FitTest>,
}

/// A fit's ensemble, the values compared with it, and the result.
pub struct Examined<'a> {
    fit: &'a FitEnsemble,
    /// One entry per number.
    pub numbers: Vec<Number>,
    tests: Vec<FitTest>,
}

/// Compares the numbers of one fit with its ensemble, before the fits are combined.
///
/// A number is judged by rank if there are enough runs for it ([`RANKS_SUFFICE`]), or if its ensemble, or that of
/// `shape`, contradicts a normal distribution. Give the largest ensemble there is as `shape`: few runs seldom show
/// what their distribution is.
pub fn examine<'a>(
    fit: &'a FitEnsemble,
    shape: &FitEnsemble,
    values: &[f64],
    draws: usize,
) -> Result<Examined<'a>> {
    if fit.runs.len() < FEWEST_RUNS {
        return Err(unjudged(format!(
            "{}: {} seeds are too few to estimate a spread; it takes at least {FEWEST_RUNS}",
            fit.name,
            fit.runs.len()
        )));
    }
    let n = fit.runs[0].len();
    ensure!(n == values.len(), "{}: its runs have {n} numbers, not {}", fit.name, values.len());
    let numbers = values.iter().enumerate().map(|(j, &value)| {
        let column = fit.column(j);
        let (mean, sd) = stats::mean_sd(&column);
        let by_rank = fit.runs.len() >= RANKS_SUFFICE
            || [&column, &shape.column(j)].into_iter().any(|c| stats::not_normal(c));
        Number {
            fit: fit.name.clone(),
            epoch: j / 2,
            loss: if j % 2 == 0 { "trn" } else { "val" },
            value,
            mean,
            sd,
            interval: stats::prediction_interval(&column, 0.95),
            p_t: stats::p_by_t(&column, value),
            p_rank: stats::p_by_rank(&column, value),
            by: if by_rank { By::Rank } else { By::T },
            p_fit: 1.0,
            p_adjusted: 1.0,
            detectable: None,
            verdict: Verdict::Underpowered,
        }
    });
    let mut numbers: Vec<Number> = numbers.collect();
    let mut tests = Vec::new();
    for by in [By::T, By::Rank] {
        let alike: Vec<usize> = (0..n).filter(|&j| numbers[j].by == by).collect();
        if alike.is_empty() {
            continue;
        }
        let pick = |run: &[f64]| -> Vec<f64> { alike.iter().map(|&j| run[j]).collect() };
        let runs: Vec<Vec<f64>> = fit.runs.iter().map(|run| pick(run)).collect();
        let runs: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
        let null = match by {
            By::T => stats::made_up_largest_t(&runs, draws),
            By::Rank => stats::held_out_largest_t(&runs, &pick(values)),
        };
        for &j in &alike {
            numbers[j].p_fit =
                stats::share_as_large(&null, stats::t_of_new_draw(&fit.column(j), values[j]).abs());
        }
        let largest_t = stats::largest_t(&runs, &pick(values));
        tests.push(FitTest {
            fit: fit.name.clone(),
            by,
            numbers: alike.len(),
            runs: fit.runs.len(),
            largest_t,
            p: stats::share_as_large(&null, largest_t),
            p_adjusted: 1.0,
            deviates: false,
            null,
        });
    }
    Ok(Examined { fit, numbers, tests })
}

/// Combines the fits and decides: each of the m tests gets the same share of [`ALPHA`] (Bonferroni).
pub fn decide(examined: Vec<Examined>, margin: f64) -> Report {
    let m = examined.iter().map(|of| of.tests.len()).sum::<usize>() as f64;
    let (mut numbers, mut fits) = (Vec::new(), Vec::new());
    for mut of in examined {
        for test in &mut of.tests {
            test.p_adjusted = (m * test.p).min(1.0);
            test.deviates = test.p_adjusted <= ALPHA;
            let critical = stats::critical_t(&test.null, ALPHA / m);
            for (j, number) in of.numbers.iter_mut().enumerate().filter(|(_, number)| number.by == test.by) {
                number.p_adjusted = (m * number.p_fit).min(1.0);
                number.detectable = critical.map(|critical| match test.by {
                    By::T => stats::shift_by_t(&of.fit.column(j), critical, POWER),
                    By::Rank => stats::shift_by_rank(&of.fit.column(j), critical, POWER),
                });
                let seen = number.detectable.is_some_and(|d| d <= margin * number.value.abs());
                number.verdict = match seen {
                    _ if number.p_adjusted <= ALPHA => Verdict::Deviates,
                    true => Verdict::Reproduced,
                    false => Verdict::Underpowered,
                };
            }
        }
        numbers.extend(of.numbers);
        fits.extend(of.tests);
    }
    Report { alpha: ALPHA, power: POWER, margin, numbers, fits }
}

/// Compares `values` of a fit (by its name) with the ensemble. The committed ensemble, if it is the larger one, says
/// which numbers are not normal.
fn judge(ensemble: &Ensemble, margin: f64, values: impl Fn(&str) -> Result<Vec<f64>>) -> Result<Report> {
    let committed = committed()?;
    let examined = ensemble.fits.iter().map(|fit| {
        let values = values(&fit.name)?;
        let known = committed.fit(&fit.name);
        let shape = known.filter(|k| k.runs.len() > fit.runs.len() && k.runs[0].len() == values.len());
        examine(fit, shape.unwrap_or(fit), &values, DRAWS)
    });
    Ok(decide(examined.collect::<Result<_>>()?, margin))
}

/// Could the lecture's numbers be one more run of this ensemble?
///
/// # Errors
/// Too few seeds, or a fit that the lecture does not have.
pub fn beside_the_lecture(ensemble: &Ensemble, margin: f64) -> Result<Report> {
    judge(ensemble, margin, |name| {
        let fit =
            reference::lecture(name).with_context(|| format!("'{name}' is not a fit of the lecture"))?;
        Ok(fit.losses.iter().flatten().copied().collect())
    })
}

/// Could the first run of `one`, fit by fit, be one more run of the ensemble? If the ensemble has the same seed, that
/// run is left out of it.
///
/// # Errors
/// Too few seeds, or a fit that the ensemble does not have.
pub fn inside(ensemble: &Ensemble, one: &Ensemble, margin: f64) -> Result<Report> {
    let mut ensemble = ensemble.clone();
    ensemble.fits.retain(|fit| one.fit(&fit.name).is_some());
    ensure!(ensemble.fits.len() == one.fits.len(), "the ensemble lacks one of the fits that were run");
    for fit in &mut ensemble.fits {
        let seed = one.fit(&fit.name).and_then(|one| one.seeds.first());
        if let Some(at) = fit.seeds.iter().position(|s| Some(s) == seed) {
            fit.seeds.remove(at);
            fit.runs.remove(at);
        }
    }
    judge(&ensemble, margin, |name| {
        let run = one.fit(name).and_then(|fit| fit.runs.first());
        run.cloned().with_context(|| format!("{name}: there is no run"))
    })
}

impl Report {
    /// Whether anything can be said about some number.
    pub fn judges(&self) -> bool {
        self.numbers.iter().any(|n| n.verdict != Verdict::Underpowered)
    }

    /// What deviates, in words; empty when nothing does.
    pub fn deviations(&self) -> Vec<String> {
        let numbers = self.numbers.iter().filter(|n| n.verdict == Verdict::Deviates);
        numbers.map(|n| format!("{} epoch {} {}", n.fit, n.epoch, n.loss)).collect()
    }

    /// The table of numbers; `judged` says what is compared with the ensemble.
    pub fn table(&self, judged: &str) -> Table {
        let mut table = Table::new([
            "fit",
            "epoch",
            "loss",
            judged,
            "mean ± sd",
            "verdict",
            "detectable",
            "adjusted",
            "by",
            "p (t)",
            "p (rank)",
            "95 % for one draw",
        ]);
        for n in &self.numbers {
            table.push([
                n.fit.clone(),
                n.epoch.to_string(),
                n.loss.to_owned(),
                format!("{:.5}", n.value),
                format!("{:.5} ± {:.5}", n.mean, n.sd),
                n.verdict.text().to_owned(),
                n.detectable.map_or("none".to_owned(), |d| format!("{:.1} %", 100.0 * d / n.value.abs())),
                format!("{:.3}", n.p_adjusted),
                n.by.text().to_owned(),
                format!("{:.4}", n.p_t),
                format!("{:.3}", n.p_rank),
                format!("{:.4} to {:.4}", n.interval.0, n.interval.1),
            ]);
        }
        table
    }

    /// The table of fits.
    pub fn fits_table(&self) -> Table {
        let mut table = Table::new([
            "fit as a whole",
            "by",
            "numbers",
            "seeds",
            "largest |t|",
            "p",
            "adjusted",
            "verdict",
        ]);
        for f in &self.fits {
            table.push([
                f.fit.clone(),
                f.by.text().to_owned(),
                f.numbers.to_string(),
                f.runs.to_string(),
                format!("{:.2}", f.largest_t),
                format!("{:.4}", f.p),
                format!("{:.3}", f.p_adjusted),
                if f.deviates { "DEVIATES" } else { "inside" }.to_owned(),
            ]);
        }
        table
    }

    /// The number of each verdict, in a sentence.
    pub fn summary(&self) -> String {
        let count = |verdict| self.numbers.iter().filter(|n| n.verdict == verdict).count();
        format!(
            "Of {} numbers {} are reproduced and {} deviate; of the other {} a deviation of {} % might not have been \
             seen.",
            self.numbers.len(),
            count(Verdict::Reproduced),
            count(Verdict::Deviates),
            count(Verdict::Underpowered),
            100.0 * self.margin
        )
    }
}

/// The picture: each number's ensemble as a strip with the lecture's mark and ours.
pub fn figure(ensemble: &Ensemble, ours: Option<&Ensemble>) -> Result<Figure> {
    let mut strips = Vec::new();
    for fit in &ensemble.fits {
        let lecture: Vec<f64> = reference::lecture(&fit.name)
            .map_or(Vec::new(), |l| l.losses.iter().flatten().copied().collect());
        let ours = ours.and_then(|one| one.fit(&fit.name)).and_then(|one| one.runs.first());
        for j in 0..fit.runs.first().map_or(0, Vec::len) {
            let loss = if j % 2 == 0 { "training" } else { "validation" };
            strips.push((
                reference::lecture(&fit.name).map_or(&*fit.name, |lecture| &lecture.title),
                format!("epoch {}, {loss}", j / 2),
                fit.runs.iter().map(|run| run[j]).collect::<Vec<f64>>(),
                lecture.get(j).copied(),
                ours.and_then(|run| run.get(j).copied()),
            ));
        }
    }
    let strips: Vec<plots::Strip> = strips
        .iter()
        .map(|(group, name, values, lecture, ours)| plots::Strip {
            group,
            name,
            ensemble: values,
            lecture: *lecture,
            ours: *ours,
        })
        .collect();
    let seeds = ensemble.fits.first().map_or(0, |fit| fit.runs.len());
    plots::strips("verify", &format!("The lecture's numbers among {seeds} seeds"), &strips)
}
