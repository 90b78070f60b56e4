//! What a run is told.

use std::path::PathBuf;

use tch::Device;

use crate::fast::StepperKind;
use crate::movielens::SplitBy;
use crate::run::progress::Telling;

/// Where a run happens and where it leaves its files.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Seed of the one random generator, set before each fit.
    pub seed: i64,
    /// Where the tensors are.
    pub device: Device,
    /// What computes the batches.
    pub stepper: StepperKind,
    /// How the ratings to hold out are chosen.
    pub split: SplitBy,
    /// The folder of results.
    pub out: PathBuf,
    /// Resolution of the PNG plots, in dots per inch.
    pub dpi: u32,
    /// Whether each plot is written as SVG too.
    pub svg: bool,
    /// How the run tells of itself.
    pub telling: Telling,
}
