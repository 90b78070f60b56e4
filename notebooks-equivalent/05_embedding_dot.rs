// %% [markdown]
// # EmbeddingDot
//
// A model of our own: 50 numbers for each user, 50 for each movie, and their dot product is the rating.
//
// Nobody says what the numbers mean. They are whatever makes the loss small, and afterwards one can look at
// what they turned out to be.

// %%
use anyhow::Result;
use tch::{Device, nn};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::models::{EmbeddingDot, Embeddings};
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::plots;
use lecture5::ratings::ColumnarModelData;
use lecture5::run::lecture::Lecture;
use lecture5::settings::ModelKind;

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The model
    //
    // - **`__init__`** is Python's *constructor*, the function that is called when an object is created:
    //   `obj = myClass()`, or `obj = newClassImade(list)` with arguments. `super().__init__()` first lets
    //   `nn.Module` set itself up. In Rust it is an ordinary function, by custom called `new`.
    // - **`nn.Embedding`** is PyTorch's table of weights that is looked up by row number; tch has the same.
    // - **`self.u.weight.data.uniform_(0, 0.05)`** gives the *user* weights a reasonable start, and the next line
    //   the *movie* weights. The underscore of **`uniform_`** says *in place*: the tensor itself is changed,
    //   where a method without one (`add` beside `add_`) returns a new tensor. tch keeps the underscore.
    // - **`forward`** takes `cats`, the categorical variables, and pulls its two columns apart:
    //   `users, movies = cats[:,0], cats[:,1]`. The lecture's `conts`, the continuous variables, are none, and
    //   are left out here.
    //
    // Why 0 to 0.05? The first predictions are then near 50 × 0.025² = 0.03 stars: small, positive, and free
    // to grow.

    // %%
    nb.source(include_str!("../src/models.rs"), "struct EmbeddingDot")?;

    // %% [markdown]
    // ## Prepare the features and the dependent variable
    //
    // `x` is the table without rating and timestamp, `y` the rating. `ColumnarModelData` binds the two
    // categorical columns together into `cats`, splits off the rows held out, and cuts batches of 64.

    // %%
    let (cf, split) = lecture.ratings();
    let data = ColumnarModelData::new(&cf, &split, 64, lecture.run.device)?;
    nb.print(format!("trn: cats {:?}, y {:?}", data.trn.cats.size(), data.trn.y.size()));
    nb.print(format!("val: cats {:?}, y {:?}", data.val.cats.size(), data.val.y.size()));

    // %% [markdown]
    // ## Set up the optimiser
    //
    // - **`optim`** gives us an optimiser: the rule by which the weights follow their gradients.
    // - **`model.parameters()`**, inherited from `nn.Module`, is all weights of the model. In tch they live in a
    //   `VarStore`, which the model is built on.
    // - **`1e-1`** is the learning rate.
    // - **`weight_decay`** is the regularization.
    // - **`momentum`**: each step keeps nine tenths of the one before.
    //
    // `.cuda()` moves the model to the GPU; here `set_device` moves it to the device of the run.

    // %%
    let (wd, n_factors) = (1e-5, 50);
    let (n_users, n_movies) = (cf.users.len(), cf.items.len());
    tch::manual_seed(lecture.run.seed);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let emb = Embeddings { n_users, n_movies, n_factors: (n_factors, n_factors), init: (0.0, 0.05) };
    let model = EmbeddingDot::new(&vs.root(), &emb);
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, 1e-1).weight_decay(wd).momentum(0.9);

    // %% [markdown]
    // ## Fit
    //
    // This is not the learner's `fit` but the low-level one, a loop over batches that the section on the
    // [training loop](#training_loop) walks through. The loss is `F.mse_loss`, the mean squared error.

    // %%
    let mut history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %% [markdown]
    // ## Set the learning rate
    //
    // The training loss is still falling, but at 0.1 the steps have become too long for what is left. The same
    // model and the same optimiser go on at a tenth:

    // %%
    opt.set_lrs(0.01);
    history.extend(fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?);

    // %%
    let last = history.epochs.last().map_or((0.0, 0.0), |epoch| (epoch.trn, epoch.val));
    lecture.record("embedding_dot", history);
    lecture.plot(nb, lecture.loss_curves("embedding_dot", "Loss of EmbeddingDot", &[(3, 0.01)])?)?;
    lecture.save("embedding_dot", &lecture.settings(ModelKind::Dot), &opt)?;

    // %%
    let (trn, val) = last;
    nb.markdown(format!(
        "Training loss {trn:.2} against validation loss {val:.2}: {} And nothing keeps a prediction within the range of \
         the ratings:",
        match val > 1.1 * trn {
            true => "the model knows the training ratings much better than others.",
            false => "the model knows the training ratings no better than others.",
        }
    ));

    // %%
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_dot", &preds);
    let title = "EmbeddingDot: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_dot_joint", title, &preds, &y, true)?)?;

    Ok(())
}
