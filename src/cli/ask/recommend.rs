//! `lecture5 recommend`: what a user, known or new, should watch next.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::super::parse::whole;
use super::Source;
use super::person::{Own, Who};
use lecture5::notebook::Table;
use lecture5::system::terminal::say;

/// The arguments of `lecture5 recommend`.
#[derive(Args)]
pub struct Recommend {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    own: Own,
    /// How many movies to list.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<u16>(1, u16::MAX.into()))]
    top: u16,
    /// Leave out movies with fewer ratings in training.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u32>(1, u32::MAX.into()))]
    min_ratings: u32,
    #[command(flatten)]
    source: Source,
}

/// `lecture5 recommend`
pub fn recommend(args: Recommend) -> Result<()> {
    let asked = args.source.open()?;
    let who = asked.who(args.who.user.as_deref(), args.who.ratings.as_deref(), &args.own)?;
    let card = &asked.model.card;
    let known = |row: i64| card.movie_ratings[row as usize] >= args.min_ratings;
    let all = 0..card.movies.len() as i64;
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
        let mut answer = who.facts();
        answer["left_out"] = json!({"rated": who.rated.len(), "too_few_ratings": little_known});
        answer["recommendations"] = found.collect();
        say(answer);
        return Ok(());
    }
    say(format!("For {}:", who.name));
    let mut table = Table::new(["stars", "movie", "id", "ratings"]);
    for (row, stars) in found {
        let ratings = card.movie_ratings[row as usize].to_string();
        table.push([format!("{stars:.2}"), asked.name(row), card.movies[row as usize].clone(), ratings]);
    }
    say(table.to_text());
    let fewer = match args.min_ratings {
        1 => "that no rating was trained on".to_owned(),
        n => format!("with fewer than {n} ratings in training"),
    };
    let movies = if who.rated.len() == 1 { "movie" } else { "movies" };
    let rated = match asked.knows_ratings() || who.id.is_none() {
        true => format!("{} {movies} that {} has rated, ", who.rated.len(), who.name),
        false => String::new(),
    };
    say(format!("Left out: {rated}{little_known} {fewer}."));
    if rated.is_empty() {
        say(format!("What {} has rated is not known here, and may be in the list.", who.name));
    }
    who.warn();
    Ok(())
}
