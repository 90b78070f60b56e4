//! The models of this module by name, and which of them the data allows.

use std::path::Path;

use super::rows::{Pairs, Rated, World};
use super::{baselines, bpmf, gp, knn, svdpp};
use crate::system::memory;
use crate::system::numerals::number;

/// A model of this module: from the world, the training ratings and the pairs to predict to stars.
pub type Predict = fn(&World, &Rated, &Pairs) -> Vec<f64>;

/// A model of this module by name.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// As in the tables.
    pub name: &'static str,
    /// What it does.
    pub predict: Predict,
    /// Whether it needs the times of the ratings.
    pub needs_times: bool,
    /// Whether it holds a covariance for each pair of ratings that share a user or a movie.
    pub needs_pairs: bool,
    /// Whether it is part of the blend. Chosen on folds of the training rows; see `lecture5 tune`.
    pub blended: bool,
}

/// All of them, from the simplest to the best.
pub const MODELS: [Model; 10] = [
    plain("global mean", baselines::global_mean),
    Model { blended: true, ..plain("biases", baselines::biases) },
    plain("user-kNN", knn::user_knn),
    plain("item-kNN", knn::item_knn),
    plain("item- and user-kNN", knn::both_knn),
    plain("SVD++", svdpp::svdpp),
    Model { needs_times: true, ..plain("timeSVD++", svdpp::time_svdpp) },
    Model { blended: true, ..plain("Bayesian factorization", bpmf::bpmf) },
    Model { needs_pairs: true, ..plain("Gaussian process without times", gp::gp_without_times) },
    Model { needs_times: true, needs_pairs: true, blended: true, ..plain("Gaussian process", gp::gp) },
];

const fn plain(name: &'static str, predict: Predict) -> Model {
    Model { name, predict, needs_times: false, needs_pairs: false, blended: false }
}

/// The models that this data allows, and why the others are left out.
pub fn models_for(world: &World, trn: &Pairs) -> (Vec<Model>, Vec<String>) {
    let mut left_out = Vec::new();
    let pairs = gp::n_pairs(world, trn);
    let bytes = gp::bytes(pairs);
    let fits_memory = memory::available(Path::new("/")).is_none_or(|free| bytes < free / 10 * 9);
    let fits = |model: &Model| {
        let why = if model.needs_times && !trn.have_times() {
            "the data has no times".to_owned()
        } else if model.needs_pairs && (pairs > gp::MOST_PAIRS || !fits_memory) {
            let (pairs, gb) = (number(pairs as f64, 0), number(bytes as f64 / 1e9, 1));
            let limit = if fits_memory { "a limit that is set" } else { "the memory that is free" };
            format!(
                "{pairs} pairs of ratings share a user or a movie, whose covariances take {gb} GB, more than {limit}"
            )
        } else {
            return true;
        };
        left_out.push(format!("{} is left out: {why}.", model.name));
        false
    };
    let mut models: Vec<Model> = MODELS.iter().copied().filter(fits).collect();
    if let (Some(last), false) = (models.last_mut(), trn.have_times()) {
        last.blended = true; // the process without times replaces the one with them
    }
    (models, left_out)
}
