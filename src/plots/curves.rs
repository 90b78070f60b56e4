//! Numbers in the order they came: learning rates, losses of several methods, gradients.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::{Axis, epoch_axis, short};
use super::canvas::{Align, Face, Rect};
use super::figure::Figure;
use super::marks::{KEY, Key, Shape};
use super::numbers::{quantile, range_of, sorted};
use super::palette;
use crate::system::numerals::number;

/// The learning rate of every batch.
///
/// # Errors
/// When there is no rate, one is not a finite number, or `batches_per_epoch` is 0.
pub fn lr_schedule(name: &str, title: &str, rates: &[f64], batches_per_epoch: usize) -> Result<Figure> {
    ensure!(batches_per_epoch > 0, "{name}: an epoch of 0 batches has no schedule");
    all_finite(name, "rate", rates)?;
    let (lo, hi) = range_of(rates.iter().copied()).unwrap_or((0.0, 1.0));
    let epochs = rates.len() as f64 / batches_per_epoch as f64;
    let alt = format!(
        "Learning rate over {} batches ({epochs:.0} epochs), between {} and {}.",
        number(rates.len() as f64, 0),
        short_rate(lo),
        short_rate(hi)
    );
    Figure::draw(name, &alt, 720, 330, |c| {
        let body = header(c, title, "", &[]);
        let label = format!("epochs trained ({} batches each)", number(batches_per_epoch as f64, 0));
        let x = epoch_axis(epochs.ceil() as usize, 0.0, &label).with_grid();
        let mut axes = Axes::within(c, body, x, Axis::from_zero(hi, 5, "learning rate").with_grid())?;
        axes.draw(c);
        let place = |i: usize| i as f64 / batches_per_epoch as f64;
        // A rate holds for its batch: a step from one batch to the next, seen where the rate jumps.
        let mut line = Vec::new();
        for (i, &rate) in rates.iter().enumerate() {
            line.extend([(place(i), rate), (place(i + 1), rate)]);
        }
        axes.line(c, &line, palette::OURS, 1.8);
        Ok(())
    })
}

/// What the learning-rate finder found: the running loss at each rate, the rates on a logarithmic scale. The lowest loss is
/// marked, and the rate `taken` if one was chosen.
///
/// # Errors
/// When there are fewer than two rates, or one is not above 0, or a loss is not finite.
pub fn lr_finder(name: &str, title: &str, found: &[(f64, f64)], taken: Option<f64>) -> Result<Figure> {
    ensure!(found.len() > 1, "{name}: {} rates cannot make a curve", found.len());
    let (rates, losses): (Vec<f64>, Vec<f64>) = found.iter().copied().unzip();
    all_finite(name, "rate", &rates)?;
    all_finite(name, "loss", &losses)?;
    ensure!(rates.iter().all(|r| *r > 0.0), "{name}: a rate of 0 has no place on a logarithmic scale");
    let (from, to) = (rates[0], rates[rates.len() - 1]);
    let (lo, highest) = range_of(losses.iter().copied()).unwrap_or((0.0, 1.0));
    // Past the lowest loss the curve shoots up; the start and a little of that are what matters.
    let hi = highest.min(lo + 1.5 * (losses[0].max(quantile(&sorted(losses.iter().copied()), 0.5)) - lo));
    let at = found.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(from, |f| f.0);
    let alt = format!(
        "Loss while the learning rate grows from {} to {}; lowest at {}.",
        short_rate(from),
        short_rate(to),
        short_rate(at)
    );
    let lowest = format!("lowest loss, at {}", short_rate(at));
    let mut legend = vec![(Key::Mark(Shape::OpenDiamond, palette::OURS), lowest.as_str())];
    let used = taken.map(|rate| format!("rate used: {}", short_rate(rate)));
    legend.extend(used.iter().map(|used| (Key::Dashes(palette::GRAY, 1.2), used.as_str())));
    let leaves = found.iter().rposition(|(_, loss)| *loss <= hi).and_then(|last| found.get(last + 1));
    let subtitle = leaves.map_or(String::new(), |(rate, _)| {
        format!("From a rate of {rate:.2} on, the loss is above the plot; it comes to {highest:.1}.")
    });
    Figure::draw(name, &alt, 720, 400, |c| {
        let body = header(c, title, &subtitle, &legend);
        let x = Axis::log(from, to, "learning rate").with_grid();
        let y = Axis::around((lo, hi), 6, "running training loss, MSE (stars²)").with_grid();
        let mut axes = Axes::within(c, body, x, y)?;
        axes.draw(c);
        if let Some(rate) = taken {
            let ends = (axes.y.lo, axes.y.hi);
            axes.dashed(c, &[(rate, ends.0), (rate, ends.1)], palette::GRAY, 1.2, (5.0, 3.0));
        }
        axes.line(c, found, palette::OURS, 1.8);
        axes.mark(c, Shape::OpenDiamond, (at, lo), 5.6, palette::OURS);
        Ok(())
    })
}

fn short_rate(rate: f64) -> String {
    short(format!("{rate:.2e}").parse().unwrap_or(rate))
}

/// A loss after each epoch for several methods, on a logarithmic scale; the first value of a curve is that after `first`
/// epochs, where 0 is before training. A curve that stops early, or leaves the finite numbers, ends there. The names are at
/// the right, in the order of the curves' ends.
///
/// # Errors
/// When there is no curve or no loss above 0.
pub fn loss_by_epoch(
    name: &str,
    title: &str,
    loss: &str,
    first: usize,
    curves: &[(&str, &[f64])],
) -> Result<Figure> {
    let drawable = |v: &f64| v.is_finite() && *v > 0.0;
    let all = curves.iter().flat_map(|(_, curve)| curve.iter().copied()).filter(|v| drawable(v));
    let Some((lo, hi)) = range_of(all) else {
        anyhow::bail!("{name}: none of the {} curves has a loss above 0 to draw", curves.len());
    };
    let longest = curves.iter().map(|(_, curve)| curve.len()).max().unwrap_or(1);
    let lasts: Vec<String> =
        curves.iter().filter_map(|(n, v)| Some(format!("{n} {}", figures(*v.last()?)))).collect();
    let alt = format!(
        "{loss} up to epoch {}, logarithmic scale; at the end: {}.",
        first + longest - 1,
        lasts.join(", ")
    );
    Figure::draw(name, &alt, 720, 440, |c| {
        let body = header(c, title, "", &[]);
        let room = curves.iter().map(|(name, _)| Face::NOTE.width(name)).fold(0.0, f64::max) + KEY + 18.0;
        let last = (first + longest - 1) as f64;
        let epochs = (first..first + longest).map(|epoch| (epoch as f64, epoch.to_string())).collect();
        let x =
            Axis::linear(first as f64, last + 0.03 * longest as f64, 6, "epochs trained").with_ticks(epochs);
        let y = Axis::log(lo / 1.06, hi * 1.06, loss).with_grid();
        let mut axes = Axes::within(c, Rect { w: body.w - room, ..body }, x, y)?;
        axes.draw(c);
        let mut ends = Vec::new();
        for (i, (label, curve)) in curves.iter().enumerate() {
            let series = palette::SERIES[i % palette::SERIES.len()];
            let (color, dashed) = palette::optimizer(label).unwrap_or((series, i >= palette::SERIES.len()));
            let points: Vec<(f64, f64)> = curve
                .iter()
                .enumerate()
                .take_while(|(_, v)| drawable(v))
                .map(|(e, &v)| ((first + e) as f64, v))
                .collect();
            let key = if dashed { Key::Dashes(color, 1.8) } else { Key::LineMark(Shape::Disc, color) };
            match dashed {
                true => axes.dashed(c, &points, color, 1.8, (5.0, 3.0)),
                false => axes.line(c, &points, color, 1.8),
            }
            for &point in &points {
                axes.mark(c, Shape::Disc, point, 2.4, color);
            }
            ends.extend(points.last().map(|&(x, y)| (axes.at(x, y).1, key, *label)));
        }
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = ends.iter().map(|end| end.0).collect();
        let places = spread(&wanted, 17.0, (axes.inner.y, axes.inner.bottom()));
        for ((_, key, name), y) in ends.into_iter().zip(places) {
            let x = axes.inner.right() + 12.0;
            c.key(key, (x, y));
            c.text(name, x + KEY + 6.0, y + Face::NOTE.half_capital(), Align::Left, Face::NOTE);
        }
        Ok(())
    })
}

/// Places at least `gap` apart and within the range, in the same order and near the wanted (sorted) ones.
fn spread(wanted: &[f64], gap: f64, (lo, hi): (f64, f64)) -> Vec<f64> {
    let mut places = wanted.to_vec();
    // Down the page each keeps its distance from the one above; then up again from the lower end.
    for i in 0..places.len() {
        places[i] = places[i].max(if i == 0 { lo } else { places[i - 1] + gap });
    }
    for i in (0..places.len()).rev() {
        places[i] = places[i].min(if i + 1 == places.len() { hi } else { places[i + 1] - gap });
    }
    places
}

/// Three figures, for a sentence.
fn figures(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let decimals = (2 - value.abs().log10().floor() as i32).max(0);
    if decimals > 7 { format!("{value:.2e}") } else { number(value, decimals as usize) }
}

/// A gradient step by step as it comes, and averaged as momentum does it.
///
/// # Errors
/// When the two differ in length, are empty, or hold a number that is not finite.
pub fn gradient_trace(
    name: &str,
    title: &str,
    gradient: &str,
    raw: &[f64],
    averaged: &[f64],
) -> Result<Figure> {
    ensure!(raw.len() == averaged.len(), "{name}: {} gradients but {} averages", raw.len(), averaged.len());
    all_finite(name, "gradient", raw)?;
    all_finite(name, "average", averaged)?;
    let spread = |values: &[f64]| range_of(values.iter().copied()).map_or(0.0, |(lo, hi)| hi - lo);
    let alt = format!(
        "{gradient} over {} steps: alone it moves within a range of {}, averaged within {}.",
        raw.len(),
        figures(spread(raw)),
        figures(spread(averaged))
    );
    let legend = [
        (Key::LineMark(Shape::Disc, palette::SKY), "gradient of one row"),
        (Key::Line(palette::GREEN, 2.4), "its moving average (momentum)"),
    ];
    Figure::draw(name, &alt, 720, 380, |c| {
        let body = header(c, title, "", &legend);
        let (lo, hi) = range_of(raw.iter().chain(averaged).copied().chain([0.0])).unwrap_or((0.0, 1.0));
        let x = Axis::linear(0.0, raw.len() as f64 * 1.01, 8, "steps");
        let mut axes = Axes::within(c, body, x, Axis::around((lo, hi), 6, gradient).with_grid())?;
        axes.draw(c);
        axes.line(c, &[(axes.x.lo, 0.0), (axes.x.hi, 0.0)], palette::GRAY, 0.9);
        let points = |v: &[f64]| -> Vec<(f64, f64)> {
            v.iter().enumerate().map(|(i, &g)| ((i + 1) as f64, g)).collect()
        };
        axes.line(c, &points(raw), palette::SKY, 1.0);
        if raw.len() <= 200 {
            for at in points(raw) {
                axes.mark(c, Shape::Dot, at, 1.9, palette::SKY);
            }
        }
        axes.line(c, &points(averaged), palette::GREEN, 2.4);
        Ok(())
    })
}

/// The root mean squared error after each iteration of a solver; the first value is the start.
///
/// # Errors
/// When there is no value or one is not finite.
pub fn descent(name: &str, title: &str, rmse: &[f64]) -> Result<Figure> {
    all_finite(name, "RMSE", rmse)?;
    let (lo, hi) = range_of(rmse.iter().copied()).unwrap_or((0.0, 1.0));
    let (first, last) = (rmse[0], rmse[rmse.len() - 1]);
    let alt = format!(
        "Root mean squared error of the solver from {first:.3} at the start to {last:.3} after {} iterations.",
        rmse.len() - 1
    );
    Figure::draw(name, &alt, 720, 380, |c| {
        let body = header(c, title, "", &[]);
        let x = Axis::linear(0.0, (rmse.len() - 1).max(1) as f64 * 1.02, 8, "iterations of the solver");
        let wide = lo > 0.0 && hi / lo > 20.0;
        let label = "root mean squared error (stars)";
        let y = if wide { Axis::log(lo / 1.2, hi * 1.2, label) } else { Axis::from_zero(hi, 6, label) };
        let mut axes = Axes::within(c, body, x, y.with_grid())?;
        axes.draw(c);
        let points: Vec<(f64, f64)> = rmse.iter().enumerate().map(|(i, &v)| (i as f64, v)).collect();
        axes.line(c, &points, palette::OURS, 2.0);
        axes.mark(c, Shape::Disc, points[0], 3.6, palette::OURS);
        axes.mark(c, Shape::Disc, points[points.len() - 1], 3.6, palette::OURS);
        let (x, y) = axes.at(points[0].0, first);
        c.text_on_white(&format!("start: {first:.3}"), x + 9.0, y + 4.0, Align::Left, Face::NOTE);
        if points.len() > 1 {
            // Above the line's end there is room whenever the error fell.
            let (x, y) = axes.at(points[points.len() - 1].0, last);
            c.text_on_white(&format!("solved: {last:.3}"), x, y - 11.0, Align::Right, Face::NOTE);
        }
        Ok(())
    })
}

fn all_finite(name: &str, what: &str, values: &[f64]) -> Result<()> {
    ensure!(!values.is_empty(), "{name}: there is no {what} to draw");
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => anyhow::bail!("{name}: {what} number {i} is {}; it cannot be drawn", values[i]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_the_ends_of_curves_keep_their_distance_and_stay_inside() {
        let places = spread(&[10.0, 10.5, 11.0, 98.0, 99.0], 15.0, (0.0, 100.0));
        assert!(places.windows(2).all(|w| w[1] - w[0] >= 15.0 - 1e-9), "{places:?}");
        assert!(places.iter().all(|&p| (0.0..=100.0).contains(&p)), "{places:?}");
    }
}
