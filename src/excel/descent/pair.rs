//! A number for the intercept and one for the slope.

use std::ops::{Add, Div, Mul, Sub};

/// One number for the intercept b and one for the slope a: the weights, a gradient, an average, a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// for the intercept
    pub b: f64,
    /// for the slope
    pub a: f64,
}

impl Pair {
    /// The same number twice.
    pub const fn both(number: f64) -> Pair {
        Pair { b: number, a: number }
    }

    fn zip(self, other: Pair, f: impl Fn(f64, f64) -> f64) -> Pair {
        Pair { b: f(self.b, other.b), a: f(self.a, other.a) }
    }

    pub(super) fn map(self, f: impl Fn(f64) -> f64) -> Pair {
        Pair { b: f(self.b), a: f(self.a) }
    }
}

impl Add for Pair {
    type Output = Pair;
    fn add(self, other: Pair) -> Pair {
        self.zip(other, |x, y| x + y)
    }
}

impl Sub for Pair {
    type Output = Pair;
    fn sub(self, other: Pair) -> Pair {
        self.zip(other, |x, y| x - y)
    }
}

/// Elementwise, not a dot product.
impl Mul for Pair {
    type Output = Pair;
    fn mul(self, other: Pair) -> Pair {
        self.zip(other, |x, y| x * y)
    }
}

/// Elementwise.
impl Div for Pair {
    type Output = Pair;
    fn div(self, other: Pair) -> Pair {
        self.zip(other, |x, y| x / y)
    }
}

impl Mul<Pair> for f64 {
    type Output = Pair;
    fn mul(self, pair: Pair) -> Pair {
        pair.map(|x| self * x)
    }
}
