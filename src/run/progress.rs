//! What a person sees of a fit while it runs: a bar an epoch with the running loss, on a terminal only.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::fit::{Epoch, Event};

/// Whether a run tells of itself, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Lines on the standard output; bars where the standard error is a terminal.
    Plain,
    /// Nothing but errors.
    Quiet,
    /// One JSON object a line on the standard output: an `epoch` each, and `done` with the metrics.
    Json,
}

/// Follows the events of a `fit` call: the bar itself, and each epoch's losses to `on_epoch`.
pub fn follow<'a>(
    telling: Telling,
    name: String,
    mut on_epoch: impl FnMut(Epoch) + 'a,
) -> impl FnMut(Event) + 'a {
    let mut bar: Option<ProgressBar> = None;
    move |event| match event {
        Event::Batches { epoch, epochs, done, n_batches, loss } => {
            let bar = bar.get_or_insert_with(|| epoch_bar(telling, &name, epoch, epochs, n_batches));
            bar.set_message(format!("{loss:.5}"));
            bar.set_position(done as u64);
        }
        Event::Epoch(epoch) => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            on_epoch(epoch);
        }
    }
}

fn epoch_bar(telling: Telling, name: &str, epoch: usize, epochs: usize, n_batches: usize) -> ProgressBar {
    let bar = bar(telling, n_batches, " loss={msg}");
    bar.set_prefix(format!("{name}, epoch {}/{epochs}", epoch + 1));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar that counts to `length`, on a terminal only.
pub fn count(name: &'static str, telling: Telling, length: usize) -> ProgressBar {
    let bar = bar(telling, length, "");
    bar.set_prefix(name);
    bar
}

/// Drawn on the standard error, where indicatif draws nothing unless that is a terminal.
fn bar(telling: Telling, length: usize, end: &str) -> ProgressBar {
    let target = match telling {
        Telling::Plain => ProgressDrawTarget::stderr_with_hz(10),
        Telling::Quiet | Telling::Json => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(length as u64), target);
    let template = format!("{{prefix}} {{bar:30}} {{pos}}/{{len}} [{{elapsed}}<{{eta}}]{end}");
    bar.set_style(ProgressStyle::with_template(&template).expect("the template is well formed"));
    bar
}

/// The first error of the standard output, but for a closed pipe.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line on the standard output. Whoever closed the pipe wants no more of it, and the run goes on for
/// its files; any other error is for [`all_was_said`] at the end.
pub fn say(text: impl Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        drop(UNSAID.set(error));
    }
}

/// Whether all that was said could be written.
///
/// # Errors
/// The standard output took not all of it, as a full disk does.
pub fn all_was_said() -> Result<()> {
    match UNSAID.get() {
        None => Ok(()),
        Some(error) => bail!("the standard output was not written whole: {error}"),
    }
}

/// The line of `--json` for an epoch; `number` counts from 0 through all `fit` calls of a model.
pub fn epoch_event(name: &str, number: usize, epoch: &Epoch) -> String {
    json!({"event": "epoch", "name": name, "epoch": number, "trn": epoch.trn, "val": epoch.val}).to_string()
}
