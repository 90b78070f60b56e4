//! Rows of a table that are moved when they are read, by the steps that they sat out meanwhile.

use std::fmt::Debug;

use anyhow::{Result, ensure};
use tch::Tensor;

use crate::libtorch::memory::slice_mut;

/// All rows are brought up to date after so many steps, which bounds what is kept of the steps: 32 bytes each
/// under SGD, 2 MiB.
pub(super) const MOST_STEPS_BEHIND: u32 = 1 << 16;

/// Numbers that are moved together: weights, and what the optimiser remembers of each (SGD has no second).
pub(super) struct Row<'a> {
    pub p: &'a mut [f32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
}

impl<'a> Row<'a> {
    /// A whole parameter with its buffers.
    ///
    /// # Safety
    /// They are contiguous float32 in the CPU's memory, and nothing else reads or writes them during `'a`.
    pub unsafe fn of(param: &'a Tensor, buffers: &'a [Tensor]) -> Row<'a> {
        // SAFETY: promised by the caller; parameter and buffers are different tensors.
        unsafe {
            Row {
                p: slice_mut(param),
                first: slice_mut(&buffers[0]),
                second: buffers.get(1).map_or(&mut [], |t| slice_mut(t)),
            }
        }
    }

    /// The numbers `from..to` of it.
    fn part(&mut self, from: usize, to: usize) -> Row<'_> {
        let second = if self.second.is_empty() { 0..0 } else { from..to };
        Row { p: &mut self.p[from..to], first: &mut self.first[from..to], second: &mut self.second[second] }
    }
}

/// Asks the processor to fetch what lies there, without waiting for it: a hint, about any address.
#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read or written.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}

/// Numbers that the processor fetches together.
const LINE: usize = 16;

/// A rule with its steps since all rows were last up to date.
pub(super) trait Steps: Debug {
    /// Steps since then.
    fn taken(&self) -> u32;
    /// Steps since the first of all.
    fn in_all(&self) -> u64;
    /// Every row is up to date, `in_all` steps after the first.
    fn start(&mut self, in_all: u64);
    /// One more step, at this learning rate.
    fn take(&mut self, lr: f64);
    /// Has what is kept of the steps after `since` fetched.
    fn prefetch(&self, since: u32);
    /// Moves a row by the steps after `since`, in none of which it had a gradient.
    fn catch_up(&self, row: Row, since: u32);
    /// Moves a row, up to date but for the last step, by that step.
    fn step(&self, row: Row, grad: &[f32]);
}

/// Where the rows of a table stand.
///
/// Rows shorter than [`Table::SHORTEST`] numbers (biases: one number) are moved some at a time, as a block:
/// moving a few numbers more costs less than telling more rows apart.
#[derive(Debug)]
pub(super) struct Table {
    /// Numbers of a row.
    width: usize,
    /// Rows of a block, as a power of two.
    log2_rows: u32,
    /// Steps that each block has taken part in.
    seen: Vec<u32>,
    /// The rows with a gradient in this step, each with where its gradient is: kept to be filled again.
    order: Vec<(u32, u32)>,
    /// The sum of a block's gradients.
    sum: Vec<f32>,
}

impl Table {
    /// Numbers of a block of short rows.
    const SHORTEST: usize = LINE;

    /// Ids whose rows are fetched together.
    const TOGETHER: usize = 32;

    /// `n_rows` rows of `numel` numbers together, all having taken part in the first `seen` steps.
    pub fn new(n_rows: i64, numel: usize, seen: u32) -> Table {
        let n_rows = n_rows as usize;
        let width = (numel / n_rows).max(1);
        let log2_rows = (Table::SHORTEST / width).max(1).ilog2();
        let rows = 1 << log2_rows;
        let blocks = n_rows.div_ceil(rows);
        Table { width, log2_rows, seen: vec![seen; blocks], order: Vec::new(), sum: vec![0.0; rows * width] }
    }

    /// Brings the rows that `ids` names up to date. Ids beyond the table belong to another one.
    ///
    /// The batch's users and movies are not told apart: a row too many brought up to date does no harm.
    pub fn reads(&mut self, steps: &dyn Steps, mut all: Row, ids: &[i64]) {
        // In a large table most rows come from main memory. Fetched one after another, with work in between, each
        // is waited for; all in one go, they come side by side.
        let log2_rows = self.log2_rows;
        let block = |&id: &i64| id as usize >> log2_rows;
        for some in ids.chunks(Table::TOGETHER) {
            some.iter().map(block).for_each(|block| self.prefetch(&all, block));
            let seen = |block: usize| self.seen.get(block);
            some.iter().map(block).filter_map(seen).for_each(|&since| steps.prefetch(since));
            for block in some.iter().map(block) {
                if block < self.seen.len() {
                    self.catch_up(steps, &mut all, block);
                }
            }
        }
    }

    /// Brings every row up to date, and starts counting anew.
    pub fn settle(&mut self, steps: &dyn Steps, mut all: Row) {
        for block in 0..self.seen.len() {
            self.catch_up(steps, &mut all, block);
        }
        self.forget();
    }

    /// Starts counting anew.
    pub fn forget(&mut self) {
        self.seen.fill(0);
    }

    fn catch_up(&mut self, steps: &dyn Steps, all: &mut Row, block: usize) {
        if self.seen[block] == steps.taken() {
            return;
        }
        let (from, to) = self.span(block, all.p.len());
        steps.catch_up(all.part(from, to), self.seen[block]);
        self.seen[block] = steps.taken();
    }

    /// Numbers of a block.
    fn length(&self) -> usize {
        self.width << self.log2_rows
    }

    /// Has a block fetched; of one that is very long its start, after which the processor sees by itself what comes.
    #[inline(always)]
    fn prefetch(&self, all: &Row, block: usize) {
        prefetch(self.seen.as_ptr().wrapping_add(block));
        for numbers in [&*all.p, all.first, all.second] {
            let start = numbers.as_ptr().wrapping_add(block.wrapping_mul(self.length()));
            let lines = if numbers.is_empty() { 0 } else { self.length().div_ceil(LINE).min(64) };
            (0..lines).for_each(|line| prefetch(start.wrapping_add(line * LINE)));
        }
    }

    /// Where a block's numbers are.
    fn span(&self, block: usize, numel: usize) -> (usize, usize) {
        let length = self.length();
        (block * length, ((block + 1) * length).min(numel))
    }

    /// The last step for the rows with a gradient: `ids` (n,) and `values` (n, width), where an id that
    /// comes more than once has the sum.
    pub fn step(&mut self, steps: &dyn Steps, mut all: Row, ids: &[i64], values: &[f32]) -> Result<()> {
        let before = steps.taken() - 1;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(ids.iter().zip(0..).map(|(&id, at)| (id as u32, at)));
        order.sort_unstable(); // so that the sums are taken in the order of the batch
        let log2_rows = self.log2_rows;
        for same_block in order.chunk_by(|a, b| a.0 >> log2_rows == b.0 >> log2_rows) {
            let block = (same_block[0].0 >> log2_rows) as usize;
            ensure!(
                self.seen[block] == before,
                "row {} was read behind the optimiser's back",
                same_block[0].0
            );
            let (from, to) = self.span(block, all.p.len());
            let value = |at: u32| &values[at as usize * self.width..][..self.width];
            let grad = if let ([(_, at)], 0) = (same_block, log2_rows) {
                value(*at)
            } else {
                self.sum.fill(0.0);
                for &(id, at) in same_block {
                    let offset = (id as usize - (block << log2_rows)) * self.width;
                    for (sum, x) in self.sum[offset..][..self.width].iter_mut().zip(value(at)) {
                        *sum += x;
                    }
                }
                &self.sum[..to - from]
            };
            steps.step(all.part(from, to), grad);
            self.seen[block] = steps.taken();
        }
        self.order = order;
        Ok(())
    }
}
