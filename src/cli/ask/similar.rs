//! `lecture5 similar`: which movies are similar to a movie, which users to a user.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::super::parse::whole;
use super::person::Own;
use super::{OpenModel, Source};
use lecture5::notebook::Table;
use lecture5::recommend::interpret::nearest;
use lecture5::system::terminal::say;

/// The arguments of `lecture5 similar`.
#[derive(Args)]
pub struct Similar {
    /// Movies similar to this one: a title, or an id.
    #[arg(long, value_name = "TITLE|ID", required_unless_present_any = ["user", "ratings"], conflicts_with_all = ["user", "ratings"])]
    movie: Option<String>,
    /// Users similar to this one, by id.
    #[arg(long, value_name = "ID", conflicts_with = "ratings")]
    user: Option<String>,
    /// Users similar to a new one: see `lecture5 recommend --help`.
    #[arg(long, value_name = "FILE")]
    ratings: Option<PathBuf>,
    #[command(flatten)]
    own: Own,
    /// How many to list.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u16>(1, u16::MAX.into()))]
    top: u16,
    /// Leave out movies (or users) with fewer ratings in training: their vectors are mostly chance.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX.into()))]
    min_ratings: u32,
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

fn similar_movies(asked: &OpenModel, movie: &str, args: &Similar) -> Result<()> {
    let card = &asked.model.card;
    let movie = asked.movie(movie, "--movie")?;
    let candidates = args.candidates(&card.movie_ratings, Some(movie))?;
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
        let ratings = card.movie_ratings[at].to_string();
        table.push([format!("{cosine:.3}"), asked.name(row), card.movies[at].clone(), ratings]);
    }
    say(table.to_text());
    say(format!("Movies with fewer than {} ratings in training are left out.", args.min_ratings));
    let own = card.movie_ratings[movie as usize];
    if own < args.min_ratings {
        say(format!("{} itself has {own}: do not trust this much.", asked.name(movie)));
    }
    Ok(())
}

fn similar_people(asked: &OpenModel, args: &Similar) -> Result<()> {
    let card = &asked.model.card;
    let who = asked.who(args.user.as_deref(), args.ratings.as_deref(), &args.own)?;
    let candidates = args.candidates(&card.user_ratings, who.row)?;
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
        let (user, ratings) = (&card.users[row as usize], card.user_ratings[row as usize]);
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
        let mut answer = who.facts();
        answer["similar"] = json!(similar);
        say(answer);
        return Ok(());
    }
    say(format!("Users similar to {}, by the cosine of their vectors:", who.name));
    say(table.to_text());
    who.warn();
    say(
        "\"Stars apart\" is the mean difference of their ratings of what both have rated: the vectors compare \
         tastes, not who is generous.",
    );
    Ok(())
}

impl Similar {
    /// The rows with enough ratings, except the one that the question is about.
    fn candidates(&self, ratings: &[u32], but: Option<i64>) -> Result<Vec<i64>> {
        let rows = (0..).zip(ratings).filter(|&(row, &n)| n >= self.min_ratings && Some(row) != but);
        let rows: Vec<i64> = rows.map(|(row, _)| row).collect();
        ensure!(!rows.is_empty(), "no other movie has {} ratings: lower --min-ratings", self.min_ratings);
        Ok(rows)
    }
}
