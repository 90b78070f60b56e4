//! The options that say which ratings a command works on, and which of them it holds out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::parse::number;
use lecture5::movielens::{
    ColumnNames, Dialect, FileOptions, LECTURE_SEED, LECTURES, MovieLens, Quote, Source, SplitBy,
};
use lecture5::system::failure::complain;

#[derive(Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    /// A MovieLens folder, old or new: with ratings.csv, ratings.dat (ml-1m) or u.data (ml-100k).
    #[arg(long, value_name = "DIR", default_value = LECTURES)]
    data: PathBuf,
    /// Any file of ratings instead: CSV, tab-separated or other text (gzip too), or Parquet. Ids may be text.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    ratings: Option<PathBuf>,
    /// Its column of users: a name or, without a header, a number counted from 1. This holds for the other columns too.
    #[arg(long, value_name = "COL", default_value = "userId", requires = "ratings")]
    user: String,
    #[command(flatten)]
    written: Written,
    /// Its column of times: whole numbers, such as seconds since 1970, or dates.
    #[arg(long, value_name = "COL", requires = "ratings")]
    timestamp: Option<String>,
    /// A file with the titles.
    #[arg(long, value_name = "FILE", requires = "ratings")]
    titles: Option<PathBuf>,
    /// The columns of ids and of titles in it [default: the name in --item, and title].
    #[arg(long, value_name = "ID,TITLE", requires = "titles", value_parser = two_columns)]
    title_columns: Option<(String, String)>,
    /// The lowest and the highest possible rating [default: those in the data].
    #[arg(long, value_name = "LOW:HIGH", value_parser = range, allow_hyphen_values = true)]
    rating_range: Option<(f64, f64)>,
    /// Which fifth of the ratings is held out: a random one (the lecture's way), the last by time, or the last of each
    /// user (a random one of each, if there are no times).
    #[arg(long, value_name = "WAY", default_value = "random")]
    split: Way,
    /// The seed of a random split.
    #[arg(long, value_name = "N", default_value_t = LECTURE_SEED)]
    split_seed: u32,
}

/// How a file of ratings is written: what every command that reads one must know.
#[derive(Args, Clone)]
pub struct Written {
    /// Its column of movies or other items [default: movieId].
    #[arg(long, value_name = "COL", requires = "ratings")]
    pub item: Option<String>,
    /// Its column of ratings [default: rating].
    #[arg(long, value_name = "COL", requires = "ratings")]
    pub rating: Option<String>,
    /// What separates its fields: a character, tab, space (any run of blanks) or :: [default: the first of comma,
    /// tab, semicolon, bar, :: and blanks with which the columns are found].
    #[arg(long, value_name = "CHAR", requires = "ratings", value_parser = separator)]
    separator: Option<String>,
    /// What encloses fields that contain a separator, or none if quotes are only characters [default: "; between
    /// tabs, none, unless entire fields are in quotes].
    #[arg(long, value_name = "CHAR|none", requires = "ratings", value_parser = quote)]
    quote: Option<Quote>,
    /// Whether its first line names the columns [default: yes, unless the options name them by number].
    #[arg(long, value_name = "YES|NO", requires = "ratings", value_parser = yes_or_no)]
    header: Option<bool>,
    /// The value that means "not rated", such as 0 or 99: such rows are left out.
    #[arg(long, value_name = "VALUE", requires = "ratings", allow_hyphen_values = true)]
    pub missing: Option<String>,
}

impl Written {
    /// These options as a dialect.
    pub fn dialect(&self) -> Dialect {
        Dialect { separator: self.separator.clone(), header: self.header, quote: self.quote }
    }

    /// The options that were given, as a command line has them.
    fn options(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let quote = self.quote.map(|quote| match quote {
            Quote::Literal => "none".to_owned(),
            Quote::Around(mark) => mark.to_string(),
        });
        let options = [
            ("--item", self.item.clone()),
            ("--rating", self.rating.clone()),
            ("--separator", self.separator.clone()),
            ("--quote", quote),
            ("--header", self.header.map(|header| if header { "yes" } else { "no" }.to_owned())),
            ("--missing", self.missing.clone()),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value?.into())))
    }
}

fn separator(text: &str) -> Result<String> {
    let named = match text {
        "tab" | "\\t" => "\t",
        "space" => " ",
        "comma" => ",",
        "semicolon" => ";",
        other => other,
    };
    let one = named.len() == 1 && !named.starts_with(['"', '\n', '\r']);
    ensure!(one || named == "::", "'{text}' is not an ASCII character, tab, space or ::");
    Ok(named.to_owned())
}

fn quote(text: &str) -> Result<Quote> {
    match text.chars().collect::<Vec<_>>()[..] {
        [mark] if mark.is_ascii_punctuation() => Ok(Quote::Around(mark)),
        _ if text == "none" => Ok(Quote::Literal),
        _ => anyhow::bail!("'{text}' is neither a character such as \" or ' nor none"),
    }
}

fn yes_or_no(text: &str) -> Result<bool> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => anyhow::bail!("'{text}' is neither yes nor no"),
    }
}

/// ID,TITLE, two columns.
fn two_columns(text: &str) -> Result<(String, String)> {
    match text.split_once(',') {
        Some((id, title)) if !id.is_empty() && !title.is_empty() && id != title => {
            Ok((id.to_owned(), title.to_owned()))
        }
        _ => anyhow::bail!("'{text}' is not ID,TITLE, as in ISBN,Book-Title"),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Random,
    Time,
    User,
}

/// LOW:HIGH, the range of the ratings.
pub fn range(text: &str) -> Result<(f64, f64)> {
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
    /// Checks that the options are consistent.
    ///
    /// # Errors
    /// Two options name the same column.
    pub fn check(&self) -> Result<()> {
        let (item, rating) = (self.item(), self.rating());
        let columns = [Some(&self.user), Some(&item), Some(&rating), self.timestamp.as_ref()];
        let names = ["--user", "--item", "--rating", "--timestamp"];
        for (at, column) in columns.iter().enumerate().filter(|(_, column)| column.is_some()) {
            if let Some(other) = columns[..at].iter().position(|earlier| earlier == column) {
                let column = column.map_or("", |column| column);
                anyhow::bail!("{} and {} both name the column '{column}'", names[other], names[at]);
            }
        }
        Ok(())
    }

    fn item(&self) -> String {
        self.written.item.clone().unwrap_or_else(|| ColumnNames::default().item)
    }

    fn rating(&self) -> String {
        self.written.rating.clone().unwrap_or_else(|| ColumnNames::default().rating)
    }

    fn source(&self) -> Source {
        match &self.ratings {
            None => Source::Folder(self.data.clone()),
            Some(path) => Source::File {
                path: path.clone(),
                columns: ColumnNames {
                    user: self.user.clone(),
                    item: self.item(),
                    rating: self.rating(),
                    timestamp: self.timestamp.clone(),
                },
                options: FileOptions {
                    dialect: self.written.dialect(),
                    missing: self.written.missing.clone(),
                    titles: self.titles.clone(),
                    title_columns: self.title_columns.clone(),
                },
            },
        }
    }

    /// Reads the ratings, and prints notes on how they were read to the standard error.
    pub fn read(&self) -> Result<MovieLens> {
        let ml = MovieLens::load(&self.source(), self.rating_range)?;
        ml.notes.iter().for_each(|note| complain(&format!("note: {note}")));
        Ok(ml)
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
        let mut options: Vec<(&str, OsString)> = Vec::new();
        if let Some(path) = &self.ratings {
            options.extend([("--ratings", path.into()), ("--user", (&self.user).into())]);
            options.extend(self.timestamp.iter().map(|time| ("--timestamp", time.into())));
            options.extend(self.titles.iter().map(|titles| ("--titles", titles.into())));
            let columns = self.title_columns.iter();
            options.extend(columns.map(|(id, title)| ("--title-columns", format!("{id},{title}").into())));
            options.extend(self.written.options());
        } else if self.data.as_path() != Path::new(LECTURES) {
            options.push(("--data", (&self.data).into()));
        }
        if let Some((low, high)) = self.rating_range {
            options.push(("--rating-range", format!("{low}:{high}").into()));
        }
        match self.split() {
            SplitBy::LECTURE => {}
            SplitBy::Random { seed } => options.push(("--split-seed", seed.to_string().into())),
            SplitBy::Time => options.push(("--split", "time".into())),
            SplitBy::User { seed } => {
                options.extend([("--split", "user".into()), ("--split-seed", seed.to_string().into())]);
            }
        }
        options.into_iter().flat_map(|(name, value)| [name.into(), value]).collect()
    }

    /// What was named: the folder or the file.
    pub fn shown(&self) -> String {
        self.ratings.as_ref().unwrap_or(&self.data).display().to_string()
    }
}
