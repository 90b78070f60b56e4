//! `lecture5 verify`: does this program reproduce the lecture, and does it still do what it did?
//!
//! The lecture printed one number per loss: one draw out of all that its random start allows. So each fit is run with
//! many seeds ([`ensemble`]), and a test asks whether the lecture's run could be one more draw ([`stats`]).
//! docs/verification.md says what is accepted and why.

pub mod against;
pub mod ensemble;
pub mod report;
pub mod stats;

use anyhow::{Context, Result, ensure};

use crate::plots::{self, Figure};
use crate::run::reference;
use crate::system::failure::unjudged;
pub use against::{
    AGAINST_MARGIN, Comparison, Difference, EXACT, FAST, against, has_the_same_runs, why_not_exact,
};
use ensemble::{Ensemble, FitEnsemble};
pub use report::{By, FitTest, Number, Report, Verdict};
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
