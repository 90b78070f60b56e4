//! What the covariances of ratings are made of, and the walk over all pairs of ratings that share a user or a movie.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::super::baselines::{Biases, SHRINKAGE};
use super::super::rows::{Pairs, Rated, World, rows_by};
use super::terms::{
    Columns, N_ITEM, N_USER, RatingFeatures, TIMED_FROM, Weights, item_terms, shared_features, user_terms,
};

/// The covariances among the training ratings, and between them and the pairs to predict, one term at a time.
pub(super) struct Covariance<'a> {
    pub trn: &'a Rated,
    /// Of the training rows, then of the pairs to predict.
    pub features: Vec<RatingFeatures>,
    pub by_user: Side,
    pub by_item: Side,
    /// Features of each rating, (columns, rows + pairs to predict), with the index of the shared term that a column
    /// belongs to.
    pub shared: Vec<(usize, Vec<f32>)>,
    /// How much more the ratings of a training row's user scatter than others', (rows,).
    pub scatter: Vec<f32>,
    /// For each row and pair to predict, the sum of the residuals of its user's training ratings of its movie, and how
    /// many there are: itself, as a rule.
    own: Vec<[f32; 2]>,
}

/// The ratings in *blocks*: all training ratings of one user, or of one movie.
pub(super) struct Side {
    pub terms: Range<usize>,
    /// The training rows, block by block.
    pub order: Vec<usize>,
    /// Where each block begins and ends in `order`.
    pub starts: Vec<usize>,
    /// Where each training row is in `order`.
    pub place: Vec<usize>,
    /// The block of each row and pair to predict.
    pub block: Vec<usize>,
    /// In the order of `order`: the features, the residual in units of the standard deviation, the other side's block.
    columns: Columns,
    pub residuals: Vec<f32>,
    others: Vec<usize>,
}

impl Side {
    fn new(
        terms: Range<usize>,
        block: Vec<usize>,
        others: &[usize],
        n_blocks: usize,
        features: &[RatingFeatures],
        residuals: &[f32],
    ) -> Side {
        let n = residuals.len();
        let mut starts = vec![0; n_blocks + 1];
        let mut order = Vec::with_capacity(n);
        for (b, rows) in rows_by(&block[..n], n_blocks).into_iter().enumerate() {
            order.extend(rows);
            starts[b + 1] = order.len();
        }
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(at, &row)| place[row] = at);
        Side {
            terms,
            columns: Columns::new(order.iter().map(|&row| &features[row])),
            residuals: order.iter().map(|&row| residuals[row]).collect(),
            others: order.iter().map(|&row| others[row]).collect(),
            order,
            starts,
            place,
            block,
        }
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many of the terms have to be computed with these weights.
    pub(super) fn n_terms(&self, weights: &Weights) -> usize {
        let mine = &weights[self.terms.clone()];
        let users = self.terms.start == 0;
        if users && mine[TIMED_FROM..].iter().all(|w| *w == 0.0) { TIMED_FROM } else { mine.len() }
    }

    /// The numbers of the training rows, in the order of `order`.
    pub(super) fn ordered(&self, of_rows: &[f32]) -> Vec<f32> {
        self.order.iter().map(|&row| of_rows[row]).collect()
    }

    /// The places of a block in `order`.
    pub(super) fn places(&self, block: usize) -> Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }
}

/// Room for what [`Covariance::visit`] computes.
struct Room {
    /// For each block of the other side: Σ of products, and how many. Zero between visits.
    sums: Vec<[f32; 2]>,
    touched: Vec<usize>,
    liked: Vec<f32>,
    both: Vec<f32>,
    terms: Vec<f32>,
}

impl<'a> Covariance<'a> {
    /// What the terms need to know of the training ratings and of the pairs to predict.
    pub(super) fn new(world: &World, trn: &'a Rated, asked: &Pairs) -> Covariance<'a> {
        let n = trn.len();
        let user: Vec<usize> = trn.pairs.user.iter().chain(&asked.user).copied().collect();
        let item: Vec<usize> = trn.pairs.item.iter().chain(&asked.item).copied().collect();
        let count = |of: &[usize], size| {
            let mut counts = vec![0.0f32; size];
            of[..n].iter().for_each(|&key| counts[key] += 1.0);
            counts
        };
        let (of_user, of_item) = (count(&user, world.n_users), count(&item, world.n_items));
        let ranks = ranks(world, &trn.pairs, asked);
        let features_of = |pairs: &Pairs, row: usize, at: usize| {
            let own = if at < n { 1.0 } else { 0.0 };
            let (n_user, n_item) = (of_user[user[at]] - own, of_item[item[at]] - own);
            RatingFeatures {
                time: pairs.time.get(row).copied().unwrap_or(0.0),
                rank: ranks[at] as f32,
                popular: ((1.0 + n_item).ln() - 3.0) / 1.5,
                busy: if n_user > 0.0 { ((1.0 + n_user).ln() - 5.5) / 1.2 } else { 0.0 },
                n_item,
                n_user,
                year: world.year[item[at]].unwrap_or(f64::NAN) as f32,
                genres: world.genres[item[at]],
            }
        };
        let mut features: Vec<RatingFeatures> = (0..n).map(|row| features_of(&trn.pairs, row, row)).collect();
        features.extend((0..asked.len()).map(|row| features_of(asked, row, n + row)));

        let residuals = Biases::fit(world, trn, SHRINKAGE).residuals(trn);
        let variance = (residuals.iter().map(|r| r * r).sum::<f64>() / n as f64).max(1e-9);
        let mut squares = vec![0.0; world.n_users];
        user[..n].iter().zip(&residuals).for_each(|(&u, r)| squares[u] += r * r);
        let scatter = |&u: &usize| ((squares[u] / variance + 10.0) / (f64::from(of_user[u]) + 10.0)) as f32;
        let residuals: Vec<f32> = residuals.iter().map(|r| (r / variance.sqrt()) as f32).collect();
        let mut of_pair: HashMap<(usize, usize), [f32; 2]> = HashMap::with_capacity(n);
        for (row, residual) in residuals.iter().enumerate() {
            let [sum, count] = of_pair.entry((user[row], item[row])).or_default();
            *sum += residual;
            *count += 1.0;
        }
        let own = user.iter().zip(&item).map(|(&u, &i)| of_pair.get(&(u, i)).copied().unwrap_or_default());
        Covariance {
            trn,
            own: own.collect(),
            shared: shared_features(&features),
            scatter: user[..n].iter().map(scatter).collect(),
            by_user: Side::new(0..N_USER, user.clone(), &item, world.n_users, &features, &residuals),
            by_item: Side::new(N_USER..N_USER + N_ITEM, item, &user, world.n_items, &features, &residuals),
            features,
        }
    }

    /// Calls `see(row, places, terms)` for each training row, with the places in its block up to its own, and for each
    /// pair to predict, with all places of its block. `terms` is (n_terms, places). Returns what `see` returned, in any
    /// order.
    pub(super) fn visit<R: Send>(
        &self,
        side: &Side,
        n_terms: usize,
        see: impl Fn(usize, Range<usize>, &[f32]) -> R + Sync,
    ) -> Vec<(usize, R)> {
        let users = side.terms.start == 0;
        let other = if users { &self.by_item } else { &self.by_user };
        // Two movies' products of residuals are summed once for all users, one movie with all others at a time; each
        // user's own products are taken off below.
        let mut at_other: Vec<Vec<usize>> = rows_by(&other.block, other.n_blocks());
        at_other.iter_mut().for_each(|rows| rows.sort_by_key(|row| side.block[*row]));
        let room = || Room {
            sums: vec![[0.0; 2]; other.n_blocks()],
            touched: Vec::new(),
            liked: Vec::new(),
            both: Vec::new(),
            terms: Vec::new(),
        };
        let visited = at_other.par_iter().enumerate().map_init(room, |room, (thing, rows)| {
            for at in other.places(thing) {
                let owner = side.block[other.order[at]];
                for place in side.places(owner) {
                    let of_other = side.others[place];
                    let [sum, count] = &mut room.sums[of_other];
                    if *count == 0.0 {
                        room.touched.push(of_other);
                    }
                    *sum += other.residuals[at] * side.residuals[place];
                    *count += 1.0;
                }
            }
            let seen = rows.iter().map(|&row| {
                let block = side.places(side.block[row]);
                let last = if row < self.trn.len() { side.place[row] + 1 } else { block.end };
                let places = block.start..last;
                let (m, own) = (places.len(), self.own[row]);
                room.liked.clear();
                room.both.clear();
                for place in places.clone() {
                    let [sum, count] = room.sums[side.others[place]];
                    let theirs = self.own[side.order[place]];
                    room.liked.push(sum - own[0] * theirs[0]);
                    room.both.push(count - own[1] * theirs[1]);
                }
                room.terms.resize(n_terms * m, 0.0);
                let (a, b) = (&self.features[row], side.columns.slice(places.start, places.end));
                let of_pairs = if users { user_terms } else { item_terms };
                if m > 0 {
                    of_pairs(a, b, &room.liked, &room.both, &mut room.terms);
                }
                (row, see(row, places, &room.terms))
            });
            let seen: Vec<(usize, R)> = seen.collect();
            room.touched.drain(..).for_each(|of_other| room.sums[of_other] = [0.0; 2]);
            seen
        });
        visited.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}

/// Each rating's rank in the order in which its user rated, from 0; a pair to predict gets the rank that it would have.
fn ranks(world: &World, trn: &Pairs, asked: &Pairs) -> Vec<f64> {
    let mut ranks = vec![0.0; trn.len() + asked.len()];
    if !trn.have_times() {
        return ranks;
    }
    let of = |pairs: &Pairs| rows_by(&pairs.user, world.n_users);
    for (rows, questions) in of(trn).iter().zip(&of(asked)) {
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
            ranks[trn.len() + row] = rank(asked.time[row]);
        }
    }
    ranks
}
