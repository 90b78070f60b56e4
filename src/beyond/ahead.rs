//! All models trained, now or ahead of time: the lecture's models are trained one after another on one core, and while the
//! sections before `beyond` do that, the other cores begin with these.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;

use super::blend::{Blend, Trained, predict_all};
use super::data::from_lecture;
use super::gp;
use super::models::models_for;
use super::rows::{Pairs, Rated, World};
use crate::movielens::{CollabFilterDataset, MovieLens, Split, SplitBy};
use crate::run::progress::{Telling, Training};
use crate::system::memory;

/// What comes of training all models.
pub struct Outcome {
    /// Each model that the data and the memory allow.
    pub trained: Vec<Trained>,
    /// Why the others were left out.
    pub left_out: Vec<String>,
    /// The blend of some of them.
    pub blend: Blend,
    /// How long it took.
    pub blend_seconds: f64,
}

/// Trains the models that the data allows, and the members of the blend once more without a part of the training rows.
///
/// # Errors
/// [`Interrupted`](crate::system::interrupt::Interrupted).
pub fn train_all(world: &World, trn: &Rated, val: &Pairs, training: &Training) -> Result<Outcome> {
    let (models, left_out) = models_for(world, &trn.pairs);
    let members: Vec<_> = models.iter().copied().filter(|model| model.blended).collect();
    training.expect(models.len() + members.len());
    let trained = predict_all(world, trn, &models, val, training)?;
    let started = Instant::now();
    let blend = Blend::fit(world, trn, &members, training)?;
    Ok(Outcome { trained, left_out, blend, blend_seconds: started.elapsed().as_secs_f64() })
}

/// Training that has begun.
pub struct Ahead {
    training: Arc<Training>,
    thread: JoinHandle<Result<Outcome>>,
}

impl Ahead {
    /// Begins. Where the system can (Linux), these threads give way to all others, so that the fits hardly take longer.
    ///
    /// # Errors
    /// The ratings are not understood, the models need so much memory that the fits may lack it, or no thread can be started.
    pub fn begin(ml: &MovieLens, cf: &CollabFilterDataset, by: SplitBy, split: &Split) -> Result<Ahead> {
        let (world, trn, val, _) = from_lecture(ml, cf, by, split)?;
        memory::check(
            "the models of section beyond",
            4 * gp::bytes(gp::n_pairs(&world, &trn.pairs)),
            "train them later",
        )?;
        let training = Arc::new(Training::new(Telling::Quiet));
        let pool = ThreadPoolBuilder::new().start_handler(|_| give_way()).build()?;
        let begun = Arc::clone(&training);
        let work = move || pool.install(|| train_all(&world, &trn, &val, &begun));
        let thread = Builder::new().name("beyond".to_owned()).spawn(work).context("a thread")?;
        Ok(Ahead { training, thread })
    }

    /// Waits for the end, with a bar on a terminal.
    ///
    /// # Errors
    /// As [`train_all`].
    pub fn finish(self, telling: Telling) -> Result<Outcome> {
        self.training.show_to(telling);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Lets other threads come first.
fn give_way() {
    // On Linux, and only there, this is of the thread and not of the process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(15);
}
