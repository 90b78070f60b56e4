//! The command line of the lecture.

use std::process::ExitCode;

fn main() -> ExitCode {
    lecture5::cli::main()
}
