//! The command line of the lecture.

mod cli;

use std::process::ExitCode;

use lecture5::system::allocator::OneLine;

#[global_allocator]
static ALLOCATOR: OneLine = OneLine;

fn main() -> ExitCode {
    cli::main()
}
