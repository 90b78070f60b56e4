//! A Gaussian process over ratings: the best single model here.
//!
//! Two ratings may depend on each other, and a new rating is predicted from all those that it depends on. The
//! covariance of two ratings is a weighted sum of *terms* ([`term_names`]), each a reason why they may be alike: they are
//! of the same movie, by the same user, of movies that others liked alike, of the same genres or years, given within a
//! minute of each other, and so on. Given the covariance K of the training ratings, the prediction is
//!
//! ```text
//! mean + k·(K + N)⁻¹·(y − mean)
//! ```
//!
//! with k the new rating's covariances with the training ratings and N the noise (Rasmussen and Williams 2006,
//! "Gaussian processes for machine learning", equation 2.25). Two ratings that share neither user nor movie have only a
//! few common features. So K consists of a block for each user, a block for each movie and a thin product, and
//! conjugate gradients solve for all 80,004 ratings at once without the whole K in memory. A user without training
//! ratings has no block of that kind, and features of what the user gave are unknown, not zero: what remains are the
//! movie's block and the common features.
//!
//! "Liked alike" is the similarity of neighborhoods: the products of the residuals of *other* users. A user's own
//! ratings are left out of the similarities in the user's own block; otherwise the model would explain them by
//! themselves, and be too sure. The weights are chosen by the gradient of the error on folds of the training rows: see
//! [`Gp::error_and_gradient`] and `lecture5 tune`.

mod covariance;
mod system;
mod terms;

use super::rows::{Pairs, Rated, World, rows_by};
use super::score::mse;
use crate::movielens::SplitBy;
use crate::system::arithmetic::dot;
use covariance::Covariance;
use system::{System, dot_f64};
use terms::{N_ITEM, N_USER, TIMED};
pub use terms::{N_TERMS, Weights, term_names};

/// For ratings held out at random. Chosen on such folds of the training rows; `lecture5 tune` compares it with others.
pub const WEIGHTS: Weights = [
    0.35, 0.02, 0.29, 0.08, 0.03, 0.17, 0.16, 0.054, 0.062, 0.19, 0.05, 0.067, 0.0056, 0.071, 0.28,
    0.13, // user
    0.18, 0.58, 0.46, 0.055, 0.0023, 0.0024, 0.0013, // movie
    0.2, 0.0067, 0.015, 0.0047, 0.0095, 0.002, // all
    0.27, 0.028, // noise
];

/// For each user's last ratings. Chosen on such folds (`lecture5 tune --split user`).
pub const WEIGHTS_BY_USER: Weights = [
    0.65, 0.082, 0.46, 0.11, 0.046, 0.12, 0.16, 0.066, 0.0075, 0.015, 0.19, 0.024, 0.072, 0.053, 0.038,
    0.0038, // user
    0.34, 0.53, 0.44, 0.043, 0.0031, 0.0033, 0.0059, // movie
    0.29, 0.0026, 0.028, 0.00055, 0.028, 0.016, // all
    0.33, 0.63, // noise
];

/// For all users' last ratings, most of them by new users (`lecture5 tune --split time`).
pub const WEIGHTS_BY_TIME: Weights = [
    0.0072, 0.0063, 0.14, 0.11, 0.023, 0.61, 0.054, 0.0062, 0.0061, 0.01, 0.026, 0.029, 0.0053, 0.31, 0.017,
    0.0036, // user
    0.52, 0.44, 0.039, 0.077, 0.023, 0.062, 0.017, // movie
    0.052, 0.00071, 0.071, 0.0032, 0.023, 0.0046, // all
    0.65, 0.36, // noise
];

/// The weights for what is held out: what predicts a rating among others is not what predicts the next one.
pub fn weights_for(split: SplitBy) -> Weights {
    match split {
        SplitBy::Random { .. } => WEIGHTS,
        SplitBy::User { .. } => WEIGHTS_BY_USER,
        SplitBy::Time => WEIGHTS_BY_TIME,
    }
}

/// The weights without the terms that need the time of a rating.
pub fn without_times(mut weights: Weights) -> Weights {
    for (weight, name) in weights.iter_mut().zip(term_names()) {
        if TIMED.iter().any(|word| name.contains(word)) {
            *weight = 0.0;
        }
    }
    weights
}

/// The process with its weights; without times if the data has none.
pub fn gp(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    let weights = weights_for(world.split);
    let weights = if trn.pairs.have_times() { weights } else { without_times(weights) };
    Gp::new(world, trn, asked, weights).predict()
}

/// The process without the terms that need times.
pub fn gp_without_times(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    Gp::new(world, trn, asked, without_times(weights_for(world.split))).predict()
}

/// More pairs within users and movies than this are not tried: two processes of so many, side by side, take 6 GB and some
/// minutes.
pub const MOST_PAIRS: usize = 1_000_000_000;

/// Bytes of the covariances of two processes, side by side, from [`n_pairs`]. For each pair of training ratings there are two bytes: four for
/// half of the pairs, as they are symmetric. The pairs of a rating held out with one to train on are a quarter as many, and
/// have four bytes each.
pub fn bytes(pairs: usize) -> u64 {
    2 * 3 * pairs as u64
}

/// Pairs of ratings that share a user or a movie.
pub fn n_pairs(world: &World, pairs: &Pairs) -> usize {
    let squares = |rows: Vec<Vec<usize>>| rows.iter().map(|r| r.len() * r.len()).sum::<usize>();
    squares(rows_by(&pairs.user, world.n_users)) + squares(rows_by(&pairs.item, world.n_items))
}

/// A process conditioned on training ratings.
pub struct Gp<'a> {
    world: &'a World,
    weights: Weights,
    covariance: Covariance<'a>,
}

impl<'a> Gp<'a> {
    /// The process of these training ratings, for the pairs to predict.
    pub fn new(world: &'a World, trn: &'a Rated, asked: &Pairs, weights: Weights) -> Gp<'a> {
        Gp { world, weights, covariance: Covariance::new(world, trn, asked) }
    }

    /// Stars for the pairs to predict.
    pub fn predict(&self) -> Vec<f64> {
        let system = System::new(&self.covariance, &self.weights);
        self.stars(&system, &self.alpha(&system))
    }

    /// α = (K + N)⁻¹·(y − mean)
    fn alpha(&self, system: &System) -> Vec<f32> {
        let trn = self.covariance.trn;
        let mean = trn.mean();
        system.solve(&trn.y.iter().map(|y| (y - mean) as f32).collect::<Vec<f32>>())
    }

    /// mean + k·α
    fn stars(&self, system: &System, alpha: &[f32]) -> Vec<f64> {
        let mean = self.covariance.trn.mean();
        system.predict(alpha).iter().map(|f| self.world.clamp(mean + f64::from(*f))).collect()
    }

    /// The mean squared error against the ratings `y` of the pairs to predict, and its derivative by the logarithm of
    /// each weight. With α = (K + N)⁻¹·y and e the derivative by the predictions, a weight's derivative is
    /// e·k′·α − ((K + N)⁻¹·kᵀ·e)·K′·α, where k′ and K′ are the covariances that the term alone gives.
    pub fn error_and_gradient(&self, y: &[f64]) -> (f64, Weights) {
        let of = &self.covariance;
        let n = of.trn.len();
        let system = System::new(of, &self.weights);
        let alpha = self.alpha(&system);
        let stars = self.stars(&system, &alpha);
        let slope = |(p, y): (&f64, &f64)| (2.0 * (p - y) / stars.len() as f64) as f32;
        let e: Vec<f32> = stars.iter().zip(y).map(slope).collect();
        let mut left: Vec<f32> = system.solve(&system.transposed(&e)).into_iter().map(|v| -v).collect();
        left.extend(e); // (rows + asked,): what multiplies the rows of K′ and k′ from the left
        let mut gradient = [0.0; N_TERMS];
        for side in [&of.by_user, &of.by_item] {
            let (left_of, alpha_of) = (side.ordered(&left), side.ordered(&alpha));
            let parts = of.visit(side, side.terms.len(), |row, places, terms| {
                let mut by_pair: Vec<f32> = alpha_of[places.clone()].iter().map(|a| left[row] * a).collect();
                if row < n {
                    // Each pair of two rows is visited once, but is in the matrix twice.
                    let mirrored = left_of[places.start..places.end - 1].iter().map(|l| l * alpha[row]);
                    by_pair.iter_mut().zip(mirrored).for_each(|(w, m)| *w += m);
                }
                let mut sums = [0.0; N_USER];
                for (sum, term) in sums.iter_mut().zip(terms.chunks(places.len().max(1))) {
                    *sum = f64::from(dot(term, &by_pair));
                }
                sums
            });
            for (_, sums) in parts {
                gradient[side.terms.clone()].iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
            }
        }
        let of_pairs = &mut gradient[..N_USER + N_ITEM];
        of_pairs.iter_mut().zip(&self.weights).for_each(|(g, weight)| *g *= weight);
        for (term, column) in &of.shared {
            let at = N_USER + N_ITEM + term;
            gradient[at] += self.weights[at] * dot_f64(column, &left) * dot_f64(&column[..n], &alpha);
        }
        let noise = &mut gradient[N_TERMS - 2..];
        noise[0] = self.weights[N_TERMS - 2] * dot_f64(&left[..n], &alpha);
        let scattered: Vec<f32> = alpha.iter().zip(&of.scatter).map(|(a, s)| a * s).collect();
        noise[1] = self.weights[N_TERMS - 1] * dot_f64(&left[..n], &scattered);
        (mse(&stars, y), gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linalg;
    use super::terms::{Columns, item_terms, user_terms};
    use super::*;
    use crate::system::random::Random;

    /// A small world with everything in it: times with ties, years and genres, some of them unknown.
    fn toy() -> (World, Rated, Pairs, Vec<f64>) {
        let mut random = Random::new(5);
        let (n_users, n_items) = (7, 12);
        let mut world = World::new(n_users, n_items, (-50.0, 50.0));
        for i in 1..n_items {
            world.year[i] = Some(1950.0 + 5.0 * i as f64);
            world.genres[i] = random.below(8) as u64;
        }
        let (mut trn, mut asked, mut y) = (Rated::default(), Pairs::default(), Vec::new());
        for u in 0..n_users {
            for i in 0..n_items {
                let chance = random.uniform();
                let (pairs, ys) = match chance {
                    x if x < 0.5 => (&mut trn.pairs, &mut trn.y),
                    x if x < 0.7 => (&mut asked, &mut y),
                    _ => continue,
                };
                pairs.user.push(u);
                pairs.item.push(i);
                pairs.time.push(1e9 + (20.0 * random.uniform()).floor() * 40.0 + 1e7 * u as f64);
                ys.push(3.0 + random.normal());
            }
        }
        (world, trn, asked, y)
    }

    /// The covariance of any two rows, from the definition and one pair at a time.
    fn covariance(world: &World, gp: &Gp, a: usize, b: usize) -> f64 {
        let of = &gp.covariance;
        let (x, y) = (of.features[a], of.features[b]);
        let w = &gp.weights;
        let pairs = &of.trn.pairs;
        let (of_a, of_b) = (
            [&of.by_user, &of.by_item].map(|side| side.block[a]),
            [&of.by_user, &of.by_item].map(|side| side.block[b]),
        );
        let column = Columns::new([y].iter());
        let residual = |user: usize, item: usize| {
            (0..of.trn.len())
                .find(|&r| pairs.user[r] == user && pairs.item[r] == item)
                .map(|r| of.by_user.residuals[of.by_user.place[r]])
        };
        let sums = |couples: Vec<(Option<f32>, Option<f32>)>| {
            let both: Vec<f32> = couples.into_iter().filter_map(|(a, b)| Some(a? * b?)).collect();
            (both.iter().sum::<f32>(), both.len() as f32)
        };
        let mut k = 0.0;
        if of_a[0] == of_b[0] {
            let others = (0..world.n_users).filter(|&u| u != of_a[0]);
            let (liked, both) = sums(others.map(|u| (residual(u, of_a[1]), residual(u, of_b[1]))).collect());
            let mut terms = [0.0; N_USER];
            user_terms(&x, column.slice(0, 1), &[liked], &[both], &mut terms);
            k += w[..N_USER].iter().zip(terms).map(|(w, t)| w * f64::from(t)).sum::<f64>();
        }
        if of_a[1] == of_b[1] {
            let others = (0..world.n_items).filter(|&i| i != of_a[1]);
            let (liked, both) = sums(others.map(|i| (residual(of_a[0], i), residual(of_b[0], i))).collect());
            let mut terms = [0.0; N_ITEM];
            item_terms(&x, column.slice(0, 1), &[liked], &[both], &mut terms);
            k += w[N_USER..].iter().zip(terms).map(|(w, t)| w * f64::from(t)).sum::<f64>();
        }
        for (term, column) in &of.shared {
            k += w[N_USER + N_ITEM + term] * f64::from(column[a]) * f64::from(column[b]);
        }
        k
    }

    #[test]
    fn its_predictions_are_those_of_the_whole_covariance_matrix_solved_directly() {
        let (world, trn, asked, _) = toy();
        let gp = Gp::new(&world, &trn, &asked, WEIGHTS);
        let n = trn.len();
        let mut k: Vec<f64> = (0..n)
            .flat_map(|a| (0..n).map(move |b| (a, b)))
            .map(|(a, b)| covariance(&world, &gp, a, b))
            .collect();
        for row in 0..n {
            k[row * n + row] +=
                WEIGHTS[N_TERMS - 2] + WEIGHTS[N_TERMS - 1] * f64::from(gp.covariance.scatter[row]);
        }
        let mut alpha: Vec<f64> = trn.y.iter().map(|y| y - trn.mean()).collect();
        linalg::solve(&mut k, &mut alpha);
        for (at, stars) in gp.predict().iter().enumerate() {
            let direct: f64 =
                trn.mean() + (0..n).map(|b| covariance(&world, &gp, n + at, b) * alpha[b]).sum::<f64>();
            assert!((stars - direct).abs() < 2e-3, "{at}: {stars} against {direct}");
        }
    }

    #[test]
    fn the_gradient_by_the_weights_is_the_one_found_by_finite_differences() {
        let (world, trn, asked, y) = toy();
        let error = |weights: Weights| mse(&Gp::new(&world, &trn, &asked, weights).predict(), &y);
        let (found, gradient) = Gp::new(&world, &trn, &asked, WEIGHTS).error_and_gradient(&y);
        assert!((found - error(WEIGHTS)).abs() < 1e-9);
        // Each of the two errors carries the solver's tolerance, so the derivatives are compared all together.
        let measured: Vec<f64> = (0..N_TERMS)
            .map(|at| {
                let moved = |by: f64| {
                    let mut weights = WEIGHTS;
                    weights[at] *= f64::exp(by);
                    error(weights)
                };
                (moved(0.2) - moved(-0.2)) / 0.4
            })
            .collect();
        let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let apart: Vec<f64> = gradient.iter().zip(&measured).map(|(g, m)| g - m).collect();
        assert!(length(&apart) < 0.03 * length(&measured), "{gradient:?} against {measured:?}");
    }

    #[test]
    fn without_times_no_time_matters() {
        let (world, trn, mut asked, _) = toy();
        let before = gp_without_times(&world, &trn, &asked);
        asked.time.iter_mut().for_each(|t| *t += 3e7);
        assert_eq!(before, gp_without_times(&world, &trn, &asked));
        assert_ne!(before, gp(&world, &trn, &asked));
    }
}
