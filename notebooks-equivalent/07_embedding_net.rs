// %% [markdown]
// # EmbeddingNet
//
// A neural net instead of the dot product: both vectors side by side, a hidden layer, one number out.
//
// A dot product compares all users with all movies in one fixed way, factor by factor. Why not take the
// embeddings and let a net find out how to combine them?

// %%
use anyhow::Result;
use tch::{Device, Kind, Tensor, nn};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::models::{EmbeddingNet, Embeddings, NetShape, Range};
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::optim::named_parameters;
use lecture5::plots;
use lecture5::run::lecture::{Lecture, shown};
use lecture5::settings::ModelKind;

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Let's prototype our net
    //
    // - `(self.u, self.m) = [get_emb(*o) for o in …]` creates the embeddings. By now the lecture has defined
    //   `get_emb` a second time, as fastai has it, so the weights start within ±0.05 instead of ±0.01.
    // - `nn.Linear(n_factors*2, 10, nh)` creates a linear layer: 100 numbers in, 10 out. Its third argument is
    //   `bias`, and `nh` (10, which counts as true) lands there; it does not set the number of hidden layers.
    // - `torch.cat([self.u(users), self.m(movies)], dim=1)` puts the two vectors side by side.
    // - `F.relu(self.lin1(x))` is a linear layer, then *relu*: the larger of 0 and x, so negative values are cut
    //   off. Without it two linear layers would be no more than one.
    // - The range is half a star wider at both ends, since a sigmoid reaches its ends only at infinity.
    //
    // One hidden layer makes it a neural net, though hardly a deep one.

    // %%
    nb.source(include_str!("../src/models.rs"), "struct EmbeddingNet")?;

    // %% [markdown]
    // ## The dropout that did nothing
    //
    // The lecture writes `F.dropout(x, 0.75)` twice: zero three quarters of the values at random, so that the
    // net cannot rely on any one of them. But in the PyTorch of 2017 the function had a third argument,
    // `training`, that was false by default, so it passed `x` on as it was. On the lecture's data the net ends with dropout off near
    // 0.79, where the lecture's does, so the reproduction leaves it off. On in training and off at validation, as
    // it is meant, it ends near 0.93: see it with `lecture5 fit --model net --dropout 0.75`. The lecture's line as
    // it stands does something else in today's PyTorch: `training` is true by default, at validation too, and the
    // net ends near 1.00.
    //
    // What passes through, off and on: the survivors are multiplied by 1/(1 − 0.75) = 4, so that the sum stays
    // the same on average.

    // %%
    tch::manual_seed(lecture.run.seed);
    let x = Tensor::ones([2, 8], (Kind::Float, Device::Cpu));
    nb.print("F.dropout(x, 0.75) in 2017, training = false:");
    nb.print(shown(&x.dropout(0.75, false))?);
    nb.print("today, training = true:");
    nb.print(shown(&x.dropout(0.75, true))?);

    // %%
    let (cf, data) = lecture.model_data(64)?;
    let (min_rating, max_rating) = cf.range();
    let (wd, n_factors) = (5e-4, 50);
    let emb = Embeddings {
        n_users: cf.users.len(),
        n_movies: cf.items.len(),
        n_factors: (n_factors, n_factors),
        init: (-0.05, 0.05),
    };
    let shape = NetShape { hidden: vec![10], dropout: (0.0, 0.0) };
    tch::manual_seed(lecture.run.seed);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let model = EmbeddingNet::new(&vs.root(), &emb, &shape, Range { min: min_rating, max: max_rating });
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, 1e-2).weight_decay(wd).momentum(0.9);

    // %% [markdown]
    // The layers as they really are: `lin1` has its bias, which is what the third argument asked for, and a width
    // of 10, which is what the second one said.

    // %%
    for (name, weights) in named_parameters(&vs) {
        nb.print(format!("{name:12} {:?}", weights.size()));
    }

    // %% [markdown]
    // ## Fit
    //
    // The mean squared error is the loss, so it is the metric as well. On the lecture's data its first epoch differs more from seed
    // to seed than anything else in the lecture: 0.85 to 1.11 over ten of them, and the lecture's 1.10568 is
    // at the slow end.

    // %%
    let mut history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %% [markdown]
    // ## Let's explore the learning rate
    //
    // `set_lrs(opt, 1e-3)`, and on it goes:

    // %%
    opt.set_lrs(1e-3);
    history.extend(fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?);

    // %%
    lecture.record("embedding_net", history);
    lecture.plot(nb, lecture.loss_curves("embedding_net", "Loss of EmbeddingNet", &[(3, 0.001)])?)?;
    lecture.save("embedding_net", &lecture.settings(ModelKind::Net), &opt)?;

    // %%
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_net", &preds);
    let title = "EmbeddingNet: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_net_joint", title, &preds, &y, true)?)?;

    // %% [markdown]
    // ## The neural-net approach
    //
    // What else can be done with a net, and the command that does it:
    //
    // | we can … | |
    // |---|---|
    // | add dropout | `lecture5 fit --model net --dropout 0.05,0.5` |
    // | use embeddings of different sizes | `lecture5 fit --model net --factors 30,60` |
    // | add more hidden layers with more nodes | `lecture5 fit --model net --hidden 50,10` |
    // | add different amounts of regularization | `lecture5 fit --model net --wd 1e-4` |

    // %%
    if let Some(figure) = lecture.all_validation_losses()? {
        lecture.plot(nb, figure)?;
    }

    Ok(())
}
