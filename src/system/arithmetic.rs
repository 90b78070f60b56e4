//! The dot product and the mean, which everything here shares.

use std::iter::Sum;
use std::ops::{AddAssign, Mul};

/// Σ a·b in sixteen sums side by side, which the compiler turns into vector instructions: those of its caller.
#[inline(always)]
pub fn dot<T: Copy + Default + AddAssign + Mul<Output = T> + Sum>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::default(); 16];
    let ((chunks_a, rest_a), (chunks_b, rest_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut total: T = rest_a.iter().zip(rest_b).map(|(a, b)| *a * *b).sum();
    total += sums.into_iter().sum();
    total
}

/// The mean; NaN for an empty slice.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
