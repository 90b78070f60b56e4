//! The state that the lecture's sections share: the run's settings, the data, and the output folder.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result};
use polars::prelude::{AnyValue, DataFrame};
use tch::Tensor;

use crate::beyond::ahead::Ahead;
use crate::fast::StepperKind;
use crate::fit::Options;
use crate::history::{Epoch, History};
use crate::learner::Learner;
use crate::movielens::{CollabFilterDataset, MovieLens, Split, SplitBy};
use crate::notebook::{Notebook, Picture, Table};
use crate::optim::Optimizer;
use crate::plots::{self, Figure, Format};
use crate::ratings::ColumnarModelData;
use crate::run::footprint::{Footprint, check_ratings};
use crate::run::metrics::{FitMetrics, Metrics};
use crate::run::options::RunOptions;
use crate::run::progress::{Telling, epoch_event, followed};
use crate::run::reference::{self, ReferenceFit};
use crate::run::within_reason::WithinReason;
use crate::saved::model_file::{self, ModelCard};
use crate::saved::trained::Trained;
use crate::settings::{ModelKind, Plan, Settings};
use crate::system::arithmetic::mean;
use crate::system::terminal::say;

/// A run of the lecture, section by section.
pub struct Lecture {
    /// Its settings.
    pub run: RunOptions,
    /// The two tables as read.
    pub ml: MovieLens,
    cf: Rc<CollabFilterDataset>,
    split: Rc<Split>,
    /// The losses so far.
    pub metrics: Metrics,
    /// The fits so far, as plots need them.
    fits: Vec<(String, History)>,
    /// What their models predict for the validation rows.
    predictions: HashMap<String, Vec<f32>>,
    /// The learner that this run has trained.
    learner: Option<Trained>,
    /// The models of section `beyond`, if they are being trained meanwhile.
    pub ahead: Option<Ahead>,
    /// Which section of how many is running, counted from 1.
    pub at_section: (usize, usize),
    /// Number of epochs of the current fit, over all of its `fit` calls.
    epochs_told: Rc<Cell<usize>>,
}

impl Lecture {
    /// A run on data that has been read.
    ///
    /// # Errors
    /// The ratings cannot be split as requested.
    pub fn new(run: RunOptions, ml: MovieLens) -> Result<Lecture> {
        let cf = ml.dataset()?;
        let split = ml.split(&cf, run.split).with_context(|| format!("{}", ml.file.display()))?;
        let metrics = Metrics::new(&run, &ml, &cf);
        Ok(Lecture {
            run,
            ml,
            cf: Rc::new(cf),
            split: Rc::new(split),
            metrics,
            fits: Vec::new(),
            predictions: HashMap::new(),
            learner: None,
            ahead: None,
            at_section: (1, 1),
            epochs_told: Rc::default(),
        })
    }

    /// Whether the lecture's numbers are expected: the data, the scale and the split are the lecture's.
    pub fn is_the_lectures(&self) -> bool {
        self.why_not_the_lectures().is_none()
    }

    /// The difference from the lecture, as a sentence.
    pub fn why_not_the_lectures(&self) -> Option<String> {
        if !self.ml.is_the_lectures() {
            return Some(format!("The data is {}", self.ml.snapshot.name()));
        }
        if self.run.split != SplitBy::LECTURE {
            return Some(format!("The split ({}) is not the lecture's", self.run.split));
        }
        if self.run.rate != 1.0 {
            return Some(format!("The learning rates (times {}) are not the lecture's", self.run.rate));
        }
        let (low, high) = self.ml.scale.filter(|scale| *scale != (0.5, 5.0))?;
        Some(format!("The range of the ratings, {low} to {high}, is not the lecture's"))
    }

    /// The ratings with contiguous ids, and their split.
    pub fn ratings(&self) -> (Rc<CollabFilterDataset>, Rc<Split>) {
        (Rc::clone(&self.cf), Rc::clone(&self.split))
    }

    /// The same as tensors on the run's device, in batches of `bs`.
    pub fn model_data(&self, bs: i64) -> Result<(Rc<CollabFilterDataset>, ColumnarModelData)> {
        let (cf, split) = self.ratings();
        check_ratings(split.trn.len(), split.val.len(), self.run.device)?;
        model_file::check_card(&self.card(&self.settings(ModelKind::Learner)))?;
        let data = ColumnarModelData::new(&cf, &split, bs, self.run.device)?;
        Ok((cf, data))
    }

    /// The options that a section passes to `fit` in addition to the lecture's arguments: the run's stepper, a progress
    /// bar, and a callback that prints each epoch's losses under the calling cell.
    #[track_caller]
    pub fn options<'a>(&self, nb: &'a mut Notebook) -> Options<'a> {
        nb.enter();
        let (telling, name) = (self.run.telling, nb.name().to_owned());
        let (at, of) = self.at_section;
        let bar = format!("{at}/{of} {name}");
        let mut has_heads = false;
        let epochs_told = Rc::clone(&self.epochs_told);
        let on_epoch = move |epoch: &Epoch| {
            if !std::mem::replace(&mut has_heads, true) {
                nb.remark(Epoch::HEADS);
            }
            nb.print(epoch);
            if telling == Telling::Json {
                say(epoch_event(&name, epochs_told.get(), epoch));
            }
            epochs_told.set(epochs_told.get() + 1);
        };
        // A section may train on after a first `fit`, and the lecture's models may learn little from a few ratings.
        let reason = WithinReason::new(&self.cf, &self.split).of_a_section();
        followed(telling, bar, self.run.stepper, on_epoch, reason)
    }

    /// The same for a fit outside a notebook, with `name` on its bar.
    pub fn options_of<'a>(&self, name: String, on_epoch: impl FnMut(&Epoch) + 'a) -> Options<'a> {
        let reason = WithinReason::new(&self.cf, &self.split);
        followed(self.run.telling, name, self.run.stepper, on_epoch, reason)
    }

    /// The same without output.
    pub fn quiet_options(&self) -> Options<'static> {
        let reason = WithinReason::new(&self.cf, &self.split);
        followed(Telling::Quiet, String::new(), self.run.stepper, |_| {}, reason)
    }

    /// The same for minor fits: no lines of output, but on a terminal a bar called `name`.
    pub fn minor_options(&self, name: &str, stepper: StepperKind) -> Options<'static> {
        let telling = if self.run.telling == Telling::Plain { Telling::Plain } else { Telling::Quiet };
        let reason = WithinReason::new(&self.cf, &self.split);
        followed(telling, name.to_owned(), stepper, |_| {}, reason)
    }

    /// A learner on the run's ratings and device.
    ///
    /// # Errors
    /// As for [`Learner::new`]; or the fit does not fit into memory.
    pub fn learner(&self, settings: &Settings) -> Result<Learner> {
        let Lecture { cf, split, run, .. } = self;
        Footprint::new(settings, (cf.users.len(), cf.items.len()), split.trn.len(), split.val.len())
            .check(run.device, run.stepper)?;
        model_file::check_card(&self.card(settings))?;
        Learner::new(cf, split, settings, run.device)
    }

    /// Records a fit for metrics.json, the final table and the plots.
    pub fn record(&mut self, name: &str, history: History) {
        self.epochs_told.set(0);
        let beside = self.reference(name);
        self.metrics.add(FitMetrics::new(name, &history, beside));
        self.metrics.ask_for_peak(self.run.device);
        self.fits.push((name.to_owned(), history));
    }

    /// Keeps what the model of a recorded fit predicts for the validation rows, for sections that compare models.
    pub fn keep_predictions(&mut self, name: &str, preds: &[f32]) {
        self.predictions.insert(name.to_owned(), preds.to_vec());
    }

    /// What the model of a recorded fit predicts for the validation rows, and how long it trained, in seconds.
    pub fn predictions(&self, name: &str) -> Option<(&[f32], f64)> {
        Some((self.predictions.get(name)?, self.history(name)?.seconds()))
    }

    /// Whether this run has recorded a fit of that name.
    pub fn has_fit(&self, name: &str) -> bool {
        self.history(name).is_some()
    }

    /// The validation losses of a recorded fit, one per epoch; empty without such a fit.
    pub fn validation_losses(&self, name: &str) -> Vec<f64> {
        let epochs = self.history(name).map_or(&[][..], |history| &history.epochs);
        epochs.iter().map(|epoch| epoch.val).collect()
    }

    fn history(&self, name: &str) -> Option<&History> {
        self.fits.iter().rfind(|(recorded, _)| recorded == name).map(|(_, history)| history)
    }

    /// The lecture's numbers for a fit, if they are expected: on the lecture's own data.
    fn reference(&self, name: &str) -> Option<&'static ReferenceFit> {
        reference::lecture(name).filter(|_| self.is_the_lectures())
    }

    /// Writes a plot into `plots/` and shows it under the calling cell.
    #[track_caller]
    pub fn plot(&self, nb: &mut Notebook, figure: Figure) -> Result<()> {
        nb.enter();
        let png = self.write_plot(&figure)?;
        let svg = self.run.formats.contains(&Format::Svg).then(|| figure.svg().to_owned());
        let size = figure.css_size();
        nb.show(Picture { name: figure.name, alt: figure.alt, size, png, svg });
        Ok(())
    }

    /// Writes a plot into `plots/`; the bytes of its PNG are returned.
    pub fn write_plot(&self, figure: &Figure) -> Result<Vec<u8>> {
        figure.save(&self.run.out.join("plots"), self.run.dpi, &self.run.formats)
    }

    /// The loss curves of a recorded fit, with its changes of the rate between epochs.
    pub fn loss_curves(&self, name: &str, title: &str) -> Result<Figure> {
        let (plan, still) = self.rates(name);
        let set_lrs = if still { plan.rate_changes() } else { Vec::new() };
        let history = self.history(name).expect("the fit is recorded");
        let epochs = losses(history);
        let (running, lecture) = (&history.running[..], self.lecture_losses(name));
        let fit = plots::FitLosses { name, running, epochs: &epochs, lecture, set_lrs: &set_lrs };
        plots::loss_curves(&format!("{name}_losses"), title, &fit)
    }

    /// The validation losses of all fits of metrics.json in one figure; `None` with fewer than two.
    pub fn all_validation_losses(&self) -> Result<Option<Figure>> {
        let fits = &self.metrics.fits;
        if fits.len() < 2 {
            return Ok(None);
        }
        let losses = |fit: &FitMetrics| fit.epochs.iter().map(|e| [e.trn, e.val]).collect();
        let epochs: Vec<Vec<[f64; 2]>> = fits.iter().map(losses).collect();
        let fits = fits.iter().zip(&epochs).map(|(fit, epochs)| plots::FitLosses {
            name: reference::lecture(&fit.name).map_or(&fit.name, |fit| &fit.title),
            running: &[],
            epochs,
            lecture: self.lecture_losses(&fit.name),
            set_lrs: &[],
        });
        let fits: Vec<plots::FitLosses> = fits.collect();
        plots::all_validation_losses("all_validation_losses", "Validation loss of every fit", &fits).map(Some)
    }

    fn lecture_losses(&self, name: &str) -> &'static [[f64; 2]] {
        self.reference(name).map_or(&[], |fit| &fit.losses)
    }

    /// The learning rate of each epoch of a recorded fit (the mean, if it moved within the epoch), with equal ones
    /// joined; and whether it was constant within every epoch.
    fn rates(&self, name: &str) -> (Plan, bool) {
        let (mut steps, mut still) = (Vec::<(f64, usize)>::new(), true);
        if let Some(history) = self.history(name).filter(|history| !history.epochs.is_empty()) {
            let n_batches = (history.rates.len() / history.epochs.len()).max(1);
            for rates in history.rates.chunks_exact(n_batches) {
                still &= rates.iter().all(|rate| *rate == rates[0]);
                let mean = if still { rates[0] } else { mean(rates) };
                match steps.last_mut() {
                    Some((rate, epochs)) if *rate == mean => *epochs += 1,
                    _ => steps.push((mean, 1)),
                }
            }
        }
        (Plan::Steps(steps), still)
    }

    /// The settings that a recorded fit actually had: the rates of its history, the optimizer's rule and decay, the
    /// sizes of the layers. They no longer show how the weights started (`init`).
    pub fn settings_of(
        &self,
        model: ModelKind,
        init: (f64, f64),
        data: &ColumnarModelData,
        opt: &Optimizer,
    ) -> Settings {
        let size = |name: &str, dim: usize| {
            opt.parameters().iter().find(|(of, _)| of == name).map(|(_, weights)| weights.size()[dim])
        };
        let outputs = (1..).map_while(|layer| size(&format!("lin{layer}.weight"), 0));
        let hidden: Vec<i64> = outputs.filter(|&outputs| outputs > 1).collect();
        let lecture = self.settings(model);
        Settings {
            rule: opt.rule,
            plan: self.rates(model.lecture_fit()).0,
            wd: opt.slots.first().map_or(lecture.wd, |slot| slot.weight_decay),
            init,
            n_factors: (size("u.weight", 1).unwrap_or(0), size("m.weight", 1).unwrap_or(0)),
            batch_size: data.bs,
            hidden: if hidden.is_empty() { lecture.hidden } else { hidden },
            ..lecture
        }
    }

    /// Sets the factor of the lecture's learning rates.
    pub fn set_rate(&mut self, rate: f64) {
        self.run.rate = rate;
        self.metrics.rate = (rate != 1.0).then_some(rate);
    }

    /// How many fits this run has recorded.
    pub fn n_fits(&self) -> usize {
        self.fits.len()
    }

    /// A learning rate of the lecture in this run: `--rate` times as large.
    pub fn rate(&self, lr: f64) -> f64 {
        lr * self.run.rate
    }

    /// The lecture's settings for a model, with the run's seed and learning rates.
    pub fn settings(&self, model: ModelKind) -> Settings {
        let lecture = Settings::lecture(model);
        Settings { seed: self.run.seed, plan: lecture.plan.times(self.run.rate), ..lecture }
    }

    /// The card of a model made with `settings` on this data.
    pub fn card(&self, settings: &Settings) -> ModelCard {
        let card = ModelCard::new(&self.cf, &self.split, settings, &self.ml.sha256);
        let source = self.ml.source.where_it_stays();
        ModelCard { source, stepper: Some(self.run.stepper), ..card }
    }

    /// The path at which [`Lecture::save`] writes a model.
    pub fn model_path(&self, name: &str) -> PathBuf {
        self.run.out.join("models").join(format!("{name}.safetensors"))
    }

    /// Writes a trained model with its optimizer into `models/`; `settings` are the ones that it was made with.
    pub fn save(&mut self, name: &str, settings: &Settings, opt: &Optimizer) -> Result<()> {
        let card = self.card(settings);
        if name == ModelKind::Learner.lecture_fit() {
            self.learner = Some(Trained::copy(card.clone(), opt)?);
        }
        model_file::save(&self.model_path(name), &card, opt)
    }

    /// The learner that this run has trained and saved.
    pub fn trained_learner(&self) -> Option<&Trained> {
        self.learner.as_ref()
    }
}

/// Training and validation loss of each epoch.
fn losses(history: &History) -> Vec<[f64; 2]> {
    history.epochs.iter().map(|e| [e.trn, e.val]).collect()
}

/// The first `n` rows of a table, as `ratings.head()` shows them.
pub fn head(table: &DataFrame, n: usize) -> Result<Table> {
    let n = n.min(table.height());
    let mut shown = Table::new(table.get_column_names().iter().map(|name| name.to_string()));
    for row in 0..n {
        let cells = table.columns().iter().map(|column| {
            Ok(match column.get(row)? {
                AnyValue::Float64(x) => format!("{x:?}"),
                AnyValue::Null => String::new(),
                value => value.str_value().into_owned(),
            })
        });
        shown.push(cells.collect::<Result<Vec<String>>>()?);
    }
    Ok(shown.index("", (0..n).map(|row| row.to_string())))
}

/// A small tensor as the lecture shows it: one row per line, then its type and size.
pub fn shown(t: &Tensor) -> Result<String> {
    let size = t.size();
    let columns = if size.len() == 2 { size[1] as usize } else { 1 };
    let numbers = Vec::<f32>::try_from(t.reshape([-1]))?;
    let width = numbers.iter().map(|x| x.to_string().len()).max().unwrap_or(1);
    let mut text = String::new();
    for row in numbers.chunks(columns) {
        let cells: Vec<String> = row.iter().map(|x| format!("{x:>width$}")).collect();
        text += &format!("  {}\n", cells.join("  "));
    }
    let size: Vec<String> = size.iter().map(i64::to_string).collect();
    Ok(format!("{text}[{:?} tensor of size {}]", t.kind(), size.join("x")))
}
