//! A checkpoint with any of its bytes changed and a new, valid checksum is refused or resumed from; if it is resumed from,
//! its state is one that a fit can be in.
#![no_main]

use std::cell::RefCell;

use lecture5::fit::Options;
use lecture5::history::Callback;
use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, Ids, Split};
use lecture5::saved::checkpoint::Checkpoint;
use lecture5::saved::model_file::ModelCard;
use lecture5::settings::{ModelKind, Plan, Settings};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use tch::Device;

struct SavedFit {
    folder: tempfile::TempDir,
    learner: Learner,
    card: ModelCard,
    bytes: Vec<u8>,
}

fn saved_fit() -> SavedFit {
    let ids = |n: i64| Ids::new(0..n);
    let rows = |n: i64| (0..40).map(|row| row % n).collect();
    let y = (0..40).map(|row| 1.0 + (row % 5) as f32).collect();
    let cf = CollabFilterDataset {
        users: ids(5),
        items: ids(8),
        user_idx: rows(5),
        item_idx: rows(8),
        y,
        scale: None,
    };
    let split = Split::new(40, &[0, 7, 13, 21, 34]);
    let plan = Plan::Steps(vec![(0.01, 2), (0.001, 1)]);
    let settings = Settings { plan, n_factors: (2, 2), batch_size: 8, ..Settings::lecture(ModelKind::Bias) };
    let mut learner = Learner::new(&cf, &split, &settings, Device::Cpu).expect("a learner");
    let card = ModelCard::new(&cf, &split, &settings, "none");
    let folder = tempfile::tempdir().expect("a folder");
    let mut checkpoint = Checkpoint::new(folder.path(), card.clone());
    let callbacks: Vec<Box<dyn Callback>> = vec![Box::new(&mut checkpoint)];
    learner.fit_plan(Options { callbacks, ..Options::default() }).expect("a fit");
    let bytes = std::fs::read(folder.path().join("checkpoint.safetensors")).expect("a checkpoint");
    std::fs::remove_file(folder.path().join("checkpoint-before.safetensors")).expect("the one before");
    SavedFit { folder, learner, card, bytes }
}

/// The bytes with their own checksum, if there is still a place for it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mark = br#"\"seal\":\""#;
    if let Some(at) = bytes.windows(mark.len()).rposition(|window| window == mark).map(|at| at + mark.len()) {
        bytes[at..at + 64].fill(b'0');
        let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        bytes[at..at + 64].copy_from_slice(digits.as_bytes());
    }
    bytes
}

thread_local! {
    static SAVED_FIT: RefCell<SavedFit> = RefCell::new(saved_fit());
}

// Every three bytes are one change: two bytes for the position, and one for the new value.
fuzz_target!(|changes: &[u8]| {
    SAVED_FIT.with_borrow_mut(|saved| {
        let mut bytes = saved.bytes.clone();
        for change in changes.chunks_exact(3) {
            let at = usize::from(change[0]) * 256 + usize::from(change[1]);
            let n = bytes.len();
            bytes[at % n] = change[2];
        }
        std::fs::write(saved.folder.path().join("checkpoint.safetensors"), sealed(bytes))
            .expect("it is written");
        let mut checkpoint = Checkpoint::new(saved.folder.path(), saved.card.clone());
        if let Ok(state) = checkpoint.load(&mut saved.learner, false) {
            assert!((1..=3).contains(&state.history.epochs.len()));
            assert!(
                state.mean.avg_loss.is_finite() && state.history.running.iter().all(|loss| loss.is_finite())
            );
        }
    });
});
