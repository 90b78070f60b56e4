//! Where ratings are read from, and what a file of ratings does not state itself.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dialect::Dialect;

/// Where the lecture's data is in this project.
pub const LECTURES: &str = "data/ml-latest-small";

/// Where ratings are read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one in a run")]
pub enum Source {
    /// A MovieLens folder, old or new: with ratings.csv, ratings.dat or u.data.
    Folder(PathBuf),
    /// Any file of ratings.
    File {
        /// Where it is.
        path: PathBuf,
        /// What its columns are called.
        columns: ColumnNames,
        /// What the file does not state itself.
        #[serde(default, rename = "told")]
        options: FileOptions,
    },
}

impl Source {
    /// The folder or the file.
    pub fn path(&self) -> &Path {
        match self {
            Source::Folder(path) | Source::File { path, .. } => path,
        }
    }

    /// The same with a path that is valid from any folder. `None` for the lecture's own data, which is found without a
    /// path, for what is gone once it has been read (a pipe), and for a path that is not text, which JSON cannot hold.
    pub fn where_it_stays(&self) -> Option<Source> {
        let whole = |path: &Path| std::fs::canonicalize(path).ok().filter(|path| path.to_str().is_some());
        match self {
            Source::Folder(path) if path == Path::new(LECTURES) => None,
            Source::Folder(path) => whole(path).map(Source::Folder),
            Source::File { path, .. } if !path.is_file() => None,
            Source::File { path, columns, options } => {
                let titles = options.titles.as_deref().and_then(whole);
                let options = FileOptions { titles, ..options.clone() };
                Some(Source::File { path: whole(path)?, columns: columns.clone(), options })
            }
        }
    }
}

/// The columns of a file of ratings: their names or, in a text file without a header, their numbers, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnNames {
    /// Who rated.
    pub user: String,
    /// What was rated.
    pub item: String,
    /// How.
    pub rating: String,
    /// When: a whole number that grows with time, or a date.
    pub timestamp: Option<String>,
}

/// What a file of ratings does not state itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOptions {
    /// Its dialect, if it is text.
    pub dialect: Dialect,
    /// The value that means "not rated": such rows are left out.
    pub missing: Option<String>,
    /// A table of titles.
    pub titles: Option<PathBuf>,
    /// Its columns of ids and of titles.
    pub title_columns: Option<(String, String)>,
}

impl Default for ColumnNames {
    /// MovieLens' own.
    fn default() -> ColumnNames {
        let [user, item, rating] = ["userId", "movieId", "rating"].map(str::to_owned);
        ColumnNames { user, item, rating, timestamp: None }
    }
}
