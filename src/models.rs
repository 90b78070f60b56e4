//! The lecture's models. Each is a struct with a `new` and a `forward_t`; trailing comments give the shapes of tensors.
//!
//! The input is the lecture's `cats`, (bs, 2): the user's and the movie's index of each rating. The output, (bs,), is the
//! predicted ratings in stars.
//!
//! The parameters are initialized one after another in the order of the fields, each by one `uniform_`, in a `VarStore`
//! on the CPU (learner.rs). `linear` below replaces tch's, which initializes the bias before the weight, and the weight
//! over a range √6 times as wide as PyTorch's `nn.Linear`.

use tch::Tensor;
use tch::nn::{Embedding, EmbeddingConfig, Init, Linear, Module, ModuleT, Path, embedding};

/// The range that the output of a sigmoid is scaled to, in stars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatingRange {
    /// The value at −∞.
    pub min: f64,
    /// The value at +∞.
    pub max: f64,
}

impl RatingRange {
    /// `F.sigmoid(res) * (max_rating-min_rating) + min_rating`
    pub fn squash(self, x: &Tensor) -> Tensor {
        x.sigmoid() * (self.max - self.min) + self.min
    }

    /// EmbeddingNet's: half a star wider at each end, so that a prediction can reach the lowest and highest ratings.
    pub fn widened(self) -> RatingRange {
        RatingRange { min: self.min - 0.5, max: self.max + 0.5 }
    }
}

/// The lecture's first custom layer: the dot product of two batches of vectors.
#[derive(Debug)]
pub struct DotProduct;

impl DotProduct {
    /// (bs, n), (bs, n) → (bs,)
    pub fn forward(&self, u: &Tensor, m: &Tensor) -> Tensor {
        (u * m).sum_dim_intlist(1, false, None)
    }
}

/// Sizes and initial range of the embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingSpec {
    /// Number of users.
    pub n_users: i64,
    /// Number of movies.
    pub n_movies: i64,
    /// Length of a user's and of a movie's vector. They are equal except in EmbeddingNet (`Settings::check`).
    pub n_factors: (i64, i64),
    /// Bounds of the uniform initialization.
    pub init: (f64, f64),
}

impl EmbeddingSpec {
    /// `get_emb(ni, nf)`: an embedding with uniform weights.
    fn get_emb(&self, vs: Path, ni: i64, nf: i64) -> Embedding {
        let ws_init = Init::Uniform { lo: self.init.0, up: self.init.1 };
        embedding(vs, ni, nf, EmbeddingConfig { ws_init, ..Default::default() })
    }
}

/// A rating is the dot product of its user's and its movie's vector.
#[derive(Debug)]
pub struct EmbeddingDot {
    u: Embedding,
    m: Embedding,
}

impl EmbeddingDot {
    /// Initializes u (n_users, n_factors), then m (n_movies, n_factors).
    pub fn new(vs: &Path, e: &EmbeddingSpec) -> Self {
        EmbeddingDot {
            u: e.get_emb(vs / "u", e.n_users, e.n_factors.0),
            m: e.get_emb(vs / "m", e.n_movies, e.n_factors.1),
        }
    }
}

impl ModuleT for EmbeddingDot {
    fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {
        let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
        let (u, m) = (self.u.forward(&users), self.m.forward(&movies)); // (bs, n_factors)
        DotProduct.forward(&u, &m) // (bs,)
    }
}

/// The dot product plus a bias for the user (how generous?) and one for the movie (how good?), squashed to the range of
/// the ratings. fastai's own version is the same with other names and a wider initialization. Like it, and unlike the
/// lecture's, which reads globals, this one takes the range as an argument.
#[derive(Debug)]
pub struct EmbeddingDotBias {
    u: Embedding,
    m: Embedding,
    ub: Embedding,
    mb: Embedding,
    range: RatingRange,
}

impl EmbeddingDotBias {
    /// Initializes u, m, ub (n_users, 1) and mb (n_movies, 1), in this order.
    pub fn new(vs: &Path, e: &EmbeddingSpec, range: RatingRange) -> Self {
        EmbeddingDotBias {
            u: e.get_emb(vs / "u", e.n_users, e.n_factors.0),
            m: e.get_emb(vs / "m", e.n_movies, e.n_factors.1),
            ub: e.get_emb(vs / "ub", e.n_users, 1),
            mb: e.get_emb(vs / "mb", e.n_movies, 1),
            range,
        }
    }
}

impl ModuleT for EmbeddingDotBias {
    fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {
        let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
        let um = self.u.forward(&users) * self.m.forward(&movies); // (bs, n_factors)
        // Without the squeeze, (bs,) + (bs, 1) would broadcast to (bs, bs).
        let res = um.sum_dim_intlist(1, false, None)
            + self.ub.forward(&users).squeeze_dim(1)
            + self.mb.forward(&movies).squeeze_dim(1); // (bs,)
        self.range.squash(&res) // (bs,)
    }
}

/// The shape of EmbeddingNet, beyond its embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct NetSpec {
    /// Width of each hidden layer; the lecture has one of 10.
    pub hidden: Vec<i64>,
    /// Dropout rates: after the embeddings, and after each hidden layer. The lecture writes 0.75,
    /// which did nothing in its PyTorch: the `training` argument of `F.dropout` was false by default. So 0 reproduces
    /// it.
    pub dropout: (f64, f64),
}

impl NetSpec {
    /// Inputs and outputs of each linear layer, for embeddings of these lengths.
    pub fn layers(&self, (u, m): (i64, i64)) -> Vec<(i64, i64)> {
        let inputs = std::iter::once(u + m).chain(self.hidden.iter().copied());
        let outputs = self.hidden.iter().copied().chain([1]);
        inputs.zip(outputs).collect()
    }
}

/// A neural net instead of the dot product: it concatenates both vectors; hidden layers follow, and one output.
#[derive(Debug)]
pub struct EmbeddingNet {
    u: Embedding,
    m: Embedding,
    lins: Vec<Linear>,
    dropout: (f64, f64),
    range: RatingRange,
}

impl EmbeddingNet {
    /// Initializes u, m, then weight and bias of lin1, lin2 and so on.
    pub fn new(vs: &Path, e: &EmbeddingSpec, shape: &NetSpec, range: RatingRange) -> Self {
        let (u, m) =
            (e.get_emb(vs / "u", e.n_users, e.n_factors.0), e.get_emb(vs / "m", e.n_movies, e.n_factors.1));
        let layers = shape.layers(e.n_factors).into_iter().enumerate();
        let lins = layers
            .map(|(i, (inputs, outputs))| linear(vs / format!("lin{}", i + 1), inputs, outputs))
            .collect();
        EmbeddingNet { u, m, lins, dropout: shape.dropout, range: range.widened() }
    }
}

/// PyTorch's `nn.Linear`: weight (outputs, inputs) and bias (outputs,), uniform within ±1/√inputs.
fn linear(vs: Path, inputs: i64, outputs: i64) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    Linear { ws: vs.var("weight", &[outputs, inputs], init), bs: Some(vs.var("bias", &[outputs], init)) }
}

impl ModuleT for EmbeddingNet {
    fn forward_t(&self, cats: &Tensor, train: bool) -> Tensor {
        let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
        let mut x = Tensor::cat(&[self.u.forward(&users), self.m.forward(&movies)], 1); // (bs, n_factors.0 + n_factors.1)
        x = dropout(x, self.dropout.0, train);
        let (last, hidden) = self.lins.split_last().expect("there is an output layer");
        for lin in hidden {
            x = dropout(lin.forward(&x).relu(), self.dropout.1, train); // (bs, width)
        }
        self.range.squash(&last.forward(&x)).squeeze_dim(1) // (bs,)
    }
}

/// `F.dropout`. A rate of 0 leaves the operation out.
fn dropout(x: Tensor, p: f64, train: bool) -> Tensor {
    if train && p > 0.0 { x.dropout(p, true) } else { x }
}
