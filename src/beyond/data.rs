//! From the lecture's data to what the models of this module see.

use anyhow::Result;
use polars::prelude::{DataFrame, DataType};

use super::rows::{Pairs, Rated, World};
use crate::movielens::{CollabFilterDataset, Ids, MovieLens, Split, SplitBy};

/// Takes years and genres from movies.csv. Data without such columns leaves the world as it is.
fn describe(world: &mut World, movies: &DataFrame, items: &Ids) -> Result<()> {
    let (Ok(ids), Ok(titles)) = (movies.column("movieId"), movies.column("title")) else { return Ok(()) };
    let (ids, titles) = (ids.cast(&DataType::String)?, titles.cast(&DataType::String)?);
    let genres = movies.column("genres").ok().map(|c| c.cast(&DataType::String)).transpose()?;
    let genres = genres.as_ref().map(|c| c.str()).transpose()?;
    let mut names: Vec<&str> = Vec::new();
    for (row, (id, title)) in ids.str()?.iter().zip(titles.str()?.iter()).enumerate() {
        let Some(item) = id.and_then(|id| items.find(id)) else { continue };
        world.year[item as usize] = title.and_then(year_of);
        for name in genres.and_then(|g| g.get(row)).unwrap_or_default().split('|') {
            if name.is_empty() || name.starts_with('(') {
                continue; // "(no genres listed)"
            }
            let bit = names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            if bit < 64 {
                world.genres[item as usize] |= 1 << bit;
            }
        }
    }
    Ok(())
}

/// The year in the brackets at the end of a title.
fn year_of(title: &str) -> Option<f64> {
    let (_, year) = title.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let year: f64 = year.get(..4)?.parse().ok()?;
    (1850.0..2200.0).contains(&year).then_some(year)
}

/// Times in seconds, if they are in milli-, micro- or nanoseconds since 1970: no rating is later than the year 5000.
fn in_seconds(mut times: Vec<f64>) -> Vec<f64> {
    const YEAR_5000: f64 = 1e11;
    let latest = times.iter().fold(0.0, |latest: f64, time| latest.max(time.abs()));
    let unit = [1.0, 1e3, 1e6, 1e9].into_iter().find(|unit| latest / unit < YEAR_5000).unwrap_or(1e9);
    times.iter_mut().for_each(|time| *time /= unit);
    times
}

/// The lecture's data as these models see it: the world, the training ratings, the held-out pairs, and their ratings
/// separately.
pub fn from_lecture(
    ml: &MovieLens,
    cf: &CollabFilterDataset,
    by: SplitBy,
    split: &Split,
) -> Result<(World, Rated, Pairs, Vec<f64>)> {
    let time = match ml.ratings.column("timestamp") {
        Ok(column) if column.null_count() == 0 => {
            in_seconds(column.cast(&DataType::Float64)?.f64()?.iter().flatten().collect())
        }
        _ => Vec::new(),
    };
    let pairs = Pairs {
        user: cf.user_idx.iter().map(|&user| user as usize).collect(),
        item: cf.item_idx.iter().map(|&item| item as usize).collect(),
        time,
    };
    let all = Rated { pairs, y: cf.y.iter().map(|&y| f64::from(y)).collect() };
    let (trn, val) = (all.pick(&split.trn), all.pick(&split.val));
    // The range of the training ratings: nothing is taken from the held-out ones.
    let range = trn.y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &y| (a.min(y), b.max(y)));
    let mut world = World::new(cf.users.len() as usize, cf.items.len() as usize, range);
    world.split = by;
    if let Some(movies) = &ml.movies {
        describe(&mut world, movies, &cf.items)?;
    }
    Ok((world, trn, val.pairs, val.y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_smaller_units_become_seconds() {
        let seconds = vec![789652009.0, 1476640644.0];
        for unit in [1.0, 1e3, 1e6, 1e9] {
            assert_eq!(in_seconds(seconds.iter().map(|time| time * unit).collect()), seconds);
        }
        assert_eq!(in_seconds(vec![1.0, 2.0]), [1.0, 2.0]);
    }

    #[test]
    fn the_year_stands_in_the_last_brackets_of_a_title() {
        assert_eq!(year_of("Toy Story (1995)"), Some(1995.0));
        assert_eq!(year_of("Shanghai Triad (Yao a yao yao dao waipo qiao) (1995) "), Some(1995.0));
        assert_eq!(year_of("Death Note: Desu nôto (2006–2007)"), Some(2006.0));
        assert_eq!(year_of("Babylon 5"), None);
        assert_eq!(year_of("M (abc)"), None);
    }
}
