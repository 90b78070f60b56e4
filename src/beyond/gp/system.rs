//! The system of equations behind the predictions, solved without the whole covariance matrix in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::covariance::{Covariance, Side};
use super::terms::{N_ITEM, N_TERMS, N_USER, Weights};
use crate::system::arithmetic::dot;
use crate::system::wide::wide;

/// One side's part of the covariances.
struct Part<'c> {
    side: &'c Side,
    /// For each place of the side's order, the covariances with the places of its block up to itself: the lower
    /// triangle.
    lower: Rows,
    /// For each pair to predict, the covariances with the places of its block.
    asked: Rows,
    /// Blocks in groups that are about as much work as each other.
    groups: Vec<Range<usize>>,
}

/// Rows of covariances, one after another in memory: the solver reads all of them in each step, and waits for memory more
/// than it computes.
struct Rows {
    k: Vec<f32>,
    /// Where each row begins in `k`, and where the last one ends.
    starts: Vec<usize>,
}

impl Rows {
    /// Rows of these lengths, filled with zeros.
    fn new(lengths: impl Iterator<Item = usize>) -> Rows {
        let mut starts = vec![0];
        starts.extend(lengths.scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        Rows { k: vec![0.0; starts[starts.len() - 1]], starts }
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.k[self.starts[at]..self.starts[at + 1]]
    }

    fn set(&mut self, at: usize, k: &[f32]) {
        self.k[self.starts[at]..self.starts[at + 1]].copy_from_slice(k);
    }
}

/// The system of equations: K + N over the training rows, and k.
pub(super) struct System<'c> {
    n: usize,
    n_asked: usize,
    parts: [Part<'c>; 2],
    shared: Vec<(f32, &'c [f32])>,
    noise: Vec<f32>,
}

/// Σ a·b, summed in double precision.
pub(super) fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

wide! {
    /// out += weight·row
    fn add(weight: f32, row: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
    }
}

wide! {
    /// A block's symmetric matrix, of which the rows of the lower triangle are given, times `x`: added to `out`.
    fn times_block(lower: &Rows, places: Range<usize>, x: &[f32], out: &mut [f32]) {
        for (p, place) in places.enumerate() {
            let row = lower.row(place);
            out[p] += dot(row, &x[..=p]);
            out[..p].iter_mut().zip(row).for_each(|(out, k)| *out += k * x[p]);
        }
    }
}

impl<'c> Part<'c> {
    fn new(of: &'c Covariance, side: &'c Side, weights: &Weights) -> Part<'c> {
        let n = of.trn.len();
        let in_block = |row: usize| side.places(side.block[row]);
        let mut lower =
            Rows::new(side.order.iter().enumerate().map(|(place, &row)| place + 1 - in_block(row).start));
        let mut asked = Rows::new((n..of.features.len()).map(|row| in_block(row).len()));
        let rows = of.visit(side, side.n_terms(weights), |_, places, terms| {
            let mut sum = vec![0.0; places.len()];
            for (weight, term) in weights[side.terms.clone()].iter().zip(terms.chunks(places.len().max(1))) {
                if *weight > 0.0 {
                    add(*weight as f32, term, &mut sum);
                }
            }
            sum
        });
        for (row, k) in rows {
            if row < n {
                lower.set(side.place[row], &k);
            } else {
                asked.set(row - n, &k);
            }
        }
        Part { side, lower, asked, groups: groups(side) }
    }

    /// K·x, added to `out`.
    fn times(&self, x: &[f32], out: &mut [f32]) {
        let of_group = |blocks: &Range<usize>| {
            let (from, to) = (self.side.starts[blocks.start], self.side.starts[blocks.end]);
            let mine: Vec<f32> = self.side.order[from..to].iter().map(|&row| x[row]).collect();
            let mut sums = vec![0.0; to - from];
            for block in blocks.clone() {
                let places = self.side.places(block);
                let inside = places.start - from..places.end - from;
                times_block(&self.lower, places, &mine[inside.clone()], &mut sums[inside]);
            }
            sums
        };
        let sums: Vec<Vec<f32>> = self.groups.par_iter().map(of_group).collect();
        self.side.order.iter().zip(sums.iter().flatten()).for_each(|(&row, sum)| out[row] += sum);
    }
}

/// Contiguous blocks with about the same number of pairs.
fn groups(side: &Side) -> Vec<Range<usize>> {
    const GROUPS: usize = 32;
    let pairs = |block: usize| side.places(block).len().pow(2) + 1;
    let most = (0..side.n_blocks()).map(pairs).sum::<usize>() / GROUPS;
    let (mut groups, mut from, mut sum) = (Vec::new(), 0, 0);
    for block in 0..side.n_blocks() {
        sum += pairs(block);
        if sum > most || block + 1 == side.n_blocks() {
            groups.push(from..block + 1);
            (from, sum) = (block + 1, 0);
        }
    }
    groups
}

impl<'c> System<'c> {
    pub(super) fn new(of: &'c Covariance, w: &Weights) -> System<'c> {
        let scatter = |s: &f32| (w[N_TERMS - 2] + w[N_TERMS - 1] * f64::from(*s)) as f32;
        System {
            n: of.trn.len(),
            n_asked: of.features.len() - of.trn.len(),
            parts: [&of.by_user, &of.by_item].map(|side| Part::new(of, side, w)),
            shared: of
                .shared
                .iter()
                .map(|(term, column)| (w[N_USER + N_ITEM + term] as f32, &column[..]))
                .filter(|(weight, _)| *weight > 0.0)
                .collect(),
            noise: of.scatter.iter().map(scatter).collect(),
        }
    }

    /// (K + N)·x over the training rows.
    fn times(&self, x: &[f32]) -> Vec<f32> {
        let mut out: Vec<f32> = x.iter().zip(&self.noise).map(|(x, noise)| x * noise).collect();
        self.parts.iter().for_each(|part| part.times(x, &mut out));
        self.add_shared(0..self.n, x, 0..self.n, &mut out);
        out
    }

    /// k·x over the pairs to predict.
    pub(super) fn predict(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.n_asked];
        for Part { side, asked, .. } in &self.parts {
            let mine = side.ordered(x);
            for (at, out) in out.iter_mut().enumerate() {
                *out += dot(asked.row(at), &mine[side.places(side.block[self.n + at])]);
            }
        }
        self.add_shared(0..self.n, x, self.n..self.n + self.n_asked, &mut out);
        out
    }

    /// kᵀ·e over the training rows.
    pub(super) fn transposed(&self, e: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.n];
        for Part { side, asked, .. } in &self.parts {
            for (at, e) in e.iter().enumerate() {
                let rows = &side.order[side.places(side.block[self.n + at])];
                rows.iter().zip(asked.row(at)).for_each(|(&row, k)| out[row] += e * k);
            }
        }
        self.add_shared(self.n..self.n + self.n_asked, e, 0..self.n, &mut out);
        out
    }

    /// The part of the shared features: those of the rows `from`, which have the numbers `x`, to those of the rows `to`.
    fn add_shared(&self, from: Range<usize>, x: &[f32], to: Range<usize>, out: &mut [f32]) {
        const TOGETHER: usize = 4096;
        let sum = |(weight, column): &(f32, &[f32])| weight * dot(&column[from.clone()], x);
        let sums: Vec<f32> = self.shared.par_iter().map(sum).collect();
        out.par_chunks_mut(TOGETHER).enumerate().for_each(|(chunk, out)| {
            let start = to.start + chunk * TOGETHER;
            for ((_, column), sum) in self.shared.iter().zip(&sums) {
                add(*sum, &column[start..start + out.len()], out);
            }
        });
    }

    /// (K + N)⁻¹·b by conjugate gradients (Hestenes and Stiefel 1952), until the residual is a thousandth
    /// of the first: the errors of the predictions are then the same to four digits.
    pub(super) fn solve(&self, b: &[f32]) -> Vec<f32> {
        let nearly = Nearly::new(self);
        let (mut x, mut r) = (vec![0.0f32; self.n], b.to_vec());
        let mut d = nearly.solve(&r);
        let first = dot_f64(&r, &d);
        let mut size = first;
        for _ in 0..MOST_STEPS {
            if size <= 1e-6 * first {
                break;
            }
            let kd = self.times(&d);
            let step = (size / dot_f64(&d, &kd)) as f32;
            add(step, &d, &mut x);
            add(-step, &kd, &mut r);
            let z = nearly.solve(&r);
            let next = dot_f64(&r, &z);
            let kept = (next / size) as f32;
            d.iter_mut().zip(&z).for_each(|(d, z)| *d = z + kept * *d);
            size = next;
        }
        x
    }
}

const MOST_STEPS: usize = 300;

/// A system that is nearly the whole one and quick to solve: two ratings in one block have the block's mean covariance,
/// and all else is noise. It is that of a number for each user and each movie, and preconditions the other one.
struct Nearly<'s> {
    parts: &'s [Part<'s>; 2],
    /// The mean covariance of each block's pairs, and 1/(1/covariance + Σ 1/noise), for both sides.
    covariance: [Vec<f32>; 2],
    scale: [Vec<f32>; 2],
    /// 1/noise
    per_noise: Vec<f32>,
}

impl<'s> Nearly<'s> {
    fn new(system: &'s System) -> Nearly<'s> {
        let covariance = [0, 1].map(|at| {
            let part = &system.parts[at];
            let mean = |block| {
                let places = part.side.places(block);
                let pairs = places.len() * places.len().saturating_sub(1) / 2;
                let before_itself = |place: usize| {
                    let row = part.lower.row(place);
                    row[..row.len() - 1].iter().sum::<f32>()
                };
                let sum: f32 = places.map(before_itself).sum();
                if pairs > 0 { (sum / pairs as f32).max(0.0) } else { 0.0 }
            };
            (0..part.side.n_blocks()).into_par_iter().map(mean).collect::<Vec<f32>>()
        });
        let mut noise = system.noise.clone();
        for (part, covariance) in system.parts.iter().zip(&covariance) {
            for (place, &row) in part.side.order.iter().enumerate() {
                let own = part.lower.row(place).last().copied().unwrap_or(0.0);
                noise[row] += (own - covariance[part.side.block[row]]).max(0.0);
            }
        }
        let per_noise: Vec<f32> = noise.iter().map(|noise| noise.recip()).collect();
        let scale = [0, 1].map(|at| {
            let side = system.parts[at].side;
            let mut sums: Vec<f32> = covariance[at].iter().map(|c: &f32| c.recip()).collect();
            per_noise.iter().zip(&side.block).for_each(|(per, &block)| sums[block] += per);
            sums.iter().map(|sum| sum.recip()).collect()
        });
        Nearly { parts: &system.parts, covariance, scale, per_noise }
    }

    /// One sweep over users, movies and users again; that is symmetric, as conjugate gradients require.
    fn solve(&self, r: &[f32]) -> Vec<f32> {
        let mut z: Vec<f32> = r.iter().zip(&self.per_noise).map(|(r, per)| r * per).collect();
        let mut levels = [0, 1].map(|at| vec![0.0f32; self.covariance[at].len()]);
        for at in [0, 1, 0] {
            let side = self.parts[at].side;
            let level = &mut levels[at];
            // What the residual and the block's own level leave: Σ z − level/covariance.
            let of_level = |(level, c): (&f32, &f32)| if *c > 0.0 { -level / c } else { 0.0 };
            let mut sums: Vec<f32> = level.iter().zip(&self.covariance[at]).map(of_level).collect();
            z.iter().zip(&side.block).for_each(|(z, &block)| sums[block] += z);
            sums.iter_mut().zip(&self.scale[at]).for_each(|(sum, scale)| *sum *= scale);
            level.iter_mut().zip(&sums).for_each(|(level, sum)| *level += sum);
            for ((z, &block), per) in z.iter_mut().zip(&side.block).zip(&self.per_noise) {
                *z -= per * sums[block];
            }
        }
        z
    }
}
