//! The data: MovieLens' files → ids → the split. Never sees a tensor.
//!
//! Lecture: "Movie Lens", "Create subset for Excel", "Get a validation indexes", "Prepare the data".

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use rand_mt::Mt;
use sha2::{Digest, Sha256};

/// The lecture's columns of ratings.csv, with their types.
const RATINGS: [(&str, DataType); 4] = [
    ("userId", DataType::Int64),
    ("movieId", DataType::Int64),
    ("rating", DataType::Float64),
    ("timestamp", DataType::Int64),
];
const MOVIES: [(&str, DataType); 3] =
    [("movieId", DataType::Int64), ("title", DataType::String), ("genres", DataType::String)];

/// Which publication of the data a file is; the lecture's numbers belong to one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// ml-latest-small as of October 2016, on which the lecture was run.
    Lecture2016,
    /// ml-latest-small as of September 2018, which GroupLens serves today under the same name.
    Small2018,
    /// Anything else.
    Other,
}

impl Snapshot {
    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Snapshot::Lecture2016 => "ml-latest-small of 2016, the lecture's data",
            Snapshot::Small2018 => "ml-latest-small of 2018, not the lecture's data",
            Snapshot::Other => "not a data set known here, so not the lecture's",
        }
    }

    /// The file's checksum tells the lecture's data; the 2018 one is told by its counts.
    fn recognise(sha256: &str, ratings: usize, users: usize, movies: usize) -> Snapshot {
        if sha256 == LECTURE_SHA256 {
            Snapshot::Lecture2016
        } else if (ratings, users, movies) == (100_836, 610, 9_724) {
            Snapshot::Small2018
        } else {
            Snapshot::Other
        }
    }
}

/// SHA-256 of the 2016 ratings.csv with Unix line ends.
pub const LECTURE_SHA256: &str = "b4239649fbf90ebf405c56c3ae1d929d9e7c86fc1a3a80cbef1c884df593ef73";

/// The two tables of a MovieLens folder.
#[derive(Debug, Clone)]
pub struct MovieLens {
    /// userId, movieId, rating, timestamp: one row a rating, in file order.
    pub ratings: DataFrame,
    /// movieId, title, genres; `None` where the folder has no movies.csv.
    pub movies: Option<DataFrame>,
    /// Which publication this is.
    pub snapshot: Snapshot,
    /// SHA-256 of ratings.csv (line ends taken as `\n`), in hexadecimal.
    pub sha256: String,
}

impl MovieLens {
    /// Reads `ratings.csv` and, where it exists, `movies.csv` of a folder: the lecture's `pd.read_csv`.
    ///
    /// # Errors
    /// A file that is missing, is no such table, or has a row that cannot be read: with file and line.
    pub fn read(folder: &Path) -> Result<MovieLens> {
        ensure!(
            folder.is_dir(),
            "{}: no such folder; --data takes the folder that holds ratings.csv",
            folder.display()
        );
        let path = folder.join("ratings.csv");
        let bytes = without_carriage_returns(read_file(&path)?);
        let sha256 = hex(&Sha256::digest(&bytes));
        let ratings = read_table(&path, bytes, &RATINGS)?;
        check_ratings(&path, &ratings)?;
        let movies = folder.join("movies.csv");
        let movies = if movies.exists() {
            let bytes = without_carriage_returns(read_file(&movies)?);
            Some(read_table(&movies, bytes, &MOVIES)?)
        } else {
            None
        };
        let snapshot = Snapshot::recognise(
            &sha256,
            ratings.height(),
            ratings.column("userId")?.n_unique()?,
            ratings.column("movieId")?.n_unique()?,
        );
        Ok(MovieLens { ratings, movies, snapshot, sha256 })
    }

    /// Whether the lecture's numbers can be expected of it.
    pub fn is_the_lectures(&self) -> bool {
        self.snapshot == Snapshot::Lecture2016
    }

    /// movieId → title, of the movies that have one.
    pub fn titles(&self) -> Result<HashMap<i64, String>> {
        let Some(movies) = &self.movies else { return Ok(HashMap::new()) };
        let (ids, titles) = (movies.column("movieId")?.i64()?, movies.column("title")?.str()?);
        Ok(ids.iter().zip(titles.iter()).filter_map(|(id, title)| Some((id?, title?.to_owned()))).collect())
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn without_carriage_returns(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.contains(&b'\r') {
        bytes.retain(|&b| b != b'\r');
    }
    bytes
}

/// What Windows programs put in front of UTF-8 text.
const BYTE_ORDER_MARK: char = '\u{feff}';

fn column_names(header: &str) -> Vec<&str> {
    header.trim_start_matches(BYTE_ORDER_MARK).split(',').map(|name| name.trim_matches('"')).collect()
}

/// Parses a CSV whose first columns are those of `columns`; others may follow and are dropped.
fn read_table(path: &Path, mut bytes: Vec<u8>, columns: &[(&str, DataType)]) -> Result<DataFrame> {
    while bytes.ends_with(b"\n\n") {
        bytes.pop();
    }
    let header =
        String::from_utf8_lossy(bytes.split(|&b| b == b'\n').next().unwrap_or_default()).into_owned();
    let names = column_names(&header);
    for (name, _) in columns {
        ensure!(
            names.contains(name),
            "{} line 1: no column '{name}'; expected {}, found '{header}'",
            path.display(),
            columns.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(",")
        );
    }
    let schema = Schema::from_iter(columns.iter().map(|(n, t)| Field::new((*n).into(), t.clone())));
    let table = CsvReadOptions::default()
        .with_has_header(true)
        .with_infer_schema_length(Some(0))
        .with_schema_overwrite(Some(Arc::new(schema)))
        .with_columns(Some(columns.iter().map(|(n, _)| (*n).into()).collect()))
        .into_reader_with_file_handle(Cursor::new(bytes))
        .finish();
    let table = match table {
        Ok(table) => table,
        Err(error) => match first_bad_line(path, columns) {
            Some((line, why)) => bail!("{} line {line}: {why}", path.display()),
            None => {
                bail!("{}: {}", path.display(), error.to_string().lines().next().unwrap_or("cannot be read"))
            }
        },
    };
    ensure!(table.height() > 0, "{}: a header and no rows", path.display());
    Ok(table)
}

/// Where a table goes wrong: the line's number and what is wrong with it. Reads the file again, since
/// that is needed only where it is refused.
fn first_bad_line(path: &Path, columns: &[(&str, DataType)]) -> Option<(usize, String)> {
    let mut lines = BufReader::new(File::open(path).ok()?).lines();
    let header = lines.next()?.ok()?;
    let names = column_names(&header);
    for (at, line) in lines.enumerate().map(|(at, line)| (at + 2, line)) {
        let Ok(line) = line else { return Some((at, "not UTF-8 text".to_owned())) };
        if line.is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() < names.len() {
            return Some((at, format!("{} of {} fields: '{line}'", fields.len(), names.len())));
        }
        for (name, kind) in columns {
            let Some(field) = names.iter().position(|n| n == name).map(|i| fields[i]) else { continue };
            let wrong = match kind {
                _ if field.is_empty() => return Some((at, format!("no {name}"))),
                DataType::Int64 => field.parse::<i64>().is_err().then_some("whole number"),
                DataType::Float64 => field.parse::<f64>().is_err().then_some("number"),
                _ => None,
            };
            if let Some(wanted) = wrong {
                return Some((at, format!("{name} '{field}' is not a {wanted}")));
            }
        }
    }
    None
}

/// Every field is there, and every rating finite.
fn check_ratings(path: &Path, ratings: &DataFrame) -> Result<()> {
    for (name, _) in &RATINGS {
        if ratings.column(name)?.null_count() > 0 {
            match first_bad_line(path, &RATINGS) {
                Some((line, why)) => bail!("{} line {line}: {why}", path.display()),
                None => bail!("{}: some rows have no {name}", path.display()),
            }
        }
    }
    let values = ratings.column("rating")?.f64()?;
    if let Some((row, value)) = values.iter().flatten().enumerate().find(|(_, v)| !(*v as f32).is_finite()) {
        bail!(
            "{} line {}: rating '{value:e}' is not a finite number of single precision",
            path.display(),
            row + 2
        );
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A mapping from ids with gaps to contiguous indices, in the order in which the ids first appear: the
/// lecture's `{o:i for i,o in enumerate(ratings.userId.unique())}`. An embedding is a table looked up by
/// row number, so its ids must not skip any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    ids: Vec<i64>,
    index: HashMap<i64, i64>,
}

impl Ids {
    /// Maps the distinct values of a column.
    pub fn new(column: impl IntoIterator<Item = i64>) -> Ids {
        let mut out = Ids::default();
        for id in column {
            let next = out.ids.len() as i64;
            if let std::collections::hash_map::Entry::Vacant(free) = out.index.entry(id) {
                free.insert(next);
                out.ids.push(id);
            }
        }
        out
    }

    /// How many there are: the lecture's `nunique()`.
    pub fn len(&self) -> i64 {
        self.ids.len() as i64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The index of an id.
    pub fn index(&self, id: i64) -> Option<i64> {
        self.index.get(&id).copied()
    }

    /// The id at an index.
    pub fn id(&self, index: i64) -> Option<i64> {
        usize::try_from(index).ok().and_then(|i| self.ids.get(i)).copied()
    }

    /// The index of an id given as text, as a person types it or a file keeps it.
    pub fn find(&self, id: &str) -> Option<i64> {
        self.index(id.trim().parse().ok()?)
    }

    /// The id at an index as text: what [`Ids::find`] takes. Empty where there is none.
    pub fn name(&self, index: i64) -> String {
        self.id(index).map(|id| id.to_string()).unwrap_or_default()
    }

    /// The ids in index order.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }
}

/// What the models are trained on: contiguous indices and ratings, in file order. fastai's
/// `CollabFilterDataset`.
#[derive(Debug, Clone)]
pub struct CollabFilterDataset {
    /// userId ↔ index.
    pub users: Ids,
    /// movieId ↔ index.
    pub items: Ids,
    /// One [user index, movie index] a rating.
    pub cats: Vec<[i64; 2]>,
    /// The ratings, in stars.
    pub y: Vec<f32>,
}

impl CollabFilterDataset {
    /// The lecture's `CollabFilterDataset.from_csv(path, 'ratings.csv', 'userId', 'movieId', 'rating')`, from
    /// the table already read.
    pub fn from_data_frame(ratings: &DataFrame, user: &str, item: &str, rating: &str) -> Result<Self> {
        let (user, item) = (ratings.column(user)?.i64()?, ratings.column(item)?.i64()?);
        let users = Ids::new(user.iter().flatten());
        let items = Ids::new(item.iter().flatten());
        let cats = user
            .iter()
            .flatten()
            .zip(item.iter().flatten())
            .map(|(u, m)| [users.index[&u], items.index[&m]])
            .collect();
        let y = ratings.column(rating)?.f64()?.iter().flatten().map(|r| r as f32).collect();
        Ok(CollabFilterDataset { users, items, cats, y })
    }

    /// Number of ratings.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// Lowest and highest rating, in stars: the lecture's `min_rating,max_rating`.
    pub fn range(&self) -> (f64, f64) {
        let (low, high) =
            self.y.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &r| (l.min(r), h.max(r)));
        (f64::from(low), f64::from(high))
    }
}

/// fastai's `get_cv_idxs(n)`: the rows held out for validation, as NumPy draws them with
/// `np.random.seed(seed); np.random.permutation(n)[:int(val_pct*n)]`.
///
/// The lecture's call is `get_cv_idxs(len(ratings))`, that is seed 42 and a fifth of the rows.
pub fn get_cv_idxs(n: usize, val_pct: f64, seed: u32) -> Vec<usize> {
    let mut rows = numpy_permutation(n, seed);
    rows.truncate((val_pct * n as f64) as usize);
    rows
}

/// `np.random.RandomState(seed).permutation(n)`: MT19937, a Fisher-Yates shuffle from the end, each index
/// drawn by masked rejection on 32-bit outputs (NumPy's legacy generator).
fn numpy_permutation(n: usize, seed: u32) -> Vec<usize> {
    let mut generator = Mt::new(seed);
    let mut rows: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let mask = (last as u32 + 1).next_power_of_two() - 1;
        let at = loop {
            let drawn = generator.next_u32() & mask;
            if drawn <= last as u32 {
                break drawn as usize;
            }
        };
        rows.swap(last, at);
    }
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
        let (val, trn) = (0..n).partition(|&row| held_out[row]);
        Split { trn, val }
    }
}

/// The ids that occur most often in a column, busiest first, and how often: the lecture's
/// `ratings.groupby('userId')['rating'].count().sort_values(ascending=False)[:n]`. Ties go to the lower id.
pub fn busiest(ratings: &DataFrame, column: &str, n: usize) -> Result<Vec<(i64, usize)>> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for id in ratings.column(column)?.i64()?.iter().flatten() {
        *counts.entry(id).or_default() += 1;
    }
    let mut sorted: Vec<(i64, usize)> = counts.into_iter().collect();
    sorted.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    sorted.truncate(n);
    Ok(sorted)
}
