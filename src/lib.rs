//! Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
//! libtorch.
//!
//! The lecture itself is in the files directly in `src/`: [`models`], the training loop [`fit`](mod@fit) and the
//! optimizers in [`optim`] are its core. [`ratings`] makes tensors and batches, [`schedule`] changes the learning
//! rate, [`history`] is what a fit reports, [`learner`] is an interface like fastai's, and [`settings`] has the
//! lecture's hyperparameters. [`movielens`] reads and splits the ratings, and [`excel`] writes the lecture's
//! workbooks. What goes beyond the lecture is in [`recommend`], [`beyond`] and [`verify`]. The README has a table
//! of the lecture's sections, their notebooks and files.
//!
//! Around the lecture, one folder each: [`libtorch`] binds what `tch` does not, [`fast`] is the other stepper,
//! [`saved`] has the model files and checkpoints, [`run`] a session of the lecture with its metrics and reference
//! numbers. [`notebook`] records what cells show and writes it as `.ipynb` and HTML, [`plots`] draws, and
//! [`system`] handles files, memory, interruption and failure. The command line and the notebooks are compiled into
//! the program, not into this library.
#![warn(missing_docs)]

// The lecture.
pub mod fit;
pub mod history;
pub mod learner;
pub mod models;
pub mod optim;
pub mod ratings;
pub mod schedule;
pub mod settings;

// What the lecture depends on.
pub mod libtorch;
pub mod movielens;
pub mod system;

// The harness.
#[cfg(feature = "harness")]
pub mod beyond;
#[cfg(feature = "harness")]
pub mod excel;
#[cfg(feature = "harness")]
pub mod fast;
#[cfg(feature = "harness")]
pub mod notebook;
#[cfg(feature = "harness")]
pub mod plots;
#[cfg(feature = "harness")]
pub mod recommend;
#[cfg(feature = "harness")]
pub mod run;
#[cfg(feature = "harness")]
pub mod saved;
#[cfg(feature = "harness")]
pub mod verify;
