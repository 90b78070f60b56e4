//! The files that a fit writes, and their uses: model files, checkpoints to resume from, and opening a trained
//! model.

pub mod checkpoint;
pub mod model_file;
mod seal;
pub mod trained;
