// %% [markdown]
// # EmbeddingDot
//
// A model of our own: some numbers for each user, as many for each movie, and their dot product is the rating.
//
// $$\hat y = u \cdot m = \sum_{k=1}^{50} u_k m_k$$
//
// Nobody says what the numbers mean. They are whatever makes the loss small. After training, one can look at
// what they have come to mean.

// %% plumbing
use std::collections::HashSet;

use anyhow::Result;
use tch::nn::{Embedding, EmbeddingConfig, Init, Module, ModuleT, Path, VarStore, embedding};
use tch::{Device, Tensor};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::movielens::Split;
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::plots;
use lecture5::ratings::ColumnarModelData;
use lecture5::run::lecture::{Lecture, head};
use lecture5::settings::ModelKind;
use lecture5::system::numerals::number;

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The model
    //
    // - **`__init__`** is Python's *constructor*, the function that is called when an object is created:
    //   `obj = myClass()`, or `obj = newClassImade(list)` with arguments. `super().__init__()` first lets
    //   `nn.Module` set itself up. In Rust the constructor is an ordinary function, by convention called `new`.
    // - **`nn.Embedding`** is PyTorch's table of weights in which rows are looked up by number; tch has the same.
    // - **`self.u.weight.data.uniform_(0, 0.05)`** gives the *user* weights reasonable initial values, and the next line
    //   does the same for the *movie* weights. The underscore in **`uniform_`** means *in place*: the tensor itself is
    //   changed, whereas a method without an underscore returns a new tensor. tch calls `uniform_` when it makes the table,
    //   with the bounds of `Init::Uniform`.
    // - **`forward`** takes `cats`, the categorical variables, and separates its two columns:
    //   `users, movies = cats[:,0], cats[:,1]`. The lecture's `conts`, the continuous variables, are empty and are
    //   left out here. (An argument tells `forward_t` whether it trains; this model does the same either way.)

    // %% EmbeddingDot
    let n_factors: i64 = 50;
    let init = (0.0, 0.05);

    #[derive(Debug)]
    struct EmbeddingDot {
        u: Embedding,
        m: Embedding,
    }

    impl EmbeddingDot {
        fn new(vs: Path, n_users: i64, n_movies: i64, n_factors: i64, (lo, up): (f64, f64)) -> EmbeddingDot {
            let uniform = EmbeddingConfig { ws_init: Init::Uniform { lo, up }, ..Default::default() };
            let u = embedding(&vs / "u", n_users, n_factors, uniform);
            let m = embedding(&vs / "m", n_movies, n_factors, uniform);
            EmbeddingDot { u, m }
        }
    }

    impl ModuleT for EmbeddingDot {
        fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {
            let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
            let (u, m) = (self.u.forward(&users), self.m.forward(&movies)); // (bs, n_factors)
            (u * m).sum_dim_intlist(1, false, None) // (bs,)
        }
    }

    // %% plumbing
    let (cf, _) = lecture.ratings();
    let [n_users, n_movies] = [cf.users.len(), cf.items.len()].map(|n| n as usize);
    let title = "An embedding: an index picks a row";
    let picture = plots::embedding_lookup("embedding_lookup", title, n_users, n_movies, n_factors as usize)?;
    lecture.plot(nb, picture)?;

    // %% plumbing
    let middle = (init.0 + init.1) / 2.0;
    nb.markdown(format!(
        "Why from {} to {}? The first predictions are then near {n_factors} × {middle}² = {:.2} stars, far below any rating. As \
         all weights start positive, all of them can grow, and the predictions with them.",
        init.0,
        init.1,
        n_factors as f64 * middle * middle
    ));

    // %% [markdown]
    // This struct is the one that is trained below. Change it here (another number of factors, another start, a constant
    // added to the product) and run the section again: labels, plots and the saved file follow. The same model for the
    // command line is in `src/models.rs`.
    //
    // ## Prepare the features and the dependent variable
    //
    // `x` is the table without `rating` and `timestamp`, and `y` is the rating.

    // %% x
    let x = lecture.ml.ratings.drop_many(["rating", "timestamp"]);
    let y = lecture.ml.ratings.column("rating")?.clone();
    nb.print(format!("x: {:?}, y: {:?}", x.shape(), y.len()));
    nb.show(head(&x, 3)?);

    // %% [markdown]
    // `ColumnarModelData` combines the two categorical columns into `cats`, splits off the rows held out, and cuts batches
    // of 64. It takes the indices and the ratings from `cf`; in the lecture, which gives it `x` and `y`, the indices have
    // replaced the ids in the table.

    // %% data
    let (cf, split) = lecture.ratings();
    let data = ColumnarModelData::new(&cf, &split, 64, lecture.run.device)?;
    nb.print(format!("trn: cats {:?}, y {:?}", data.trn.cats.size(), data.trn.y.size()));
    nb.print(format!("val: cats {:?}, y {:?}", data.val.cats.size(), data.val.y.size()));

    // %% [markdown]
    // ## Set up the optimizer
    //
    // - **`optim`** gives us an optimizer: the rule that updates the weights from their gradients.
    // - **`model.parameters()`**, inherited from `nn.Module`, is the list of all weights of the model. In tch the weights
    //   are stored in a `VarStore`, from which the model is built.
    // - **`1e-1`** is the learning rate.
    // - **`weight_decay`** is the regularization.
    // - **`momentum`** makes each step keep nine tenths of the one before.
    //
    // `.cuda()` moves the model to the GPU; here `set_device` moves it to the device of the run.

    // %% opt
    let wd = 1e-5;
    let (n_users, n_movies) = (cf.users.len(), cf.items.len());
    tch::manual_seed(lecture.run.seed);
    let mut vs = VarStore::new(Device::Cpu);
    let model = EmbeddingDot::new(vs.root(), n_users, n_movies, n_factors, init);
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, lecture.rate(1e-1)).weight_decay(wd).momentum(0.9);

    // %% [markdown]
    // ## Fit
    //
    // This is not the learner's `fit` but the low-level one, a loop over batches that the section on the
    // [training loop](#training_loop) walks through. The loss is `F.mse_loss`, the mean squared error.

    // %% fit
    let mut history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %% [markdown]
    // ## Set the learning rate
    //
    // By now the steps are too large for what is left to learn. The same model and the same optimizer continue at a smaller
    // rate:

    // %% set_lrs
    opt.set_lrs(lecture.rate(0.01));

    // %% fit again
    history.extend(fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?);

    // %% plumbing
    let (running, epochs) = (history.running.clone(), history.epochs.clone());
    lecture.record("embedding_dot", history);
    lecture.plot(nb, lecture.loss_curves("embedding_dot", "Loss of EmbeddingDot")?)?;
    let settings = lecture.settings_of(ModelKind::Dot, init, &data, &opt);
    lecture.save("embedding_dot", &settings, &opt)?;

    // %% [markdown]
    // ## What the losses say

    // %% plumbing
    let n_batches = data.n_batches();
    if n_batches >= 200 && epochs.len() > 1 && running[n_batches + 99] < running[n_batches - 1] {
        let n_weights = number(((n_users + n_movies) * n_factors) as f64, 0);
        let n_ratings = number(split.trn.len() as f64, 0);
        nb.markdown(format!(
            "**The training loss drops where an epoch starts**, above all in the first ones. Within an epoch, every rating \
             comes up once. In the next epoch, the model has already learned from each of them, and with {n_weights} \
             weights for {n_ratings} ratings it recognizes \
             them. That is memory, not insight: on rows that it has not seen, the model is not as good. (Where the rate \
             changes, the smaller rate helps as well, and the running mean starts anew with the second `fit`.)",
        ));
        for epoch in 1..epochs.len() {
            let start = epoch * n_batches;
            nb.print(format!(
                "training loss at the end of epoch {}: {:.2}; 100 batches into the next: {:.2}; at its end: {:.2}",
                epoch - 1,
                running[start - 1],
                running[start + 99],
                running[start + n_batches - 1]
            ));
        }
    }

    // %% plumbing
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_dot", &preds);
    let title = "EmbeddingDot: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_dot_joint", title, &preds, &y, true)?)?;

    // %% plumbing
    /// For each row held out, whether no training row has its user or movie.
    fn unseen(indices: &[i64], split: &Split) -> Vec<bool> {
        let seen: HashSet<i64> = split.trn.iter().map(|&row| indices[row]).collect();
        split.val.iter().map(|&row| !seen.contains(&indices[row])).collect()
    }
    fn mse(preds: &[f32], y: &[f32], rows: &[usize]) -> f64 {
        rows.iter().map(|&row| f64::from(preds[row] - y[row]).powi(2)).sum::<f64>() / rows.len().max(1) as f64
    }
    let (new_users, new_movies) = (unseen(&cf.user_idx, &split), unseen(&cf.item_idx, &split));
    let (unknown, known): (Vec<usize>, Vec<usize>) =
        (0..y.len()).partition(|&row| new_users[row] || new_movies[row]);
    let all: Vec<usize> = (0..y.len()).collect();
    let mean =
        (split.trn.iter().map(|&row| f64::from(cf.y[row])).sum::<f64>() / split.trn.len() as f64) as f32;
    let means = vec![mean; y.len()];
    let (model_mse, mean_mse) = (mse(&preds, &y, &all), mse(&means, &y, &all));
    nb.markdown(format!(
        "**It {} a guess without any model.** Always predicting the mean of the training ratings, {mean:.2}, has a mean \
         squared error of {mean_mse:.3} over all rows held out; EmbeddingDot has {model_mse:.3}. (The loss that is printed for \
         an epoch differs slightly: it is the mean of the batches' means, and the last batch is short.)",
        if model_mse > mean_mse { "loses to" } else { "beats" }
    ));
    if !unknown.is_empty() && !known.is_empty() {
        let guess = unknown.iter().map(|&row| f64::from(preds[row])).sum::<f64>() / unknown.len() as f64;
        let (of_unknown, of_known) = (mse(&preds, &y, &unknown), mse(&preds, &y, &known));
        nb.markdown(format!(
            "**What it has never seen.** {} of the {} rows held out are of a movie that no training row has{}. No rating has \
             moved their vectors; weight decay has only shrunk them a little. They are about as small as at the start, so the \
             predictions are low, {guess:.2} on average. That is the cluster at the left of the picture. The mean squared error \
             of these rows is {of_unknown:.2}, that of all others {of_known:.3} (predicting the mean there: {:.3}).",
            unknown.iter().filter(|&&row| new_movies[row]).count(),
            number(y.len() as f64, 0),
            match unknown.iter().filter(|&&row| new_users[row]).count() {
                0 => String::new(),
                users => format!(", and {users} are of a user that no training row has"),
            },
            mse(&means, &y, &known)
        ));
    }
    nb.markdown(
        "For a movie of which little is known, the prediction should be near the mean, not near zero. A *bias* can do that, \
         and the [next section](#embedding_dot_bias) adds one. Nothing keeps a prediction within the range of the ratings \
         either.",
    );

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | 23 | `class EmbeddingDot` | [`EmbeddingDot`](#embedding_dot-EmbeddingDot) | same | without `conts`, which are empty |
    // | 24 | `x`, `y` | [`x`](#embedding_dot-x) | differs | x has the ids; in the lecture they are indices by now |
    // | 25 | `data = ColumnarModelData…` | [`data`](#embedding_dot-data) | differs | indices and ratings come from `cf`, not from `x` and `y` |
    // | 26 | `wd`, `model`, `opt` | [`opt`](#embedding_dot-opt) | same | moved to the device of the run instead of `.cuda()` |
    // | 27 | `fit(model, data, 3, …)` | [`fit`](#embedding_dot-fit) | same | another random start |
    // | 28 | `### Set the learning rate` | the heading | same | a comment in a code cell there |
    // | 29 | `set_lrs(opt, 0.01)` | [`set_lrs`](#embedding_dot-set_lrs) | same | |
    // | 30 | `fit(model, data, 3, …)` | [`fit again`](#embedding_dot-fit_again) | same | |

    Ok(())
}
