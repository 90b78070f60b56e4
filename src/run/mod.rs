//! A session of the lecture: what its sections share, its metrics, the lecture's reference numbers, and progress.

pub mod lecture;
pub mod metrics;
pub mod progress;
pub mod reference;
