//! Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
//! libtorch.
//!
//! The lecture itself is in the files directly in `src/`; [`models`] and [`fit`](mod@fit) are its core. In its order:
//!
//! | the lecture's section | files | notebooks-equivalent/ |
//! |---|---|---|
//! | Movie Lens | [`movielens`] | `01_movielens.rs` |
//! | Create subset for Excel | [`excel`] | `02_excel_subset.rs` |
//! | Collaborative filtering - High Level | [`learner`], [`settings`], [`schedule`] | `03_collab_filter.rs` |
//! | Linear Algebra: Dot product example | [`models::DotProduct`], [`movielens::Ids`] | `04_dot_product.rs` |
//! | a more complicated Embedding Layer | [`models::EmbeddingDot`], [`ratings`], [`optim`] | `05_embedding_dot.rs` |
//! | Bias, and what's actually written in fastai | [`models::EmbeddingDotBias`] | `06_embedding_dot_bias.rs` |
//! | a Neural Net Version of this | [`models::EmbeddingNet`] | `07_embedding_net.rs` |
//! | Talk about the training loop | [`fit`](mod@fit), [`excel::descent`] | `08_training_loop.rs` |
//! | beyond it: what the embeddings mean | [`recommend`], [`saved::trained`] | `09_interpretation.rs` |
//! | beyond it: how good can it get? | [`beyond`] | `10_beyond.rs` |
//! | beyond it: are these the lecture's numbers? | [`verify`] | `11_verification.rs` |
//!
//! Around it, one folder each: [`libtorch`] binds what `tch` does not, [`saved`] has the model files and checkpoints,
//! [`run`] a session of the lecture with its metrics and reference numbers, [`notebook`] records what cells show and
//! writes it as `.ipynb` and HTML, [`plots`] draws, and [`system`] handles files, memory, interruption and failure. The
//! command line and the notebooks are compiled into the program, not into this library.
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
