//! Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
//! libtorch.
#![warn(missing_docs)]

pub mod files;
pub mod fit;
pub mod learner;
pub mod libtorch;
pub mod models;
pub mod movielens;
pub mod optim;
pub mod ratings;
pub mod reference;
pub mod settings;
