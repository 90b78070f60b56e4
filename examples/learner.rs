//! Section 3 of the lecture as a standalone program: fastai's learner in a few lines.
//!
//!     cargo run --release --example learner
//!
//! Prints one line per epoch, and the predictions of the first five validation rows next to their true ratings.

use std::path::Path;

use anyhow::Result;
use lecture5::fit::Options;
use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, MovieLens, Split, get_cv_idxs};
use lecture5::optim::Rule;
use lecture5::schedule::{CosineRestarts, Schedule};
use lecture5::settings::{ModelKind, Settings};
use tch::Device;

fn main() -> Result<()> {
    lecture5::libtorch::flush_subnormals();
    tch::set_num_threads(1); // at batches of 64 a second thread costs more than it saves

    let ml = MovieLens::read(Path::new("data/ml-latest-small"))?;
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating")?;
    let val_idxs = get_cv_idxs(cf.len(), 0.2, 42);
    let split = Split::new(cf.len(), &val_idxs);

    // learn = cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam)
    let settings = Settings {
        n_factors: (50, 50),
        batch_size: 64,
        rule: Rule::Adam,
        wd: 2e-4,
        ..Settings::lecture(ModelKind::Learner)
    };
    let mut learn = Learner::new(&cf, &split, &settings, Device::cuda_if_available())?;

    // learn.fit(1e-2, 2, wds=wd, cycle_len=1, cycle_mult=2)
    let cosine = CosineRestarts { lr: 1e-2, cycles: 2, len: 1, mult: 2 };
    let options = Options { schedule: Schedule::Cosine(cosine), ..Options::default() };
    for epoch in learn.fit(cosine.epochs(), options)?.epochs {
        println!("{epoch}");
    }

    let (preds, y) = (learn.predict()?, Vec::<f32>::try_from(&learn.data.val.y)?);
    for (pred, y) in preds.iter().zip(y).take(5) {
        println!("predicted {pred:.2}, rated {y}");
    }
    Ok(())
}
