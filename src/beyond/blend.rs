//! Blending: a weighted sum of several models' predictions, with weights from predictions that each model made
//! for ratings it had not seen (stacking: Wolpert 1992; by ridge regression: Breiman 1996).

use std::time::Instant;

use anyhow::Result;
use rayon::prelude::*;

use super::linalg::solve;
use super::models::Model;
use super::rows::{Pairs, Rated, World, folds};
use super::score::mse;
use crate::run::progress::Training;
use crate::system::interrupt;

/// Folds behind the weights of a blend, made as the split was made.
pub const FOLDS: usize = 1;
/// Pulls the weights toward equal ones, as strongly as this many ratings.
pub const RIDGE: f64 = 50.0;

/// A blend of some models, with what was chosen on folds of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// The weight of each model.
    pub weights: Vec<f64>,
    /// The mean squared error of each model on the folds, then the blend's.
    pub by_folds: Vec<(&'static str, f64)>,
    mean: f64,
}

impl Blend {
    /// Trains the models on part of the training rows, and chooses their weights on the rest.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`].
    pub fn fit(world: &World, trn: &Rated, models: &[Model], training: &Training) -> Result<Blend> {
        let (rows, unseen) = out_of_fold(world, trn, models, FOLDS, 0, training)?;
        let (y, mean) = (trn.pick(&rows).y, trn.mean());
        let weights = stack(&unseen, &y, mean, RIDGE);
        let mut by_folds: Vec<(&str, f64)> =
            models.iter().zip(&unseen).map(|(model, stars)| (model.name, mse(stars, &y))).collect();
        by_folds.push(("blend", mse(&blend(world, &unseen, &weights, mean), &y)));
        Ok(Blend { weights, by_folds, mean })
    }

    /// The weighted sum of the models' predictions, in stars.
    pub fn predict(&self, world: &World, predictions: &[Vec<f64>]) -> Vec<f64> {
        blend(world, predictions, &self.weights, self.mean)
    }

    /// The model, or the blend, with the lowest error on the folds.
    pub fn best(&self) -> &'static str {
        self.by_folds.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(name, _)| name)
    }
}

/// A trained model's predictions.
pub struct Trained {
    /// The model, as in the tables.
    pub name: &'static str,
    /// What it predicts, in stars.
    pub stars: Vec<f64>,
    /// How long its training took, beside that of others.
    pub seconds: f64,
}

/// What each model predicts for `asked` after training on `trn`. They are trained side by side on all processors, since not
/// each of them uses more than one.
///
/// # Errors
/// [`interrupt::Interrupted`].
pub fn predict_all(
    world: &World,
    trn: &Rated,
    models: &[Model],
    asked: &Pairs,
    training: &Training,
) -> Result<Vec<Trained>> {
    let predicted = models.par_iter().map(|model| {
        interrupt::check()?;
        let started = Instant::now();
        let stars = training.train(model.name, || (model.predict)(world, trn, asked));
        Ok(Trained { name: model.name, stars, seconds: started.elapsed().as_secs_f64() })
    });
    predicted.collect()
}

/// Training rows that were held out in `k` folds made as the split was made, and each model's predictions for them, trained
/// without them: (models, rows).
///
/// # Errors
/// [`interrupt::Interrupted`].
pub fn out_of_fold(
    world: &World,
    trn: &Rated,
    models: &[Model],
    k: usize,
    seed: u64,
    training: &Training,
) -> Result<(Vec<usize>, Vec<Vec<f64>>)> {
    let (mut rows, mut made) = (Vec::new(), vec![Vec::new(); models.len()]);
    for (learned, asked) in folds(world.split, &trn.pairs, k, seed) {
        let (part, questions) = (trn.pick(&learned), trn.pairs.pick(&asked));
        let predicted = predict_all(world, &part, models, &questions, training)?;
        made.iter_mut().zip(predicted).for_each(|(made, model)| made.extend(model.stars));
        rows.extend(asked);
    }
    Ok((rows, made))
}

/// The weights w that minimize Σ(y − mean − Σ w·(prediction − mean))² + ridge·Σ(w − 1/models)².
pub fn stack(predictions: &[Vec<f64>], y: &[f64], mean: f64, ridge: f64) -> Vec<f64> {
    let k = predictions.len();
    let start = 1.0 / k as f64;
    let (mut a, mut b) = (vec![0.0; k * k], vec![ridge * start; k]);
    for i in 0..k {
        a[i * k + i] = ridge;
        for j in 0..k {
            let products = predictions[i].iter().zip(&predictions[j]);
            a[i * k + j] += products.map(|(p, q)| (p - mean) * (q - mean)).sum::<f64>();
        }
        b[i] += predictions[i].iter().zip(y).map(|(p, y)| (p - mean) * (y - mean)).sum::<f64>();
    }
    solve(&mut a, &mut b);
    b
}

/// mean + Σ w·(prediction − mean), within the range of the ratings.
pub fn blend(world: &World, predictions: &[Vec<f64>], weights: &[f64], mean: f64) -> Vec<f64> {
    let n = predictions.first().map_or(0, Vec::len);
    let stars =
        |row: usize| mean + weights.iter().zip(predictions).map(|(w, p)| w * (p[row] - mean)).sum::<f64>();
    (0..n).map(|row| world.clamp(stars(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::models::Predict;
    use super::*;
    use crate::run::progress::Telling;

    #[test]
    fn stacking_finds_the_weights_that_made_the_ratings() {
        let predictions = [vec![1.0, 2.0, 5.0, 4.0], vec![2.0, 5.0, 1.0, 3.0]];
        let y: Vec<f64> =
            (0..4).map(|r| 3.0 + 0.7 * (predictions[0][r] - 3.0) - 0.2 * (predictions[1][r] - 3.0)).collect();
        let w = stack(&predictions, &y, 3.0, 1e-9);
        assert!((w[0] - 0.7).abs() < 1e-6 && (w[1] + 0.2).abs() < 1e-6, "{w:?}");
        let equal = stack(&predictions, &y, 3.0, 1e9);
        assert!(equal.iter().all(|w| (w - 0.5).abs() < 1e-6), "{equal:?}");
        let world = World::new(1, 1, (0.5, 5.0));
        let blended = blend(&world, &predictions, &w, 3.0);
        assert!(blended.iter().zip(&y).all(|(b, y)| (b - y.clamp(0.5, 5.0)).abs() < 1e-6));
    }

    /// A model that memorizes what it has seen gains nothing: out of fold, it has seen nothing.
    #[test]
    fn no_model_is_asked_about_a_rating_it_learned_from() {
        let world = World::new(3, 40, (1.0, 5.0));
        let pairs = Pairs {
            user: (0..120).map(|row| row % 3).collect(),
            item: (0..120).map(|row| row / 3).collect(),
            time: vec![],
        };
        let trn = Rated { pairs, y: (0..120).map(|row| 1.0 + (row % 5) as f64).collect() };
        let remembers: Predict = |_, trn, asked| {
            let seen = |row: usize| {
                let same =
                    |&r: &usize| trn.pairs.user[r] == asked.user[row] && trn.pairs.item[r] == asked.item[row];
                f64::from((0..trn.len()).any(|r| same(&r)))
            };
            (0..asked.len()).map(seen).collect()
        };
        let model = Model {
            name: "remembers",
            predict: remembers,
            needs_times: false,
            needs_pairs: false,
            blended: true,
        };
        let (rows, made) = out_of_fold(&world, &trn, &[model], 5, 0, &Training::new(Telling::Quiet)).unwrap();
        assert_eq!(rows.len(), 120);
        assert!(made[0].iter().all(|seen| *seen == 0.0));
        assert!(remembers(&world, &trn, &trn.pairs).iter().all(|seen| *seen == 1.0));
    }
}
