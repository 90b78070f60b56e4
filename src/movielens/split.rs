//! Which ratings are held out.

use std::fmt;
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, ensure};
use rand_mt::Mt;

use super::ids::CollabFilterDataset;
use crate::system::prefetch::prefetch;
use crate::system::threads::both;

/// The lecture's share of the ratings to hold out: fastai's `get_cv_idxs(n, seed=42, val_pct=0.2)`.
const VAL_PCT: f64 = 0.2;
/// The seed of [`get_cv_idxs`] that the lecture's numbers belong to.
pub const LECTURE_SEED: u32 = 42;

/// How a fifth of the ratings is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitBy {
    /// The lecture's: any fifth, of any users and times.
    Random {
        /// Seed of NumPy's generator.
        seed: u32,
    },
    /// The last fifth by time: the future is predicted from the past, as in production. Users and movies that appear
    /// only then are predicted without any training.
    Time,
    /// A fifth of each user's ratings, so that every user with five or more is tested alike: the user's last ratings by
    /// time (what recommenders call a leave-last-out or chronological split by user) or, if the data has no times, any
    /// of them (a stratified split).
    User {
        /// Seed of NumPy's generator, used if there are no times.
        seed: u32,
    },
}

impl SplitBy {
    /// The lecture's split.
    pub const LECTURE: SplitBy = SplitBy::Random { seed: LECTURE_SEED };

    /// The seed of NumPy's generator, if rows are drawn.
    pub fn seed(self) -> Option<u32> {
        match self {
            SplitBy::Random { seed } | SplitBy::User { seed } => Some(seed),
            SplitBy::Time => None,
        }
    }

    /// The rows to hold out, in no particular order. `times` has one entry per rating. Equal times are in file order.
    ///
    /// # Errors
    /// There are no times to split by, or too few ratings: one of the parts would be empty.
    pub fn val_idxs(self, data: &CollabFilterDataset, times: Option<&[i64]>) -> Result<Vec<usize>> {
        let n = data.len();
        let fifth = |n: usize| (VAL_PCT * n as f64) as usize;
        let rows = match self {
            SplitBy::Random { seed } => get_cv_idxs(n, VAL_PCT, seed),
            SplitBy::Time => {
                let times = times.context(
                    "--split time needs the time of each rating, and the data has no timestamps \
                     (--timestamp COL names them)",
                )?;
                let mut rows: Vec<usize> = (0..n).collect();
                rows.sort_by_key(|&row| times[row]);
                rows.split_off(n - fifth(n))
            }
            SplitBy::User { seed } => {
                // The rows of each user in the order of time, or in random order.
                let mut order: Vec<usize> = match times {
                    Some(_) => (0..n).collect(),
                    None => numpy_permutation(n, seed).into_iter().map(|row| row as usize).collect(),
                };
                match times {
                    Some(times) => order.sort_by_key(|&row| (data.user_idx[row], times[row])),
                    None => order.sort_by_key(|&row| data.user_idx[row]),
                }
                let of_one_user = order.chunk_by(|&a, &b| data.user_idx[a] == data.user_idx[b]);
                of_one_user.flat_map(|rows| &rows[rows.len() - fifth(rows.len())..]).copied().collect()
            }
        };
        ensure!(
            !rows.is_empty(),
            "{n} rating{} of {} user{} are too few to hold out a fifth{}",
            if n == 1 { "" } else { "s" },
            data.users.len(),
            if data.users.len() == 1 { "" } else { "s" },
            match self {
                SplitBy::User { .. } if n >= 5 => " of each user's: no user has five; take --split random",
                _ => ": there must be five or more",
            }
        );
        Ok(rows)
    }
}

impl fmt::Display for SplitBy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SplitBy::Random { seed } => write!(f, "random, seed {seed}"),
            SplitBy::Time => f.write_str("time"),
            SplitBy::User { seed } => write!(f, "user, seed {seed}"),
        }
    }
}

/// fastai's `get_cv_idxs(n)`: the rows held out for validation, as NumPy draws them with
/// `np.random.seed(seed); np.random.permutation(n)[:int(val_pct*n)]`.
///
/// The lecture's call is `get_cv_idxs(len(ratings))`, that is seed 42 and a fifth of the rows.
pub fn get_cv_idxs(n: usize, val_pct: f64, seed: u32) -> Vec<usize> {
    let held_out = (val_pct * n as f64) as usize;
    numpy_permutation(n, seed).into_iter().take(held_out).map(|row| row as usize).collect()
}

/// `np.random.RandomState(seed).permutation(n)`: MT19937, a Fisher-Yates shuffle from the end, each index
/// drawn by masked rejection on 32-bit outputs (NumPy's legacy generator).
fn numpy_permutation(n: usize, seed: u32) -> Vec<u32> {
    const BLOCK: usize = 1 << 16;
    let mut generator = Mt::new(seed);
    let mut lasts = (1..n as u32).rev();
    let mut draw = |last: u32| {
        let mask = (last + 1).next_power_of_two() - 1;
        loop {
            let drawn = generator.next_u32() & mask;
            if drawn <= last {
                return drawn;
            }
        }
    };
    // Half the memory of `usize`: swapping at random in it is most of the work.
    let mut rows: Vec<u32> = (0..n as u32).collect();
    // The numbers drawn do not depend on the swaps, so another thread can draw them, some blocks ahead.
    let (send, blocks) = sync_channel(4);
    let draw_all = move || {
        loop {
            let drawn: Vec<u32> = lasts.by_ref().take(BLOCK).map(&mut draw).collect();
            if drawn.is_empty() || send.send(drawn).is_err() {
                return;
            }
        }
    };
    // Each row is asked for this many swaps ahead: with many millions of rows the waits for memory overlap.
    const AHEAD: usize = 64;
    let swap_all = || {
        let mut last = n;
        for drawn in blocks {
            for (at, &row) in drawn.iter().enumerate() {
                if let Some(&later) = drawn.get(at + AHEAD) {
                    prefetch(&rows[later as usize]);
                }
                last -= 1;
                rows.swap(last, row as usize);
            }
        }
    };
    both(draw_all, swap_all);
    rows
}

/// The rows of both parts of a split, each in file order (fastai splits by a boolean mask, so the shuffled
/// order of `val_idxs` does not matter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub trn: Vec<usize>,
    /// Rows held out.
    pub val: Vec<usize>,
}

impl Split {
    /// Splits `n` rows.
    pub fn new(n: usize, val_idxs: &[usize]) -> Split {
        let mut held_out = vec![false; n];
        for &row in val_idxs {
            held_out[row] = true;
        }
        let rows = |which: bool, count: usize| {
            let mut rows = Vec::with_capacity(count);
            let part = held_out.iter().enumerate().filter(|(_, held_out)| **held_out == which);
            rows.extend(part.map(|(row, _)| row));
            rows
        };
        let (val, trn) = both(|| rows(true, val_idxs.len()), || rows(false, n - val_idxs.len()));
        Split { trn, val }
    }
}
