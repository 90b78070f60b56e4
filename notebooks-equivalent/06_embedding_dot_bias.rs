// %% [markdown]
// # EmbeddingDotBias
//
// Some users give more stars than others, and some movies are better than others: a number for each.
//
// A dot product can only say how well a user and a movie go together. The *bias* of a user says how she
// rates on the whole, the bias of a movie how it is liked on the whole.

// %%
use anyhow::Result;
use tch::{Device, nn};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::history::Epoch;
use lecture5::models::{EmbeddingDotBias, Embeddings, Range};
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::settings::{ModelKind, Settings};

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The range of the ratings

    // %%
    let (cf, data) = lecture.model_data(64)?;
    let (min_rating, max_rating) = cf.range();
    nb.show(format!("({min_rating:?}, {max_rating:?})"));

    // %% [markdown]
    // ## Can we squash the ratings between 1 and 5?
    //
    // A sigmoid turns any number into one between 0 and 1; multiplied by the width of the range and moved up by
    // its lower end, it gives only predictions that can be true. The model need not learn where the range ends.
    // (The heading is the lecture's; its code takes the range of the data, there 0.5 to 5.)
    //
    // **`F`** is PyTorch's functional library, the functions that layers are made of. `F.sigmoid` is called
    // `torch.sigmoid` now, and is a method of the tensor in tch.

    // %%
    let range = Range { min: min_rating, max: max_rating };
    let wide = range.widened();
    let ranges = [("EmbeddingDotBias", range.min, range.max), ("EmbeddingNet", wide.min, wide.max)];
    let title = "The sigmoid, squashed to the range of the ratings";
    lecture
        .plot(nb, plots::squashed_sigmoid("squashed_sigmoid", title, (min_rating, max_rating), &ranges)?)?;

    // %% [markdown]
    // ## Let's improve our model
    //
    // `get_emb(ni, nf)` makes one embedding, and the constructor calls it four times: for `u`, `m`, `ub` and `mb`.
    // The lecture's weights start within ±0.01.
    //
    // **`squeeze`** takes away a dimension of size 1. The biases come as (64, 1), the dot products as (64,).
    // Added as they are, both would be *broadcast*, that is replicated until they fit, to (64, 64): no error,
    // and a wrong loss. `mse_loss` of this project checks the shapes for that reason.

    // %%
    nb.source(include_str!("../src/models.rs"), "struct EmbeddingDotBias")?;

    // %%
    let (wd, n_factors) = (2e-4, 50);
    let emb = Embeddings {
        n_users: cf.users.len(),
        n_movies: cf.items.len(),
        n_factors: (n_factors, n_factors),
        init: (-0.01, 0.01),
    };
    tch::manual_seed(lecture.run.seed);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let model = EmbeddingDotBias::new(&vs.root(), &emb, range);
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, 1e-1).weight_decay(wd).momentum(0.9);

    // %%
    let history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %%
    let reached = |epochs: &[Epoch], n: usize| epochs.get(n - 1).map(|epoch| epoch.val);
    if let (Some(bias), Some(three), Some(six)) = (
        reached(&history.epochs, 3),
        lecture.validation_loss("embedding_dot", 3),
        lecture.validation_loss("embedding_dot", 6),
    ) {
        nb.markdown(format!(
            "{bias:.2} after three epochs, where the dot product alone had reached {three:.2}, and {six:.2} after six{}",
            match bias < six {
                true => {
                    ": one number for each user, one for each movie and a fixed range bring more than a smaller \
                     learning rate did."
                }
                false => ".",
            }
        ));
    }

    // %%
    lecture.record("embedding_dot_bias", history);
    lecture.plot(nb, lecture.loss_curves("embedding_dot_bias", "Loss of EmbeddingDotBias", &[])?)?;
    lecture.save("embedding_dot_bias", &lecture.settings(ModelKind::Bias), &opt)?;

    // %%
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_dot_bias", &preds);
    let title = "EmbeddingDotBias: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_dot_bias_joint", title, &preds, &y, true)?)?;

    // %% [markdown]
    // ## What's actually written in fastai?
    //
    // The same model. fastai calls the movies *items* (`i`, `ib`), takes users and items as two arguments
    // instead of the columns of `cats`, is told the range as `min_score` and `max_score`, and starts its
    // weights within ±0.05. So it needs no second struct here: it is this one with other numbers, and what
    // the [learner](#collab_filter) trains. Its settings, beside those of the model above:

    // %%
    for (name, kind) in [("the lecture's", ModelKind::Bias), ("fastai's own", ModelKind::Learner)] {
        let s = Settings::lecture(kind);
        nb.print(format!(
            "{name:13}  init {} to {}, {:?}, rate {}, weight decay {:e}",
            s.init.0, s.init.1, s.rule, s.plan, s.wd
        ));
    }

    // %%
    let fastai = Embeddings { init: (-0.05, 0.05), ..emb };
    tch::manual_seed(lecture.run.seed);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let model = EmbeddingDotBias::new(&vs.root(), &fastai, range);
    vs.set_device(lecture.run.device);
    let untrained = predict(&model, &data.val)?;
    nb.print(format!(
        "its first five predictions before any training: {:.3?}",
        &untrained[..untrained.len().min(5)]
    ));

    Ok(())
}
