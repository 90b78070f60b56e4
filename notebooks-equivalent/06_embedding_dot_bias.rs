// %% [markdown]
// # EmbeddingDotBias
//
// Some users give more stars than others, and some movies are better than others: each gets a number for that.
//
// In EmbeddingDot, the factors must also carry how a user rates in general and how well a movie is liked. A *bias* is a
// number just for that: one for each user, and one for each movie.

// %% plumbing
use anyhow::Result;
use tch::nn::{Embedding, EmbeddingConfig, Init, Module, ModuleT, Path, VarStore, embedding};
use tch::{Device, Tensor};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::settings::{ModelKind, Settings};

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The range of the ratings

    // %% min_rating
    let (cf, data) = lecture.model_data(64)?;
    let (min_rating, max_rating) = cf.range();
    nb.show(format!("({min_rating:?}, {max_rating:?})"));

    // %% [markdown]
    // ## Can we squash the ratings between 1 and 5?
    //
    // A sigmoid, $\sigma(x) = 1 / (1 + e^{-x})$, turns any number into one between 0 and 1. Multiplied by the width of the range and moved up by its lower
    // end, it gives only predictions within the range of the ratings, so the model need not learn where the range ends. (The
    // heading is the lecture's; its code takes the range of the data.)
    //
    // **`F`** is PyTorch's functional library, the functions that layers are made of. `F.sigmoid` is now called
    // `torch.sigmoid`, and is a method of the tensor in tch.

    // %% squash
    let res = Tensor::from_slice(&[-8.0, -1.0, 0.0, 1.0, 8.0]);
    let squashed = res.sigmoid() * (max_rating - min_rating) + min_rating;
    nb.show(format!("{:.3?}", Vec::<f64>::try_from(squashed)?));

    // %% plumbing
    let ranges =
        [("EmbeddingDotBias", min_rating, max_rating), ("EmbeddingNet", min_rating - 0.5, max_rating + 0.5)];
    let title = "The sigmoid, stretched over the range of the ratings";
    lecture
        .plot(nb, plots::squashed_sigmoid("squashed_sigmoid", title, (min_rating, max_rating), &ranges)?)?;

    // %% [markdown]
    // ## Let's improve our model
    //
    // $$\hat y = \sigma(u \cdot m + b_u + b_m) \, (\max - \min) + \min$$
    //
    // `get_emb(ni, nf)` makes one embedding, `ni` rows of `nf` numbers, and fills it with numbers between two bounds:

    // %% get_emb
    let init = (-0.01, 0.01);

    fn get_emb(vs: Path, ni: i64, nf: i64, (lo, up): (f64, f64)) -> Embedding {
        let uniform = EmbeddingConfig { ws_init: Init::Uniform { lo, up }, ..Default::default() };
        embedding(vs, ni, nf, uniform)
    }

    // %% [markdown]
    // The constructor calls it four times: for `u`, `m`, `ub` and `mb`.
    //
    // **`squeeze`** removes a dimension of size 1. The biases have the shape (64, 1), the dot products (64,).
    // Added as they are, both would be *broadcast* (replicated until they fit) to (64, 64): there would be no error,
    // but a wrong loss. For that reason, this project's `mse_loss` checks the shapes.

    // %% EmbeddingDotBias
    let n_factors: i64 = 50;

    #[derive(Debug)]
    struct EmbeddingDotBias {
        u: Embedding,
        m: Embedding,
        ub: Embedding,
        mb: Embedding,
        min_rating: f64,
        max_rating: f64,
    }

    impl ModuleT for EmbeddingDotBias {
        fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {
            let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
            let um = self.u.forward(&users) * self.m.forward(&movies); // (bs, n_factors)
            // add in user bias and movie bias
            let res = um.sum_dim_intlist(1, false, None)
                + self.ub.forward(&users).squeeze_dim(1)
                + self.mb.forward(&movies).squeeze_dim(1); // (bs,)
            // this limits the range of the ratings
            res.sigmoid() * (self.max_rating - self.min_rating) + self.min_rating // (bs,)
        }
    }

    // %% opt
    let wd = 2e-4;
    tch::manual_seed(lecture.run.seed);
    let mut vs = VarStore::new(Device::Cpu);
    let model = EmbeddingDotBias {
        u: get_emb(vs.root() / "u", cf.users.len(), n_factors, init),
        m: get_emb(vs.root() / "m", cf.items.len(), n_factors, init),
        ub: get_emb(vs.root() / "ub", cf.users.len(), 1, init),
        mb: get_emb(vs.root() / "mb", cf.items.len(), 1, init),
        min_rating,
        max_rating,
    };
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, lecture.rate(1e-1)).weight_decay(wd).momentum(0.9);

    // %% fit
    let history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %% plumbing
    let dot = lecture.validation_losses("embedding_dot");
    if let Some(bias) = history.epochs.last()
        && let (Some(dot), Some(last)) = (dot.get(bias.epoch), dot.last())
    {
        nb.markdown(format!(
            "The validation loss is {:.2} after epoch {}. The dot product alone had {dot:.2} there, and {last:.2} in the end. {}",
            bias.val,
            bias.epoch,
            match bias.val < *last {
                true =>
                    "One number for each user, one for each movie and a fixed range (with a narrower start and more weight \
                     decay) improve it more than a smaller learning rate did. The prediction for a movie that the training rows lack now starts from the middle of the range \
                     and the user's bias, and no longer from zero.",
                false => "Here the biases do not help.",
            }
        ));
    }
    lecture.record("embedding_dot_bias", history);
    lecture.plot(nb, lecture.loss_curves("embedding_dot_bias", "Loss of EmbeddingDotBias")?)?;
    let settings = lecture.settings_of(ModelKind::Bias, init, &data, &opt);
    lecture.save("embedding_dot_bias", &settings, &opt)?;

    // %% plumbing
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_dot_bias", &preds);
    let title = "EmbeddingDotBias: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_dot_bias_joint", title, &preds, &y, true)?)?;

    // %% [markdown]
    // ## What's actually written in fastai?
    //
    // The same model. fastai calls the movies *items* (`i`, `ib`), takes users and items as two arguments instead of
    // the columns of `cats`, and takes the range as `min_score` and `max_score`. Its `get_emb` draws the weights between
    // −0.05 and 0.05. This is the model that the [learner](#collab_filter) trains.
    //
    // In the lecture's notebook, this cell redefines both names (`get_emb` and `EmbeddingDotBias`), so the neural net of
    // the next section gets the wider initial range.

    // %% fastai
    let fastai_init = (-0.05, 0.05);

    struct FastaiDotBias {
        u: Embedding,
        i: Embedding,
        ub: Embedding,
        ib: Embedding,
        min_score: f64,
        max_score: f64,
    }

    impl FastaiDotBias {
        fn forward(&self, users: &Tensor, items: &Tensor) -> Tensor {
            let um = self.u.forward(users) * self.i.forward(items); // (bs, n_factors)
            let res = um.sum_dim_intlist(1, false, None)
                + self.ub.forward(users).squeeze_dim(1)
                + self.ib.forward(items).squeeze_dim(1); // (bs,)
            res.sigmoid() * (self.max_score - self.min_score) + self.min_score // (bs,)
        }
    }

    tch::manual_seed(lecture.run.seed);
    let vs = VarStore::new(Device::Cpu);
    let untrained = FastaiDotBias {
        u: get_emb(vs.root() / "u", cf.users.len(), n_factors, fastai_init),
        i: get_emb(vs.root() / "i", cf.items.len(), n_factors, fastai_init),
        ub: get_emb(vs.root() / "ub", cf.users.len(), 1, fastai_init),
        ib: get_emb(vs.root() / "ib", cf.items.len(), 1, fastai_init),
        min_score: min_rating,
        max_score: max_rating,
    };
    let cats = data.val.cats.narrow(0, 0, 5.min(data.val.len())).to_device(Device::Cpu);
    let first = untrained.forward(&cats.select(1, 0), &cats.select(1, 1));
    nb.print(format!("its first predictions before any training: {:.3?}", Vec::<f32>::try_from(first)?));

    // %% [markdown]
    // Before training, all predictions are near the middle of the range, since the sigmoid of a number near zero is about
    // one half. The lecture trains the two models with these settings:

    // %% plumbing
    let fastai = Settings::lecture(ModelKind::Learner);
    let lines = [("above", settings), ("fastai's own", fastai)].map(|(name, s)| {
        format!(
            "{name:12}  init {} to {}; {}; {}; weight decay {:e}",
            s.init.0,
            s.init.1,
            s.rule.in_words(),
            s.plan.in_words(),
            s.wd
        )
    });
    nb.print(lines.join("\n"));

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | 31 | `min_rating,max_rating` | [`min_rating`](#embedding_dot_bias-min_rating) | same | |
    // | P6 | picture: a sigmoid | [`squash`](#embedding_dot_bias-squash) | same | after that cell, over the range of the ratings |
    // | 32 | `get_emb`, `class EmbeddingDotBias` | [`get_emb`](#embedding_dot_bias-get_emb), [`EmbeddingDotBias`](#embedding_dot_bias-EmbeddingDotBias) | same | the range is a field, not a global |
    // | 33 | `wd`, `model`, `opt` | [`opt`](#embedding_dot_bias-opt) | same | |
    // | 34 | `fit(model, data, 3, …)` | [`fit`](#embedding_dot_bias-fit) | same | another random start |
    // | 35 | fastai's `get_emb`, `EmbeddingDotBias` | [`fastai`](#embedding_dot_bias-fastai) | same | as `FastaiDotBias` |

    Ok(())
}
