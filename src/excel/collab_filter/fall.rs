//! The sheet "descent".

use anyhow::Result;
use rust_xlsxwriter::{Chart, ChartLegendPosition, ChartType, Format, Workbook};

use super::crosstab::Crosstab;
use super::layout::{Layout, cell, range};
use crate::excel::sheet::{Ink, formula, title_font, titled};
use crate::excel::solver::{Descent, rated};

/// How the RMSE fell from the start to the solved state, for both sheets.
pub(super) fn fall(
    book: &mut Workbook,
    crosstab: &Crosstab,
    dotprod: &Descent,
    bias: &Descent,
) -> Result<()> {
    const NAME: &str = "descent";
    const HEAD: u32 = 4;
    const SHOWN: usize = 60;
    let notes = [
        "What Solver does, done in Rust: L-BFGS, a quasi-Newton method, over all orange numbers at once. RMSE after each iteration.",
        "Look at: how soon most of the descent is done. With nearly as many numbers as ratings, a small RMSE here says nothing about ratings that were not seen.",
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
    chart.y_axis().set_name("RMSE").set_min(0).set_num_format("0.0");
    chart.legend().set_position(ChartLegendPosition::Bottom);
    chart.set_width(720).set_height(400);
    sheet.insert_chart(HEAD + 4, 4, &chart)?;
    // What the chart shows; the rest changes hardly.
    sheet.set_print_area(0, 0, HEAD + 1 + SHOWN as u32, 9)?;

    sheet.set_column_range_width(0, 2, 11)?.set_column_width(3, 3)?.set_column_range_width(4, 9, 13)?;
    sheet.set_row_height(HEAD, 32)?.set_freeze_panes(HEAD + 1, 0)?.set_repeat_rows(0, HEAD)?;
    Ok(())
}
