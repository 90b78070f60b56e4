//! What any model has to beat: the mean, and a number for each user and each movie.

use super::rows::{Pairs, Rated, World};

/// The mean rating for everybody and everything.
pub fn global_mean(_: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    vec![trn.mean(); asked.len()]
}

/// The mean, and how much each user and each movie is above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Biases {
    /// The mean rating, in stars.
    pub mean: f64,
    /// Of each user.
    pub user: Vec<f64>,
    /// Of each movie.
    pub item: Vec<f64>,
}

/// How strongly a bias is shrunk to zero, as a number of ratings: for a user, for a movie. Chosen on folds of the
/// training rows; `lecture5 tune` compares them with others.
pub const SHRINKAGE: (f64, f64) = (5.0, 3.0);
const ROUNDS: usize = 20;

impl Biases {
    /// Minimizes Σ(y − mean − b_u − b_i)² + λ_u·Σb_u² + λ_i·Σb_i², the users' and the movies' biases in turn (Koren
    /// 2009, "baseline predictors").
    pub fn fit(world: &World, trn: &Rated, (of_user, of_item): (f64, f64)) -> Biases {
        let mean = trn.mean();
        let (mut user, mut item) = (vec![0.0; world.n_users], vec![0.0; world.n_items]);
        let (us, is) = (&trn.pairs.user, &trn.pairs.item);
        for _ in 0..ROUNDS {
            item = shrunk_means(is, world.n_items, of_item, |row| trn.y[row] - mean - user[us[row]]);
            user = shrunk_means(us, world.n_users, of_user, |row| trn.y[row] - mean - item[is[row]]);
        }
        Biases { mean, user, item }
    }

    /// mean + b_u + b_i
    pub fn predict(&self, user: usize, item: usize) -> f64 {
        self.mean + self.user[user] + self.item[item]
    }

    /// What remains of each rating after the biases.
    pub fn residuals(&self, trn: &Rated) -> Vec<f64> {
        let pairs = trn.pairs.user.iter().zip(&trn.pairs.item);
        pairs.zip(&trn.y).map(|((&u, &i), y)| y - self.predict(u, i)).collect()
    }
}

/// For each key Σ value / (count + λ).
fn shrunk_means(key: &[usize], n: usize, lambda: f64, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![(0.0, lambda); n];
    for (row, &k) in key.iter().enumerate() {
        sums[k].0 += value(row);
        sums[k].1 += 1.0;
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

/// Regularized biases alone.
pub fn biases(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    let fitted = Biases::fit(world, trn, SHRINKAGE);
    asked.user.iter().zip(&asked.item).map(|(&u, &i)| world.clamp(fitted.predict(u, i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toy() -> (World, Rated) {
        let pairs = Pairs { user: vec![0, 0, 1], item: vec![0, 1, 0], time: vec![] };
        (World::new(3, 3, (1.0, 5.0)), Rated { pairs, y: vec![5.0, 3.0, 4.0] })
    }

    #[test]
    fn fitted_biases_solve_their_normal_equations_and_strangers_get_the_mean() {
        let (world, trn) = toy();
        let b = Biases::fit(&world, &trn, (1.0, 2.0));
        assert_eq!(b.mean, 4.0);
        let e = b.residuals(&trn);
        assert!((e[0] + e[1] - 1.0 * b.user[0]).abs() < 1e-6, "{b:?}");
        assert!((e[0] + e[2] - 2.0 * b.item[0]).abs() < 1e-6, "{b:?}");
        assert_eq!(b.predict(2, 2), 4.0);
    }
}
