//! Bayesian probabilistic matrix factorization: the lecture's EmbeddingDotBias, but with many sets of embeddings
//! instead of one best set. The sets are drawn in proportion to how well they explain the ratings, and their
//! predictions are averaged. Nothing has to be regularized by hand: the spread of the embeddings is drawn as well.
//!
//! Salakhutdinov and Mnih 2008, "Bayesian probabilistic matrix factorization using Markov chain Monte Carlo",
//! with additional user and movie biases, which have their own spreads. An embedding and its bias are drawn together:
//! one after the other they would hold each other back.

use std::array::from_fn;

use rayon::prelude::*;

use super::baselines::{Biases, SHRINKAGE};
use super::linalg::{LANES, Lanes, Number, backward, cholesky, forward, sum};
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

/// The embeddings of one side (users or movies) in the current round, and its ratings, one user (or movie) after another.
struct Side<const K: usize> {
    vectors: Vec<[f32; K]>,
    bias: Vec<f32>,
    /// Precision of the biases.
    precision: f64,
    /// Where the ratings of each begin, and where the last one's end.
    starts: Vec<usize>,
    /// For each rating the other side's index, and the rating minus the mean.
    others: Vec<usize>,
    y: Vec<f32>,
}

/// The normal distribution that a side's embeddings come from.
struct Prior<const K: usize> {
    precision: [[f64; K]; K],
    /// The precision times the mean.
    pull: [f64; K],
}

impl<const K: usize> Side<K> {
    fn new(of: &[usize], others: &[usize], y: &[f32], bias: &[f64], random: &mut Random) -> Side<K> {
        let rows = rows_by(of, bias.len());
        let mut starts = vec![0];
        starts.extend(rows.iter().scan(0, |end, rows| {
            *end += rows.len();
            Some(*end)
        }));
        let order: Vec<usize> = rows.concat();
        Side {
            vectors: bias.iter().map(|_| [(); K].map(|()| (0.1 * random.normal()) as f32)).collect(),
            bias: bias.iter().map(|b| *b as f32).collect(),
            precision: 5.0,
            starts,
            others: order.iter().map(|&row| others[row]).collect(),
            y: order.iter().map(|&row| y[row]).collect(),
        }
    }

    /// Draws each embedding with its bias given the other side's, then the precision of the biases.
    fn draw(&mut self, other: &Side<K>, noise: f64, random: &mut Random) {
        const TOGETHER: usize = 32;
        let prior = draw_prior(&self.vectors, random);
        let seed = random.seed();
        let (starts, others, y, precision) = (&self.starts, &self.others, &self.y, self.precision);
        let vectors = self.vectors.par_chunks_mut(TOGETHER).zip(self.bias.par_chunks_mut(TOGETHER));
        vectors.enumerate().for_each(|(chunk, (vectors, bias))| {
            let mut random = Random::new(seed ^ chunk as u64);
            let groups = vectors.chunks_mut(LANES).zip(bias.chunks_mut(LANES));
            for (group, (vectors, bias)) in groups.enumerate() {
                let first = chunk * TOGETHER + group * LANES;
                // In a group that is not full, the last lanes are drawn for nothing.
                let mut sums = [Sums::NONE; LANES];
                let (mut normal, mut normal_of_bias) = ([Lanes::default(); K], Lanes::default());
                for (lane, sums) in sums.iter_mut().enumerate().take(vectors.len()) {
                    let rows = starts[first + lane]..starts[first + lane + 1];
                    *sums = sum_up(&others[rows.clone()], &y[rows], &other.vectors, &other.bias);
                    normal.iter_mut().for_each(|normal| normal.0[lane] = random.normal());
                    normal_of_bias.0[lane] = random.normal();
                }
                let (drawn, biases) = draw_group(&sums, noise, precision, &prior, normal, normal_of_bias);
                for (lane, (vector, bias)) in vectors.iter_mut().zip(bias).enumerate() {
                    (*vector, *bias) = (drawn.map(|v| v.0[lane] as f32), biases.0[lane] as f32);
                }
            }
        });
        let squares: f64 = self.bias.iter().map(|b| f64::from(b * b)).sum();
        self.precision = random.gamma(1.0 + self.bias.len() as f64 / 2.0) / (1.0 + squares / 2.0);
    }

    /// The sum of the squared errors of the training ratings.
    fn squared_errors(&self, other: &Side<K>) -> f64 {
        let of = |at: usize| -> f64 {
            let rows = self.starts[at]..self.starts[at + 1];
            let ratings = self.others[rows.clone()].iter().zip(&self.y[rows]);
            let error = |(&o, y): (&usize, &f32)| {
                y - self.bias[at] - other.bias[o] - dot(&self.vectors[at], &other.vectors[o])
            };
            ratings.map(error).map(|e| f64::from(e * e)).sum()
        };
        // One after another, so that the sum does not depend on the threads.
        (0..self.bias.len()).into_par_iter().map(of).collect::<Vec<f64>>().iter().sum()
    }
}

/// Draws `burn_in + rounds` sets of embeddings of length `K` by Gibbs sampling; returns the mean prediction of the later
/// ones.
pub fn sample<const K: usize>(world: &World, trn: &Rated, asked: &Pairs, with: Bpmf) -> Vec<f64> {
    let mut random = Random::new(with.seed);
    let start = Biases::fit(world, trn, SHRINKAGE);
    let (us, is) = (&trn.pairs.user, &trn.pairs.item);
    let y: Vec<f32> = trn.y.iter().map(|y| (y - start.mean) as f32).collect();
    let mut users = Side::<K>::new(us, is, &y, &start.user, &mut random);
    let mut items = Side::<K>::new(is, us, &y, &start.item, &mut random);
    let mut noise = 1.5; // precision of a rating
    let mut sums = vec![0.0; asked.len()];
    for round in 0..with.burn_in + with.rounds {
        users.draw(&items, noise, &mut random);
        items.draw(&users, noise, &mut random);
        let squares = users.squared_errors(&items);
        noise = random.gamma(1.0 + trn.len() as f64 / 2.0) / (1.0 + squares / 2.0);
        if round >= with.burn_in {
            for (sum, (&u, &i)) in sums.iter_mut().zip(asked.user.iter().zip(&asked.item)) {
                let stars = users.bias[u] + items.bias[i] + dot(&users.vectors[u], &items.vectors[i]);
                *sum += world.clamp(start.mean + f64::from(stars));
            }
        }
    }
    sums.into_iter().map(|sum| sum / with.rounds as f64).collect()
}

/// What the ratings of a user (or movie) say, with v the other side's vectors and y the ratings minus their biases.
struct Sums<const K: usize> {
    n: f32,
    y: f32,
    v: [f32; K],
    vy: [f32; K],
    vv: [[f32; K]; K],
}

impl<const K: usize> Sums<K> {
    /// Of a user (or movie) without ratings.
    const NONE: Sums<K> = Sums { n: 0.0, y: 0.0, v: [0.0; K], vy: [0.0; K], vv: [[0.0; K]; K] };
}

wide! {
    /// The sums of the ratings `y` of one user (or movie), given for these of the other side: both (n,).
    fn sum_up<const K: usize>(others: &[usize], y: &[f32], vectors: &[[f32; K]], bias: &[f32]) -> Sums<K> {
        let mut sums = Sums { n: y.len() as f32, ..Sums::NONE };
        for (&other, y) in others.iter().zip(y) {
            let (v, y) = (&vectors[other], y - bias[other]);
            sums.y += y;
            sums.v.iter_mut().zip(v).for_each(|(sum, v)| *sum += v);
            sums.vy.iter_mut().zip(v).for_each(|(sum, v)| *sum += y * v);
        }
        // One row after another: for all rows in one loop, the compiler's code spends more time on moving numbers than on
        // adding them.
        for (row, of_row) in sums.vv.iter_mut().enumerate() {
            for &other in others {
                let v = &vectors[other];
                of_row.iter_mut().zip(v).for_each(|(sum, b)| *sum += v[row] * b);
            }
        }
        sums
    }
}

/// One of the sums for each lane, times the precision of a rating.
#[inline(always)]
fn scaled<const K: usize>(sums: &[Sums<K>; LANES], noise: f64, of: impl Fn(&Sums<K>) -> f32) -> Lanes {
    Lanes::from_fn(|lane| noise * f64::from(of(&sums[lane])))
}

wide! {
    /// Draws the embeddings and biases of several users (or movies) from standard normal numbers, each embedding together
    /// with its bias. The bias is first eliminated from the equations of the vector, whose mean is then P⁻¹·b and its
    /// covariance P⁻¹; given the vector, the bias is normal.
    fn draw_group<const K: usize>(
        sums: &[Sums<K>; LANES],
        noise: f64,
        bias_precision: f64,
        prior: &Prior<K>,
        normal: [Lanes; K],
        normal_of_bias: Lanes,
    ) -> ([Lanes; K], Lanes) {
        let c = scaled(sums, noise, |sums| sums.n) + Lanes::splat(bias_precision);
        let y = scaled(sums, noise, |sums| sums.y);
        let v: [Lanes; K] = from_fn(|i| scaled(sums, noise, |sums| sums.v[i]));
        let (mut precision, mut b) = ([[Lanes::default(); K]; K], [Lanes::default(); K]);
        for i in 0..K {
            b[i] = Lanes::splat(prior.pull[i]) + (scaled(sums, noise, |sums| sums.vy[i]) - v[i] * y / c);
            for j in 0..=i {
                let given = scaled(sums, noise, |sums| sums.vv[i][j]) - v[i] * v[j] / c;
                precision[i][j] = Lanes::splat(prior.precision[i][j]) + given;
            }
        }
        // With P = L·Lᵀ and z standard normal: L⁻ᵀ·(L⁻¹·b + z).
        let l = precision.as_flattened_mut();
        cholesky(l, K);
        forward(l, K, &mut b);
        b.iter_mut().zip(normal).for_each(|(b, z)| *b = *b + z);
        backward(l, K, &mut b);
        (b, (y - sum(0..K, |i| v[i] * b[i])) / c + normal_of_bias / c.root())
    }
}

/// Draws mean and precision from their normal-Wishart posterior given the embeddings (the paper's equation 14,
/// with its constants: W₀ the identity, ν₀ = factors, β₀ = 2, μ₀ = 0).
fn draw_prior<const K: usize>(vectors: &[[f32; K]], random: &mut Random) -> Prior<K> {
    const BETA: f64 = 2.0;
    let vectors: Vec<[f64; K]> = vectors.iter().map(|v| v.map(f64::from)).collect();
    let n = vectors.len() as f64;
    let mut mean = [0.0; K];
    for v in &vectors {
        mean.iter_mut().zip(v).for_each(|(mean, v)| *mean += v / n);
    }
    let mut scale = [[0.0; K]; K]; // the inverse of W*
    for v in &vectors {
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
