//! The sheets "summary" and "data".

use anyhow::Result;
use rust_xlsxwriter::{
    Chart, ChartFormat, ChartLegendPosition, ChartSolidFill, ChartType, Format, FormatAlign, Workbook,
};

use super::layout::{BLOCK, FIRST_POINT, HEAD, LEARN, Layout, letter};
use crate::excel::descent::{self, EPOCHS, Trace};
use crate::excel::sheet::{Ink, dots, formula, legend, title_font, titled};

/// The points: x and y for all other sheets.
pub(super) fn data(book: &mut Workbook) -> Result<()> {
    let notes = [
        "29 points of the line y = b + a · x. Can the slope and the intercept be learned from them?",
        "Change b or a here, or any x, and every sheet follows.",
    ];
    let sheet = titled(book, "data", "The data: y = 30 + 2x", notes)?;
    let right = Format::new().set_bold().set_align(FormatAlign::Right);
    sheet.write_with_format(3, 0, "b", &right)?.write_with_format(3, 2, "a", &right)?;
    sheet.write_with_format(3, 1, descent::TRUTH.b, &Ink::Setting.format("General"))?;
    sheet.write_with_format(3, 3, descent::TRUTH.a, &Ink::Setting.format("General"))?;
    sheet.write_with_format(HEAD, 0, "x", &Ink::Data.head())?.write_with_format(
        HEAD,
        1,
        "y",
        &Ink::Data.head(),
    )?;
    for (row, (x, y)) in (FIRST_POINT - 1..).zip(descent::points()) {
        sheet.write_with_format(row, 0, x, &Ink::Data.format("0"))?;
        formula(sheet, (row, 1), &format!("=$B$4+$D$4*A{}", row + 1), y, &Ink::Data.format("0"))?;
    }
    sheet.set_freeze_panes(HEAD + 1, 0)?;
    let (from, to) = (FIRST_POINT - 1, FIRST_POINT + descent::X.len() as u32 - 2);
    let mut chart = Chart::new(ChartType::Scatter);
    let series = chart.add_series().set_name("y");
    series.set_categories(("data", from, 0, to, 0)).set_values(("data", from, 1, to, 1));
    let mut red = dots();
    red.set_format(ChartFormat::new().set_solid_fill(ChartSolidFill::new().set_color(0xB00020)));
    series.set_marker(&red);
    chart.title().set_name("29 points").set_font(&title_font());
    chart.x_axis().set_name("x").set_min(0).set_max(100);
    chart.y_axis().set_name("y").set_min(0);
    chart.legend().set_hidden();
    chart.set_width(520).set_height(340);
    sheet.insert_chart(HEAD, 4, &chart)?;
    Ok(())
}

/// RMSE by epoch of all optimizers side by side, and where b and a are after the fifth.
pub(super) fn summary(book: &mut Workbook, traces: &[Trace]) -> Result<()> {
    let notes = [
        "Each optimizer starts at b = a = 1 and goes through the 29 points of y = 30 + 2x five times, one step per point. RMSE is √(mean err²) of an epoch, each error taken before its step.",
        "Look at: b and a after five epochs, not just the RMSE. RMSprop and SGD look best, although their b is still at 3 and 1. Adam's b has gone two thirds of the way, but its a jumps.",
    ];
    let sheet = titled(book, "summary", "Gradient descent on two numbers", notes)?;
    legend(sheet, 5)?;
    let heads = ["optimizer", "learn", "RMSE 1", "RMSE 2", "RMSE 3", "RMSE 4", "RMSE 5", "b", "a"];
    for (col, head) in (0..).zip(heads) {
        let ink = if col >= 7 { Ink::Weight } else { Ink::Plain };
        sheet.write_with_format(HEAD, col, head, &ink.head())?;
    }
    for (row, trace) in (HEAD + 1..).zip(traces) {
        let name = trace.optimizer.name();
        sheet.write_url_with_text(row, 0, format!("internal:'{name}'!A1").as_str(), name)?;
        let lr = trace.settings.lr;
        formula(sheet, (row, 1), &format!("='{name}'!{LEARN}"), lr, &Ink::Plain.format("General"))?;
        let layout = Layout::new(trace.optimizer);
        let mut quote = |col: u16, head: &str, epoch: usize, value: f64, format: &Format| {
            let e = HEAD + 3 + (trace.warm_ups.len() + epoch) as u32; // in the sheet's own numbering
            let text = format!("='{name}'!{}{e}", letter(layout.figure_column(head)));
            formula(sheet, (row, col), &text, value, format)
        };
        for (nth, epoch) in trace.epochs.iter().take(EPOCHS).enumerate() {
            quote(2 + nth as u16, "RMSE", nth, epoch.rmse, &Ink::Plain.format("0.000"))?;
        }
        let end = trace.epochs[EPOCHS - 1].rows[BLOCK as usize - 2].new;
        quote(7, "b at the end", EPOCHS - 1, end.b, &Ink::Weight.format("0.0000"))?;
        quote(8, "a at the end", EPOCHS - 1, end.a, &Ink::Weight.format("0.0000"))?;
    }
    let truth = HEAD + 1 + traces.len() as u32;
    sheet.write_with_format(truth, 0, "true line", &Ink::Data.format("General"))?;
    for col in 1..7 {
        sheet.write_blank(truth, col, &Ink::Data.format("General"))?;
    }
    formula(sheet, (truth, 7), "=data!$B$4", descent::TRUTH.b, &Ink::Data.format("0.0000"))?;
    formula(sheet, (truth, 8), "=data!$D$4", descent::TRUTH.a, &Ink::Data.format("0.0000"))?;
    sheet.set_column_width(0, 14)?.set_column_range_width(1, 8, 10)?.set_freeze_panes(HEAD + 1, 1)?;

    let mut chart = Chart::new(ChartType::Line);
    for (row, trace) in (HEAD + 1..).zip(traces) {
        let series = chart.add_series().set_name(trace.optimizer.name());
        series.set_categories(("summary", HEAD, 2, HEAD, 6)).set_values(("summary", row, 2, row, 6));
        series.set_marker(&dots());
    }
    chart.title().set_name("RMSE by epoch").set_font(&title_font());
    chart.x_axis().set_name("epoch");
    chart.y_axis().set_name("RMSE").set_num_format("0").set_min(0);
    chart.legend().set_position(ChartLegendPosition::Right);
    chart.set_width(760).set_height(400);
    sheet.insert_chart(truth + 2, 0, &chart)?;
    Ok(())
}
