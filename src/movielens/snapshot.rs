//! Which publication of the data a file is.

use anyhow::Result;
use polars::prelude::*;

use super::ids::Ids;

/// Which publication of the data a file is; the lecture's numbers belong to one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// ml-latest-small as of October 2016, on which the lecture was run.
    Lecture2016,
    /// ml-latest-small as of September 2018, which GroupLens serves today under the same name.
    Small2018,
    /// Another of GroupLens' data sets.
    MovieLens(&'static str),
    /// Anything else.
    Other,
}

impl Snapshot {
    /// Its name in messages.
    pub fn name(self) -> String {
        match self {
            Snapshot::Lecture2016 => "ml-latest-small of 2016, the lecture's data".to_owned(),
            Snapshot::Small2018 => "ml-latest-small of 2018, not the lecture's data".to_owned(),
            Snapshot::MovieLens(name) => format!("MovieLens {name}, not the lecture's data"),
            Snapshot::Other => "not a data set known here, so not the lecture's".to_owned(),
        }
    }

    /// Recognizes the lecture's data by the file's checksum, and others by their numbers of ratings and users.
    pub(super) fn recognize(sha256: &str, ratings: &DataFrame) -> Result<Snapshot> {
        if sha256 == LECTURE_SHA256 {
            return Ok(Snapshot::Lecture2016);
        }
        let known = KNOWN.into_iter().find(|known| known.0 == ratings.height());
        Ok(match known {
            Some((_, users, snapshot)) if Ids::count(ratings.column("userId")?)? == users => snapshot,
            _ => Snapshot::Other,
        })
    }
}

/// SHA-256 of the 2016 ratings.csv with Unix line ends.
pub const LECTURE_SHA256: &str = "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73";

/// Ratings and users, as the README of each data set states them.
const KNOWN: [(usize, usize, Snapshot); 7] = [
    (100_836, 610, Snapshot::Small2018),
    (100_000, 943, Snapshot::MovieLens("100K")),
    (1_000_209, 6_040, Snapshot::MovieLens("1M")),
    (10_000_054, 69_878, Snapshot::MovieLens("10M")),
    (20_000_263, 138_493, Snapshot::MovieLens("20M")),
    (25_000_095, 162_541, Snapshot::MovieLens("25M")),
    (32_000_204, 200_948, Snapshot::MovieLens("32M")),
];
