//! What a watched run tells of itself, a line of JSON each on its standard output: `lecture5 watch` reads them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::history::Batch;
use crate::system::terminal::say;

/// One thing that happened in a section; cells are counted from 0.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "live", rename_all = "lowercase")]
pub enum CellEvent {
    /// A cell begins.
    Begins {
        /// Which.
        cell: usize,
    },
    /// A cell has shown something.
    Shows {
        /// Which.
        cell: usize,
        /// All that it has shown so far.
        html: String,
    },
    /// A fit goes on.
    Fits {
        /// Where it is, and its running loss.
        text: String,
    },
}

impl CellEvent {
    /// Prints it.
    pub fn tell(&self) {
        say(serde_json::to_string(self).expect("it has names and text only"));
    }

    /// What a line of the run's output tells; `None` for a line that a cell printed by itself.
    pub fn read(line: &str) -> Option<CellEvent> {
        serde_json::from_str(line).ok()
    }
}

/// Tells of a fit's batches, ten times a second.
#[derive(Default)]
pub struct Batches {
    told: Option<Instant>,
}

impl Batches {
    /// Tells where the fit is, unless it has just been told.
    pub fn tell(&mut self, at: &Batch) {
        if self.told.is_some_and(|told| told.elapsed() < Duration::from_millis(100)) {
            return;
        }
        self.told = Some(Instant::now());
        let (epoch, batch) = (at.epoch + 1, at.batch + 1);
        let place = format!("epoch {epoch}/{}, batch {batch}/{}", at.n_epochs, at.n_batches);
        CellEvent::Fits { text: format!("{place}: loss {:.5}", at.debias_loss) }.tell();
    }
}
