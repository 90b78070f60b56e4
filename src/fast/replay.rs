//! A batch's operations, recorded once and replayed on plain numbers.
//!
//! A batch of 64 ratings takes little arithmetic: most of its time is spent on how libtorch arranges an operation
//! (dispatch, allocation, the graph of the gradients), forward and backward. So the operations of the first batch are
//! recorded (`reader.rs`), as CUDA graphs and `torch.compile` do, and the later batches replay them. This works for the lecture's
//! models of any size, and for any model made of the same pieces. The operations must not depend on the numbers in a
//! batch, again as for CUDA graphs and `torch.compile`.

use tch::{Device, Kind, Tensor};

use crate::libtorch::memory::slice;
use crate::system::arithmetic::dot;

/// What a value is computed from; values are named by their place in [`Replay::nodes`], weights by that of
/// their parameter. Each value is (bs, width).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// The rows of a table that a column of the batch names.
    Rows {
        table: usize,
        column: usize,
    },
    Mul(usize, usize),
    Add(usize, usize),
    Sum(usize),
    Times(usize, f32),
    Plus(usize, f32),
    Sigmoid(usize),
    Relu(usize),
    /// Each number is zero with this probability, and grows accordingly if not.
    Dropout(usize, f64),
    /// Two values side by side.
    Cat(usize, usize),
    Linear {
        x: usize,
        weight: usize,
        bias: usize,
    },
}

/// A value with its gradient, both (bs, width).
#[derive(Debug)]
pub(super) struct Node {
    pub op: Op,
    pub width: usize,
    value: Vec<f32>,
    grad: Vec<f32>,
    /// What dropout has multiplied each number by; empty for other operations.
    mask: Vec<f32>,
}

/// The operations from a batch to its mean squared error.
#[derive(Debug)]
pub(super) struct Replay {
    /// Each after those it is computed from; the last is the prediction.
    pub nodes: Vec<Node>,
    /// For each parameter, the node that reads it.
    pub readers: Vec<usize>,
    /// For each parameter that is not a table, its gradient.
    pub grads: Vec<Vec<f32>>,
}

/// The gradient of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gradient<'a> {
    /// A number for each number of the parameter.
    Dense(&'a [f32]),
    /// For a table that is looked up: a row for each row of the batch, (bs, width).
    Rows(&'a [f32]),
}

/// Where the weights of a parameter are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    /// The numbers, from the first row on.
    pub numbers: &'a [f32],
    pub n_rows: usize,
    /// Numbers from one row to the next.
    pub stride: usize,
}

impl<'a> Weights<'a> {
    /// In the parameter itself.
    ///
    /// # Safety
    /// It is contiguous float32 in the CPU's memory, and nothing changes it meanwhile.
    pub unsafe fn of(param: &'a Tensor) -> Weights<'a> {
        // SAFETY: promised by the caller.
        let numbers = unsafe { slice(param) };
        let n_rows = param.size().first().map_or(1, |&n| n as usize);
        Weights { numbers, n_rows, stride: numbers.len() / n_rows.max(1) }
    }
}

impl Replay {
    /// The parameters that are looked up by row, grouped by the column of the batch that looks them up and by what else
    /// they must have in common, given as a key for each parameter: the column, and which parameters.
    pub fn tables<K: PartialEq>(&self, keys: impl Iterator<Item = K>) -> Vec<(usize, Vec<usize>)> {
        let mut groups: Vec<((usize, K), Vec<usize>)> = Vec::new();
        for (param, (&reader, key)) in self.readers.iter().zip(keys).enumerate() {
            let Op::Rows { column, .. } = self.nodes[reader].op else { continue };
            let key = (column, key);
            match groups.iter_mut().find(|(of, _)| *of == key) {
                Some((_, group)) => group.push(param),
                None => groups.push((key, vec![param])),
            }
        }
        groups.into_iter().map(|((column, _), group)| (column, group)).collect()
    }

    /// The gradient of a parameter after [`Replay::run`].
    pub fn gradient(&self, param: usize) -> Gradient<'_> {
        let reader = &self.nodes[self.readers[param]];
        match reader.op {
            Op::Rows { .. } => Gradient::Rows(&reader.grad),
            _ => Gradient::Dense(&self.grads[param]),
        }
    }

    /// Returns the loss of a batch and computes the gradients of all parameters, with the loss itself as the end of the
    /// chain. `ids` is the batch column by column. `None` if the batch is not like the recorded one, or names a row
    /// that a table lacks.
    pub fn run(&mut self, ids: &[i64], y: &Tensor, params: &[Weights]) -> Option<f32> {
        let plain = y.device() == Device::Cpu && y.kind() == Kind::Float && y.is_contiguous();
        let bs = y.numel();
        if !plain || y.dim() != 1 || ids.len() != 2 * bs {
            return None;
        }
        for (&reader, table) in self.readers.iter().zip(params) {
            if let Op::Rows { column, .. } = self.nodes[reader].op
                && !ids[column * bs..][..bs].iter().all(|&id| (id as u64) < table.n_rows as u64)
            {
                return None;
            }
        }
        // SAFETY: contiguous float32 in the CPU's memory.
        let y = unsafe { slice::<f32>(y) };
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return Some(unsafe { self.compute_avx2(ids, y, params) });
        }
        Some(self.compute(ids, y, params))
    }

    /// The same code compiled for eight numbers at a time, with the same result.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn compute_avx2(&mut self, ids: &[i64], y: &[f32], params: &[Weights]) -> f32 {
        self.compute(ids, y, params)
    }

    #[inline(always)]
    fn compute(&mut self, ids: &[i64], y: &[f32], params: &[Weights]) -> f32 {
        let bs = y.len();
        for at in 0..self.nodes.len() {
            let (before, rest) = self.nodes.split_at_mut(at);
            rest[0].value.resize(bs * rest[0].width, 0.0);
            rest[0].grad.resize(bs * rest[0].width, 0.0);
            rest[0].forward(before, ids, params);
        }
        let preds = self.nodes.last_mut().expect("there is a prediction");
        let mut squares = 0.0;
        for ((grad, p), y) in preds.grad.iter_mut().zip(&preds.value).zip(y) {
            squares += f64::from(p - y) * f64::from(p - y);
            *grad = 2.0 / bs as f32 * (p - y);
        }
        for at in (0..self.nodes.len()).rev() {
            let (before, rest) = self.nodes.split_at_mut(at);
            rest[0].backward(before, params, &mut self.grads);
        }
        (squares / bs as f64) as f32
    }
}

impl Node {
    pub fn new(op: Op, width: usize) -> Node {
        Node { op, width, value: Vec::new(), grad: Vec::new(), mask: Vec::new() }
    }

    #[inline(always)]
    fn forward(&mut self, before: &[Node], ids: &[i64], weights: &[Weights]) {
        let out = &mut self.value;
        let input = |a: usize| &before[a].value[..];
        match self.op {
            Op::Rows { table, column } => {
                let (table, bs) = (weights[table], out.len() / self.width);
                for (row, &id) in out.chunks_exact_mut(self.width).zip(&ids[column * bs..]) {
                    row.copy_from_slice(&table.numbers[id as usize * table.stride..][..self.width]);
                }
            }
            Op::Mul(a, b) => {
                for ((out, a), b) in out.iter_mut().zip(input(a)).zip(input(b)) {
                    *out = a * b;
                }
            }
            Op::Add(a, b) => {
                for ((out, a), b) in out.iter_mut().zip(input(a)).zip(input(b)) {
                    *out = a + b;
                }
            }
            Op::Sum(a) => {
                for (out, row) in out.iter_mut().zip(input(a).chunks_exact(before[a].width)) {
                    *out = sum(row);
                }
            }
            Op::Times(a, x) => out.iter_mut().zip(input(a)).for_each(|(out, a)| *out = a * x),
            Op::Plus(a, x) => out.iter_mut().zip(input(a)).for_each(|(out, a)| *out = a + x),
            Op::Sigmoid(a) => {
                out.iter_mut().zip(input(a)).for_each(|(out, a)| *out = 1.0 / (1.0 + (-a).exp()))
            }
            Op::Relu(a) => out.iter_mut().zip(input(a)).for_each(|(out, a)| *out = a.max(0.0)),
            Op::Dropout(a, p) => {
                // Drawn by libtorch from its generator, in the order in which its own dropout draws.
                let kept =
                    Tensor::empty([out.len() as i64], (Kind::Float, Device::Cpu)).bernoulli_float_(1.0 - p);
                self.mask.clear();
                // SAFETY: contiguous float32 in the CPU's memory.
                self.mask.extend(unsafe { slice::<f32>(&kept) }.iter().map(|kept| kept / (1.0 - p) as f32));
                for ((out, a), mask) in out.iter_mut().zip(input(a)).zip(&self.mask) {
                    *out = a * mask;
                }
            }
            Op::Cat(a, b) => {
                let (left, right) =
                    (input(a).chunks_exact(before[a].width), input(b).chunks_exact(before[b].width));
                for ((out, a), b) in out.chunks_exact_mut(self.width).zip(left).zip(right) {
                    out[..a.len()].copy_from_slice(a);
                    out[a.len()..].copy_from_slice(b);
                }
            }
            Op::Linear { x, weight, bias } => {
                let (weight, bias, inputs) =
                    (weights[weight].numbers, weights[bias].numbers, before[x].width);
                for (out, x) in out.chunks_exact_mut(self.width).zip(input(x).chunks_exact(inputs)) {
                    for ((out, row), bias) in out.iter_mut().zip(weight.chunks_exact(inputs)).zip(bias) {
                        *out = dot(row, x) + bias;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn backward(&self, before: &mut [Node], weights: &[Weights], grads: &mut [Vec<f32>]) {
        let grad = &self.grad;
        match self.op {
            Op::Rows { .. } => {}
            Op::Mul(a, b) => {
                let [a, b] = before.get_disjoint_mut([a, b]).expect("two different nodes");
                for ((a, b), grad) in a.grad.iter_mut().zip(&b.value).zip(grad) {
                    *a = grad * b;
                }
                for ((b, a), grad) in b.grad.iter_mut().zip(&a.value).zip(grad) {
                    *b = grad * a;
                }
            }
            Op::Add(a, b) => {
                before[a].grad.copy_from_slice(grad);
                before[b].grad.copy_from_slice(grad);
            }
            Op::Sum(a) => {
                let width = before[a].width;
                for (row, grad) in before[a].grad.chunks_exact_mut(width).zip(grad) {
                    row.fill(*grad);
                }
            }
            Op::Times(a, x) => before[a].grad.iter_mut().zip(grad).for_each(|(a, grad)| *a = grad * x),
            Op::Plus(a, _) => before[a].grad.copy_from_slice(grad),
            Op::Sigmoid(a) => {
                for ((a, grad), y) in before[a].grad.iter_mut().zip(grad).zip(&self.value) {
                    *a = grad * (1.0 - y) * y;
                }
            }
            Op::Relu(a) => {
                for ((a, grad), y) in before[a].grad.iter_mut().zip(grad).zip(&self.value) {
                    *a = if *y > 0.0 { *grad } else { 0.0 };
                }
            }
            Op::Dropout(a, _) => {
                for ((a, grad), mask) in before[a].grad.iter_mut().zip(grad).zip(&self.mask) {
                    *a = grad * mask;
                }
            }
            Op::Cat(a, b) => {
                let [a, b] = before.get_disjoint_mut([a, b]).expect("two different nodes");
                let (left, right) = (a.grad.chunks_exact_mut(a.width), b.grad.chunks_exact_mut(b.width));
                for ((grad, a), b) in grad.chunks_exact(self.width).zip(left).zip(right) {
                    a.copy_from_slice(&grad[..a.len()]);
                    b.copy_from_slice(&grad[a.len()..]);
                }
            }
            Op::Linear { x, weight, bias } => {
                let x = &mut before[x];
                let inputs = x.width;
                grads[weight].fill(0.0);
                grads[bias].fill(0.0);
                let (weights, weight_grads) = (weights[weight].numbers, &mut grads[weight][..]);
                let rows = x.value.chunks_exact(inputs).zip(x.grad.chunks_exact_mut(inputs));
                for ((x, x_grad), grad) in rows.zip(grad.chunks_exact(self.width)) {
                    x_grad.fill(0.0);
                    for (at, &g) in grad.iter().enumerate() {
                        let span = at * inputs..(at + 1) * inputs;
                        add_scaled(x_grad, g, &weights[span.clone()]);
                        add_scaled(&mut weight_grads[span], g, x);
                    }
                }
                for grad in grad.chunks_exact(self.width) {
                    add_scaled(&mut grads[bias], 1.0, grad);
                }
            }
        }
    }
}

/// `to += factor · from`
#[inline(always)]
fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// The sum, eight at a time.
#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (chunks, rest) = row.as_chunks::<8>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
