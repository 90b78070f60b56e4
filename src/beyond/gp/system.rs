//! The system of equations behind the predictions, solved without the whole covariance matrix in memory.

use rayon::prelude::*;

use super::covariance::{Covariance, Side};
use super::terms::{N_ITEM, N_TERMS, N_USER, Weights};
use crate::system::arithmetic::dot;

/// One user's (or movie's) part of the covariances.
#[derive(Debug)]
struct Block {
    /// Training rows.
    rows: Vec<usize>,
    /// Rows to predict.
    asked: Vec<usize>,
    /// (rows + asked, rows)
    k: Vec<f32>,
}

/// The system of equations: K + N over the training rows, and k.
pub(super) struct System<'c> {
    n: usize,
    n_asked: usize,
    users: Vec<Block>,
    items: Vec<Block>,
    shared: Vec<(f32, &'c [f32])>,
    noise: Vec<f32>,
}

/// Σ a·b, summed in double precision.
pub(super) fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

impl<'c> System<'c> {
    pub(super) fn new(of: &'c Covariance, w: &Weights) -> System<'c> {
        let blocks = |side: &Side, users: bool, weights: &[f64]| -> Vec<Block> {
            let block = |b: usize| {
                let (rows, asked) = (side.rows[b].clone(), side.asked[b].clone());
                let m = rows.len();
                let mut k = Vec::with_capacity((m + asked.len()) * m);
                of.visit(side, users, b, |p, q, terms| {
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
            };
            (0..side.rows.len()).into_par_iter().map(block).collect()
        };
        let scatter = |s: &f32| (w[N_TERMS - 2] + w[N_TERMS - 1] * f64::from(*s)) as f32;
        System {
            n: of.trn.len(),
            n_asked: of.features.len() - of.trn.len(),
            users: blocks(&of.by_user, true, &w[..N_USER]),
            items: blocks(&of.by_item, false, &w[N_USER..N_USER + N_ITEM]),
            shared: of
                .shared
                .iter()
                .map(|(term, column)| (w[N_USER + N_ITEM + term] as f32, &column[..]))
                .filter(|(weight, _)| *weight > 0.0)
                .collect(),
            noise: of.scatter.iter().map(scatter).collect(),
        }
    }

    /// k·x over the rows to predict, or (K + N)·x over the training rows.
    pub(super) fn times(&self, x: &[f32], asked: bool) -> Vec<f32> {
        let n = self.n;
        let mut out = if asked {
            vec![0.0; self.n_asked]
        } else {
            x.iter().zip(&self.noise).map(|(x, noise)| x * noise).collect()
        };
        for blocks in [&self.users, &self.items] {
            let parts = blocks.par_iter().map(|block| {
                let m = block.rows.len();
                let mine: Vec<f32> = block.rows.iter().map(|&row| x[row]).collect();
                let k = if asked { &block.k[m * m..] } else { &block.k[..m * m] };
                k.chunks(m.max(1)).map(|row| dot(row, &mine)).collect::<Vec<f32>>()
            });
            for (block, part) in blocks.iter().zip(parts.collect::<Vec<_>>()) {
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
    pub(super) fn transposed(&self, e: &[f32]) -> Vec<f32> {
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

    /// (K + N)⁻¹·b by conjugate gradients (Hestenes and Stiefel 1952), until the residual is a thousandth of the first:
    /// the predictions are then the same to five digits.
    pub(super) fn solve(&self, b: &[f32]) -> Vec<f32> {
        let scaled = |r: &[f32]| r.iter().zip(&self.noise).map(|(r, n)| r / n).collect::<Vec<f32>>();
        let (mut x, mut r) = (vec![0.0f32; self.n], b.to_vec());
        let mut d = scaled(&r);
        let first = dot_f64(&r, &d);
        let mut size = first;
        for _ in 0..MOST_STEPS {
            if size <= 1e-6 * first {
                break;
            }
            let kd = self.times(&d, false);
            let step = (size / dot_f64(&d, &kd)) as f32;
            x.iter_mut().zip(&d).for_each(|(x, d)| *x += step * d);
            r.iter_mut().zip(&kd).for_each(|(r, kd)| *r -= step * kd);
            let z = scaled(&r);
            let next = dot_f64(&r, &z);
            let kept = (next / size) as f32;
            d.iter_mut().zip(&z).for_each(|(d, z)| *d = z + kept * *d);
            size = next;
        }
        x
    }
}

const MOST_STEPS: usize = 300;
