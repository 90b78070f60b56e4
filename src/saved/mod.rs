//! What a fit leaves on disk, and what can be done with it: model files, checkpoints to resume from, and a
//! trained model opened again.

pub mod checkpoint;
pub mod model_file;
pub mod trained;
