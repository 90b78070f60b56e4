//! Progress of a running fit: one bar per epoch with the running loss, on a terminal only.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::fast::StepperKind;
use crate::fit::Options;
use crate::history::{Batch, Callback, Epoch, FitState};
use crate::optim::Optimizer;
use crate::run::live::Batches;
use crate::system::failure::complain;
use crate::system::interrupt;

/// Whether and how a run reports its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Lines on the standard output; bars if the standard error is a terminal.
    Plain,
    /// Errors only.
    Quiet,
    /// One JSON object per line on the standard output: one `epoch` each, and `done` with the metrics.
    Json,
    /// What the page of `watch` shows, as [`live`](crate::run::live) says.
    Live,
}

/// Follows a `fit` call: shows a bar per epoch on a terminal, passes each epoch's losses to `on_epoch`, and checks
/// for Ctrl-C.
pub struct Follow<F> {
    telling: Telling,
    name: String,
    on_epoch: F,
    bar: Option<ProgressBar>,
    batches: Batches,
    started: Instant,
    /// The stepper, until the expected duration has been checked.
    untold: Option<StepperKind>,
}

impl<F: FnMut(&Epoch)> Follow<F> {
    /// Follows a fit, with `name` on its bar.
    pub fn new(telling: Telling, name: String, stepper: StepperKind, on_epoch: F) -> Follow<F> {
        Follow {
            telling,
            name,
            on_epoch,
            bar: None,
            batches: Batches::default(),
            started: Instant::now(),
            untold: Some(stepper),
        }
    }
}

/// The options of a fit that [`Follow`] follows with these arguments, and another callback.
pub fn followed<'a>(
    telling: Telling,
    name: String,
    stepper: StepperKind,
    on_epoch: impl FnMut(&Epoch) + 'a,
    other: impl Callback + 'a,
) -> Options<'a> {
    let follow = Follow::new(telling, name, stepper, on_epoch);
    let callbacks: Vec<Box<dyn Callback + 'a>> = vec![Box::new(follow), Box::new(other)];
    Options { callbacks, stepper: stepper.make(), ..Options::default() }
}

/// A fit that takes longer than this prints a note about `--fast`.
const LONG: Duration = Duration::from_secs(120);

impl<F: FnMut(&Epoch)> Callback for Follow<F> {
    fn on_batch_end(&mut self, at: &Batch) -> Result<ControlFlow<()>> {
        interrupt::check()?;
        if self.telling == Telling::Live {
            self.batches.tell(at);
        }
        let bar = self
            .bar
            .get_or_insert_with(|| epoch_bar(self.telling, &self.name, at.epoch, at.n_epochs, at.n_batches));
        if !bar.is_hidden() {
            bar.set_message(format!("{:.5}", at.debias_loss));
            bar.set_position(at.batch as u64 + 1);
        }
        // The first batches are slower than the rest.
        match (at.epoch, at.batch) {
            (0, 9) => self.started = Instant::now(),
            (0, 99) => {
                let left = at.n_batches * at.n_epochs - 100;
                let takes = self.started.elapsed().mul_f64(left as f64 / 90.0);
                if self.untold.take() == Some(StepperKind::Libtorch) && !bar.is_hidden() && takes > LONG {
                    let minutes = takes.as_secs_f64() / 60.0;
                    bar.suspend(|| {
                        complain(&format!(
                            "note: this fit will take about {minutes:.0} minutes; on large tables --fast is many times \
                             faster (lecture5 fit --help)"
                        ));
                    });
                }
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, epoch: &Epoch, _: &FitState, _: &Optimizer) -> Result<ControlFlow<()>> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        (self.on_epoch)(epoch);
        Ok(ControlFlow::Continue(()))
    }
}

fn epoch_bar(telling: Telling, name: &str, epoch: usize, epochs: usize, n_batches: usize) -> ProgressBar {
    let bar = bar(telling, n_batches, "{prefix} {wide_bar} {eta:>3} loss {msg}");
    bar.set_prefix(format!("{name}, epoch {}/{epochs}", epoch + 1));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar that counts to `length`, on a terminal only.
pub fn count(name: &'static str, telling: Telling, length: usize) -> ProgressBar {
    let bar = bar(telling, length, "{prefix} {wide_bar} {pos}/{len} [{elapsed}<{eta}]");
    bar.set_prefix(name);
    bar
}

/// Models that are trained side by side: a bar that counts them and names those in work, on a terminal only.
pub struct Training {
    bar: ProgressBar,
    in_work: Mutex<Vec<&'static str>>,
}

impl Training {
    /// Training of some models.
    pub fn new(telling: Telling) -> Training {
        let bar = bar(Telling::Quiet, 0, "models {bar:20} {pos}/{len} [{elapsed}] {wide_msg}");
        let training = Training { bar, in_work: Mutex::default() };
        training.show_to(telling);
        training
    }

    /// Sets the number of models.
    pub fn expect(&self, length: usize) {
        self.bar.set_length(length as u64);
    }

    /// Shows the bar from here on, if this is how the run reports.
    pub fn show_to(&self, telling: Telling) {
        self.bar.set_draw_target(target(telling));
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Trains a model.
    pub fn train<T>(&self, name: &'static str, model: impl FnOnce() -> T) -> T {
        self.show(|in_work| in_work.push(name));
        let trained = model();
        self.show(|in_work| in_work.retain(|other| *other != name));
        self.bar.inc(1);
        trained
    }

    fn show(&self, change: impl FnOnce(&mut Vec<&'static str>)) {
        let mut in_work = self.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut in_work);
        self.bar.set_message(in_work.join(", "));
    }
}

/// A bar on the standard error, as wide as the terminal leaves it room; indicatif draws nothing if that is not one.
fn bar(telling: Telling, length: usize, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), target(telling));
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
    bar
}

fn target(telling: Telling) -> ProgressDrawTarget {
    match telling {
        Telling::Plain => ProgressDrawTarget::stderr_with_hz(10),
        Telling::Quiet | Telling::Json | Telling::Live => ProgressDrawTarget::hidden(),
    }
}

/// The line of `--json` for an epoch; `number` counts from 0 over all `fit` calls of a model.
pub fn epoch_event(name: &str, number: usize, epoch: &Epoch) -> String {
    json!({"event": "epoch", "name": name, "epoch": number, "trn": epoch.trn, "val": epoch.val}).to_string()
}
