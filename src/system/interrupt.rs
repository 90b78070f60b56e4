//! Ctrl-C (SIGINT) and SIGTERM: work stops at the next point where its results are complete.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit status of a program that was interrupted, as shells have it: 128 and SIGINT's number.
pub const STATUS: u8 = 130;

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From here on the first signal is only noted, for [`check`] to find; a second one ends the process at once.
///
/// # Errors
/// The system refuses to have its signals handled.
pub fn listen() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the signal that sets the flag must not find it set.
        flag::register_conditional_shutdown(signal, i32::from(STATUS), Arc::clone(&ASKED))
            .and_then(|_| flag::register(signal, Arc::clone(&ASKED)))
            .context("the signals of Ctrl-C cannot be handled")?;
    }
    Ok(())
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
    ensure!(!asked(), Interrupted);
    Ok(())
}

/// The error of work that was asked to stop. A caller that can resume it says how in the error's context.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("interrupted: nothing was kept")
    }
}

impl std::error::Error for Interrupted {}
