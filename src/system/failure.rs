//! How the program fails: with one plain line on the standard error, and an exit status that gives the kind of failure.

use std::fmt;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use anyhow::Error;

use crate::system::interrupt::{self, Interrupted};
use crate::system::panics;

/// An error of the command line, which clap cannot see by itself: status 2.
#[derive(Debug)]
struct WrongUse(String);

impl fmt::Display for WrongUse {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// Makes an error one of wrong use.
pub fn wrong_use(error: impl fmt::Display) -> Error {
    Error::new(WrongUse(format!("{error:#}")))
}

/// Prints what went wrong. Status 2: used wrongly; 1: failed; 130: interrupted.
pub fn tell(error: &Error) -> ExitCode {
    if error.is::<Interrupted>() {
        // The outermost says how to go on.
        complain(&error.to_string());
        return ExitCode::from(interrupt::STATUS);
    }
    complain(&format!("error: {}", without_trace(&format!("{error:#}"))));
    ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
}

/// Writes a line on the standard error. Where that is closed or full, the line is lost.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// An error's text on one line, without the C++ frames that libtorch's errors carry. Indented lines stay lines:
/// they are a list, of the movies that could be meant.
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

/// A panic is a fault of this program, but for one: `tch` panics where libtorch finds no memory. Either is
/// told in a line; with RUST_BACKTRACE set, as Rust tells it.
pub fn tell_panics_in_a_line() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        if panics::expected() {
            return;
        }
        // The errors in an `unwrap`'s message are in quotes, their ends of lines escaped.
        let text = panics::message(panic.payload()).replace("\\n", "\n");
        if out_of_memory(&text) {
            complain(
                "error: memory ran out: take fewer --factors, smaller --hidden layers or a smaller --batch-size",
            );
            std::process::exit(1);
        }
        complain(&fault(panic, &text));
    }));
}

/// What libtorch says where the CPU's or the CUDA device's memory is used up.
fn out_of_memory(text: &str) -> bool {
    ["DefaultCPUAllocator: ", "CUDA out of memory"].iter().any(|words| text.contains(words))
}

fn fault(panic: &PanicHookInfo, text: &str) -> String {
    let place = panic.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
    format!(
        "error: a fault of lecture5 itself{place}: {}. Please report it with the command that led to it and what \
         RUST_BACKTRACE=1 says.",
        without_trace(text)
    )
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
    fn memory_that_ran_out_is_told_from_a_fault() {
        assert!(out_of_memory("Torch(\"[enforce fail] DefaultCPUAllocator: can't allocate memory\")"));
        assert!(out_of_memory("Torch(\"CUDA out of memory. Tried to allocate 2 GiB\")"));
        assert!(!out_of_memory("index out of bounds"));
    }
}
