//! `lecture5 verify`: does this program reproduce the lecture, and does it still do what it did?
//!
//! The lecture printed one number a loss: one draw from whatever its start at random allows. So each fit is
//! run with many seeds ([`ensemble`]), and the lecture's run is asked whether it could be one draw more
//! ([`stats`]). docs/verification.md says what is accepted and why.

pub mod ensemble;
pub mod stats;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::notebook::Table;
use crate::plots::{self, Figure};
use crate::reference;
use ensemble::{Ensemble, FitEnsemble};
use stats::Joint;

/// False discovery rate over all tests of a command.
pub const ALPHA: f64 = 0.05;
/// The power at which the smallest detectable deviation is stated.
pub const POWER: f64 = 0.8;
/// A number whose smallest detectable deviation is larger than this share of it is underpowered.
pub const MARGIN: f64 = 0.05;
/// `--against`: a mean difference up to this share of the number is let pass, significant or not.
pub const AGAINST_MARGIN: f64 = 0.005;
/// `--against` on the same machine and libtorch: the same to this share, seed by seed.
pub const EXACT: f64 = 1e-6;
/// Fewest runs that a spread can be told from.
pub const FEWEST_RUNS: usize = 4;
/// Resampled runs of the joint test; its smallest p-value, 1e-4, is below what a lone deviation must reach.
const DRAWS: usize = 9_999;

/// The committed ensemble, which the quick mode holds a run against.
pub fn committed() -> Result<Ensemble> {
    Ensemble::parse(include_str!("../../data/ensembles/cpu.json")).context("data/ensembles/cpu.json")
}

/// What is said of a number or of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing speaks against it, and a deviation of the margin would have been found.
    Reproduced,
    /// The adjusted p-value is at most [`ALPHA`].
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

/// One number held against its ensemble.
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
    /// Two-sided, by t.
    pub p_t: f64,
    /// Two-sided, by rank.
    pub p_rank: f64,
    /// Whether the ensemble contradicts a normal distribution; then t says nothing, and rank decides.
    pub not_normal: bool,
    /// `p_t`, or `p_rank` where that decides, adjusted over all tests.
    pub p_adjusted: f64,
    /// The smallest lone deviation that is found with probability [`POWER`]; none where rank decides.
    pub detectable: Option<f64>,
    /// The decision.
    pub verdict: Verdict,
}

/// One fit's numbers together.
#[derive(Debug, Clone, Serialize)]
pub struct FitTest {
    /// The fit.
    pub fit: String,
    /// Runs in its ensemble.
    pub runs: usize,
    /// The test over those of its numbers that t can judge.
    #[serde(flatten)]
    pub joint: Joint,
    /// `p` adjusted over all tests.
    pub p_adjusted: f64,
    /// Whether that is at most [`ALPHA`].
    pub verdict: Verdict,
}

/// Everything that was judged.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// False discovery rate.
    pub alpha: f64,
    /// Of the detectable deviations.
    pub power: f64,
    /// What a detectable deviation must not exceed, as a share of the value.
    pub margin: f64,
    /// One entry a number.
    pub numbers: Vec<Number>,
    /// One entry a fit.
    pub fits: Vec<FitTest>,
}

/// The numbers of one fit held against its ensemble, before anything is adjusted.
pub fn examine(fit: &FitEnsemble, values: &[f64]) -> Result<(Vec<Number>, FitTest)> {
    ensure!(
        fit.runs.len() >= FEWEST_RUNS,
        "{}: {} seeds tell no spread; it takes at least {FEWEST_RUNS}",
        fit.name,
        fit.runs.len()
    );
    let n = fit.runs[0].len();
    ensure!(n == values.len(), "{}: its runs have {n} numbers, not {}", fit.name, values.len());
    let numbers = values.iter().enumerate().map(|(j, &value)| {
        let column: Vec<f64> = fit.runs.iter().map(|run| run[j]).collect();
        let (mean, sd) = stats::mean_sd(&column);
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
            not_normal: stats::not_normal(&column),
            p_adjusted: 1.0,
            detectable: None,
            verdict: Verdict::Underpowered,
        }
    });
    // Together are tested those that t can judge; the others have only their ranks.
    let numbers: Vec<Number> = numbers.collect();
    let pick = |run: &[f64]| -> Vec<f64> {
        run.iter().zip(&numbers).filter(|(_, n)| !n.not_normal).map(|(x, _)| *x).collect()
    };
    let runs: Vec<Vec<f64>> = fit.runs.iter().map(|run| pick(run)).collect();
    let rows: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
    let joint = stats::joint(&rows, &pick(values), DRAWS);
    let test = FitTest {
        fit: fit.name.clone(),
        runs: fit.runs.len(),
        joint,
        p_adjusted: 1.0,
        verdict: Verdict::Reproduced,
    };
    Ok((numbers, test))
}

/// Adjusts over all tests and decides.
pub fn decide(examined: Vec<(Vec<Number>, FitTest)>, margin: f64) -> Report {
    let mut numbers: Vec<Number> = Vec::new();
    let mut fits: Vec<FitTest> = Vec::new();
    for (of_fit, test) in examined {
        numbers.extend(of_fit);
        fits.push(test);
    }
    let decisive = |n: &Number| if n.not_normal { n.p_rank } else { n.p_t };
    let p: Vec<f64> = numbers.iter().map(decisive).chain(fits.iter().map(|f| f.joint.p)).collect();
    let adjusted = stats::benjamini_yekutieli(&p);
    let lone = stats::strictest_alpha(p.len(), ALPHA);
    let runs_of = |name: &str| fits.iter().find(|f| f.fit == name).map_or(0, |f| f.runs);
    for (number, &p) in numbers.iter_mut().zip(&adjusted) {
        number.p_adjusted = p;
        number.detectable = (!number.not_normal)
            .then(|| stats::smallest_detectable(number.sd, runs_of(&number.fit), lone, POWER));
        let seen = number.detectable.is_some_and(|d| d <= margin * number.value.abs());
        number.verdict = match seen {
            _ if p <= ALPHA => Verdict::Deviates,
            true => Verdict::Reproduced,
            false => Verdict::Underpowered,
        };
    }
    for (fit, &p) in fits.iter_mut().zip(&adjusted[numbers.len()..]) {
        fit.p_adjusted = p;
        fit.verdict = if p <= ALPHA { Verdict::Deviates } else { Verdict::Reproduced };
    }
    Report { alpha: ALPHA, power: POWER, margin, numbers, fits }
}

/// Holds `values` of a fit (by its name) against the ensemble.
fn judge(ensemble: &Ensemble, margin: f64, values: impl Fn(&str) -> Result<Vec<f64>>) -> Result<Report> {
    let examined = ensemble.fits.iter().map(|fit| examine(fit, &values(&fit.name)?));
    Ok(decide(examined.collect::<Result<_>>()?, margin))
}

/// Could the lecture's numbers be one more run of this ensemble?
///
/// # Errors
/// Too few seeds, or a fit that the lecture does not have.
pub fn beside_the_lecture(ensemble: &Ensemble, margin: f64) -> Result<Report> {
    judge(ensemble, margin, |name| {
        let fit = reference::lecture(name).with_context(|| format!("'{name}' is no fit of the lecture"))?;
        Ok(fit.losses.iter().flatten().copied().collect())
    })
}

/// Could the first run of `one`, fit by fit, be one more run of the ensemble?
///
/// # Errors
/// Too few seeds, or a fit that the ensemble does not have.
pub fn inside(ensemble: &Ensemble, one: &Ensemble, margin: f64) -> Result<Report> {
    let mut ensemble = ensemble.clone();
    ensemble.fits.retain(|fit| one.fit(&fit.name).is_some());
    ensure!(ensemble.fits.len() == one.fits.len(), "the ensemble lacks one of the fits that were run");
    judge(&ensemble, margin, |name| {
        let run = one.fit(name).and_then(|fit| fit.runs.first());
        run.cloned().with_context(|| format!("{name}: there is no run"))
    })
}

impl Report {
    /// What deviates, in words; empty when nothing does.
    pub fn deviations(&self) -> Vec<String> {
        let numbers = self.numbers.iter().filter(|n| n.verdict == Verdict::Deviates);
        let fits = self.fits.iter().filter(|f| f.verdict == Verdict::Deviates);
        numbers
            .map(|n| format!("{} epoch {} {}", n.fit, n.epoch, n.loss))
            .chain(fits.map(|f| format!("{} as a whole", f.fit)))
            .collect()
    }

    /// The table of numbers; `judged` says what is held against the ensemble.
    pub fn table(&self, judged: &str) -> Table {
        let mut table = Table::new([
            "fit",
            "epoch",
            "loss",
            judged,
            "mean",
            "sd",
            "from",
            "to",
            "p (t)",
            "p (rank)",
            "adjusted",
            "detectable",
            "verdict",
        ]);
        for n in &self.numbers {
            table.push([
                n.fit.clone(),
                n.epoch.to_string(),
                n.loss.to_owned(),
                format!("{:.5}", n.value),
                format!("{:.5}", n.mean),
                format!("{:.5}", n.sd),
                format!("{:.5}", n.interval.0),
                format!("{:.5}", n.interval.1),
                format!("{:.4}", n.p_t),
                format!("{:.3}", n.p_rank),
                format!("{:.3}", n.p_adjusted),
                n.detectable.map_or("by rank".to_owned(), |d| format!("{:.1} %", 100.0 * d / n.value.abs())),
                n.verdict.text().to_owned(),
            ]);
        }
        table
    }

    /// The table of fits.
    pub fn fits_table(&self) -> Table {
        let mut table =
            Table::new(["fit", "seeds", "largest |t|", "p (resampled)", "p (rank)", "adjusted", "verdict"]);
        for f in &self.fits {
            table.push([
                f.fit.clone(),
                f.runs.to_string(),
                format!("{:.2}", f.joint.max_t),
                format!("{:.4}", f.joint.p),
                format!("{:.3}", f.joint.p_rank),
                format!("{:.3}", f.p_adjusted),
                f.verdict.text().to_owned(),
            ]);
        }
        table
    }

    /// How many of each verdict, in a sentence.
    pub fn summary(&self) -> String {
        let count = |verdict| self.numbers.iter().filter(|n| n.verdict == verdict).count();
        format!(
            "Of {} numbers {} are reproduced, {} deviate, and of {} so few seeds cannot tell a deviation of {} %.",
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
                format!("{}, epoch {}, {loss}", fit.name, j / 2),
                fit.runs.iter().map(|run| run[j]).collect::<Vec<f64>>(),
                lecture.get(j).copied(),
                ours.and_then(|run| run.get(j).copied()),
            ));
        }
    }
    let strips: Vec<plots::Strip> = strips
        .iter()
        .map(|(name, values, lecture, ours)| plots::Strip {
            name,
            ensemble: values,
            lecture: *lecture,
            ours: *ours,
        })
        .collect();
    let seeds = ensemble.fits.first().map_or(0, |fit| fit.runs.len());
    plots::strips("verify", &format!("The lecture's numbers among {seeds} seeds"), &strips)
}

/// One number of two ensembles, seed by seed.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// The fit.
    pub fit: String,
    /// Counted from 0.
    pub epoch: usize,
    /// `trn` or `val`.
    pub loss: &'static str,
    /// Mean of the saved ensemble, over the seeds that both have.
    pub saved: f64,
    /// Mean of this build's minus that.
    pub difference: f64,
    /// The largest difference of a seed, as a share of the saved value.
    pub largest: f64,
    /// Two-sided, by the paired t test.
    pub p: f64,
    /// The same adjusted over all numbers.
    pub p_adjusted: f64,
    /// Significant and larger than the margin.
    pub fails: bool,
}

/// What `--against` found.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Whether machine, libtorch, device and threads are the same, so that every digit has to be.
    pub exact: bool,
    /// Share of the saved value that is let pass.
    pub margin: f64,
    /// One entry a number.
    pub differences: Vec<Difference>,
}

/// Compares two ensembles over the fits and seeds that both have.
///
/// # Errors
/// They have nothing, or too little, in common, or come from different data.
pub fn against(saved: &Ensemble, ours: &Ensemble, margin: f64) -> Result<Comparison> {
    if saved.made.data != ours.made.data {
        bail!(
            "the saved ensemble is of other ratings (sha256 {}, here {}): their losses cannot be compared",
            saved.made.data,
            ours.made.data
        );
    }
    let exact = saved.made == ours.made;
    let mut differences = Vec::new();
    for fit in &ours.fits {
        let before = saved
            .fit(&fit.name)
            .with_context(|| format!("the saved ensemble has no {}: leave it out with --fits", fit.name))?;
        let pairs: Vec<(&Vec<f64>, &Vec<f64>)> = fit
            .seeds
            .iter()
            .zip(&fit.runs)
            .filter_map(|(seed, run)| {
                let at = before.seeds.iter().position(|s| s == seed)?;
                Some((&before.runs[at], run))
            })
            .collect();
        let fewest = if exact { 1 } else { FEWEST_RUNS };
        ensure!(
            pairs.len() >= fewest,
            "{}: {} seeds in common with the saved ensemble; it takes at least {fewest}",
            fit.name,
            pairs.len()
        );
        let n = fit.runs[0].len();
        ensure!(before.runs[0].len() == n, "{}: the saved runs have other epochs", fit.name);
        for j in 0..n {
            let apart: Vec<f64> = pairs.iter().map(|(before, now)| now[j] - before[j]).collect();
            let largest =
                pairs.iter().map(|(before, now)| (now[j] / before[j] - 1.0).abs()).fold(0.0, f64::max);
            differences.push(Difference {
                fit: fit.name.clone(),
                epoch: j / 2,
                loss: if j % 2 == 0 { "trn" } else { "val" },
                saved: pairs.iter().map(|(before, _)| before[j]).sum::<f64>() / pairs.len() as f64,
                difference: apart.iter().sum::<f64>() / apart.len() as f64,
                largest,
                p: if apart.len() < 2 { 1.0 } else { stats::p_paired(&apart) },
                p_adjusted: 1.0,
                fails: false,
            });
        }
    }
    let p: Vec<f64> = differences.iter().map(|d| d.p).collect();
    for (d, p) in differences.iter_mut().zip(stats::benjamini_yekutieli(&p)) {
        d.p_adjusted = p;
        let differs = p <= ALPHA && d.difference.abs() > margin * d.saved.abs();
        d.fails = differs || exact && d.largest > EXACT;
    }
    Ok(Comparison { exact, margin, differences })
}

impl Comparison {
    /// What fails, in words; empty when nothing does.
    pub fn failures(&self) -> Vec<String> {
        let failing = self.differences.iter().filter(|d| d.fails);
        failing.map(|d| format!("{} epoch {} {}", d.fit, d.epoch, d.loss)).collect()
    }

    /// The table of differences.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            "fit",
            "epoch",
            "loss",
            "saved",
            "difference",
            "largest",
            "p",
            "adjusted",
            "verdict",
        ]);
        for d in &self.differences {
            table.push([
                d.fit.clone(),
                d.epoch.to_string(),
                d.loss.to_owned(),
                format!("{:.5}", d.saved),
                format!("{:+.2e}", d.difference),
                format!("{:.1e}", d.largest),
                format!("{:.4}", d.p),
                format!("{:.3}", d.p_adjusted),
                if d.fails { "DIFFERS" } else { "THE SAME" }.to_owned(),
            ]);
        }
        table
    }
}

/// The first `n` seeds from `first` on that the ensemble's fit does not have: new draws.
pub fn new_seeds(fit: Option<&FitEnsemble>, first: i64, n: usize) -> Vec<i64> {
    let taken: BTreeSet<i64> = fit.map_or_else(BTreeSet::new, |fit| fit.seeds.iter().copied().collect());
    (first..=i64::MAX).filter(|seed| !taken.contains(seed)).take(n).collect()
}
