//! What the rows of an embedding mean: which point the same way, and the directions in which they differ most.
//!
//! Lecture: "which other movies are similar to it, which people are similar to this person?"

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// The `n` of the `candidates` (rows of `table`, (rows, n_factors)) whose vectors point most nearly the way
/// of `to`, (n_factors,): with their cosines, from 1 (the same direction) to −1 (the opposite), the nearest
/// first, ties in the order of the candidates. A vector of zeros points nowhere and is left out.
///
/// # Errors
/// `to` is a vector of zeros.
pub fn nearest(table: &Tensor, to: &Tensor, candidates: &[i64], n: usize) -> Result<Vec<(i64, f64)>> {
    let to = to.to_kind(Kind::Double);
    let length = to.norm().double_value(&[]);
    ensure!(length > 0.0, "its vector is all zeros, so nothing is nearer to it than anything else");
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let rows = table.index_select(0, &Tensor::from_slice(candidates)).to_kind(Kind::Double);
    let lengths = rows.norm_scalaropt_dim(2.0, [1], false); // (candidates,)
    let cosines = Vec::<f64>::try_from(rows.mv(&to) / (&lengths * length))?;
    let mut found: Vec<(i64, f64)> =
        candidates.iter().copied().zip(cosines).filter(|(_, cosine)| cosine.is_finite()).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(n);
    Ok(found)
}

/// The principal components of a table.
#[derive(Debug)]
pub struct Pca {
    /// The position of each row along each component: (rows, k), float64.
    pub scores: Tensor,
    /// The share of the rows' variance that each component takes, largest first.
    pub shares: Vec<f64>,
}

/// The first `k` principal components of the rows of `table`, (rows, columns), by a singular value
/// decomposition of the table with its columns' means taken out (scikit-learn's `PCA(k).fit_transform`).
/// The sign of a component is arbitrary; here the row furthest out is on the positive side.
///
/// # Errors
/// There are fewer rows or columns than `k`, or libtorch cannot decompose the table.
pub fn pca(table: &Tensor, k: i64) -> Result<Pca> {
    let (rows, columns) = table.size2()?;
    ensure!(
        k <= rows.min(columns),
        "a table of {rows} rows and {columns} columns does not have {k} components"
    );
    let table = table.to_kind(Kind::Double);
    let centered = &table - table.mean_dim(0, true, None);
    let (u, s, _) = centered.f_svd(true, true)?; // (rows, r), (r,)
    let scores = (u * &s).narrow(1, 0, k); // (rows, k)
    let furthest = scores.abs().argmax(0, true); // (1, k)
    let scores = &scores * scores.gather(0, &furthest, false).sign();
    let variances = Vec::<f64>::try_from(s.square())?;
    let whole = variances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    Ok(Pca { scores, shares: variances.iter().take(k as usize).map(|v| v / whole).collect() })
}

/// What two sets have in common, as a share of what either has: Jaccard's index.
pub fn in_common(a: &[String], b: &[String]) -> f64 {
    let both = a.iter().filter(|x| b.contains(x)).count();
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}
