//! Adam and AdamW: the steps that a row sat out are taken one after another, but with the row in registers.
//!
//! With gradient g (plus λ·p, the L2 decay), averages m and v, and step t:
//! `m ← m + (1 − β₁)·(g − m);  v ← β₂·v + (1 − β₂)·g²;  p ← p − lr/(1 − β₁ᵗ)·m / (√v/√(1 − β₂ᵗ) + ε)`.
//! There is no closed form. But rows do not affect each other, so a row's steps can wait: its weights and averages go
//! through memory once per read instead of once per step, and come out the same to the bit.

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::table::{Row, Steps};
use crate::libtorch::flush_subnormals;

/// What is particular to one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// lr/(1 − β₁ᵗ)
    rate: f32,
    /// 1/√(1 − β₂ᵗ)
    root: f32,
    /// AdamW's decay: 1 − lr·λ.
    keep: f32,
}

/// What is common to all steps, as float32.
#[derive(Debug, Clone, Copy)]
struct Constants {
    /// 1 − β₁
    new: f32,
    /// β₂
    old_square: f32,
    /// 1 − β₂
    new_square: f32,
    eps: f32,
    /// L2's λ.
    decay: f32,
}

/// Adam's steps since all rows were up to date.
#[derive(Debug)]
pub(super) struct Adam {
    betas: (f64, f64),
    weight_decay: f64,
    decoupled: bool,
    with: Constants,
    in_all: u64,
    steps: Vec<Step>,
    helpers: Option<ThreadPool>,
}

impl Adam {
    pub fn new(betas: (f64, f64), eps: f64, weight_decay: f64, decoupled: bool) -> Adam {
        let with = Constants {
            new: (1.0 - betas.0) as f32,
            old_square: betas.1 as f32,
            new_square: (1.0 - betas.1) as f32,
            eps: eps as f32,
            decay: if decoupled { 0.0 } else { weight_decay as f32 },
        };
        let helpers = helpers(tch::get_num_threads().max(1) as usize - 1);
        Adam { betas, weight_decay, decoupled, with, in_all: 0, steps: Vec::new(), helpers }
    }
}

/// On several threads all rows catch up together after this many steps: rarely enough that memory and waking the
/// threads cost little, often enough that few steps are left for the rows of a batch, which one thread moves.
const SWEEP: u32 = 32;

/// `n` threads, if the system has them.
fn helpers(n: usize) -> Option<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(n).start_handler(|_| {
        flush_subnormals();
    });
    (n > 0).then(|| pool.build().ok()).flatten()
}

impl Steps for Adam {
    fn sweep(&self) -> Option<(u32, &ThreadPool)> {
        Some((SWEEP, self.helpers.as_ref()?))
    }

    fn taken(&self) -> u32 {
        self.steps.len() as u32
    }

    fn in_all(&self) -> u64 {
        self.in_all + self.steps.len() as u64
    }

    fn start(&mut self, in_all: u64) {
        self.in_all = in_all;
        self.steps.clear();
    }

    fn take(&mut self, lr: f64) {
        let t = self.in_all() as f64 + 1.0;
        self.steps.push(Step {
            rate: (lr / (1.0 - self.betas.0.powf(t))) as f32,
            root: (1.0 / (1.0 - self.betas.1.powf(t)).sqrt()) as f32,
            keep: if self.decoupled { (1.0 - lr * self.weight_decay) as f32 } else { 1.0 },
        });
    }

    fn catch_up(&self, row: Row, since: u32) {
        run(row, &[], &self.steps[since as usize..], self.with);
    }

    fn step(&self, row: Row, grad: &[f32]) {
        run(row, grad, &self.steps[self.steps.len() - 1..], self.with);
    }
}

/// Applies `steps` to a row, each with the gradient `grad`, or with none if that is empty.
fn run(row: Row, grad: &[f32], steps: &[Step], with: Constants) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512, and with it the other features.
        return unsafe { run_avx512(row, grad, steps, with) };
    } else if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and fused multiply-add.
        return unsafe { run_avx2(row, grad, steps, with) };
    }
    run_anywhere::<8, 8>(row, grad, steps, with, |a, b, c| a * b + c);
}

/// The same code compiled for eight numbers at a time instead of four, and for a product and its sum in one
/// operation, which rounds once instead of twice.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(row: Row, grad: &[f32], steps: &[Step], with: Constants) {
    run_anywhere::<8, 8>(row, grad, steps, with, f32::mul_add);
}

/// The same for sixteen numbers at a time, with the same result.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn run_avx512(row: Row, grad: &[f32], steps: &[Step], with: Constants) {
    run_anywhere::<16, 4>(row, grad, steps, with, f32::mul_add);
}

/// Takes the steps with `VECTORS` vectors of `LANES` numbers at once: square roots and divisions are slow but overlap, so
/// there should be many. `LANES` has to be the processor's: with eight, the compiler made AVX-512 code that was five
/// times slower than AVX2's.
#[inline(always)]
fn run_anywhere<const LANES: usize, const VECTORS: usize>(
    row: Row,
    grad: &[f32],
    steps: &[Step],
    with: Constants,
    mul_add: impl Fn(f32, f32, f32) -> f32,
) {
    for from in (0..row.p.len()).step_by(LANES * VECTORS) {
        let n = (row.p.len() - from).min(LANES * VECTORS);
        // Copied together, and filled up with zeros to whole vectors.
        let [mut ps, mut ms, mut vs, mut gs] = [[[0.0f32; LANES]; VECTORS]; 4];
        ps.as_flattened_mut()[..n].copy_from_slice(&row.p[from..][..n]);
        ms.as_flattened_mut()[..n].copy_from_slice(&row.first[from..][..n]);
        vs.as_flattened_mut()[..n].copy_from_slice(&row.second[from..][..n]);
        if !grad.is_empty() {
            gs.as_flattened_mut()[..n].copy_from_slice(&grad[from..][..n]);
        }
        for step in steps {
            for (((p, m), v), g) in ps.iter_mut().zip(&mut ms).zip(&mut vs).zip(&gs).take(n.div_ceil(LANES)) {
                for i in 0..LANES {
                    let kept = p[i] * step.keep;
                    let g = mul_add(with.decay, kept, g[i]);
                    m[i] = mul_add(with.new, g - m[i], m[i]);
                    v[i] = mul_add(with.new_square * g, g, with.old_square * v[i]);
                    p[i] = kept - step.rate * m[i] / mul_add(v[i].sqrt(), step.root, with.eps);
                }
            }
        }
        row.p[from..][..n].copy_from_slice(&ps.as_flattened()[..n]);
        row.first[from..][..n].copy_from_slice(&ms.as_flattened()[..n]);
        row.second[from..][..n].copy_from_slice(&vs.as_flattened()[..n]);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_numbers_taken_at_once_does_not_change_a_bit() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            eprintln!("skipped: this processor has no AVX-512");
            return;
        }
        let with = Constants { new: 0.1, old_square: 0.999, new_square: 0.001, eps: 1e-8, decay: 2e-4 };
        let steps: Vec<Step> =
            (1..40).map(|t| Step { rate: 0.01 * t as f32, root: 1.1, keep: 0.999 }).collect();
        let numbers =
            |n: usize, scale: f32| (0..n).map(|i| scale * (i as f32 + 0.3).sin()).collect::<Vec<f32>>();
        for n in [1, 8, 50, 64, 131] {
            let grad = numbers(n, 0.02);
            let moved = |run: fn(Row, &[f32], &[Step], Constants)| {
                let (mut p, mut first, mut second) = (numbers(n, 0.1), vec![0.0; n], vec![0.0; n]);
                let row = Row { p: &mut p, first: &mut first, second: &mut second };
                run(row, &grad, &steps, with);
                (p, first, second)
            };
            // SAFETY: the processor has AVX-512, and with it the other features.
            let by_eight = moved(|row, grad, steps, with| unsafe { run_avx2(row, grad, steps, with) });
            // SAFETY: as above.
            let by_sixteen = moved(|row, grad, steps, with| unsafe { run_avx512(row, grad, steps, with) });
            assert_eq!(by_eight, by_sixteen, "{n} numbers");
        }
    }
}
