//! Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
//! libtorch.
#![warn(missing_docs)]

pub mod checkpoint;
pub mod cli;
pub mod descent;
pub mod doctor;
pub mod files;
pub mod fit;
pub mod learner;
pub mod lecture;
pub mod libtorch;
pub mod metrics;
pub mod models;
pub mod movielens;
pub mod notebook;
pub mod optim;
pub mod plots;
pub mod progress;
pub mod ratings;
pub mod reference;
pub mod sections;
pub mod settings;
pub mod solver;
pub mod spreadsheet;
