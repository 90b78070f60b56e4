//! Predictions against true ratings: the lecture's `sns.jointplot(preds, y, kind='hex')`.

use anyhow::{Result, ensure};
use plotters::chart::SeriesLabelPosition;
use plotters::style::RGBColor;

use super::axes::{Axes, color_bar, header};
use super::axis::{Axis, short, ticks};
use super::canvas::{Align, Canvas, Face, Rect};
use super::figure::Figure;
use super::hexbin::{Extent, hexbin};
use super::marks::{Key, Shape, hexagon};
use super::numbers::{range_of, sorted};
use super::palette;
use crate::system::arithmetic::mean;
use crate::system::numerals::number;

/// √3: a regular hexagon's cell is this many times as high as wide.
const CELL: f64 = 1.732_050_807_568_877_2;
/// Height of the upper marginal and width of the right one.
const MARGINAL: f64 = 84.0;
/// Between the hexagons and a marginal.
const GAP: f64 = 9.0;
/// The darkest color is that of this share of all ratings in one hexagon, or more: the same for every model, so that their
/// plots compare.
const DARKEST: f64 = 0.05;

/// The hexagons of predictions (x) against true ratings (y), a histogram of each along its side, and the number of
/// ratings in a hexagon as a color bar. With `mean_marks` a mark on each row of true ratings shows the mean of the
/// predictions for them; if the predictions were perfect, all marks would be on the dashed line.
///
/// Range and colors depend on the true ratings only, so that plots of several models compare: one step below the ratings to
/// two above them. Predictions further out are counted at the edge, and the line under the title says how many they are.
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
    Figure::draw(name, &alt, 700, 676, |c| draw(c, title, &x, &y, mean_marks, (mse, r)))
}

fn draw(
    c: &mut Canvas,
    title: &str,
    x: &[f64],
    y: &[f64],
    mean_marks: bool,
    (mse, r): (f64, f64),
) -> Result<()> {
    let levels = levels(y);
    let (lowest, highest) = range_of(y.iter().copied()).unwrap_or((0.0, 5.0));
    let least_gap = |l: &Vec<f64>| l.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    let step = levels.as_ref().map_or((highest - lowest) / 10.0, least_gap);
    let step = if step > 0.0 { step } else { 1.0 };
    let (lo, hi) = (lowest - step, highest + 2.0 * step);
    let subtitle = match x.iter().filter(|p| !(lo..=hi).contains(*p)).count() {
        0 => String::new(),
        n => format!("Predictions beyond the plot, counted at its edge: {}", number(n as f64, 0)),
    };
    let body = header(c, title, &subtitle, &[]);

    let axis = |label: &str| {
        let mut axis = Axis::linear(lo, hi, 6, label);
        // A figure at the very end would run into the 0 of the marginal there.
        axis.ticks.retain(|(value, _)| *value < lo + 0.975 * (hi - lo));
        axis
    };
    let (x_axis, y_axis) = (axis("predicted rating (stars)"), axis("true rating (stars)"));
    let left = Axes::room_left(&y_axis);
    let side =
        (body.w - left - MARGINAL - GAP - 78.0).min(body.h - MARGINAL - GAP - Axes::room_below(&x_axis));
    let inner = Rect { x: body.x + left, y: body.y + MARGINAL + GAP, w: side, h: side };
    let mut main = Axes::around(c, inner, x_axis, y_axis)?;

    // Rows of hexagons: every rating step has its own middle row, with three more between two steps. Both axes have one
    // range, so columns of this width make the hexagons regular.
    let cell_height = step / 2.0;
    let rows = ((highest - lowest) / cell_height).ceil() as usize + 4;
    let cell_width = cell_height / CELL;
    let columns = ((hi - lo) / cell_width).ceil() as usize;
    let first = lowest - 2.0 * cell_height;
    let extent =
        Extent { x: (lo, lo + columns as f64 * cell_width), y: (first, first + rows as f64 * cell_height) };
    let mut hexagons = hexbin(x, y, extent, (columns, rows));
    hexagons.sort_by_key(|h| h.count);
    let most = (DARKEST * x.len() as f64).ceil() as u32;

    main.draw(c);
    // A hair wider than its cell: neighbors overlap instead of leaving a pale seam.
    let half = 0.5 * cell_width * side / (hi - lo) + 0.25;
    let cells = hexagons.iter().map(|h| hexagon(h.center, half, palette::sequential(shade(h.count, most))));
    main.series(c, cells);
    main.dashed(c, &[lo, hi].map(|v| (v, v)), palette::GRAY, 1.3, (5.0, 3.0));
    let mut legend = vec![(Key::Dashes(palette::GRAY, 1.3), "prediction = true rating")];
    if let Some(levels) = levels.as_ref().filter(|_| mean_marks) {
        for (level, mean) in mean_predictions(x, y, levels) {
            main.mark(c, Shape::Diamond, (mean, level), 4.4, palette::ORANGE);
        }
        legend.push((Key::Mark(Shape::Diamond, palette::ORANGE), "mean prediction for that true rating"));
    }
    // There is no rating above the highest.
    main.legend(c, SeriesLabelPosition::Coordinate(60, 20), &legend);

    // Above: how often each prediction is made.
    let width = cell_width / 2.0;
    let bins = histogram(x, lo, width, 2 * columns).into_iter().enumerate();
    let bars = bins.map(|(i, count)| (lo + (i as f64 - 0.5) * width, lo + (i as f64 + 0.42) * width, count));
    let above = Rect { y: body.y, h: MARGINAL, ..inner };
    marginal_above(c, above, &main.x, &bars.collect::<Vec<_>>())?;
    // Right: how often each rating is given.
    let right = Rect { x: inner.right() + GAP, w: MARGINAL, ..inner };
    let bars: Vec<(f64, f64, f64)> = match &levels {
        Some(levels) => {
            let count = |level: f64| y.iter().filter(|&&v| v == level).count() as f64;
            levels.iter().map(|&l| (l - 0.3 * step, l + 0.3 * step, count(l))).collect()
        }
        None => {
            let bins = histogram(y, first, cell_height / 2.0, 2 * rows).into_iter().enumerate();
            let edge = |i: f64| first + i * cell_height / 2.0;
            bins.map(|(i, count)| (edge(i as f64 - 0.46), edge(i as f64 + 0.46), count)).collect()
        }
    };
    marginal_right(c, right, &main.y, &bars)?;

    // The corner between the marginals: the summary.
    for (i, line) in [
        format!("{} rating{}", number(x.len() as f64, 0), if x.len() == 1 { "" } else { "s" }),
        format!("RMSE {:.3}", mse.sqrt()),
        format!("correlation {r:.2}"),
    ]
    .iter()
    .enumerate()
    {
        c.text(line, right.x, above.y + 14.0 + 17.0 * i as f64, Align::Left, Face::NOTE);
    }
    let over = hexagons.last().is_some_and(|h| h.count > most);
    key_of_counts(
        c,
        Rect { x: body.right() - 13.0, y: inner.y + 0.2 * side, w: 12.0, h: 0.6 * side },
        most,
        over,
    )
}

/// Counts differ a hundredfold, so color follows the square root: few still differ from none, many from very
/// many.
fn shade(count: u32, most: u32) -> f64 {
    (f64::from(count) / f64::from(most.max(1))).sqrt()
}

fn marginal_above(c: &mut Canvas, rect: Rect, x: &Axis, bars: &[(f64, f64, f64)]) -> Result<()> {
    let mut axes = Axes::around(c, rect, x.clone().bare(), counts(bars))?;
    for &(from, to, count) in bars {
        axes.bar(c, (from, to), count, palette::sequential(0.52));
    }
    axes.draw(c);
    Ok(())
}

fn marginal_right(c: &mut Canvas, rect: Rect, y: &Axis, bars: &[(f64, f64, f64)]) -> Result<()> {
    let mut axes = Axes::around(c, rect, counts(bars), y.clone().bare())?;
    for &(from, to, count) in bars {
        axes.area(c, (0.0, from), (count, to), palette::sequential(0.52));
    }
    axes.draw(c);
    Ok(())
}

/// From 0 to the highest bar; labeled at 0 and at one round number near the top, as a marginal has room for no more.
fn counts(bars: &[(f64, f64, f64)]) -> Axis {
    let highest = bars.iter().map(|b| b.2).fold(0.0, f64::max);
    let all = ticks(0.0, highest.max(1.0), 2);
    let last = all.last().cloned();
    let two = all.into_iter().take(1).chain(last.filter(|t| t.0 > 0.0)).collect();
    Axis::from_zero(highest, 2, "").with_ticks(two)
}

/// The colors and their counts, no two of these closer than a line of text; `over` if there is a hexagon with more than the
/// darkest color stands for.
fn key_of_counts(c: &mut Canvas, rect: Rect, most: u32, over: bool) -> Result<()> {
    const COLORS: usize = 96;
    let place = |count: u32| shade(count, most) * COLORS as f64;
    let mut ticks =
        vec![(place(most), format!("{}{}", if over { "≥ " } else { "" }, short(f64::from(most))))];
    let apart = 1.7 * Face::TICK.size * COLORS as f64 / rect.h;
    let round = (0..9).flat_map(|power| [1_u32, 2, 5].map(|lead| lead * 10_u32.pow(power)));
    for count in round.filter(|&n| n < most).collect::<Vec<_>>().into_iter().rev() {
        if ticks.last().is_some_and(|(last, _)| last - place(count) > apart) {
            ticks.push((place(count), short(f64::from(count))));
        }
    }
    let colors: Vec<RGBColor> =
        (0..COLORS).map(|i| palette::sequential((i as f64 + 0.5) / COLORS as f64)).collect();
    color_bar(c, rect, "ratings in a hexagon", &colors, ticks)
}

/// The different values, when there are few enough to be steps of a scale.
fn levels(values: &[f64]) -> Option<Vec<f64>> {
    let mut levels = sorted(values.iter().copied());
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
