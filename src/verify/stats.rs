//! The statistics of `lecture5 verify`: pure functions of numbers.
//!
//! A *run* is one seed's losses of a fit, in a fixed order; an *ensemble* is several runs. One further run is judged:
//! could it be one more draw of the same kind?

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::system::random::Random;

/// The probability of a false alarm: that any number of a command is called a deviation although none deviates.
pub const ALPHA: f64 = 0.05;
/// The fewest runs from which a spread can be estimated.
pub const FEWEST_RUNS: usize = 4;

/// Mean and standard deviation (divisor n − 1).
pub fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// The probability that Student's t with `df` degrees of freedom is further from 0 than `t`.
pub fn t_two_sided(t: f64, df: f64) -> f64 {
    2.0 * student(df).sf(t.abs())
}

/// The value that Student's t with `df` degrees of freedom stays below with probability `p`, by bisection: the
/// inverse that statrs has is wrong for many degrees of freedom.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    let tail = 2.0 * p.min(1.0 - p);
    let (mut low, mut high) = (0.0, 1.0);
    while t_two_sided(high, df) > tail && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if t_two_sided(middle, df) > tail { low = middle } else { high = middle }
    }
    if p < 0.5 { -low } else { low }
}

fn student(df: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, df).expect("a spread needs two runs, so there are degrees of freedom")
}

/// How many standard errors of a single new draw `x` is away from the ensemble's mean:
/// (x − mean) / (sd·√(1 + 1/N)), which is t with N − 1 degrees of freedom for one more normal draw.
pub fn t_of_new_draw(values: &[f64], x: f64) -> f64 {
    let (mean, sd) = mean_sd(values);
    standard(x - mean, sd * (1.0 + 1.0 / values.len() as f64).sqrt())
}

/// A distance in standard errors; without any spread, equal is 0 and unequal is infinitely far.
fn standard(distance: f64, error: f64) -> f64 {
    if distance == 0.0 { 0.0 } else { distance / error }
}

/// Two-sided p-value of one more draw by t.
pub fn p_by_t(values: &[f64], x: f64) -> f64 {
    t_two_sided(t_of_new_draw(values, x), values.len() as f64 - 1.0)
}

/// Two-sided p-value by rank, (1 + how many are as extreme) / (N + 1), for any distribution. Extreme is far from the
/// median of the N + 1 together, so that every draw is treated alike.
pub fn p_by_rank(values: &[f64], x: f64) -> f64 {
    let mut all = values.to_vec();
    all.push(x);
    all.sort_by(f64::total_cmp);
    let median = (all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2.0;
    let as_extreme = values.iter().filter(|v| (*v - median).abs() >= (x - median).abs()).count();
    (1 + as_extreme) as f64 / all.len() as f64
}

/// The interval that one more draw falls into with probability `level`.
pub fn prediction_interval(values: &[f64], level: f64) -> (f64, f64) {
    let (mean, sd) = mean_sd(values);
    let n = values.len() as f64;
    let reach = t_quantile((1.0 + level) / 2.0, n - 1.0) * sd * (1.0 + 1.0 / n).sqrt();
    (mean - reach, mean + reach)
}

/// Whether the values contradict a normal distribution at 5%: Anderson and Darling's test with estimated mean
/// and spread, A²·(1 + 0.75/n + 2.25/n²) above 0.752 (D'Agostino and Stephens 1986, table 4.7).
pub fn not_normal(values: &[f64]) -> bool {
    anderson_darling(values) > 0.752
}

/// The statistic of [`not_normal`].
pub fn anderson_darling(values: &[f64]) -> f64 {
    let (n, (mean, sd)) = (values.len(), mean_sd(values));
    let mut z: Vec<f64> = values.iter().map(|v| standard(v - mean, sd)).collect();
    z.sort_by(f64::total_cmp);
    let normal = Normal::standard();
    let ln_below = |z: f64| normal.cdf(z).max(f64::MIN_POSITIVE).ln();
    let sum: f64 = (0..n).map(|i| (2 * i + 1) as f64 * (ln_below(z[i]) + ln_below(-z[n - 1 - i]))).sum();
    let n = n as f64;
    (-n - sum / n) * (1.0 + 0.75 / n + 2.25 / (n * n))
}

/// Two-sided p-value of differences whose mean should be 0: the paired t test.
pub fn p_paired(differences: &[f64]) -> f64 {
    let (mean, sd) = mean_sd(differences);
    let n = differences.len() as f64;
    t_two_sided(standard(mean, sd / n.sqrt()), n - 1.0)
}

/// 1 + 1/2 + … + 1/m: Benjamini and Yekutieli's correction for any kind of dependence.
fn harmonic(m: usize) -> f64 {
    (1..=m).map(|i| 1.0 / i as f64).sum()
}

/// p-values adjusted so that rejecting those up to q keeps the false discovery rate at q, however the tests depend on
/// each other (Benjamini and Yekutieli 2001).
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    let m = p.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; m];
    let mut least: f64 = 1.0;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p[at] * m as f64 * harmonic(m) / (rank + 1) as f64);
        adjusted[at] = least;
    }
    adjusted
}

fn column(runs: &[&[f64]], j: usize) -> Vec<f64> {
    runs.iter().map(|run| run[j]).collect()
}

/// The largest |t| over the numbers of one more run.
pub fn largest_t(runs: &[&[f64]], new: &[f64]) -> f64 {
    (0..new.len()).map(|j| t_of_new_draw(&column(runs, j), new[j]).abs()).fold(0.0, f64::max)
}

/// The largest |t| over the numbers of one more run, for `draws` runs simulated after the ensemble, ascending: what a
/// |t| among that many numbers has to be compared with.
///
/// The numbers of a run depend on each other, so whole runs are simulated: normal, with the ensemble's own
/// correlations. Each draw simulates N + 1 of them, and compares the last with the others as the lecture's run is
/// compared. The seed is fixed.
pub fn made_up_largest_t(runs: &[&[f64]], draws: usize) -> Vec<f64> {
    let (n, k) = (runs.len(), runs.first().map_or(0, |run| run.len()));
    let root = root_of_correlations(runs);
    let mut random = Random::new(20_170_000);
    let (mut sum, mut squares) = (vec![0.0; k], vec![0.0; k]);
    let (mut run, mut independent) = (vec![0.0; k], vec![0.0; k]);
    let mut largest: Vec<f64> = (0..draws)
        .map(|_| {
            sum.fill(0.0);
            squares.fill(0.0);
            for made in 0..=n {
                independent.iter_mut().for_each(|x| *x = random.normal());
                for (j, x) in run.iter_mut().enumerate() {
                    *x = (0..=j).map(|i| root[j][i] * independent[i]).sum();
                    if made < n {
                        sum[j] += *x;
                        squares[j] += *x * *x;
                    }
                }
            }
            let n = n as f64;
            let t = (0..k).map(|j| {
                let mean = sum[j] / n;
                let sd = ((squares[j] - n * mean * mean).max(0.0) / (n - 1.0)).sqrt();
                standard(run[j] - mean, sd * (1.0 + 1.0 / n).sqrt()).abs()
            });
            t.fold(0.0, f64::max)
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    largest
}

/// Cholesky's lower triangular root of the correlations of the runs' numbers. Some numbers depend entirely on earlier
/// ones, as they must if there are more numbers than runs; those and the numbers without spread add nothing of their
/// own.
fn root_of_correlations(runs: &[&[f64]]) -> Vec<Vec<f64>> {
    let (n, k) = (runs.len() as f64, runs.first().map_or(0, |run| run.len()));
    let z: Vec<Vec<f64>> = (0..k)
        .map(|j| {
            let values = column(runs, j);
            let (mean, sd) = mean_sd(&values);
            values.iter().map(|v| standard(v - mean, sd)).collect()
        })
        .collect();
    let mut root = vec![vec![0.0; k]; k];
    for j in 0..k {
        for i in 0..=j {
            let correlation: f64 = z[i].iter().zip(&z[j]).map(|(a, b)| a * b).sum::<f64>() / (n - 1.0);
            let rest = correlation - (0..i).map(|l| root[i][l] * root[j][l]).sum::<f64>();
            root[j][i] = match i == j {
                true => rest.max(0.0).sqrt(),
                false if root[i][i] > 1e-6 => rest / root[i][i],
                false => 0.0,
            };
        }
    }
    root
}

/// The largest |t| over the numbers of each run of the ensemble, compared with all others and `new`, ascending. If
/// `new` is one more run of the same kind, its own largest |t| has any rank among these with the same probability, for
/// any distribution.
pub fn held_out_largest_t(runs: &[&[f64]], new: &[f64]) -> Vec<f64> {
    let mut largest: Vec<f64> = (0..runs.len())
        .map(|held| {
            let mut others = runs.to_vec();
            others[held] = new;
            largest_t(&others, runs[held])
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    largest
}

/// (1 + how many of `largest`, ascending, are at least `t`) / (1 + how many there are).
pub fn share_as_large(largest: &[f64], t: f64) -> f64 {
    let below = largest.partition_point(|x| *x < t);
    (1 + largest.len() - below) as f64 / (1 + largest.len()) as f64
}

/// The value of `largest`, ascending, that a t must exceed for [`share_as_large`] to be at most `alpha`; `None` if they
/// are too few for that.
pub fn critical_t(largest: &[f64], alpha: f64) -> Option<f64> {
    let allowed = (alpha * (1 + largest.len()) as f64 + 1e-9) as usize;
    largest.len().checked_sub(allowed.max(1)).filter(|_| allowed > 0).map(|at| largest[at])
}

/// The shift that takes one more normal draw beyond `critical` standard errors with probability `power`.
pub fn shift_by_t(values: &[f64], critical: f64, power: f64) -> f64 {
    let n = values.len() as f64;
    (critical + t_quantile(power, n - 1.0)) * mean_sd(values).1 * (1.0 + 1.0 / n).sqrt()
}

/// The shift that takes the share `power` of the values themselves beyond `critical` standard errors, up or down,
/// whichever takes more: for values that are not normal.
pub fn shift_by_rank(values: &[f64], critical: f64, power: f64) -> f64 {
    let (mean, sd) = mean_sd(values);
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let left = ((1.0 - power) * sorted.len() as f64) as usize;
    let (low, high) = (sorted[left], sorted[sorted.len() - 1 - left]);
    critical * sd * (1.0 + 1.0 / values.len() as f64).sqrt() + (mean - low).max(high - mean)
}
