// %% [markdown]
// # The subset for Excel
//
// A few users, a few movies, and a spreadsheet that learns: collaborative filtering small enough to see.
//
// None of the modeling below needs it. It shows that nothing is hidden: the whole method fits on one sheet.

// %% plumbing
use std::collections::HashMap;

use anyhow::Result;
use polars::prelude::*;

use lecture5::excel;
use lecture5::excel::Crosstab;
use lecture5::excel::solver::{Factors, rated, solve};
use lecture5::movielens::{Id, Ids};
use lecture5::notebook::{Notebook, Table};
use lecture5::plots;
use lecture5::run::lecture::Lecture;
use lecture5::system::files::write_whole;

#[lecture5::notebook::cells]
pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Create the subset
    //
    // This makes a crosstab of the most popular movies and the most movie-addicted users. The lecture counts with
    // `ratings.groupby('userId')['rating'].count()`, sorts, and takes the first fifteen. The lines for polars do the same;
    // among users or movies with equally many ratings, the lower id comes first.

    // %% top_users
    let ratings = lecture.ml.ratings.clone();
    let descending = SortMultipleOptions::new().with_order_descending_multi([true, false]);

    let g = ratings.group_by(["userId"])?.select(["rating"]).count()?;
    let top_users = g.sort(["rating_count", "userId"], descending.clone())?.head(Some(15));

    let g = ratings.group_by(["movieId"])?.select(["rating"]).count()?;
    let top_movies = g.sort(["rating_count", "movieId"], descending)?.head(Some(15));

    // %% plumbing
    /// The ids of the first column of a table, which counts them.
    fn ids_of(top: &DataFrame) -> Result<Vec<Id>> {
        Ok(Ids::map(&top.columns()[0])?.0.ids().collect())
    }
    let titles = lecture.ml.titles()?;
    fn title_of(id: &Id, titles: &HashMap<String, String>) -> String {
        titles.get(&id.to_string()).cloned().unwrap_or_else(|| format!("movie {id}"))
    }
    let mut counts = Table::new(["userId", "ratings given", "movieId", "ratings received", "title"]);
    for (user, movie) in ids_of(&top_users)?.iter().zip(&ids_of(&top_movies)?) {
        let row = counts.rows.len();
        let count = |top: &DataFrame| Ok::<_, PolarsError>(top.column("rating_count")?.get(row)?.to_string());
        counts.push([
            user.to_string(),
            count(&top_users)?,
            movie.to_string(),
            count(&top_movies)?,
            title_of(movie, &titles),
        ]);
    }
    nb.show(counts);

    // %% [markdown]
    // ## Given some ratings
    //
    // The lecture joins both lists with the ratings, which leaves the ratings of these movies by these users.

    // %% top_r
    let top_r = ratings.inner_join(&top_users, ["userId"], ["userId"])?;
    let top_r = top_r.inner_join(&top_movies, ["movieId"], ["movieId"])?;
    nb.show(format!("{} ratings", top_r.height()));

    // %% [markdown]
    // `pd.crosstab(top_r.userId, top_r.movieId, top_r.rating, aggfunc=np.sum)` puts each rating into the cell of its user
    // and movie. The gaps are what we would like to know. (polars' own `pivot` needs its lazy API, which takes minutes to
    // compile, so a loop is used here. If a user has rated a movie more than once, the cell has the mean of these ratings,
    // not their sum.)

    // %% crosstab
    let users = ids_of(&top_users.sort(["userId"], SortMultipleOptions::new())?)?;
    let movies = ids_of(&top_movies.sort(["movieId"], SortMultipleOptions::new())?)?;
    fn place(top: &[Id], id: AnyValue) -> Option<usize> {
        top.iter().position(|other| other.to_string() == id.str_value())
    }
    let mut cells: Vec<Vec<Vec<f32>>> = vec![vec![Vec::new(); movies.len()]; users.len()];
    for row in 0..top_r.height() {
        let user = place(&users, top_r.column("userId")?.get(row)?);
        let movie = place(&movies, top_r.column("movieId")?.get(row)?);
        if let (Some(user), Some(movie)) = (user, movie) {
            cells[user][movie].extend(top_r.column("rating")?.f64()?.get(row).map(|rating| rating as f32));
        }
    }

    // %% plumbing
    fn mean(ys: &[f32]) -> Option<f32> {
        (!ys.is_empty()).then(|| ys.iter().sum::<f32>() / ys.len() as f32)
    }
    fn index(ids: &Ids, id: &Id) -> usize {
        ids.find(&id.to_string()).map_or(0, |index| index as usize)
    }
    let (cf, _) = lecture.ratings();
    let crosstab = Crosstab {
        titles: movies.iter().map(|id| title_of(id, &titles)).collect(),
        ratings: cells.iter().map(|row| row.iter().map(|ys| mean(ys)).collect()).collect(),
        user_idx: users.iter().map(|id| index(&cf.users, id)).collect(),
        users,
        movie_idx: movies.iter().map(|id| index(&cf.items, id)).collect(),
        movies,
    };
    let mut columns = vec!["movie".to_owned(), "movieId".to_owned()];
    columns.extend(crosstab.users.iter().map(Id::to_string));
    let mut table = Table::new(columns);
    for (movie, (title, id)) in crosstab.titles.iter().zip(&crosstab.movies).enumerate() {
        let ratings = crosstab.ratings.iter();
        let cells = ratings.map(|user| user[movie].map_or(String::new(), |y| format!("{y:.1}")));
        table.push([title.clone(), id.to_string()].into_iter().chain(cells));
    }
    nb.show(table.caption("Movies down and users across, to fit the page"));
    let n_rated = rated(&crosstab.ratings).count();
    nb.print(format!("{n_rated} of {} cells are rated", crosstab.users.len() * crosstab.movies.len()));

    // %% plumbing
    let rows: Vec<String> = crosstab.users.iter().map(|id| format!("user {id}")).collect();
    let values: Vec<Option<f32>> = crosstab.ratings.iter().flatten().copied().collect();
    let title = "What the busiest users gave the most-rated movies";
    lecture.plot(
        nb,
        plots::crosstab_heatmap("crosstab", title, ("user", &rows), ("movie", &crosstab.titles), &values)?,
    )?;

    // %% [markdown]
    // ## Every rating is a dot product
    //
    // Give each user five numbers and each movie five numbers, at random. The prediction for a cell is the dot
    // product of its user's and its movie's numbers (the sheet's `MMULT` of a row and a column), and blank
    // ratings are left out with `IF`. With random numbers, the predictions are as bad as one would expect.

    // %% factors
    let (n_users, n_movies, n_factors) = (crosstab.users.len(), crosstab.movies.len(), 5);
    let seed = lecture.run.seed as u32;
    let start = Factors::random(n_users, n_movies, n_factors, false, seed);

    // %% [markdown]
    // ## Now we can calculate the loss, and optimize the orange
    //
    // The loss is the root of the mean squared error (RMSE) over the rated cells.

    // %% loss
    let loss = start.rmse(&crosstab.ratings);
    nb.show(format!("{} numbers, root mean squared error {loss:.4}", start.count()));

    // %% [markdown]
    // The sheet says to optimize the orange cells, based on the loss, blue minus red: the orange cells are the factors, blue
    // the predictions, red the data. In Excel, Solver does it (an add-in that must be turned on: File, Options, Add-ins). It
    // changes other cells step by step to make one cell, the loss, as small as it can.
    //
    // Here L-BFGS does the same. It is a method that estimates the curvature of the error from the gradients it has seen.

    // %% solver
    let dotprod = solve(&crosstab.ratings, &start, 2_000)?;
    let with_bias =
        solve(&crosstab.ratings, &Factors::random(n_users, n_movies, n_factors, true, seed), 2_000)?;

    // %% plumbing
    let mut table = Table::new(["sheet", "numbers", "RMSE at the start", "RMSE at the end", "iterations"]);
    for (name, descent) in [("dotprod", &dotprod), ("bias", &with_bias)] {
        let (first, last) = (descent.rmse[0], descent.rmse[descent.rmse.len() - 1]);
        table.push([
            name.to_owned(),
            descent.start.count().to_string(),
            format!("{first:.4}"),
            format!("{last:.4}"),
            (descent.rmse.len() - 1).to_string(),
        ]);
    }
    nb.show(table);

    // %% plumbing
    lecture.plot(
        nb,
        plots::descent(
            "excel_descent",
            "What Solver does, done by L-BFGS: the error of sheet dotprod",
            &dotprod.rmse,
        )?,
    )?;
    nb.markdown(format!(
        "An error of {:.2} may look splendid next to those of the real models. It is not: {} numbers were fitted to \
         {n_rated} ratings, and nothing was held out.",
        dotprod.rmse[dotprod.rmse.len() - 1],
        dotprod.start.count(),
    ));

    // %% [markdown]
    // ## The workbook
    //
    // `excel/collab_filter.xlsx` contains the sheet *dotprod* with its random numbers, ready for Solver (its target and the
    // cells to change are set); the same sheet solved; *bias*, with one more number per user and per movie, also before and
    // after; *descent*, the error after each iteration; and *movielens_emb*, the same thing as a neural net sees it: one row
    // per rating, with the indices looked up by `MATCH` and the factors fetched by `OFFSET`. That is all an embedding is: a
    // look-up.

    // %% workbook
    let excel = lecture.run.out.join("excel");
    write_whole(&excel.join("collab_filter.xlsx"), &excel::collab_filter(&crosstab, &dotprod, &with_bias)?)?;
    nb.print("excel/collab_filter.xlsx");

    // %% plumbing
    fn crosstab_csv(crosstab: &Crosstab) -> String {
        let mut text = String::from("userId");
        for (id, title) in crosstab.movies.iter().zip(&crosstab.titles) {
            text += &format!(",{}", excel::csv_text(&format!("{id} {title}")));
        }
        text.push('\n');
        for (user, row) in crosstab.users.iter().zip(&crosstab.ratings) {
            text += &match user {
                Id::Whole(id) => id.to_string(),
                Id::Text(id) => excel::csv_text(id),
            };
            for rating in row {
                text += &rating.map_or(",".to_owned(), |y| format!(",{y:.1}"));
            }
            text.push('\n');
        }
        text
    }
    write_whole(&excel.join("crosstab.csv"), crosstab_csv(&crosstab).as_bytes())?;
    nb.print("excel/crosstab.csv");

    // %% [markdown]
    // ## The lecture's cells of this section
    //
    // | | the lecture | here | | why |
    // |---|---|---|---|---|
    // | 8 | `topUsers`, `topMovies`, `top_r` | [`top_users`](#excel_subset-top_users), [`top_r`](#excel_subset-top_r), [`crosstab`](#excel_subset-crosstab) | same | |
    // | P1 | picture: given some ratings | [`crosstab`](#excel_subset-crosstab) | same | |
    // | P2 | picture: every rating is a product | [`workbook`](#excel_subset-workbook) | differs | in the sheet *dotprod*, with other random numbers |
    // | P3 | picture: the loss | [`loss`](#excel_subset-loss), [`solver`](#excel_subset-solver) | differs | L-BFGS instead of Excel's Solver, which the workbook is set up for |

    Ok(())
}
