//! The options of a run.

use std::path::PathBuf;

use tch::Device;

use crate::fast::StepperKind;
use crate::movielens::SplitBy;
use crate::plots::Format;
use crate::run::progress::Telling;

/// The device, the data split and the output of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Seed of the random generator, set before each fit.
    pub seed: i64,
    /// The device of the tensors.
    pub device: Device,
    /// Why `--device auto` did not take a card that shows.
    pub device_reason: Option<String>,
    /// The stepper that computes the batches.
    pub stepper: StepperKind,
    /// The factor of the lecture's learning rates: 1, unless they are too large for other ratings.
    pub rate: f64,
    /// How the validation rows are chosen.
    pub split: SplitBy,
    /// Whether section beyond also trains on the other splits.
    pub all_splits: bool,
    /// The output folder.
    pub out: PathBuf,
    /// Resolution of the PNG plots, in dots per inch.
    pub dpi: u32,
    /// The kinds of files that each plot is written as.
    pub formats: Vec<Format>,
    /// How the run reports its progress.
    pub telling: Telling,
}
