//! The commands that ask a saved model: which movies or people are similar, what somebody should watch, how a
//! movie would be rated.
//!
//! Lecture: "which other movies are similar to it, which people are similar to this person?"

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::data::{Written, range};
use crate::cli::whole;
use lecture5::movielens::own::{self, List};
use lecture5::movielens::{self, CollabFilterDataset, MovieLens};
use lecture5::notebook::Table;
use lecture5::recommend::interpret::nearest;
use lecture5::recommend::titles::{Found, Titles};
use lecture5::run::progress::say;
use lecture5::saved::model_file::ModelCard;
use lecture5::saved::trained::Trained;
use lecture5::system::failure::{complain, wrong_use};

/// The model of the lecture's own run.
const DEFAULT_MODEL: &str = "out/models/collab_learner.safetensors";

#[derive(Args)]
struct Source {
    /// The saved model: a file of out/models/.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_MODEL)]
    from: PathBuf,
    /// The ratings that it was trained on, for titles and for what has been rated: a folder, or a file with the
    /// same columns [default: where they were then].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user's id.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A new user, described by a few ratings: a file with the columns title (or movieId) and rating, or what
    /// Letterboxd or IMDb exports. The model is not trained again: the user's own numbers are solved for, and all else
    /// stays.
    #[arg(long, value_name = "FILE")]
    ratings: Option<PathBuf>,
}

/// How the ratings of a new user are read.
#[derive(Args)]
#[command(next_help_heading = "The file of a new user's ratings")]
struct Own {
    #[command(flatten)]
    written: Written,
    /// The lowest and the highest rating on its scale, which is mapped to the model's [default: the model's; 1:10 for
    /// IMDb's export].
    #[arg(long, value_name = "LOW:HIGH", requires = "ratings", value_parser = range, allow_hyphen_values = true)]
    rating_range: Option<(f64, f64)>,
    /// Go on without the movies that the model does not know.
    #[arg(long, requires = "ratings")]
    skip_unknown: bool,
}

/// The arguments of `lecture5 similar`.
#[derive(Args)]
pub struct Similar {
    /// Movies similar to this one: a title, or an id.
    #[arg(long, value_name = "TITLE|ID", required_unless_present_any = ["user", "ratings"], conflicts_with_all = ["user", "ratings"])]
    movie: Option<String>,
    /// People similar to this user, by id.
    #[arg(long, value_name = "ID", conflicts_with = "ratings")]
    user: Option<String>,
    /// People similar to a new user: see `lecture5 recommend --help`.
    #[arg(long, value_name = "FILE")]
    ratings: Option<PathBuf>,
    #[command(flatten)]
    own: Own,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u16>(1, u16::MAX.into()))]
    top: u16,
    /// Leave out movies (or users) with fewer ratings in training: their vectors are mostly chance.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX.into()))]
    min_ratings: u32,
    #[command(flatten)]
    source: Source,
}

/// The arguments of `lecture5 recommend`.
#[derive(Args)]
pub struct Recommend {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    own: Own,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u16>(1, u16::MAX.into()))]
    top: u16,
    /// Leave out movies with fewer ratings in training.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u32>(1, u32::MAX.into()))]
    min_ratings: u32,
    #[command(flatten)]
    source: Source,
}

/// The arguments of `lecture5 predict`.
#[derive(Args)]
pub struct Predict {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    own: Own,
    /// The movie: a title, or an id.
    #[arg(long, value_name = "TITLE|ID")]
    movie: String,
    #[command(flatten)]
    source: Source,
}

/// `lecture5 similar`
pub fn similar(args: Similar) -> Result<()> {
    let asked = args.source.open()?;
    match &args.movie {
        Some(movie) => similar_movies(&asked, movie, &args),
        None => similar_people(&asked, &args),
    }
}

fn similar_movies(asked: &Asked, movie: &str, args: &Similar) -> Result<()> {
    let about = &asked.model.about;
    let movie = asked.movie(movie, "--movie")?;
    let candidates = args.candidates(&about.movie_ratings, Some(movie))?;
    let (_, m) = asked.model.vectors();
    let found = nearest(&m, &m.get(movie), &candidates, usize::from(args.top))
        .with_context(|| format!("{}: nothing is known of it", asked.name(movie)))?;
    if args.source.json {
        let similar = found.iter().map(|&(row, cosine)| {
            let mut entry = asked.entry(row);
            entry["cosine"] = json!(cosine);
            entry
        });
        say(json!({"movie": asked.entry(movie), "similar": similar.collect::<Vec<_>>()}));
        return Ok(());
    }
    say(format!("Movies similar to {}, by the cosine of their vectors:", asked.name(movie)));
    let mut table = Table::new(["cosine", "movie", "id", "ratings"]);
    for (row, cosine) in found {
        let at = row as usize;
        let ratings = about.movie_ratings[at].to_string();
        table.push([format!("{cosine:.3}"), asked.name(row), about.movies[at].clone(), ratings]);
    }
    say(table.to_text());
    say(format!("Movies with fewer than {} ratings in training are left out.", args.min_ratings));
    let own = about.movie_ratings[movie as usize];
    if own < args.min_ratings {
        say(format!("{} itself has {own}: do not trust this much.", asked.name(movie)));
    }
    Ok(())
}

fn similar_people(asked: &Asked, args: &Similar) -> Result<()> {
    let about = &asked.model.about;
    let who = asked.who(args.user.as_deref(), args.ratings.as_deref(), &args.own)?;
    let candidates = args.candidates(&about.user_ratings, who.row)?;
    let (u, _) = asked.model.vectors();
    let vector = match (&who.folded, who.row) {
        (Some(folded), _) => folded.vectors().0.get(0),
        (None, row) => u.get(row.unwrap_or(0)),
    };
    let found = nearest(&u, &vector, &candidates, usize::from(args.top))
        .with_context(|| format!("{}: nothing is known", who.name))?;
    let mut table = Table::new(["cosine", "user", "ratings", "rated by both", "stars apart"]);
    let mut similar = Vec::new();
    for (row, cosine) in found {
        let (user, ratings) = (&about.users[row as usize], about.user_ratings[row as usize]);
        let theirs = asked.rated_by(user);
        let both: Vec<f32> =
            who.rated.iter().filter_map(|(movie, y)| Some((theirs.get(movie)? - y).abs())).collect();
        let apart = (!both.is_empty()).then(|| both.iter().sum::<f32>() / both.len() as f32);
        similar
            .push(json!({"user": user, "cosine": cosine, "rated_by_both": both.len(), "stars_apart": apart}));
        let apart = apart.map_or("–".to_owned(), |stars| format!("{stars:.2}"));
        let counts = [ratings, both.len() as u32].map(|n| n.to_string());
        table.push([format!("{cosine:.3}"), user.clone()].into_iter().chain(counts).chain([apart]));
    }
    if args.source.json {
        say(json!({"user": who.id, "trained_on": who.trained_on, "similar": similar}));
        return Ok(());
    }
    say(format!("People similar to {}, by the cosine of their vectors:", who.name));
    say(table.to_text());
    who.warn();
    say(
        "\"Stars apart\" is the mean difference of their ratings of what both have rated: the vectors compare \
         tastes, not who is generous.",
    );
    Ok(())
}

impl Similar {
    /// The rows with ratings enough, but for the one that is asked about.
    fn candidates(&self, ratings: &[u32], but: Option<i64>) -> Result<Vec<i64>> {
        let rows = (0..).zip(ratings).filter(|&(row, &n)| n >= self.min_ratings && Some(row) != but);
        let rows: Vec<i64> = rows.map(|(row, _)| row).collect();
        ensure!(!rows.is_empty(), "no other has {} ratings: lower --min-ratings", self.min_ratings);
        Ok(rows)
    }
}

/// `lecture5 recommend`
pub fn recommend(args: Recommend) -> Result<()> {
    let asked = args.source.open()?;
    let who = asked.who(args.who.user.as_deref(), args.who.ratings.as_deref(), &args.own)?;
    let about = &asked.model.about;
    let known = |row: i64| about.movie_ratings[row as usize] >= args.min_ratings;
    let all = 0..about.movies.len() as i64;
    let unseen: Vec<i64> = all.clone().filter(|row| !who.rated.contains_key(row) && known(*row)).collect();
    let little_known = all.filter(|&row| !who.rated.contains_key(&row) && !known(row)).count();
    let stars = asked.predict(&who, &unseen)?;
    let mut found: Vec<(i64, f32)> = unseen.into_iter().zip(stars).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(usize::from(args.top));

    if args.source.json {
        let found = found.iter().map(|&(row, stars)| {
            let mut entry = asked.entry(row);
            entry["stars"] = json!(stars);
            entry
        });
        say(json!({
            "user": who.id,
            "trained_on": who.trained_on,
            "left_out": {"rated": who.rated.len(), "too_few_ratings": little_known},
            "recommendations": found.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    say(format!("For {}:", who.name));
    let mut table = Table::new(["stars", "movie", "id", "ratings"]);
    for (row, stars) in found {
        let ratings = about.movie_ratings[row as usize].to_string();
        table.push([format!("{stars:.2}"), asked.name(row), about.movies[row as usize].clone(), ratings]);
    }
    say(table.to_text());
    let fewer = match args.min_ratings {
        1 => "that no rating was trained on".to_owned(),
        n => format!("with fewer than {n} ratings in training"),
    };
    let movies = if who.rated.len() == 1 { "movie" } else { "movies" };
    say(format!(
        "Left out: {} {movies} that {} has rated, {little_known} {fewer}.",
        who.rated.len(),
        who.name
    ));
    who.warn();
    Ok(())
}

/// `lecture5 predict`
pub fn predict(args: Predict) -> Result<()> {
    let asked = args.source.open()?;
    let movie = asked.movie(&args.movie, "--movie")?;
    let who = asked.who(args.who.user.as_deref(), args.who.ratings.as_deref(), &args.own)?;
    let stars = asked.predict(&who, &[movie])?[0];
    let rated = who.rated.get(&movie);
    if args.source.json {
        let mut entry = asked.entry(movie);
        entry["user"] = json!(who.id);
        entry["trained_on"] = json!(who.trained_on);
        entry["stars"] = json!(stars);
        entry["rated"] = json!(rated);
        say(entry);
        return Ok(());
    }
    let rated = rated.map_or(String::new(), |stars| format!("; the rating in the data is {stars:?}"));
    say(format!("{stars:.2} stars by {} for {}{rated}", who.name, asked.name(movie)));
    if asked.model.about.movie_ratings[movie as usize] == 0 {
        say("No rating of the movie was trained on: this says only how the user rates in general.");
    }
    who.warn();
    Ok(())
}

/// A model with the ratings and titles around it.
struct Asked {
    model: Trained,
    /// By the model's rows.
    titles: Vec<Option<String>>,
    search: Titles,
    /// The ratings, where they are to be had.
    cf: Option<CollabFilterDataset>,
    /// Movie of the data → row of the model.
    rows: HashMap<i64, i64>,
    data: PathBuf,
}

/// An id that says as much as a title, being no number.
fn words(id: &str) -> Option<&str> {
    id.parse::<i64>().is_err().then_some(id)
}

/// The model's rows of movies, and ratings.
type Rated = Vec<(i64, f64)>;

/// Whom a question is about.
struct Person {
    /// As a sentence names her.
    name: String,
    /// As JSON names her: null for a new user.
    id: Option<String>,
    /// Her row in the model; `None` for a new user.
    row: Option<i64>,
    /// The model that knows somebody who was not trained on, and nobody else.
    folded: Option<Trained>,
    /// How many of the ratings were trained on; `None` for a new user.
    trained_on: Option<u32>,
    /// What she has rated, by the rows of movies.
    rated: BTreeMap<i64, f32>,
}

impl Person {
    /// Says of somebody whom training has not seen on what the answer rests.
    fn warn(&self) {
        if self.trained_on != Some(0) {
            return;
        }
        say(match &self.folded {
            Some(_) => format!(
                "No rating of {} was trained on: the answer is solved for from the {} in the data.",
                self.name,
                self.rated.len()
            ),
            None => format!(
                "No rating of {} was trained on: this is the random start, which says nothing of them.",
                self.name
            ),
        });
    }
}

impl Source {
    fn open(&self) -> Result<Asked> {
        if !self.from.exists() {
            let made_by = match self.from.file_name().and_then(|name| name.to_str()) {
                Some("collab_learner.safetensors") => "`lecture5 run collab_filter` makes it",
                _ => "`lecture5 run` and `lecture5 fit` leave models in out/models/",
            };
            bail!("{}: no such model; {made_by}", self.from.display());
        }
        let model = Trained::open(&self.from)?;
        let source = self.ratings(&model.about);
        let read = source.as_ref().context("it does not say where they are");
        let ml = match read.and_then(|source| MovieLens::load(source, None)) {
            Ok(ml) => Some(ml),
            // The file alone answers all that is asked by id.
            Err(error) if self.data.is_none() => {
                complain(&format!(
                    "note: titles and what has been rated are not known without the ratings that {} was trained on \
                     ({error:#}); --data says where they are now",
                    self.from.display()
                ));
                None
            }
            Err(error) => return Err(error.context("the ratings that the model was trained on")),
        };
        let mut asked = Asked {
            titles: vec![None; model.about.movies.len()],
            model,
            search: Titles::default(),
            cf: None,
            rows: HashMap::new(),
            data: source.as_ref().map_or(self.from.as_path(), |source| source.path()).to_owned(),
        };
        let ids = &asked.model.about.movies;
        if let Some(ml) = ml {
            if ml.sha256 != asked.model.about.data {
                complain(&format!(
                    "note: {} was trained on other ratings than those in {}: titles and what has been rated may not \
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

    /// Where the ratings are: as asked or, where nothing was asked, as the model's fit had them.
    fn ratings(&self, about: &ModelCard) -> Option<movielens::Source> {
        use movielens::Source::{File, Folder};
        Some(match (&self.data, &about.source) {
            (None, Some(then)) => then.clone(),
            (None, None) if about.data == movielens::LECTURE_SHA256 => Folder(movielens::LECTURES.into()),
            (None, None) => return None,
            (Some(path), Some(File { columns, told, .. })) if !path.is_dir() => {
                File { path: path.clone(), columns: columns.clone(), told: told.clone() }
            }
            (Some(path), _) if path.is_file() => {
                File { path: path.clone(), columns: Default::default(), told: Default::default() }
            }
            (Some(path), _) => Folder(path.clone()),
        })
    }
}

impl Asked {
    /// What a movie is called: its title, or its id where it has none.
    fn name(&self, row: i64) -> String {
        let (title, id) = (&self.titles[row as usize], &self.model.about.movies[row as usize]);
        title.as_deref().or(words(id)).map_or_else(|| format!("movie {id}"), str::to_owned)
    }

    fn entry(&self, row: i64) -> Value {
        let about = &self.model.about;
        let row = row as usize;
        json!({"movie": about.movies[row], "title": self.titles[row], "ratings": about.movie_ratings[row]})
    }

    /// The row of a movie asked for by id or title; `place` is where it was asked.
    fn movie(&self, asked: &str, place: &str) -> Result<i64> {
        match self.model.movie(asked) {
            Some(row) => Ok(row),
            None => self.titled(asked, place),
        }
    }

    /// The row of a movie asked for by title.
    fn titled(&self, asked: &str, place: &str) -> Result<i64> {
        self.found(asked, self.search.find(asked))
            .map_err(|why| wrong_use(format!("{place} '{asked}' {why}")))
    }

    /// The row of what was found for a title.
    ///
    /// # Errors
    /// It is none, or several: what to say of it.
    fn found(&self, asked: &str, found: Found) -> Result<i64, String> {
        const MOST_NAMED: usize = 10;
        let counts = &self.model.about.movie_ratings;
        let lines = |rows: &[i64]| -> String {
            let lines = rows
                .iter()
                .take(MOST_NAMED)
                .map(|&row| format!("\n  {:>6}  {}", self.model.about.movies[row as usize], self.name(row)));
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
                format!("is no id of a movie that the model knows, and {} has no titles", self.data.display())
            }
            Found::Unknown(_) if asked.is_empty() => "is no title".to_owned(),
            Found::Unknown(rows) if rows.is_empty() => {
                "is no movie that the model knows, by id or title".to_owned()
            }
            Found::Unknown(rows) => {
                format!("is no movie that the model knows; is it one of these?{}", lines(&rows))
            }
        })
    }

    /// The person that the arguments name; a new one is folded into the model.
    fn who(&self, user: Option<&str>, ratings: Option<&Path>, own: &Own) -> Result<Person> {
        if let Some(path) = ratings {
            let rated = self.read_ratings(path, own)?;
            let folded = self.model.fold_in(&rated)?;
            let name = format!("the new user of {}", path.display());
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
        let users = &self.model.about.users;
        let Some(row) = self.model.user(id) else {
            let first: Vec<&str> = users.iter().take(5).map(String::as_str).collect();
            return Err(wrong_use(format!(
                "--user '{id}' is none of the {} users that the model knows ({}, …); a new one can be described \
                 by --ratings",
                users.len(),
                first.join(", ")
            )));
        };
        let id = users[row as usize].clone();
        let (rated, trained_on) = (self.rated_by(&id), self.model.about.user_ratings[row as usize]);
        // Somebody whom training has not seen is answered as somebody new is: from the ratings that are there.
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
    fn rated_by(&self, user: &str) -> BTreeMap<i64, f32> {
        let Some(cf) = &self.cf else { return BTreeMap::new() };
        let Some(user) = cf.users.find(user) else { return BTreeMap::new() };
        let theirs = cf.cats.iter().zip(&cf.y).filter(|(cats, _)| cats[0] == user);
        theirs.filter_map(|(cats, &y)| Some((*self.rows.get(&cats[1])?, y))).collect()
    }

    /// The stars that a person would give to each of `movies`.
    fn predict(&self, who: &Person, movies: &[i64]) -> Result<Vec<f32>> {
        match (&who.folded, who.row) {
            (Some(folded), _) => folded.predict(0, movies),
            (None, row) => self.model.predict(row.unwrap_or(0), movies),
        }
    }

    /// A new user's ratings (movie row, stars) from a list.
    fn read_ratings(&self, path: &Path, own: &Own) -> Result<Vec<(i64, f32)>> {
        let (low, high) = self.model.about.range;
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
                "{n} of {of} movies in {} cannot be told:\n  {}",
                path.display(),
                unknown.join("\n  ")
            );
            if !own.skip_unknown {
                return Err(wrong_use(format!("{movies}\n  To go on without them: --skip-unknown")));
            }
            complain(&format!("note: {movies}"));
        }
        ensure!(!ratings.is_empty(), "{}: no rating of a movie that the model knows", path.display());
        let mapped = |stars: f64| low + (stars - from) / (to - from) * (high - low);
        Ok(ratings.into_iter().map(|(row, stars)| (row, mapped(stars) as f32)).collect())
    }

    /// The model's rows and the ratings of a list; and what to say of each movie that cannot be told.
    fn rows_of(&self, list: &List) -> Result<(Rated, Vec<String>)> {
        let (mut ratings, mut unknown): (Rated, _) = (Vec::new(), Vec::new());
        for rated in &list.rows {
            let row = match self.model.movie(&rated.movie) {
                Some(row) if rated.year.is_none() => Ok(row),
                _ if list.by_id => Err("is no movie that the model knows".to_owned()),
                _ => self.found(&rated.movie, self.search.find_of(&rated.movie, rated.year)),
            };
            match row {
                Ok(row) => {
                    ensure!(
                        ratings.iter().all(|&(other, _)| other != row),
                        "{}: {} is rated a second time",
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
