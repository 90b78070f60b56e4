//! How the program fails: with one plain line on the standard error, and an exit status that gives the kind of failure.

use std::fmt;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow};

use crate::system::interrupt::{self, Interrupted};
use crate::system::panics;
pub use crate::system::terminal::complain;

/// An error of the command line that clap cannot detect by itself: status 2.
#[derive(Debug)]
struct WrongUse(String);

impl fmt::Display for WrongUse {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// Marks an error as wrong use.
pub fn wrong_use(error: impl fmt::Display) -> Error {
    Error::new(WrongUse(format!("{error:#}")))
}

/// Whether an error is marked as wrong use.
pub fn is_wrong_use(error: &Error) -> bool {
    error.is::<WrongUse>()
}

/// The error of a check that could not decide: status 3.
#[derive(Debug)]
struct Unjudged(String);

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unjudged {}

/// Marks an error as that of a check that could not decide.
pub fn unjudged(error: impl fmt::Display) -> Error {
    Error::new(Unjudged(format!("{error:#}")))
}

/// Prints what went wrong. Status 2: used wrongly; 3: nothing could be judged; 1: failed; 130: interrupted.
pub fn tell(error: &Error) -> ExitCode {
    if error.is::<Interrupted>() {
        // The outermost says how to continue.
        interrupt::tell(&error.to_string());
        return ExitCode::from(interrupt::STATUS);
    }
    complain(&format!("error: {}", without_trace(&format!("{error:#}"))));
    ExitCode::from(match () {
        _ if is_wrong_use(error) => 2,
        _ if error.is::<Unjudged>() => 3,
        _ => 1,
    })
}

/// An error's text on one line, without the C++ frames that libtorch's errors carry. Indented lines stay separate: they
/// list the movies that a title could mean.
fn without_trace(text: &str) -> String {
    let trace = |line: &str| line.starts_with("frame #") || line.starts_with("Exception raised from ");
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !trace(line)) {
        match line.starts_with("  ") {
            true => out += &format!("\n{}", line.trim_end()),
            false if out.is_empty() => out += line.trim(),
            false => out += &format!(" {}", line.trim()),
        }
    }
    out
}

/// A panic is a bug in this program, with two exceptions: `tch` panics if libtorch runs out of memory, and others panic if
/// there are no more threads. Each is reported in one line; with RUST_BACKTRACE set, as Rust reports it.
pub fn tell_panics_in_a_line() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        if panics::expected() {
            return;
        }
        // The errors in an `unwrap`'s message are in quotes, with their line ends escaped.
        let text = panics::message(panic.payload()).replace("\\n", "\n");
        if let Some(why) = used_up(&text) {
            complain(&format!("error: {why}"));
            std::process::exit(1);
        }
        complain(&fault(panic, &text));
    }));
}

/// Makes writing beyond the largest allowed file (`ulimit -f`) an ordinary error; otherwise it would silently end the
/// process.
///
/// # Errors
/// The system does not accept signal handlers.
pub fn survive_limits() -> Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
        .context("SIGXFSZ cannot be handled")?;
    Ok(())
}

/// The error of a caught panic: what was used up, or a bug in this program.
pub fn of_panic(text: &str) -> Error {
    let text = text.replace("\\n", "\n");
    match used_up(&text) {
        Some(why) => anyhow!(why),
        None => anyhow!("a bug in lecture5 itself: {}. {REPORT}", without_trace(&text)),
    }
}

/// What a panic says is used up: the memory of the CPU or of the CUDA device, or threads.
fn used_up(text: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["DefaultCPUAllocator: ", "CUDA out of memory"]) {
        return Some(
            "memory ran out: take fewer --factors, smaller --hidden layers or a smaller --batch-size",
        );
    }
    says(&["failed to spawn thread", "Resource temporarily unavailable"]).then_some(
        "no more threads can be started: raise the limits of threads and memory (ulimit -u, ulimit -v)",
    )
}

/// What to do about a bug in this program.
const REPORT: &str = "Please report it with the command that led to it and what RUST_BACKTRACE=1 says.";

fn fault(panic: &PanicHookInfo, text: &str) -> String {
    let place = panic.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
    format!("error: a bug in lecture5 itself{place}: {}. {REPORT}", without_trace(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_libtorch_is_told_without_its_frames() {
        let error = "weights: size mismatch, got 3\nException raised from f at /x.cpp:3 (most recent call first):\n\
                    frame #0: c10::Error + 0x6a (0x7f in libc10.so)\nframe #1: <unknown function>\n";
        assert_eq!(without_trace(error), "weights: size mismatch, got 3");
        let list = "which of these?\n   1  Toy Story\n  29  The City of Lost Children";
        assert_eq!(without_trace(list), list);
    }

    #[test]
    fn memory_and_threads_that_ran_out_are_told_from_a_fault() {
        let of_memory = |text| used_up(text).is_some_and(|why| why.starts_with("memory ran out"));
        assert!(of_memory("Torch(\"[enforce fail] DefaultCPUAllocator: can't allocate memory\")"));
        assert!(of_memory("Torch(\"CUDA out of memory. Tried to allocate 2 GiB\")"));
        let threads = "failed to spawn thread: Os { code: 11, kind: WouldBlock }";
        assert!(used_up(threads).is_some_and(|why| why.starts_with("no more threads")));
        assert_eq!(used_up("index out of bounds"), None);
    }
}
