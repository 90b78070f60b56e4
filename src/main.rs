//! The command line of the lecture.

mod cli;

use std::process::ExitCode;

use lecture5::libtorch;
use lecture5::system::allocator::OneLine;
use lecture5::system::machine;

#[global_allocator]
static ALLOCATOR: OneLine = OneLine;

/// Runs before libtorch starts, because libtorch's own start already takes more memory than there may be, and ends the
/// process if the working folder is gone.
extern "C" fn before_libtorch() {
    libtorch::explain_terminations();
    machine::end_without_a_folder();
    machine::end_without_memory();
}

// `unsafe`: this section is for functions of this type that run before the libraries are initialized.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_LIBTORCH: extern "C" fn() = before_libtorch;

fn main() -> ExitCode {
    cli::main()
}
