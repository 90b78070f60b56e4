//! What a step costs by the number of rows in the tables, and whether memory stays flat:
//!
//!     cargo run --release --example step_cost
//!
//! EmbeddingDotBias under SGD at the lecture's batch of 64, its users and movies drawn evenly, which is the worst case:
//! in real ratings most batches meet the same busy movies, whose rows are in the processor's cache.

use std::time::Instant;

use anyhow::Result;
use lecture5::fit::mse_loss;
use lecture5::libtorch;
use lecture5::models::{EmbeddingDotBias, Embeddings, Range};
use lecture5::optim::{Optimizer, Rule, Update};
use tch::nn::{ModuleT, VarStore};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 64;

fn main() -> Result<()> {
    libtorch::flush_subnormals();
    tch::set_num_threads(1);
    println!("| update | rows | steps | µs a step | memory grew by |");
    println!("|---|--:|--:|--:|--:|");
    for rows in [10_000, 100_000, 1_000_000] {
        run(Update::Lazy, rows, 100_000)?;
    }
    for rows in [10_000, 100_000] {
        run(Update::Dense, rows, 1_000)?;
    }
    Ok(())
}

fn run(update: Update, rows: i64, steps: i64) -> Result<()> {
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let e = Embeddings { n_users: rows / 2, n_movies: rows / 2, n_factors: (50, 50), init: (-0.05, 0.05) };
    let model = EmbeddingDotBias::new(&vs.root(), &e, Range { min: 0.5, max: 5.0 });
    let mut opt = Optimizer::with_update(&vs, Rule::Sgd { momentum: 0.9 }, 0.1, 2e-4, update);
    // Drawn once, and gone through as often as it takes.
    let n_batches = 5_000;
    let x = Tensor::randint(rows / 2, [2, n_batches * BATCH], (Kind::Int64, Device::Cpu)).tr(); // (n, 2)
    let y = Tensor::rand([n_batches * BATCH], (Kind::Float, Device::Cpu)) * 5.0; // (n,)
    let mut one = |step: i64| -> Result<()> {
        let at = step % n_batches * BATCH;
        let (x, y) = (x.narrow(0, at, BATCH), y.narrow(0, at, BATCH));
        let loss = opt.loss(&x, &y, |x, y| mse_loss(&model.forward_t(x, true), y));
        opt.zero_grad();
        loss.backward();
        opt.step()
    };
    for step in 0..steps / 10 {
        one(step)?;
    }
    let (memory, started) = (resident(), Instant::now());
    for step in 0..steps {
        one(step)?;
    }
    let each = started.elapsed().as_secs_f64() / steps as f64 * 1e6;
    println!("| {update:?} | {rows} | {steps} | {each:.1} | {:.1} MiB |", (resident() - memory) / 1024.0);
    Ok(())
}

/// What this process holds in memory, in KiB; nothing where the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
