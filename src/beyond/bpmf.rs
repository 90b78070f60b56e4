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
use crate::system::wide::wide;

/// Settings of the sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bpmf {
    /// Rounds of the sampler before the first that counts.
    pub burn_in: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Seed of the generators.
    pub seed: u64,
}

/// Chosen on folds of the training rows; `lecture5 tune` compares it with others.
pub const SETTINGS: Bpmf = Bpmf { burn_in: 80, rounds: 160, seed: 0 };
/// Length of the embeddings, chosen likewise.
pub const FACTORS: usize = 8;

/// The model with its settings.
pub fn bpmf(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    sample::<FACTORS>(world, trn, asked, SETTINGS)
}

/// The embeddings of one side (users or movies) in the current round.
struct Side<const K: usize> {
    vectors: Vec<[f64; K]>,
    bias: Vec<f64>,
    /// Rows of the training ratings of each user (or movie).
    rows: Vec<Vec<usize>>,
    /// Precision of the biases.
    precision: f64,
}

/// The normal distribution that a side's embeddings come from.
struct Prior<const K: usize> {
    precision: [[f64; K]; K],
    /// The precision times the mean.
    pull: [f64; K],
}

/// Draws `burn_in + rounds` sets of embeddings of length `K` by Gibbs sampling; returns the mean prediction of the later
/// ones.
pub fn sample<const K: usize>(world: &World, trn: &Rated, asked: &Pairs, with: Bpmf) -> Vec<f64> {
    let mut random = Random::new(with.seed);
    let start = Biases::fit(world, trn, SHRINKAGE);
    let (us, is) = (&trn.pairs.user, &trn.pairs.item);
    let mut side = |key: &[usize], bias: Vec<f64>| Side {
        vectors: bias.iter().map(|_| [(); K].map(|()| 0.1 * random.normal())).collect(),
        rows: rows_by(key, bias.len()),
        bias,
        precision: 5.0,
    };
    let (mut users, mut items) = (side(us, start.user), side(is, start.item));
    let products_of = |users: &Side<K>, items: &Side<K>| -> Vec<f64> {
        us.iter().zip(is).map(|(&u, &i)| dot(&users.vectors[u], &items.vectors[i])).collect()
    };
    let mut noise = 1.5; // precision of a rating
    let mut products = products_of(&users, &items);
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
        draw_vectors(&mut users, &items, is, &rest, noise, &mut random);
        draw_vectors(&mut items, &users, us, &rest, noise, &mut random);
        products = products_of(&users, &items);
        let squares: f64 = rest.iter().zip(&products).map(|(r, p)| (r - p).powi(2)).sum();
        noise = random.gamma(1.0 + trn.len() as f64 / 2.0) / (1.0 + squares / 2.0);
        if round >= with.burn_in {
            for (row, sum) in sums.iter_mut().enumerate() {
                let (u, i) = (asked.user[row], asked.item[row]);
                let product = dot(&users.vectors[u], &items.vectors[i]);
                *sum += world.clamp(start.mean + users.bias[u] + items.bias[i] + product);
            }
        }
    }
    sums.into_iter().map(|sum| sum / with.rounds as f64).collect()
}

/// Draws the biases given all else, then their precision given the biases.
fn draw_biases<const K: usize>(
    side: &mut Side<K>,
    noise: f64,
    random: &mut Random,
    rest: impl Fn(usize) -> f64,
) {
    for (bias, rows) in side.bias.iter_mut().zip(&side.rows) {
        let precision = side.precision + noise * rows.len() as f64;
        let sum: f64 = rows.iter().map(|&row| rest(row)).sum();
        *bias = noise * sum / precision + random.normal() / precision.sqrt();
    }
    let squares: f64 = side.bias.iter().map(|b| b * b).sum();
    side.precision = random.gamma(1.0 + side.bias.len() as f64 / 2.0) / (1.0 + squares / 2.0);
}

/// Draws the prior of a side's embeddings, then each embedding given the other side's.
fn draw_vectors<const K: usize>(
    side: &mut Side<K>,
    other: &Side<K>,
    other_of: &[usize],
    rest: &[f64],
    noise: f64,
    random: &mut Random,
) {
    let prior = draw_prior(&side.vectors, random);
    let seed = random.seed();
    const TOGETHER: usize = 64;
    let drawn = side.rows.par_chunks(TOGETHER).enumerate().map(|(chunk, of_chunk)| {
        let mut random = Random::new(seed ^ chunk as u64);
        let draw = |rows: &Vec<usize>| {
            let normal = [(); K].map(|()| random.normal());
            draw_vector(rows, &other.vectors, other_of, rest, noise, &prior, &normal)
        };
        of_chunk.iter().map(draw).collect::<Vec<[f64; K]>>()
    });
    side.vectors = drawn.collect::<Vec<_>>().concat();
}

wide! {
    /// Draws one embedding: its mean is P⁻¹·b and its covariance P⁻¹, with P and b those of the prior and of its ratings.
    fn draw_vector<const K: usize>(
        rows: &[usize],
        others: &[[f64; K]],
        other_of: &[usize],
        rest: &[f64],
        noise: f64,
        prior: &Prior<K>,
        normal: &[f64; K],
    ) -> [f64; K] {
        let (mut precision, mut b) = (prior.precision, prior.pull);
        for &row in rows {
            let v = &others[other_of[row]];
            let weighted = v.map(|v| noise * v);
            for (b, v) in b.iter_mut().zip(&weighted) {
                *b += rest[row] * v;
            }
            for (of_row, v) in precision.iter_mut().zip(v) {
                of_row.iter_mut().zip(&weighted).for_each(|(p, w)| *p += v * w);
            }
        }
        // With P = L·Lᵀ and z standard normal: L⁻ᵀ·(L⁻¹·b + z).
        let l = precision.as_flattened_mut();
        cholesky(l, K);
        forward(l, K, &mut b);
        b.iter_mut().zip(normal).for_each(|(b, z)| *b += z);
        backward(l, K, &mut b);
        b
    }
}

/// Draws mean and precision from their normal-Wishart posterior given the embeddings (the paper's equation 14,
/// with its constants: W₀ the identity, ν₀ = factors, β₀ = 2, μ₀ = 0).
fn draw_prior<const K: usize>(vectors: &[[f64; K]], random: &mut Random) -> Prior<K> {
    const BETA: f64 = 2.0;
    let n = vectors.len() as f64;
    let mut mean = [0.0; K];
    for v in vectors {
        mean.iter_mut().zip(v).for_each(|(mean, v)| *mean += v / n);
    }
    let mut scale = [[0.0; K]; K]; // the inverse of W*
    for v in vectors {
        for i in 0..K {
            for j in 0..K {
                scale[i][j] += (v[i] - mean[i]) * (v[j] - mean[j]);
            }
        }
    }
    for i in 0..K {
        for j in 0..K {
            scale[i][j] += n * BETA / (n + BETA) * mean[i] * mean[j] + f64::from(i == j);
        }
    }
    // Bartlett: with scale = L·Lᵀ and A lower triangular of normals and chi's, B·Bᵀ of B = L⁻ᵀ·A is Wishart.
    let l = scale.as_flattened_mut();
    cholesky(l, K);
    let mut precision = [[0.0; K]; K];
    for c in 0..K {
        let mut column = [0.0; K];
        column[c] = (2.0 * random.gamma((K as f64 + n - c as f64) / 2.0)).sqrt();
        column[c + 1..].iter_mut().for_each(|x| *x = random.normal());
        backward(l, K, &mut column);
        for i in 0..K {
            for j in 0..K {
                precision[i][j] += column[i] * column[j];
            }
        }
    }
    let mut l = precision.map(|row| row.map(|p| p * (BETA + n)));
    cholesky(l.as_flattened_mut(), K);
    let mut moved = [(); K].map(|()| random.normal());
    backward(l.as_flattened(), K, &mut moved);
    for (mean, moved) in mean.iter_mut().zip(moved) {
        *mean = n * *mean / (n + BETA) + moved;
    }
    Prior { pull: precision.map(|row| dot(&row, &mean)), precision }
}

#[cfg(test)]
mod tests {
    use super::super::baselines::biases;
    use super::super::score::mse;
    use super::*;
    use crate::system::arithmetic::dot;

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
        let with = Bpmf { burn_in: 40, rounds: 40, seed: 0 };
        let sampled = sample::<3>(&world, &trn, &asked, with);
        assert_eq!(sampled, sample::<3>(&world, &trn, &asked, with));
        let (found, by_biases) = (mse(&sampled, &truth), mse(&biases(&world, &trn, &asked), &truth));
        assert!(found < 0.05 && by_biases > 1.0, "{found} against {by_biases}");
    }
}
