//! The columns of an optimizer's sheet and their formulas.

use rust_xlsxwriter::utility::column_number_to_name;

use crate::excel::descent::{
    self, EVE_BETA, Optimizer, Pair, Row, SQUARES_AT_RESET, START, STEP, SheetEpoch,
};
use crate::excel::sheet::Ink;

/// The row of heads, on every sheet. (Zero-based: the next row is "6" on the sheet.)
pub(super) const HEAD: u32 = 4;

/// Where the points start on the sheet "data", as the sheet counts.
pub(super) const FIRST_POINT: u32 = 6;

/// Rows of an epoch on a sheet: the gray one and the points.
pub(super) const BLOCK: u32 = 1 + descent::X.len() as u32;

/// Cells with the settings.
pub(super) const LEARN: &str = "$C$4";
pub(super) const BETA1: &str = "$E$4";
pub(super) const BETA2: &str = "$G$4";

/// The layout of an optimizer's sheet: the heads of its two tables. The table of steps is on the left, the table of
/// epochs (what is computed once per epoch) on the right.
pub(super) struct Layout {
    pub(super) optimizer: Optimizer,
    pub(super) steps: Vec<&'static str>,
    pub(super) epochs: Vec<&'static str>,
}

impl Layout {
    pub(super) fn new(optimizer: Optimizer) -> Layout {
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
        steps.extend(["new b", "new a"]);

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
        epochs.extend(["RMSE", "b at the end", "a at the end"]);
        Layout { optimizer, steps, epochs }
    }

    /// The first column of the table of epochs, one column clear of the steps.
    pub(super) fn first_figure(&self) -> u16 {
        self.steps.len() as u16 + 1
    }

    /// The column of a step's number. A head that is not there is a bug, which every test catches.
    pub(super) fn step_column(&self, head: &str) -> u16 {
        let at = self.steps.iter().position(|&h| h == head);
        at.unwrap_or_else(|| panic!("the sheet {} has no column '{head}'", self.optimizer)) as u16
    }

    /// The column of an epoch's figure.
    pub(super) fn figure_column(&self, head: &str) -> u16 {
        let at = self.epochs.iter().position(|&h| h == head);
        self.first_figure()
            + at.unwrap_or_else(|| panic!("the sheet {} has no figure '{head}'", self.optimizer)) as u16
    }

    /// One number of a step, as a formula and as its result. The step is in the sheet's row `r`, the figures of its
    /// epoch in row `e` of the table of epochs. Averages are those of the row above.
    pub(super) fn step(&self, head: &str, r: u32, e: u32, row: &Row) -> (String, f64) {
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
    pub(super) fn update(&self, which: &str, r: u32, e: u32) -> String {
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
    pub(super) fn figure(
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
            "b at the end" => (last("new b"), end.b),
            "a at the end" => (last("new a"), end.a),
            _ => unreachable!("no such figure: {head}"),
        })
    }
}

/// How the numbers under a head look.
pub(super) fn style(head: &str) -> (Ink, &'static str) {
    match head {
        "x" | "y" => (Ink::Data, "0"),
        "intercept b" | "slope a" => (Ink::Weight, "0.0000"),
        "new b" | "new a" => (Ink::Weight, "0.00000000"),
        "y_pred" => (Ink::Prediction, "0.0000"),
        "err²" | "err² at b + 0.01" | "err² at a + 0.01" => (Ink::Plain, "#,##0.0000"),
        "avg (de/db)²" | "avg (de/da)²" | "sum of squares" => (Ink::Plain, "#,##0"),
        "learn" | "d" | "rate" | "r = |Δf|/min" | "b at the end" | "a at the end" => (Ink::Plain, "0.0000"),
        "rate b" | "rate a" => (Ink::Plain, "0.000E+00"),
        "f = √Σerr²" | "RMSE" => (Ink::Plain, "#,##0.000"),
        "epoch" => (Ink::Plain, "General"),
        _ => (Ink::Plain, "#,##0.00"),
    }
}

/// What a gray row on top of an epoch holds at reset: what the first step needs of the "row before".
pub(super) fn at_reset(head: &str) -> Option<f64> {
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

pub(super) fn letter(column: u16) -> String {
    column_number_to_name(column)
}
