//! Ctrl-C (SIGINT), SIGTERM, SIGHUP and a used-up time limit (SIGXCPU): work stops at the next point where its results are
//! complete.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::system::terminal::complain;

/// The exit status of a program that was interrupted, as shells have it: 128 and SIGINT's number.
pub const STATUS: u8 = 130;

/// How long work may take to reach such a point. Then the process is ended: what is on the disk is complete at any
/// moment.
const PATIENCE: Duration = Duration::from_millis(1500);

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The message if the process is ended during its work.
static LAST_WORDS: Mutex<String> = Mutex::new(String::new());

/// Whether a signal ends the process at once.
static AT_ONCE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

/// Whether work goes on after an interruption: see [`listen_and_go_on`].
static GOES_ON: AtomicBool = AtomicBool::new(false);

/// From here until [`listen`], a signal ends the process at once: nothing is lost yet.
///
/// # Errors
/// The system does not accept signal handlers.
pub fn begin() -> Result<()> {
    on_each_signal(|signal| {
        flag::register_conditional_shutdown(signal, i32::from(STATUS), Arc::clone(&AT_ONCE)).map(drop)
    })
}

/// From here on the first signal is only noted, for [`check`] to find. A second one ends the process at once, and so
/// does work that does not check for the first one in time.
///
/// # Errors
/// The system does not accept signal handlers.
pub fn listen() -> Result<()> {
    // In this order: the signal that sets the flag must not find it set.
    on_each_signal(|signal| {
        flag::register_conditional_shutdown(signal, i32::from(STATUS), Arc::clone(&ASKED))?;
        flag::register(signal, Arc::clone(&ASKED)).map(drop)
    })?;
    AT_ONCE.store(false, Ordering::Relaxed);
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(std::thread::Builder::new().spawn(watch)));
    Ok(())
}

/// From here on a Ctrl-C stops only the work that [`check`] finds it in, and the process goes on: in a kernel, the next
/// cell finds the variables of those before.
///
/// # Errors
/// The system does not accept signal handlers.
pub fn listen_and_go_on() -> Result<()> {
    GOES_ON.store(true, Ordering::Relaxed);
    flag::register(SIGINT, Arc::clone(&ASKED)).context("the signal of Ctrl-C cannot be handled")?;
    Ok(())
}

fn on_each_signal(register: impl Fn(i32) -> std::io::Result<()>) -> Result<()> {
    #[cfg(unix)]
    let others = [signal_hook::consts::SIGHUP, signal_hook::consts::SIGXCPU];
    #[cfg(not(unix))]
    let others = [];
    // With `nohup` the user wants the end of the terminal ignored.
    let others = others.into_iter().filter(|signal| !is_ignored(*signal));
    for signal in [SIGINT, SIGTERM].into_iter().chain(others) {
        register(signal).context("the signals of Ctrl-C cannot be handled")?;
    }
    Ok(())
}

fn watch() {
    while !asked() {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(PATIENCE);
    let words = LAST_WORDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    tell(if words.is_empty() { "interrupted: nothing was saved" } else { &words });
    // Without the usual actions at the end of a process: other threads are still working.
    low_level::exit(i32::from(STATUS));
}

/// Prints what was kept after an interruption: only once, even if the work and the watcher end at the same moment.
pub fn tell(words: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        complain(words);
    }
}

/// Sets the message for work that is ended from here on.
pub fn last_words(words: String) {
    *LAST_WORDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = words;
}

/// Ends this process when its standard input ends: with the process at the other end of the pipe, however that ends.
///
/// # Errors
/// No thread can be started.
pub fn end_with_stdin() -> Result<()> {
    let wait = || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        low_level::exit(i32::from(STATUS));
    };
    std::thread::Builder::new().spawn(wait).map(drop).context("no thread can be started")
}

/// Whether the process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether a signal has come.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Long work calls this where it can stop: between two batches, two sections, two runs.
///
/// # Errors
/// [`Interrupted`], once a signal has come.
pub fn check() -> Result<()> {
    let stops = if GOES_ON.load(Ordering::Relaxed) { ASKED.swap(false, Ordering::Relaxed) } else { asked() };
    ensure!(!stops, Interrupted);
    Ok(())
}

/// The error of work that was asked to stop. A caller that can resume it says how in the error's context.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("interrupted: nothing was saved")
    }
}

impl std::error::Error for Interrupted {}
