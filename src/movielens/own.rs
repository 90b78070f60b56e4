//! A new user's ratings, as a list that the user keeps or a site exports: titles or ids, years, ratings.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;

use super::columns::{ColumnKind, ColumnSpec, whole};
use super::dialect::{Dialect, first_lines};
use super::shown::quoted;
use super::text::Text;
use super::{file, parquet};

/// Possible names of the columns, in lower case; the first that is found is taken.
const IDS: [&str; 2] = ["movieid", "movie_id"];
const TITLES: [&str; 5] = ["title", "name", "movie", "film", "movie title"];
const RATINGS: [&str; 5] = ["your rating", "you rated", "rating", "stars", "score"];
/// Nobody rates more movies by hand, and each movie that is not found takes a while.
const MOST_ROWS: usize = 10_000;
const YEARS: [&str; 3] = ["year", "release year", "year released"];

/// How to read a list, as far as that is stated.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    /// Its dialect, if it is text.
    pub dialect: Dialect,
    /// The column of titles or ids.
    pub item: Option<String>,
    /// The column of ratings.
    pub rating: Option<String>,
    /// The value that means "not rated": such rows are left out.
    pub missing: Option<String>,
    /// Lowest and highest possible rating.
    pub scale: Option<(f64, f64)>,
}

/// A list of ratings.
#[derive(Debug)]
pub struct List {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// Whether the movies are identified by ids alone.
    pub by_id: bool,
    /// Lowest and highest possible rating, if stated or known of the site.
    pub scale: Option<(f64, f64)>,
    /// What the user should know of how the list was read.
    pub notes: Vec<String>,
}

/// A rating in a list.
#[derive(Debug)]
pub struct Row {
    /// Its place in the file.
    pub place: String,
    /// The title, or the id.
    pub movie: String,
    /// The year of the movie.
    pub year: Option<i64>,
    /// The rating.
    pub rating: f64,
}

/// Reads a list. Its ratings are on `scale` unless another scale is stated or known of the site.
///
/// # Errors
/// It cannot be read, or has no columns of movies and ratings.
pub fn read(path: &Path, stated: &Stated, scale: (f64, f64)) -> Result<List> {
    let bytes = file::bytes(path)?;
    let mut notes = Vec::new();
    if parquet::is_parquet(&bytes) {
        let found = Found::among(&[parquet::names(path, &bytes)?], stated)
            .with_context(|| path.display().to_string())?;
        let wanted = found.wanted(found.scale(stated).unwrap_or(scale));
        let (table, _) = parquet::read(path, &bytes, &wanted, stated.missing.as_deref())?;
        let places = (1..).map(|row| format!("{} row {row}", path.display()));
        return found.list(path, &table, notes, stated, places);
    }
    let (text, latin_1) = file::text(path, bytes)?;
    ensure!(!text.trim_ascii().is_empty(), "{}: an empty file", path.display());
    if latin_1 {
        notes.push(format!("{}: read as Latin-1, since it is not UTF-8", path.display()));
    }
    let found = Found::among(&first_lines(&text, &stated.dialect), stated);
    let found = found.with_context(|| format!("{} line 1", path.display()))?;
    let wanted = found.wanted(found.scale(stated).unwrap_or(scale));
    let text = Text::new(path, &text, &stated.dialect, &wanted)?;
    let (table, _) = text.read(path, &wanted, stated.missing.as_deref())?;
    let in_order = text.rows() == table.height();
    let places = text.lines().map(|line| match in_order {
        true => format!("{} line {line}", path.display()),
        false => path.display().to_string(),
    });
    found.list(path, &table, notes, stated, places)
}

/// Two of these names that are the same possible name of ratings.
fn doubled(names: &[String]) -> Option<(&str, &str)> {
    let same = |usual: &&str| {
        let mut called = names.iter().filter(|name| name.to_lowercase() == **usual);
        Some((called.next()?.as_str(), called.next()?.as_str()))
    };
    RATINGS.iter().find_map(same)
}

/// The columns of a list.
struct Found {
    movie: String,
    rating: String,
    year: Option<String>,
    by_id: bool,
    /// The column of titles that is not used, since there are ids.
    titles: Option<String>,
    /// Whether Letterboxd exported it.
    letterboxd: bool,
}

impl Found {
    /// Finds the columns among the possible names; `ways` has a list of names for each way to read the first line.
    fn among(ways: &[Vec<String>], stated: &Stated) -> Result<Found> {
        if stated.rating.is_none()
            && let Some((one, other)) = ways.iter().find_map(|names| doubled(names))
        {
            bail!("both '{one}' and '{other}' could be the ratings; --rating names one");
        }
        let of = |names: &Vec<String>| {
            let known = |usual: &[&str]| {
                let called = |usual: &&str| names.iter().find(|name| name.to_lowercase() == **usual).cloned();
                usual.iter().find_map(called)
            };
            let id = known(&IDS);
            Some(Found {
                by_id: stated.item.is_none() && id.is_some(),
                titles: id
                    .as_ref()
                    .filter(|id| stated.item.is_none() && *id != "movieId")
                    .and_then(|_| known(&TITLES)),
                movie: stated.item.clone().or(id).or_else(|| known(&TITLES))?,
                rating: stated.rating.clone().or_else(|| known(&RATINGS))?,
                year: known(&YEARS),
                letterboxd: known(&["letterboxd uri"]).is_some(),
            })
        };
        ways.iter().find_map(of).with_context(|| {
            let longest = ways.iter().rev().max_by_key(|names| names.len()); // the first of these
            let is_row = longest.is_some_and(|names| names.iter().any(|name| name.parse::<f64>().is_ok()));
            let has = longest.map_or(String::new(), quoted);
            let numbers = if is_row { ", or count them if the first line is a row: --item 1 --rating 2" } else { "" };
            format!(
                "expected the columns title (or movieId) and rating; it has {has}; --item and --rating name others\
                 {numbers}"
            )
        })
    }

    /// The scale that is stated, or that of the site.
    fn scale(&self, stated: &Stated) -> Option<(f64, f64)> {
        let site = match ["your rating", "you rated"].contains(&self.rating.to_lowercase().as_str()) {
            true => Some((1.0, 10.0)),
            false => self.letterboxd.then_some((0.5, 5.0)),
        };
        stated.scale.or(site)
    }

    fn wanted(&self, scale: (f64, f64)) -> Vec<ColumnSpec<'_>> {
        let want = |column, name, holds| ColumnSpec { column, name, holds, optional: false };
        let mut wanted = vec![
            want(&self.movie, "movie", if self.by_id { ColumnKind::Ids } else { ColumnKind::Words }),
            want(&self.rating, "rating", ColumnKind::Ratings(Some(scale))),
        ];
        wanted.extend(self.year.as_ref().map(|year| want(year, "year", ColumnKind::Words)));
        wanted
    }

    fn list(
        &self,
        path: &Path,
        table: &DataFrame,
        mut notes: Vec<String>,
        stated: &Stated,
        places: impl Iterator<Item = String>,
    ) -> Result<List> {
        ensure!(
            table.height() <= MOST_ROWS,
            "{}: {} rows, but one user's ratings are at most {MOST_ROWS}: take a part of them",
            path.display(),
            table.height()
        );
        notes.extend(self.titles.as_ref().map(|titles| {
            format!(
                "{}: movies are identified by '{}' (MovieLens' ids); --item '{titles}' identifies them by title",
                path.display(),
                self.movie
            )
        }));
        let movies = table.column("movie")?.cast(&DataType::String)?;
        let years = table.column("year").ok().and_then(|years| years.str().ok());
        let ratings = table.column("rating")?.f64()?.iter().flatten();
        let rows = movies.str()?.iter().zip(ratings).zip(places).enumerate().map(
            |(row, ((movie, rating), place))| Row {
                place,
                movie: movie.unwrap_or_default().trim().to_owned(),
                year: years.and_then(|years| whole(years.get(row)?.trim())),
                rating,
            },
        );
        Ok(List { rows: rows.collect(), by_id: self.by_id, scale: self.scale(stated), notes })
    }
}
