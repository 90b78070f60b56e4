//! SGD with momentum and L2 decay: many steps without a gradient are one linear map.
//!
//! A step moves a weight p with momentum buffer v, gradient g, rate lr, momentum μ and decay λ by
//! `v ← μ·v + (g + λ·p);  p ← p − lr·v`. Without a gradient that is the matrix
//! `(p, v) → (p − lr·(μ·v + λ·p), μ·v + λ·p)`, and the steps that a row sat out are the product of their matrices.

use std::array;

use super::table::{Row, Steps};

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
    #[inline(always)]
    fn then(self, next: Map) -> Map {
        Map {
            a: self.a + next.a + next.a * self.a + next.b * self.c,
            b: self.b + next.a * self.b + next.b * self.d,
            c: next.c + next.c * self.a + next.d * self.c,
            d: next.c * self.b + next.d * self.d,
        }
    }
}

/// Steps in a stretch.
const STRETCH: usize = 256;

/// SGD's steps since all rows were up to date, stored so that the steps that any row sat out, at any rates, are a
/// product of two maps at most: to the end of the stretch in which it was last moved, and from there until now.
#[derive(Debug)]
pub(super) struct Sgd {
    momentum: f64,
    weight_decay: f64,
    lr: f64,
    in_all: u64,
    /// For each step of the stretches that are over: from before it to the end of its stretch.
    to_end: Vec<Map>,
    /// For each of these stretches: from its end until now.
    from_end: Vec<Map>,
    /// For each step of the present stretch: from before it until now.
    to_now: Vec<Map>,
}

impl Sgd {
    pub fn new(momentum: f64, weight_decay: f64) -> Sgd {
        let (to_end, from_end, to_now) = (Vec::new(), Vec::new(), Vec::new());
        Sgd { momentum, weight_decay, lr: 0.0, in_all: 0, to_end, from_end, to_now }
    }

    /// The steps from `since` on as one map.
    #[inline(always)]
    fn after(&self, since: u32) -> Map {
        let since = since as usize;
        match since.checked_sub(self.to_end.len()) {
            Some(at) => self.to_now.get(at).copied().unwrap_or(Map::IDENTITY),
            None => self.to_end[since].then(self.from_end[since / STRETCH]),
        }
    }
}

impl Steps for Sgd {
    #[inline(always)]
    fn taken(&self) -> u32 {
        (self.to_end.len() + self.to_now.len()) as u32
    }

    fn in_all(&self) -> u64 {
        self.in_all + u64::from(self.taken())
    }

    fn start(&mut self, in_all: u64) {
        self.in_all = in_all;
        [&mut self.to_end, &mut self.from_end, &mut self.to_now].into_iter().for_each(Vec::clear);
    }

    fn take(&mut self, lr: f64) {
        self.lr = lr;
        let (mu, lambda) = (self.momentum, self.weight_decay);
        let step = Map { a: -lr * lambda, b: -lr * mu, c: lambda, d: mu };
        self.to_now.push(Map::IDENTITY);
        self.from_end.iter_mut().chain(&mut self.to_now).for_each(|map| *map = map.then(step));
        if self.to_now.len() == STRETCH {
            self.from_end.push(Map::IDENTITY);
            self.to_end.append(&mut self.to_now);
        }
    }

    #[inline(always)]
    fn catch_up(&self, Row { p, first: v, .. }: Row, since: u32) {
        let Map { a, b, c, d } = self.after(since);
        let (a, b, c, d) = (a as f32, b as f32, c as f32, d as f32);
        let map = |p: f32, v: f32| (p + (a * p + b * v), c * p + d * v);
        let ((p8, p), (v8, v)) = (p.as_chunks_mut::<8>(), v.as_chunks_mut::<8>());
        p8.iter_mut().zip(v8).for_each(|(p, v)| (*p, *v) = unzip(array::from_fn(|i| map(p[i], v[i]))));
        p.iter_mut().zip(v).for_each(|(p, v)| (*p, *v) = map(*p, *v));
    }

    #[inline(always)]
    fn step(&self, Row { p, first: v, .. }: Row, g: &[f32]) {
        let (lr, mu, lambda) = (self.lr as f32, self.momentum as f32, self.weight_decay as f32);
        let step = |p: f32, v: f32, g: f32| {
            let v = mu * v + (g + lambda * p);
            (p - lr * v, v)
        };
        let ((p8, p), (v8, v), (g8, g)) =
            (p.as_chunks_mut::<8>(), v.as_chunks_mut::<8>(), g.as_chunks::<8>());
        for ((p, v), g) in p8.iter_mut().zip(v8).zip(g8) {
            (*p, *v) = unzip(array::from_fn(|i| step(p[i], v[i], g[i])));
        }
        p.iter_mut().zip(v).zip(g).for_each(|((p, v), g)| (*p, *v) = step(*p, *v, *g));
    }
}

/// Eight pairs as two times eight numbers.
#[inline(always)]
fn unzip(pairs: [(f32, f32); 8]) -> ([f32; 8], [f32; 8]) {
    (pairs.map(|pair| pair.0), pairs.map(|pair| pair.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_sat_out_is_the_product_of_its_steps_at_whatever_rates() {
        let mut sgd = Sgd::new(0.9, 0.01);
        let mut steps = Vec::new();
        for at in 0..5 * STRETCH + 7 {
            let lr = 0.01 * (1 + at % 10) as f64;
            sgd.take(lr);
            steps.push(Map { a: -lr * 0.01, b: -lr * 0.9, c: 0.01, d: 0.9 });
            if at % 50 == 3 || at % STRETCH < 2 {
                for since in [0, 1, at / 3, at / 2, at.saturating_sub(1), at, at + 1] {
                    let expected = steps[since..].iter().fold(Map::IDENTITY, |map, step| map.then(*step));
                    let Map { a, b, c, d } = sgd.after(since as u32);
                    for (ours, expected) in
                        [(a, expected.a), (b, expected.b), (c, expected.c), (d, expected.d)]
                    {
                        assert!((ours - expected).abs() <= 1e-12, "{since} to {at}: {ours}, not {expected}");
                    }
                }
            }
        }
    }
}
