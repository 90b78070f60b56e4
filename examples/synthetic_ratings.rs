//! Writes a synthetic ratings.csv of MovieLens 25M's size, to try the program at that size:
//!
//!     cargo run --release --example synthetic_ratings -- target/25m
//!     cargo run --release -- fit --model bias --schedule 0.1x1 --data target/25m --out target/25m-out
//!
//! 25 million ratings of 162,000 users and 59,000 movies (other numbers may follow the folder, in this order). Both
//! have a long tail: a user gives 20 ratings at least and some thousands, and the movies' shares fall off as a power
//! of their rank. The ratings come from biases and two factors with noise, so that a model has something to learn.
//! The same numbers give the same file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lecture5::system::random::Random;

/// Fewest ratings of a user, as in MovieLens.
const FEWEST: usize = 20;
/// Share of the movie of rank r: 1/(r + FLAT)^FALL. The first hundred movies take a sixth of all ratings or so.
const FLAT: f64 = 40.0;
const FALL: f64 = 1.1;

/// A user's or a movie's bias and two factors.
fn taste(random: &mut Random) -> [f64; 3] {
    [0.45, 0.6, 0.6].map(|deviation| deviation * random.normal())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("name the folder to write to")?);
    let mut number =
        |default: usize| args.next().map_or(Ok(default), |text| text.parse()).context("a number");
    let (n_ratings, n_users, n_movies) = (number(25_000_000)?, number(162_000)?, number(59_000)?);
    ensure!(
        n_movies >= 2 * FEWEST && n_users >= n_movies.div_ceil(FEWEST) && n_ratings >= FEWEST * n_users,
        "{n_ratings} ratings of {n_users} users and {n_movies} movies: each user gives {FEWEST} or more, and each \
         movie gets one"
    );
    let mut random = Random::new(25);

    let counts = ratings_of_each_user(n_ratings, n_users, n_movies, &mut random)?;
    let mut total = 0.0;
    let shares: Vec<f64> = (0..n_movies)
        .map(|rank| {
            total += (rank as f64 + FLAT).powf(-FALL);
            total
        })
        .collect();
    let movies: Vec<[f64; 3]> = (0..n_movies).map(|_| taste(&mut random)).collect();
    // Ids with gaps, in an order unrelated to the rank.
    let step = (n_movies / 2..).find(|step| gcd(*step, n_movies) == 1).unwrap_or(1);
    let movie_id = |rank: usize| 1 + 3 * (rank * step % n_movies);

    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let path = folder.join("ratings.csv");
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(b"userId,movieId,rating,timestamp\n")?;
    let mut rated_by = vec![usize::MAX; n_movies];
    let mut next_unrated = 0;
    for (user, &count) in counts.iter().enumerate() {
        let taste = taste(&mut random);
        let mut rows = Vec::with_capacity(count);
        while rows.len() < count {
            // The first users go through all movies once, so that each is rated.
            let rank = if next_unrated < n_movies && rows.len() < FEWEST {
                next_unrated += 1;
                next_unrated - 1
            } else {
                let at = random.uniform() * total;
                shares.partition_point(|&share| share <= at).min(n_movies - 1)
            };
            if rated_by[rank] == user {
                continue;
            }
            rated_by[rank] = user;
            let movie = movies[rank];
            let stars = 3.5 + taste[0] + movie[0] + taste[1] * movie[1] + taste[2] * movie[2];
            let rating = ((stars + 0.7 * random.normal()) * 2.0).round().clamp(1.0, 10.0) / 2.0;
            rows.push((movie_id(rank), rating, 1_000_000_000 + random.below(500_000_000)));
        }
        rows.sort_unstable_by_key(|row| row.0);
        for (movie, rating, timestamp) in rows {
            writeln!(out, "{},{movie},{rating:.1},{timestamp}", user + 1)?;
        }
    }
    out.flush()?;
    println!("{}: {n_ratings} ratings of {n_users} users and {n_movies} movies", path.display());
    Ok(())
}

/// How many ratings each user gives: log-normal above the fewest.
fn ratings_of_each_user(n: usize, users: usize, movies: usize, random: &mut Random) -> Result<Vec<usize>> {
    let weights: Vec<f64> = (0..users).map(|_| (1.3 * random.normal()).exp()).collect();
    let (total, spare): (f64, f64) = (weights.iter().sum(), (n - FEWEST * users) as f64);
    // No user rates more than half of all movies.
    let most = movies / 2;
    let mut counts: Vec<usize> =
        weights.iter().map(|w| (FEWEST + (w / total * spare) as usize).min(most)).collect();
    let mut left = n.saturating_sub(counts.iter().sum());
    ensure!(
        n <= most * users,
        "{n} ratings are more than half of all pairs of {users} users and {movies} movies"
    );
    while left > 0 {
        for count in counts.iter_mut().filter(|count| **count < most) {
            if left == 0 {
                break;
            }
            *count += 1;
            left -= 1;
        }
    }
    Ok(counts)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
