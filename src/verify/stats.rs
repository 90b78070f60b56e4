//! The statistics of `lecture5 verify`: pure functions of numbers.
//!
//! A *run* is one seed's losses of a fit, in a fixed order; an *ensemble* is several runs. What is judged is one
//! further run, and the question is always whether it could be one more draw of the same kind.

use rand_mt::Mt64;

/// Mean and standard deviation (divisor n − 1).
pub fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// ln Γ(x) for x > 0: Lanczos' series, g = 5, six terms (Lanczos 1964); good to 2e-10.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let series: f64 =
        TERMS.iter().enumerate().fold(1.000_000_000_190_015, |sum, (k, c)| sum + c / (x + 1.0 + k as f64));
    (x + 0.5) * (x + 5.5).ln() - (x + 5.5) + (2.506_628_274_631_000_5 * series / x).ln()
}

/// The regularised incomplete beta function I_x(a, b): its continued fraction by Lentz's method
/// (Abramowitz and Stegun 26.5.8).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for m in (1..=500).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-15 * fraction.abs() {
            break;
        }
    }
    front * fraction
}

/// The probability that Student's t with `df` degrees of freedom is further from 0 than `t`.
pub fn t_two_sided(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(df / 2.0, 0.5, df / (df + t * t))
}

/// The value that Student's t with `df` degrees of freedom stays below with probability `p`, by bisection.
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

/// How many standard errors of a single new draw `x` lies from the ensemble's mean:
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

/// Two-sided p-value by rank, (1 + how many are as extreme) / (N + 1), whatever the distribution: extreme is
/// far from the median of the N + 1 together, so that no draw is treated differently from another.
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

/// The shift of a single draw that a two-sided t test at `alpha` against an ensemble of `n` runs with standard
/// deviation `sd` finds with probability `power`: (t at 1 − α/2 plus t at the power)·sd·√(1 + 1/n), the usual
/// approximation to the non-central t.
pub fn smallest_detectable(sd: f64, n: usize, alpha: f64, power: f64) -> f64 {
    let n = n as f64;
    (t_quantile(1.0 - alpha / 2.0, n - 1.0) + t_quantile(power, n - 1.0)) * sd * (1.0 + 1.0 / n).sqrt()
}

/// The probability that a standard normal draw is below `z`; by t, whose limit it is.
fn normal_below(z: f64) -> f64 {
    let tail = t_two_sided(z, 1e9) / 2.0;
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Whether the values contradict a normal distribution at 5 %: Anderson and Darling's test with estimated mean
/// and spread, A²·(1 + 0.75/n + 2.25/n²) above 0.752 (D'Agostino and Stephens 1986, table 4.7).
pub fn not_normal(values: &[f64]) -> bool {
    anderson_darling(values) > 0.752
}

/// The statistic of [`not_normal`].
pub fn anderson_darling(values: &[f64]) -> f64 {
    let (n, (mean, sd)) = (values.len(), mean_sd(values));
    let mut z: Vec<f64> = values.iter().map(|v| standard(v - mean, sd)).collect();
    z.sort_by(f64::total_cmp);
    let ln_below = |z: f64| normal_below(z).max(f64::MIN_POSITIVE).ln();
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

/// 1 + 1/2 + … + 1/m: what Benjamini and Yekutieli pay for any kind of dependence.
fn harmonic(m: usize) -> f64 {
    (1..=m).map(|i| 1.0 / i as f64).sum()
}

/// p-values adjusted so that refusing those up to q keeps the false discovery rate at q, however the tests
/// depend on each other (Benjamini and Yekutieli 2001).
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

/// The p-value that a lone deviation among `m` tests must reach under [`benjamini_yekutieli`] at `q`.
pub fn strictest_alpha(m: usize, q: f64) -> f64 {
    q / (m as f64 * harmonic(m))
}

/// One test over all numbers of a fit.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Joint {
    /// The largest |t| of the new run's numbers.
    pub max_t: f64,
    /// How often a resampled run has a larger one.
    pub p: f64,
    /// The rank of the new run among all, each held against the others: exact, but never below 1/(N + 1).
    pub p_rank: f64,
}

fn column(runs: &[&[f64]], j: usize) -> Vec<f64> {
    runs.iter().map(|run| run[j]).collect()
}

fn max_t(runs: &[&[f64]], new: &[f64]) -> f64 {
    (0..new.len()).map(|j| t_of_new_draw(&column(runs, j), new[j]).abs()).fold(0.0, f64::max)
}

/// Could `new` be one more run? The largest |t| over its numbers, against resampled ensembles.
///
/// The numbers of a run depend on each other, so whole runs are resampled: a new run is the mean plus all
/// runs' deviations, each weighted by one normal draw, over √(N − 1) (a multiplier bootstrap). That has the
/// ensemble's own covariance, and unlike drawing runs with replacement it can go beyond those at hand.
/// `draws` times, N + 1 runs are made and the last is held against the others. The seed is fixed.
pub fn joint(runs: &[&[f64]], new: &[f64], draws: usize) -> Joint {
    let (n, k) = (runs.len(), new.len());
    let observed = max_t(runs, new);

    let moments: Vec<(f64, f64)> = (0..k).map(|j| mean_sd(&column(runs, j))).collect();
    // In standard deviations, so that the size of a number does not matter; one without spread stays 0.
    let centred: Vec<Vec<f64>> = runs
        .iter()
        .map(|run| run.iter().zip(&moments).map(|(x, (mean, sd))| standard(x - mean, *sd)).collect())
        .collect();
    let scale = 1.0 / (n as f64 - 1.0).sqrt();
    let mut normal = Normal::new(20_170_000);
    let mut as_large = 0;
    let (mut sum, mut squares, mut run) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
    for _ in 0..draws {
        sum.fill(0.0);
        squares.fill(0.0);
        for made in 0..=n {
            run.fill(0.0);
            for deviations in &centred {
                let weight = scale * normal.draw();
                run.iter_mut().zip(deviations).for_each(|(x, d)| *x += weight * d);
            }
            if made < n {
                for (j, x) in run.iter().enumerate() {
                    sum[j] += x;
                    squares[j] += x * x;
                }
            }
        }
        let n = n as f64;
        let largest = (0..k)
            .map(|j| {
                let mean = sum[j] / n;
                let sd = ((squares[j] - n * mean * mean).max(0.0) / (n - 1.0)).sqrt();
                standard(run[j] - mean, sd * (1.0 + 1.0 / n).sqrt()).abs()
            })
            .fold(0.0, f64::max);
        as_large += usize::from(largest >= observed);
    }

    let mut all = runs.to_vec();
    all.push(new);
    let as_extreme = (0..=n)
        .filter(|&held| {
            let others: Vec<&[f64]> =
                all.iter().enumerate().filter(|(i, _)| *i != held).map(|(_, run)| *run).collect();
            held == n || max_t(&others, all[held]) >= observed
        })
        .count();
    Joint {
        max_t: observed,
        p: (1 + as_large) as f64 / (draws + 1) as f64,
        p_rank: as_extreme as f64 / (n + 1) as f64,
    }
}

/// Standard normal draws by Box and Muller's method, from a fixed seed.
pub struct Normal {
    source: Mt64,
    kept: Option<f64>,
}

impl Normal {
    /// Draws that are the same for the same seed.
    pub fn new(seed: u64) -> Normal {
        Normal { source: Mt64::new(seed), kept: None }
    }

    /// Uniform between 0 and 1, neither included.
    pub fn uniform(&mut self) -> f64 {
        ((self.source.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// The next draw.
    pub fn draw(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.kept = Some(radius * sin);
        radius * cos
    }
}
