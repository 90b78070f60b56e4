//! `graddesc.xlsx`: gradient descent on two numbers, one sheet per optimizer.
//!
//! The lecture's workbook has one epoch on a sheet and macros that copy the last row to the top ("reset", "run"). Here
//! the epochs are one below the other instead, and a gray row between them is that copy.

use super::{At, Ink, dots, finished, formula, legend, title_font, titled};
use crate::excel::descent::{
    self, EPOCHS, EVE_BETA, Optimizer, Pair, Row, SQUARES_AT_RESET, START, STEP, SheetEpoch, Trace,
};
use anyhow::Result;
use rust_xlsxwriter::utility::column_number_to_name;
use rust_xlsxwriter::{
    Chart, ChartAxisLabelPosition, ChartFormat, ChartLegendPosition, ChartSolidFill, ChartType, Format,
    FormatAlign, Workbook, Worksheet,
};

/// The row of heads, on every sheet. (Zero-based: the next row is "6" on the sheet.)
const HEAD: u32 = 4;
/// Where the points start on the sheet "data", as the sheet counts.
const FIRST_POINT: u32 = 6;
/// Rows of an epoch on a sheet: the gray one and the points.
const BLOCK: u32 = 1 + descent::X.len() as u32;

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

/// The layout of an optimizer's sheet: the heads of its two tables. The table of steps is on the left, the table of
/// epochs (what is computed once per epoch) on the right.
struct Layout {
    optimizer: Optimizer,
    steps: Vec<&'static str>,
    epochs: Vec<&'static str>,
}

impl Layout {
    fn new(optimizer: Optimizer) -> Layout {
        let mut steps = vec!["epoch", "x", "y", "intercept b", "slope a", "y_pred", "err²"];
        if optimizer == Optimizer::Sgd {
            steps.extend(["err² at b + 0.01", "est. de/db", "err² at a + 0.01", "est. de/da"]);
        }
        steps.extend(["de/db", "de/da"]);
        if optimizer.uses_mean() {
            steps.extend(["avg de/db", "avg de/da"]);
        }
        if optimizer.uses_square() {
            steps.extend(["avg (de/db)²", "avg (de/da)²"]);
        }
        steps.extend(["new a", "new b"]);

        let mut epochs = vec!["epoch"];
        if optimizer.is_annealed() {
            epochs.push("learn");
        }
        if optimizer.is_adagrad() {
            epochs.extend(["rate b", "rate a", "√(Σg²/n) b", "√(Σg²/n) a"]);
        }
        if optimizer == Optimizer::Eve {
            epochs.extend(["d", "rate"]);
        }
        if optimizer.is_annealed() {
            epochs.extend(["mean de/db", "mean de/da", "sum of squares"]);
        }
        epochs.push("f = √Σerr²");
        if optimizer == Optimizer::Eve {
            epochs.push("r = |Δf|/min");
        }
        epochs.extend(["RMSE", "b at its end", "a at its end"]);
        Layout { optimizer, steps, epochs }
    }

    /// The first column of the table of epochs, one column clear of the steps.
    fn first_figure(&self) -> u16 {
        self.steps.len() as u16 + 1
    }

    /// The column of a step's number. A head that is not there is a bug, which every test catches.
    fn step_column(&self, head: &str) -> u16 {
        let at = self.steps.iter().position(|&h| h == head);
        at.unwrap_or_else(|| panic!("the sheet {} has no column '{head}'", self.optimizer)) as u16
    }

    /// The column of an epoch's figure.
    fn figure_column(&self, head: &str) -> u16 {
        let at = self.epochs.iter().position(|&h| h == head);
        self.first_figure()
            + at.unwrap_or_else(|| panic!("the sheet {} has no figure '{head}'", self.optimizer)) as u16
    }

    /// One number of a step, as a formula and as its result. The step is in the sheet's row `r`, the figures of its
    /// epoch in row `e` of the table of epochs. Averages are those of the row above.
    fn step(&self, head: &str, r: u32, e: u32, row: &Row) -> (String, f64) {
        let here = |head| format!("{}{r}", letter(self.step_column(head)));
        let above = |head| format!("{}{}", letter(self.step_column(head)), r - 1);
        let point = FIRST_POINT + (r - HEAD - 3) % BLOCK;
        let estimate = || descent::finite_difference(row.w, row.x, row.y, STEP);
        let moved = |step: Pair| descent::squared_error(row.w + step, row.x, row.y);
        let average = |beta, head, of| format!("={beta}*{}+(1-{beta})*{of}", above(head));
        match head {
            "x" => (format!("=data!$A${point}"), row.x),
            "y" => (format!("=data!$B${point}"), row.y),
            "intercept b" => (format!("={}", above("new b")), row.w.b),
            "slope a" => (format!("={}", above("new a")), row.w.a),
            "y_pred" => (format!("=D{r}+E{r}*B{r}"), row.pred),
            "err²" => (format!("=(C{r}-F{r})^2"), row.err2),
            "err² at b + 0.01" => {
                (format!("=(C{r}-((D{r}+{STEP})+E{r}*B{r}))^2"), moved(Pair { b: STEP, a: 0.0 }))
            }
            "err² at a + 0.01" => {
                (format!("=(C{r}-(D{r}+(E{r}+{STEP})*B{r}))^2"), moved(Pair { b: 0.0, a: STEP }))
            }
            "est. de/db" => (format!("=({}-G{r})/{STEP}", here("err² at b + 0.01")), estimate().b),
            "est. de/da" => (format!("=({}-G{r})/{STEP}", here("err² at a + 0.01")), estimate().a),
            "de/db" => (format!("=2*(F{r}-C{r})"), row.gradient.b),
            "de/da" => (format!("=B{r}*{}", here("de/db")), row.gradient.a),
            "avg de/db" => (average(BETA1, head, here("de/db")), row.mean.b),
            "avg de/da" => (average(BETA1, head, here("de/da")), row.mean.a),
            "avg (de/db)²" => (average(BETA2, head, format!("{}^2", here("de/db"))), row.square.b),
            "avg (de/da)²" => (average(BETA2, head, format!("{}^2", here("de/da"))), row.square.a),
            "new b" => (format!("=D{r}-{}", self.update("b", r, e)), row.new.b),
            "new a" => (format!("=E{r}-{}", self.update("a", r, e)), row.new.a),
            _ => unreachable!("no such column: {head}"),
        }
    }

    /// What a step subtracts from b or a (`which`): the optimizer's rule.
    fn update(&self, which: &str, r: u32, e: u32) -> String {
        let step = |head: String, r: u32| format!("{}{r}", letter(self.step_column(&head)));
        let figure = |head: &str| format!("${}${e}", letter(self.figure_column(head)));
        let g = step(format!("de/d{which}"), r);
        let mean = || step(format!("avg de/d{which}"), r - 1);
        let square = || step(format!("avg (de/d{which})²"), r - 1);
        match self.optimizer {
            Optimizer::Sgd => format!("{LEARN}*{g}"),
            Optimizer::Momentum => format!("{LEARN}*{}", mean()),
            Optimizer::Adagrad | Optimizer::AdagradAnn => format!("{}*{g}", figure(&format!("rate {which}"))),
            Optimizer::RmsProp => format!("{LEARN}*{g}/SQRT({})", square()),
            Optimizer::Adam => format!("{LEARN}*{}/SQRT({})", mean(), square()),
            Optimizer::Eve => format!("{}*{}/SQRT({})", figure("rate"), mean(), square()),
            Optimizer::AdamAnn => format!("{}*{}/SQRT({})", figure("learn"), mean(), square()),
        }
    }

    /// One figure of an epoch, as a formula and as its result; `None` where it needs a previous epoch and there is
    /// none. The figures are in row `e`, the epoch's steps in rows `i` to `j`; `nth` counts epochs, warm-ups included,
    /// from 0.
    fn figure(
        &self,
        head: &str,
        e: u32,
        (i, j): (u32, u32),
        nth: usize,
        epoch: &SheetEpoch,
    ) -> Option<(String, f64)> {
        let figure = |head, e: u32| format!("{}{e}", letter(self.figure_column(head)));
        let steps = |head| {
            let column = letter(self.step_column(head));
            format!("{column}{i}:{column}{j}")
        };
        let last = |head| format!("={}{j}", letter(self.step_column(head)));
        let end = epoch.rows.last().map_or(START, |row| row.new);
        let rate = |rms, e| {
            let learn = if self.optimizer.is_annealed() { figure("learn", e) } else { LEARN.to_string() };
            format!("={learn}/{}", figure(rms, e - 1))
        };
        let rms = |head| format!("=SQRT(SUMSQ({0})/COUNT({0}))", steps(head));
        Some(match head {
            "learn" => {
                let (before, measure) = (figure("learn", e - 1), |e| figure("sum of squares", e));
                let text = match nth {
                    0 => format!("={LEARN}"),
                    1 => format!("={before}"),
                    _ => format!("=IF({}>2*{},{before}/2,{before})", measure(e - 1), measure(e - 2)),
                };
                (text, epoch.lr)
            }
            "rate b" => (rate("√(Σg²/n) b", e), epoch.rate.b),
            "rate a" => (rate("√(Σg²/n) a", e), epoch.rate.a),
            "√(Σg²/n) b" => (rms("de/db"), epoch.rms_gradient.b),
            "√(Σg²/n) a" => (rms("de/da"), epoch.rms_gradient.a),
            "d" if nth < 2 => (format!("={}", figure("d", e - 1)), epoch.d),
            "d" => {
                let (d, r) = (figure("d", e - 1), figure("r = |Δf|/min", e - 1));
                (format!("={EVE_BETA}*{d}+(1-{EVE_BETA})*{r}"), epoch.d)
            }
            "rate" => (format!("={LEARN}/{}", figure("d", e)), epoch.rate.b),
            "mean de/db" => (format!("=AVERAGE({})", steps("de/db")), epoch.mean_gradient.b),
            "mean de/da" => (format!("=AVERAGE({})", steps("de/da")), epoch.mean_gradient.a),
            "sum of squares" => {
                (format!("=SUMSQ({},{})", figure("mean de/db", e), figure("mean de/da", e)), epoch.measure)
            }
            "f = √Σerr²" => (format!("=SQRT(SUM({}))", steps("err²")), epoch.loss),
            "r = |Δf|/min" => {
                let (now, before) = (figure("f = √Σerr²", e), figure("f = √Σerr²", e - 1));
                (format!("=ABS({now}-{before})/MIN({now},{before})"), epoch.moved?)
            }
            "RMSE" => (format!("=SQRT(AVERAGE({}))", steps("err²")), epoch.rmse),
            "b at its end" => (last("new b"), end.b),
            "a at its end" => (last("new a"), end.a),
            _ => unreachable!("no such figure: {head}"),
        })
    }
}

/// Cells with the settings.
const LEARN: &str = "$C$4";
const BETA1: &str = "$E$4";
const BETA2: &str = "$G$4";

/// How the numbers under a head look.
fn style(head: &str) -> (Ink, &'static str) {
    match head {
        "x" | "y" => (Ink::Data, "0"),
        "intercept b" | "slope a" => (Ink::Weight, "0.0000"),
        "new b" | "new a" => (Ink::Weight, "0.00000000"),
        "y_pred" => (Ink::Prediction, "0.0000"),
        "err²" | "err² at b + 0.01" | "err² at a + 0.01" => (Ink::Plain, "#,##0.0000"),
        "avg (de/db)²" | "avg (de/da)²" | "sum of squares" => (Ink::Plain, "#,##0"),
        "learn" | "d" | "rate" | "r = |Δf|/min" | "b at its end" | "a at its end" => (Ink::Plain, "0.0000"),
        "rate b" | "rate a" => (Ink::Plain, "0.000E+00"),
        "f = √Σerr²" | "RMSE" => (Ink::Plain, "#,##0.000"),
        "epoch" => (Ink::Plain, "General"),
        _ => (Ink::Plain, "#,##0.00"),
    }
}

/// What a gray row on top of an epoch holds at reset: what the first step needs of the "row before".
fn at_reset(head: &str) -> Option<f64> {
    match head {
        "avg de/db" | "avg de/da" => Some(0.0),
        "avg (de/db)²" | "avg (de/da)²" => Some(SQUARES_AT_RESET),
        "new b" => Some(START.b),
        "new a" => Some(START.a),
        "√(Σg²/n) b" | "√(Σg²/n) a" => Some(SQUARES_AT_RESET),
        "d" => Some(1.0),
        _ => None,
    }
}

fn letter(column: u16) -> String {
    column_number_to_name(column)
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
            "Look at: the chart. The gradient bounces; its average is calm, and keeps going the same way.",
        ],
        Optimizer::Adagrad => [
            "new = old - rate · gradient, with a rate for b and one for a: learn / root mean square gradient of the epoch before.",
            "Look at: the two rates. The intercept, whose gradients are small, gets one some seventy times larger.",
        ],
        Optimizer::RmsProp => [
            "new = old - learn · gradient / √(average squared gradient of the row before).",
            "Look at: avg (de/da)². Large gradients slow the steps down, small ones speed them up, row by row.",
        ],
        Optimizer::Adam => [
            "new = old - learn · J / √L, both of the row above: J is the average gradient (momentum), L the average squared gradient (rmsprop).",
            "Look at: b, which gets to 20 in five epochs where SGD is at 1.3, and a, which keeps hopping: at a rate of 1 Adam is fast but does not settle.",
        ],
        Optimizer::Eve => [
            "As adam, with the rate learn / d: d is 0.9 · d + 0.1 · r, where r says how much f moved from one epoch to the next.",
            "Look at: d and the rate. Where f hardly moves d falls and the rate rises. That helps b and makes a hop further.",
        ],
        Optimizer::AdagradAnn => [
            "As adagrad, with learn = 0.5 at reset, halved when the sum of squares of the epoch's mean gradients has more than doubled since the epoch before.",
            "Look at: RMSE. Quick, but a calm epoch sets rates that are too high for the next. The sum of squares more than doubles in epoch 5, so the sixth would start from half the rate.",
        ],
        Optimizer::AdamAnn => [
            "As adam, with learn halved when the sum of squares of the epoch's mean gradients has more than doubled since the epoch before. Eight runs of five epochs.",
            "Look at: learn and RMSE. Up to epoch 9 a hops as it does on the sheet adam; then the rate is halved again and again, and b and a settle at 30 and 2.",
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
    legend(sheet, 3, 7)?;

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
    sheet.set_column_range_width(3, first - 2, 12)?.set_column_width(first - 1, 3)?;
    sheet.set_column_range_width(first, last, 12)?;
    sheet.set_row_height(HEAD, 32)?.set_freeze_panes(HEAD + 1, 0)?.set_repeat_rows(0, HEAD)?;
    Ok(())
}

/// The charts next to the steps: RMSE by epoch and, for momentum, what it does to the gradient.
fn charts(sheet: &mut Worksheet, layout: &Layout, trace: &Trace) -> Result<()> {
    let name = layout.optimizer.name();
    let (epoch, rmse) = (layout.first_figure(), layout.figure_column("RMSE"));
    let from = HEAD + 2 + trace.warm_ups.len() as u32;
    let to = from + trace.epochs.len() as u32 - 1;
    let mut chart = Chart::new(ChartType::Line);
    let series = chart.add_series().set_name("RMSE").set_marker(&dots());
    series.set_categories((name, from, epoch, to, epoch)).set_values((name, from, rmse, to, rmse));
    chart.title().set_name("RMSE by epoch").set_font(&title_font());
    chart.x_axis().set_name("epoch").set_label_interval(if trace.epochs.len() > 10 { 3 } else { 1 });
    chart.y_axis().set_num_format("0").set_min(0);
    chart.legend().set_hidden();
    chart.set_width(560).set_height(300);
    sheet.insert_chart(to + 2, epoch, &chart)?;

    if layout.optimizer == Optimizer::Momentum {
        let from = HEAD + 2 + trace.warm_ups.len() as u32 * BLOCK;
        let last = from + BLOCK - 2;
        let mut chart = Chart::new(ChartType::Line);
        for head in ["de/da", "avg de/da"] {
            let col = layout.step_column(head);
            chart.add_series().set_name(head).set_values((name, from, col, last, col));
        }
        chart.title().set_name("SheetEpoch 1, step by step: de/da and its average").set_font(&title_font());
        chart.x_axis().set_name("step").set_label_position(ChartAxisLabelPosition::Low).set_label_interval(4);
        chart.y_axis().set_num_format("#,##0");
        chart.legend().set_position(ChartLegendPosition::Bottom);
        chart.set_width(560).set_height(300);
        sheet.insert_chart(to + 18, epoch, &chart)?;
    }
    Ok(())
}

/// The points: x and y for all other sheets.
fn data(book: &mut Workbook) -> Result<()> {
    let notes = [
        "29 points of the line y = a · x + b. Can the slope and the intercept be learned from them?",
        "Change a and b here, or any x, and every sheet follows.",
    ];
    let sheet = titled(book, "data", "The data: y = 2x + 30", notes)?;
    let right = Format::new().set_bold().set_align(FormatAlign::Right);
    sheet.write_with_format(3, 0, "a", &right)?.write_with_format(3, 2, "b", &right)?;
    sheet.write_with_format(3, 1, descent::TRUTH.a, &Ink::Setting.format("General"))?;
    sheet.write_with_format(3, 3, descent::TRUTH.b, &Ink::Setting.format("General"))?;
    sheet.write_with_format(HEAD, 0, "x", &Ink::Data.head())?.write_with_format(
        HEAD,
        1,
        "y",
        &Ink::Data.head(),
    )?;
    for (row, (x, y)) in (FIRST_POINT - 1..).zip(descent::points()) {
        sheet.write_with_format(row, 0, x, &Ink::Data.format("0"))?;
        formula(sheet, (row, 1), &format!("=$D$4+$B$4*A{}", row + 1), y, &Ink::Data.format("0"))?;
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
fn summary(book: &mut Workbook, traces: &[Trace]) -> Result<()> {
    let notes = [
        "Each optimizer starts at a = b = 1 and goes through the 29 points of y = 2x + 30 five times, one step per point. RMSE is √(mean err²) of an epoch, each error taken before its step.",
        "Look at: b and a after five epochs, not just the RMSE. RMSprop and SGD look best, with b still at 3 and 1; Adam's b is two thirds of the way, but its a hops.",
    ];
    let sheet = titled(book, "summary", "Gradient descent on two numbers", notes)?;
    legend(sheet, 3, 1)?;
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
        quote(7, "b at its end", EPOCHS - 1, end.b, &Ink::Weight.format("0.0000"))?;
        quote(8, "a at its end", EPOCHS - 1, end.a, &Ink::Weight.format("0.0000"))?;
    }
    let truth = HEAD + 1 + traces.len() as u32;
    sheet.write_with_format(truth, 0, "true line", &Ink::Data.format("General"))?;
    for col in 1..7 {
        sheet.write_blank(truth, col, &Ink::Data.format("General"))?;
    }
    formula(sheet, (truth, 7), "=data!$D$4", descent::TRUTH.b, &Ink::Data.format("0.0000"))?;
    formula(sheet, (truth, 8), "=data!$B$4", descent::TRUTH.a, &Ink::Data.format("0.0000"))?;
    sheet.set_column_width(0, 14)?.set_column_range_width(1, 8, 10)?.set_freeze_panes(HEAD + 1, 1)?;

    let mut chart = Chart::new(ChartType::Line);
    for (row, trace) in (HEAD + 1..).zip(traces) {
        let series = chart.add_series().set_name(trace.optimizer.name());
        series.set_categories(("summary", HEAD, 2, HEAD, 6)).set_values(("summary", row, 2, row, 6));
        series.set_marker(&dots());
    }
    chart.title().set_name("RMSE by epoch").set_font(&title_font());
    chart.y_axis().set_num_format("0").set_min(0);
    chart.legend().set_position(ChartLegendPosition::Right);
    chart.set_width(760).set_height(400);
    sheet.insert_chart(truth + 2, 0, &chart)?;
    Ok(())
}
