// %% [markdown]
// # MovieLens
//
// The data: who gave which movie how many stars.
//
// Ratings are all that collaborative filtering sees: no genres, no descriptions, no ages. The whole idea is that *users
// who agreed before will agree again*.

// %% plumbing
use anyhow::Result;
use polars::prelude::*;

use lecture5::notebook::Notebook;
use lecture5::plots;
use lecture5::run::lecture::{Lecture, head};

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Setup
    //
    // The lecture's notebook begins by finding fastai (`sys.path.append`), downloading and unzipping
    // `ml-latest-small.zip`, turning on `%matplotlib inline`, and naming the folder: `path='ml-latest-small/'`.
    // Here the data is part of the project, plots go to `out/plots/`, and `--data` names another folder.

    // %% path
    let path = lecture.ml.source.path().to_path_buf();
    nb.show(path.display().to_string());

    // %% [markdown]
    // ## The ratings
    //
    // `ratings.csv` has one row per rating. The lecture reads it with pandas' `read_csv`; here polars has read it before the
    // first cell, and files of other kinds become the same kind of table. Its columns:
    //
    // - **`userId`**: who rated;
    // - **`movieId`**: which movie; the numbering may have gaps;
    // - **`rating`**: in the lecture, from half a star to five stars; the *dependent variable*, which a model should predict;
    // - **`timestamp`**: seconds since 1970, which the lecture does not use and other data may lack.

    // %% ratings
    let ratings = lecture.ml.ratings.clone();
    nb.show(head(&ratings, 5)?);

    // %% [markdown]
    // ## The movies
    //
    // Titles and genres are for human readers: none of the lecture's models uses them.

    // %% movies
    if let Some(movies) = &lecture.ml.movies {
        nb.show(head(movies, 5)?);
    }

    // %% [markdown]
    // ## Which data this is
    //
    // GroupLens still serves a file called `ml-latest-small.zip`, but its content changed in 2018: it has 610 users
    // instead of 671. The lecture's losses belong to the older file, so the run checks which one it has.

    // %% plumbing
    let (cf, split) = lecture.ratings();
    nb.print(format!("This is {}.", lecture.ml.snapshot.name()));
    nb.print(format!("{} ratings of {} movies by {} users", cf.len(), cf.items.len(), cf.users.len()));
    nb.print(format!("{} to train on, {} held out", split.trn.len(), split.val.len()));
    match cf.repeated() {
        0 => {}
        n => nb.print(format!("{n} of them rate a movie that the user had already rated: each one counts")),
    }

    // %% [markdown]
    // ## How people rate
    //
    // pandas' `ratings.rating.value_counts()`, `.mean()` and `.std()` have the same names in polars:

    // %% value_counts
    let stars = ratings.column("rating")?.as_materialized_series().clone();
    let counted = stars.value_counts(false, false, "count".into(), false)?;
    let counted = counted.sort(["rating"], SortMultipleOptions::new())?;
    nb.show(head(&counted, 20)?);
    let (mean, spread) = (stars.mean().unwrap_or_default(), stars.std(0).unwrap_or_default());
    nb.show(format!("mean {mean:.4}, standard deviation {spread:.4}"));

    // %% plumbing
    let values: Vec<f64> = counted.column("rating")?.f64()?.iter().flatten().collect();
    let counts: Vec<u64> =
        counted.column("count")?.cast(&DataType::UInt64)?.u64()?.iter().flatten().collect();
    lecture.plot(
        nb,
        plots::rating_histogram("rating_histogram", "How many stars people give", &values, &counts)?,
    )?;
    /// How many percent of the ratings are such.
    fn share(values: &[f64], counts: &[u64], is_such: impl Fn(f64) -> bool) -> f64 {
        let rated = values.iter().zip(counts).filter(|(value, _)| is_such(**value)).map(|(_, count)| count);
        100.0 * rated.sum::<u64>() as f64 / counts.iter().sum::<u64>() as f64
    }
    let middle = (cf.range().0 + cf.range().1) / 2.0;
    let blame = share(&values, &counts, |value| value < middle);
    let praise = share(&values, &counts, |value| value > middle);
    nb.markdown(format!(
        "{:.0}% of the ratings are whole numbers. {praise:.0}% lie above the middle of the scale and {blame:.0}% \
         below it{}. The errors of a model that always predicts the mean have a root mean square of one standard \
         deviation, here {spread:.2}. A better model has to beat that.",
        share(&values, &counts, |value| value.fract() == 0.0),
        if praise > 1.5 * blame { ", perhaps because people choose what they watch" } else { "" }
    ));

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | 1 | `sys.path.append(…)` | – | differs | the library is compiled in |
    // | 2 | `!wget …` | – | differs | the data comes with the project, since the file of that name has changed |
    // | 3 | `!unzip …` | – | differs | it is already unpacked |
    // | 4 | `import torch`, `from fastai…` | the folded cell at the top | differs | Rust's `use`; neither `%matplotlib` nor `%autoreload` is needed |
    // | 5 | `path=…` | [`path`](#movielens-path) | same | |
    // | 6 | `ratings = …`, `ratings.head()` | [`ratings`](#movielens-ratings) | same | |
    // | 7 | `movies = …`, `movies.head()` | [`movies`](#movielens-movies) | same | |

    Ok(())
}
