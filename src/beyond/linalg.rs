//! The little linear algebra that the models need, on small dense matrices stored row by row.

/// The lower Cholesky factor L of a symmetric positive definite matrix (n, n), in place: A = L·Lᵀ. Reads and
/// writes the lower triangle only.
#[inline(always)] // short loops: with a length that is known, they become straight code
pub fn cholesky(a: &mut [f64], n: usize) {
    for j in 0..n {
        for i in j..n {
            let products: f64 = (0..j).map(|t| a[i * n + t] * a[j * n + t]).sum();
            let rest = a[i * n + j] - products;
            a[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / a[j * n + j] };
        }
    }
}

/// Solves L·x = b, in place of b.
#[inline(always)]
pub fn forward(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let products: f64 = (0..i).map(|t| l[i * n + t] * b[t]).sum();
        b[i] = (b[i] - products) / l[i * n + i];
    }
}

/// Solves Lᵀ·x = b, in place of b.
#[inline(always)]
pub fn backward(l: &[f64], n: usize, b: &mut [f64]) {
    for i in (0..n).rev() {
        let products: f64 = (i + 1..n).map(|t| l[t * n + i] * b[t]).sum();
        b[i] = (b[i] - products) / l[i * n + i];
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
}
