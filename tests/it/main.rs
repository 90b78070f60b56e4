//! The tests of behavior, one module each; `memory.rs` next to this folder measures the process and runs alone.

mod any_data;
mod ask;
mod beyond;
mod cli;
mod common;
mod data;
mod descent;
mod determinism;
mod gpu_check;
mod graphs;
mod hostile;
mod interpretation;
mod interruption;
mod keeping;
mod kernel;
mod limits;
mod live;
mod machines;
mod notebook;
mod one_to_one;
mod parity;
mod parquet;
mod plots;
mod prepared;
mod proof;
mod readers;
mod sealing;
mod setup;
mod solver;
mod spreadsheet;
mod step;
mod steppers;
mod titles;
mod training;
mod verify;
mod wrong_input;
mod wrong_use;

/// As the program has it: what asks for absurd amounts of memory ends in a line.
#[global_allocator]
static ALLOCATOR: lecture5::system::allocator::OneLine = lecture5::system::allocator::OneLine;
