// %% [markdown]
// # Beyond the lecture
//
// Honest baselines next to the lecture's models, the variations it suggests, and how good it can get.
//
// A loss alone says little. How good is predicting the mean rating, or one number for each user and each movie? And how
// good is a model that uses everything in the files? All models are measured on the rows held out. The lecture's models have
// the lecture's settings; those of the others are chosen without these rows, by cross-validation on the training rows
// (`lecture5 tune` does this again).

// %% plumbing
use anyhow::Result;

use lecture5::beyond::ahead::train_all;
use lecture5::beyond::rows::folds;
use lecture5::beyond::score::{RESAMPLES, bootstrap_by_user, known_and_new, score, squared_errors};
use lecture5::beyond::splits;
use lecture5::beyond::{data, nets};
use lecture5::movielens::Split;
use lecture5::notebook::{Notebook, Table};
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::run::metrics::{Beyond, BeyondRow};
use lecture5::run::progress::Training;
use lecture5::system::arithmetic::mean;

/// What a model predicted: its name, whether it is one of the lecture's, stars for the rows held out, seconds.
type Predicted = (String, bool, Vec<f64>, f64);

fn of(predictions: &[Predicted], name: &str) -> Vec<f64> {
    predictions.iter().find(|p| p.0 == name).map(|p| p.2.clone()).unwrap_or_default()
}

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Which learning rate?
    //
    // The learning-rate finder (Smith 2015) increases the rate from batch to batch. The loss falls as soon as the
    // rate is large enough to learn, and rises when it is too large. fastai 2 suggested two rates from such a curve: the rate
    // at which the loss falls most steeply, and a tenth of the rate at which it is lowest. (Later versions have more rules.)
    // The second, rounded to one digit, is used here and marked in the plot. The rates are tried on four fifths of the
    // *training* rows, chosen the way the split chooses its rows, so that the validation rows stay unseen.

    // %%
    let (cf, split) = lecture.ratings();
    let (world, trn, val, y) = data::from_lecture(&lecture.ml, &cf, lecture.run.split, &split)?;
    let (learned, asked) = folds(world.split, &trn.pairs, 1, 0).swap_remove(0);
    let part = |rows: &[usize]| rows.iter().map(|&row| split.trn[row]).collect();
    let inner = Split { trn: part(&learned), val: part(&asked) };
    let found = nets::find_lr(lecture, &inner)?;
    let one_cycle_lr = nets::suggested_lr(&found);
    let title = "The learning-rate finder on EmbeddingNet";
    if found.len() > 1 {
        lecture.plot(nb, plots::lr_finder("lr_finder", title, &found, Some(one_cycle_lr))?)?;
    } else {
        nb.print("There are too few batches to try rates on.");
    }

    // %% [markdown]
    // ## We can add dropout, use embeddings of different sizes, …
    //
    // The lecture ends its section on the neural net with a list of what else can be done. Each item is tried here for three
    // epochs from the same seed: two at the lecture's rate of 0.01, and one at 0.001. They are compared on the other fifth
    // of the training rows. On the CPU, the fast stepper of section 8 trains them, whether or not the run has `--fast`.
    // Each is trained once, and after one or two epochs much depends on the random start: compare the last column, and
    // there only differences of more than about 0.01.
    //
    // - Dropout that is really on slows learning down; 0.75 leaves, on average, only two or three of the net's ten hidden
    //   units.
    // - *One cycle* (Smith 2018) has its own rates: up to the marked one for a quarter of the batches, and down for the
    //   rest.
    // - Weight decay can differ by layer. The embeddings have most of the weights, and few ratings for each: here only they
    //   decay, four times as strongly as in the lecture (0.002 instead of 0.0005).

    // %%
    let variations = nets::variations(lecture.run.seed, one_cycle_lr);
    let mut curves = Vec::new();
    for variation in &variations {
        curves.push((variation.name, nets::losses(lecture, &inner, variation)?));
    }
    let mut table = Table::new(["EmbeddingNet", "after 1 epoch", "after 2", "after 3"]);
    for (name, losses) in &curves {
        let cells = losses[1..].iter().map(|loss| format!("{loss:.4}"));
        table.push(std::iter::once((*name).to_owned()).chain(cells));
    }
    nb.show(table);

    // %%
    let curves: Vec<(&str, &[f64])> = curves.iter().map(|(name, losses)| (*name, &losses[1..])).collect();
    let title = "Variations of EmbeddingNet, trained on four fifths of the training rows";
    lecture.plot(
        nb,
        plots::loss_by_epoch("variations", title, "loss on the other fifth, MSE (stars²)", 1, &curves)?,
    )?;

    // %% [markdown]
    // ## The models
    //
    // - **Biases**: the mean rating, and how far each user and each movie is above or below it, shrunk toward zero.
    // - **kNN** (*k* nearest neighbors): what the biases do not explain is estimated from the user's ratings of similar
    //   movies, or from similar users' ratings of the movie.
    // - **SVD++** (Koren 2008) is EmbeddingDotBias without the sigmoid, in which a user is also described by *which* movies
    //   the user rated; **timeSVD++** (Koren 2009) lets users and movies change with time. Both are means of four random
    //   starts, whereas the lecture's models are single runs.
    // - **Bayesian factorization** (Salakhutdinov and Mnih 2008) averages over many sets of embeddings instead of using
    //   one, which keeps it from memorizing a few ratings.
    // - **The Gaussian process** states how strongly any two ratings are correlated: same user, same movie, movies that the
    //   same users liked, same genres, years, popularity; and, with times, given within minutes of each other or only a few
    //   ratings apart. Users rate in sessions and in moods, and go down lists that MovieLens shows them, so the ratings just
    //   before and after a rating say much about it.
    //
    // That last point needs a warning. If rows are held out at random, as in the lecture, the ratings given before *and
    // after* a rating are known. A model that predicts a user's next rating knows only the earlier ones, which is what
    // `--split user` tests; `--split time` cuts at one date, after which many users are new. The row "without times" does not
    // use the timestamps.

    // %%
    let mut predictions: Vec<Predicted> = Vec::new();
    for (name, kind) in nets::LECTURE {
        let (stars, seconds) = nets::lecture_model(lecture, kind)?;
        predictions.push((name.to_owned(), true, stars, seconds));
    }
    // A run has begun with this while the sections before this one trained the lecture's models.
    let outcome = match lecture.ahead.take() {
        Some(ahead) => ahead.finish(lecture.run.telling)?,
        None => train_all(&world, &trn, &val, &Training::new(lecture.run.telling))?,
    };
    for why in &outcome.left_out {
        nb.print(why);
    }
    let trained = outcome.trained.into_iter();
    predictions.extend(trained.map(|model| (model.name.to_owned(), false, model.stars, model.seconds)));

    // %% [markdown]
    // ## The blend
    //
    // A blend is a weighted sum of models. Its weights come from the training rows alone: a fifth of them is held out the
    // way the split holds rows out (any fifth; with `--split time` the last fifth; with `--split user` each user's last) and
    // predicted by models that were trained on the rest. Ridge regression on those predictions gives the weights. The
    // same predictions also decide whether the blend or one of its members, which include the biases, is chosen as the best.
    // This favors the blend a little, since its few weights were fitted to these rows.

    // %%
    let fitted = outcome.blend;
    let members: Vec<&str> = fitted.by_folds[..fitted.weights.len()].iter().map(|(name, _)| *name).collect();
    let mut table = Table::new(["model", "weight", "MSE on that fifth"]);
    for (at, (name, mse)) in fitted.by_folds.iter().enumerate() {
        let weight = fitted.weights.get(at).map_or(String::new(), |w| format!("{w:.3}"));
        table.push([(*name).to_owned(), weight, format!("{mse:.4}")]);
    }
    nb.show(table);
    if fitted.weights.iter().zip(&members).any(|(weight, name)| *weight < 0.0 && *name == "biases") {
        nb.markdown(
            "The negative weight is no error: the other members contain the biases too, and the blend takes a part of them \
             out again.",
        );
    }
    let mut blended: Vec<Vec<f64>> = members.iter().map(|name| of(&predictions, name)).collect();
    let stars = fitted.predict(&world, &blended);
    blended.push(stars.clone());
    predictions.push(("blend".to_owned(), false, stars, outcome.blend_seconds));

    // %% [markdown]
    // ## All of them on the rows held out
    //
    // The table has the mean squared error in stars², and its root and the mean absolute error in stars. The interval comes from
    // resampling users with all of their ratings, since one user's errors are correlated. It is wide because users differ,
    // and most of that is the same for all models. Therefore the last column compares each model with fastai's learner row by
    // row: it has the difference of the mean squared errors, with its own interval. How long each model took is in
    // `metrics.json`.

    // %%
    let learner = squared_errors(&of(&predictions, "fastai's learner"), &y);
    let columns = ["model", "MSE", "95% interval", "RMSE", "MAE", "against the learner"];
    let mut table = Table::new(columns);
    let mut rows = Vec::new();
    for (name, _, stars, seconds) in &predictions {
        let s = score(stars, &y, &val.user);
        let differences: Vec<f64> =
            squared_errors(stars, &y).iter().zip(&learner).map(|(a, b)| a - b).collect();
        let mean = mean(&differences);
        let (low, high) = bootstrap_by_user(&differences, &val.user, RESAMPLES, 0);
        table.push([
            name.clone(),
            format!("{:.4}", s.mse),
            format!("{:.3} to {:.3}", s.low, s.high),
            format!("{:.4}", s.rmse),
            format!("{:.4}", s.mae),
            format!("{mean:+.4} ({low:+.3} to {high:+.3})"),
        ]);
        rows.push(BeyondRow {
            name: name.clone(),
            val_mse: s.mse,
            val_rmse: s.rmse,
            val_mae: s.mae,
            low: s.low,
            high: s.high,
            seconds: *seconds,
        });
    }
    nb.show(table);

    // %% [markdown]
    // ## Who and what is new
    //
    // Of a user or a movie without training ratings, most models know nothing and must rely on the other of the two; the
    // Gaussian process can also use genres, years and times. The table has the number of such rows, and the mean squared
    // error of each group.

    // %%
    let groups = known_and_new(&trn.pairs, &val);
    let columns = groups.iter().map(|(name, rows)| format!("{name}: {} rows", rows.len()));
    let mut table = Table::new(std::iter::once("model".to_owned()).chain(columns));
    for (name, _, stars, _) in &predictions {
        let errors = squared_errors(stars, &y);
        let cells = groups.iter().map(|(_, rows)| {
            let of_group: Vec<f64> = rows.iter().map(|&row| errors[row]).collect();
            format!("{:.4}", mean(&of_group))
        });
        table.push(std::iter::once(name.clone()).chain(cells));
    }
    nb.show(table);

    // %%
    let intervals: Vec<plots::Interval> = rows
        .iter()
        .zip(&predictions)
        .map(|(r, p)| plots::Interval {
            name: &r.name,
            value: r.val_mse,
            low: r.low,
            high: r.high,
            lecture: p.1,
        })
        .collect();
    let title = "How good it can get: all models on the rows held out";
    let measure = "validation loss, MSE (stars²)";
    lecture.plot(nb, plots::intervals("beyond", title, measure, &intervals)?)?;

    // %%
    let best = fitted.best().to_owned();
    let chosen = rows.iter().find(|r| r.name == best);
    if let Some(row) = chosen {
        nb.markdown(format!(
            "Chosen on a fifth of the training rows: **{best}**, {:.4} on the rows held out (RMSE {:.4}; split: {}).",
            row.val_mse, row.val_rmse, lecture.run.split
        ));
    }
    // The question at the top of this section.
    let of_biases = rows.iter().find(|row| row.name == "biases").map_or(f64::NAN, |row| row.val_mse);
    for (is, sign) in [("lower", 1.0), ("higher", -1.0)] {
        let lectures = rows.iter().zip(&predictions).filter(|(_, predicted)| predicted.1);
        let such = lectures.filter(|(row, _)| sign * (row.val_mse - of_biases) > 0.0);
        let names: Vec<&str> = such.map(|(row, _)| row.name.as_str()).collect();
        if !names.is_empty() {
            nb.markdown(format!(
                "One number for each user and each movie (*biases*, {of_biases:.4}) has a {is} mean squared error than {}.",
                names.join(", ")
            ));
        }
    }

    // %% [markdown]
    // ## And on other splits?
    //
    // A model that is good on one split need not be good on another: if the future is predicted, many users are new. The
    // table has the root of the mean squared error, in stars, of the blend and its members, which are trained and chosen
    // anew on each split.

    // %%
    let mut splits = vec![splits::split_scores(lecture.run.split, &fitted, &blended, &groups, &y)];
    for other in splits::others(&lecture.ml, lecture.run.split) {
        if lecture.run.all_splits {
            splits.push(splits::scores(&lecture.ml, &cf, other, lecture.run.telling)?);
        }
    }
    let models = splits[0].models.iter().cloned();
    let columns = ["split", "rows held out", "number"].map(str::to_owned).into_iter().chain(models);
    let mut table = Table::new(columns.chain(["chosen".to_owned()]));
    for of_split in &splits {
        for (at, group) in of_split.groups.iter().enumerate() {
            let once = |text: &str| if at == 0 { text.to_owned() } else { String::new() };
            let cells = [once(&of_split.split), group.rows.clone(), group.n.to_string()];
            let cells = cells.into_iter().chain(group.rmse.iter().map(|rmse| format!("{rmse:.4}")));
            table.push(cells.chain([once(&of_split.best)]));
        }
    }
    nb.show(table);
    if !lecture.run.all_splits {
        nb.markdown(
            "This run has scored its own split alone; `lecture5 run beyond --all-splits` adds the others.",
        );
    }
    lecture.metrics.beyond = Some(Beyond { rows, best, splits });

    Ok(())
}
