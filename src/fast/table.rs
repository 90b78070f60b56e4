//! Rows of tables that are moved when they are read, by the steps that they have sat out.

use std::fmt::Debug;
use std::sync::Mutex;

use rayon::ThreadPool;
use tch::Tensor;

use super::replay::Weights;
use crate::libtorch::memory::slice_mut;
use crate::system::prefetch::prefetch;

/// All rows are brought up to date after this many steps, which bounds the memory for the steps: 32 bytes each under
/// SGD, 2 MiB.
pub(super) const MOST_STEPS_BEHIND: u32 = 1 << 16;

/// Numbers that are moved together: weights, and what the optimizer remembers of each (SGD has no second).
#[derive(Debug)]
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
}

/// A rule with its steps since all rows were last up to date.
pub(super) trait Steps: Debug + Sync {
    /// After how many steps all rows catch up together, and on which threads besides the calling one; `None` if rows
    /// catch up only when they are read.
    fn sweep(&self) -> Option<(u32, &ThreadPool)> {
        None
    }
    /// Steps since then.
    fn taken(&self) -> u32;
    /// Steps since the very first.
    fn in_all(&self) -> u64;
    /// Every row is up to date, `in_all` steps after the first.
    fn start(&mut self, in_all: u64);
    /// One more step, at this learning rate.
    fn take(&mut self, lr: f64);
    /// Moves a row by the steps after `since`, in which it had no gradient.
    fn catch_up(&self, row: Row, since: u32);
    /// Moves a row, which is up to date except for the last step, by that step.
    fn step(&self, row: Row, grad: &[f32]);
}

/// Tables that the same ids look up, such as a user's factors and bias, in their own memory.
///
/// Hardly a row of a large table is in the processor's cache, and a step waits for memory longer than it computes. So
/// everything that belongs to an id is stored together: its rows, what the optimizer remembers of them, and the number
/// of steps that they have taken part in. The parameters have these numbers after [`ByRow::settle`].
#[derive(Debug)]
pub(super) struct ParamTable {
    /// Which parameters these are.
    pub slots: Vec<usize>,
    /// The column of a batch with the ids.
    pub column: usize,
    n_rows: usize,
    /// Numbers of a row of each parameter.
    widths: Vec<usize>,
    /// Numbers of a row of all of them together.
    width: usize,
    /// Whether the optimizer remembers two things of each weight.
    has_second: bool,
    /// For each row its weights, as many numbers of each buffer, and the steps it has taken part in (as bits);
    /// filled up to whole cache lines.
    memory: Vec<f32>,
    /// Where the first row starts, at the start of a cache line.
    start: usize,
    /// From one row to the next.
    stride: usize,
}

/// Numbers of a cache line.
const LINE: usize = 16;

/// The parts of a table's row: the weights with what the optimizer remembers of them, and the steps it has taken part in.
#[inline(always)]
fn parts(row: &mut [f32], width: usize, has_second: bool) -> (Row<'_>, &mut f32) {
    let (p, rest) = row.split_at_mut(width);
    let (first, rest) = rest.split_at_mut(width);
    let (second, rest) = rest.split_at_mut(if has_second { width } else { 0 });
    (Row { p, first, second }, &mut rest[0])
}

impl ParamTable {
    /// Ids whose rows are fetched together.
    const TOGETHER: usize = 32;

    /// A copy of `params`, of `n_rows` rows each, which all have taken part in the first `seen` steps.
    pub fn new(slots: Vec<usize>, column: usize, n_rows: usize, params: &mut [Row], seen: u32) -> ParamTable {
        let widths: Vec<usize> = params.iter().map(|param| param.p.len() / n_rows.max(1)).collect();
        let width: usize = widths.iter().sum();
        let has_second = params.iter().any(|param| !param.second.is_empty());
        let stride = ((if has_second { 3 } else { 2 }) * width + 1).next_multiple_of(LINE);
        let memory = vec![0.0; n_rows * stride + LINE];
        let start = memory.as_ptr().align_offset(size_of::<[f32; LINE]>());
        let mut table =
            ParamTable { slots, column, n_rows, widths, width, has_second, memory, start, stride };
        for at in 0..n_rows {
            table.exchange(at, params, |mine, theirs| mine.copy_from_slice(theirs));
            *table.row(at).1 = f32::from_bits(seen);
        }
        table
    }

    /// The ids of these tables in a batch, which comes column by column.
    pub fn ids<'a>(&self, batch: &'a [i64]) -> &'a [i64] {
        let bs = batch.len() / 2;
        &batch[self.column * bs..][..bs]
    }

    /// The weights of a parameter, if it is one of these.
    pub fn weights(&self, slot: usize) -> Option<Weights<'_>> {
        let member = self.slots.iter().position(|&s| s == slot)?;
        let offset: usize = self.widths[..member].iter().sum();
        Some(Weights {
            numbers: &self.memory[self.start + offset..],
            n_rows: self.n_rows,
            stride: self.stride,
        })
    }

    /// A row, and the steps it has taken part in.
    #[inline(always)]
    fn row(&mut self, at: usize) -> (Row<'_>, &mut f32) {
        parts(&mut self.memory[self.start + at * self.stride..][..self.stride], self.width, self.has_second)
    }

    /// Has a row fetched; of a very long row only the start, after which the processor itself fetches what follows.
    #[inline(always)]
    fn prefetch(&self, id: i64) {
        let start = self.memory.as_ptr().wrapping_add(self.start + (id as usize).wrapping_mul(self.stride));
        (0..self.stride.min(64 * LINE)).step_by(LINE).for_each(|line| prefetch(start.wrapping_add(line)));
    }

    #[inline(always)]
    fn catch_up(&mut self, steps: &impl Steps, at: usize) {
        let (row, seen) = self.row(at);
        let since = seen.to_bits();
        if since != steps.taken() {
            steps.catch_up(row, since);
            *seen = f32::from_bits(steps.taken());
        }
    }

    /// Brings all rows up to date on several threads. A row's numbers do not touch those of other rows, so the result does
    /// not depend on the threads.
    fn sweep(&mut self, steps: &impl Steps, helpers: &ThreadPool) {
        let (width, has_second, taken, stride) = (self.width, self.has_second, steps.taken(), self.stride);
        let rows = &mut self.memory[self.start..][..self.n_rows * stride];
        // More shares than threads, so that a thread that starts late leaves some to the others.
        let shares = 4 * (helpers.current_num_threads() + 1);
        let shares = Mutex::new(rows.chunks_mut(self.n_rows.div_ceil(shares).max(1) * stride));
        let next = || shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
        let work = || {
            while let Some(share) = next() {
                for row in share.chunks_mut(stride) {
                    let (row, seen) = parts(row, width, has_second);
                    steps.catch_up(row, seen.to_bits());
                    *seen = f32::from_bits(taken);
                }
            }
        };
        helpers.in_place_scope(|scope| {
            (0..helpers.current_num_threads()).for_each(|_| scope.spawn(|_| work()));
            work();
        });
    }

    #[inline(always)]
    fn reads(&mut self, steps: &impl Steps, ids: &[i64]) {
        if let Some((often, helpers)) = steps.sweep()
            && steps.taken().is_multiple_of(often)
        {
            return self.sweep(steps, helpers);
        }
        // Fetched one after another, with work in between, each row is waited for; fetched all at once, the waits
        // overlap.
        for some in ids.chunks(ParamTable::TOGETHER) {
            some.iter().for_each(|&id| self.prefetch(id));
            for &id in some {
                if (id as usize) < self.n_rows {
                    self.catch_up(steps, id as usize);
                }
            }
        }
    }

    #[inline(always)]
    fn step(&mut self, steps: &impl Steps, ids: &[i64], values: &[&[f32]]) {
        let mut grad = vec![0.0; self.width];
        // The rows with a gradient, each with where it is.
        let mut order: Vec<(u32, u32)> = ids.iter().zip(0..).map(|(&id, place)| (id as u32, place)).collect();
        order.sort_unstable(); // so that the sums are taken in the order of the batch
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            let mut rest = &mut grad[..];
            for (values, &width) in values.iter().zip(&self.widths) {
                let (sum, others) = rest.split_at_mut(width);
                sum.copy_from_slice(&values[same[0].1 as usize * width..][..width]);
                for &(_, place) in &same[1..] {
                    let value = &values[place as usize * width..][..width];
                    sum.iter_mut().zip(value).for_each(|(sum, x)| *sum += x);
                }
                rest = others;
            }
            let at = same[0].0;
            let (row, seen) = self.row(at as usize);
            debug_assert!(seen.to_bits() + 1 == steps.taken(), "the row was read before it caught up");
            steps.step(row, &grad);
            *seen = f32::from_bits(steps.taken());
        }
    }

    /// Copies row `at` of the parameters and their buffers, one way or the other.
    fn exchange(&mut self, at: usize, params: &mut [Row], copy: impl Fn(&mut [f32], &mut [f32])) {
        let mut mine = self.start + at * self.stride;
        for (param, &width) in params.iter_mut().zip(&self.widths) {
            let parts = [&mut *param.p, &mut *param.first, &mut *param.second];
            for (part, kind) in parts.into_iter().zip(0..).filter(|(part, _)| !part.is_empty()) {
                copy(&mut self.memory[mine + kind * self.width..][..width], &mut part[at * width..][..width]);
            }
            mine += width;
        }
    }
}

/// What a rule's steps do to a [`ParamTable`], for any rule.
///
/// Each is compiled with the rule's own code inside, and for eight numbers at a time where the processor has them: with
/// a call for each row, the processor would not go ahead to the next row while it waits for this one's numbers.
pub(super) trait ByRow: Steps {
    /// Brings the rows that `ids` names up to date. Ids beyond the table are refused when the batch is computed.
    fn reads(&self, table: &mut ParamTable, ids: &[i64]);

    /// The last step for the rows with a gradient: `ids` (n,), and for each parameter `values` (n, width). An id that
    /// occurs more than once has the sum of its values.
    fn step_rows(&self, table: &mut ParamTable, ids: &[i64], values: &[&[f32]]);

    /// Brings every row up to date, gives all to the parameters, and starts counting from zero.
    fn settle(&self, table: &mut ParamTable, params: &mut [Row]);
}

impl<S: Steps> ByRow for S {
    fn reads(&self, table: &mut ParamTable, ids: &[i64]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[target_feature(enable = "avx2")]
            fn wide(table: &mut ParamTable, steps: &impl Steps, ids: &[i64]) {
                table.reads(steps, ids);
            }
            // SAFETY: the processor has AVX2.
            return unsafe { wide(table, self, ids) };
        }
        table.reads(self, ids);
    }

    fn step_rows(&self, table: &mut ParamTable, ids: &[i64], values: &[&[f32]]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[target_feature(enable = "avx2")]
            fn wide(table: &mut ParamTable, steps: &impl Steps, ids: &[i64], values: &[&[f32]]) {
                table.step(steps, ids, values)
            }
            // SAFETY: the processor has AVX2.
            return unsafe { wide(table, self, ids, values) };
        }
        table.step(self, ids, values)
    }

    fn settle(&self, table: &mut ParamTable, params: &mut [Row]) {
        if let Some((_, helpers)) = Steps::sweep(self) {
            table.sweep(self, helpers);
        }
        for at in 0..table.n_rows {
            table.catch_up(self, at);
            table.exchange(at, params, |mine, theirs| theirs.copy_from_slice(mine));
            *table.row(at).1 = f32::from_bits(0);
        }
    }
}
