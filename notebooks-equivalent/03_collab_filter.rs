// %% [markdown]
// # Collaborative filtering at a high level
//
// fastai's learner in a few lines: a split, a learner, a fit, and a look at its predictions.
//
// The question behind it, for a given movie and user: which other movies are similar to it, and which
// people are similar to this person? A model that can answer this can predict the rating.

// %% plumbing
use anyhow::Result;
use tch::{Device, Tensor};

use lecture5::fit::{Options, mse_loss};
use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, Split, SplitBy, get_cv_idxs};
use lecture5::notebook::Notebook;
use lecture5::optim::Rule;
use lecture5::optim::named_parameters;
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::schedule::{CosineRestarts, Schedule};
use lecture5::settings::{ModelKind, Plan, Settings};

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Get the validation indexes
    //
    // A fifth of the rows is *held out*: the model is not trained on them, only judged by them. `get_cv_idxs` is NumPy's own
    // permutation with seed 42, drawn here by the same generator (a Mersenne Twister), so that the lecture's data is split
    // as it was there. (`--split` holds out other rows: the last fifth by time, or the last fifth of each user's ratings.)
    //
    // - **`wd`** is *weight decay*, here as L2 regularization: the weights are trained as if the loss also grew with their
    //   squares (the losses shown do not contain that). This keeps them small, so that the model memorizes less of the
    //   training ratings. Under Adam the two names mean different things; [section 8](#training_loop) says why.
    // - **`n_factors`** is the size of the embeddings: how many numbers describe a user or a movie.

    // %% val_idxs
    let (cf, split) = lecture.ratings();
    let val_idxs = match lecture.run.split {
        SplitBy::Random { seed } => get_cv_idxs(cf.len(), 0.2, seed),
        _ => split.val.clone(),
    };
    let wd = 2e-4;
    let n_factors: i64 = 50;
    nb.show(format!("{:?} … {} in all", &val_idxs[..val_idxs.len().min(10)], val_idxs.len()));

    // %% plumbing
    nb.markdown(match lecture.why_not_the_lectures() {
        None => "These are exactly the rows that the lecture held out.".to_owned(),
        Some(why) => format!("These are not the rows that the lecture held out. {why}."),
    });

    // %% [markdown]
    // ## The data set
    //
    // The data set takes three columns from the table of ratings: **`userId`**, **`movieId`**, and **`rating`**, the
    // dependent variable.

    // %% cf
    let ratings = lecture.ml.ratings.clone();
    let cf = CollabFilterDataset::from_data_frame(&ratings, "userId", "movieId", "rating")?;
    let cf = cf.on_scale(lecture.ml.scale);

    // %% [markdown]
    // ## The learner
    //
    // The arguments are the size of the embeddings, the rows to hold out, the batch size, and the optimizer:
    // `cf.get_learner(n_factors, val_idxs, 64, opt_fn=optim.Adam)`. The model is fastai's own EmbeddingDotBias, which a
    // [later section](#embedding_dot_bias) takes apart.
    //
    // The initial weights are drawn on the CPU and then moved to the device (the lecture's `.cuda()`), so that a seed gives
    // the same start everywhere. The weight decay is set here; the lecture gives it to `fit`.

    // %% learn
    let split = Split::new(cf.len(), &val_idxs);
    let mut settings = Settings {
        rule: Rule::Adam,
        wd,
        n_factors: (n_factors, n_factors),
        batch_size: 64,
        seed: lecture.run.seed,
        ..Settings::lecture(ModelKind::Learner)
    };
    let mut learn = Learner::new(&cf, &split, &settings, lecture.run.device)?;

    // %% plumbing
    fn weights(learn: &Learner, name: &str) -> Result<Tensor> {
        let named = named_parameters(&learn.vs).into_iter().find(|(of, _)| of == name);
        let found = named.map(|(_, weights)| weights.detach().copy().to_device(Device::Cpu));
        found.ok_or_else(|| anyhow::anyhow!("the learner has no '{name}'"))
    }
    let before = [weights(&learn, "u.weight")?, weights(&learn, "m.weight")?];

    // %% [markdown]
    // ## Run the fit
    //
    // `learn.fit(1e-2, 2, wds=wd, cycle_len=1, cycle_mult=2)`: two cycles, the second twice as long as the
    // first, so three epochs. Within a cycle the learning rate falls along a cosine, batch by batch; then it
    // starts again from the top, which is thought to shake the weights out of narrow valleys. The first twentieth of the
    // first cycle runs at a hundredth of the rate.
    //
    // Each line is an epoch: its number, the training loss (a running mean over the last batches) and the
    // validation loss, both mean squared errors.

    // %% learn.fit
    let cosine = CosineRestarts { lr: lecture.rate(1e-2), cycles: 2, len: 1, mult: 2 };
    let history =
        learn.fit(cosine.epochs(), Options { schedule: Schedule::Cosine(cosine), ..lecture.options(nb) })?;

    // %% plumbing
    let title = "The learner's learning rate: cosine annealing with restarts";
    lecture.plot(
        nb,
        plots::lr_schedule("collab_learner_rates", title, &history.rates, learn.data.n_batches())?,
    )?;
    lecture.record("collab_learner", history);
    lecture.plot(nb, lecture.loss_curves("collab_learner", "Loss of fastai's learner")?)?;
    settings.plan = Plan::Cosine(cosine);
    lecture.save("collab_learner", &settings, &learn.opt)?;

    // %% [markdown]
    // A mean squared error is in squared stars; its root is in stars. The lecture takes the root of 0.776, near
    // its validation losses:

    // %% sqrt
    nb.show(0.776_f64.sqrt());

    // %% [markdown]
    // ## The predictions
    //
    // `learn.predict()` answers for the rows held out.

    // %% preds
    let preds = learn.predict()?;

    // %% [markdown]
    // In the picture, the color of a hexagon shows how many ratings fall into it. Predictions are on the horizontal axis,
    // true ratings on the vertical one, and both histograms are along the sides. The predictions of a perfect model would
    // lie on the dashed line.
    //
    // The predictions crowd toward the middle. That is not a flaw: under squared error, the best guess is the mean of the
    // ratings that are possible, each weighted by its probability.

    // %% y
    let y = Vec::<f32>::try_from(&learn.data.val.y)?;
    let title = "fastai's learner: predicted and true ratings";
    lecture.plot(nb, plots::joint("collab_learner_joint", title, &preds, &y, true)?)?;
    let loss = mse_loss(&Tensor::from_slice(&preds), &Tensor::from_slice(&y));
    nb.print(format!(
        "root mean squared error over all rows held out: {:.4} stars",
        loss.double_value(&[]).sqrt()
    ));

    // %% [markdown]
    // ## What training did to the embeddings
    //
    // They start as noise. Where the ratings contain information, training spreads them out; otherwise weight decay pulls
    // them back toward zero.

    // %% plumbing
    lecture.keep_predictions("collab_learner", &preds);
    let after = [weights(&learn, "u.weight")?, weights(&learn, "m.weight")?];
    fn numbers(weights: &Tensor) -> Result<Vec<f32>> {
        Ok(Vec::try_from(weights.reshape([-1]))?)
    }
    let (u, m) = ((numbers(&before[0])?, numbers(&after[0])?), (numbers(&before[1])?, numbers(&after[1])?));
    let figure = plots::embeddings_before_after(
        "embeddings_before_after",
        "The learner's embeddings before and after training",
        &[
            plots::EmbeddingWeights { name: "u", rows: "users", n_factors, before: &u.0, after: &u.1 },
            plots::EmbeddingWeights { name: "m", rows: "movies", n_factors, before: &m.0, after: &m.1 },
        ],
    )?;
    lecture.plot(nb, figure)?;

    // %% [markdown]
    // ## Where it goes wrong: the cold start
    //
    // A movie that nobody has rated in the training rows gets no gradient other than the weight decay, which Adam turns into
    // steps of full size. Its vector and its bias move to zero, and a prediction for it says only how the user rates in
    // general. The more often a movie was rated, the more the model knows about it.

    // %% plumbing
    let mut times_rated = vec![0_u32; cf.items.len() as usize];
    for &row in &split.trn {
        times_rated[cf.item_idx[row] as usize] += 1;
    }
    let never_rated: Vec<i64> = (0..cf.items.len()).filter(|&m| times_rated[m as usize] == 0).collect();
    if !never_rated.is_empty() {
        let rows = after[1].index_select(0, &Tensor::from_slice(&never_rated));
        let largest = rows.abs().max().double_value(&[]);
        let (low, high) = settings.init;
        nb.print(format!(
            "{} movies do not occur in the training rows. Their weights started between {low} and {high}; the largest is now \
             {largest:.0e}{}",
            never_rated.len(),
            if largest < 0.01 * high { "." } else { ": so few steps do not take them to zero." }
        ));
    }
    let known: Vec<u32> = split.val.iter().map(|&row| times_rated[cf.item_idx[row] as usize]).collect();
    let residuals: Vec<f32> = y.iter().zip(&preds).map(|(y, p)| y - p).collect();
    let title = "Error by how often a movie was rated in training";
    lecture
        .plot(nb, plots::residuals_by_popularity("residuals_by_popularity", title, &known, &residuals)?)?;

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | 9 | `val_idxs`, `wd`, `n_factors` | [`val_idxs`](#collab_filter-val_idxs) | same | |
    // | 10 | `cf = CollabFilterDataset.from_csv(…)` | [`cf`](#collab_filter-cf) | same | from the table that was already read |
    // | 11 | `learn = cf.get_learner(…)` | [`learn`](#collab_filter-learn) | same | the weight decay is given here |
    // | 12 | `learn.fit(1e-2, 2, …)` | [`learn.fit`](#collab_filter-learn_fit) | same | another random start |
    // | 13 | `math.sqrt(0.776)` | [`sqrt`](#collab_filter-sqrt) | same | |
    // | 14 | `preds = learn.predict()` | [`preds`](#collab_filter-preds) | same | |
    // | 15 | `y = …`, `sns.jointplot(…)` | [`y`](#collab_filter-y) | same | drawn by plotters instead of seaborn |

    Ok(())
}
