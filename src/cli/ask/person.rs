//! The user that a question is about: one that the model knows, or a new one, described by a few ratings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::super::data::{Written, range};
use super::OpenModel;
use lecture5::movielens::own::{self, List};
use lecture5::movielens::shown::clean;
use lecture5::recommend::titles::Found;
use lecture5::saved::trained::Trained;
use lecture5::system::failure::{complain, wrong_use};
use lecture5::system::interrupt;
use lecture5::system::terminal::say;

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// A user's id.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// A new user, described by a few ratings: a file with the columns title (or movieId) and rating, or what
    /// Letterboxd or IMDb exports. The model is not trained again: only the new user's own vector and bias are solved
    /// for.
    #[arg(long, value_name = "FILE")]
    pub ratings: Option<PathBuf>,
}

/// How the ratings of a new user are read.
#[derive(Args)]
#[command(next_help_heading = "The file of a new user's ratings")]
pub struct Own {
    #[command(flatten)]
    written: Written,
    /// The lowest and the highest rating on its scale, which is mapped to the model's [default: the model's; 1:10 for
    /// IMDb's export].
    #[arg(long, value_name = "LOW:HIGH", requires = "ratings", value_parser = range, allow_hyphen_values = true)]
    rating_range: Option<(f64, f64)>,
    /// Skip the movies that the model does not know.
    #[arg(long, requires = "ratings")]
    skip_unknown: bool,
}

/// The model's rows of movies, and ratings.
type Rated = Vec<(i64, f64)>;

/// The user that a question is about.
pub struct Person {
    /// The user's name in a sentence.
    pub name: String,
    /// The user's id in JSON: null for a new user.
    pub id: Option<String>,
    /// The user's row in the model; `None` for a new user.
    pub row: Option<i64>,
    /// The model of this user alone, for a user whose ratings were not trained on.
    pub folded: Option<Trained>,
    /// How many of the ratings were trained on; `None` for a new user.
    pub trained_on: Option<u32>,
    /// What the user has rated, by the rows of movies.
    pub rated: BTreeMap<i64, f32>,
}

impl Person {
    /// In JSON: how many of the user's ratings were trained on, and whether the answer is computed from others.
    pub fn facts(&self) -> Value {
        json!({"user": self.id, "trained_on": self.trained_on, "folded_in": self.folded.is_some()})
    }

    /// If no rating of the user was trained on, says what the answer is based on.
    pub fn warn(&self) {
        if self.trained_on != Some(0) {
            return;
        }
        say(match &self.folded {
            Some(_) => format!(
                "No rating of {} was trained on: the answer is computed from the {} in the data.",
                self.name,
                self.rated.len()
            ),
            None => format!(
                "No rating of {} was trained on: this is the random start, which says nothing about the user.",
                self.name
            ),
        });
    }
}

impl OpenModel {
    /// The user that the arguments name; a new one is folded into the model.
    pub fn who(&self, user: Option<&str>, ratings: Option<&Path>, own: &Own) -> Result<Person> {
        if let Some(path) = ratings {
            let rated = self.read_ratings(path, own)?;
            let folded = self.model.fold_in(&rated)?;
            let name = format!("the user described by {}", path.display());
            return Ok(Person {
                name,
                id: None,
                row: None,
                folded: Some(folded),
                trained_on: None,
                rated: rated.into_iter().collect(),
            });
        }
        let id = user.unwrap_or_default();
        let users = &self.model.card.users;
        let Some(row) = self.model.user(id) else {
            let first: Vec<&str> = users.iter().take(5).map(String::as_str).collect();
            return Err(wrong_use(format!(
                "--user '{}' is not one of the {} users that the model knows ({}, …); a new one can be described \
                 by --ratings",
                clean(id),
                users.len(),
                first.join(", ")
            )));
        };
        let id = users[row as usize].clone();
        let (rated, trained_on) = (self.rated_by(&id), self.model.card.user_ratings[row as usize]);
        // A user without training ratings is answered like a new one: from the ratings in the data.
        let known: Vec<(i64, f32)> = rated.iter().map(|(&movie, &stars)| (movie, stars)).collect();
        let cold = trained_on == 0 && !known.is_empty();
        Ok(Person {
            name: format!("user {id}"),
            rated,
            id: Some(id),
            row: Some(row),
            folded: cold.then(|| self.model.fold_in(&known)).transpose()?,
            trained_on: Some(trained_on),
        })
    }

    /// What a user of the data has rated, by the model's rows of movies.
    pub fn rated_by(&self, user: &str) -> BTreeMap<i64, f32> {
        let Some(cf) = &self.cf else { return BTreeMap::new() };
        let Some(user) = cf.users.find(user) else { return BTreeMap::new() };
        let theirs = (0..cf.len()).filter(|&row| cf.user_idx[row] == user);
        theirs.filter_map(|row| Some((*self.rows.get(&cf.item_idx[row])?, cf.y[row]))).collect()
    }

    /// The stars that a user would give to each of `movies`.
    pub fn predict(&self, who: &Person, movies: &[i64]) -> Result<Vec<f32>> {
        match (&who.folded, who.row) {
            (Some(folded), _) => folded.predict(0, movies),
            (None, row) => self.model.predict(row.unwrap_or(0), movies),
        }
    }

    /// A new user's ratings (movie row, stars) from a list.
    pub fn read_ratings(&self, path: &Path, own: &Own) -> Result<Vec<(i64, f32)>> {
        let (low, high) = self.model.card.range;
        let stated = own::Stated {
            dialect: own.written.dialect(),
            item: own.written.item.clone(),
            rating: own.written.rating.clone(),
            missing: own.written.missing.clone(),
            scale: own.rating_range,
        };
        let list = own::read(path, &stated, (low, high))?;
        list.notes.iter().for_each(|note| complain(&format!("note: {note}")));
        let (from, to) = list.scale.unwrap_or((low, high));
        if (from, to) != (low, high) {
            complain(&format!("note: ratings from {from} to {to} are mapped to the model's {low} to {high}"));
        }
        let (ratings, unknown) = self.rows_of(&list)?;
        if !unknown.is_empty() {
            let (n, of) = (unknown.len(), list.rows.len());
            let movies = format!(
                "{n} of {of} movies in {} cannot be identified:\n  {}",
                path.display(),
                unknown.join("\n  ")
            );
            if !own.skip_unknown {
                return Err(wrong_use(format!("{movies}\n  To skip them: --skip-unknown")));
            }
            complain(&format!("note: {movies}"));
        }
        ensure!(!ratings.is_empty(), "{}: no rating of a movie that the model knows", path.display());
        let mapped = |stars: f64| low + (stars - from) / (to - from) * (high - low);
        Ok(ratings.into_iter().map(|(row, stars)| (row, mapped(stars) as f32)).collect())
    }

    /// The model's rows and the ratings of a list; and what to say about each movie that cannot be identified.
    pub fn rows_of(&self, list: &List) -> Result<(Rated, Vec<String>)> {
        let (mut ratings, mut unknown): (Rated, _) = (Vec::new(), Vec::new());
        let by_id =
            |rated: &own::Row| self.model.movie(&rated.movie).filter(|_| list.by_id || rated.year.is_none());
        let by_id: Vec<Option<i64>> = list.rows.iter().map(by_id).collect();
        let search = &self.search;
        let by_title = list.rows.par_iter().zip(&by_id).map(|(rated, id)| {
            interrupt::check()?;
            Ok((id.is_none() && !list.by_id).then(|| search.find_of(&rated.movie, rated.year)))
        });
        let by_title: Vec<Option<Found>> = by_title.collect::<Result<_>>()?;
        for ((rated, id), title) in list.rows.iter().zip(by_id).zip(by_title) {
            let row = match (id, title) {
                (Some(row), _) => Ok(row),
                (None, Some(found)) => self.found(&rated.movie, found),
                (None, None) => Err("is not a movie that the model knows".to_owned()),
            };
            match row {
                Ok(row) => {
                    ensure!(
                        ratings.iter().all(|&(other, _)| other != row),
                        "{}: {} is rated a second time; keep one of the two rows",
                        rated.place,
                        self.name(row)
                    );
                    ratings.push((row, rated.rating));
                }
                Err(why) => {
                    let year = rated.year.map_or(String::new(), |year| format!(" ({year})"));
                    unknown.push(format!(
                        "{}: '{}'{year} {}",
                        rated.place,
                        rated.movie,
                        why.replace("\n", "\n  ")
                    ));
                }
            }
        }
        Ok((ratings, unknown))
    }
}
