//! SVD++ and timeSVD++: the lecture's EmbeddingDotBias without the sigmoid, where a user is also described by *which*
//! movies the user rated, and where users and movies may change with time.
//!
//! Koren 2008, "Factorization meets the neighborhood" (SVD++), and Koren 2009, "Collaborative filtering with
//! temporal dynamics" (timeSVD++). With N the movies that u rated:
//!
//! ```text
//! SVD++      mean + b_u + b_i + q_i·(p_u + |N|^−½·Σ_{j∈N} y_j)
//! timeSVD++  … + α_u·dev + b_{u,day} + b_{i,bin} and p_u + a_u·dev for p_u
//! ```
//!
//! where dev = sign(t − t_u)·|t − t_u|^0.4 (in years) says how far the time t is from the user's mean t_u, a day is one
//! on which the user rated something, and the bins cut the whole time into equal parts. Both are trained by stochastic
//! gradient descent, one user after another; several seeds are averaged.

use std::ops::Range;

use rayon::prelude::*;

use super::baselines::{Biases, SHRINKAGE};
use super::rows::{Pairs, Rated, World, rows_by};
use crate::system::arithmetic::dot;
use crate::system::prefetch::prefetch;
use crate::system::random::Random;
use crate::system::wide::wide;

/// Settings of both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Svdpp {
    /// Length of the vectors.
    pub factors: usize,
    /// Passes over the ratings.
    pub epochs: usize,
    /// Learning rate of the first epoch; it falls linearly to a tenth of it.
    pub lr: f64,
    /// Decay of the biases.
    pub wd_bias: f64,
    /// Decay of the vectors.
    pub wd_vectors: f64,
    /// Whether users and movies change with time.
    pub time: bool,
    /// Number of models, each with its own seed, whose predictions are averaged.
    pub seeds: u64,
}

/// Chosen on folds of the training rows; `lecture5 tune` compares it with others.
pub const SETTINGS: Svdpp =
    Svdpp { factors: 16, epochs: 30, lr: 0.01, wd_bias: 0.06, wd_vectors: 0.03, time: false, seeds: 4 };

/// The same for timeSVD++.
pub const TIME_SETTINGS: Svdpp = Svdpp { time: true, ..SETTINGS };

/// SVD++ with its settings.
pub fn svdpp(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    averaged(world, trn, asked, SETTINGS)
}

/// timeSVD++ with its settings.
pub fn time_svdpp(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    averaged(world, trn, asked, TIME_SETTINGS)
}

/// The mean prediction of `seeds` models.
pub fn averaged(world: &World, trn: &Rated, asked: &Pairs, with: Svdpp) -> Vec<f64> {
    let clock = with.time.then(|| Clock::new(world, &trn.pairs));
    let one = |seed: u64| {
        let mut model = Parameters::new(world, trn, with, clock.as_ref(), seed);
        model.fit(trn, with, seed);
        model.predict(world, asked)
    };
    let each: Vec<Vec<f64>> = (0..with.seeds).into_par_iter().map(one).collect();
    (0..asked.len()).map(|row| each.iter().map(|p| p[row]).sum::<f64>() / with.seeds as f64).collect()
}

const BINS: usize = 30;
/// The parameters of the rating this many places on are fetched: otherwise, most of the time goes to waiting for memory.
const AHEAD: usize = 8;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// What the training rows say about time.
struct Clock {
    /// Mean time of each user.
    mean: Vec<f64>,
    /// Days on which each user rated, sorted, as (day, parameter).
    days: Vec<Vec<(i64, usize)>>,
    n_days: usize,
    first: f64,
    last: f64,
    /// When each training row was rated.
    of_rows: Vec<Moment>,
}

/// When a pair is rated, as the model sees it; by default, at no time.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    dev: f64,
    // Not `usize`, so that less memory is read.
    day: Option<u32>,
    bin: Option<u32>,
}

impl Clock {
    fn new(world: &World, pairs: &Pairs) -> Clock {
        let mut n_days = 0;
        let (mut mean, mut days) = (vec![0.0; world.n_users], Vec::new());
        for (u, rows) in rows_by(&pairs.user, world.n_users).into_iter().enumerate() {
            mean[u] = rows.iter().map(|&r| pairs.time[r]).sum::<f64>() / rows.len().max(1) as f64;
            let mut seen: Vec<i64> = rows.iter().map(|&r| (pairs.time[r] / DAY) as i64).collect();
            seen.sort();
            seen.dedup();
            let from = n_days;
            n_days += seen.len();
            days.push(seen.into_iter().enumerate().map(|(at, day)| (day, from + at)).collect());
        }
        let (first, last) =
            pairs.time.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &t| (a.min(t), b.max(t)));
        let mut clock = Clock { mean, days, n_days, first, last, of_rows: Vec::new() };
        clock.of_rows = pairs.user.iter().zip(&pairs.time).map(|(&u, &t)| clock.moment(u, t)).collect();
        clock
    }

    /// A day on which the user rated nothing has no parameter.
    fn moment(&self, user: usize, t: f64) -> Moment {
        // For any unit of time: a rate that is right for decades is too large for more.
        let from_mean = ((t - self.mean[user]) / YEAR).clamp(-30.0, 30.0);
        let days: &Vec<(i64, usize)> = &self.days[user];
        let day = days.binary_search_by_key(&((t / DAY) as i64), |(day, _)| *day).ok();
        let share = (t - self.first) / (self.last - self.first).max(1.0);
        Moment {
            dev: from_mean.signum() * from_mean.abs().powf(0.4),
            day: day.map(|at| days[at].1 as u32),
            bin: Some(((share * BINS as f64) as u32).min(BINS as u32 - 1)),
        }
    }
}

/// The parameters in one array, so that they can be checked one by one; the fields say where each kind begins.
struct Parameters<'a> {
    theta: Vec<f64>,
    k: usize,
    mean: f64,
    clock: Option<&'a Clock>,
    /// Movies that each user rated.
    rated: Vec<Vec<usize>>,
    n_items: usize,
    bi: usize,
    alpha: usize,
    day: usize,
    bin: usize,
    p: usize,
    drift: usize,
    q: usize,
    y: usize,
}

impl<'a> Parameters<'a> {
    fn new(world: &World, trn: &Rated, with: Svdpp, clock: Option<&'a Clock>, seed: u64) -> Parameters<'a> {
        let (n, m, k) = (world.n_users, world.n_items, with.factors);
        let start = Biases::fit(world, trn, SHRINKAGE);
        let mut theta = [start.user, start.item].concat();
        let mut room = |length: usize| {
            let from = theta.len();
            theta.resize(from + length, 0.0);
            from
        };
        let alpha = room(n);
        let day = room(clock.map_or(0, |c| c.n_days));
        let bin = room(if clock.is_some() { m * BINS } else { 0 });
        // Without times the drift stays zero, so that the same loops train both models.
        let (p, drift) = (room(n * k), room(n * k));
        let (q, y) = (room(m * k), room(m * k));
        let mut random = Random::new(seed);
        for at in (p..p + n * k).chain(q..q + m * k) {
            theta[at] = 0.1 * random.normal() / (k as f64).sqrt();
        }
        let rated = rows_by(&trn.pairs.user, n);
        let rated = rated.iter().map(|rows| rows.iter().map(|&r| trn.pairs.item[r]).collect()).collect();
        Parameters {
            theta,
            k,
            mean: start.mean,
            clock,
            rated,
            n_items: m,
            bi: n,
            alpha,
            day,
            bin,
            p,
            drift,
            q,
            y,
        }
    }

    /// Where a vector (k,) of a kind is, such as that of a user among `self.p`.
    fn vector(&self, kind: usize, of: usize) -> Range<usize> {
        kind + of * self.k..kind + (of + 1) * self.k
    }

    /// Where p, the drift and q of a user and a movie are.
    fn vectors(&self, u: usize, i: usize) -> [Range<usize>; 3] {
        [self.vector(self.p, u), self.vector(self.drift, u), self.vector(self.q, i)]
    }

    /// Where the biases of a moment are: that of the user's day, and that of the movie's bin.
    fn biases_of(&self, at: Moment, i: usize) -> [Option<usize>; 2] {
        let day = at.day.map(|day| self.day + day as usize);
        [day, at.bin.map(|bin| self.bin + i * BINS + bin as usize)]
    }

    /// |N|^−½·Σ y_j
    fn implicit(&self, user: usize) -> Vec<f64> {
        let mut sum = vec![0.0; self.k];
        let rated = &self.rated[user];
        for (place, &j) in rated.iter().enumerate() {
            if let Some(next) = rated.get(place + AHEAD) {
                self.fetch(self.vector(self.y, *next));
            }
            sum.iter_mut().zip(&self.theta[self.vector(self.y, j)]).for_each(|(s, y)| *s += y);
        }
        let scale = (rated.len().max(1) as f64).powf(-0.5);
        sum.into_iter().map(|s| s * scale).collect()
    }

    /// The moment of a training row.
    fn moment(&self, row: usize) -> Moment {
        self.clock.map_or(Moment::default(), |clock| clock.of_rows[row])
    }

    /// Asks for parameters that are needed soon.
    fn fetch(&self, parameters: Range<usize>) {
        // Eight of them are a cache line.
        self.theta[parameters].iter().step_by(8).for_each(|number| prefetch(number));
    }

    /// Asks for the parameters of a movie that a rating reads; those of the user are in the cache already.
    fn fetch_movie(&self, i: usize, at: Moment) {
        prefetch(&self.theta[self.bi + i]);
        let [_, bin] = self.biases_of(at, i);
        bin.into_iter().for_each(|bin| prefetch(&self.theta[bin]));
        self.fetch(self.vector(self.q, i));
    }

    /// The prediction, in stars. The user's vector (k,) is written into `of_user`.
    fn stars(&self, u: usize, i: usize, at: Moment, implicit: &[f64], of_user: &mut [f64]) -> f64 {
        let t = &self.theta;
        let [p, drift, q] = self.vectors(u, i).map(|of| &t[of]);
        let mut stars = self.mean + t[u] + t[self.bi + i] + at.dev * t[self.alpha + u];
        self.biases_of(at, i).into_iter().flatten().for_each(|bias| stars += t[bias]);
        stars + user_times_movie(p, implicit, drift, at.dev, q, of_user)
    }

    /// One pass over a user's ratings: a step down the gradient of (error² + decay·θ²)/2 for each. The part of the
    /// user's vector that comes from the rated movies is moved once, at the end of the pass.
    fn pass(&mut self, trn: &Rated, rows: &[usize], u: usize, lr: f64, with: Svdpp) {
        let implicit = self.implicit(u);
        let (mut of_user, mut on_implicit) = (vec![0.0; self.k], vec![0.0; self.k]);
        // One after another in memory, so that it is known early which movies come next.
        let ratings = rows.iter().map(|&row| (trn.pairs.item[row], self.moment(row), trn.y[row]));
        let ratings: Vec<(usize, Moment, f64)> = ratings.collect();
        for (place, &(i, at, y)) in ratings.iter().enumerate() {
            if let Some((next, then, _)) = ratings.get(place + AHEAD) {
                self.fetch_movie(*next, *then);
            }
            let e = y - self.stars(u, i, at, &implicit, &mut of_user);
            let (biases, vectors) = (self.biases_of(at, i), self.vectors(u, i));
            let mut bias = |parameter: usize, factor: f64| {
                let b = &mut self.theta[parameter];
                *b += lr * (e * factor - with.wd_bias * *b);
            };
            bias(u, 1.0);
            bias(self.bi + i, 1.0);
            bias(self.alpha + u, at.dev);
            biases.into_iter().flatten().for_each(|parameter| bias(parameter, 1.0));
            let vectors = self.theta.get_disjoint_mut(vectors).expect("each kind has its own place");
            step(vectors, &of_user, &mut on_implicit, e, at.dev, lr, with.wd_vectors);
        }
        let scale = (rows.len().max(1) as f64).powf(-0.5);
        for &j in &self.rated[u] {
            let y = self.vector(self.y, j);
            let y = self.theta[y].iter_mut().zip(&on_implicit);
            y.for_each(|(y, g)| *y += lr * (g * scale - with.wd_vectors * *y));
        }
    }

    fn fit(&mut self, trn: &Rated, with: Svdpp, seed: u64) {
        let mut random = Random::new(!seed);
        let rows = rows_by(&trn.pairs.user, self.rated.len());
        for epoch in 0..with.epochs {
            let lr = with.lr * (1.0 - 0.9 * epoch as f64 / with.epochs as f64);
            for u in random.permutation(rows.len()) {
                let order = random.permutation(rows[u].len());
                let shuffled: Vec<usize> = order.into_iter().map(|at| rows[u][at]).collect();
                self.pass(trn, &shuffled, u, lr, with);
            }
        }
    }

    fn predict(&self, world: &World, asked: &Pairs) -> Vec<f64> {
        debug_assert_eq!(self.n_items, world.n_items);
        let implicit: Vec<Vec<f64>> = (0..world.n_users).map(|u| self.implicit(u)).collect();
        let mut of_user = vec![0.0; self.k];
        let stars = |row: usize| {
            let (u, i) = (asked.user[row], asked.item[row]);
            let at = self.clock.map_or(Moment::default(), |clock| clock.moment(u, asked.time[row]));
            world.clamp(self.stars(u, i, at, &implicit[u], &mut of_user))
        };
        (0..asked.len()).map(stars).collect()
    }
}

wide! {
    /// Writes the user's vector, p + implicit + dev·drift, into `of_user`, and returns its product with q: all are (k,).
    fn user_times_movie(
        p: &[f64],
        implicit: &[f64],
        drift: &[f64],
        dev: f64,
        q: &[f64],
        of_user: &mut [f64],
    ) -> f64 {
        for (((user, p), implicit), drift) in of_user.iter_mut().zip(p).zip(implicit).zip(drift) {
            *user = p + implicit + dev * drift;
        }
        dot(of_user, q)
    }
}

wide! {
    /// Moves p, the drift and q, (k,) each, down the gradient for one rating with the error `e`, and adds e·q to
    /// `on_implicit`.
    fn step(
        vectors: [&mut [f64]; 3],
        of_user: &[f64],
        on_implicit: &mut [f64],
        e: f64,
        dev: f64,
        lr: f64,
        wd: f64,
    ) {
        let [p, drift, q] = vectors;
        let vectors = p.iter_mut().zip(drift).zip(q).zip(of_user).zip(on_implicit);
        for ((((p, drift), q), user), on_implicit) in vectors {
            *on_implicit += e * *q;
            *p += lr * (e * *q - wd * *p);
            *drift += lr * (e * dev * *q - wd * *drift);
            *q += lr * (e * user - wd * *q);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::baselines::biases;
    use super::super::score::mse;
    use super::*;

    /// A pass over one rating moves every parameter by −lr times the derivative of its loss.
    #[test]
    fn a_step_is_the_gradient_found_by_finite_differences() {
        let world = World::new(2, 3, (0.5, 5.0));
        let time = vec![0.0, 200.0 * DAY, 0.0, 500.0 * DAY];
        let pairs = Pairs { user: vec![0, 0, 1, 1], item: vec![0, 1, 1, 2], time };
        let trn = Rated { pairs, y: vec![4.0, 2.0, 5.0, 3.0] };
        let with = Svdpp { factors: 3, time: true, wd_bias: 0.0, wd_vectors: 0.0, ..SETTINGS };
        let clock = Clock::new(&world, &trn.pairs);
        let mut model = Parameters::new(&world, &trn, with, Some(&clock), 5);
        let mut random = Random::new(7);
        model.theta.iter_mut().for_each(|t| *t += 0.3 * random.normal());
        model.rated = vec![vec![0], vec![2]]; // as many as the rows that are passed
        let before = model.theta.clone();
        let loss = |model: &Parameters| {
            let stars = model.stars(1, 2, clock.of_rows[3], &model.implicit(1), &mut [0.0; 3]);
            (trn.y[3] - stars).powi(2) / 2.0
        };
        let gradient: Vec<f64> = (0..before.len())
            .map(|at| {
                let mut moved = |by: f64| {
                    model.theta[at] = before[at] + by;
                    let loss = loss(&model);
                    model.theta[at] = before[at];
                    loss
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            })
            .collect();
        assert!(gradient.iter().filter(|g| g.abs() > 1e-6).count() >= 5 + 4 * 3, "every kind takes part");
        let lr = 1e-6;
        model.pass(&trn, &[3], 1, lr, with);
        for (at, g) in gradient.iter().enumerate() {
            let step = (model.theta[at] - before[at]) / lr;
            assert!((step + g).abs() < 1e-4, "parameter {at}: {step} against {}", -g);
        }
    }

    #[test]
    fn the_same_seeds_give_the_same_predictions_and_it_learns() {
        let mut random = Random::new(2);
        let world = World::new(30, 20, (-9.0, 9.0));
        let vectors: Vec<f64> = (0..50).map(|_| random.normal()).collect();
        let mut trn = Rated::default();
        for u in 0..30 {
            for i in 0..20 {
                trn.pairs.user.push(u);
                trn.pairs.item.push(i);
                trn.y.push(vectors[u] * vectors[30 + i]);
            }
        }
        let with = Svdpp { epochs: 60, lr: 0.03, wd_vectors: 0.01, seeds: 2, ..SETTINGS };
        let first = averaged(&world, &trn, &trn.pairs, with);
        assert_eq!(first, averaged(&world, &trn, &trn.pairs, with));
        let (found, by_biases) = (mse(&first, &trn.y), mse(&biases(&world, &trn, &trn.pairs), &trn.y));
        assert!(found < 0.3 * by_biases, "{found} against {by_biases}");
    }
}
