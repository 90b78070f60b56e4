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
//! held out in other ways, [`ahead`] trains all of them, [`nets`] the lecture's own models and the variations that it
//! suggests, [`tune`] reruns the choice of every setting on folds of the training rows.

pub mod ahead;
pub mod baselines;
pub mod blend;
pub mod bpmf;
pub mod data;
pub mod gp;
pub mod knn;
pub mod linalg;
pub mod models;
pub mod nets;
pub mod rows;
pub mod score;
pub mod splits;
pub mod svdpp;
pub mod tune;
