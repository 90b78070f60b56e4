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

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod end {
    //! The end of the process. libtorch's destructors, which take as long as its start, only free what the system frees
    //! anyway.

    use std::ffi::{c_int, c_void};
    use std::ptr::null_mut;

    // `unsafe`: glibc's functions of this name have these types.
    unsafe extern "C" {
        fn on_exit(end: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn end(status: c_int, _: *mut c_void) {
        // SAFETY: both may be called here. Rust has written its own buffers, whether `main` returned or the process was
        // ended by `std::process::exit`; the first call writes those of C.
        unsafe {
            libc::fflush(null_mut());
            libc::_exit(status);
        }
    }

    /// Ends the process without the destructors of what is loaded by now. A sanitizer's search for leaks in the program
    /// is skipped with them.
    pub fn without_destructors() {
        // SAFETY: `end` is a function of the program, and uses no argument. Were it refused, the process would end later.
        unsafe { on_exit(end, null_mut()) };
    }
}

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    end::without_destructors();
    cli::main()
}
