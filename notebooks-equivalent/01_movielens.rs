// %% [markdown]
// # MovieLens
//
// The data: who gave which movie how many stars, as GroupLens published it in 2016.
//
// A hundred thousand ratings, and nothing else, is all that collaborative filtering sees: no genres, no
// descriptions, no ages. *Users who agreed before will agree again* is the whole idea.

// %%
use anyhow::Result;

use lecture5::notebook::{Notebook, Table};
use lecture5::plots;
use lecture5::run::lecture::{Lecture, head};

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Set-up
    //
    // The lecture's notebook begins by finding fastai (`sys.path.append`), downloading and unzipping
    // `ml-latest-small.zip`, switching on `%matplotlib inline`, and naming the folder: `path='ml-latest-small/'`.
    // Here the data is part of the project, plots go to `out/plots/`, and the folder is `--data`.
    //
    // ## The ratings
    //
    // `ratings.csv` has a row for each rating. The lecture reads it with pandas' `read_csv`; here polars does.
    // Its columns:
    //
    // - **`userId`**: who rated;
    // - **`movieId`**: which movie; the numbering has gaps;
    // - **`rating`**: half a star to five stars, the *dependent variable*, which a model should predict;
    // - **`timestamp`**: seconds since 1970, which the lecture leaves aside.

    // %%
    let ratings = &lecture.ml.ratings;
    nb.show(head(ratings, 5)?);

    // %% [markdown]
    // ## The movies
    //
    // Titles and genres are for people: no model in this lecture reads them.

    // %%
    if let Some(movies) = &lecture.ml.movies {
        nb.show(head(movies, 5)?);
    }

    // %% [markdown]
    // ## Which data this is
    //
    // GroupLens still serves a file called `ml-latest-small.zip`, but what is in it changed in 2018: 610 users
    // instead of 671. The lecture's losses belong to the older file, so the run checks which one it has.

    // %%
    let (cf, split) = lecture.ratings();
    nb.print(format!("This is {}.", lecture.ml.snapshot.name()));
    nb.print(format!("{} ratings of {} movies by {} users", cf.len(), cf.items.len(), cf.users.len()));
    nb.print(format!("{} to train on, {} held out", split.trn.len(), split.val.len()));
    match cf.repeated() {
        0 => {}
        n => nb.print(format!("{n} of them rate a movie again that the user had rated: each one counts")),
    }

    // %% [markdown]
    // ## How people rate
    //
    // Whole stars are given far more often than half ones, and praise more often than blame: people choose
    // what they watch. Whoever predicts the mean for everything is off by one star on average (root mean
    // square), and that is what a model has to beat.

    // %%
    let mut counts: Vec<(f64, u64)> = Vec::new();
    let mut sorted = cf.y.clone();
    sorted.sort_by(f32::total_cmp);
    for stars in sorted.iter().map(|&y| f64::from(y)) {
        match counts.last_mut() {
            Some((value, n)) if *value == stars => *n += 1,
            _ => counts.push((stars, 1)),
        }
    }
    let (values, counts): (Vec<f64>, Vec<u64>) = counts.into_iter().unzip();
    lecture.plot(
        nb,
        plots::rating_histogram("rating_histogram", "How many stars people give", &values, &counts)?,
    )?;

    let n = cf.len() as f64;
    let mean = cf.y.iter().map(|&y| f64::from(y)).sum::<f64>() / n;
    let spread = (cf.y.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let table = Table::new(["mean rating", "standard deviation"]);
    nb.show(table.row([format!("{mean:.4}"), format!("{spread:.4}")]));

    Ok(())
}
