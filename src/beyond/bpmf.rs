//! Bayesian probabilistic matrix factorization: the lecture's EmbeddingDotBias, but with many sets of embeddings
//! instead of one best set. The sets are drawn in proportion to how well they explain the ratings, and their
//! predictions are averaged. Nothing has to be regularized by hand: the spread of the embeddings is drawn as well.
//!
//! Salakhutdinov and Mnih 2008, "Bayesian probabilistic matrix factorization using Markov chain Monte Carlo",
//! with additional user and movie biases, which have their own spreads.

use rayon::prelude::*;

use super::baselines::{Biases, SHRINKAGE};
use super::linalg::{backward, cholesky, forward};
use super::rows::{Pairs, Rated, World, rows_by};
use crate::system::arithmetic::dot;
use crate::system::random::Random;

/// Settings of the sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bpmf {
    /// Length of the embeddings.
    pub factors: usize,
    /// Rounds of the sampler before the first that counts.
    pub burn_in: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Seed of the generators.
    pub seed: u64,
}

/// Chosen on folds of the training rows; `lecture5 tune` compares it with others.
pub const SETTINGS: Bpmf = Bpmf { factors: 8, burn_in: 80, rounds: 160, seed: 0 };

/// The model with its settings.
pub fn bpmf(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    sample(world, trn, asked, SETTINGS)
}

/// The embeddings of one side (users or movies) in the current round.
struct Side {
    /// (n, factors)
    vectors: Vec<f64>,
    bias: Vec<f64>,
    /// Rows of the training ratings of each user (or movie).
    rows: Vec<Vec<usize>>,
    /// Precision of the biases.
    precision: f64,
}

/// Mean and precision of the normal distribution that a side's embeddings come from.
struct Prior {
    mean: Vec<f64>,
    /// (factors, factors)
    precision: Vec<f64>,
}

/// Draws `burn_in + rounds` sets of embeddings by Gibbs sampling; returns the mean prediction of the later ones.
pub fn sample(world: &World, trn: &Rated, asked: &Pairs, with: Bpmf) -> Vec<f64> {
    let k = with.factors;
    let mut random = Random::new(with.seed);
    let start = Biases::fit(world, trn, SHRINKAGE);
    let (us, is) = (&trn.pairs.user, &trn.pairs.item);
    let mut side = |key: &[usize], bias: Vec<f64>| Side {
        vectors: (0..bias.len() * k).map(|_| 0.1 * random.normal()).collect(),
        rows: rows_by(key, bias.len()),
        bias,
        precision: 5.0,
    };
    let (mut users, mut items) = (side(us, start.user), side(is, start.item));
    let product = |users: &Side, items: &Side, u: usize, i: usize| {
        dot(&users.vectors[u * k..(u + 1) * k], &items.vectors[i * k..(i + 1) * k])
    };
    let mut noise = 1.5; // precision of a rating
    let mut products: Vec<f64> = us.iter().zip(is).map(|(&u, &i)| product(&users, &items, u, i)).collect();
    let mut sums = vec![0.0; asked.len()];
    for round in 0..with.burn_in + with.rounds {
        draw_biases(&mut users, noise, &mut random, |row| {
            trn.y[row] - start.mean - items.bias[is[row]] - products[row]
        });
        draw_biases(&mut items, noise, &mut random, |row| {
            trn.y[row] - start.mean - users.bias[us[row]] - products[row]
        });
        let rest: Vec<f64> =
            (0..trn.len()).map(|r| trn.y[r] - start.mean - users.bias[us[r]] - items.bias[is[r]]).collect();
        draw_vectors(&mut users, &items, is, &rest, noise, k, &mut random);
        draw_vectors(&mut items, &users, us, &rest, noise, k, &mut random);
        products = us.iter().zip(is).map(|(&u, &i)| product(&users, &items, u, i)).collect();
        let squares: f64 = rest.iter().zip(&products).map(|(r, p)| (r - p).powi(2)).sum();
        noise = random.gamma(1.0 + trn.len() as f64 / 2.0) / (1.0 + squares / 2.0);
        if round >= with.burn_in {
            for (row, sum) in sums.iter_mut().enumerate() {
                let (u, i) = (asked.user[row], asked.item[row]);
                let stars = start.mean + users.bias[u] + items.bias[i] + product(&users, &items, u, i);
                *sum += world.clamp(stars);
            }
        }
    }
    sums.into_iter().map(|sum| sum / with.rounds as f64).collect()
}

/// Draws the biases given all else, then their precision given the biases.
fn draw_biases(side: &mut Side, noise: f64, random: &mut Random, rest: impl Fn(usize) -> f64) {
    for (bias, rows) in side.bias.iter_mut().zip(&side.rows) {
        let precision = side.precision + noise * rows.len() as f64;
        let sum: f64 = rows.iter().map(|&row| rest(row)).sum();
        *bias = noise * sum / precision + random.normal() / precision.sqrt();
    }
    let squares: f64 = side.bias.iter().map(|b| b * b).sum();
    side.precision = random.gamma(1.0 + side.bias.len() as f64 / 2.0) / (1.0 + squares / 2.0);
}

/// Draws the prior of a side's embeddings, then each embedding given the other side's.
fn draw_vectors(
    side: &mut Side,
    other: &Side,
    other_of: &[usize],
    rest: &[f64],
    noise: f64,
    k: usize,
    random: &mut Random,
) {
    let prior = draw_prior(&side.vectors, k, random);
    let pull: Vec<f64> = prior.precision.chunks(k).map(|row| dot(row, &prior.mean)).collect();
    let seed = random.seed();
    const TOGETHER: usize = 64;
    let drawn = side.rows.par_chunks(TOGETHER).enumerate().map(|(chunk, of_chunk)| {
        let mut random = Random::new(seed ^ chunk as u64);
        let mut vectors = Vec::with_capacity(of_chunk.len() * k);
        for rows in of_chunk {
            let (mut precision, mut b) = (prior.precision.clone(), pull.clone());
            for &row in rows {
                let v = &other.vectors[other_of[row] * k..(other_of[row] + 1) * k];
                for i in 0..k {
                    b[i] += noise * rest[row] * v[i];
                    for j in 0..=i {
                        precision[i * k + j] += noise * v[i] * v[j];
                    }
                }
            }
            // Mean P⁻¹·b and covariance P⁻¹, with P = L·Lᵀ: L⁻ᵀ·(L⁻¹·b + z), z standard normal.
            cholesky(&mut precision, k);
            forward(&precision, k, &mut b);
            b.iter_mut().for_each(|x| *x += random.normal());
            backward(&precision, k, &mut b);
            vectors.extend(b);
        }
        vectors
    });
    side.vectors = drawn.collect::<Vec<_>>().concat();
}

/// Draws mean and precision from their normal-Wishart posterior given the embeddings (the paper's equation 14,
/// with its constants: W₀ the identity, ν₀ = factors, β₀ = 2, μ₀ = 0).
fn draw_prior(vectors: &[f64], k: usize, random: &mut Random) -> Prior {
    const BETA: f64 = 2.0;
    let n = (vectors.len() / k) as f64;
    let mean: Vec<f64> = (0..k).map(|c| vectors.iter().skip(c).step_by(k).sum::<f64>() / n).collect();
    let mut scale = vec![0.0; k * k]; // the inverse of W*
    for v in vectors.chunks(k) {
        for i in 0..k {
            for j in 0..=i {
                scale[i * k + j] += (v[i] - mean[i]) * (v[j] - mean[j]);
            }
        }
    }
    for i in 0..k {
        for j in 0..=i {
            scale[i * k + j] += n * BETA / (n + BETA) * mean[i] * mean[j] + f64::from(i == j);
        }
    }
    // Bartlett: with scale = L·Lᵀ and A lower triangular of normals and chi's, B·Bᵀ of B = L⁻ᵀ·A is Wishart.
    cholesky(&mut scale, k);
    let mut columns = Vec::with_capacity(k);
    for c in 0..k {
        let mut column = vec![0.0; k];
        column[c] = (2.0 * random.gamma((k as f64 + n - c as f64) / 2.0)).sqrt();
        column[c + 1..].iter_mut().for_each(|x| *x = random.normal());
        backward(&scale, k, &mut column);
        columns.push(column);
    }
    let mut precision = vec![0.0; k * k];
    for column in &columns {
        for i in 0..k {
            for j in 0..k {
                precision[i * k + j] += column[i] * column[j];
            }
        }
    }
    let mut l: Vec<f64> = precision.iter().map(|p| p * (BETA + n)).collect();
    cholesky(&mut l, k);
    let mut moved: Vec<f64> = (0..k).map(|_| random.normal()).collect();
    backward(&l, k, &mut moved);
    let mean = mean.iter().zip(moved).map(|(m, z)| n * m / (n + BETA) + z).collect();
    Prior { mean, precision }
}

#[cfg(test)]
mod tests {
    use super::super::baselines::biases;
    use super::super::score::mse;
    use super::*;

    /// Ratings made by vectors of length 2: the sampler finds what biases cannot.
    #[test]
    fn it_finds_vectors_that_made_the_ratings() {
        let mut random = Random::new(1);
        let (n_users, n_items) = (60, 50);
        let p: Vec<f64> = (0..2 * n_users).map(|_| random.normal()).collect();
        let q: Vec<f64> = (0..2 * n_items).map(|_| random.normal()).collect();
        let (mut trn, mut asked, mut truth) = (Rated::default(), Pairs::default(), Vec::new());
        for u in 0..n_users {
            for i in 0..n_items {
                let y = dot(&p[2 * u..2 * u + 2], &q[2 * i..2 * i + 2]) + 0.1 * random.normal();
                let (pairs, ys) = if random.uniform() < 0.6 {
                    (&mut trn.pairs, &mut trn.y)
                } else {
                    (&mut asked, &mut truth)
                };
                pairs.user.push(u);
                pairs.item.push(i);
                ys.push(y);
            }
        }
        let world = World::new(n_users, n_items, (-100.0, 100.0));
        let with = Bpmf { factors: 3, burn_in: 40, rounds: 40, seed: 0 };
        let sampled = sample(&world, &trn, &asked, with);
        assert_eq!(sampled, sample(&world, &trn, &asked, with));
        let (found, by_biases) = (mse(&sampled, &truth), mse(&biases(&world, &trn, &asked), &truth));
        assert!(found < 0.05 && by_biases > 1.0, "{found} against {by_biases}");
    }
}
