//! Libraries that panic where their input is damaged.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many calls of [`caught`] are running. A count for all threads: polars works on several.
static EXPECTING: AtomicUsize = AtomicUsize::new(0);

/// Whether a panic is one that [`caught`] will report.
pub fn expected() -> bool {
    EXPECTING.load(Relaxed) > 0
}

/// Runs a library's code that panics if its input is damaged, and turns the panic into an error.
///
/// # Errors
/// The panic's message.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    EXPECTING.fetch_add(1, Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    EXPECTING.fetch_sub(1, Relaxed);
    outcome.map_err(|panic| message(&*panic).to_owned())
}

/// The message of a panic.
pub fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
