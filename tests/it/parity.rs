//! Checks that the layer computes what PyTorch computes: it compares the losses of all fits with those of a plain
//! PyTorch program (scripts/pytorch_twin.py) that draws the same random numbers.

use std::path::Path;

use lecture5::fast::StepperKind;
use lecture5::fit::{MakeStepper, Options, by_libtorch};
use lecture5::history::{Epoch, History};
use lecture5::learner::Learner;
use lecture5::libtorch;
use lecture5::movielens::{CollabFilterDataset, MovieLens, Split, get_cv_idxs};
use lecture5::settings::{ModelKind, Settings};
use tch::{Cuda, Device};

use crate::common::alone;
use crate::steppers::compare;

fn fit(model: ModelKind, seed: i64, device: Device, stepper: MakeStepper) -> History {
    let _alone = alone();
    libtorch::flush_subnormals();
    tch::set_num_threads(1);
    let ml = MovieLens::read(Path::new("data/ml-latest-small")).unwrap();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    let split = Split::new(cf.len(), &get_cv_idxs(cf.len(), 0.2, 42));
    let settings = Settings { seed, ..Settings::lecture(model) };
    let mut learner = Learner::new(&cf, &split, &settings, device).unwrap();
    learner.fit_plan(Options { stepper, ..Options::default() }).unwrap()
}

/// Adam divides by the size of the gradient, which makes more of a last digit.
fn tolerance(model: ModelKind) -> f64 {
    if model == ModelKind::Learner { 1e-3 } else { 1e-4 }
}

/// The losses of a fit are PyTorch's: with both steppers, and the second seed with the faster one. The two steppers must
/// agree ten times more closely.
fn has_pytorchs_losses(model: ModelKind) {
    let both = [StepperKind::Libtorch, StepperKind::Fast];
    let both = both.map(|stepper| agrees_with_pytorch(model, "0", stepper));
    compare(model, both, tolerance(model) / 10.0);
    agrees_with_pytorch(model, "1", StepperKind::Fast);
}

fn agrees_with_pytorch(model: ModelKind, seed: &str, stepper: StepperKind) -> Vec<Epoch> {
    let twin: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/pytorch_twin.json")).unwrap();
    let epochs = twin["fits"][model.lecture_fit()][seed].as_array().unwrap();
    let ours = fit(model, seed.parse().unwrap(), Device::Cpu, stepper.make());
    assert_eq!(ours.epochs.len(), epochs.len());
    for (epoch, theirs) in ours.epochs.iter().zip(epochs) {
        for (name, ours, theirs) in [
            ("trn", epoch.trn, &theirs[0]),
            ("val", epoch.val, &theirs[1]),
            ("val by rows", epoch.val_by_rows, &theirs[2]),
        ] {
            let theirs = theirs.as_f64().unwrap();
            let apart = (ours / theirs - 1.0).abs();
            assert!(
                apart <= tolerance(model),
                "{} by {} seed {seed} epoch {}: {name} {ours}, PyTorch's {theirs}: {apart:.1e} apart",
                model.name(),
                stepper.name(),
                epoch.epoch
            );
        }
    }
    ours.epochs
}

#[test]
fn embedding_dot_has_pytorchs_losses() {
    has_pytorchs_losses(ModelKind::Dot);
}

#[test]
fn embedding_dot_bias_has_pytorchs_losses() {
    has_pytorchs_losses(ModelKind::Bias);
}

#[test]
fn embedding_net_has_pytorchs_losses() {
    has_pytorchs_losses(ModelKind::Net);
}

#[test]
fn the_learner_has_pytorchs_losses() {
    has_pytorchs_losses(ModelKind::Learner);
}

#[test]
fn cuda_gives_the_cpus_losses_to_three_digits() {
    if !Cuda::is_available() {
        println!("skipped: {}", libtorch::device::why_no_cuda().unwrap_or_default());
        return;
    }
    for model in ModelKind::ALL {
        let (cpu, cuda) =
            [Device::Cpu, Device::Cuda(0)].map(|device| fit(model, 0, device, by_libtorch)).into();
        for (cpu, cuda) in cpu.epochs.iter().zip(&cuda.epochs) {
            assert!(
                (cpu.val - cuda.val).abs() < 2e-3,
                "{}: {} on the CPU, {} on CUDA",
                model.name(),
                cpu.val,
                cuda.val
            );
        }
    }
}
