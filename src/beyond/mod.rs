//! Beyond the lecture: how good can it get on these ratings?
//!
//! Plain Rust over slices, in addition to the lecture's models over libtorch: honest baselines, the classics of the
//! field and a blend. Each model is a function of the *world* (what does not depend on the split), the training ratings
//! and the pairs to predict; it returns stars. The pairs carry no ratings, so no model can look at the held-out ones.
//!
//! | file | model | after |
//! |---|---|---|
//! | [`baselines`] | the mean; a number for each user and movie | Koren 2009 |
//! | [`knn`] | neighbors among movies and among users | Sarwar et al. 2001, Koren 2008 |
//! | [`svdpp`] | SVD++, timeSVD++ | Koren 2008, 2009 |
//! | [`bpmf`] | Bayesian matrix factorization | Salakhutdinov and Mnih 2008 |
//! | [`gp`] | a Gaussian process over ratings | Rasmussen and Williams 2006 |
//! | [`blend`] | weighted sums of these | Wolpert 1992, Breiman 1996 |
//!
//! [`rows`] holds what they see and [`data`] makes it, [`score`] says how good they are, [`splits`] how good if rows are
//! held out in other ways, [`nets`] trains the lecture's own models and the variations that it suggests, [`tune`] reruns
//! the choice of every setting on folds of the training rows.

pub mod baselines;
pub mod blend;
pub mod bpmf;
pub mod data;
pub mod gp;
pub mod knn;
pub mod linalg;
pub mod nets;
pub mod rows;
pub mod score;
pub mod splits;
pub mod svdpp;
pub mod tune;

use blend::Predict;
use rows::{Pairs, World};

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
    let fits = |model: &Model| {
        let why = if model.needs_times && !trn.have_times() {
            "the data has no times".to_owned()
        } else if model.needs_pairs && pairs > gp::MOST_PAIRS {
            format!("{pairs} pairs of ratings share a user or a movie, more than {}", gp::MOST_PAIRS)
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
