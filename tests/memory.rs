//! Memory: a long fit needs no more memory than a short one.

#![cfg(target_os = "linux")]

use std::ops::ControlFlow;

use lecture5::fast::StepperKind;
use lecture5::fit::Options;
use lecture5::history::{Callback, Epoch, FitState};
use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, Ids, Split};
use lecture5::optim::Optimizer;
use lecture5::settings::{ModelKind, Plan, Settings};
use tch::Device;

/// Steps of each fit.
const STEPS: usize = 50_000;
/// After this many steps, all buffers and pools have reached their size.
const WARM: usize = 5_000;
/// The allowed growth over the remaining steps, in KiB. The history keeps 16 bytes per step, 0.7 MiB in total, and a
/// growing vector holds up to twice that; a one-number tensor leaked at each step would add more than 10 MiB.
const MAY_GROW: i64 = 4 << 10;

/// The resident memory of this process, in KiB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The resident memory after [`WARM`] steps.
struct Warm(Option<i64>);

impl Callback for Warm {
    fn on_epoch_end(&mut self, at: &Epoch, _: &FitState, _: &Optimizer) -> anyhow::Result<ControlFlow<()>> {
        if at.epoch * 32 >= WARM {
            self.0.get_or_insert_with(resident);
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn fifty_thousand_steps(model: ModelKind, stepper: StepperKind, dropout: (f64, f64)) {
    tch::set_num_threads(1);
    // 8 users × 8 movies: 32 batches of 2 rows per epoch, for many steps and epochs.
    let pairs: Vec<[i64; 2]> = (0..8).flat_map(|u| (0..8).map(move |m| [u, m])).chain([[0, 0]]).collect();
    let y = pairs.iter().map(|[u, m]| 0.5 + 0.5 * ((u * 3 + m * 5) % 10) as f32).collect();
    let (user_idx, item_idx) = pairs.iter().map(|pair| (pair[0], pair[1])).unzip();
    let cf = CollabFilterDataset {
        users: Ids::new(0..8),
        items: Ids::new(0..8),
        user_idx,
        item_idx,
        y,
        scale: None,
    };
    let split = Split::new(cf.len(), &[64]);
    let settings = Settings {
        plan: Plan::Steps(vec![(1e-4, STEPS / 32 + 1)]),
        batch_size: 2,
        n_factors: (4, 4),
        dropout,
        ..Settings::lecture(model)
    };
    let mut learner = Learner::new(&cf, &split, &settings, Device::Cpu).unwrap();
    let mut warm = Warm(None);
    let options =
        Options { callbacks: vec![Box::new(&mut warm)], stepper: stepper.make(), ..Options::default() };
    let history = learner.fit_plan(options).unwrap();
    assert!(history.running.len() >= STEPS);
    let grown = resident() - warm.0.unwrap();
    println!("{}: {grown} KiB more after {STEPS} steps than after {WARM}", model.name());
    assert!(grown <= MAY_GROW, "{}: {grown} KiB more in {STEPS} steps", model.name());
}

#[test]
fn fifty_thousand_steps_of_adam_need_no_more_memory_than_five_thousand() {
    for stepper in [StepperKind::Libtorch, StepperKind::Fast] {
        fifty_thousand_steps(ModelKind::Learner, stepper, (0.0, 0.0));
    }
}

#[test]
#[ignore = "takes half a minute: cargo test --release --test memory -- --ignored --test-threads 1"]
fn nor_do_fifty_thousand_of_sgd_and_of_the_net_with_dropout() {
    for stepper in [StepperKind::Libtorch, StepperKind::Fast] {
        fifty_thousand_steps(ModelKind::Dot, stepper, (0.0, 0.0));
    }
    fifty_thousand_steps(ModelKind::Net, StepperKind::Libtorch, (0.1, 0.1));
}
