//! The sheets with two grids, and the settings of Excel's Solver.

use anyhow::Result;
use rust_xlsxwriter::{Format, FormatAlign, FormatBorder, Workbook};

use super::crosstab::{Crosstab, write_id};
use super::layout::{Layout, cell, fixed, range};
use crate::excel::sheet::{At, Ink, formula, legend, titled};
use crate::excel::solver::Factors;

/// A sheet with the ratings, the factors and the predictions; with the Solver preset unless `solved`.
pub(super) fn grid(
    book: &mut Workbook,
    name: &str,
    crosstab: &Crosstab,
    factors: &Factors,
    solved: bool,
) -> Result<()> {
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
        "Look at: the RMSE in the corner. Compare the factors with those on the sheet before: only the orange cells have changed. Nobody has said what a factor means."
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
    legend(sheet, 9)?;
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
