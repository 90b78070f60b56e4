//! The machine under a run: files written completely or not at all, locks, interruption, failure, memory; and numbers:
//! random ones, the dot product, the mean.

#[cfg(feature = "harness")]
pub mod allocator;
pub mod arithmetic;
#[cfg(feature = "harness")]
pub mod failure;
#[cfg(feature = "harness")]
pub mod files;
#[cfg(feature = "harness")]
pub mod interrupt;
#[cfg(feature = "harness")]
pub mod lock;
#[cfg(feature = "harness")]
pub mod machine;
pub mod memory;
#[cfg(feature = "harness")]
pub mod numerals;
pub mod panics;
pub(crate) mod prefetch;
#[cfg(feature = "harness")]
pub mod random;
pub mod special;
pub mod terminal;
pub(crate) mod threads;
pub(crate) mod wide;
