//! A fit kept after each epoch (`--checkpoint`), to go on from (`--resume`) after a Ctrl-C, a crash or a kill, to
//! the same bytes as if it had never been broken off.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use tch::Tensor;

use crate::fit::{Course, Epoch, History, RunningMean};
use crate::learner::Learner;
use crate::libtorch;
use crate::optim::{self, Update};
use crate::saved::model_file::{self, About};
use crate::system::failure::wrong_use;
use crate::system::files;

/// Where a fit is kept: one file, which a rename replaces as a whole, so that at any moment it is that of some
/// epoch's end.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    fit: Fit,
}

/// Which fit it is. To the same bytes it goes on only where it is computed in the same way.
#[derive(Debug, Serialize)]
struct Fit {
    #[serde(flatten)]
    about: About,
    update: Update,
    threads: i32,
    libtorch: &'static str,
}

impl Kept {
    /// In `folder`; `about` says which fit it is.
    pub fn new(folder: &Path, about: About) -> Kept {
        let (update, threads, libtorch) = (optim::update(), tch::get_num_threads(), libtorch::version());
        Kept { path: folder.join("checkpoint.safetensors"), fit: Fit { about, update, threads, libtorch } }
    }

    /// Makes sure that the fit can be kept; whether there is one to go on with. What a killed process left
    /// half-written goes.
    ///
    /// # Errors
    /// The folder cannot be written to, or holds a fit and none is to be resumed.
    pub fn take_over(&self, resume: bool) -> Result<bool> {
        files::check_writable(&self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| folder.is_dir()) {
            files::remove_half_written(folder)?;
        }
        let kept = self.path.exists();
        if kept && !resume {
            return Err(wrong_use(format!(
                "{}: a fit is kept here already; go on with it by --resume, or remove it, or take another folder",
                self.path.display()
            )));
        }
        Ok(kept)
    }

    /// Keeps a fit after an epoch.
    pub fn save(&self, learner: &Learner, course: &Course) -> Result<()> {
        let History { epochs, running, rates, seconds } = &course.history;
        let losses: Vec<f64> = epochs.iter().flat_map(|e| [e.trn, e.val, e.val_by_rows]).collect();
        let mean = [course.mean.avg_loss, f64::from(course.mean.batch_num)];
        let tensors = [
            ("losses", Tensor::from_slice(&losses).view([-1, 3])), // (epochs, 3)
            ("running", Tensor::from_slice(running)),              // (batches,)
            ("rates", Tensor::from_slice(rates)),                  // (batches,)
            ("mean", Tensor::from_slice(&mean)),                   // (2,)
            ("seconds", Tensor::from(*seconds)),                   // ()
        ];
        let tensors = tensors.into_iter().map(|(name, t)| (format!("course.{name}"), t)).collect();
        model_file::save_with(&self.path, &self.fit, &learner.vs, &learner.opt, tensors)
    }

    /// Puts the fit back into a learner made with the same settings; how far it had come.
    ///
    /// # Errors
    /// The file is damaged, or is that of another fit: which setting differs, or that the data does.
    pub fn load(&self, learner: &mut Learner) -> Result<Course> {
        let (metadata, saved) = model_file::read(&self.path)?;
        if model_file::about(&metadata).is_ok() {
            let under_way = saved.contains_key("course.losses");
            ensure!(
                under_way,
                "{}: a trained model, not a fit that was kept by --checkpoint",
                self.path.display()
            );
        }
        self.same_fit(&metadata)?;
        let place = || format!("{}: cannot be gone on with", self.path.display());
        model_file::put_back(&saved, &learner.vs, &mut learner.opt).with_context(place)?;
        course(&saved, learner.data.n_batches()).with_context(place)
    }

    /// What to tell whoever interrupted the fit after so many whole epochs.
    pub fn how_to_go_on(&self, epochs: usize) -> String {
        match epochs {
            0 => "interrupted in the first epoch: nothing was kept".to_owned(),
            _ => format!(
                "interrupted: {epochs} whole epochs are kept in {}; the same command with --resume goes on",
                self.path.display()
            ),
        }
    }

    /// As JSON, which names every setting, and in which a number is what its text says on both sides.
    fn same_fit(&self, metadata: &HashMap<String, String>) -> Result<()> {
        model_file::about(metadata).with_context(|| format!("{}", self.path.display()))?;
        let [mut there, mut here]: [Value; 2] = [
            serde_json::from_str(model_file::about_text(metadata)?)?,
            serde_json::from_str(&serde_json::to_string(&self.fit)?)?,
        ];
        // The same ratings may have been moved.
        for about in [&mut there, &mut here] {
            about["source"] = Value::Null;
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
        for name in ["update", "threads"] {
            compare(&option(name), &there[name], &here[name]);
        }
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

/// How far a kept fit had come.
fn course(saved: &HashMap<String, Tensor>, n_batches: usize) -> Result<Course> {
    let numbers = |name: &str| -> Result<Vec<f64>> {
        let t = saved.get(&format!("course.{name}"));
        let t =
            t.with_context(|| format!("it has no 'course.{name}': a trained model, not a fit under way"))?;
        Ok(Vec::try_from(t.f_reshape([-1])?)?)
    };
    let (losses, running, rates) = (numbers("losses")?, numbers("running")?, numbers("rates")?);
    let (mean, seconds) = (numbers("mean")?, numbers("seconds")?);
    let batches = losses.len() / 3 * n_batches;
    ensure!(
        losses.len() % 3 == 0 && running.len() == batches && rates.len() == batches && mean.len() == 2,
        "its epochs and batches do not match"
    );
    let epochs = losses.chunks(3).enumerate();
    let epochs = epochs.map(|(epoch, l)| Epoch { epoch, trn: l[0], val: l[1], val_by_rows: l[2] });
    let seconds = seconds.iter().sum();
    let history = History { epochs: epochs.collect(), running, rates, seconds };
    let mean = RunningMean { avg_loss: mean[0], batch_num: mean[1] as i32 };
    Ok(Course { mean, history, ..Default::default() })
}
