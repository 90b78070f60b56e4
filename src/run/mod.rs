//! A run of the lecture: the state that its sections share, its metrics, the lecture's reference numbers, and progress.

pub mod footprint;
pub mod lecture;
pub mod live;
pub mod metrics;
pub mod options;
pub mod progress;
pub mod reference;
pub mod within_reason;
