//! Reads the record of a batch's operations into the nodes that replay them.

use super::replay::{Node, Op, Replay};
use crate::libtorch::record::{Call, TensorInfo, Value};

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
            // Without any chance, or with certainty, libtorch draws nothing.
            ("aten::dropout", [Tensor(a), Number(p), Number(1.0)]) if *p > 0.0 && *p < 1.0 => {
                Op::Dropout(self.node(a)?, *p)
            }
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
        self.nodes.push(Node::new(op, width));
        self.nodes_read.push(0);
        Some(())
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
}
