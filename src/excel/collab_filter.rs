//! `collab_filter.xlsx`: 15 users, 15 movies, and the factors that explain the ratings.

use super::{At, Ink, finished, formula, legend, title_font, titled};
use crate::excel::solver::{Descent, Factors, rated};
use crate::movielens::Id;
use anyhow::{Result, ensure};
use rust_xlsxwriter::utility::{row_col_to_cell, row_col_to_cell_absolute};
use rust_xlsxwriter::{
    Chart, ChartLegendPosition, ChartType, Format, FormatAlign, FormatBorder, Workbook, Worksheet,
};

/// The ratings of the busiest users for the most rated movies, ids ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Crosstab {
    /// user ids
    pub users: Vec<Id>,
    /// their contiguous indices
    pub user_idx: Vec<usize>,
    /// movie ids
    pub movies: Vec<Id>,
    /// their contiguous indices
    pub movie_idx: Vec<usize>,
    /// movie titles
    pub titles: Vec<String>,
    /// one row per user, one column per movie; `None`: not rated
    pub ratings: Vec<Vec<Option<f32>>>,
}

impl Crosstab {
    fn check(&self, factors: &Factors) -> Result<()> {
        let (n_users, n_movies) = (self.users.len(), self.movies.len());
        ensure!(
            n_users > 0 && n_movies > 0 && n_users <= 1000 && n_movies <= 1000,
            "the workbook is for a small table, but this one has {n_users} users and {n_movies} movies: choose the busiest few of each"
        );
        ensure!(
            self.user_idx.len() == n_users
                && self.movie_idx.len() == n_movies
                && self.titles.len() == n_movies
                && self.ratings.len() == n_users
                && self.ratings.iter().all(|row| row.len() == n_movies),
            "the crosstab is inconsistent: {n_users} users with {} indices and {} rows of ratings, {n_movies} movies with {} indices and {} titles",
            self.user_idx.len(),
            self.ratings.len(),
            self.movie_idx.len(),
            self.titles.len()
        );
        ensure!(
            factors.users.len() == n_users && factors.movies.len() == n_movies,
            "the factors are for {} users and {} movies, the crosstab has {n_users} and {n_movies}",
            factors.users.len(),
            factors.movies.len()
        );
        Ok(())
    }
}

/// The workbook's bytes. `dotprod` and `bias` are the descents from the random start to the solved state,
/// without and with biases (see [`crate::excel::solver::solve`]).
///
/// Sheets: "dotprod" and "bias" at their random start, ready for Solver (target and changing cells are
/// preset); "dotprod solved" and "bias solved", the same after the descent; "movielens_emb", the start as a
/// neural net sees it; "descent", how the RMSE fell.
///
/// # Errors
/// When the crosstab or the factors are inconsistent, or the file cannot be built.
pub fn collab_filter(crosstab: &Crosstab, dotprod: &Descent, bias: &Descent) -> Result<Vec<u8>> {
    ensure!(
        !dotprod.start.has_bias() && bias.start.has_bias(),
        "the first descent must be without biases and the second with them"
    );
    for descent in [dotprod, bias] {
        crosstab.check(&descent.start)?;
    }
    let crosstab = &Crosstab {
        users: names_for_match(&crosstab.users, &crosstab.user_idx),
        movies: names_for_match(&crosstab.movies, &crosstab.movie_idx),
        ..crosstab.clone()
    };
    let mut book = Workbook::new();
    grid(&mut book, "dotprod", crosstab, &dotprod.start, false)?;
    grid(&mut book, "dotprod solved", crosstab, &dotprod.solution, true)?;
    grid(&mut book, "bias", crosstab, &bias.start, false)?;
    grid(&mut book, "bias solved", crosstab, &bias.solution, true)?;
    embedding(&mut book, crosstab, &dotprod.start)?;
    fall(&mut book, crosstab, dotprod, bias)?;
    finished(book, "Collaborative filtering in a spreadsheet")
}

/// Ids that Excel's `MATCH` finds: it compares numbers to 53 bits, and text without regard to case, with wildcards, up
/// to 255 characters. An id that it would confuse with another is replaced by its index.
fn names_for_match(ids: &[Id], idx: &[usize]) -> Vec<Id> {
    let folded = |id: &Id| id.to_string().to_lowercase();
    let plain = |id: &Id| match id {
        Id::Whole(id) => id.unsigned_abs() < 1 << 53,
        Id::Text(text) => {
            text.chars().count() <= 100
                && !text.contains(|c: char| "*?~".contains(c) || c.is_control())
                && ids.iter().filter(|other| folded(other) == folded(id)).count() == 1
        }
    };
    let named =
        |(id, index): (&Id, &usize)| if plain(id) { id.clone() } else { Id::Text(format!("no. {index}")) };
    ids.iter().zip(idx).map(named).collect()
}

fn write_id(sheet: &mut Worksheet, (row, col): At, id: &Id, format: &Format) -> Result<()> {
    match id {
        Id::Whole(id) => sheet.write_with_format(row, col, *id, format)?,
        Id::Text(id) => sheet.write_with_format(row, col, id, format)?,
    };
    Ok(())
}

/// The layout of a sheet with two grids, zero-based. The ratings are on top, the predictions below; the users' factors
/// are left of the predictions, the movies' above them.
struct Layout {
    n_users: u32,
    n_movies: u16,
    n_factors: u16,
    bias: bool,
}

impl Layout {
    const TITLES: u32 = 4;
    const MOVIE_IDS: u32 = 5;
    const MOVIE_INDICES: u32 = 6;
    const RATINGS: u32 = 7;
    /// The users' factors start here; user ids are in the column before.
    const USER_FACTORS: u16 = 1;

    fn new(factors: &Factors) -> Layout {
        Layout {
            n_users: factors.users.len() as u32,
            n_movies: factors.movies.len() as u16,
            n_factors: factors.movies.first().map_or(0, |row| row.len() as u16),
            bias: factors.has_bias(),
        }
    }

    /// How many numbers a user or a movie has: its factors, and its bias if there is one.
    fn numbers(&self) -> u16 {
        self.n_factors + u16::from(self.bias)
    }

    /// The column of the users' contiguous indices.
    fn user_indices(&self) -> u16 {
        Self::USER_FACTORS + self.numbers()
    }

    /// The first column of both grids.
    fn grid(&self) -> u16 {
        self.user_indices() + 1
    }

    /// The first row of the movies' factors.
    fn movie_factors(&self) -> u32 {
        Self::RATINGS + self.n_users + 2
    }

    /// The row that repeats the movies' indices.
    fn indices_again(&self) -> u32 {
        self.movie_factors() + u32::from(self.numbers())
    }

    /// The first row of the predictions.
    fn predictions(&self) -> u32 {
        self.indices_again() + 1
    }

    /// The RMSE's cell, in the corner between the users' and the movies' factors.
    fn corner(&self) -> At {
        (self.movie_factors() + 2, Self::USER_FACTORS + 1)
    }

    fn rating(&self, user: u32, movie: u16) -> At {
        (Self::RATINGS + user, self.grid() + movie)
    }

    fn prediction(&self, user: u32, movie: u16) -> At {
        (self.predictions() + user, self.grid() + movie)
    }

    fn user_number(&self, user: u32, k: u16) -> At {
        (self.predictions() + user, Self::USER_FACTORS + k)
    }

    fn movie_number(&self, movie: u16, k: u16) -> At {
        (self.movie_factors() + u32::from(k), self.grid() + movie)
    }

    /// The cells that are optimized: the users' numbers and the movies'.
    fn orange(&self) -> [(At, At); 2] {
        let (user, movie, k) = (self.n_users - 1, self.n_movies - 1, self.numbers() - 1);
        [
            (self.user_number(0, 0), self.user_number(user, k)),
            (self.movie_number(0, 0), self.movie_number(movie, k)),
        ]
    }
}

fn cell(at: At) -> String {
    row_col_to_cell(at.0, at.1)
}

fn fixed(at: At) -> String {
    row_col_to_cell_absolute(at.0, at.1)
}

fn range((from, to): (At, At)) -> String {
    format!("{}:{}", cell(from), cell(to))
}

/// Number `k` of a user or movie: a factor or, after the last, the bias.
fn number(factors: &[f64], bias: &[f64], of: usize, k: usize) -> f64 {
    factors.get(k).copied().unwrap_or_else(|| bias[of])
}

/// A title that fits a column head: the alias in parentheses is left out, the year stays.
fn short(title: &str) -> String {
    match (title.find(" ("), title.rfind(" (")) {
        (Some(first), Some(last)) if first < last => format!("{}{}", &title[..first], &title[last..]),
        _ => title.to_string(),
    }
}

/// A sheet with the ratings, the factors and the predictions; with the Solver preset unless `solved`.
fn grid(book: &mut Workbook, name: &str, crosstab: &Crosstab, factors: &Factors, solved: bool) -> Result<()> {
    let l = Layout::new(factors);
    let title = match (l.bias, solved) {
        (false, false) => "Dot product: random start",
        (false, true) => "Dot product: solved",
        (true, false) => "Dot product and bias: random start",
        (true, true) => "Dot product and bias: solved",
    };
    let rule = if l.bias {
        "Each prediction is the dot product of the user's five factors (left) and the movie's five (above), plus the user's bias and the movie's. Cells without a rating are 0 and do not count."
    } else {
        "Each prediction is the dot product of the user's five factors (left) and the movie's five (above). Cells without a rating are 0 and do not count."
    };
    let hint = if solved {
        "Look at: the RMSE in the corner, and at the same factors on the sheet before: only the orange cells have changed. Nobody has said what a factor means."
    } else {
        "Optimize the ORANGE, based on the loss, BLUE - RED: in Excel, Data > Solver is already set to minimize the RMSE in the corner by changing the orange cells. Press Solve."
    };
    let sheet = titled(book, name, title, [rule, hint])?;

    let bold = Format::new().set_bold();
    let center = bold.clone().set_align(FormatAlign::Center);
    let gray = Format::new().set_font_color(0x777777).set_align(FormatAlign::Center);
    let gray_right = Format::new().set_font_color(0x777777).set_align(FormatAlign::Right);
    let upright = Format::new()
        .set_rotation(90)
        .set_text_wrap()
        .set_font_size(8)
        .set_align(FormatAlign::Center)
        .set_align(FormatAlign::Bottom);
    let head = Ink::Plain.head();

    // Heads: title, id and contiguous index of each movie; id and index of each user, for both grids.
    legend(sheet, 3, 0)?;
    sheet.write_with_format(Layout::MOVIE_IDS, l.user_indices(), "movieId", &gray_right)?;
    sheet.write_with_format(Layout::MOVIE_INDICES, 0, "userId", &gray)?;
    sheet.write_with_format(Layout::MOVIE_INDICES, l.user_indices(), "index", &head)?;
    sheet.write_with_format(l.indices_again(), 0, "userId", &gray)?;
    sheet.write_with_format(l.indices_again(), l.user_indices(), "index", &head)?;
    sheet.write_with_format(
        Layout::TITLES,
        Layout::USER_FACTORS,
        "Ratings",
        &bold.clone().set_font_size(12),
    )?;
    for (m, col) in (l.grid()..).take(crosstab.movies.len()).enumerate() {
        sheet.write_with_format(Layout::TITLES, col, short(&crosstab.titles[m]), &upright)?;
        write_id(sheet, (Layout::MOVIE_IDS, col), &crosstab.movies[m], &gray)?;
        for row in [Layout::MOVIE_INDICES, l.indices_again()] {
            sheet.write_with_format(row, col, crosstab.movie_idx[m] as u32, &head)?;
        }
    }
    for u in 0..l.n_users {
        for row in [Layout::RATINGS + u, l.predictions() + u] {
            write_id(sheet, (row, 0), &crosstab.users[u as usize], &gray)?;
            sheet.write_with_format(row, l.user_indices(), crosstab.user_idx[u as usize] as u32, &center)?;
        }
    }

    // The two grids.
    for u in 0..l.n_users {
        let user_row = range((l.user_number(u, 0), l.user_number(u, l.n_factors - 1)));
        for m in 0..l.n_movies {
            let (at, red) = (l.rating(u, m), Ink::Data.format("0.0").set_align(FormatAlign::Center));
            match crosstab.ratings[u as usize][m as usize] {
                Some(rating) => sheet.write_with_format(at.0, at.1, rating, &red)?,
                None => sheet.write_blank(at.0, at.1, &red)?,
            };
            let movie_column = range((l.movie_number(m, 0), l.movie_number(m, l.n_factors - 1)));
            let bias = if l.bias {
                format!("+{}+{}", cell(l.user_number(u, l.n_factors)), cell(l.movie_number(m, l.n_factors)))
            } else {
                String::new()
            };
            let text = format!("=IF({}=\"\",0,MMULT({user_row},{movie_column}){bias})", cell(at));
            let rated = crosstab.ratings[u as usize][m as usize].is_some();
            let result = if rated { factors.predict(u as usize, m as usize) } else { 0.0 };
            // A prediction of 0 stands for "not rated": the cell looks empty.
            let blue = Ink::Prediction.format("0.00;-0.00;").set_align(FormatAlign::Center);
            formula(sheet, l.prediction(u, m), &text, result, &blue)?;
        }
    }

    // What is optimized.
    let orange = Ink::Weight.format("0.00").set_align(FormatAlign::Center);
    let name_of = |k: u16| if k == l.n_factors { "bias".to_string() } else { format!("factor {}", k + 1) };
    for k in 0..l.numbers() {
        let (row, col) = (l.movie_factors() + u32::from(k), Layout::USER_FACTORS + k);
        sheet.write_with_format(row, l.user_indices(), name_of(k), &gray_right)?;
        sheet.write_with_format(l.indices_again(), col, name_of(k), &gray)?;
        for u in 0..l.n_users {
            let value = number(&factors.users[u as usize], &factors.user_bias, u as usize, k as usize);
            let at = l.user_number(u, k);
            sheet.write_with_format(at.0, at.1, value, &orange)?;
        }
        for m in 0..l.n_movies {
            let value = number(&factors.movies[m as usize], &factors.movie_bias, m as usize, k as usize);
            let at = l.movie_number(m, k);
            sheet.write_with_format(at.0, at.1, value, &orange)?;
        }
    }

    // The corner.
    let (user, movie) = (l.n_users - 1, l.n_movies - 1);
    let ratings = range((l.rating(0, 0), l.rating(user, movie)));
    let predictions = range((l.prediction(0, 0), l.prediction(user, movie)));
    let corner = l.corner();
    sheet.write_with_format(
        corner.0 - 2,
        Layout::USER_FACTORS,
        "Predictions",
        &bold.clone().set_font_size(12),
    )?;
    sheet.write_with_format(corner.0, corner.1 - 1, "RMSE", &center)?;
    formula(
        sheet,
        corner,
        &format!("=SQRT(SUMXMY2({ratings},{predictions})/COUNT({ratings}))"),
        factors.rmse(&crosstab.ratings),
        &Format::new().set_bold().set_num_format("0.0000").set_border(FormatBorder::Medium),
    )?;

    sheet.set_column_width(0, 8)?.set_column_range_width(1, l.user_indices(), 8.5)?;
    sheet.set_column_range_width(l.grid(), l.grid() + l.n_movies - 1, 7)?;
    sheet.set_row_height(Layout::TITLES, 112)?.set_freeze_panes(Layout::RATINGS, l.grid())?;
    if !solved {
        preset_solver(book, name, &l)?;
    }
    Ok(())
}

/// Presets Excel's Solver, which keeps its settings in names of the sheet: minimize the corner by changing
/// the orange cells, which may be negative, without constraints, by its default method (GRG nonlinear).
fn preset_solver(book: &mut Workbook, sheet: &str, l: &Layout) -> Result<()> {
    let absolute = |(from, to): (At, At)| format!("{sheet}!{}:{}", fixed(from), fixed(to));
    let names = [
        ("opt", format!("{sheet}!{}", fixed(l.corner()))),
        ("adj", l.orange().map(absolute).join(",")),
        ("typ", "2".into()),        // 1 maximize, 2 minimize, 3 reach a value
        ("val", "0".into()),        // that value
        ("num", "0".into()),        // constraints
        ("neg", "2".into()),        // 1: keep changing cells at 0 or above; 2: do not
        ("eng", "1".into()),        // 1 GRG nonlinear, 2 simplex, 3 evolutionary
        ("ver", "3".into()),        // of these settings
        ("cvg", "0.00001".into()),  // stop when five iterations improve less than this, relatively
        ("pre", "0.000001".into()), // precision of constraints
        ("drv", "2".into()),        // derivatives: 1 forward, 2 central differences
        ("scl", "1".into()),        // scale automatically
        ("itr", "10000".into()),    // iterations at most
        ("tim", "600".into()),      // seconds at most
    ];
    for (name, value) in names {
        book.define_name(format!("{sheet}!solver_{name}"), &format!("={value}"))?;
    }
    Ok(())
}

/// The start of "dotprod" as a neural net sees it: one row per rating, with its two indices, the two embeddings looked
/// up, their product and the squared error.
fn embedding(book: &mut Workbook, crosstab: &Crosstab, factors: &Factors) -> Result<()> {
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

    legend(sheet, 3, 0)?;
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

/// How the RMSE fell from the start to the solved state, for both sheets.
fn fall(book: &mut Workbook, crosstab: &Crosstab, dotprod: &Descent, bias: &Descent) -> Result<()> {
    const NAME: &str = "descent";
    const HEAD: u32 = 4;
    const SHOWN: usize = 60;
    let notes = [
        "What Solver does, done in Rust: L-BFGS, a quasi-Newton method, over all orange numbers at once. RMSE after each iteration.",
        "Look at: how soon most of the way is done, and what is left. With nearly as many numbers as ratings, a small RMSE here says nothing yet about ratings not seen.",
    ];
    let sheet = titled(book, NAME, "From the random start to the solved state", notes)?;
    for (col, text) in (0..).zip(["iteration", "dotprod", "bias"]) {
        sheet.write_with_format(HEAD, col, text, &Ink::Plain.head())?;
    }
    for (col, descent) in (1..).zip([dotprod, bias]) {
        for (row, rmse) in (HEAD + 1..).zip(&descent.rmse) {
            sheet.write(row, 0, row - HEAD - 1)?;
            sheet.write_with_format(row, col, *rmse, &Ink::Plain.format("0.000000"))?;
        }
    }

    // A summary that reads the other sheets.
    for (col, text) in (4..).zip(["", "RMSE at the start", "RMSE solved", "numbers", "ratings", "iterations"])
    {
        sheet.write_with_format(HEAD, col, text, &Ink::Plain.head())?;
    }
    for (row, (name, descent)) in (HEAD + 1..).zip([("dotprod", dotprod), ("bias", bias)]) {
        let l = Layout::new(&descent.start);
        let ratings = range((l.rating(0, 0), l.rating(l.n_users - 1, l.n_movies - 1)));
        let [users, movies] = l.orange().map(range);
        let corner = cell(l.corner());
        sheet.write_with_format(row, 4, name, &Format::new().set_bold())?;
        let (start, end) = (descent.start.rmse(&crosstab.ratings), descent.solution.rmse(&crosstab.ratings));
        let (count, plain) = (rated(&crosstab.ratings).count() as f64, Ink::Plain.format("0"));
        formula(sheet, (row, 5), &format!("='{name}'!{corner}"), start, &Ink::Plain.format("0.0000"))?;
        formula(sheet, (row, 6), &format!("='{name} solved'!{corner}"), end, &Ink::Plain.format("0.0000"))?;
        let text = format!("=COUNT({name}!{users},{name}!{movies})");
        formula(sheet, (row, 7), &text, descent.start.count() as f64, &plain)?;
        formula(sheet, (row, 8), &format!("=COUNT({name}!{ratings})"), count, &plain)?;
        sheet.write_with_format(row, 9, descent.rmse.len() as u32 - 1, &plain)?;
    }

    let mut chart = Chart::new(ChartType::ScatterStraight);
    for (col, (name, descent)) in (1..).zip([("dotprod", dotprod), ("bias", bias)]) {
        let last = HEAD + descent.rmse.len().min(SHOWN + 1) as u32;
        let series = chart.add_series().set_name(name);
        series.set_categories((NAME, HEAD + 1, 0, last, 0)).set_values((NAME, HEAD + 1, col, last, col));
    }
    chart.title().set_name(&format!("RMSE, the first {SHOWN} iterations")).set_font(&title_font());
    chart.x_axis().set_name("iteration").set_min(0).set_max(SHOWN as u32);
    chart.y_axis().set_min(0).set_num_format("0.0");
    chart.legend().set_position(ChartLegendPosition::Bottom);
    chart.set_width(720).set_height(400);
    sheet.insert_chart(HEAD + 4, 4, &chart)?;

    sheet.set_column_range_width(0, 2, 11)?.set_column_width(3, 3)?.set_column_range_width(4, 9, 13)?;
    sheet.set_row_height(HEAD, 32)?.set_freeze_panes(HEAD + 1, 0)?.set_repeat_rows(0, HEAD)?;
    Ok(())
}
