//! What the ratings look like, and where the predictions go wrong.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::{Axis, short};
use super::canvas::{Align, Canvas, Face, Rect};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::numbers::{quantile, range_of, sorted};
use super::palette;
use crate::system::arithmetic;
use crate::system::numerals::number;

/// How often each rating is given: `values` such as 0.5, 1.0, … with their `counts`.
///
/// # Errors
/// When the two differ in length or are empty.
pub fn rating_histogram(name: &str, title: &str, values: &[f64], counts: &[u64]) -> Result<Figure> {
    ensure!(
        values.len() == counts.len() && !values.is_empty(),
        "{name}: a histogram needs a count for each value; there are {} values and {} counts",
        values.len(),
        counts.len()
    );
    let total: u64 = counts.iter().sum();
    let most = counts.iter().copied().max().unwrap_or(0);
    let mean = values.iter().zip(counts).map(|(v, &n)| v * n as f64).sum::<f64>() / total.max(1) as f64;
    let favorite =
        values.iter().zip(counts).fold((0.0, 0), |best, (&v, &n)| if n > best.1 { (v, n) } else { best }).0;
    let alt = format!(
        "{} ratings by number of stars; the most frequent is {favorite}, the mean {mean:.2}.",
        number(total as f64, 0)
    );
    Figure::draw(name, &alt, 640, 400, |c| {
        let subtitle =
            format!("{} ratings, mean {mean:.2}; the share of each above its bar", number(total as f64, 0));
        let body = header(c, title, &subtitle, &[]);
        let (lo, hi) = range_of(values.iter().copied()).unwrap_or((0.0, 1.0));
        let step = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(hi - lo, f64::min).max(1e-9);
        let stars = values.iter().map(|&v| (v, short(v))).collect();
        let x = Axis::linear(lo - 0.7 * step, hi + 0.7 * step, 6, "rating (stars)").with_ticks(stars);
        let mut axes = Axes::within(c, body, x, Axis::from_zero(1.04 * most as f64, 6, "number of ratings"))?;
        axes.draw(c);
        for (&value, &count) in values.iter().zip(counts) {
            axes.bar(c, (value - 0.4 * step, value + 0.4 * step), count as f64, palette::OURS);
            let (x, y) = axes.at(value, count as f64);
            let share = format!("{:.1}%", 100.0 * count as f64 / total.max(1) as f64);
            c.text(&share, x, y - 5.0, Align::Center, Face::TICK.sized(10.5).in_color(palette::INK));
        }
        Ok(())
    })
}

/// A table of ratings as colors with the numbers in them, users down and movies across (or any other two
/// things); `values` row by row, `None` if there is no rating.
///
/// # Errors
/// When `values` does not have one entry for each row and column, or there are none.
pub fn crosstab_heatmap(
    name: &str,
    title: &str,
    (row_kind, rows): (&str, &[String]),
    (column_kind, columns): (&str, &[String]),
    values: &[Option<f32>],
) -> Result<Figure> {
    ensure!(
        values.len() == rows.len() * columns.len() && !values.is_empty(),
        "{name}: a table of {} rows and {} columns needs {} values, not {}",
        rows.len(),
        columns.len(),
        rows.len() * columns.len(),
        values.len()
    );
    const CELL: (f64, f64) = (42.0, 26.0);
    let filled = values.iter().flatten().count();
    let (lo, hi) = range_of(values.iter().flatten().map(|&v| f64::from(v))).unwrap_or((0.0, 5.0));
    let alt = format!(
        "Table of {} rows ({row_kind}) and {} columns ({column_kind}) with {filled} of {} ratings \
         known, from {lo} to {hi}.",
        rows.len(),
        columns.len(),
        values.len()
    );
    // Titles are upright above their columns, on two or three lines when they are long.
    let face = Face::NOTE.sized(11.0);
    let titles = upright_titles(face, columns);
    let above = titles.iter().flatten().map(|line| face.width(line)).fold(0.0, f64::max) + 10.0;
    let beside = rows.iter().map(|r| face.width(r)).fold(0.0, f64::max).min(240.0) + 30.0;
    let width = 2.0 * super::axes::MARGIN + beside + CELL.0 * columns.len() as f64;
    let height = 2.0 * super::axes::MARGIN + 66.0 + above + CELL.1 * rows.len() as f64;
    Figure::fixed(name, &alt, (width.ceil() as u32).max(420), height.ceil() as u32, |c| {
        let subtitle = format!(
            "{filled} of {} ratings are known; a cell without a number is a movie not rated",
            values.len()
        );
        let body = header(c, title, &subtitle, &[]);
        let table = Rect {
            x: body.x + beside,
            y: body.y + 18.0 + above,
            w: CELL.0 * columns.len() as f64,
            h: CELL.1 * rows.len() as f64,
        };
        c.text(column_kind, table.x + table.w / 2.0, body.y + 8.0, Align::Center, Face::LABEL);
        c.text_upwards(row_kind, body.x + 10.0, table.y + table.h / 2.0, Align::Center, Face::LABEL);
        for (j, lines) in titles.iter().enumerate() {
            let middle = table.x + (j as f64 + 0.5) * CELL.0;
            for (k, line) in lines.iter().enumerate() {
                let shift = (k as f64 - (lines.len() - 1) as f64 / 2.0) * 12.5;
                c.text_upwards(line, middle + shift + face.half_capital(), table.y - 6.0, Align::Left, face);
            }
        }
        for (i, row) in rows.iter().enumerate() {
            let y = table.y + (i as f64 + 0.5) * CELL.1;
            c.text(&face.shorten(row, 240.0), table.x - 7.0, y + face.half_capital(), Align::Right, face);
            for j in 0..columns.len() {
                let cell = Rect {
                    x: table.x + j as f64 * CELL.0 + 1.0,
                    y: table.y + i as f64 * CELL.1 + 1.0,
                    w: CELL.0 - 2.0,
                    h: CELL.1 - 2.0,
                };
                draw_cell(c, cell, values[i * columns.len() + j].map(f64::from), (lo, hi));
            }
        }
        Ok(())
    })
}

fn draw_cell(c: &mut Canvas, cell: Rect, value: Option<f64>, (lo, hi): (f64, f64)) {
    let Some(value) = value else {
        c.outline(
            Rect { x: cell.x + 0.5, y: cell.y + 0.5, w: cell.w - 1.0, h: cell.h - 1.0 },
            palette::PALE,
            1.0,
        );
        return;
    };
    let color = palette::sequential(if hi > lo { (value - lo) / (hi - lo) } else { 0.5 });
    c.rect(cell, color);
    let ink = if palette::lightness(color) > 0.5 { palette::INK } else { palette::WHITE };
    let face = Face::NOTE.in_color(ink);
    let middle = (cell.x + cell.w / 2.0, cell.y + cell.h / 2.0 + face.half_capital());
    c.text(&format!("{value:.1}"), middle.0, middle.1, Align::Center, face);
}

/// The titles broken into lines, as short as possible with at most three lines for each; a longer title is cut off.
fn upright_titles(face: Face, titles: &[String]) -> Vec<Vec<String>> {
    const LENGTHS: [f64; 6] = [110.0, 130.0, 150.0, 170.0, 190.0, 210.0];
    let broken = |length: f64| -> Vec<Vec<String>> { titles.iter().map(|t| face.wrap(t, length)).collect() };
    let fits = |&length: &f64| {
        broken(length)
            .iter()
            .all(|lines| lines.len() <= 3 && lines.iter().all(|line| face.width(line) <= length))
    };
    let length = LENGTHS.into_iter().find(fits).unwrap_or(210.0);
    let mut titles = broken(length);
    for lines in &mut titles {
        let rest = lines.split_off(lines.len().min(2)).join(" ");
        lines.push(rest);
        lines.iter_mut().for_each(|line| *line = face.shorten(line, length));
        lines.retain(|line| !line.is_empty());
    }
    titles
}

/// The sigmoid squashed to each of the given ranges: what a model may add up to, and the rating that it
/// predicts then. Each range has a name, such as `("EmbeddingDotBias", 0.5, 5.0)`; `ratings` is the range
/// that exists.
///
/// # Errors
/// When there is no range or one is empty.
pub fn squashed_sigmoid(
    name: &str,
    title: &str,
    ratings: (f64, f64),
    ranges: &[(&str, f64, f64)],
) -> Result<Figure> {
    ensure!(!ranges.is_empty(), "{name}: there is no range to squash the sigmoid to");
    for (model, min, max) in ranges {
        ensure!(max > min, "{name}: {model} has the empty range from {min} to {max}");
    }
    let ends: Vec<String> =
        ranges.iter().map(|(model, min, max)| format!("{model} {min} to {max}")).collect();
    let alt = format!("Sigmoid curves between fixed ends: {}.", ends.join(", "));
    let entries: Vec<String> = ranges
        .iter()
        .map(|(model, min, max)| format!("{model}: {} to {}", short(*min), short(*max)))
        .collect();
    let mut legend: Vec<(Key, &str)> = entries
        .iter()
        .enumerate()
        .map(|(i, text)| (Key::Line(palette::SERIES[i % 8], 2.2), text.as_str()))
        .collect();
    legend.push((Key::Patch(palette::BAND), "ratings that exist"));
    Figure::draw(name, &alt, 640, 430, |c| {
        let body = header(c, title, "", &legend);
        let ends = ranges.iter().flat_map(|r| [r.1, r.2]).chain([ratings.0, ratings.1]);
        let x = Axis::linear(-8.0, 8.0, 8, "what the model adds up to, before the sigmoid");
        let mut axes = Axes::within(
            c,
            body,
            x,
            Axis::around(range_of(ends).unwrap_or((0.0, 1.0)), 6, "predicted rating (stars)"),
        )?;
        axes.area(c, (-8.0, ratings.0), (8.0, ratings.1), palette::BAND);
        axes.draw(c);
        for (i, (_, min, max)) in ranges.iter().enumerate() {
            let color = palette::SERIES[i % palette::SERIES.len()];
            for end in [*min, *max] {
                axes.dashed(c, &[(-8.0, end), (8.0, end)], color, 0.9, (4.0, 3.0));
            }
            let curve: Vec<(f64, f64)> = (0..=320)
                .map(|k| -8.0 + 0.05 * f64::from(k))
                .map(|x| (x, min + (max - min) / (1.0 + (-x).exp())))
                .collect();
            axes.line(c, &curve, color, 2.2);
        }
        Ok(())
    })
}

/// The residuals of the validation rows whose movies have about the same number of training ratings.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    /// `0`, `1`, `2–3`, `4–7`, …
    label: String,
    residuals: Vec<f64>,
}

/// The residuals sorted into groups 0, 1, 2–3, 4–7, …; groups without residuals in between stay, empty.
fn by_popularity(n_train: &[u32], residuals: &[f32]) -> Vec<Group> {
    let group_of = |n: u32| (u32::BITS - n.leading_zeros()) as usize;
    let last = n_train.iter().map(|&n| group_of(n)).max().unwrap_or(0);
    let mut groups: Vec<Group> = (0..=last)
        .map(|g| match g {
            0 | 1 => Group { label: g.to_string(), residuals: vec![] },
            _ => {
                let from = 1_u64 << (g - 1);
                Group { label: format!("{from}–{}", 2 * from - 1), residuals: vec![] }
            }
        })
        .collect();
    for (&n, &residual) in n_train.iter().zip(residuals) {
        groups[group_of(n)].residuals.push(f64::from(residual));
    }
    groups
}

/// Residuals (true minus predicted rating) of the validation rows against the number of training ratings of their
/// movie. For each group 0, 1, 2–3, 4–7, … it shows the mean, the middle half and the middle nine tenths, and above it
/// how many rows there are and their root mean squared error. Movies with no training rating, the cold start, are set
/// apart at the left.
///
/// # Errors
/// When the two differ in length, are empty, or a residual is not finite.
pub fn residuals_by_popularity(
    name: &str,
    title: &str,
    n_train_ratings: &[u32],
    residuals: &[f32],
) -> Result<Figure> {
    ensure!(
        n_train_ratings.len() == residuals.len() && !residuals.is_empty(),
        "{name}: there are {} movies' counts for {} residuals",
        n_train_ratings.len(),
        residuals.len()
    );
    if let Some(row) = residuals.iter().position(|r| !r.is_finite()) {
        anyhow::bail!("{name}: residual number {row} is {}; it cannot be drawn", residuals[row]);
    }
    let groups = by_popularity(n_train_ratings, residuals);
    let rms = |g: &Group| (g.residuals.iter().map(|r| r * r).sum::<f64>() / g.residuals.len() as f64).sqrt();
    let ends: Vec<String> = [groups.first(), groups.last()]
        .into_iter()
        .flatten()
        .filter(|g| !g.residuals.is_empty())
        .map(|g| format!("{} training ratings: {:.2}", g.label, rms(g)))
        .collect();
    let alt = format!(
        "True minus predicted rating of {} validation rows by popularity of the movie; root mean squared \
         error at {}.",
        number(residuals.len() as f64, 0),
        ends.join(", at ")
    );
    let legend = [
        (Key::Mark(Shape::Disc, palette::OURS), "mean"),
        (Key::Patch(palette::SKY), "middle half"),
        (Key::Patch(palette::sequential(0.14)), "middle 90%"),
        (Key::Patch(palette::ORANGE), "cold start: never seen in training"),
    ];
    Figure::fixed(name, &alt, 760, 470, |c| {
        let body = header(c, title, "", &legend);
        let middle: Vec<Vec<f64>> = groups.iter().map(|g| sorted(g.residuals.iter().copied())).collect();
        let outer =
            middle.iter().filter(|m| !m.is_empty()).flat_map(|m| [quantile(m, 0.05), quantile(m, 0.95)]);
        let y = Axis::around(
            range_of(outer.chain([0.0])).unwrap_or((-1.0, 1.0)),
            6,
            "true − predicted rating (stars)",
        )
        .with_grid();
        // The cold start has a gap of half a group after it.
        let place = |g: usize| if g == 0 { 0.0 } else { g as f64 + 0.5 };
        let ticks = groups.iter().enumerate().map(|(g, group)| (place(g), group.label.clone())).collect();
        let x = Axis::linear(
            -0.6,
            place(groups.len() - 1).max(0.0) + 0.6,
            8,
            "ratings of the movie in the training set",
        )
        .with_ticks(ticks);
        let table = 36.0;
        let mut axes = Axes::within(c, Rect { y: body.y + table, h: body.h - table, ..body }, x, y)?;
        axes.draw(c);
        for (row, text) in ["rows", "RMSE"].iter().enumerate() {
            let y = body.y + 10.0 + 15.0 * row as f64;
            c.text(text, axes.inner.x - 8.0, y, Align::Right, Face::TICK);
        }
        for (g, (group, values)) in groups.iter().zip(&middle).enumerate() {
            if values.is_empty() {
                continue;
            }
            let x = place(g);
            let column = axes.at(x, 0.0).0;
            let face = Face::TICK.in_color(palette::INK);
            c.text(&number(values.len() as f64, 0), column, body.y + 10.0, Align::Center, face);
            c.text(&format!("{:.2}", rms(group)), column, body.y + 25.0, Align::Center, face.bold());
            let (wide, narrow, mean) = if g == 0 {
                (palette::PALE_ORANGE, palette::ORANGE, palette::VERMILION)
            } else {
                (palette::sequential(0.14), palette::SKY, palette::OURS)
            };
            for (q, half, color) in [(0.05, 0.36, wide), (0.25, 0.24, narrow)] {
                let (low, high) = (quantile(values, q), quantile(values, 1.0 - q));
                // Where all residuals are equal, still a line.
                let thin = 0.001 * (axes.y.hi - axes.y.lo);
                axes.area(c, (x - half, low - thin), (x + half, high + thin), color);
            }
            let average = arithmetic::mean(values);
            axes.mark(c, Shape::Disc, (x, average), 3.6, mean);
        }
        axes.line(c, &[(axes.x.lo, 0.0), (axes.x.hi, 0.0)], palette::INK, 0.8);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movies_are_grouped_by_powers_of_two_and_the_cold_start_is_apart() {
        let groups = by_popularity(&[0, 1, 2, 3, 4, 8, 0], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let labels: Vec<&str> = groups.iter().map(|g| g.label.as_str()).collect();
        assert_eq!(labels, ["0", "1", "2–3", "4–7", "8–15"]);
        assert_eq!(groups[0].residuals, [0.0, 6.0]);
        assert_eq!(groups[2].residuals, [2.0, 3.0]);
    }
}
