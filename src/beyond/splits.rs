//! The same models on every way to split: the best model for one may lose to a number for each user and movie on another.

use anyhow::Result;

use super::blend::{Blend, predict_all};
use super::data::from_lecture;
use super::models::models_for;
use super::score::{known_and_new, mse};
use crate::movielens::{CollabFilterDataset, LECTURE_SEED, MovieLens, SplitBy};
use crate::run::metrics::{GroupScores, SplitScores};
use crate::run::progress::{Telling, Training};

/// The ways to hold rows out other than `own`; by time only if the ratings have times.
pub fn others(ml: &MovieLens, own: SplitBy) -> Vec<SplitBy> {
    let seed = own.seed().unwrap_or(LECTURE_SEED);
    let mut ways = vec![SplitBy::Random { seed }, SplitBy::User { seed }];
    ways.extend(ml.times().map(|_| SplitBy::Time));
    ways.retain(|way| *way != own);
    ways
}

/// Trains the members of the blend on the training rows of a split, and scores them on the others.
///
/// # Errors
/// The ratings cannot be split this way; [`Interrupted`](crate::system::interrupt::Interrupted).
pub fn scores(
    ml: &MovieLens,
    cf: &CollabFilterDataset,
    by: SplitBy,
    telling: Telling,
) -> Result<SplitScores> {
    let split = ml.split(cf, by)?;
    let (world, trn, val, y) = from_lecture(ml, cf, by, &split)?;
    let (mut members, _) = models_for(&world, &trn.pairs);
    members.retain(|model| model.blended);
    let training = Training::new(telling);
    training.expect(2 * members.len());
    let trained = predict_all(&world, &trn, &members, &val, &training)?;
    let mut predictions: Vec<Vec<f64>> = trained.into_iter().map(|model| model.stars).collect();
    let blend = Blend::fit(&world, &trn, &members, &training)?;
    predictions.push(blend.predict(&world, &predictions));
    Ok(split_scores(by, &blend, &predictions, &known_and_new(&trn.pairs, &val), &y))
}

/// Scores `predictions`, those of the blend's members and its own, for the rows held out; `groups` are rows of known and of
/// new users and movies, and `y` all the ratings.
pub fn split_scores(
    split: SplitBy,
    blend: &Blend,
    predictions: &[Vec<f64>],
    groups: &[(&str, Vec<usize>)],
    y: &[f64],
) -> SplitScores {
    let all = ("all", (0..y.len()).collect());
    let of = |values: &[f64], rows: &[usize]| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    let rmse = |stars: &Vec<f64>, rows: &[usize]| mse(&of(stars, rows), &of(y, rows)).sqrt();
    let group = |(name, rows): &(&str, Vec<usize>)| GroupScores {
        rows: (*name).to_owned(),
        n: rows.len(),
        rmse: predictions.iter().map(|stars| rmse(stars, rows)).collect(),
    };
    SplitScores {
        split: split.to_string(),
        models: blend.by_folds.iter().map(|(name, _)| (*name).to_owned()).collect(),
        groups: std::iter::once(&all).chain(groups).map(group).collect(),
        best: blend.best().to_owned(),
    }
}
