//! What `verify` has judged, and how it says so.

use serde::Serialize;

use crate::notebook::Table;

/// The verdict on a number or on a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing speaks against it, and a deviation of the margin would have been found.
    Reproduced,
    /// Its p-value over all numbers is at most [`ALPHA`](super::ALPHA).
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
    /// The 95% prediction interval of one more draw.
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
    /// The smallest deviation of this number alone that is found with probability [`POWER`](super::POWER); `None` if the runs are too
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
    /// Whether that is at most [`ALPHA`](super::ALPHA).
    pub deviates: bool,
    /// The largest distance in each run, ascending.
    #[serde(skip)]
    pub(super) null: Vec<f64>,
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
            "95% for one draw",
        ]);
        for n in &self.numbers {
            table.push([
                n.fit.clone(),
                n.epoch.to_string(),
                n.loss.to_owned(),
                format!("{:.5}", n.value),
                format!("{:.5} ± {:.5}", n.mean, n.sd),
                n.verdict.text().to_owned(),
                n.detectable.map_or("none".to_owned(), |d| format!("{:.1}%", 100.0 * d / n.value.abs())),
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
            "Of {} numbers {} are reproduced and {} deviate; of the other {} a deviation of {}% might not have been \
             seen.",
            self.numbers.len(),
            count(Verdict::Reproduced),
            count(Verdict::Deviates),
            count(Verdict::Underpowered),
            100.0 * self.margin
        )
    }
}
