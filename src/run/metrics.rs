//! `metrics.json`: the description of a run and the losses of its fits.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::fast::StepperKind;
use crate::history::History;
use crate::libtorch::{self, Card, device};
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
    /// Why `--device auto` did not take a card that shows.
    pub device_reason: Option<String>,
    /// The card, if the run computes on one.
    pub card: Option<CardMetrics>,
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

/// A card, and the most bytes that the tensors of the run have taken on it at one time.
#[derive(Debug, Clone, Serialize)]
pub struct CardMetrics {
    #[serde(flatten)]
    card: Card,
    peak_bytes: Option<u64>,
}

/// The results of section `beyond`: every model on the validation rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beyond {
    /// One entry per model, in the order of the table.
    pub rows: Vec<BeyondRow>,
    /// The name of the row that was chosen by folds of the training rows.
    pub best: String,
    /// The best models on this run's split, then on the others if they were requested.
    #[serde(default)]
    pub splits: Vec<SplitScores>,
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
    /// Lower end of the 95% interval of the mean squared error (bootstrap by user).
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Wall-clock time to train and predict, while other models were trained too.
    pub seconds: f64,
}

/// The members of the blend and the blend on the rows that one split holds out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SplitScores {
    /// Which rows are held out, as in the settings of a run.
    pub split: String,
    /// The models, from the simplest to the blend.
    pub models: Vec<String>,
    /// All rows held out, then those of known and of new users and movies.
    pub groups: Vec<GroupScores>,
    /// The model that the folds of the training rows choose.
    pub best: String,
}

/// Some of the rows held out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupScores {
    /// Which rows.
    pub rows: String,
    /// How many there are.
    pub n: usize,
    /// The root of each model's mean squared error on them, in stars.
    pub rmse: Vec<f64>,
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
    /// Where its parameters were after it.
    #[serde(default)]
    pub device: Option<String>,
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
        FitMetrics {
            name: name.to_owned(),
            device: history.device.map(device::name),
            seconds: history.seconds(),
            epochs: epochs.collect(),
        }
    }
}

impl Metrics {
    /// The metrics of a run without fits yet.
    pub fn new(run: &RunOptions, ml: &MovieLens, cf: &CollabFilterDataset) -> Metrics {
        Metrics {
            seed: run.seed,
            device: device::name(run.device),
            device_reason: run.device_reason.clone(),
            card: card(run.device).map(|card| CardMetrics { card, peak_bytes: None }),
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

    /// Asks how much of the card's memory the run has taken so far.
    pub fn ask_for_peak(&mut self, device: Device) {
        if let (Some(card), Device::Cuda(index)) = (&mut self.card, device) {
            card.peak_bytes = libtorch::cuda_peak(index);
        }
    }

    /// The device, with what is known of the card.
    pub fn device_and_card(&self) -> String {
        self.card.as_ref().map_or(self.device.clone(), |of| format!("{} ({})", self.device, of.card))
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
        // The card's name counts, but not how much of its memory was taken.
        let is_result = |name: &str| matches!(name, "fits" | "beyond" | "device_reason");
        let value = |of: &Value, name: &str| match name {
            "card" => of.pointer("/card/name").cloned(),
            name => of.get(name).cloned(),
        };
        let names = [&ours, earlier].into_iter().filter_map(Value::as_object).flat_map(|head| head.keys());
        let differs = |name: &&String| !is_result(name) && value(&ours, name) != value(earlier, name);
        let said = |of: &Value, name: &str| {
            value(of, name).map_or("not stated".to_owned(), |value| value.to_string())
        };
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

/// The card of a device, if it is one.
pub fn card(device: Device) -> Option<Card> {
    match device {
        Device::Cuda(index) => libtorch::card(index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_on_the_same_card_adds_to_an_earlier_one_whatever_memory_each_has_taken() {
        let on = |card: &str, peak_bytes| Metrics {
            seed: 0,
            device: "cuda:0".to_owned(),
            device_reason: None,
            card: Some(CardMetrics {
                card: Card { name: card.to_owned(), capability: "8.9".to_owned() },
                peak_bytes,
            }),
            threads: 1,
            libtorch: "2.13.0".to_owned(),
            stepper: StepperKind::Libtorch,
            rate: None,
            data: Data {
                sha256: String::new(),
                n_ratings: 1,
                n_users: 1,
                n_movies: 1,
                split: String::new(),
                range: None,
            },
            fits: Vec::new(),
            beyond: None,
        };
        let (now, earlier) = (on("NVIDIA L4", None), on("NVIDIA L4", Some(1000)));
        let earlier = serde_json::to_value(earlier).unwrap();
        assert_eq!(earlier["card"]["peak_bytes"], 1000);
        assert_eq!(now.difference(&earlier).unwrap(), None);
        let said = on("NVIDIA T4", None).difference(&earlier).unwrap().unwrap();
        assert_eq!(said, r#"its card is "NVIDIA L4", but here it is "NVIDIA T4""#);
        assert_eq!(now.device_and_card(), "cuda:0 (NVIDIA L4, compute capability 8.9)");
    }
}
