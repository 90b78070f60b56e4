//! `metrics.json`: the description of a run and the losses of its fits.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::fast::StepperKind;
use crate::history::History;
use crate::movielens::{CollabFilterDataset, MovieLens};
use crate::notebook::Table;
use crate::run::options::RunOptions;
use crate::run::reference::{self, ReferenceFit};

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Metrics {
    /// Seed of the random generator.
    pub seed: i64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// libtorch's version.
    pub libtorch: String,
    /// The stepper that computed the batches.
    pub stepper: StepperKind,
    /// The factor of the lecture's learning rates, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The data.
    pub data: Data,
    /// One entry per fit, in the order in which they ran.
    pub fits: Vec<FitMetrics>,
    /// The table of section `beyond`, when it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
}

/// The results of section `beyond`: every model on the validation rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beyond {
    /// One entry per model, in the order of the table.
    pub rows: Vec<BeyondRow>,
    /// The name of the row that was chosen by folds of the training rows.
    pub best: String,
}

/// One model on the validation rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BeyondRow {
    /// Its name in the table.
    pub name: String,
    /// Mean squared error, in stars².
    pub val_mse: f64,
    /// Its root, in stars.
    pub val_rmse: f64,
    /// Mean absolute error, in stars.
    pub val_mae: f64,
    /// Lower end of the 95 % interval of the mean squared error (bootstrap by user).
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Wall-clock time to train and predict.
    pub seconds: f64,
}

/// The data of a run.
#[derive(Debug, Serialize)]
pub struct Data {
    sha256: String,
    n_ratings: usize,
    n_users: i64,
    n_movies: i64,
    /// Which rows were held out.
    split: String,
    /// Lowest and highest possible rating, if they were stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<(f64, f64)>,
}

/// One fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FitMetrics {
    /// Its name in the reference.
    pub name: String,
    /// Wall-clock time of its `fit` calls.
    pub seconds: f64,
    /// One entry per epoch.
    pub epochs: Vec<EpochMetrics>,
}

/// One epoch, with the lecture's losses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 0 over all `fit` calls of the model.
    pub epoch: usize,
    /// Debiased running mean of the training loss at the epoch's end.
    pub trn: f64,
    /// Mean of the validation batches' mean squared errors.
    pub val: f64,
    /// The lecture's training loss, if the data and the settings are the lecture's.
    pub lecture_trn: Option<f64>,
    /// The lecture's validation loss, if the data and the settings are the lecture's.
    pub lecture_val: Option<f64>,
    /// Wall-clock time, validation included.
    pub seconds: f64,
}

impl FitMetrics {
    /// A fit's losses; `beside` holds the lecture's.
    pub fn new(name: &str, history: &History, beside: Option<&ReferenceFit>) -> FitMetrics {
        let epochs = history.epochs.iter().zip(&history.epoch_seconds).map(|(e, &seconds)| {
            let lecture = beside.and_then(|fit| fit.losses.get(e.epoch));
            EpochMetrics {
                epoch: e.epoch,
                trn: e.trn,
                val: e.val,
                lecture_trn: lecture.map(|l| l[0]),
                lecture_val: lecture.map(|l| l[1]),
                seconds,
            }
        });
        FitMetrics { name: name.to_owned(), seconds: history.seconds(), epochs: epochs.collect() }
    }
}

impl Metrics {
    /// The metrics of a run without fits yet.
    pub fn new(run: &RunOptions, ml: &MovieLens, cf: &CollabFilterDataset) -> Metrics {
        Metrics {
            seed: run.seed,
            device: device_name(run.device),
            stepper: run.stepper,
            rate: None,
            threads: tch::get_num_threads(),
            libtorch: crate::libtorch::version().to_owned(),
            data: Data {
                sha256: ml.sha256.clone(),
                n_ratings: cf.len(),
                n_users: cf.users.len(),
                n_movies: cf.items.len(),
                split: run.split.to_string(),
                range: ml.scale,
            },
            fits: Vec::new(),
            beyond: None,
        }
    }

    /// Adds a fit, replacing one of the same name: the lecture's fits in its order, then others.
    pub fn add(&mut self, fit: FitMetrics) {
        self.fits.retain(|other| other.name != fit.name);
        self.fits.push(fit);
        let place = |fit: &FitMetrics| reference::LECTURE.iter().position(|of| of.name == fit.name);
        self.fits.sort_by_key(|fit| place(fit).unwrap_or(usize::MAX));
    }

    /// How the run of an earlier metrics.json differs from this one, in words; `None` if only its results do.
    pub fn difference(&self, earlier: &Value) -> Result<Option<String>> {
        let ours = serde_json::to_value(self)?;
        let is_result = |name: &str| matches!(name, "fits" | "beyond");
        let names = [&ours, earlier].into_iter().filter_map(Value::as_object).flat_map(|head| head.keys());
        let differs = |name: &&String| !is_result(name) && ours.get(name) != earlier.get(name);
        let said = |of: &Value, name: &str| of.get(name).map_or("not stated".to_owned(), Value::to_string);
        Ok(names.into_iter().find(differs).map(|name| match name.as_str() {
            "data" => "its data, its split or its range of ratings differ".to_owned(),
            name => format!("its {name} is {}, but here it is {}", said(earlier, name), said(&ours, name)),
        }))
    }

    /// Takes over the results of an earlier run of the same kind.
    ///
    /// # Errors
    /// It is not understood.
    pub fn take_over(&mut self, earlier: &Value) -> Result<()> {
        let fits = earlier.get("fits").context("no fits")?;
        let fits: Vec<FitMetrics> = serde_json::from_value(fits.clone())?;
        fits.into_iter().for_each(|fit| self.add(fit));
        self.beyond = earlier.get("beyond").map(|of| serde_json::from_value(of.clone())).transpose()?;
        Ok(())
    }

    /// The table at the end of a run: its losses next to the lecture's.
    pub fn beside_the_lecture(&self) -> Table {
        let lecture = self.fits.iter().flat_map(|f| &f.epochs).any(|e| e.lecture_val.is_some());
        let mut columns = vec!["fit", "epoch", "training", "validation"];
        if lecture {
            columns = vec!["fit", "epoch", "training", "lecture's", "validation", "lecture's ", "difference"];
        }
        let mut table = Table::new(columns);
        for fit in &self.fits {
            let title = reference::lecture(&fit.name).map_or(fit.name.as_str(), |l| &l.title);
            for e in &fit.epochs {
                let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.5}"));
                let mut row = vec![title.to_owned(), e.epoch.to_string()];
                if lecture {
                    let difference = e.lecture_val.map_or(String::new(), |l| format!("{:+.5}", e.val - l));
                    row.extend([number(Some(e.trn)), number(e.lecture_trn)]);
                    row.extend([number(Some(e.val)), number(e.lecture_val), difference]);
                } else {
                    row.extend([number(Some(e.trn)), number(Some(e.val))]);
                }
                table.push(row);
            }
        }
        table
    }
}

/// A device's name as in `--device`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Cpu => "cpu".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
