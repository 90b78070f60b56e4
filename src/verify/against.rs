//! Compares two ensembles, seed by seed: `lecture5 verify --against`.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::ensemble::{Ensemble, Environment, FitEnsemble};
use super::stats::{self, ALPHA, FEWEST_RUNS};
use crate::notebook::Table;
use crate::system::arithmetic::mean;
use crate::system::failure::unjudged;

/// `--against`: a mean difference up to this share of the number is accepted, significant or not.
pub const AGAINST_MARGIN: f64 = 0.005;
/// `--against` on the same machine and libtorch: equal to this share, seed by seed.
pub const EXACT: f64 = 1e-6;
/// How far, as a share, a loss of the fast stepper may be from libtorch's, when all else is the same.
pub const FAST: f64 = 1e-4;

/// The device whose runs are compared digit by digit.
const CPU: &str = "cpu";

/// Why the runs of `one` are not compared with the ensemble's digit by digit.
pub fn why_not_exact(ensemble: &Ensemble, one: &Ensemble) -> String {
    let (theirs, ours) = (&ensemble.environment, &one.environment);
    let apart = [
        ("libtorch", theirs.libtorch.clone(), ours.libtorch.clone()),
        ("machine", theirs.machine.clone(), ours.machine.clone()),
        ("device", theirs.device.clone(), ours.device.clone()),
        ("card", theirs.card.clone().unwrap_or_default(), ours.card.clone().unwrap_or_default()),
        ("threads", theirs.threads.to_string(), ours.threads.to_string()),
    ];
    let reason = apart.iter().find(|(_, theirs, ours)| theirs != ours);
    let reason = match reason {
        Some((what, theirs, ours)) => format!("its {what} is '{theirs}', here it is '{ours}'"),
        None if ours.device != CPU => "only runs on the CPU are".to_owned(),
        None => "it lacks this seed".to_owned(),
    };
    format!("Not compared digit by digit with the ensemble: {reason}.")
}

/// How near each loss must be to the one of the same seed, as a share, if machine, libtorch, threads and ratings are the
/// same and only the stepper may differ: on the CPU. No two runs on a card are promised to agree digit by digit.
fn tolerance(saved: &Environment, ours: &Environment) -> Option<f64> {
    let same = Environment { stepper: saved.stepper, ..ours.clone() } == *saved;
    (same && ours.device == CPU).then_some(if saved.stepper == ours.stepper { EXACT } else { FAST })
}

/// Whether each run of `one` is comparable with the ensemble's run of the same seed: it was made on the same machine
/// with the same libtorch, and the ensemble has its seeds.
pub fn has_the_same_runs(ensemble: &Ensemble, one: &Ensemble) -> bool {
    let has = |fit: &FitEnsemble| {
        ensemble.fit(&fit.name).is_some_and(|e| fit.seeds.iter().all(|seed| e.seeds.contains(seed)))
    };
    tolerance(&ensemble.environment, &one.environment).is_some() && one.fits.iter().all(has)
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
    /// How near each loss has to be, as a share, where machine, libtorch, device and threads are the same.
    pub tolerance: Option<f64>,
    /// Share of the saved value that is accepted.
    pub margin: f64,
    /// One entry per number.
    pub differences: Vec<Difference>,
}

/// Compares two ensembles over the fits and seeds that both have.
///
/// # Errors
/// They have nothing, or too little, in common, or come from different data.
pub fn against(saved: &Ensemble, ours: &Ensemble, margin: f64) -> Result<Comparison> {
    if saved.environment.data != ours.environment.data {
        return Err(unjudged(format!(
            "the saved ensemble is of other ratings (sha256 {}, here {}): their losses cannot be compared",
            saved.environment.data, ours.environment.data
        )));
    }
    let tolerance = tolerance(&saved.environment, &ours.environment);
    let mut differences = Vec::new();
    for fit in &ours.fits {
        let before = saved.fit(&fit.name).ok_or_else(|| {
            unjudged(format!("the saved ensemble has no {}: leave it out with --fits", fit.name))
        })?;
        let pairs: Vec<(&Vec<f64>, &Vec<f64>)> = fit
            .seeds
            .iter()
            .zip(&fit.runs)
            .filter_map(|(seed, run)| {
                let at = before.seeds.iter().position(|s| s == seed)?;
                Some((&before.runs[at], run))
            })
            .collect();
        let fewest = if tolerance.is_some() { 1 } else { FEWEST_RUNS };
        if pairs.len() < fewest {
            return Err(unjudged(format!(
                "{}: {} seeds in common with the saved ensemble; it takes at least {fewest}",
                fit.name,
                pairs.len()
            )));
        }
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
                difference: mean(&apart),
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
        d.fails = differs || tolerance.is_some_and(|within| d.largest > within);
    }
    Ok(Comparison { tolerance, margin, differences })
}

impl Comparison {
    /// What fails, in words; empty when nothing does.
    pub fn failures(&self) -> Vec<String> {
        let failing = self.differences.iter().filter(|d| d.fails);
        failing.map(|d| format!("{} epoch {} {}", d.fit, d.epoch, d.loss)).collect()
    }

    /// An error that names what fails; `saved` says what it was compared with.
    pub fn ensure_the_same(&self, saved: &str) -> Result<()> {
        let failures = self.failures();
        ensure!(
            failures.is_empty(),
            "{} numbers differ from {saved}: {}",
            failures.len(),
            failures.join("; ")
        );
        Ok(())
    }

    /// The rule that decided, and the largest difference found.
    pub fn rule(&self) -> String {
        let largest = self.differences.iter().map(|d| d.largest).fold(0.0, f64::max);
        let rule = match self.tolerance {
            Some(within) => format!("Same machine, same libtorch: each loss must be the same to {within:e}"),
            None => format!(
                "Another machine or libtorch: a difference fails when it is significant and above {}%",
                100.0 * self.margin
            ),
        };
        format!("{rule}; the largest difference is {largest:.1e}.")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_on_a_card_are_never_compared_digit_by_digit() {
        let on_cpu = crate::verify::committed().unwrap();
        assert!(has_the_same_runs(&on_cpu, &on_cpu));
        let mut on_card = on_cpu.clone();
        on_card.environment.device = "cuda:0".to_owned();
        on_card.environment.card = Some("NVIDIA L4".to_owned());
        assert!(!has_the_same_runs(&on_card, &on_card));
        assert!(why_not_exact(&on_card, &on_card).ends_with("only runs on the CPU are."));
        let mut other = on_card.clone();
        other.environment.card = Some("NVIDIA T4".to_owned());
        assert!(why_not_exact(&on_card, &other).contains("its card is 'NVIDIA L4', here it is 'NVIDIA T4'"));
        // An ensemble of the CPU is written as before.
        assert!(
            !on_cpu.to_text().unwrap().contains("card") && on_card.to_text().unwrap().contains("NVIDIA L4")
        );
    }
}
