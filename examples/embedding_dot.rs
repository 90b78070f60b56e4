//! Section 5 of the lecture as a standalone program: a matrix of embeddings for users, one for movies, and their dot product.
//!
//!     cargo run --release --example embedding_dot
//!
//! Prints one line per epoch: its number, the training loss, the validation loss. The lecture's last line, from another
//! random start, is `[ 2.       0.67176  1.12943]`; here the second `fit` continues the count, so it is epoch 5.

use std::path::Path;

use anyhow::Result;
use lecture5::fit::{fit, mse_loss};
use lecture5::movielens::{CollabFilterDataset, MovieLens, Split, get_cv_idxs};
use lecture5::optim;
use lecture5::ratings::ColumnarModelData;
use tch::nn::{Embedding, EmbeddingConfig, Init, Module, ModuleT, Path as Vs, VarStore, embedding};
use tch::{Device, Tensor};

/// A rating is the dot product of its user's and its movie's vector.
#[derive(Debug)]
struct EmbeddingDot {
    u: Embedding,
    m: Embedding,
}

impl EmbeddingDot {
    fn new(vs: &Vs, n_users: i64, n_movies: i64, n_factors: i64) -> Self {
        let ws_init = Init::Uniform { lo: 0.0, up: 0.05 };
        let config = EmbeddingConfig { ws_init, ..Default::default() };
        EmbeddingDot {
            u: embedding(vs / "u", n_users, n_factors, config),
            m: embedding(vs / "m", n_movies, n_factors, config),
        }
    }
}

impl ModuleT for EmbeddingDot {
    fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {
        let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
        let (u, m) = (self.u.forward(&users), self.m.forward(&movies)); // (bs, n_factors)
        (u * m).sum_dim_intlist(1, false, None) // (bs,)
    }
}

fn main() -> Result<()> {
    let device = Device::cuda_if_available();
    lecture5::libtorch::flush_subnormals(); // numbers too small for float32's full precision are slow on the CPU
    tch::set_num_threads(1); // at batches of 64 a second thread costs more than it saves

    // The ratings, with ids renumbered from 0, and the lecture's split of them.
    let ml = MovieLens::read(Path::new("data/ml-latest-small"))?;
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating")?;
    let val_idxs = get_cv_idxs(cf.len(), 0.2, 42);
    let data = ColumnarModelData::new(&cf, &Split::new(cf.len(), &val_idxs), 64, device)?;

    // The model, drawn on the CPU so that a seed means the same start everywhere, and its optimizer.
    let (wd, n_factors) = (1e-5, 50);
    tch::manual_seed(0);
    let mut vs = VarStore::new(Device::Cpu);
    let model = EmbeddingDot::new(&vs.root(), cf.users.len(), cf.items.len(), n_factors);
    vs.set_device(device);
    let mut opt = optim::sgd(&vs, 1e-1).weight_decay(wd).momentum(0.9);

    let mut history = fit(&model, &data, 3, &mut opt, mse_loss)?;
    opt.set_lrs(0.01);
    history.extend(fit(&model, &data, 3, &mut opt, mse_loss)?);
    for epoch in history.epochs {
        println!("{epoch}");
    }
    Ok(())
}
