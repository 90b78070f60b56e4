//! The sheet "movielens_emb".

use anyhow::Result;
use rust_xlsxwriter::{Format, FormatAlign, FormatBorder, Workbook};

use super::crosstab::{Crosstab, write_id};
use super::layout::{Layout, cell, fixed, range};
use crate::excel::sheet::{Ink, formula, legend, titled};
use crate::excel::solver::{Factors, rated};

/// The start of "dotprod" as a neural net sees it: one row per rating, with its two indices, the two embeddings looked
/// up, their product and the squared error.
pub(super) fn embedding(book: &mut Workbook, crosstab: &Crosstab, factors: &Factors) -> Result<()> {
    const NAME: &str = "movielens_emb";
    const HEAD: u32 = 5;
    const FIRST: u32 = HEAD + 1;
    let notes = [
        "The sheet dotprod once more, as a neural net sees it: an embedding is a table, and an index says which row of it to take. One row per rating.",
        "Look at: the indices (MATCH finds the id's place in the table, counted from 0) and the factors (OFFSET goes that many rows down it). The RMSE is that of dotprod.",
    ];
    let sheet = titled(book, NAME, "Embeddings: the dot product, row by row", notes)?;
    let l = Layout::new(factors);
    let k_all = l.n_factors;
    // Columns: ids and rating, indices, the two embeddings, prediction, squared error; then the two tables.
    let (user_emb, movie_emb) = (5, 5 + k_all);
    let (pred, err2) = (5 + 2 * k_all, 6 + 2 * k_all);
    let (user_table, movie_table) = (err2 + 2, err2 + 5 + k_all);
    let n = rated(&crosstab.ratings).count() as u32;

    legend(sheet, 9)?;
    let center = Format::new().set_bold().set_align(FormatAlign::Center);
    let mut head = |col: u16, text: &str, ink: Ink| -> Result<()> {
        sheet.write_with_format(HEAD, col, text, &ink.head())?;
        Ok(())
    };
    for (col, text) in (0..).zip(["userId", "movieId"]) {
        head(col, text, Ink::Plain)?;
    }
    head(2, "rating", Ink::Data)?;
    head(3, "user index", Ink::Plain)?;
    head(4, "movie index", Ink::Plain)?;
    for k in 0..k_all {
        for first in [user_emb, movie_emb, user_table + 2, movie_table + 2] {
            head(first + k, &k.to_string(), Ink::Weight)?;
        }
    }
    head(pred, "prediction", Ink::Prediction)?;
    head(err2, "squared error", Ink::Plain)?;
    for (first, id) in [(user_table, "userId"), (movie_table, "movieId")] {
        head(first, "index", Ink::Plain)?;
        head(first + 1, id, Ink::Plain)?;
    }
    for (from, to, text) in [
        (user_emb, user_emb + k_all - 1, "the user's embedding"),
        (movie_emb, movie_emb + k_all - 1, "the movie's embedding"),
        (user_table, user_table + 1 + k_all, "table of users (from dotprod)"),
        (movie_table, movie_table + 1 + k_all, "table of movies (from dotprod)"),
    ] {
        sheet.merge_range(HEAD - 1, from, HEAD - 1, to, text, &center)?;
    }

    // The tables, live from "dotprod".
    let (plain, orange) = (Ink::Plain.format("0").set_align(FormatAlign::Center), Ink::Weight.format("0.00"));
    for (u, id) in (0..).zip(&crosstab.users) {
        sheet.write_with_format(FIRST + u, user_table, u, &plain)?;
        write_id(sheet, (FIRST + u, user_table + 1), id, &plain)?;
        for k in 0..k_all {
            let text = format!("=dotprod!{}", cell(l.user_number(u, k)));
            let value = factors.users[u as usize][k as usize];
            formula(sheet, (FIRST + u, user_table + 2 + k), &text, value, &orange)?;
        }
    }
    for (m, id) in (0u16..).zip(&crosstab.movies) {
        let row = FIRST + u32::from(m);
        sheet.write_with_format(row, movie_table, m, &plain)?;
        write_id(sheet, (row, movie_table + 1), id, &plain)?;
        for k in 0..k_all {
            let text = format!("=dotprod!{}", cell(l.movie_number(m, k)));
            let value = factors.movies[m as usize][k as usize];
            formula(sheet, (row, movie_table + 2 + k), &text, value, &orange)?;
        }
    }

    // The rows.
    let ids = |table: u16, rows: u32| {
        format!("{}:{}", fixed((FIRST, table + 1)), fixed((FIRST + rows - 1, table + 1)))
    };
    let (user_ids, movie_ids) = (ids(user_table, l.n_users), ids(movie_table, u32::from(l.n_movies)));
    for (row, (u, m, y)) in (FIRST..).zip(rated(&crosstab.ratings)) {
        write_id(sheet, (row, 0), &crosstab.users[u], &plain)?;
        write_id(sheet, (row, 1), &crosstab.movies[m], &plain)?;
        sheet.write_with_format(row, 2, y, &Ink::Data.format("0.0"))?;
        let index = |id: u16, ids: &str| format!("=MATCH({},{ids},0)-1", cell((row, id)));
        formula(sheet, (row, 3), &index(0, &user_ids), u as f64, &plain)?;
        formula(sheet, (row, 4), &index(1, &movie_ids), m as f64, &plain)?;
        for k in 0..k_all {
            let fetch = |table: u16, index: u16| {
                format!("=OFFSET({},{},0)", fixed((FIRST, table + 2 + k)), cell((row, index)))
            };
            let (user, movie) = (factors.users[u][k as usize], factors.movies[m][k as usize]);
            formula(sheet, (row, user_emb + k), &fetch(user_table, 3), user, &orange)?;
            formula(sheet, (row, movie_emb + k), &fetch(movie_table, 4), movie, &orange)?;
        }
        let product = format!(
            "=SUMPRODUCT({},{})",
            range(((row, user_emb), (row, user_emb + k_all - 1))),
            range(((row, movie_emb), (row, movie_emb + k_all - 1)))
        );
        let (prediction, blue) = (factors.predict(u, m), Ink::Prediction.format("0.00"));
        formula(sheet, (row, pred), &product, prediction, &blue)?;
        let text = format!("=({}-{})^2", cell((row, 2)), cell((row, pred)));
        formula(sheet, (row, err2), &text, (y - prediction).powi(2), &Ink::Plain.format("0.00"))?;
    }

    let rmse = factors.rmse(&crosstab.ratings);
    let framed = Format::new().set_bold().set_num_format("0.0000").set_border(FormatBorder::Medium);
    sheet.write_with_format(3, pred, "RMSE", &Format::new().set_bold().set_align(FormatAlign::Right))?;
    let text = format!("=SQRT(AVERAGE({}))", range(((FIRST, err2), (FIRST + n - 1, err2))));
    formula(sheet, (3, err2), &text, rmse, &framed)?;
    sheet.write_with_format(3, user_table, "on dotprod", &Format::new().set_align(FormatAlign::Right))?;
    formula(
        sheet,
        (3, user_table + 1),
        &format!("=dotprod!{}", cell(l.corner())),
        rmse,
        &Ink::Plain.format("0.0000"),
    )?;

    sheet.set_column_range_width(0, 4, 8)?.set_column_range_width(user_emb, pred - 1, 6.5)?;
    sheet.set_column_range_width(pred, err2, 11)?.set_column_width(err2 + 1, 3)?;
    sheet
        .set_column_range_width(user_table, movie_table + 1 + k_all, 8)?
        .set_column_width(movie_table - 1, 3)?;
    sheet.set_row_height(HEAD, 32)?.set_freeze_panes(HEAD + 1, 0)?.set_repeat_rows(0, HEAD)?;
    Ok(())
}
