//! The machine under a run: files written whole or not at all, interruption, failure, memory; and numbers: random
//! ones, the dot product, the mean.

#[cfg(feature = "harness")]
pub mod allocator;
#[cfg(feature = "harness")]
pub mod arithmetic;
#[cfg(feature = "harness")]
pub mod failure;
#[cfg(feature = "harness")]
pub mod files;
#[cfg(feature = "harness")]
pub mod interrupt;
pub mod memory;
pub mod panics;
#[cfg(feature = "harness")]
pub mod random;
