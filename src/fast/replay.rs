//! A batch's operations, recorded once and replayed on plain numbers.
//!
//! A batch of 64 ratings takes little arithmetic: most of its time is spent on how libtorch arranges an operation
//! (dispatch, allocation, the graph of the gradients), forward and backward. So the operations of the first batch are
//! recorded, as CUDA graphs and `torch.compile` do, and the later batches replay them. This works for the lecture's
//! models of any size, and for any model made of the same pieces. The operations must not depend on the numbers in a
//! batch, again as for CUDA graphs and `torch.compile`.

use tch::{Device, Kind, Tensor};

use crate::libtorch::memory::slice;
use crate::libtorch::record::{Call, TensorInfo, Value};
use crate::system::arithmetic::dot;

/// What a value is computed from; values are named by their place in [`Replay::nodes`], weights by that of
/// their parameter. Each value is (bs, width).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
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
struct Node {
    op: Op,
    width: usize,
    value: Vec<f32>,
    grad: Vec<f32>,
}

/// The operations from a batch to its mean squared error.
#[derive(Debug)]
pub(super) struct Replay {
    /// Each after those it is computed from; the last is the prediction.
    nodes: Vec<Node>,
    /// For each parameter, the node that reads it.
    readers: Vec<usize>,
    /// For each parameter that is not a table, its gradient.
    grads: Vec<Vec<f32>>,
}

/// What a recorded tensor is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    X,
    Y,
    Param(usize),
    Column(usize),
    Node(usize),
    Loss,
}

/// Reads a record into nodes.
struct Reader<'a> {
    roles: Vec<(usize, Role)>,
    nodes: Vec<Node>,
    sizes: &'a [Vec<i64>],
    /// How often each parameter and each node was read.
    params_read: Vec<Vec<usize>>,
    nodes_read: Vec<usize>,
}

impl Reader<'_> {
    fn role(&self, t: &TensorInfo) -> Option<Role> {
        self.roles.iter().find(|(id, _)| *id == t.id).map(|(_, role)| *role)
    }

    /// A node that is read by another one.
    fn node(&mut self, t: &TensorInfo) -> Option<usize> {
        let Role::Node(node) = self.role(t)? else { return None };
        self.nodes_read[node] += 1;
        Some(node)
    }

    fn param(&mut self, t: &TensorInfo) -> Option<usize> {
        let Role::Param(param) = self.role(t)? else { return None };
        (t.size == self.sizes[param]).then_some(())?;
        self.params_read[param].push(self.nodes.len());
        Some(param)
    }

    /// What a call adds; `None` if it is not known here.
    fn call(&mut self, call: &Call) -> Option<()> {
        use Value::{Ints, Nothing, Number, Tensor, Tensors};
        let [Tensor(out)] = &call.outputs[..] else { return None };
        (out.kind == 'g' || out.kind == 'i').then_some(())?;
        let alike = |a: &TensorInfo, b: &TensorInfo| a.size == b.size && a.size == out.size;
        let op = match (call.name.as_str(), &call.inputs[..]) {
            ("aten::select.int", [Tensor(x), Number(1.0), Number(column)]) if self.role(x)? == Role::X => {
                self.roles.push((out.id, Role::Column(*column as usize)));
                return Some(());
            }
            ("aten::squeeze.dim", [Tensor(a), Number(1.0)]) if a.size[..] == [out.size[0], 1] => {
                let role = self.role(a)?;
                self.roles.push((out.id, role));
                return Some(());
            }
            ("aten::embedding", [Tensor(table), Tensor(ids), Number(-1.0), Number(0.0), Number(_)]) => {
                let Role::Column(column) = self.role(ids)? else { return None };
                Op::Rows { table: self.param(table)?, column }
            }
            ("aten::mul.Tensor", [Tensor(a), Tensor(b)]) if alike(a, b) => {
                Op::Mul(self.node(a)?, self.node(b)?)
            }
            ("aten::add.Tensor", [Tensor(a), Tensor(b), Number(1.0)]) if alike(a, b) => {
                Op::Add(self.node(a)?, self.node(b)?)
            }
            ("aten::sum.dim_IntList", [Tensor(a), Ints(dims), Number(0.0), Nothing]) if dims[..] == [1] => {
                Op::Sum(self.node(a)?)
            }
            ("aten::mul.Scalar", [Tensor(a), Number(x)]) => Op::Times(self.node(a)?, *x as f32),
            ("aten::add.Scalar", [Tensor(a), Number(x), Number(1.0)]) => Op::Plus(self.node(a)?, *x as f32),
            ("aten::sigmoid", [Tensor(a)]) => Op::Sigmoid(self.node(a)?),
            ("aten::relu", [Tensor(a)]) => Op::Relu(self.node(a)?),
            ("aten::cat", [Tensors(parts), Number(1.0)]) => {
                let [a, b] = &parts[..] else { return None };
                Op::Cat(self.node(a)?, self.node(b)?)
            }
            ("aten::linear", [Tensor(x), Tensor(weight), Tensor(bias)]) => {
                Op::Linear { x: self.node(x)?, weight: self.param(weight)?, bias: self.param(bias)? }
            }
            ("aten::mse_loss", [Tensor(preds), Tensor(y), Number(1.0)]) => {
                // The predictions must be the last node, and the loss the last of all.
                let last = self.node(preds)? + 1 == self.nodes.len();
                (last && self.role(y)? == Role::Y && preds.size == y.size).then_some(())?;
                self.roles.push((out.id, Role::Loss));
                return Some(());
            }
            _ => return None,
        };
        let width = match out.size[..] {
            [_] => 1,
            [_, width] => width as usize,
            _ => return None,
        };
        self.roles.push((out.id, Role::Node(self.nodes.len())));
        self.nodes.push(Node { op, width, value: Vec::new(), grad: Vec::new() });
        self.nodes_read.push(0);
        Some(())
    }
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
    /// Makes the replay of the recorded `calls`, in which x is tensor 0, y is tensor 1, and the parameters (of these
    /// `sizes`) follow.
    ///
    /// # Errors
    /// An operation is not known here, or reads its input in an unknown way.
    pub fn new(calls: &[Call], sizes: &[Vec<i64>]) -> Result<Replay, String> {
        let params = (0..sizes.len()).map(|param| (2 + param, Role::Param(param)));
        let mut reader = Reader {
            roles: [(0, Role::X), (1, Role::Y)].into_iter().chain(params).collect(),
            nodes: Vec::new(),
            sizes,
            params_read: vec![Vec::new(); sizes.len()],
            nodes_read: Vec::new(),
        };
        for call in calls {
            reader
                .call(call)
                .ok_or_else(|| format!("the model calls {}, which it does not know", call.name))?;
        }
        let Reader { roles, nodes, params_read, nodes_read, .. } = reader;
        // Everything is read once, so gradients need not be added up.
        let once = params_read.iter().all(|by| by.len() == 1) && nodes_read.iter().all(|&n| n == 1);
        if !once || roles.last().is_none_or(|(_, role)| *role != Role::Loss) {
            return Err("the model reads some value more or less than once".to_owned());
        }
        let readers: Vec<usize> = params_read.into_iter().flatten().collect();
        let is_table = |param: usize| matches!(nodes[readers[param]].op, Op::Rows { .. });
        let numel = |param: usize| sizes[param].iter().product::<i64>() as usize;
        let grads = (0..sizes.len()).map(|p| vec![0.0; if is_table(p) { 0 } else { numel(p) }]).collect();
        Ok(Replay { nodes, readers, grads })
    }

    /// The parameters that are looked up by row, grouped by the column of the batch that looks them up and by their
    /// number of rows: the column, and which parameters.
    pub fn tables(&self, n_rows: impl Iterator<Item = i64>) -> Vec<(usize, Vec<usize>)> {
        let mut groups: Vec<((usize, i64), Vec<usize>)> = Vec::new();
        for (param, (&reader, n_rows)) in self.readers.iter().zip(n_rows).enumerate() {
            let Op::Rows { column, .. } = self.nodes[reader].op else { continue };
            match groups.iter_mut().find(|(key, _)| *key == (column, n_rows)) {
                Some((_, group)) => group.push(param),
                None => groups.push(((column, n_rows), vec![param])),
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
