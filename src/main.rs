//! The command line of the lecture.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
