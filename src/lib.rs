//! Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
//! libtorch.
//!
//! Whoever opens only [`models`] and [`fit`](mod@fit) has seen the lecture. All of it, in its order:
//!
//! | the lecture's section | modules | notebooks-equivalent/ |
//! |---|---|---|
//! | Movie Lens | [`movielens`] | `01_movielens.rs` |
//! | Create subset for Excel | [`solver`], [`spreadsheet`] | `02_excel_subset.rs` |
//! | Collaborative filtering - High Level | [`learner`], [`settings`], [`optim::schedule`] | `03_collab_filter.rs` |
//! | Linear Algebra: Dot product example | [`models::DotProduct`], [`movielens::Ids`] | `04_dot_product.rs` |
//! | a more complicated Embedding Layer | [`models::EmbeddingDot`], [`ratings`], [`optim`] | `05_embedding_dot.rs` |
//! | Bias, and what's actually written in fastai | [`models::EmbeddingDotBias`] | `06_embedding_dot_bias.rs` |
//! | a Neural Net Version of this | [`models::EmbeddingNet`] | `07_embedding_net.rs` |
//! | Talk about the training loop | [`descent`], [`fit`](mod@fit) | `08_training_loop.rs` |
//! | beyond it: what the embeddings mean | [`interpret`], [`trained`], [`titles`], [`ask`] | `09_interpretation.rs` |
//! | beyond it: how good can it get? | [`beyond`] | `10_beyond.rs` |
//! | beyond it: are these the lecture's numbers? | [`verify`] | `11_verification.rs` |
//!
//! Around it: [`cli`] parses and dispatches, [`sections`] lists the notebooks and [`lecture`] is what they share,
//! [`notebook`] records what their cells show and writes it as `.ipynb` and HTML, [`plots`] draws (slices in,
//! pictures out), [`reference`](mod@reference) holds the lecture's numbers, [`metrics`] puts ours beside them,
//! [`checkpoint`] saves and restores, [`libtorch`] binds what `tch` does not, and [`doctor`] looks at the set-up.
//! [`random`] draws where libtorch does not. What can go wrong: [`memory`] refuses what cannot fit,
//! [`interrupt`] hears Ctrl-C, [`kept`] keeps a long fit after each epoch, [`failure`] tells errors.
#![warn(missing_docs)]

pub mod ask;
pub mod beyond;
pub mod checkpoint;
pub mod cli;
pub mod descent;
pub mod doctor;
pub mod failure;
pub mod files;
pub mod fit;
pub mod interpret;
pub mod interrupt;
pub mod kept;
pub mod learner;
pub mod lecture;
pub mod libtorch;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod movielens;
pub mod notebook;
pub mod optim;
pub mod plots;
pub mod progress;
pub mod random;
pub mod ratings;
pub mod reference;
pub mod sections;
pub mod settings;
pub mod solver;
pub mod spreadsheet;
pub mod titles;
pub mod trained;
pub mod verify;
