//! How the settings were chosen: by folds of the training rows, and nothing else. `lecture5 tune` runs it again.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::baselines::{self, Biases};
use super::blend::{blend, stack};
use super::bpmf::{self, Bpmf};
use super::data::from_lecture;
use super::gp::{self, Gp, N_TERMS, Weights};
use super::knn::{self, Knn};
use super::models::{Model, models_for};
use super::rows::{Pairs, Rated, World, folds};
use super::score::mse;
use super::svdpp::{self, Svdpp};
use crate::notebook::Table;
use crate::run::lecture::Lecture;
use crate::run::progress::Telling;
use crate::system::arithmetic::mean;
use crate::system::files;
use crate::system::interrupt;
use crate::system::terminal::say;

/// One setting tried: its error on each fold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The setting.
    pub name: String,
    /// Mean squared error on each fold.
    pub folds: Vec<f64>,
    /// The mean of these.
    pub mean: f64,
    /// Whether it is the setting that the program uses.
    pub taken: bool,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// What is chosen.
    pub what: String,
    /// Every setting tried.
    pub tried: Vec<Tried>,
}

/// Training rows of a fold, the pairs to predict, and their ratings.
struct HeldOut {
    trn: Rated,
    asked: Pairs,
    y: Vec<f64>,
}

/// The folds that all choices are made on.
pub struct Tuner<'a> {
    world: &'a World,
    folds: Vec<HeldOut>,
}

type Train<'m> = Box<dyn Fn(&World, &Rated, &Pairs) -> Vec<f64> + 'm>;

impl<'a> Tuner<'a> {
    /// Cuts the training rows into `k` folds; the rows held out for validation are not passed in at all.
    pub fn new(world: &'a World, trn: &Rated, k: usize) -> Tuner<'a> {
        let fold = |(learned, asked): (Vec<usize>, Vec<usize>)| {
            let questions = trn.pick(&asked);
            HeldOut { trn: trn.pick(&learned), asked: questions.pairs, y: questions.y }
        };
        Tuner { world, folds: folds(world.split, &trn.pairs, k, 1).into_iter().map(fold).collect() }
    }

    /// A model's predictions on each fold.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`], as of all methods that follow.
    fn answers(&self, model: impl Fn(&World, &Rated, &Pairs) -> Vec<f64>) -> Result<Vec<Vec<f64>>> {
        let answer = |fold: &HeldOut| {
            interrupt::check()?;
            Ok(model(self.world, &fold.trn, &fold.asked))
        };
        self.folds.iter().map(answer).collect()
    }

    fn tried(&self, name: String, taken: bool, answers: &[Vec<f64>]) -> Tried {
        let folds: Vec<f64> = answers.iter().zip(&self.folds).map(|(stars, f)| mse(stars, &f.y)).collect();
        Tried { name, mean: mean(&folds), folds, taken }
    }

    fn try_all(&self, what: &str, candidates: Vec<(String, bool, Train)>) -> Result<Choice> {
        let tried = candidates
            .into_iter()
            .map(|(name, taken, model)| Ok(self.tried(name, taken, &self.answers(model)?)));
        Ok(Choice { what: what.to_owned(), tried: tried.collect::<Result<_>>()? })
    }

    /// How much the biases are shrunk.
    pub fn biases(&self) -> Result<Choice> {
        let grid = [(2.0, 2.0), (5.0, 2.0), (5.0, 3.0), (5.0, 5.0), (10.0, 3.0), (10.0, 5.0)];
        let candidate = |shrinkage: (f64, f64)| -> (String, bool, Train) {
            let model = move |world: &World, trn: &Rated, asked: &Pairs| {
                let b = Biases::fit(world, trn, shrinkage);
                let pairs = asked.user.iter().zip(&asked.item);
                pairs.map(|(&u, &i)| world.clamp(b.predict(u, i))).collect()
            };
            let name = format!("user {}, movie {}", shrinkage.0, shrinkage.1);
            (name, shrinkage == baselines::SHRINKAGE, Box::new(model))
        };
        self.try_all("biases: shrinkage", grid.into_iter().map(candidate).collect())
    }

    /// Neighborhoods: how many neighbors, how much shrinkage.
    pub fn neighbors(&self, users: bool) -> Result<Choice> {
        let taken = if users { knn::USER } else { knn::ITEM };
        let mut grid = vec![taken];
        for k in [20, 80] {
            grid.push(Knn { k, ..taken });
        }
        for shrink in [5.0, 10.0, 20.0, 40.0] {
            grid.push(Knn { shrink, ..taken });
        }
        for (power, doubt) in
            [(1.0, 0.1), (1.0, 0.2), (1.0, 0.5), (2.0, 0.01), (2.0, 0.02), (2.0, 0.05), (3.0, 0.002)]
        {
            grid.push(Knn { power, doubt, ..taken });
        }
        let mut seen = Vec::new();
        grid.retain(|with| {
            !seen.contains(with) && {
                seen.push(*with);
                true
            }
        });
        let candidate = |with: Knn| -> (String, bool, Train) {
            let model = move |world: &World, trn: &Rated, asked: &Pairs| {
                knn::one_side(world, trn, asked, users, with)
            };
            let name =
                format!("k {}, shrink {}, power {}, doubt {}", with.k, with.shrink, with.power, with.doubt);
            (name, with == taken, Box::new(model))
        };
        let what = if users { "user-kNN" } else { "item-kNN" };
        self.try_all(what, grid.into_iter().map(candidate).collect())
    }

    /// SVD++ and timeSVD++: length, epochs, decay.
    pub fn svdpp(&self, time: bool) -> Result<Choice> {
        let taken = if time { svdpp::TIME_SETTINGS } else { svdpp::SETTINGS };
        let grid = [
            taken,
            Svdpp { factors: taken.factors / 2, ..taken },
            Svdpp { factors: taken.factors * 2, ..taken },
            Svdpp { epochs: taken.epochs / 2, ..taken },
            Svdpp { epochs: taken.epochs * 2, ..taken },
            Svdpp { wd_vectors: taken.wd_vectors / 2.0, ..taken },
            Svdpp { wd_vectors: taken.wd_vectors * 2.0, ..taken },
            Svdpp { wd_bias: taken.wd_bias / 2.0, ..taken },
            Svdpp { wd_bias: taken.wd_bias * 2.0, ..taken },
        ];
        let candidate = |with: Svdpp| -> (String, bool, Train) {
            let model =
                move |world: &World, trn: &Rated, asked: &Pairs| svdpp::averaged(world, trn, asked, with);
            let name = format!(
                "{} factors, {} epochs, decay {} and {}",
                with.factors, with.epochs, with.wd_bias, with.wd_vectors
            );
            (name, with == taken, Box::new(model))
        };
        let what = if time { "timeSVD++" } else { "SVD++" };
        self.try_all(what, grid.into_iter().map(candidate).collect())
    }

    /// Bayesian factorization: length of the embeddings, and rounds of the sampler.
    pub fn bpmf(&self) -> Result<Choice> {
        type Sample = fn(&World, &Rated, &Pairs, Bpmf) -> Vec<f64>;
        let rounds = |burn_in, rounds| Bpmf { burn_in, rounds, ..bpmf::SETTINGS };
        let grid: [(usize, Sample, Bpmf); 8] = [
            (4, bpmf::sample::<4>, bpmf::SETTINGS),
            (8, bpmf::sample::<8>, bpmf::SETTINGS),
            (12, bpmf::sample::<12>, bpmf::SETTINGS),
            (16, bpmf::sample::<16>, bpmf::SETTINGS),
            (8, bpmf::sample::<8>, rounds(20, 60)),
            (8, bpmf::sample::<8>, rounds(40, 80)),
            (8, bpmf::sample::<8>, rounds(40, 120)),
            (8, bpmf::sample::<8>, rounds(80, 160)),
        ];
        let candidate = |(factors, sample, with): (usize, Sample, Bpmf)| -> (String, bool, Train) {
            let model = move |world: &World, trn: &Rated, asked: &Pairs| sample(world, trn, asked, with);
            let name = format!("{factors} factors, {} + {} rounds", with.burn_in, with.rounds);
            (name, factors == bpmf::FACTORS && with == bpmf::SETTINGS, Box::new(model))
        };
        let mut candidates: Vec<(String, bool, Train)> = grid.into_iter().map(candidate).collect();
        candidates.dedup_by(|a, b| a.0 == b.0);
        self.try_all("Bayesian factorization", candidates)
    }

    /// The weights of the Gaussian process: `steps` steps of Adam (Kingma and Ba 2014) down the gradient of the folds'
    /// error by the logarithms of the weights, from equal weights. Calls `told` after each step, and returns the final
    /// weights.
    pub fn gp(&self, steps: usize, mut told: impl FnMut(usize, &[f64])) -> Result<Weights> {
        const LR: f64 = 0.15;
        let mut start = [0.05; N_TERMS];
        start[N_TERMS - 2..].fill(0.3);
        let with_times = self.folds.iter().all(|fold| fold.trn.pairs.have_times());
        let mut weights = if with_times { start } else { gp::without_times(start) };
        let (mut first, mut second) = ([0.0; N_TERMS], [0.0; N_TERMS]);
        for step in 1..=steps {
            let mut gradient = [0.0; N_TERMS];
            let mut errors = Vec::new();
            for fold in &self.folds {
                interrupt::check()?;
                let process = Gp::new(self.world, &fold.trn, &fold.asked, weights);
                let (mse, by_weight) = process.error_and_gradient(&fold.y);
                errors.push(mse);
                gradient.iter_mut().zip(by_weight).for_each(|(sum, g)| *sum += g / self.folds.len() as f64);
            }
            told(step, &errors);
            let unbiased = |value: f64, beta: f64| value / (1.0 - beta.powi(step as i32));
            for at in 0..N_TERMS {
                first[at] = 0.8 * first[at] + 0.2 * gradient[at];
                second[at] = 0.95 * second[at] + 0.05 * gradient[at].powi(2);
                let size = unbiased(second[at], 0.95).sqrt() + 2e-5;
                weights[at] *= (-LR * unbiased(first[at], 0.8) / size).exp();
            }
        }
        Ok(weights)
    }

    /// The models with the settings that the program uses, and blends of them: each fold's rows are blended by weights
    /// from the other folds' rows.
    pub fn models(&self, models: &[Model]) -> Result<Vec<Choice>> {
        let made: Vec<Vec<Vec<f64>>> =
            models.iter().map(|m| self.answers(m.predict)).collect::<Result<_>>()?;
        let single = models.iter().zip(&made).map(|(m, stars)| self.tried(m.name.to_owned(), false, stars));
        let mut choices = vec![Choice { what: "models".to_owned(), tried: single.collect() }];

        // Starts with the best model, and adds one model after another: the one that improves the blend most.
        let center = self.folds.iter().map(|f| f.trn.mean()).sum::<f64>() / self.folds.len() as f64;
        let blended = |set: &[usize]| -> Vec<Vec<f64>> {
            (0..self.folds.len())
                .map(|held_out| {
                    let others = || (0..self.folds.len()).filter(move |f| *f != held_out);
                    let seen: Vec<Vec<f64>> =
                        set.iter().map(|&m| others().flat_map(|f| made[m][f].clone()).collect()).collect();
                    let y: Vec<f64> = others().flat_map(|f| self.folds[f].y.clone()).collect();
                    let weights = stack(&seen, &y, center, super::blend::RIDGE);
                    let asked: Vec<Vec<f64>> = set.iter().map(|&m| made[m][held_out].clone()).collect();
                    blend(self.world, &asked, &weights, center)
                })
                .collect()
        };
        let mut set: Vec<usize> = Vec::new();
        let mut steps = Vec::new();
        while set.len() < models.len().min(5) {
            let candidates = (0..models.len()).filter(|m| !set.contains(m)).map(|m| {
                let with: Vec<usize> = set.iter().copied().chain([m]).collect();
                let error = self.tried(String::new(), false, &blended(&with)).mean;
                (error, m)
            });
            let Some((_, best)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
            set.push(best);
            let names: Vec<&str> = set.iter().map(|&m| models[m].name).collect();
            let mut ours: Vec<&str> = models.iter().filter(|m| m.blended).map(|m| m.name).collect();
            let mut these = names.clone();
            ours.sort();
            these.sort();
            steps.push(self.tried(names.join(" + "), ours == these, &blended(&set)));
        }
        choices.push(Choice { what: "blends".to_owned(), tried: steps });
        Ok(choices)
    }
}

/// What `lecture5 tune` can choose the settings of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// How much the biases are shrunk.
    Biases,
    /// The neighborhoods of movies and of users.
    Knn,
    /// SVD++ and timeSVD++.
    Svdpp,
    /// Bayesian factorization.
    Bayes,
    /// The weights of the Gaussian process.
    Gp,
    /// Which models are blended.
    Blend,
}

/// `lecture5 tune`: tries all settings, or those of the parts in `only`, on `k` folds; prints each table and writes
/// them all into `tune.json`.
///
/// # Errors
/// There are fewer training rows than folds, the run is interrupted, or `tune.json` cannot be written.
pub fn run(lecture: &Lecture, k: usize, steps: usize, only: &[Part]) -> Result<()> {
    let telling = lecture.run.telling;
    let (cf, split) = lecture.ratings();
    // The ratings held out are dropped here: nothing below can see them.
    let (world, trn, _, _) = from_lecture(&lecture.ml, &cf, lecture.run.split, &split)?;
    let (models, left_out) = models_for(&world, &trn.pairs);
    ensure!(trn.len() >= k, "{} training rows cannot make {k} folds: choose fewer with --folds", trn.len());
    let tuner = Tuner::new(&world, &trn, k);
    let tell = |text: String| {
        if telling == Telling::Plain {
            say(text);
        }
    };
    tell(format!(
        "{} folds of the {} training rows; the {} rows held out are not looked at.",
        k,
        trn.len(),
        split.val.len()
    ));
    let wanted = |part: Part| only.is_empty() || only.contains(&part);
    let has = |name: &str| models.iter().any(|model| model.name == name);
    left_out.into_iter().for_each(&tell);
    let mut choices: Vec<Choice> = Vec::new();
    let mut take = |choice: Choice| {
        tell(format!("\n{}", choice.table().to_text()));
        choices.push(choice);
    };
    if wanted(Part::Biases) {
        take(tuner.biases()?);
    }
    if wanted(Part::Knn) {
        take(tuner.neighbors(false)?);
        take(tuner.neighbors(true)?);
    }
    if wanted(Part::Svdpp) {
        take(tuner.svdpp(false)?);
        if has("timeSVD++") {
            take(tuner.svdpp(true)?);
        }
    }
    if wanted(Part::Bayes) {
        take(tuner.bpmf()?);
    }
    let mut weights = None;
    if wanted(Part::Gp) && steps > 0 && has("Gaussian process without times") {
        tell("\nGaussian process: the folds' errors after each step".to_owned());
        let found = tuner.gp(steps, |step, errors| {
            let each: Vec<String> = errors.iter().map(|e| format!("{e:.4}")).collect();
            let mean = mean(errors);
            tell(format!("{step:4}  {}  mean {mean:.5}", each.join("  ")));
        })?;
        let mut table = Table::new(["reason", "found", "taken"]);
        for ((name, found), taken) in gp::term_names().zip(found).zip(gp::weights_for(world.split)) {
            table.push([name.to_owned(), format!("{found:.4}"), format!("{taken:.4}")]);
        }
        tell(format!("\n{}", table.to_text()));
        weights = Some(gp::term_names().zip(found).collect::<Vec<_>>());
    }
    if wanted(Part::Blend) {
        tuner.models(&models)?.into_iter().for_each(&mut take);
    }
    let value = json!({"folds": k, "data": lecture.ml.id(lecture.run.split), "choices": choices, "gp_weights": weights});
    let path = lecture.run.out.join("tune.json");
    files::write_whole(&path, (serde_json::to_string_pretty(&value)? + "\n").as_bytes())?;
    if telling == Telling::Json {
        say(&value);
    }
    tell(format!("Results are in {}", path.display()));
    Ok(())
}

impl Choice {
    /// As a table: one row per setting, one column per fold.
    pub fn table(&self) -> Table {
        let k = self.tried.first().map_or(0, |t| t.folds.len());
        let mut columns = vec![self.what.clone()];
        columns.extend((1..=k).map(|fold| format!("fold {fold}")));
        columns.extend(["mean".to_owned(), String::new()]);
        let mut table = Table::new(columns);
        let lowest = self.tried.iter().map(|t| t.mean).fold(f64::INFINITY, f64::min);
        for t in &self.tried {
            let mut row = vec![t.name.clone()];
            row.extend(t.folds.iter().map(|mse| format!("{mse:.4}")));
            row.push(format!("{:.4}", t.mean));
            let marks = [(t.mean == lowest, "lowest"), (t.taken, "taken")];
            let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
            row.push(marks.join(", "));
            table.push(row);
        }
        table
    }
}
