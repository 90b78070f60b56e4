//! Predictions against true ratings: the lecture's `sns.jointplot(preds, y, kind='hex')`.

use anyhow::{Result, ensure};

use super::axes::{Axes, Axis, Key, header, short, ticks};
use super::canvas::{Align, Canvas, Face, Rect, Shape};
use super::hexbin::{Extent, Hexagon, hexbin};
use super::{Figure, number, palette, range_of};
use crate::system::arithmetic::mean;

/// √3: a regular hexagon's cell is this many times as high as wide.
const CELL: f64 = 1.732_050_807_568_877_2;
/// Height of the upper marginal and width of the right one.
const MARGINAL: f64 = 84.0;
/// Between the hexagons and a marginal.
const GAP: f64 = 9.0;

/// The hexagons of predictions (x) against true ratings (y), a histogram of each along its side, and the number of
/// ratings in a hexagon as a color bar. With `mean_marks` a mark on each row of true ratings shows the mean of the
/// predictions for them; if the predictions were perfect, all marks would be on the dashed line.
///
/// Ratings come in steps. The rows of hexagons are laid so that each step has its middle on a row, and a
/// column of the upper histogram is half as wide as a hexagon.
///
/// # Errors
/// When `preds` and `targets` differ in length, are empty, or hold a number that is not finite.
pub fn joint(name: &str, title: &str, preds: &[f32], targets: &[f32], mean_marks: bool) -> Result<Figure> {
    ensure!(
        preds.len() == targets.len() && !preds.is_empty(),
        "{name}: a joint plot needs as many predictions as true ratings, and at least one; there are {} and {}",
        preds.len(),
        targets.len()
    );
    for (what, values) in [("prediction", preds), ("true rating", targets)] {
        if let Some(row) = values.iter().position(|v| !v.is_finite()) {
            anyhow::bail!(
                "{name}: {what} number {row} is {}; train with a lower rate, or leave it out",
                values[row]
            );
        }
    }
    let x: Vec<f64> = preds.iter().map(|&v| f64::from(v)).collect();
    let y: Vec<f64> = targets.iter().map(|&v| f64::from(v)).collect();
    let n = x.len() as f64;
    let mse = x.iter().zip(&y).map(|(p, t)| (p - t).powi(2)).sum::<f64>() / n;
    let r = correlation(&x, &y);
    let alt = format!(
        "Hexagonal bins of {} predicted against true ratings, with both histograms; root mean squared \
         error {:.3}, \
         correlation {r:.2}.",
        number(n, 0),
        mse.sqrt()
    );
    Figure::draw(name, &alt, 700, 680, |c| draw(c, title, &x, &y, mean_marks, (mse, r)))
}

fn draw(c: &mut Canvas, title: &str, x: &[f64], y: &[f64], mean_marks: bool, (mse, r): (f64, f64)) {
    let perfect = (Key::Dashes(palette::GRAY, 1.3), "prediction = true rating");
    let mut legend = vec![perfect];
    let levels = levels(y);
    let means = levels.as_ref().filter(|_| mean_marks).map(|levels| mean_predictions(x, y, levels));
    if means.is_some() {
        legend.push((Key::Mark(Shape::Diamond, palette::ORANGE), "mean prediction for that true rating"));
    }
    let body = header(c, title, "", &legend);

    // The true ratings' range upwards; that and the predictions' to the right; a little more than half a step
    // of air.
    let (lowest, highest) = range_of(y.iter().copied()).unwrap_or((0.0, 5.0));
    let least_gap = |l: &Vec<f64>| l.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    let step = levels.as_ref().map_or((highest - lowest) / 10.0, least_gap);
    let step = if step > 0.0 { step } else { 1.0 };
    let (left_end, right_end) = range_of(x.iter().copied().chain([lowest, highest])).unwrap_or((0.0, 5.0));
    let axis = |lo: f64, hi: f64, label: &str| Axis::linear(lo - 0.6 * step, hi + 0.6 * step, 6, label);
    let mut x_axis = axis(left_end, right_end, "predicted rating (stars)");
    let mut y_axis = axis(lowest, highest, "true rating (stars)");
    // A figure at the very end would run into the 0 of the marginal there.
    for axis in [&mut x_axis, &mut y_axis] {
        let end = axis.lo + 0.975 * (axis.hi - axis.lo);
        axis.ticks.retain(|(value, _)| *value < end);
    }

    let left = Axes::room_left(&y_axis);
    let side =
        (body.w - left - MARGINAL - GAP - 74.0).min(body.h - MARGINAL - GAP - Axes::room_below(&x_axis));
    let inner = Rect { x: body.x + left, y: body.y + MARGINAL + GAP, w: side, h: side };
    let main = Axes { inner, x: x_axis, y: y_axis };

    // Rows of hexagons: every rating step has its own middle row, with three more between two steps.
    let cell_height = step / 2.0;
    let rows = ((highest - lowest) / cell_height).ceil() as usize + 4;
    // As wide on the page as makes the hexagons regular.
    let cell_width = cell_height / CELL * (main.x.hi - main.x.lo) / (main.y.hi - main.y.lo);
    let columns = ((main.x.hi - main.x.lo) / cell_width).ceil() as usize;
    let (lo, first) = (main.x.lo, lowest - 2.0 * cell_height);
    let extent =
        Extent { x: (lo, lo + columns as f64 * cell_width), y: (first, first + rows as f64 * cell_height) };
    let mut hexagons = hexbin(x, y, extent, (columns, rows));
    hexagons.sort_by_key(|h| h.count);
    let most = hexagons.last().map_or(1, |h| h.count);

    main.draw(c);
    for hexagon in &hexagons {
        draw_hexagon(c, &main, hexagon, cell_width * side / (main.x.hi - main.x.lo), most);
    }
    let ends = [lo.min(main.y.lo), main.x.hi.max(main.y.hi)];
    main.dashed(c, &ends.map(|v| (v, v)), palette::GRAY, 1.3, (5.0, 3.0));
    for (level, mean) in means.into_iter().flatten() {
        main.mark(c, Shape::Diamond, (mean, level), 4.4, palette::ORANGE);
    }

    // Above: how often each prediction is made.
    let bins = histogram(x, lo, cell_width / 2.0, 2 * columns);
    let above = Rect { y: body.y, h: MARGINAL, ..inner };
    marginal_above(c, above, &main.x, &bins, cell_width / 2.0);
    // Right: how often each rating is given.
    let right = Rect { x: inner.right() + GAP, w: MARGINAL, ..inner };
    let bars: Vec<(f64, f64, f64)> = match &levels {
        Some(levels) => {
            let count = |level: f64| y.iter().filter(|&&v| v == level).count() as f64;
            levels.iter().map(|&l| (l - 0.3 * step, l + 0.3 * step, count(l))).collect()
        }
        None => {
            let bins = histogram(y, first, cell_height / 2.0, 2 * rows);
            let middle = |i: usize| first + i as f64 * cell_height / 2.0;
            let half = 0.46 * cell_height / 2.0;
            let bars = bins.iter().enumerate().filter(|&(_, &count)| count > 0.0);
            bars.map(|(i, &count)| (middle(i) - half, middle(i) + half, count)).collect()
        }
    };
    marginal_right(c, right, &main.y, &bars);

    // The corner between the marginals: the summary.
    let face = Face::NOTE;
    for (i, line) in [
        format!("{} rating{}", number(x.len() as f64, 0), if x.len() == 1 { "" } else { "s" }),
        format!("RMSE {:.3}", mse.sqrt()),
        format!("r = {r:.2}"),
    ]
    .iter()
    .enumerate()
    {
        c.text(line, right.x, above.y + 14.0 + 17.0 * i as f64, Align::Left, face);
    }
    color_bar(c, Rect { x: right.right() + 18.0, y: inner.y + 0.2 * side, w: 12.0, h: 0.6 * side }, most);
}

fn draw_hexagon(c: &mut Canvas, axes: &Axes, hexagon: &Hexagon, width: f64, most: u32) {
    let (x, y) = axes.at(hexagon.center.0, hexagon.center.1);
    // A hair wider than its cell: neighbors overlap instead of leaving a pale seam.
    let half = 0.5 * width + 0.25;
    let (long, short) = (2.0 * half / CELL, half / CELL);
    let corners = [
        (x, y - long),
        (x + half, y - short),
        (x + half, y + short),
        (x, y + long),
        (x - half, y + short),
        (x - half, y - short),
    ];
    c.polygon(&corners, palette::sequential(shade(hexagon.count, most)));
}

/// Counts differ a hundredfold, so color follows the square root: few still differ from none, many from very
/// many.
fn shade(count: u32, most: u32) -> f64 {
    (f64::from(count) / f64::from(most.max(1))).sqrt()
}

fn marginal_above(c: &mut Canvas, rect: Rect, x: &Axis, bins: &[f64], width: f64) {
    let highest = bins.iter().copied().fold(0.0, f64::max);
    let top = two_ticks(highest);
    let axes = Axes { inner: rect, x: x.clone().bare(), y: Axis::from_zero(highest, 2, "").with_ticks(top) };
    for (i, &count) in bins.iter().enumerate() {
        let from = x.lo + (i as f64 - 0.5) * width;
        axes.bar(c, (from, from + 0.92 * width), count, palette::sequential(0.52));
    }
    axes.draw(c);
}

fn marginal_right(c: &mut Canvas, rect: Rect, y: &Axis, bars: &[(f64, f64, f64)]) {
    let highest = bars.iter().map(|b| b.2).fold(0.0, f64::max);
    let axis = Axis::from_zero(highest, 2, "").with_ticks(two_ticks(highest));
    let axes = Axes { inner: rect, x: axis, y: y.clone().bare() };
    for &(from, to, count) in bars {
        let (left, bottom) = axes.at(0.0, from);
        let (right, top) = axes.at(count, to);
        c.rect(Rect { x: left, y: top, w: right - left, h: bottom - top }, palette::sequential(0.52));
    }
    axes.draw(c);
}

/// 0 and one round number near the top: a marginal has room for no more.
fn two_ticks(highest: f64) -> Vec<(f64, String)> {
    let all = ticks(0.0, highest.max(1.0), 2);
    let last = all.last().cloned();
    all.into_iter().take(1).chain(last.filter(|t| t.0 > 0.0)).collect()
}

fn color_bar(c: &mut Canvas, rect: Rect, most: u32) {
    const STRIPES: usize = 96;
    for i in 0..STRIPES {
        let (from, to) = (i as f64 / STRIPES as f64, (i + 1) as f64 / STRIPES as f64);
        let stripe = Rect { y: rect.bottom() - to * rect.h, h: (to - from) * rect.h + 0.4, ..rect };
        c.rect(stripe, palette::sequential((from + to) / 2.0));
    }
    // Round counts, no two of them closer than a line of text.
    let mut last = f64::INFINITY;
    let all = (0..7).flat_map(|power| [1_u32, 2, 5].map(|lead| lead * 10_u32.pow(power)));
    for count in all.take_while(|&n| n < most).filter(|&n| shade(n, most) < 0.96).chain([most]) {
        let y = rect.bottom() - shade(count, most) * rect.h;
        if last - y < 1.7 * Face::TICK.size {
            continue;
        }
        last = y;
        c.line(&[(rect.right(), y), (rect.right() + 3.0, y)], palette::GRAY, 0.9);
        let text = short(f64::from(count));
        c.text(&text, rect.right() + 6.0, y + Face::TICK.half_capital(), Align::Left, Face::TICK);
    }
    c.text_upwards("ratings in a hexagon", rect.x - 5.0, rect.y + rect.h / 2.0, Align::Center, Face::TICK);
}

/// The different values, when there are few enough to be steps of a scale.
fn levels(values: &[f64]) -> Option<Vec<f64>> {
    let mut levels = super::sorted(values.iter().copied());
    levels.dedup();
    (2..=21).contains(&levels.len()).then_some(levels)
}

/// For each level of `y` the mean of `x`.
fn mean_predictions(x: &[f64], y: &[f64], levels: &[f64]) -> Vec<(f64, f64)> {
    levels
        .iter()
        .map(|&level| {
            let of_level: Vec<f64> = x.iter().zip(y).filter(|&(_, &t)| t == level).map(|(&p, _)| p).collect();
            (level, mean(&of_level))
        })
        .collect()
}

/// Counts in columns centered on the hexagons' middles and edges: `lo`, `lo + width`, …
fn histogram(values: &[f64], lo: f64, width: f64, bins: usize) -> Vec<f64> {
    let mut counts = vec![0.0; bins + 1];
    for value in values {
        let bin = ((value - lo) / width).round().clamp(0.0, bins as f64) as usize;
        counts[bin] += 1.0;
    }
    counts
}

/// Pearson's correlation; 0 when one side never varies.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&a, &b)| f(a - mean_x, b - mean_y)).sum::<f64>();
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if spread > 0.0 { sum(&|a, b| a * b) / spread } else { 0.0 }
}
