//! The little linear algebra that the models need, on small dense matrices stored row by row.

use std::array;
use std::ops::{Add, Div, Mul, Sub};

/// A number, or several that are computed side by side.
pub trait Number:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The square root of a pivot. What is below 1e-12 counts as 1e-12: rounding may leave a pivot at zero or below.
    fn root(self) -> Self;
}

impl Number for f64 {
    #[inline(always)]
    fn root(self) -> f64 {
        self.max(1e-12).sqrt()
    }
}

/// As many `f64` as one AVX2 instruction computes; other processors take several instructions.
pub const LANES: usize = 4;

/// A number for each of several systems of equations that are solved side by side.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))] // a register of AVX2
pub struct Lanes(pub [f64; LANES]);

impl Lanes {
    /// Calls `of` with each lane's index.
    #[inline(always)]
    pub fn from_fn(of: impl FnMut(usize) -> f64) -> Lanes {
        Lanes(array::from_fn(of))
    }

    /// The same number in each lane.
    #[inline(always)]
    pub fn splat(number: f64) -> Lanes {
        Lanes([number; LANES])
    }
}

macro_rules! lane_by_lane {
    ($($operation:ident, $method:ident;)*) => {$(
        impl $operation for Lanes {
            type Output = Lanes;

            #[inline(always)]
            fn $method(self, other: Lanes) -> Lanes {
                Lanes::from_fn(|lane| self.0[lane].$method(other.0[lane]))
            }
        }
    )*};
}
lane_by_lane! { Add, add; Sub, sub; Mul, mul; Div, div; }

impl Number for Lanes {
    #[inline(always)]
    fn root(self) -> Lanes {
        Lanes(self.0.map(f64::root))
    }
}

/// The sum of a term for each of these indices. Unlike `Iterator::sum`, it is always inlined.
#[inline(always)]
pub fn sum<T: Number>(over: impl Iterator<Item = usize>, term: impl Fn(usize) -> T) -> T {
    over.fold(T::default(), |sum, at| sum + term(at))
}

/// The lower Cholesky factor L of a symmetric positive definite matrix (n, n), in place: A = L·Lᵀ. Reads and
/// writes the lower triangle only.
#[inline(always)] // short loops: with a length that is known, they become straight code
pub fn cholesky<T: Number>(a: &mut [T], n: usize) {
    for j in 0..n {
        for i in j..n {
            let rest = a[i * n + j] - sum(0..j, |t| a[i * n + t] * a[j * n + t]);
            a[i * n + j] = if i == j { rest.root() } else { rest / a[j * n + j] };
        }
    }
}

/// Solves L·x = b, in place of b.
#[inline(always)]
pub fn forward<T: Number>(l: &[T], n: usize, b: &mut [T]) {
    for i in 0..n {
        b[i] = (b[i] - sum(0..i, |t| l[i * n + t] * b[t])) / l[i * n + i];
    }
}

/// Solves Lᵀ·x = b, in place of b.
#[inline(always)]
pub fn backward<T: Number>(l: &[T], n: usize, b: &mut [T]) {
    for i in (0..n).rev() {
        b[i] = (b[i] - sum(i + 1..n, |t| l[t * n + i] * b[t])) / l[i * n + i];
    }
}

/// Solves A·x = b for a symmetric positive definite A (n, n), which is overwritten.
pub fn solve(a: &mut [f64], b: &mut [f64]) {
    let n = b.len();
    cholesky(a, n);
    forward(a, n, b);
    backward(a, n, b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::arithmetic::dot;

    #[test]
    fn a_system_solved_by_cholesky_gives_the_right_hand_side_back() {
        let a = [4.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.5, -1.0, 2.0];
        let b = [1.0, -2.0, 0.25];
        let mut x = b;
        solve(&mut a.clone(), &mut x);
        for i in 0..3 {
            assert!((dot(&a[3 * i..3 * i + 3], &x) - b[i]).abs() < 1e-12, "row {i}: {x:?}");
        }
    }

    #[test]
    fn systems_side_by_side_are_solved_to_the_bit_as_each_alone() {
        let matrix =
            |lane: f64| [4.0 + lane, 1.0, 0.5, 1.0, 3.0, -1.0 / (1.0 + lane), 0.5, -1.0 / (1.0 + lane), 2.0];
        let right = |lane: f64| [1.0, -2.0 * lane, 0.25];
        let mut a: [Lanes; 9] = array::from_fn(|at| Lanes::from_fn(|lane| matrix(lane as f64)[at]));
        let mut b: [Lanes; 3] = array::from_fn(|at| Lanes::from_fn(|lane| right(lane as f64)[at]));
        cholesky(&mut a, 3);
        forward(&a, 3, &mut b);
        backward(&a, 3, &mut b);
        for lane in 0..LANES {
            let mut alone = right(lane as f64);
            solve(&mut matrix(lane as f64), &mut alone);
            assert_eq!(b.map(|x| x.0[lane]), alone, "lane {lane}");
        }
    }
}
