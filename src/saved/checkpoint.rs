//! A fit saved after each epoch (`--checkpoint`). It resumes (`--resume`) after Ctrl-C, a crash or a kill, and
//! gives the same bytes as an uninterrupted fit.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use serde_json::Value;
use tch::Tensor;

use crate::history::{Callback, Epoch, FitState, History, RunningMean};
use crate::learner::Learner;
use crate::libtorch;
use crate::optim::Optimizer;
use crate::saved::model_file::{self, ModelCard};
use crate::settings::Plan;
use crate::system::failure::{complain, is_wrong_use, wrong_use};
use crate::system::{files, interrupt, machine};

/// A fit on disk. A rename replaces its file as a whole, so at any moment the file holds the state at the end of an
/// epoch. The file before it is kept too, in case the disk damages the newest. As a callback of the fit it saves after
/// each epoch.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    before: PathBuf,
    fit: FitCard,
    /// Number of epochs in the checkpoint.
    kept: usize,
}

/// Identifies the fit. It resumes to the same bytes only if it is computed in the same way.
#[derive(Debug, Serialize)]
struct FitCard {
    #[serde(flatten)]
    model: ModelCard,
    threads: i32,
    libtorch: &'static str,
    machine: String,
}

impl Checkpoint {
    /// A checkpoint in `folder`; `model` identifies the fit.
    pub fn new(folder: &Path, model: ModelCard) -> Checkpoint {
        let (threads, libtorch, machine) = (tch::get_num_threads(), libtorch::version(), machine::kind());
        let fit = FitCard { model, threads, libtorch, machine };
        let [path, before] =
            ["checkpoint", "checkpoint-before"].map(|name| folder.join(name).with_extension("safetensors"));
        Checkpoint { path, before, fit, kept: 0 }
    }

    /// Makes sure that the checkpoint can be written, and returns whether there is one to resume. Removes files that a
    /// killed process left half-written: this process must have locked the folder.
    ///
    /// # Errors
    /// The folder is not writable, or holds a checkpoint and `resume` is false.
    pub fn take_over(&self, resume: bool) -> Result<bool> {
        files::check_writable(&self.path)?;
        if let Some(folder) = self.path.parent() {
            files::remove_half_written(folder)?;
        }
        let kept = self.path.exists() || self.before.exists();
        if kept && !resume {
            return Err(wrong_use(format!(
                "{}: there is a checkpoint here already; continue it by --resume, remove it, or choose another folder",
                self.path.display()
            )));
        }
        Ok(kept)
    }

    fn save(&self, state: &FitState, opt: &Optimizer) -> Result<()> {
        let History { epochs, running, rates, epoch_seconds, .. } = &state.history;
        let losses: Vec<f64> = epochs.iter().flat_map(|e| [e.trn, e.val, e.val_by_rows]).collect();
        let mean = [state.mean.avg_loss, f64::from(state.mean.batch_num)];
        let tensors = [
            ("losses", Tensor::from_slice(&losses).view([-1, 3])), // (epochs, 3)
            ("running", Tensor::from_slice(running)),              // (batches,)
            ("rates", Tensor::from_slice(rates)),                  // (batches,)
            ("mean", Tensor::from_slice(&mean)),                   // (2,)
            ("seconds", Tensor::from_slice(epoch_seconds)),        // (epochs,)
        ];
        let tensors = tensors.into_iter().map(|(name, t)| (format!("fit.{name}"), t)).collect();
        if self.path.exists() {
            let renamed = std::fs::rename(&self.path, &self.before);
            renamed.with_context(|| format!("{}: cannot be written", self.before.display()))?;
        }
        model_file::save_with(&self.path, &self.fit, opt, tensors)
    }

    /// Restores the fit into a learner made with the same settings, and returns its position: from the newest file or,
    /// if that is damaged, from the one before, with a note. A fit moves between a card and the CPU only if it `may_cross`.
    ///
    /// # Errors
    /// Both are damaged, or belong to another fit; the error names the difference.
    pub fn load(&mut self, learner: &mut Learner, may_cross: bool) -> Result<FitState> {
        let newest = if self.path.exists() { &self.path } else { &self.before };
        let state = match self.load_from(newest, learner, may_cross) {
            Err(damaged) if !is_wrong_use(&damaged) && self.path.exists() && self.before.exists() => {
                let before = self.load_from(&self.before, learner, may_cross);
                let before = before.map_err(|_| anyhow!("{damaged:#}; and so is the one before it"))?;
                complain(&format!(
                    "note: {damaged:#}; the fit resumes an epoch earlier, from {}",
                    self.before.display()
                ));
                // Otherwise it would replace the intact one.
                std::fs::remove_file(&self.path)
                    .with_context(|| format!("{}: cannot be removed", self.path.display()))?;
                before
            }
            newest => newest?,
        };
        self.kept = state.history.epochs.len();
        interrupt::last_words(self.how_to_resume());
        Ok(state)
    }

    fn load_from(&self, path: &Path, learner: &mut Learner, may_cross: bool) -> Result<FitState> {
        let (metadata, saved) = model_file::read(path)?;
        if model_file::card(&metadata).is_ok() {
            let under_way = saved.contains_key("fit.losses");
            ensure!(under_way, "{}: a trained model, not a checkpoint", path.display());
        }
        self.same_fit(path, &metadata)?;
        let place = || format!("{}: cannot be resumed", path.display());
        let plan = &self.fit.model.settings.plan;
        let state = fit_state(&saved, plan, learner.data.n_batches()).with_context(place)?;
        model_file::put_back(&saved, &mut learner.opt, may_cross).with_context(place)?;
        if let Some(crossing) = model_file::crossing(&saved, learner.opt.device()) {
            complain(&format!(
                "note: {}: {crossing}, as --device says: the losses to come are not to the last digit those of an \
                 uninterrupted fit, and dropout draws other numbers",
                path.display()
            ));
        }
        Ok(state)
    }

    /// The message after an interruption.
    pub fn how_to_resume(&self) -> String {
        match self.kept {
            0 => "interrupted in the first epoch: nothing was saved".to_owned(),
            epochs => format!(
                "interrupted: {epochs} complete epochs are in {}; the same command with --resume continues",
                self.path.display()
            ),
        }
    }

    /// Compares both cards as JSON, which names every setting and represents numbers the same way on both sides.
    fn same_fit(&self, path: &Path, metadata: &HashMap<String, String>) -> Result<()> {
        model_file::card(metadata).with_context(|| path.display().to_string())?;
        let [mut there, mut here]: [Value; 2] = [
            serde_json::from_str(model_file::card_text(metadata)?)?,
            serde_json::from_str(&serde_json::to_string(&self.fit)?)?,
        ];
        ensure!(
            there["seal"].is_string(),
            "{}: saved without a checksum, by an earlier version",
            path.display()
        );
        // A fit that moves to another machine is not lost, but its last digits differ.
        if there["machine"] != here["machine"] {
            complain(&format!(
                "note: {}: saved on another kind of machine ({}) than this one ({}): the last digits may differ from \
                 those of an uninterrupted fit",
                path.display(),
                there["machine"].as_str().unwrap_or("not stated"),
                self.fit.machine
            ));
        }
        // The ratings file may have moved.
        for card in [&mut there, &mut here] {
            for may_differ in ["source", "machine", "seal"] {
                card[may_differ] = Value::Null;
            }
        }
        let mut differences = Vec::new();
        let mut compare = |name: &str, there: &Value, here: &Value| {
            if there != here {
                differences.push(format!("{name} was {there} and is {here}"));
            }
        };
        for name in here["settings"].as_object().into_iter().flat_map(|settings| settings.keys()) {
            compare(&option(name), &there["settings"][name], &here["settings"][name]);
        }
        compare("--threads", &there["threads"], &here["threads"]);
        compare("the stepper", &there["stepper"], &here["stepper"]);
        compare("libtorch", &there["libtorch"], &here["libtorch"]);
        compare("the ratings' SHA-256", &there["data"], &here["data"]);
        compare("the range of the ratings", &there["range"], &here["range"]);
        if differences.is_empty() && there != here {
            differences.push("the users, movies or training rows differ".to_owned());
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(wrong_use(format!(
            "{}: the checkpoint is of another fit: {}; give its settings and data, or choose another folder",
            self.path.display(),
            differences.join(", ")
        )))
    }
}

impl Callback for Checkpoint {
    fn on_epoch_end(&mut self, _: &Epoch, state: &FitState, opt: &Optimizer) -> Result<ControlFlow<()>> {
        self.save(state, opt)?;
        self.kept = state.history.epochs.len();
        interrupt::last_words(self.how_to_resume());
        Ok(ControlFlow::Continue(()))
    }
}

/// The option that sets a setting.
fn option(setting: &str) -> String {
    let name = match setting {
        "rule" => "optimizer",
        "plan" => "schedule",
        "n_factors" => "factors",
        other => other,
    };
    format!("--{}", name.replace('_', "-"))
}

/// The position of a saved fit of `plan`, with `n_batches` batches per epoch.
fn fit_state(saved: &HashMap<String, Tensor>, plan: &Plan, n_batches: usize) -> Result<FitState> {
    let numbers = |name: &str| -> Result<Vec<f64>> {
        let t = saved.get(&format!("fit.{name}"));
        let t = t.with_context(|| format!("it has no 'fit.{name}': a trained model, not a checkpoint"))?;
        let numbers: Vec<f64> = Vec::try_from(t.f_reshape([-1])?)?;
        let wrong = numbers.iter().find(|x| !x.is_finite() || **x < 0.0);
        ensure!(wrong.is_none(), "its 'fit.{name}' holds {}", wrong.unwrap_or(&0.0));
        Ok(numbers)
    };
    let (losses, running, rates) = (numbers("losses")?, numbers("running")?, numbers("rates")?);
    let (mean, epoch_seconds) = (numbers("mean")?, numbers("seconds")?);
    let (epochs, batches) = (losses.len() / 3, losses.len() / 3 * n_batches);
    let ends = plan.calls().into_iter().scan(0, |end, (.., epochs)| {
        *end += epochs;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let planned = ends.last().copied().unwrap_or(0);
    ensure!((1..=planned).contains(&epochs), "it has {epochs} epochs, but {planned} are planned");
    // The running mean starts over with each `fit` call.
    let call_began = ends.iter().copied().filter(|end| *end < epochs).max().unwrap_or(0);
    let averaged = (epochs - call_began) * n_batches;
    ensure!(
        losses.len() == 3 * epochs
            && (running.len(), rates.len()) == (batches, batches)
            && (mean.len(), epoch_seconds.len()) == (2, epochs)
            && mean[1] == averaged as f64,
        "its epochs and batches do not match"
    );
    let epochs = losses.chunks(3).enumerate();
    let epochs = epochs.map(|(epoch, l)| Epoch { epoch, trn: l[0], val: l[1], val_by_rows: l[2] });
    let history = History { epochs: epochs.collect(), running, rates, epoch_seconds, ..History::default() };
    let mean = RunningMean { avg_loss: mean[0], batch_num: mean[1] as i32 };
    Ok(FitState { mean, history, earlier: 0 })
}
