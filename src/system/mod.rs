//! The machine under a run: files written whole or not at all, interruption, failure, memory, random numbers.

pub mod failure;
pub mod files;
pub mod interrupt;
pub mod memory;
pub mod random;
