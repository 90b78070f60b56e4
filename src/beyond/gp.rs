//! A Gaussian process over ratings: the best single model here.
//!
//! Two ratings go together to a degree, and a new one is guessed from all those it goes together with. How much
//! any two ratings go together, their covariance, is a sum of plain reasons ([`terms`]): they are of the same
//! movie, by the same user, of movies that others liked alike, of the same genre or years, given within a minute of each
//! other, and so on. Each reason has a weight. Given the covariance K of the training ratings, the guess is
//!
//! ```text
//! mean + k·(K + N)⁻¹·(y − mean)
//! ```
//!
//! with k the new rating's covariances with the training ratings and N the noise (Rasmussen and Williams 2006,
//! "Gaussian processes for machine learning", equation 2.25). Two ratings that share neither user nor movie have
//! only a few common features, so K consists of a block for each user, a block for each movie and a thin product,
//! and conjugate gradients solve for all 80,004 ratings at once without K ever being whole.
//!
//! "Liked alike" is the similarity of neighbourhoods: the products of the residuals of *other* users. A user's own
//! ratings are left out of the similarities in her own block; else the model would explain them by
//! themselves, and be too sure. The weights are chosen by the gradient of the error on folds of the training
//! rows: see [`Gp::error_and_gradient`] and `lecture5 tune`.

use super::baselines::{Biases, SHRINKAGE};
use super::rows::{Pairs, Rated, World, in_parallel, rows_by};

/// Reasons why two ratings by one user go together.
const USER_TERMS: [&str; 15] = [
    "same user",
    "user: movies that others liked alike",
    "user: movies that others rated both",
    "user: genres",
    "user: the very same genres",
    "user: years within 20",
    "user: genres and years",
    "user: popularity",
    "user: within a minute",
    "user: within ten minutes",
    "user: within two days",
    "user: within two years",
    "user: some ratings apart",
    "user: some ratings apart, and genres",
    "user: some ratings apart, and rated both",
];
/// Reasons why two ratings of one movie go together.
const ITEM_TERMS: [&str; 4] = [
    "same movie",
    "movie: users who liked alike",
    "movie: users who rated the same",
    "movie: within two years",
];
/// Features that any two ratings may share.
const SHARED_TERMS: [&str; 5] = [
    "all: genres",
    "all: how many ratings the user gave",
    "all: age of the movie",
    "all: calendar time",
    "all: popular movies and busy users",
];
/// What ratings do not share.
const NOISE_TERMS: [&str; 2] = ["noise", "noise of users who scatter"];

const N_USER: usize = USER_TERMS.len();
const N_ITEM: usize = ITEM_TERMS.len();
const N_SHARED: usize = SHARED_TERMS.len();
/// Number of weights.
pub const N_TERMS: usize = N_USER + N_ITEM + N_SHARED + NOISE_TERMS.len();

/// The names of the weights, in their order.
pub fn terms() -> impl Iterator<Item = &'static str> {
    USER_TERMS.into_iter().chain(ITEM_TERMS).chain(SHARED_TERMS).chain(NOISE_TERMS)
}

/// How much of the variance each reason explains, in stars².
pub type Weights = [f64; N_TERMS];

/// Chosen on folds of the training rows; `lecture5 tune` shows it beside others.
pub const WEIGHTS: Weights = [
    0.126, 0.063, 0.19, 0.038, 0.024, 0.08, 0.096, 0.065, 0.053, 0.07, 0.045, 0.04, 0.045, 0.048,
    0.14, // user
    0.16, 0.35, 0.18, 0.03, // movie
    0.03, 0.011, 0.006, 0.01, 0.011, // all
    0.28, 0.13, // noise
];

/// The weights without the reasons that need the time of a rating.
pub fn without_times(mut weights: Weights) -> Weights {
    for (weight, name) in weights.iter_mut().zip(terms()) {
        if TIMED.iter().any(|word| name.contains(word)) {
            *weight = 0.0;
        }
    }
    weights
}

/// Words in the names of terms that look at the clock.
const TIMED: [&str; 6] = ["within a", "within ten", "within two", "apart", "time", "age of"];

/// The process with its weights; without times where the data has none.
pub fn gp(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    let weights = if trn.pairs.have_times() { WEIGHTS } else { without_times(WEIGHTS) };
    Gp::new(world, trn, asked, weights).predict()
}

/// The process without the reasons that need times.
pub fn gp_without_times(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    Gp::new(world, trn, asked, without_times(WEIGHTS)).predict()
}

/// Pairs within users and movies beyond which a process is not tried: a gigabyte of covariances.
pub const MOST_PAIRS: usize = 250_000_000;

/// Pairs of ratings that share a user or a movie.
pub fn n_pairs(world: &World, pairs: &Pairs) -> usize {
    let squares = |rows: Vec<Vec<usize>>| rows.iter().map(|r| r.len() * r.len()).sum::<usize>();
    squares(rows_by(&pairs.user, world.n_users)) + squares(rows_by(&pairs.item, world.n_items))
}

/// What the covariance looks at in a rating.
#[derive(Debug, Clone, Copy)]
struct Look {
    user: usize,
    item: usize,
    /// Seconds since 1970; 0 where it is not known.
    time: f64,
    /// Place in the order in which the user rated, ties in the middle.
    place: f64,
    /// ln(1 + ratings that the movie has from others), about −2 to 2.
    popular: f64,
    /// ln(1 + ratings that the user gave), about −2 to 2.
    busy: f64,
    /// Ratings of the movie by others, and by the user of others.
    n_item: f64,
    n_user: f64,
    /// Of the movie; NaN where it is not known.
    year: f64,
    genres: u64,
}

/// One user's (or movie's) part of the covariances.
#[derive(Debug)]
struct Block {
    /// Training rows.
    rows: Vec<usize>,
    /// Rows that are asked.
    asked: Vec<usize>,
    /// (rows + asked, rows)
    k: Vec<f32>,
}

/// A process conditioned on training ratings.
pub struct Gp<'a> {
    weights: Weights,
    trn: &'a Rated,
    /// Of the training rows, then of those asked.
    looks: Vec<Look>,
    /// What the biases leave of each training rating, in units of its standard deviation.
    residuals: Vec<f32>,
    by_user: Side,
    by_item: Side,
    /// Features of each rating, (columns, rows + asked), and which of SHARED_TERMS a column belongs to.
    shared: Vec<(usize, Vec<f32>)>,
    /// How much more than others a training row's user scatters, (rows,).
    scatter: Vec<f32>,
    world: &'a World,
}

/// The rows of each user (or movie).
struct Side {
    rows: Vec<Vec<usize>>,
    asked: Vec<Vec<usize>>,
}

impl<'a> Gp<'a> {
    /// Looks at the training ratings and the pairs that are asked.
    pub fn new(world: &'a World, trn: &'a Rated, asked: &Pairs, weights: Weights) -> Gp<'a> {
        let n = trn.len();
        let side = |key: &[usize], asked: &[usize], size| Side {
            rows: rows_by(key, size),
            asked: rows_by(asked, size).into_iter().map(|v| v.iter().map(|row| n + row).collect()).collect(),
        };
        let by_user = side(&trn.pairs.user, &asked.user, world.n_users);
        let by_item = side(&trn.pairs.item, &asked.item, world.n_items);
        let places = places(&trn.pairs, asked, &by_user);
        let look = |pairs: &Pairs, row: usize, at: usize| {
            let (user, item) = (pairs.user[row], pairs.item[row]);
            let own = if at < n { 1.0 } else { 0.0 };
            let (n_user, n_item) =
                (by_user.rows[user].len() as f64 - own, by_item.rows[item].len() as f64 - own);
            Look {
                user,
                item,
                time: pairs.time.get(row).copied().unwrap_or(0.0),
                place: places[at],
                popular: ((1.0 + n_item).ln() - 3.0) / 1.5,
                busy: ((1.0 + n_user).ln() - 5.5) / 1.2,
                n_item,
                n_user,
                year: world.year[item].unwrap_or(f64::NAN),
                genres: world.genres[item],
            }
        };
        let mut looks: Vec<Look> = (0..n).map(|row| look(&trn.pairs, row, row)).collect();
        looks.extend((0..asked.len()).map(|row| look(asked, row, n + row)));

        let residuals = Biases::fit(world, trn, SHRINKAGE).residuals(trn);
        let variance = (residuals.iter().map(|r| r * r).sum::<f64>() / n as f64).max(1e-9);
        let of_user: Vec<f64> = by_user
            .rows
            .iter()
            .map(|rows| {
                let squares: f64 = rows.iter().map(|&r| residuals[r].powi(2)).sum();
                (squares / variance + 10.0) / (rows.len() as f64 + 10.0)
            })
            .collect();
        Gp {
            weights,
            trn,
            residuals: residuals.iter().map(|r| (r / variance.sqrt()) as f32).collect(),
            shared: shared_features(&looks),
            scatter: trn.pairs.user.iter().map(|&u| of_user[u] as f32).collect(),
            looks,
            by_user,
            by_item,
            world,
        }
    }

    /// Stars for the pairs asked.
    pub fn predict(&self) -> Vec<f64> {
        let system = System::new(self);
        let alpha = system.solve(&self.centred());
        system.times(&alpha, true).iter().map(|f| self.world.clamp(self.trn.mean() + f64::from(*f))).collect()
    }

    fn centred(&self) -> Vec<f32> {
        self.trn.y.iter().map(|y| (y - self.trn.mean()) as f32).collect()
    }

    /// The mean squared error against the ratings `y` of the pairs asked, and its derivative by the logarithm of each
    /// weight. With α = (K + N)⁻¹·y and e the derivative by the predictions, a weight's derivative is
    /// e·k′·α − ((K + N)⁻¹·kᵀ·e)·K′·α, where k′ and K′ are the covariances that the term alone gives.
    pub fn error_and_gradient(&self, y: &[f64]) -> (f64, Weights) {
        let n = self.trn.len();
        let system = System::new(self);
        let alpha = system.solve(&self.centred());
        let stars: Vec<f64> = system
            .times(&alpha, true)
            .iter()
            .map(|f| self.world.clamp(self.trn.mean() + f64::from(*f)))
            .collect();
        let errors: Vec<f64> = stars.iter().zip(y).map(|(p, y)| p - y).collect();
        let mse = errors.iter().map(|e| e * e).sum::<f64>() / y.len() as f64;
        let e: Vec<f32> = errors.iter().map(|e| (2.0 * e / y.len() as f64) as f32).collect();
        let mut left: Vec<f32> = system.solve(&system.transposed(&e)).into_iter().map(|v| -v).collect();
        left.extend(e); // (rows + asked,): what multiplies the rows of K′ and k′ from the left
        let mut gradient = [0.0; N_TERMS];
        for (side, terms) in [(&self.by_user, 0..N_USER), (&self.by_item, N_USER..N_USER + N_ITEM)] {
            let users = terms.start == 0;
            let parts = in_parallel(side.rows.len(), |b| {
                let mut sums = [0.0; N_USER];
                self.visit(side, users, b, |p, q, found| {
                    let mut w = f64::from(left[p] * alpha[q]);
                    if p < n && p != q {
                        w += f64::from(left[q] * alpha[p]); // seen once, and there twice
                    }
                    sums.iter_mut().zip(found).for_each(|(s, f)| *s += w * f);
                });
                sums
            });
            for (term, at) in terms.enumerate() {
                gradient[at] = parts.iter().map(|p| p[term]).sum::<f64>() * self.weights[at];
            }
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        for (term, column) in &self.shared {
            let at = N_USER + N_ITEM + term;
            gradient[at] += self.weights[at] * dot(column, &left) * dot(&column[..n], &alpha);
        }
        let noise = &mut gradient[N_TERMS - 2..];
        noise[0] = self.weights[N_TERMS - 2] * dot(&left[..n], &alpha);
        let scattered: Vec<f32> = alpha.iter().zip(&self.scatter).map(|(a, s)| a * s).collect();
        noise[1] = self.weights[N_TERMS - 1] * dot(&left[..n], &scattered);
        (mse, gradient)
    }

    /// Calls `see(p, q, terms)` for the pairs of a block: p and q both training rows, each unordered pair once, and p an
    /// asked row with each training row q.
    fn visit(&self, side: &Side, users: bool, b: usize, mut see: impl FnMut(usize, usize, [f64; N_USER])) {
        let (rows, asked) = (&side.rows[b], &side.asked[b]);
        let (products, common) = self.products_of_others(users, b, rows, asked);
        for (p, &at) in rows.iter().chain(asked).enumerate() {
            let last = if p < rows.len() { p + 1 } else { rows.len() };
            for (q, &to) in rows[..last].iter().enumerate() {
                let (liked, both) = (products[p * rows.len() + q], common[p * rows.len() + q]);
                let (a, b) = (&self.looks[at], &self.looks[to]);
                let terms = if users { user_terms(a, b, liked, both) } else { item_terms(a, b, liked, both) };
                see(at, to, terms);
            }
        }
    }

    /// For the movies of a user's block, two by two, Σ of the products of the residuals that each *other* user has with
    /// both, and how many such users there are: two (rows + asked, rows) arrays. For a movie's block the same
    /// with the roles exchanged.
    fn products_of_others(
        &self,
        users: bool,
        b: usize,
        rows: &[usize],
        asked: &[usize],
    ) -> (Vec<f32>, Vec<f32>) {
        let (mine, things) =
            if users { (&self.by_user, &self.by_item) } else { (&self.by_item, &self.by_user) };
        let owner = if users { &self.trn.pairs.user } else { &self.trn.pairs.item };
        let mut of_owner: Vec<Vec<(usize, f32)>> = vec![Vec::new(); mine.rows.len()];
        let mut met = Vec::new();
        for (p, &at) in rows.iter().chain(asked).enumerate() {
            let look = &self.looks[at];
            for &row in &things.rows[if users { look.item } else { look.user }] {
                if owner[row] != b {
                    if of_owner[owner[row]].is_empty() {
                        met.push(owner[row]);
                    }
                    of_owner[owner[row]].push((p, self.residuals[row]));
                }
            }
        }
        let m = rows.len();
        let size = (m + asked.len()) * m;
        let (mut products, mut common) = (vec![0.0; size], vec![0.0; size]);
        for other in met {
            let shared = &of_owner[other];
            for &(p, x) in shared {
                // Training rows come first, and in order.
                for &(q, y) in shared.iter().take_while(|(q, _)| *q < m && *q <= p) {
                    products[p * m + q] += x * y;
                    common[p * m + q] += 1.0;
                }
            }
        }
        (products, common)
    }
}

/// Each rating's place in the order in which its user rated; a pair that is asked stands where it would fall in.
fn places(trn: &Pairs, asked: &Pairs, by_user: &Side) -> Vec<f64> {
    let mut places = vec![0.0; trn.len() + asked.len()];
    if !trn.have_times() {
        return places;
    }
    for (rows, questions) in by_user.rows.iter().zip(&by_user.asked) {
        let mut times: Vec<f64> = rows.iter().map(|&row| trn.time[row]).collect();
        times.sort_by(f64::total_cmp);
        let middle = |t: f64| {
            let (before, until) = (times.partition_point(|x| *x < t), times.partition_point(|x| *x <= t));
            (before + until) as f64 / 2.0 - 0.5
        };
        for &row in rows {
            places[row] = middle(trn.time[row]);
        }
        for &row in questions {
            places[row] = middle(asked.time[row - trn.len()]);
        }
    }
    places
}

const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// Genres in common: the cosine of the two sets.
fn genres_alike(a: u64, b: u64) -> f64 {
    let n = f64::from(a.count_ones() * b.count_ones());
    if n > 0.0 { f64::from((a & b).count_ones()) / n.sqrt() } else { 0.0 }
}

/// The terms of two ratings by one user, each without its weight.
fn user_terms(a: &Look, b: &Look, liked: f32, both: f32) -> [f64; N_USER] {
    let size = ((a.n_item + 3.0) * (b.n_item + 3.0)).sqrt();
    let (liked, both) = (f64::from(liked) / size, f64::from(both) / size);
    let genres = genres_alike(a.genres, b.genres);
    let years = (a.year - b.year).abs();
    let years = if years.is_nan() { 0.0 } else { (-years / 20.0).exp() };
    let apart = (a.time - b.time).abs();
    // Places mean something within a session only.
    let near = |scale: f64| if apart < DAY / 2.0 { (-(a.place - b.place).abs() / scale).exp() } else { 0.0 };
    let some = near(20.0);
    [
        1.0,
        liked,
        both,
        genres,
        f64::from(a.genres == b.genres),
        years,
        genres * years,
        a.popular * b.popular,
        (-apart / MINUTE).exp(),
        (-apart / (10.0 * MINUTE)).exp(),
        (-apart / (2.0 * DAY)).exp(),
        (-apart / (2.0 * YEAR)).exp(),
        near(8.0),
        some * genres,
        some * both,
    ]
}

/// The terms of two ratings of one movie, each without its weight.
fn item_terms(a: &Look, b: &Look, liked: f32, both: f32) -> [f64; N_USER] {
    let size = ((a.n_user + 10.0) * (b.n_user + 10.0)).sqrt();
    let mut terms = [0.0; N_USER];
    terms[0] = 1.0;
    terms[1] = f64::from(liked) / size;
    terms[2] = f64::from(both) / size;
    terms[3] = (-(a.time - b.time).abs() / (2.0 * YEAR)).exp();
    terms
}

/// Smooth functions of what is known of a rating: bumps along each quantity. Columns with their term.
fn shared_features(looks: &[Look]) -> Vec<(usize, Vec<f32>)> {
    let mut columns = Vec::new();
    let mut column = |term: usize, value: &dyn Fn(&Look) -> f64| {
        let values: Vec<f32> = looks.iter().map(|look| value(look) as f32).collect();
        if values.iter().any(|v| *v != 0.0) {
            columns.push((term, values));
        }
    };
    let bump = |x: f64, centre: f64, width: f64| {
        let z = (x - centre) / width;
        if z.is_nan() { 0.0 } else { (-z * z).exp() }
    };
    let since_1970 = |look: &Look| look.time / YEAR;
    let age = |look: &Look| (1970.0 + since_1970(look) - look.year).max(0.0).ln_1p() / 2.0 - 1.0;
    for genre in 0..64 {
        column(0, &|l| {
            let has = l.genres >> genre & 1;
            has as f64 / f64::from(l.genres.count_ones().max(1)).sqrt()
        });
    }
    for k in -2..=2 {
        column(1, &|l| bump(l.busy, 0.8 * f64::from(k), 0.8));
    }
    for k in -3..=3 {
        column(2, &|l| if l.time > 0.0 { bump(age(l), 0.35 * f64::from(k), 0.35) } else { 0.0 });
    }
    for k in 0..16 {
        column(3, &|l| if l.time > 0.0 { bump(since_1970(l), 26.0 + 2.0 * f64::from(k), 2.0) } else { 0.0 });
    }
    column(4, &|l| l.popular * l.busy);
    columns
}

/// The system of equations: K + N over the training rows, and k.
struct System<'g> {
    n: usize,
    n_asked: usize,
    users: Vec<Block>,
    items: Vec<Block>,
    shared: Vec<(f32, &'g [f32])>,
    noise: Vec<f32>,
}

impl<'g> System<'g> {
    fn new(gp: &'g Gp) -> System<'g> {
        let w = &gp.weights;
        let blocks = |side: &Side, users: bool, weights: &[f64]| {
            in_parallel(side.rows.len(), |b| {
                let (rows, asked) = (side.rows[b].clone(), side.asked[b].clone());
                let m = rows.len();
                let mut k = Vec::with_capacity((m + asked.len()) * m);
                gp.visit(side, users, b, |p, q, terms| {
                    let sum: f64 = weights.iter().zip(terms).map(|(w, t)| w * t).sum();
                    k.push(sum as f32);
                    if p == q {
                        k.resize(k.len().next_multiple_of(m), 0.0); // filled in below
                    }
                });
                for p in 0..m {
                    for q in p + 1..m {
                        k[p * m + q] = k[q * m + p];
                    }
                }
                Block { rows, asked, k }
            })
        };
        let scatter = |s: &f32| (w[N_TERMS - 2] + w[N_TERMS - 1] * f64::from(*s)) as f32;
        System {
            n: gp.trn.len(),
            n_asked: gp.looks.len() - gp.trn.len(),
            users: blocks(&gp.by_user, true, &w[..N_USER]),
            items: blocks(&gp.by_item, false, &w[N_USER..N_USER + N_ITEM]),
            shared: gp
                .shared
                .iter()
                .map(|(term, column)| (w[N_USER + N_ITEM + term] as f32, &column[..]))
                .filter(|(weight, _)| *weight > 0.0)
                .collect(),
            noise: gp.scatter.iter().map(scatter).collect(),
        }
    }

    /// k·x over the rows asked, or (K + N)·x over the training rows.
    fn times(&self, x: &[f32], asked: bool) -> Vec<f32> {
        let n = self.n;
        let mut out = if asked {
            vec![0.0; self.n_asked]
        } else {
            x.iter().zip(&self.noise).map(|(x, noise)| x * noise).collect()
        };
        for blocks in [&self.users, &self.items] {
            let parts = in_parallel(blocks.len(), |b| {
                let block = &blocks[b];
                let m = block.rows.len();
                let mine: Vec<f32> = block.rows.iter().map(|&row| x[row]).collect();
                let k = if asked { &block.k[m * m..] } else { &block.k[..m * m] };
                k.chunks(m.max(1)).map(|row| dot(row, &mine)).collect::<Vec<f32>>()
            });
            for (block, part) in blocks.iter().zip(parts) {
                let rows = if asked { &block.asked } else { &block.rows };
                for (&row, value) in rows.iter().zip(part) {
                    out[if asked { row - n } else { row }] += value;
                }
            }
        }
        for (weight, column) in &self.shared {
            let sum = weight * dot(&column[..n], x);
            let column = if asked { &column[n..] } else { &column[..n] };
            out.iter_mut().zip(column).for_each(|(o, c)| *o += sum * c);
        }
        out
    }

    /// kᵀ·e over the training rows.
    fn transposed(&self, e: &[f32]) -> Vec<f32> {
        let n = self.n;
        let mut out = vec![0.0; n];
        for block in self.users.iter().chain(&self.items) {
            let m = block.rows.len();
            for (&row, k) in block.asked.iter().zip(block.k[m * m..].chunks(m.max(1))) {
                block.rows.iter().zip(k).for_each(|(&to, k)| out[to] += e[row - n] * k);
            }
        }
        for (weight, column) in &self.shared {
            let sum = weight * dot(&column[n..], e);
            out.iter_mut().zip(&column[..n]).for_each(|(o, c)| *o += sum * c);
        }
        out
    }

    /// (K + N)⁻¹·b by conjugate gradients (Hestenes and Stiefel 1952), until the residual is a thousandth of what it
    /// was: the predictions are then the same to five digits.
    fn solve(&self, b: &[f32]) -> Vec<f32> {
        let product =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let scaled = |r: &[f32]| r.iter().zip(&self.noise).map(|(r, n)| r / n).collect::<Vec<f32>>();
        let (mut x, mut r) = (vec![0.0f32; self.n], b.to_vec());
        let mut d = scaled(&r);
        let first = product(&r, &d);
        let mut size = first;
        for _ in 0..MOST_STEPS {
            if size <= 1e-6 * first {
                break;
            }
            let kd = self.times(&d, false);
            let step = (size / product(&d, &kd)) as f32;
            x.iter_mut().zip(&d).for_each(|(x, d)| *x += step * d);
            r.iter_mut().zip(&kd).for_each(|(r, kd)| *r -= step * kd);
            let z = scaled(&r);
            let next = product(&r, &z);
            let kept = (next / size) as f32;
            d.iter_mut().zip(&z).for_each(|(d, z)| *d = z + kept * *d);
            size = next;
        }
        x
    }
}

const MOST_STEPS: usize = 300;

/// Σ a·b in sixteen sums side by side, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (ac, bc) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = ac.remainder().iter().zip(bc.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in ac.zip(bc) {
        for l in 0..16 {
            sums[l] += a[l] * b[l];
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::super::linalg;
    use super::*;
    use crate::system::random::Random;

    /// A small world with everything in it: times with ties, years and genres, some of them unknown.
    fn toy() -> (World, Rated, Pairs, Vec<f64>) {
        let mut random = Random::new(4);
        let (n_users, n_items) = (7, 12);
        let mut world = World::new(n_users, n_items, (-50.0, 50.0));
        for i in 1..n_items {
            world.year[i] = Some(1950.0 + 5.0 * i as f64);
            world.genres[i] = random.bits() & 7;
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
    fn covariance(gp: &Gp, a: usize, b: usize) -> f64 {
        let (x, y) = (gp.looks[a], gp.looks[b]);
        let w = &gp.weights;
        let pairs = &gp.trn.pairs;
        let residual = |user: usize, item: usize| {
            (0..gp.trn.len())
                .find(|&r| pairs.user[r] == user && pairs.item[r] == item)
                .map(|r| gp.residuals[r])
        };
        let sums = |couples: Vec<(Option<f32>, Option<f32>)>| {
            let both: Vec<f32> = couples.into_iter().filter_map(|(a, b)| Some(a? * b?)).collect();
            (both.iter().sum::<f32>(), both.len() as f32)
        };
        let mut k = 0.0;
        if x.user == y.user {
            let others = (0..gp.world.n_users).filter(|&u| u != x.user);
            let (liked, both) = sums(others.map(|u| (residual(u, x.item), residual(u, y.item))).collect());
            k += linalg::dot(&w[..N_USER], &user_terms(&x, &y, liked, both));
        }
        if x.item == y.item {
            let others = (0..gp.world.n_items).filter(|&i| i != x.item);
            let (liked, both) = sums(others.map(|i| (residual(x.user, i), residual(y.user, i))).collect());
            k += linalg::dot(&w[N_USER..N_USER + N_ITEM], &item_terms(&x, &y, liked, both));
        }
        for (term, column) in &gp.shared {
            k += w[N_USER + N_ITEM + term] * f64::from(column[a]) * f64::from(column[b]);
        }
        k
    }

    #[test]
    fn its_predictions_are_those_of_the_whole_covariance_matrix_solved_directly() {
        let (world, trn, asked, _) = toy();
        let gp = Gp::new(&world, &trn, &asked, WEIGHTS);
        let n = trn.len();
        let mut k: Vec<f64> =
            (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).map(|(a, b)| covariance(&gp, a, b)).collect();
        for row in 0..n {
            k[row * n + row] += WEIGHTS[N_TERMS - 2] + WEIGHTS[N_TERMS - 1] * f64::from(gp.scatter[row]);
        }
        let mut alpha: Vec<f64> = trn.y.iter().map(|y| y - trn.mean()).collect();
        linalg::solve(&mut k, &mut alpha);
        for (at, stars) in gp.predict().iter().enumerate() {
            let direct: f64 = trn.mean() + (0..n).map(|b| covariance(&gp, n + at, b) * alpha[b]).sum::<f64>();
            assert!((stars - direct).abs() < 2e-3, "{at}: {stars} beside {direct}");
        }
    }

    #[test]
    fn the_gradient_by_the_weights_is_the_one_found_by_finite_differences() {
        let (world, trn, asked, y) = toy();
        let error = |weights: Weights| {
            let stars = Gp::new(&world, &trn, &asked, weights).predict();
            stars.iter().zip(&y).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / y.len() as f64
        };
        let (mse, gradient) = Gp::new(&world, &trn, &asked, WEIGHTS).error_and_gradient(&y);
        assert!((mse - error(WEIGHTS)).abs() < 1e-9);
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
        assert!(length(&apart) < 0.03 * length(&measured), "{gradient:?} beside {measured:?}");
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
