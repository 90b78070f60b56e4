//! `lecture5 predict`: how a user, known or new, would rate a movie.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Source;
use super::person::{Own, Who};
use lecture5::system::terminal::say;

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
        entry["folded_in"] = json!(who.folded.is_some());
        entry["stars"] = json!(stars);
        entry["rated"] = json!(rated);
        say(entry);
        return Ok(());
    }
    let rated = rated.map_or(String::new(), |stars| format!("; the rating in the data is {stars:?}"));
    say(format!("{}: {stars:.2} stars from {}{rated}", asked.name(movie), who.name));
    if asked.model.card.movie_ratings[movie as usize] == 0 {
        say("No rating of the movie was trained on: this says only how the user rates in general.");
    }
    who.warn();
    Ok(())
}
