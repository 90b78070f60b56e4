// %% [markdown]
// # The subset for Excel
//
// Fifteen users, fifteen movies, and a spreadsheet that learns: collaborative filtering small enough to see.
//
// None of the modelling below needs it. It shows that nothing is hidden: the whole method fits on one sheet.

// %%
use anyhow::Result;

use crate::files::write_whole;
use crate::lecture::Lecture;
use crate::movielens::busiest;
use crate::notebook::{Notebook, Table};
use crate::solver::{Factors, rated, solve};
use crate::spreadsheet::Crosstab;
use crate::{plots, spreadsheet};

pub fn run(nb: &mut Notebook, lecture: &mut Lecture) -> Result<()> {
    // %% [markdown]
    // ## Create the subset
    //
    // A crosstab of the most popular movies and the most movie-addicted users. The lecture counts with
    // `ratings.groupby('userId')['rating'].count()`, sorts, takes the first fifteen, and joins both lists back
    // to the ratings.

    // %%
    let ratings = &lecture.ml.ratings;
    let top_users = busiest(ratings, "userId", 15)?;
    let top_movies = busiest(ratings, "movieId", 15)?;
    let titles = lecture.ml.titles()?;
    let title = |id: i64| titles.get(&id).cloned().unwrap_or_else(|| format!("movie {id}"));
    let mut counts = Table::new(["userId", "ratings given", "movieId", "ratings received", "title"]);
    for (&(user, given), &(movie, received)) in top_users.iter().zip(&top_movies) {
        counts.push([
            user.to_string(),
            given.to_string(),
            movie.to_string(),
            received.to_string(),
            title(movie),
        ]);
    }
    nb.show(counts);

    // %% [markdown]
    // ## Given some ratings
    //
    // `pd.crosstab(top_r.userId, top_r.movieId, top_r.rating, aggfunc=np.sum)`: users down, movies across. The
    // gaps are what we would like to know.

    // %%
    let (cf, _) = lecture.ratings();
    let mut users: Vec<i64> = top_users.iter().map(|&(id, _)| id).collect();
    let mut movies: Vec<i64> = top_movies.iter().map(|&(id, _)| id).collect();
    users.sort_unstable();
    movies.sort_unstable();
    let mut cells = vec![vec![None; movies.len()]; users.len()];
    for (&[user, movie], &y) in cf.cats.iter().zip(&cf.y) {
        let (user, movie) = (cf.users.ids()[user as usize], cf.items.ids()[movie as usize]);
        if let (Ok(row), Ok(column)) = (users.binary_search(&user), movies.binary_search(&movie)) {
            cells[row][column] = Some(y);
        }
    }
    let index = |id: &i64, ids: &crate::movielens::Ids| ids.index(*id).map_or(0, |i| i as usize);
    let crosstab = Crosstab {
        user_idx: users.iter().map(|id| index(id, &cf.users)).collect(),
        movie_idx: movies.iter().map(|id| index(id, &cf.items)).collect(),
        titles: movies.iter().map(|&id| title(id)).collect(),
        ratings: cells,
        users,
        movies,
    };
    nb.show(crosstab_table(&crosstab));
    nb.print(format!(
        "{} of {} cells are rated",
        rated(&crosstab.ratings).count(),
        crosstab.users.len() * crosstab.movies.len()
    ));

    // %%
    let rows: Vec<String> = crosstab.users.iter().map(|id| format!("user {id}")).collect();
    let values: Vec<Option<f32>> = crosstab.ratings.iter().flatten().copied().collect();
    let names = (("user", rows.as_slice()), ("movie", crosstab.titles.as_slice()));
    let heading = "What the busiest users gave the most rated movies";
    lecture.plot(nb, plots::crosstab_heatmap("crosstab", heading, names.0, names.1, &values)?)?;

    // %% [markdown]
    // ## Every rating is a dot product
    //
    // Give each user five numbers and each movie five numbers, at random. The prediction for a cell is the dot
    // product of its user's and its movie's numbers (the sheet's `MMULT` of a row and a column), and a blank
    // rating is left out with `IF`. At the random start the predictions are as bad as one would expect.

    // %%
    let seed = lecture.run.seed as u32;
    let (n_users, n_movies) = (crosstab.users.len(), crosstab.movies.len());
    let start = Factors::random(n_users, n_movies, 5, false, seed);
    nb.print(format!(
        "{} numbers, root mean squared error {:.4}",
        start.count(),
        start.rmse(&crosstab.ratings)
    ));

    // %% [markdown]
    // ## Now we can calculate the loss, and optimise the orange
    //
    // "Optimise the ORANGE, based on the loss, BLUE − RED": the orange cells are the factors, blue the
    // predictions, red the data. In Excel, Solver does it (an add-in that must be turned on: File, Options,
    // Add-ins). It tries to make one cell, the loss, as small as it can by changing others, step by step.
    //
    // Here L-BFGS does the same, a method that learns the curvature of the error from the gradients it meets.

    // %%
    let dotprod = solve(&crosstab.ratings, &start, 2_000)?;
    let with_bias = solve(&crosstab.ratings, &Factors::random(n_users, n_movies, 5, true, seed), 2_000)?;
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

    // %%
    lecture.plot(
        nb,
        plots::descent("excel_descent", "What Solver does: the error of sheet dotprod", &dotprod.rmse)?,
    )?;

    // %% [markdown]
    // An error of 0.4 stars looks splendid beside the 0.87 of the real models. It is not: 150 numbers were
    // fitted to 206 ratings, and nothing was held out.
    //
    // ## The workbook
    //
    // `excel/collab_filter.xlsx` holds sheet *dotprod* at its random start, ready for Solver (its target and the
    // cells to change are set), the same solved, *bias* with one more number a user and a movie, and
    // *movielens_emb*, the same thing as a neural net sees it: one row a rating, the indices looked up with
    // `MATCH`, the factors fetched with `OFFSET`. That is all an embedding is: a look-up.

    // %%
    let excel = lecture.run.out.join("excel");
    write_whole(
        &excel.join("collab_filter.xlsx"),
        &spreadsheet::collab_filter(&crosstab, &dotprod, &with_bias)?,
    )?;
    write_whole(&excel.join("crosstab.csv"), crosstab_csv(&crosstab).as_bytes())?;
    nb.print("excel/collab_filter.xlsx, excel/crosstab.csv");

    Ok(())
}

fn crosstab_table(crosstab: &Crosstab) -> Table {
    let mut columns = vec!["movie".to_owned(), "movieId".to_owned()];
    columns.extend(crosstab.users.iter().map(i64::to_string));
    let mut table = Table::new(columns);
    for (movie, (title, id)) in crosstab.titles.iter().zip(&crosstab.movies).enumerate() {
        let mut row = vec![title.clone(), id.to_string()];
        row.extend(
            crosstab.ratings.iter().map(|user| user[movie].map_or(String::new(), |y| format!("{y:.1}"))),
        );
        table.push(row);
    }
    table.caption("Movies down and users across, to fit the page")
}

fn crosstab_csv(crosstab: &Crosstab) -> String {
    let mut text = String::from("userId");
    for (id, title) in crosstab.movies.iter().zip(&crosstab.titles) {
        text += &format!(",\"{id} {}\"", title.replace('"', "\"\""));
    }
    text.push('\n');
    for (user, row) in crosstab.users.iter().zip(&crosstab.ratings) {
        text += &user.to_string();
        for rating in row {
            text += &rating.map_or(",".to_owned(), |y| format!(",{y:.1}"));
        }
        text.push('\n');
    }
    text
}
