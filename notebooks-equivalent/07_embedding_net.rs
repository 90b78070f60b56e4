// %% [markdown]
// # EmbeddingNet
//
// A neural net instead of the dot product: both vectors side by side, a hidden layer, one number out.
//
// A dot product combines users and movies in one fixed way, factor by factor. Why not take the
// embeddings and let a net find out how to combine them?

// %% plumbing
use anyhow::Result;
use tch::nn::{Embedding, EmbeddingConfig, Init, Linear, Module, ModuleT, Path, VarStore, embedding};
use tch::{Device, Kind, Tensor};

use lecture5::fit::{fit_with, mse_loss, predict};
use lecture5::notebook::Notebook;
use lecture5::optim;
use lecture5::plots;
use lecture5::run::lecture::{Lecture, shown};
use lecture5::settings::{ModelKind, Settings};
use lecture5::verify;

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## The dropout that did nothing
    //
    // The lecture writes `F.dropout(x, 0.75)` twice. It should set three quarters of the values to zero at random, so that
    // the net cannot rely on any one of them. But in the PyTorch of 2017, the function had a third argument, `training`,
    // that was false by default, so it returned `x` unchanged. Today it is true by default, even at validation. The cell
    // shows what passes through with dropout off and on. The values that survive are multiplied by 1/(1 − 0.75) = 4, so that
    // the sum stays the same on average.

    // %% dropout
    fn dropout(x: &Tensor, p: f64, training: bool) -> Tensor {
        if training { x.dropout(p, true) } else { x.shallow_clone() }
    }

    tch::manual_seed(lecture.run.seed);
    let x = Tensor::ones([2, 8], (Kind::Float, Device::Cpu));
    nb.print("F.dropout(x, 0.75) in 2017, training = false:");
    nb.print(shown(&dropout(&x, 0.75, false))?);
    nb.print("today, training = true:");
    nb.print(shown(&dropout(&x, 0.75, true))?);

    // %% [markdown]
    // On the lecture's data, the net with dropout off ends near 0.79, as the lecture's does, so this reproduction leaves it
    // off. With dropout on in training and off at validation, as it should be, the net ends near 0.93
    // (`lecture5 fit --model net --dropout 0.75`). Run unchanged today, the lecture's line would end near 1.00.
    //
    // ## Let's prototype our net
    //
    // - `(self.u, self.m) = [get_emb(*o) for o in …]` creates the embeddings. By now the lecture has redefined
    //   `get_emb` as in fastai, so the weights start within ±0.05 instead of ±0.01.
    // - `nn.Linear(n_factors*2, 10, nh)` creates a linear layer: 100 numbers in, 10 out. Its third argument is
    //   `bias`, and `nh` (10, which counts as true) ends up there. The lecture's notes say that it sets the number of hidden
    //   layers; it does not.
    // - `torch.cat([self.u(users), self.m(movies)], dim=1)` puts the two vectors side by side.
    // - `F.relu(self.lin1(x))` is a linear layer followed by *relu*, the larger of 0 and x, which sets negative values to
    //   0. Without it, two linear layers could do no more than one.
    // - The range is half a star wider at both ends, since a sigmoid reaches its ends only at infinity.
    //
    // One hidden layer makes it a neural net, though hardly a deep one.

    // %% EmbeddingNet
    let n_factors: i64 = 50;
    let init = (-0.05, 0.05);
    let training = false; // the default of `F.dropout` in 2017; it should have been the argument `train` of `forward_t`

    #[derive(Debug)]
    struct EmbeddingNet {
        u: Embedding,
        m: Embedding,
        lin1: Linear,
        lin2: Linear,
        min_rating: f64,
        max_rating: f64,
        training: bool,
    }

    impl ModuleT for EmbeddingNet {
        fn forward_t(&self, cats: &Tensor, train: bool) -> Tensor {
            let (users, movies) = (cats.select(1, 0), cats.select(1, 1)); // (bs,), (bs,)
            let x = Tensor::cat(&[self.u.forward(&users), self.m.forward(&movies)], 1); // (bs, n_factors * 2)
            let x = dropout(&x, 0.75, self.training && train);
            let x = dropout(&self.lin1.forward(&x).relu(), 0.75, self.training && train); // (bs, 10)
            let x = self.lin2.forward(&x).squeeze_dim(1); // (bs,)
            x.sigmoid() * (self.max_rating - self.min_rating + 1.0) + (self.min_rating - 0.5) // (bs,)
        }
    }

    // %% plumbing
    let title = "The net over the embeddings";
    lecture.plot(nb, plots::mini_net("mini_net", title, n_factors as usize, 10)?)?;

    // %% [markdown]
    // This struct is the one that is trained below: change it (`tanh` instead of `relu`, one more layer) and run the section
    // again.
    //
    // PyTorch's `nn.Linear` starts its weights and biases between $\pm 1 / \sqrt{\text{inputs}}$. tch's linear layer starts with a wider range,
    // so the layer is built by hand here:

    // %% get_emb
    fn get_emb(vs: Path, ni: i64, nf: i64, (lo, up): (f64, f64)) -> Embedding {
        let uniform = EmbeddingConfig { ws_init: Init::Uniform { lo, up }, ..Default::default() };
        embedding(vs, ni, nf, uniform)
    }

    fn linear(vs: Path, inputs: i64, outputs: i64) -> Linear {
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        Linear { ws: vs.var("weight", &[outputs, inputs], init), bs: Some(vs.var("bias", &[outputs], init)) }
    }

    // %% opt
    let (cf, data) = lecture.model_data(64)?;
    let (min_rating, max_rating) = cf.range();
    let wd = 5e-4;
    tch::manual_seed(lecture.run.seed);
    let mut vs = VarStore::new(Device::Cpu);
    let model = EmbeddingNet {
        u: get_emb(vs.root() / "u", cf.users.len(), n_factors, init),
        m: get_emb(vs.root() / "m", cf.items.len(), n_factors, init),
        lin1: linear(vs.root() / "lin1", n_factors * 2, 10),
        lin2: linear(vs.root() / "lin2", 10, 1),
        min_rating,
        max_rating,
        training,
    };
    vs.set_device(lecture.run.device);
    let mut opt = optim::sgd(&vs, lecture.rate(1e-2)).weight_decay(wd).momentum(0.9);

    // %% [markdown]
    // These are the layers as they really are: `lin1` has a width of 10, because of the second argument, and a bias, which it
    // would have without the third argument too.

    // %% plumbing
    for (name, weights) in opt.parameters() {
        nb.print(format!("{name:12} {:?}", weights.size()));
    }

    // %% [markdown]
    // ## Fit
    //
    // "We will be using mse loss as the optimizing metric": the mean squared error is both the loss and the metric.

    // %% fit
    let mut history = fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;

    // %% plumbing
    if lecture.is_the_lectures()
        && let Some(net) = verify::committed()?.fit("embedding_net")
    {
        let first = net.column(1);
        let (low, high) = first.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        nb.markdown(format!(
            "The first epoch differs more from seed to seed than anything else in the lecture: its validation loss is \
             between {low:.2} and {high:.2} over {} seeds, and the lecture's 1.10568 is at the slow end.",
            first.len()
        ));
    }

    // %% [markdown]
    // ## Let's explore the learning rate

    // %% set_lrs
    opt.set_lrs(lecture.rate(1e-3));

    // %% fit again
    history.extend(fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?);

    // %% plumbing
    lecture.record("embedding_net", history);
    lecture.plot(nb, lecture.loss_curves("embedding_net", "Loss of EmbeddingNet")?)?;
    let dropout = if training { (0.75, 0.75) } else { (0.0, 0.0) };
    let settings = Settings { dropout, ..lecture.settings_of(ModelKind::Net, init, &data, &opt) };
    lecture.save("embedding_net", &settings, &opt)?;

    // %% plumbing
    let preds = predict(&model, &data.val)?;
    let y = Vec::<f32>::try_from(&data.val.y)?;
    lecture.keep_predictions("embedding_net", &preds);
    let title = "EmbeddingNet: predicted and true ratings";
    lecture.plot(nb, plots::joint("embedding_net_joint", title, &preds, &y, true)?)?;

    // %% [markdown]
    // ## The neural-net approach
    //
    // The lecture's list of what else can be done with a net, with the command that does it:
    //
    // | we can … | |
    // |---|---|
    // | add dropout | `lecture5 fit --model net --dropout 0.05,0.5` |
    // | use embeddings of different sizes | `lecture5 fit --model net --factors 30,60` |
    // | add more hidden layers with more nodes | `lecture5 fit --model net --hidden 50,10` |
    // | add different amounts of regularization | `lecture5 fit --model net --wd 1e-4` |

    // %% plumbing
    if let Some(figure) = lecture.all_validation_losses()? {
        lecture.plot(nb, figure)?;
    }

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | P7 | picture: the sheet of the dot product | [`workbook`](#excel_subset-workbook) | differs | in the workbook of the section on the subset |
    // | P8 | picture: all users next to all movies | [`EmbeddingNet`](#embedding_net-EmbeddingNet) | differs | not drawn; the net takes one user's vector and one movie's |
    // | P9 | picture: mini net | [`EmbeddingNet`](#embedding_net-EmbeddingNet) | same | after that cell |
    // | 36 | `class EmbeddingNet` | [`EmbeddingNet`](#embedding_net-EmbeddingNet), [`get_emb`](#embedding_net-get_emb) | same | `training` of dropout is false, which was the default in 2017; the layers come from the next cell |
    // | 37 | `wd`, `model`, `opt` | [`opt`](#embedding_net-opt) | same | |
    // | 38 | `fit(model, data, 3, …)` | [`fit`](#embedding_net-fit) | same | another random start |
    // | 39 | `set_lrs(opt, 1e-3)` | [`set_lrs`](#embedding_net-set_lrs) | same | |
    // | 40 | `fit(model, data, 3, …)` | [`fit again`](#embedding_net-fit_again) | same | |

    Ok(())
}
