//! A fit saved after each epoch (`--checkpoint`). It resumes (`--resume`) after Ctrl-C, a crash or a kill, and
//! gives the same bytes as an uninterrupted fit.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use tch::Tensor;

use crate::history::{Callback, Epoch, FitState, History, RunningMean};
use crate::learner::Learner;
use crate::libtorch;
use crate::optim::Optimizer;
use crate::saved::model_file::{self, ModelCard};
use crate::system::failure::wrong_use;
use crate::system::files;

/// A fit on disk: one file, which a rename replaces as a whole, so that at any moment it holds the state at the end of
/// an epoch. As a callback of the fit it saves after each epoch.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
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
}

impl Checkpoint {
    /// A checkpoint in `folder`; `model` identifies the fit.
    pub fn new(folder: &Path, model: ModelCard) -> Checkpoint {
        let fit = FitCard { model, threads: tch::get_num_threads(), libtorch: libtorch::version() };
        Checkpoint { path: folder.join("checkpoint.safetensors"), fit, kept: 0 }
    }

    /// Makes sure that the checkpoint can be written, and returns whether there is one to resume. Removes files that
    /// a killed process left half-written.
    ///
    /// # Errors
    /// The folder is not writable, or holds a checkpoint and `resume` is false.
    pub fn take_over(&self, resume: bool) -> Result<bool> {
        files::check_writable(&self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| folder.is_dir()) {
            files::remove_half_written(folder)?;
        }
        let kept = self.path.exists();
        if kept && !resume {
            return Err(wrong_use(format!(
                "{}: a fit is kept here already; resume it by --resume, or remove it, or take another folder",
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
        model_file::save_with(&self.path, &self.fit, opt, tensors)
    }

    /// Restores the fit into a learner made with the same settings, and returns its position.
    ///
    /// # Errors
    /// The file is damaged, or belongs to another fit; the error names the difference.
    pub fn load(&mut self, learner: &mut Learner) -> Result<FitState> {
        let (metadata, saved) = model_file::read(&self.path)?;
        if model_file::card(&metadata).is_ok() {
            let under_way = saved.contains_key("fit.losses");
            ensure!(
                under_way,
                "{}: a trained model, not a fit that was kept by --checkpoint",
                self.path.display()
            );
        }
        self.same_fit(&metadata)?;
        let place = || format!("{}: cannot be resumed", self.path.display());
        model_file::put_back(&saved, &mut learner.opt).with_context(place)?;
        let state = fit_state(&saved, learner.data.n_batches()).with_context(place)?;
        self.kept = state.history.epochs.len();
        Ok(state)
    }

    /// The message after an interruption.
    pub fn how_to_resume(&self) -> String {
        match self.kept {
            0 => "interrupted in the first epoch: nothing was kept".to_owned(),
            epochs => format!(
                "interrupted: {epochs} whole epochs are kept in {}; the same command with --resume continues",
                self.path.display()
            ),
        }
    }

    /// Compares both cards as JSON, which names every setting and represents numbers the same way on both sides.
    fn same_fit(&self, metadata: &HashMap<String, String>) -> Result<()> {
        model_file::card(metadata).with_context(|| format!("{}", self.path.display()))?;
        let [mut there, mut here]: [Value; 2] = [
            serde_json::from_str(model_file::card_text(metadata)?)?,
            serde_json::from_str(&serde_json::to_string(&self.fit)?)?,
        ];
        // The ratings file may have moved.
        for card in [&mut there, &mut here] {
            card["source"] = Value::Null;
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
        if differences.is_empty() && there != here {
            differences.push("users, movies or training rows are others".to_owned());
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(wrong_use(format!(
            "{}: another fit is kept here: {}; give its settings and data, or take another folder",
            self.path.display(),
            differences.join(", ")
        )))
    }
}

impl Callback for Checkpoint {
    fn on_epoch_end(&mut self, _: &Epoch, state: &FitState, opt: &Optimizer) -> Result<ControlFlow<()>> {
        self.save(state, opt)?;
        self.kept = state.history.epochs.len();
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

/// The position of a saved fit.
fn fit_state(saved: &HashMap<String, Tensor>, n_batches: usize) -> Result<FitState> {
    let numbers = |name: &str| -> Result<Vec<f64>> {
        let t = saved.get(&format!("fit.{name}"));
        let t = t.with_context(|| format!("it has no 'fit.{name}': a trained model, not a fit under way"))?;
        Ok(Vec::try_from(t.f_reshape([-1])?)?)
    };
    let (losses, running, rates) = (numbers("losses")?, numbers("running")?, numbers("rates")?);
    let (mean, epoch_seconds) = (numbers("mean")?, numbers("seconds")?);
    let (epochs, batches) = (losses.len() / 3, losses.len() / 3 * n_batches);
    ensure!(
        losses.len() == 3 * epochs
            && (running.len(), rates.len()) == (batches, batches)
            && (mean.len(), epoch_seconds.len()) == (2, epochs),
        "its epochs and batches do not match"
    );
    let epochs = losses.chunks(3).enumerate();
    let epochs = epochs.map(|(epoch, l)| Epoch { epoch, trn: l[0], val: l[1], val_by_rows: l[2] });
    let history = History { epochs: epochs.collect(), running, rates, epoch_seconds, stopped: false };
    let mean = RunningMean { avg_loss: mean[0], batch_num: mean[1] as i32 };
    Ok(FitState { mean, history, earlier: 0 })
}
