// %% [markdown]
// # MovieLens
//
// The data: who gave which movie how many stars.
//
// Ratings, and nothing else, is all that collaborative filtering sees: no genres, no descriptions, no ages. *Users who agreed before will agree again* is the whole idea.

// %%
use anyhow::Result;
use polars::prelude::*;

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
    // `ratings.csv` has a row for each rating. The lecture reads it with pandas' `read_csv`,
    // `ratings = pd.read_csv(path+'ratings.csv')`, and so does polars here; a file of another kind is made such a table
    // too. Its columns:
    //
    // - **`userId`**: who rated;
    // - **`movieId`**: which movie; the numbering has gaps;
    // - **`rating`**: in the lecture half a star to five stars, the *dependent variable*, which a model should predict;
    // - **`timestamp`**: seconds since 1970, which the lecture leaves aside, and other data may lack.

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
    // In the lecture's data whole stars are given far more often than half ones, and praise more often than blame:
    // people choose what they watch. A model that predicts the mean for everything is off by one standard deviation
    // (root mean square), there about a star, and that is what a better one has to beat.
    //
    // pandas' `ratings.rating.value_counts()`, `.mean()` and `.std()` are polars' too:

    // %%
    let stars = ratings.column("rating")?.as_materialized_series();
    let counted = stars.value_counts(false, false, "count".into(), false)?;
    let counted = counted.sort(["rating"], SortMultipleOptions::new())?;
    let values: Vec<f64> = counted.column("rating")?.f64()?.iter().flatten().collect();
    let counts: Vec<u64> =
        counted.column("count")?.cast(&DataType::UInt64)?.u64()?.iter().flatten().collect();
    lecture.plot(
        nb,
        plots::rating_histogram("rating_histogram", "How many stars people give", &values, &counts)?,
    )?;

    let (mean, spread) = (stars.mean().unwrap_or_default(), stars.std(0).unwrap_or_default());
    let table = Table::new(["mean rating", "standard deviation"]);
    nb.show(table.row([format!("{mean:.4}"), format!("{spread:.4}")]));

    Ok(())
}
