//! The commands that ask a saved model: which movies or users are similar, what a user should watch, how a user would
//! rate a movie.
//!
//! Lecture: "which other movies are similar to it, which people are similar to this person?"

mod person;
pub mod predict;
pub mod recommend;
pub mod similar;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use lecture5::movielens::shown::clean;
use lecture5::movielens::{self, CollabFilterDataset, MovieLens};
use lecture5::recommend::titles::{Found, Titles};
use lecture5::saved::model_file::ModelCard;
use lecture5::saved::trained::Trained;
use lecture5::system::failure::{complain, wrong_use};

/// The model of the lecture's own run.
const DEFAULT_MODEL: &str = "out/models/collab_learner.safetensors";

#[derive(Args)]
pub struct Source {
    /// The saved model: a file of out/models/.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    from: PathBuf,
    /// The ratings that it was trained on, for titles and for what users have rated: a folder, or a file with the same
    /// columns [default: where they were during the training].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A model with the ratings and titles around it.
pub struct OpenModel {
    pub model: Trained,
    /// Titles, by the model's rows.
    titles: Vec<Option<String>>,
    search: Titles,
    /// The ratings, if they are available.
    cf: Option<CollabFilterDataset>,
    /// Movie of the data → row of the model.
    rows: HashMap<i64, i64>,
    data: PathBuf,
}

/// Where the lecture's data is: in this folder, or in the checkout that this program was built in.
fn lectures() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let checkouts = program.ancestors().map(|folder| folder.join(movielens::LECTURES));
    let here = PathBuf::from(movielens::LECTURES);
    std::iter::once(here.clone()).chain(checkouts).find(|folder| folder.is_dir()).unwrap_or(here)
}

/// Reads the ratings that a model names, but only if they are those that it was trained on: a model may come from anywhere,
/// and the user has not asked to open the files that it names.
fn only_if_its_own(source: &movielens::Source, card: &ModelCard) -> Result<MovieLens> {
    let titles = match source {
        movielens::Source::File { options, .. } => options.titles.as_deref(),
        movielens::Source::Folder(_) => None,
    };
    for path in [Some(source.path()), titles].into_iter().flatten() {
        let there = path.metadata().with_context(|| format!("{}: cannot be read", path.display()))?;
        ensure!(there.is_file() || there.is_dir(), "{}: neither a file nor a folder", path.display());
    }
    // The reader's own error would show a line of the file.
    let ml = MovieLens::load(source, None)
        .map_err(|_| anyhow!("{}: not these ratings", source.path().display()))?;
    ensure!(ml.sha256 == card.data, "{}: other ratings", source.path().display());
    Ok(ml)
}

/// An id that is not a number, which says as much as a title.
fn words(id: &str) -> Option<&str> {
    id.parse::<i64>().is_err().then_some(id)
}

impl Source {
    pub fn open(&self) -> Result<OpenModel> {
        if !self.from.exists() {
            let made_by = match self.from.file_name().and_then(|name| name.to_str()) {
                Some("collab_learner.safetensors") => "`lecture5 run collab_filter` makes it",
                _ => "`lecture5 run` and `lecture5 fit` leave models in out/models/",
            };
            bail!("{}: no such model; {made_by}", self.from.display());
        }
        let model = Trained::open(&self.from)?;
        let source = self.ratings(&model.card);
        let ml = match (&source, &self.data) {
            (Some(source), Some(_)) => {
                Some(MovieLens::load(source, None).context("the ratings that the model was trained on")?)
            }
            (source, _) => {
                let found = source.as_ref().context("it does not say where they are");
                // The model file alone answers every question that names ids.
                let untold = |why: Error| {
                    complain(&format!(
                        "note: titles and earlier ratings are not known without the ratings that {} was trained on \
                         ({why:#}); --data says where they are now",
                        self.from.display()
                    ));
                };
                found.and_then(|source| only_if_its_own(source, &model.card)).map_err(untold).ok()
            }
        };
        let mut asked = OpenModel {
            titles: vec![None; model.card.movies.len()],
            model,
            search: Titles::default(),
            cf: None,
            rows: HashMap::new(),
            data: source.as_ref().map_or(self.from.as_path(), |source| source.path()).to_owned(),
        };
        let ids = &asked.model.card.movies;
        if let Some(ml) = ml {
            if ml.sha256 != asked.model.card.data {
                complain(&format!(
                    "note: {} was trained on other ratings than those in {}: titles and earlier ratings may not \
                     belong to it",
                    self.from.display(),
                    asked.data.display()
                ));
            }
            let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating")?;
            let mut by_id = ml.titles()?;
            asked.titles = ids.iter().map(|id| by_id.remove(id)).collect();
            asked.rows = (0..).zip(ids).filter_map(|(row, id)| Some((cf.items.find(id)?, row))).collect();
            asked.cf = Some(cf);
        }
        let called = asked.titles.iter().zip(ids).map(|(title, id)| title.as_deref().or(words(id)));
        asked.search = Titles::new((0..).zip(called).filter_map(|(row, name)| Some((row, name?))));
        Ok(asked)
    }

    /// Where the ratings are: as stated by --data or, without it, as the model's fit had them.
    pub fn ratings(&self, card: &ModelCard) -> Option<movielens::Source> {
        use movielens::Source::{File, Folder};
        Some(match (&self.data, &card.source) {
            (None, Some(then)) => then.clone(),
            (None, None) if card.data == movielens::LECTURE_SHA256 => Folder(lectures()),
            (None, None) => return None,
            (Some(path), Some(File { columns, options, .. })) if !path.is_dir() => {
                File { path: path.clone(), columns: columns.clone(), options: options.clone() }
            }
            (Some(path), _) if path.is_file() => {
                File { path: path.clone(), columns: Default::default(), options: Default::default() }
            }
            (Some(path), _) => Folder(path.clone()),
        })
    }
}

impl OpenModel {
    /// Whether the ratings of the model's users are available.
    pub fn knows_ratings(&self) -> bool {
        self.cf.is_some()
    }

    /// A movie's name: its title, or its id if it has none.
    pub fn name(&self, row: i64) -> String {
        let (title, id) = (&self.titles[row as usize], &self.model.card.movies[row as usize]);
        title.as_deref().or(words(id)).map_or_else(|| format!("movie {id}"), str::to_owned)
    }

    pub fn entry(&self, row: i64) -> Value {
        let card = &self.model.card;
        let row = row as usize;
        json!({"movie": card.movies[row], "title": self.titles[row], "ratings": card.movie_ratings[row]})
    }

    /// The row of a movie given by id or title; `place` is where it was given.
    pub fn movie(&self, asked: &str, place: &str) -> Result<i64> {
        match self.model.movie(asked) {
            Some(row) => Ok(row),
            None => self.titled(asked, place),
        }
    }

    /// The row of a movie given by title.
    pub fn titled(&self, asked: &str, place: &str) -> Result<i64> {
        self.found(asked, self.search.find(asked))
            .map_err(|why| wrong_use(format!("{place} '{}' {why}", clean(asked))))
    }

    /// The row of what was found for a title.
    ///
    /// # Errors
    /// No movie was found, or several: the error is what to say about it.
    pub fn found(&self, asked: &str, found: Found) -> Result<i64, String> {
        const MOST_NAMED: usize = 10;
        let counts = &self.model.card.movie_ratings;
        let lines = |rows: &[i64]| -> String {
            let lines = rows
                .iter()
                .take(MOST_NAMED)
                .map(|&row| format!("\n  {:>6}  {}", self.model.card.movies[row as usize], self.name(row)));
            let rest = rows.len().saturating_sub(MOST_NAMED);
            let rest = if rest > 0 { format!("\n          and {rest} more") } else { String::new() };
            lines.collect::<String>() + &rest
        };
        Err(match found {
            Found::One(row) => return Ok(row),
            Found::Several(mut rows) => {
                rows.sort_by_key(|&row| (std::cmp::Reverse(counts[row as usize]), row));
                format!(
                    "fits {} movies; give one's id, its year, or more of its title:{}",
                    rows.len(),
                    lines(&rows)
                )
            }
            Found::Unknown(_) if self.search.is_empty() => {
                format!(
                    "is not the id of a movie that the model knows, and {} has no titles",
                    self.data.display()
                )
            }
            Found::Unknown(_) if asked.is_empty() => "is not a title".to_owned(),
            Found::Unknown(rows) if rows.is_empty() => {
                "is not a movie that the model knows, by id or title".to_owned()
            }
            Found::Unknown(rows) => {
                format!("is not a movie that the model knows; is it one of these?{}", lines(&rows))
            }
        })
    }
}
