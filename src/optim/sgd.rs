//! SGD with momentum and L2 decay: many steps without a gradient are one linear map.
//!
//! A step moves a weight p with momentum buffer v, gradient g, rate lr, momentum μ and decay λ by
//! `v ← μ·v + (g + λ·p);  p ← p − lr·v`. Without a gradient that is the matrix
//! `(p, v) → (p − lr·(μ·v + λ·p), μ·v + λ·p)`, and steps that a row sat out are the product of theirs.

use super::table::{Row, Steps};
use super::wide;

/// A linear map of (p, v): `p ← p + (a·p + b·v);  v ← c·p + d·v`. What is added to p is kept apart from p,
/// whose factor is so near to 1 that float32 would round most of the decay away.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Map {
    a: f64,
    b: f64,
    c: f64,
    d: f64,
}

impl Map {
    const IDENTITY: Map = Map { a: 0.0, b: 0.0, c: 0.0, d: 1.0 };

    /// `self` first, then `next`.
    fn then(self, next: Map) -> Map {
        Map {
            a: self.a + next.a + next.a * self.a + next.b * self.c,
            b: self.b + next.a * self.b + next.b * self.d,
            c: next.c + next.c * self.a + next.d * self.c,
            d: next.c * self.b + next.d * self.d,
        }
    }
}

/// SGD's steps since all rows were up to date.
#[derive(Debug)]
pub(super) struct Sgd {
    momentum: f64,
    weight_decay: f64,
    lr: f64,
    in_all: u64,
    /// `products[k][i]` is steps i·2ᵏ to (i + 1)·2ᵏ as one map, so that any stretch of steps, whatever
    /// their rates, is the product of a few.
    products: Vec<Vec<Map>>,
}

impl Sgd {
    pub fn new(momentum: f64, weight_decay: f64) -> Sgd {
        Sgd { momentum, weight_decay, lr: 0.0, in_all: 0, products: vec![Vec::new()] }
    }

    /// The steps from `since` on as one map.
    fn after(&self, since: u32) -> Map {
        let (mut at, end) = (since, self.taken());
        let mut product = Map::IDENTITY;
        while at < end {
            let k = at.trailing_zeros().min((end - at).ilog2());
            product = product.then(self.products[k as usize][(at >> k) as usize]);
            at += 1 << k;
        }
        product
    }
}

impl Steps for Sgd {
    fn taken(&self) -> u32 {
        self.products[0].len() as u32
    }

    fn in_all(&self) -> u64 {
        self.in_all + u64::from(self.taken())
    }

    fn start(&mut self, in_all: u64) {
        self.in_all = in_all;
        self.products.iter_mut().for_each(Vec::clear);
    }

    fn take(&mut self, lr: f64) {
        self.lr = lr;
        let (mu, lambda) = (self.momentum, self.weight_decay);
        let mut map = Map { a: -lr * lambda, b: -lr * mu, c: lambda, d: mu };
        for k in 0.. {
            if k == self.products.len() {
                self.products.push(Vec::new());
            }
            let row = &mut self.products[k];
            row.push(map);
            if row.len() % 2 == 1 {
                break;
            }
            map = row[row.len() - 2].then(map);
        }
    }

    fn catch_up(&self, row: Row, since: u32) {
        let Map { a, b, c, d } = self.after(since);
        let (a, b, c, d) = (a as f32, b as f32, c as f32, d as f32);
        wide(|| {
            for (p, v) in row.p.iter_mut().zip(row.first) {
                (*p, *v) = (*p + (a * *p + b * *v), c * *p + d * *v);
            }
        });
    }

    fn step(&self, row: Row, grad: &[f32]) {
        let (lr, mu, lambda) = (self.lr as f32, self.momentum as f32, self.weight_decay as f32);
        wide(|| {
            for ((p, v), g) in row.p.iter_mut().zip(row.first).zip(grad) {
                *v = mu * *v + (g + lambda * *p);
                *p -= lr * *v;
            }
        });
    }
}
