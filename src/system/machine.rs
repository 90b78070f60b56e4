//! The kind of machine, and whether a run can start on it.

use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::system::memory;
use crate::system::terminal::complain;

/// System, architecture and, if the system names it, the processor: its name, family and model, and the widest vectors
/// it computes with. They affect the last digits of libtorch's sums. So do some environment variables of its libraries,
/// which are added if they are set.
pub fn kind() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let mut parts = vec![format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)];
    parts.extend(value("model name").map(str::to_owned));
    for name in ["cpu family", "model", "CPU implementer", "CPU part"] {
        parts.extend(value(name).map(|value| format!("{name} {value}")));
    }
    let flags: Vec<&str> = value("flags").unwrap_or_default().split_whitespace().collect();
    let widest = ["avx512f", "avx2", "avx"].into_iter().find(|wide| flags.contains(wide));
    parts.extend(widest.map(str::to_owned));
    let rounds = ["MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ATEN_CPU_CAPABILITY"];
    let set = rounds.iter().filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)));
    parts.extend(set);
    parts.join(", ")
}

/// Ends the process with one line if its working folder is gone: libtorch's libraries need one, and without it end the
/// process with another message.
pub fn end_without_a_folder() {
    if let Err(why) = std::env::current_dir() {
        complain(&format!(
            "error: the working folder is gone, or cannot be read ({why}); change to another one"
        ));
        signal_hook::low_level::exit(1);
    }
}

/// Bytes that libtorch's libraries take as they start.
const LIBTORCH: u64 = 96 << 20;

/// Ends the process with one line if libtorch's libraries could not start: without memory for an exception, C++ aborts.
pub fn end_without_memory() {
    if let Err(why) = memory::check("libtorch", LIBTORCH, "free some, or raise its limit (ulimit -v)") {
        complain(&format!("error: {why}"));
        signal_hook::low_level::exit(1);
    }
}

/// Bytes of a thread, and those that libraries take before anything is read.
const STACK: u64 = 2 << 20;
const LEAST: u64 = 64 << 20;

/// Checks that as many threads can be started as this process will need, `own` of libtorch among them: libraries end
/// the process if one cannot.
///
/// # Errors
/// The limits in force do not allow so many.
pub fn check_threads(own: usize) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    // A pool for polars, one for rayon, one for what section `beyond` begins early, and a few threads of this program.
    let needed = 3 * processors + own + 5;
    memory::check("a run", needed as u64 * STACK + LEAST, "free some, or raise its limit (ulimit -v)")?;
    std::thread::scope(|scope| {
        // Dropped at the end, which ends all of them.
        let mut held = Vec::new();
        for _ in 0..needed {
            let (hold, wait) = mpsc::channel::<()>();
            let started = std::thread::Builder::new().spawn_scoped(scope, move || wait.recv().is_ok());
            started.map(drop).with_context(|| {
                format!(
                    "{needed} threads cannot be started: ask for fewer --threads, or raise the limits of threads and \
                     memory (ulimit -u, ulimit -v)"
                )
            })?;
            held.push(hold);
        }
        Ok(())
    })
}
