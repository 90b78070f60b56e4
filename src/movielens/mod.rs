//! The data: any table of ratings → ids → the split. Never sees a tensor.
//!
//! Lecture: "Movie Lens", "Create subset for Excel", "Get a validation indexes", "Prepare the data".

pub mod columns;
pub mod dialect;
mod escapes;
pub mod file;
mod ids;
pub mod own;
pub mod parquet;
pub mod shown;
mod snapshot;
mod source;
mod split;
pub mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use sha2::{Digest, Sha256};

use columns::{ColumnKind, ColumnSpec};
pub use dialect::{Dialect, Quote};
pub use ids::{CollabFilterDataset, Id, Ids};
pub use snapshot::{LECTURE_SHA256, Snapshot};
pub use source::{ColumnNames, FileOptions, LECTURES, Source};
pub use split::{LECTURE_SEED, Split, SplitBy, get_cv_idxs};
use text::Text;

/// The files of a MovieLens folder, the newest kind first: ratings and movies, and what separates their fields.
const FOLDERS: [[(&str, &str); 2]; 3] = [
    [("ratings.csv", ","), ("movies.csv", ",")],
    [("ratings.dat", "::"), ("movies.dat", "::")],
    [("u.data", "\t"), ("u.item", "|")],
];

/// The dialect of a file in such a folder.
fn dialect_of(separator: &str) -> Dialect {
    if separator == "," { Dialect::csv() } else { Dialect::old(separator) }
}

/// The genres of the last columns of ml-100k's u.item.
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
    /// userId, movieId, rating and, if the data has it, timestamp: one row per rating, in file order. Ids are whole
    /// numbers (int64) or text.
    pub ratings: DataFrame,
    /// movieId, title, genres; `None` if there is no such table.
    pub movies: Option<DataFrame>,
    /// Which publication this is.
    pub snapshot: Snapshot,
    /// Where they were read from.
    pub source: Source,
    /// The file of ratings.
    pub file: PathBuf,
    /// Its SHA-256 (line ends of text taken as `\n`), in hexadecimal.
    pub sha256: String,
    /// Lowest and highest possible rating, if they were stated.
    pub scale: Option<(f64, f64)>,
    /// What the user should know of how the files were read.
    pub notes: Vec<String>,
}

impl MovieLens {
    /// Reads a MovieLens folder: the lecture's `pd.read_csv`.
    ///
    /// # Errors
    /// As [`MovieLens::load`].
    pub fn read(folder: &Path) -> Result<MovieLens> {
        MovieLens::load(&Source::Folder(folder.to_owned()), None)
    }

    /// Reads ratings and, if there are any, titles.
    ///
    /// # Errors
    /// A file is missing, is not such a table, or has a row that cannot be read (the error names file and line); or a
    /// rating is outside `scale`.
    pub fn load(source: &Source, scale: Option<(f64, f64)>) -> Result<MovieLens> {
        let mut notes = Vec::new();
        let (file, names, options, movies) = match source {
            Source::Folder(folder) => {
                let [ratings, movies] = files_of(folder)?;
                let dialect = dialect_of(ratings.1);
                let by_name = ["userId", "movieId", "rating", "timestamp"].map(str::to_owned);
                let by_number = ["1", "2", "3", "4"].map(str::to_owned);
                let [user, item, rating, time] =
                    if dialect.header == Some(true) { by_name } else { by_number };
                let names = ColumnNames { user, item, rating, timestamp: Some(time) };
                let path = folder.join(movies.0);
                let movies =
                    if path.is_file() { Some(movies_of(&path, movies.1, &mut notes)?) } else { None };
                (folder.join(ratings.0), names, FileOptions { dialect, ..FileOptions::default() }, movies)
            }
            Source::File { path, columns, options } => {
                let movies =
                    options.titles.as_ref().map(|path| titles_of(path, columns, options, &mut notes));
                (path.clone(), columns.clone(), options.clone(), movies.transpose()?)
            }
        };
        let want = |column, name, holds| ColumnSpec { column, name, holds, optional: false };
        let mut wanted = vec![
            want(&names.user, "userId", ColumnKind::Ids),
            want(&names.item, "movieId", ColumnKind::Ids),
            want(&names.rating, "rating", ColumnKind::Ratings(scale)),
        ];
        if let Some(time) = &names.timestamp {
            let optional = matches!(source, Source::Folder(_));
            wanted.push(ColumnSpec { optional, ..want(time, "timestamp", ColumnKind::Times) });
        }
        let (ratings, sha256) =
            read_table(&file, &options.dialect, &wanted, options.missing.as_deref(), &mut notes)?;
        ensure!(ratings.height() > 0, "{}: none of its rows has a rating", file.display());
        let snapshot = Snapshot::recognize(&sha256, &ratings)?;
        let ml = MovieLens { ratings, movies, snapshot, source: source.clone(), file, sha256, scale, notes };
        ml.with_titles_that_belong()
    }

    /// The same, without the titles if none of them belongs to a rated movie.
    fn with_titles_that_belong(mut self) -> Result<MovieLens> {
        let titles = self.titles()?;
        if titles.is_empty() {
            return Ok(self);
        }
        let ids = self.ratings.column("movieId")?;
        let belong = match ids.dtype() {
            DataType::Int64 => ids.i64()?.iter().flatten().any(|id| titles.contains_key(&id.to_string())),
            _ => ids.str()?.iter().flatten().any(|id| titles.contains_key(id)),
        };
        if !belong {
            let file = self.file.display();
            self.notes.push(format!(
                "none of the {} titles belongs to a movie in {file}: they are left out",
                titles.len()
            ));
            self.movies = None;
        }
        Ok(self)
    }

    /// Whether the lecture's numbers can be expected of it.
    pub fn is_the_lectures(&self) -> bool {
        self.snapshot == Snapshot::Lecture2016
    }

    /// The name of the file of ratings.
    pub fn file_name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Identifies the data, its scale and its split; for the lecture's, the checksum alone.
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

    /// The ratings' rows, split.
    ///
    /// # Errors
    /// The ratings cannot be split this way.
    pub fn split(&self, cf: &CollabFilterDataset, by: SplitBy) -> Result<Split> {
        let times = if let SplitBy::Random { .. } = by { None } else { self.times() };
        Ok(Split::new(cf.len(), &by.val_idxs(cf, times.as_deref())?))
    }

    /// When each rating was given, if the data states it.
    pub fn times(&self) -> Option<Vec<i64>> {
        Some(self.ratings.column("timestamp").ok()?.i64().ok()?.iter().flatten().collect())
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

/// The first kind of folder that this one matches.
fn files_of(folder: &Path) -> Result<[(&'static str, &'static str); 2]> {
    let shown = folder.display();
    if folder.is_file() {
        bail!("{shown}: a file, and --data takes a folder; for a file of ratings take --ratings");
    }
    ensure!(folder.is_dir(), "{shown}: no such folder; --data takes the folder that holds ratings.csv");
    // A pipe or a device of that name is not opened; a folder is refused by its name.
    let is_there = |file: &str| folder.join(file).is_file() || folder.join(file).is_dir();
    let known = FOLDERS.iter().find(|[ratings, _]| is_there(ratings.0));
    known.copied().with_context(|| {
        format!(
            "{shown}: a folder without ratings.csv, ratings.dat or u.data; --data takes a MovieLens folder, \
             --ratings any file of ratings"
        )
    })
}

/// The table in a file of any kind, and the file's SHA-256 (line ends of text taken as `\n`), in hexadecimal.
fn read_table(
    path: &Path,
    dialect: &Dialect,
    wanted: &[ColumnSpec],
    missing: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(DataFrame, String)> {
    let bytes = file::bytes(path)?;
    let sha256 = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    if dialect.separator.is_none() && parquet::is_parquet(&bytes) {
        let (table, faults) = parquet::read(path, &bytes, wanted, missing)?;
        notes.extend(faults.into_iter().map(|fault| fault + ": that column is left out"));
        return Ok((table, sha256(&bytes)));
    }
    let (text, latin_1) = file::text(path, bytes)?;
    if latin_1 && dialect.header != Some(false) {
        notes.push(format!("{}: read as Latin-1, since it is not UTF-8", path.display()));
    }
    std::thread::scope(|scope| {
        let sha256 = scope.spawn(|| sha256(text.as_bytes()));
        let (table, faults) = Text::new(path, &text, dialect, wanted)?.read(path, wanted, missing)?;
        notes.extend(faults.into_iter().map(|fault| fault + ": that column is left out"));
        Ok((table, sha256.join().unwrap_or_default()))
    })
}

/// Ratings that never differ teach nothing, and leave no range to squash predictions into.
fn check_that_ratings_differ(path: &Path, ratings: &DataFrame, scale: Option<(f64, f64)>) -> Result<()> {
    let values = ratings.column("rating")?.f64()?;
    if let (None, Some(first)) = (scale, values.get(0))
        && values.iter().flatten().all(|rating| rating == first)
        && values.len() > 1
    {
        bail!(
            "{}: all {} ratings are {first}, so they have no range; state the range of possible ratings with \
             --rating-range LOW:HIGH",
            path.display(),
            values.len()
        );
    }
    Ok(())
}

/// The ids, titles and genres of a MovieLens folder.
fn movies_of(path: &Path, separator: &str, notes: &mut Vec<String>) -> Result<DataFrame> {
    let want = |column, name, holds| ColumnSpec { column, name, holds, optional: false };
    let dialect = dialect_of(separator);
    if separator != "|" {
        let [id, title, genres] = match dialect.header {
            Some(true) => ["movieId", "title", "genres"],
            _ => ["1", "2", "3"],
        };
        let wanted = [
            want(id, "movieId", ColumnKind::Ids),
            want(title, "title", ColumnKind::Words),
            ColumnSpec { optional: true, ..want(genres, "genres", ColumnKind::Words) },
        ];
        return Ok(read_table(path, &dialect, &wanted, None, notes)?.0);
    }
    // u.item: number, title, two dates, an address, and a 1 in the column of each genre.
    let flags: Vec<String> = (6..6 + GENRES_100K.len()).map(|column| column.to_string()).collect();
    let mut wanted = vec![want("1", "movieId", ColumnKind::Ids), want("2", "title", ColumnKind::Words)];
    wanted.extend(flags.iter().zip(GENRES_100K).map(|(flag, genre)| want(flag, genre, ColumnKind::Words)));
    let (table, _) = read_table(path, &dialect, &wanted, None, notes)?;
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

/// Ids and titles of any file: if their columns are not stated, those named as the ratings' column of ids, and title.
fn titles_of(
    path: &Path,
    columns: &ColumnNames,
    options: &FileOptions,
    notes: &mut Vec<String>,
) -> Result<DataFrame> {
    let usual = (columns.item.as_str(), "title");
    let (id, title) = options.title_columns.as_ref().map_or(usual, |(id, title)| (id, title));
    let want = |column, name, holds| ColumnSpec { column, name, holds, optional: false };
    let wanted = [want(id, "movieId", ColumnKind::Ids), want(title, "title", ColumnKind::Words)];
    let mut read = read_table(path, &Dialect::default(), &wanted, None, notes);
    // It may be written as the ratings are.
    if read.is_err() && options.dialect != Dialect::default() {
        read = read_table(path, &options.dialect, &wanted, None, notes).or(read);
    }
    Ok(read.context("--titles reads ids and titles, and --title-columns ID,TITLE says where they are")?.0)
}
