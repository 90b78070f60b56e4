//! Random numbers from a seeded Mersenne Twister.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gamma, StandardNormal};
use rand_mt::Mt64;

/// A generator for each piece of work, so that nothing depends on the number of threads.
pub struct Random(Mt64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Random {
        Random(Mt64::new(seed))
    }

    /// A seed for another generator.
    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform from 0 to 1, excluding 1.
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// One of the integers from 0 to n − 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Gamma with scale 1.
    ///
    /// # Panics
    /// When the shape is not a positive number.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        Gamma::new(shape, 1.0).expect("the shape of a gamma distribution is positive").sample(&mut self.0)
    }

    /// The integers from 0 to n − 1 in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut self.0);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_and_gamma_numbers_have_their_means_and_variances() {
        let mut random = Random::new(0);
        let n = 40_000;
        let moments = |draws: Vec<f64>| {
            let mean = draws.iter().sum::<f64>() / n as f64;
            (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, variance) = moments((0..n).map(|_| random.normal()).collect());
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        for shape in [1.0, 3.5] {
            let (mean, variance) = moments((0..n).map(|_| random.gamma(shape)).collect());
            assert!((mean - shape).abs() < 0.05 && (variance - shape).abs() < 0.2, "{mean} {variance}");
        }
    }
}
