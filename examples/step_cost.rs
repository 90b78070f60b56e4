//! What a step costs by the number of rows in the tables, and whether memory stays flat:
//!
//!     cargo run --release --example step_cost
//!
//! EmbeddingDotBias under SGD at the lecture's batch size of 64. Users and movies are drawn with long tails, as in real
//! data, and evenly, which is the worst case: hardly a row is in the processor's cache.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use lecture5::fast::StepperKind;
use lecture5::fit::mse_loss;
use lecture5::libtorch;
use lecture5::models::{EmbeddingDotBias, EmbeddingSpec, RatingRange};
use lecture5::optim;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 64;

fn main() -> Result<()> {
    libtorch::flush_subnormals();
    tch::set_num_threads(1);
    say("| stepper | drawn | rows | steps | µs a step, best thousand | median | memory grew by |")?;
    say("|---|---|--:|--:|--:|--:|--:|")?;
    for drawn in [Drawn::LongTails, Drawn::Evenly] {
        for rows in [10_000, 100_000, 1_000_000] {
            run(StepperKind::Fast, drawn, rows, 100_000)?;
        }
    }
    for rows in [10_000, 100_000] {
        run(StepperKind::Libtorch, Drawn::LongTails, rows, 1_000)?;
    }
    Ok(())
}

/// `println!` without a panic if the reader has closed the pipe.
fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[derive(Debug, Clone, Copy)]
enum Drawn {
    LongTails,
    Evenly,
}

impl Drawn {
    /// `n` users and movies of `rows` each: (n, 2).
    fn batches(self, rows: i64, n: i64) -> Tensor {
        let float = (Kind::Float, Device::Cpu);
        match self {
            Drawn::Evenly => Tensor::randint(rows, [2, n], (Kind::Int64, Device::Cpu)).tr(),
            Drawn::LongTails => {
                // As examples/synthetic_ratings.rs has it: some users rate many times as much as most, and the
                // movies' shares fall off as a power of their rank.
                let users = (Tensor::randn([rows], float) * 1.2).exp();
                let movies = (Tensor::arange(rows, float) + 40.0).pow_tensor_scalar(-1.1);
                let movies = movies.index_select(0, &Tensor::randperm(rows, (Kind::Int64, Device::Cpu)));
                Tensor::stack(&[users.multinomial(n, true), movies.multinomial(n, true)], 0).tr()
            }
        }
    }
}

fn run(stepper: StepperKind, drawn: Drawn, rows: i64, steps: i64) -> Result<()> {
    tch::manual_seed(0);
    let vs = VarStore::new(Device::Cpu);
    let e = EmbeddingSpec { n_users: rows / 2, n_movies: rows / 2, n_factors: (50, 50), init: (-0.05, 0.05) };
    let model = EmbeddingDotBias::new(&vs.root(), &e, RatingRange { min: 0.5, max: 5.0 });
    let mut opt = optim::sgd(&vs, 0.1).weight_decay(2e-4).momentum(0.9);
    // Drawn once, and repeated as often as needed.
    let n_batches = 5_000;
    let x = drawn.batches(rows / 2, n_batches * BATCH);
    let y = Tensor::rand([n_batches * BATCH], (Kind::Float, Device::Cpu)) * 5.0; // (n,)
    let kind = stepper.name();
    let mut stepper = stepper.make()(&model, &mut opt, mse_loss)?;
    stepper.reset(true)?;
    let mut one = |step: i64| -> Result<()> {
        let at = step % n_batches * BATCH;
        stepper.step(&x.narrow(0, at, BATCH), &y.narrow(0, at, BATCH)).map(drop)
    };
    for step in 0..steps / 10 {
        one(step)?;
    }
    let memory = resident();
    let mut thousands = Vec::new(); // µs a step of each thousand
    for thousand in 0..steps / 1000 {
        let started = Instant::now();
        for step in 1000 * thousand..1000 * (thousand + 1) {
            one(step)?;
        }
        thousands.push(started.elapsed().as_secs_f64() * 1e3);
    }
    thousands.sort_by(f64::total_cmp);
    let (best, median) = (thousands[0], thousands[thousands.len() / 2]);
    let grown = (resident() - memory) / 1024.0;
    say(&format!("| {kind} | {drawn:?} | {rows} | {steps} | {best:.1} | {median:.1} | {grown:.1} MiB |"))
}

/// The memory of this process, in KiB; NaN if the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
