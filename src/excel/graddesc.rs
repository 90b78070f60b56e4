//! `graddesc.xlsx`: gradient descent on two numbers, one sheet per optimizer.
//!
//! The lecture's workbook has one epoch on a sheet and macros that copy the last row to the top ("reset", "run"). Here
//! the epochs are one below the other instead, and a gray row between them is that copy.

mod charts;
mod layout;
mod overview;

use anyhow::Result;
use rust_xlsxwriter::{Format, FormatAlign, Workbook, Worksheet};

use super::sheet::{At, Ink, finished, formula, legend, titled};
use crate::excel::descent::{self, EPOCHS, Optimizer, Row, Trace};
use charts::charts;
use layout::{BLOCK, HEAD, Layout, at_reset, letter, style};
use overview::{data, summary};

/// How many epochs a sheet shows: one press of "run", and eight on "adam_ann", whose rate is halved from the
/// tenth epoch on.
pub fn epochs_shown(optimizer: Optimizer) -> usize {
    if optimizer == Optimizer::AdamAnn { 8 * EPOCHS } else { EPOCHS }
}

/// The workbook's bytes: "summary", "data" and the eight optimizers.
///
/// # Errors
/// When a result is not finite (all are, with the sheets' settings) or the file cannot be built.
pub fn graddesc() -> Result<Vec<u8>> {
    let traces = Optimizer::ALL.map(|optimizer| {
        descent::run(optimizer, optimizer.settings(), &descent::points(), epochs_shown(optimizer))
    });
    let mut book = Workbook::new();
    summary(&mut book, &traces)?;
    data(&mut book)?;
    for trace in &traces {
        sheet(&mut book, trace)?;
    }
    finished(book, "Gradient descent on two numbers")
}

/// The lines above a sheet: its rule, and what to look at.
fn notes(optimizer: Optimizer) -> [&'static str; 2] {
    match optimizer {
        Optimizer::Sgd => [
            "new = old - learn · gradient. The gradient twice: estimated by finite differences (moving b, then a, by 0.01), and exactly by the chain rule.",
            "Look at: est. de/db next to de/db. And de/da: it jumps between plus and minus, and the slope runs ahead while the intercept hardly moves.",
        ],
        Optimizer::Momentum => [
            "new = old - learn · average gradient of the row before; the average is β · average + (1 - β) · gradient.",
            "Look at: the chart. The gradient bounces; its average is calmer and turns less often.",
        ],
        Optimizer::Adagrad => [
            "new = old - rate · gradient, with a rate for b and one for a: learn / root mean square gradient of the epoch before.",
            "Look at: the two rates. The intercept, whose gradients are small, gets a rate about seventy times as large.",
        ],
        Optimizer::RmsProp => [
            "new = old - learn · gradient / √(average squared gradient of the row before).",
            "Look at: avg (de/da)². Large gradients slow the steps down, small ones speed them up, row by row.",
        ],
        Optimizer::Adam => [
            "new = old - learn · J / √L, both of the row above: J is the average gradient (momentum), L the average squared gradient (rmsprop).",
            "Look at: b, which reaches 20 in five epochs, while SGD is at 1.3; and a, which keeps jumping. At a rate of 1, Adam is fast but does not settle.",
        ],
        Optimizer::Eve => [
            "Like adam, with the rate learn / d, where d becomes 0.9 · d + 0.1 · r, and r says how much f has changed from one epoch to the next.",
            "Look at: d and the rate. When f hardly changes, d falls and the rate rises. That helps b, and makes a jump further.",
        ],
        Optimizer::AdagradAnn => [
            "Like adagrad, with learn = 0.5 at reset, halved when the sum of squares of the epoch's mean gradients has more than doubled since the epoch before.",
            "Look at: RMSE. It falls quickly, but a calm epoch sets rates that are too high for the next. The sum of squares more than doubles in epoch 5, so the sixth would start from half the rate.",
        ],
        Optimizer::AdamAnn => [
            "Like adam, with learn halved when the sum of squares of the epoch's mean gradients has more than doubled since the epoch before. Eight runs of five epochs.",
            "Look at: learn and RMSE. Up to epoch 9, a jumps as it does on the sheet adam. Then the rate is halved again and again, and b and a settle at 30 and 2.",
        ],
    }
}

/// One optimizer's sheet.
fn sheet(book: &mut Workbook, trace: &Trace) -> Result<()> {
    let optimizer = trace.optimizer;
    let sheet = titled(book, optimizer.name(), optimizer.name(), notes(optimizer))?;
    let layout = Layout::new(optimizer);
    heads(sheet, &layout, trace)?;

    let all = trace.warm_ups.iter().chain(&trace.epochs);
    let mut before: Option<&Row> = None;
    for (nth, epoch) in all.enumerate() {
        let warm_up = nth < trace.warm_ups.len();
        let name = if warm_up {
            format!("warm-up {}", nth + 1)
        } else {
            format!("{}", nth + 1 - trace.warm_ups.len())
        };

        // The gray row: what the first step finds above it. In the sheet's own numbering, it is row `top`.
        let top = HEAD + 2 + nth as u32 * BLOCK;
        let from_start = nth <= trace.warm_ups.len();
        let label = match before {
            None => "reset",
            Some(_) if from_start && optimizer.is_adagrad() => "again from 1",
            Some(_) if from_start => "keep averages",
            Some(_) => "run",
        };
        for (col, head) in (0..).zip(&layout.steps) {
            let gray = Ink::Carried.format(style(head).1);
            match (at_reset(head), before) {
                (Some(_), Some(row)) if !from_start || head.starts_with("avg") => {
                    let carried = layout.step(head, top, 0, row).1;
                    formula(sheet, (top - 1, col), &format!("={}{}", letter(col), top - 1), carried, &gray)?;
                }
                (Some(value), _) => {
                    sheet.write_with_format(top - 1, col, value, &gray)?;
                }
                (None, _) if col == 0 => {
                    sheet.write_with_format(top - 1, col, label, &gray)?;
                }
                (None, _) => {
                    sheet.write_blank(top - 1, col, &gray)?;
                }
            }
        }

        // The steps, and the epoch's row in the other table.
        let e = HEAD + 3 + nth as u32;
        for (r, step) in (top + 1..).zip(&epoch.rows) {
            write_name(sheet, (r - 1, 0), &name, Ink::Plain)?;
            for (col, head) in (0..).zip(&layout.steps).skip(1) {
                let (ink, number) = style(head);
                let (text, result) = layout.step(head, r, e, step);
                formula(sheet, (r - 1, col), &text, result, &ink.format(number))?;
            }
        }
        let ink = if warm_up { Ink::Carried } else { Ink::Plain };
        write_name(sheet, (e - 1, layout.first_figure()), &name, ink)?;
        for (col, head) in (layout.first_figure()..).zip(&layout.epochs).skip(1) {
            let format = ink.format(style(head).1);
            match layout.figure(head, e, (top + 1, top + BLOCK - 1), nth, epoch) {
                Some((text, result)) => formula(sheet, (e - 1, col), &text, result, &format)?,
                None => {
                    sheet.write_blank(e - 1, col, &format)?;
                }
            }
        }
        before = epoch.rows.last();
    }
    // Five epochs and the figures of all are enough on paper.
    let printed = HEAD + 1 + (trace.warm_ups.len() + EPOCHS) as u32 * BLOCK;
    sheet.set_print_area(0, 0, printed - 1, layout.first_figure() + layout.epochs.len() as u16 - 1)?;
    charts(sheet, &layout, trace)
}

/// The name of an epoch: a number if it counts.
fn write_name(sheet: &mut Worksheet, at: At, name: &str, ink: Ink) -> Result<()> {
    let format = ink.format("0").set_align(FormatAlign::Center);
    match name.parse::<u32>() {
        Ok(number) => sheet.write_with_format(at.0, at.1, number, &format)?,
        Err(_) => sheet.write_with_format(at.0, at.1, name, &format)?,
    };
    Ok(())
}

/// The settings, the heads of both tables, and what the table of epochs holds at reset.
fn heads(sheet: &mut Worksheet, layout: &Layout, trace: &Trace) -> Result<()> {
    let (optimizer, settings) = (layout.optimizer, trace.settings);
    let both = optimizer.uses_mean() && optimizer.uses_square();
    let mut setting = |col: u16, name: &str, value: f64| -> Result<()> {
        sheet.write_with_format(3, col - 1, name, &Format::new().set_bold().set_align(FormatAlign::Right))?;
        sheet.write_with_format(3, col, value, &Ink::Setting.format("General"))?;
        Ok(())
    };
    setting(2, "learn", settings.lr)?;
    if optimizer.uses_mean() {
        setting(4, if both { "β1" } else { "β" }, settings.beta1)?;
    }
    if optimizer.uses_square() {
        setting(6, if both { "β2" } else { "β" }, settings.beta2)?;
    }
    legend(sheet, 7)?;

    let first = layout.first_figure();
    for (col, head) in (0..).zip(&layout.steps).chain((first..).zip(&layout.epochs)) {
        sheet.write_with_format(HEAD, col, *head, &style(head).0.head())?;
    }
    sheet.write_with_format(HEAD + 1, first, "reset", &Ink::Carried.format("General"))?;
    for (col, head) in (first..).zip(&layout.epochs).skip(1) {
        let gray = Ink::Carried.format(style(head).1);
        match at_reset(head) {
            Some(value) => sheet.write_with_format(HEAD + 1, col, value, &gray)?,
            None => sheet.write_blank(HEAD + 1, col, &gray)?,
        };
    }
    let last = first + layout.epochs.len() as u16 - 1;
    sheet.set_column_width(0, 14)?.set_column_width(1, 7)?.set_column_width(2, 8)?;
    sheet.set_column_range_width(3, first - 2, 11)?.set_column_width(first - 1, 3)?;
    sheet.set_column_range_width(first, last, 12)?;
    sheet.set_row_height(HEAD, 32)?.set_freeze_panes(HEAD + 1, 0)?.set_repeat_rows(0, HEAD)?;
    Ok(())
}
