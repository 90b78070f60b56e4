//! The options that say which ratings a command works on, and which of them it holds out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::number;
use lecture5::movielens::{ColumnNames, LECTURE_SEED, LECTURES, MovieLens, Source, SplitBy};

#[derive(Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    /// A MovieLens folder, old or new: with ratings.csv, ratings.dat (ml-1m) or u.data (ml-100k).
    #[arg(long, value_name = "DIR", default_value = LECTURES)]
    data: PathBuf,
    /// Any CSV or Parquet file of ratings instead; in a CSV comma, tab, semicolon, bar or :: may separate. Ids may be
    /// text.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    ratings: Option<PathBuf>,
    /// Its column of users; without a header, its number, counted from 1. So with the others.
    #[arg(long, value_name = "COL", default_value = "userId", requires = "ratings")]
    user: String,
    /// Its column of movies, or whatever is rated.
    #[arg(long, value_name = "COL", default_value = "movieId", requires = "ratings")]
    item: String,
    /// Its column of ratings.
    #[arg(long, value_name = "COL", default_value = "rating", requires = "ratings")]
    rating: String,
    /// Its column of times: whole numbers, such as seconds since 1970, or Parquet's dates and timestamps.
    #[arg(long, value_name = "COL", requires = "ratings")]
    timestamp: Option<String>,
    /// The lowest and the highest rating that can be given [default: that is].
    #[arg(long, value_name = "LOW:HIGH", value_parser = range, allow_hyphen_values = true)]
    rating_range: Option<(f64, f64)>,
    /// Which fifth of the ratings is held out: any (the lecture's way), the last by time, or each user's
    /// last (any of hers, where there are no times).
    #[arg(long, value_name = "WAY", default_value = "random")]
    split: Way,
    /// Seed of a split that is drawn at random.
    #[arg(long, value_name = "N", default_value_t = LECTURE_SEED)]
    split_seed: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Random,
    Time,
    User,
}

/// LOW:HIGH, the range of the ratings.
fn range(text: &str) -> Result<(f64, f64)> {
    let (low, high) = match text.split_once(':') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => anyhow::bail!("'{text}' is not LOW:HIGH, as in 0.5:5"),
    };
    ensure!(low < high, "from {low} to {high}: the lower end comes first, and they differ");
    let finite = |x: f64| (x as f32).is_finite();
    ensure!(finite(low) && finite(high) && finite(high - low), "'{text}': beyond single precision");
    Ok((low, high))
}

impl Data {
    /// Whether the options go together.
    ///
    /// # Errors
    /// One column is to be two things.
    pub fn check(&self) -> Result<()> {
        let columns = [Some(&self.user), Some(&self.item), Some(&self.rating), self.timestamp.as_ref()];
        let names = ["--user", "--item", "--rating", "--timestamp"];
        for (at, column) in columns.iter().enumerate().filter(|(_, column)| column.is_some()) {
            if let Some(other) = columns[..at].iter().position(|earlier| earlier == column) {
                let column = column.map_or("", |column| column);
                anyhow::bail!("{} and {} both name the column '{column}'", names[other], names[at]);
            }
        }
        Ok(())
    }

    fn source(&self) -> Source {
        match &self.ratings {
            None => Source::Folder(self.data.clone()),
            Some(path) => Source::File {
                path: path.clone(),
                columns: ColumnNames {
                    user: self.user.clone(),
                    item: self.item.clone(),
                    rating: self.rating.clone(),
                    timestamp: self.timestamp.clone(),
                },
            },
        }
    }

    /// Reads the ratings.
    pub fn read(&self) -> Result<MovieLens> {
        MovieLens::load(&self.source(), self.rating_range)
    }

    /// Which of them are held out.
    pub fn split(&self) -> SplitBy {
        match self.split {
            Way::Random => SplitBy::Random { seed: self.split_seed },
            Way::Time => SplitBy::Time,
            Way::User => SplitBy::User { seed: self.split_seed },
        }
    }

    /// The options that differ from the lecture's, as a command line has them.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
        if let Some(path) = &self.ratings {
            add("--ratings", path.into());
            add("--user", (&self.user).into());
            add("--item", (&self.item).into());
            add("--rating", (&self.rating).into());
            if let Some(time) = &self.timestamp {
                add("--timestamp", time.into());
            }
        } else if self.data.as_path() != Path::new(LECTURES) {
            add("--data", (&self.data).into());
        }
        if let Some((low, high)) = self.rating_range {
            add("--rating-range", format!("{low}:{high}").into());
        }
        match self.split() {
            SplitBy::LECTURE => {}
            SplitBy::Random { seed } => add("--split-seed", seed.to_string().into()),
            SplitBy::Time => add("--split", "time".into()),
            SplitBy::User { seed } => {
                add("--split", "user".into());
                add("--split-seed", seed.to_string().into());
            }
        }
        arguments
    }

    /// What was named: the folder or the file.
    pub fn shown(&self) -> String {
        self.ratings.as_ref().unwrap_or(&self.data).display().to_string()
    }
}
