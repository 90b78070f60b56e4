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

    /// Asks the processor to fetch the numbers from memory, without waiting for them.
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for numbers in [&*self.p, self.first, self.second] {
            for line in numbers.chunks(16) {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                // SAFETY: a hint, about memory that is there.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
            }
        }
    }

    /// The numbers `from..to` of it.
    fn part(&mut self, from: usize, to: usize) -> Row<'_> {
        let second = if self.second.is_empty() { 0..0 } else { from..to };
        Row { p: &mut self.p[from..to], first: &mut self.first[from..to], second: &mut self.second[second] }
    }
}

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
    /// Rows of a block.
    rows: usize,
    /// Steps that each block has taken part in.
    seen: Vec<u32>,
    /// The blocks behind that a batch reads: kept to be filled again.
    blocks: Vec<usize>,
    /// The rows with a gradient in this step, each with where its gradient is: kept to be filled again.
    order: Vec<(u32, u32)>,
    /// The sum of a block's gradients.
    sum: Vec<f32>,
}

impl Table {
    /// Fewest numbers of a block.
    const SHORTEST: usize = 16;

    /// Blocks that are asked for ahead of the one that is moved.
    const ON_THEIR_WAY: usize = 8;

    /// `n_rows` rows of `numel` numbers together, all having taken part in the first `seen` steps.
    pub fn new(n_rows: i64, numel: usize, seen: u32) -> Table {
        let n_rows = n_rows as usize;
        let width = (numel / n_rows).max(1);
        let rows = (Table::SHORTEST / width).max(1);
        let blocks = n_rows.div_ceil(rows);
        Table {
            width,
            rows,
            seen: vec![seen; blocks],
            blocks: Vec::new(),
            order: Vec::new(),
            sum: vec![0.0; rows * width],
        }
    }

    /// Brings the rows that `ids` names up to date. Ids beyond the table belong to another one.
    ///
    /// The batch's users and movies are not told apart: a row too many brought up to date does no harm.
    pub fn reads(&mut self, steps: &dyn Steps, mut all: Row, ids: &[i64]) {
        let block = |&id: &i64| id as usize / self.rows;
        let behind = |block: &usize| self.seen.get(*block).is_some_and(|&seen| seen < steps.taken());
        self.blocks.clear();
        self.blocks.extend(ids.iter().map(block).filter(behind));
        // In a large table most rows come from main memory: some of them are on their way while one is moved.
        for i in 0..self.blocks.len() + Table::ON_THEIR_WAY {
            if let Some(&coming) = self.blocks.get(i) {
                let (from, to) = self.span(coming, all.p.len());
                all.part(from, to).prefetch();
            }
            if let Some(&here) = i.checked_sub(Table::ON_THEIR_WAY).and_then(|i| self.blocks.get(i)) {
                self.catch_up(steps, &mut all, here);
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

    /// Where a block's numbers are.
    fn span(&self, block: usize, numel: usize) -> (usize, usize) {
        let length = self.rows * self.width;
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
        for same_block in order.chunk_by(|a, b| a.0 as usize / self.rows == b.0 as usize / self.rows) {
            let block = same_block[0].0 as usize / self.rows;
            ensure!(
                self.seen[block] == before,
                "row {} was read behind the optimiser's back",
                same_block[0].0
            );
            let (from, to) = self.span(block, all.p.len());
            let value = |at: u32| &values[at as usize * self.width..][..self.width];
            let grad = if let ([(_, at)], 1) = (same_block, self.rows) {
                value(*at)
            } else {
                self.sum.fill(0.0);
                for &(id, at) in same_block {
                    let offset = id as usize % self.rows * self.width;
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
