//! What the covariances of ratings are made of, and the walk over all pairs of ratings that share a user or a movie.

use super::super::baselines::{Biases, SHRINKAGE};
use super::super::rows::{Pairs, Rated, World, rows_by};
use super::terms::{N_USER, RatingFeatures, item_terms, shared_features, user_terms};

/// The covariances among the training ratings, and between them and the pairs to predict, one term at a time.
pub(super) struct Covariance<'a> {
    pub trn: &'a Rated,
    /// Of the training rows, then of the pairs to predict.
    pub features: Vec<RatingFeatures>,
    /// The residuals of the training ratings after the biases, in units of their standard deviation.
    pub residuals: Vec<f32>,
    pub by_user: Side,
    pub by_item: Side,
    /// Features of each rating, (columns, rows + asked), with the index of the shared term that a column belongs to.
    pub shared: Vec<(usize, Vec<f32>)>,
    /// How much more the ratings of a training row's user scatter than others', (rows,).
    pub scatter: Vec<f32>,
}

/// The rows of each user (or movie): those of the training ratings, and those to predict, which are numbered on from
/// the last training row.
pub(super) struct Side {
    pub rows: Vec<Vec<usize>>,
    pub asked: Vec<Vec<usize>>,
}

impl<'a> Covariance<'a> {
    /// What the terms need to know of the training ratings and of the pairs to predict.
    pub(super) fn new(world: &World, trn: &'a Rated, asked: &Pairs) -> Covariance<'a> {
        let n = trn.len();
        let side = |key: &[usize], asked: &[usize], size| Side {
            rows: rows_by(key, size),
            asked: rows_by(asked, size).into_iter().map(|v| v.iter().map(|row| n + row).collect()).collect(),
        };
        let by_user = side(&trn.pairs.user, &asked.user, world.n_users);
        let by_item = side(&trn.pairs.item, &asked.item, world.n_items);
        let ranks = ranks(&trn.pairs, asked, &by_user);
        let features_of = |pairs: &Pairs, row: usize, at: usize| {
            let (user, item) = (pairs.user[row], pairs.item[row]);
            let own = if at < n { 1.0 } else { 0.0 };
            let (n_user, n_item) =
                (by_user.rows[user].len() as f64 - own, by_item.rows[item].len() as f64 - own);
            RatingFeatures {
                user,
                item,
                time: pairs.time.get(row).copied().unwrap_or(0.0),
                rank: ranks[at],
                popular: ((1.0 + n_item).ln() - 3.0) / 1.5,
                busy: ((1.0 + n_user).ln() - 5.5) / 1.2,
                n_item,
                n_user,
                year: world.year[item].unwrap_or(f64::NAN),
                genres: world.genres[item],
            }
        };
        let mut features: Vec<RatingFeatures> = (0..n).map(|row| features_of(&trn.pairs, row, row)).collect();
        features.extend((0..asked.len()).map(|row| features_of(asked, row, n + row)));

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
        Covariance {
            trn,
            residuals: residuals.iter().map(|r| (r / variance.sqrt()) as f32).collect(),
            shared: shared_features(&features),
            scatter: trn.pairs.user.iter().map(|&u| of_user[u] as f32).collect(),
            features,
            by_user,
            by_item,
        }
    }

    /// Calls `see(p, q, terms)` for each pair of a block: two training rows p and q, in one order only, and a row to
    /// predict, p, with each training row q.
    pub(super) fn visit(
        &self,
        side: &Side,
        users: bool,
        b: usize,
        mut see: impl FnMut(usize, usize, [f64; N_USER]),
    ) {
        let (rows, asked) = (&side.rows[b], &side.asked[b]);
        let (products, common) = self.products_of_others(users, b, rows, asked);
        for (p, &at) in rows.iter().chain(asked).enumerate() {
            let last = if p < rows.len() { p + 1 } else { rows.len() };
            for (q, &to) in rows[..last].iter().enumerate() {
                let (liked, both) = (products[p * rows.len() + q], common[p * rows.len() + q]);
                let (a, b) = (&self.features[at], &self.features[to]);
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
            let rating = &self.features[at];
            for &row in &things.rows[if users { rating.item } else { rating.user }] {
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

/// Each rating's rank in the order in which its user rated, from 0; a pair to predict gets the rank that it would have.
fn ranks(trn: &Pairs, asked: &Pairs, by_user: &Side) -> Vec<f64> {
    let mut ranks = vec![0.0; trn.len() + asked.len()];
    if !trn.have_times() {
        return ranks;
    }
    for (rows, questions) in by_user.rows.iter().zip(&by_user.asked) {
        let mut times: Vec<f64> = rows.iter().map(|&row| trn.time[row]).collect();
        times.sort_by(f64::total_cmp);
        let rank = |t: f64| {
            let (before, until) = (times.partition_point(|x| *x < t), times.partition_point(|x| *x <= t));
            (before + until) as f64 / 2.0 - 0.5
        };
        for &row in rows {
            ranks[row] = rank(trn.time[row]);
        }
        for &row in questions {
            ranks[row] = rank(asked.time[row - trn.len()]);
        }
    }
    ranks
}
