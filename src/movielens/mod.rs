//! The data: any table of ratings → ids → the split. Never sees a tensor.
//!
//! Lecture: "Movie Lens", "Create subset for Excel", "Get a validation indexes", "Prepare the data".

pub mod columns;
mod ids;
pub mod parquet;
mod split;
pub mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::system::memory;
use columns::{Holds, Wanted};
pub use ids::{CollabFilterDataset, Id, Ids, busiest};
pub use split::{LECTURE_SEED, Split, SplitBy, get_cv_idxs};
use text::Dialect;

/// Where the lecture's data is in this project.
pub const LECTURES: &str = "data/ml-latest-small";

/// Where ratings are read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A MovieLens folder, old or new: with ratings.csv, ratings.dat or u.data.
    Folder(PathBuf),
    /// Any file of ratings.
    File {
        /// Where it is.
        path: PathBuf,
        /// What its columns are called.
        columns: ColumnNames,
    },
}

impl Source {
    /// The folder or the file.
    pub fn path(&self) -> &Path {
        match self {
            Source::Folder(path) | Source::File { path, .. } => path,
        }
    }
}

/// The columns of somebody's ratings: their names or, in a text file without a header, their numbers,
/// counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnNames {
    /// Who rated.
    pub user: String,
    /// What was rated.
    pub item: String,
    /// How.
    pub rating: String,
    /// When, as a whole number that grows with time.
    pub timestamp: Option<String>,
}

impl Default for ColumnNames {
    /// MovieLens' own.
    fn default() -> ColumnNames {
        let [user, item, rating] = ["userId", "movieId", "rating"].map(str::to_owned);
        ColumnNames { user, item, rating, timestamp: None }
    }
}

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
    /// What a person calls it.
    pub fn name(self) -> String {
        match self {
            Snapshot::Lecture2016 => "ml-latest-small of 2016, the lecture's data".to_owned(),
            Snapshot::Small2018 => "ml-latest-small of 2018, not the lecture's data".to_owned(),
            Snapshot::MovieLens(name) => format!("MovieLens {name}, not the lecture's data"),
            Snapshot::Other => "not a data set known here, so not the lecture's".to_owned(),
        }
    }

    /// The file's checksum tells the lecture's data; others are told by their counts.
    fn recognise(sha256: &str, ratings: &DataFrame) -> Result<Snapshot> {
        if sha256 == LECTURE_SHA256 {
            return Ok(Snapshot::Lecture2016);
        }
        for (n_ratings, users, movies, snapshot) in KNOWN {
            if ratings.height() == n_ratings
                && ratings.column("userId")?.n_unique()? == users
                && ratings.column("movieId")?.n_unique()? == movies
            {
                return Ok(snapshot);
            }
        }
        Ok(Snapshot::Other)
    }
}

/// SHA-256 of the 2016 ratings.csv with Unix line ends.
pub const LECTURE_SHA256: &str = "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73";

/// Ratings, users and rated movies, as the README of each data set states them.
const KNOWN: [(usize, usize, usize, Snapshot); 7] = [
    (100_836, 610, 9_724, Snapshot::Small2018),
    (100_000, 943, 1_682, Snapshot::MovieLens("100K")),
    (1_000_209, 6_040, 3_706, Snapshot::MovieLens("1M")),
    (10_000_054, 69_878, 10_677, Snapshot::MovieLens("10M")),
    (20_000_263, 138_493, 26_744, Snapshot::MovieLens("20M")),
    (25_000_095, 162_541, 59_047, Snapshot::MovieLens("25M")),
    (32_000_204, 200_948, 84_432, Snapshot::MovieLens("32M")),
];

/// The files of a MovieLens folder, the newest kind first: ratings and movies, and how each is written down.
const FOLDERS: [[(&str, Dialect); 2]; 3] = [
    [("ratings.csv", Dialect::CSV), ("movies.csv", Dialect::CSV)],
    [("ratings.dat", Dialect::DOUBLE_COLON), ("movies.dat", Dialect::DOUBLE_COLON)],
    [("u.data", Dialect::TABS), ("u.item", Dialect::BARS)],
];

/// The genres that the last columns of ml-100k's u.item stand for.
const GENRES_100K: [&str; 19] = [
    "(no genres listed)",
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// The tables of a data set, under the lecture's names.
#[derive(Debug, Clone)]
pub struct MovieLens {
    /// userId, movieId, rating and, where the data has it, timestamp: one row a rating, in file order. Ids
    /// are whole numbers (int64) or text.
    pub ratings: DataFrame,
    /// movieId, title, genres; `None` where there is no such table.
    pub movies: Option<DataFrame>,
    /// Which publication this is.
    pub snapshot: Snapshot,
    /// Where they were read from.
    pub source: Source,
    /// The file of ratings.
    pub file: PathBuf,
    /// Its SHA-256 (line ends of text taken as `\n`), in hexadecimal.
    pub sha256: String,
    /// Lowest and highest rating that can be given, where they were stated.
    pub scale: Option<(f64, f64)>,
}

impl MovieLens {
    /// Reads a MovieLens folder: the lecture's `pd.read_csv`.
    ///
    /// # Errors
    /// As [`MovieLens::load`].
    pub fn read(folder: &Path) -> Result<MovieLens> {
        MovieLens::load(&Source::Folder(folder.to_owned()), None)
    }

    /// Reads ratings and, where the folder has them, movies.
    ///
    /// # Errors
    /// A file that is missing, is no such table, or has a row that cannot be read, with file and line; ratings
    /// outside `scale`.
    pub fn load(source: &Source, scale: Option<(f64, f64)>) -> Result<MovieLens> {
        let (file, columns, dialect, titles) = match source {
            Source::Folder(folder) => {
                let [ratings, movies] = files_of(folder)?;
                let by_number = ["1", "2", "3", "4"];
                let by_name = ["userId", "movieId", "rating", "timestamp"];
                let [user, item, rating, time] = if ratings.1.header { by_name } else { by_number };
                let titles = Some((folder.join(movies.0), movies.1));
                (
                    folder.join(ratings.0),
                    [user, item, rating, time].map(str::to_owned),
                    Some(ratings.1),
                    titles,
                )
            }
            Source::File { path, columns: ColumnNames { user, item, rating, timestamp } } => {
                // Without a name for it there is no column of times; no column's name is empty.
                let time = timestamp.clone().unwrap_or_default();
                (path.clone(), [user.clone(), item.clone(), rating.clone(), time], None, None)
            }
        };
        let optional_time = match source {
            Source::Folder(_) => true,
            Source::File { columns, .. } => columns.timestamp.is_none(),
        };
        let [user, item, rating, time] = &columns;
        let want = |column, name, holds| Wanted { column, name, holds, optional: false };
        let wanted = [
            want(user, "userId", Holds::Ids),
            want(item, "movieId", Holds::Ids),
            want(rating, "rating", Holds::Ratings(scale)),
            Wanted { optional: optional_time, ..want(time, "timestamp", Holds::Times) },
        ];
        let bytes = read_file(&file)?;
        let sha256 = sha256_of_lines(&bytes);
        let any_kind = matches!(source, Source::File { .. });
        let ratings = match any_kind && parquet::is_parquet(&bytes) {
            true => parquet::read(&file, bytes, &wanted)?,
            false => text::read(&file, &text::decode(&file, bytes)?, dialect, &wanted)?,
        };
        let movies = match titles {
            Some((path, dialect)) if path.exists() => Some(read_movies(&path, dialect)?),
            _ => None,
        };
        let snapshot = Snapshot::recognise(&sha256, &ratings)?;
        Ok(MovieLens { ratings, movies, snapshot, source: source.clone(), file, sha256, scale })
    }

    /// Whether the lecture's numbers can be expected of it.
    pub fn is_the_lectures(&self) -> bool {
        self.snapshot == Snapshot::Lecture2016
    }

    /// The name of the file of ratings.
    pub fn file_name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Tells data, its scale and its split from others: for the lecture's, the checksum alone.
    pub fn id(&self, split: SplitBy) -> String {
        let mut id = self.sha256.clone();
        if split != SplitBy::LECTURE {
            id += &format!(", split {split}");
        }
        if let Some((low, high)) = self.scale {
            id += &format!(", ratings {low} to {high}");
        }
        id
    }

    /// The ratings with contiguous ids, to train on.
    ///
    /// # Errors
    /// The ratings are all the same, and no scale is stated.
    pub fn dataset(&self) -> Result<CollabFilterDataset> {
        check_that_ratings_differ(&self.file, &self.ratings, self.scale)?;
        let cf = CollabFilterDataset::from_data_frame(&self.ratings, "userId", "movieId", "rating")?;
        Ok(cf.on_scale(self.scale))
    }

    /// When each rating was given, where the data says it.
    pub fn times(&self) -> Option<Vec<i64>> {
        Some(self.ratings.column("timestamp").ok()?.i64().ok()?.iter().flatten().collect())
    }

    /// The title of each movie in index order; `None` where it has none.
    pub fn titles_of(&self, items: &Ids) -> Result<Vec<Option<String>>> {
        let titles = self.titles()?;
        Ok((0..items.len()).map(|index| titles.get(&items.name(index)).cloned()).collect())
    }

    /// movieId, as text, → title, of the movies that have one.
    pub fn titles(&self) -> Result<HashMap<String, String>> {
        let Some(movies) = &self.movies else { return Ok(HashMap::new()) };
        let (ids, rows) = Ids::map(movies.column("movieId")?)?;
        let titles = rows.into_iter().zip(movies.column("title")?.str()?.iter());
        let named = titles.filter_map(|(row, title)| Some((ids.name(row), title?.to_owned())));
        Ok(named.filter(|(_, title)| !title.is_empty()).collect())
    }
}

/// The first kind of folder that this one is.
fn files_of(folder: &Path) -> Result<[(&'static str, Dialect); 2]> {
    let shown = folder.display();
    if folder.is_file() {
        bail!("{shown}: a file, and --data takes a folder; for a file of ratings take --ratings");
    }
    ensure!(folder.is_dir(), "{shown}: no such folder; --data takes the folder that holds ratings.csv");
    let known = FOLDERS.iter().find(|[ratings, _]| folder.join(ratings.0).exists());
    known.copied().with_context(|| {
        format!(
            "{shown}: a folder without ratings.csv, ratings.dat or u.data; --data takes a MovieLens folder, \
             --ratings any file of ratings"
        )
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    ensure!(!path.is_dir(), "{}: a folder, where a file is expected", path.display());
    let unread = || format!("{}: cannot be read", path.display());
    memory::check_file(path, std::fs::metadata(path).with_context(unread)?.len())?;
    std::fs::read(path).with_context(unread)
}

/// Ratings that never differ teach nothing, and leave no range to squash predictions into.
fn check_that_ratings_differ(path: &Path, ratings: &DataFrame, scale: Option<(f64, f64)>) -> Result<()> {
    let values = ratings.column("rating")?.f64()?;
    if let (None, Some(first)) = (scale, values.get(0))
        && values.iter().flatten().all(|rating| rating == first)
        && values.len() > 1
    {
        bail!(
            "{}: all {} ratings are {first}, so that their range is nothing; state the range in which they \
             could have been with --rating-range LOW:HIGH",
            path.display(),
            values.len()
        );
    }
    Ok(())
}

/// The movies' ids, titles and genres.
fn read_movies(path: &Path, dialect: Dialect) -> Result<DataFrame> {
    let want = |column, name, holds| Wanted { column, name, holds, optional: false };
    let text = text::decode(path, read_file(path)?)?;
    if dialect != Dialect::BARS {
        let [id, title, genres] =
            if dialect.header { ["movieId", "title", "genres"] } else { ["1", "2", "3"] };
        let wanted = [
            want(id, "movieId", Holds::Ids),
            want(title, "title", Holds::Words),
            Wanted { optional: true, ..want(genres, "genres", Holds::Words) },
        ];
        return text::read(path, &text, Some(dialect), &wanted);
    }
    // u.item: number, title, two dates, an address, and a 1 in the column of each genre.
    let flags: Vec<String> = (6..6 + GENRES_100K.len()).map(|column| column.to_string()).collect();
    let mut wanted = vec![want("1", "movieId", Holds::Ids), want("2", "title", Holds::Words)];
    wanted.extend(flags.iter().zip(GENRES_100K).map(|(flag, genre)| want(flag, genre, Holds::Words)));
    let table = text::read(path, &text, Some(dialect), &wanted)?;
    let mut genres = vec![Vec::new(); table.height()];
    for genre in GENRES_100K {
        for (row, flag) in genres.iter_mut().zip(table.column(genre)?.str()?.iter()) {
            if flag == Some("1") {
                row.push(genre);
            }
        }
    }
    let genres: Vec<String> = genres.into_iter().map(|genres| genres.join("|")).collect();
    let mut movies = table.select(["movieId", "title"])?;
    movies.with_column(Column::new("genres".into(), genres))?;
    Ok(movies)
}

/// SHA-256 of a text with Unix line ends.
fn sha256_of_lines(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\r', rest) {
        digest.update(&rest[..end]);
        rest = &rest[end + 1..];
    }
    digest.update(rest);
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
