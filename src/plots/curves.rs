//! Numbers in the order they came: losses, learning rates, gradients.

use anyhow::{Result, ensure};
use plotters::chart::SeriesLabelPosition;

use super::axes::{Axes, Axis, header, short};
use super::canvas::{Align, Canvas, Face, Rect};
use super::marks::{KEY, Key, Shape};
use super::{Figure, number, palette, quantile, range_of, sorted};

/// The losses of one fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitLosses<'a> {
    /// What to call it, such as `embedding_dot`.
    pub name: &'a str,
    /// The debiased running mean of the training loss after each batch of all epochs.
    pub running: &'a [f64],
    /// Training and validation loss of each epoch, as `fit` prints them.
    pub epochs: &'a [[f64; 2]],
    /// The same of the lecture's run, as far as it went; empty if the lecture has no such fit.
    pub lecture: &'a [[f64; 2]],
    /// Where `set_lrs` changed the rate: after how many epochs, and to what.
    pub set_lrs: &'a [(usize, f64)],
}

impl FitLosses<'_> {
    /// The lecture's losses for the epochs that this fit has.
    fn lecture(&self) -> &[[f64; 2]] {
        &self.lecture[..self.lecture.len().min(self.epochs.len())]
    }
}

const TRN: plotters::style::RGBColor = palette::SKY;

/// One fit: the running training loss batch by batch, the validation loss at the end of each epoch, and the lecture's
/// own figures next to them. The first batches of a running mean are often far above all that follow. When they would
/// flatten the rest they are cut off, and the line above the plot says what they were.
///
/// # Errors
/// When there is no epoch, no batch, or no finite loss.
pub fn loss_curves(name: &str, title: &str, fit: &FitLosses) -> Result<Figure> {
    let (first, last) = ends(name, fit)?;
    ensure!(
        fit.running.len() >= fit.epochs.len(),
        "{name}: {} batches cannot make {} epochs",
        fit.running.len(),
        fit.epochs.len()
    );
    let batches = fit.running.len() as f64 / fit.epochs.len() as f64;

    // The range: all figures of the epochs, and as much of the running mean as leaves them the lower half of
    // the plot.
    let figures = fit.epochs.iter().chain(fit.lecture()).flatten().copied();
    let running = sorted(fit.running.iter().copied());
    ensure!(!running.is_empty(), "{name}: no training loss is finite; the fit diverged, lower its rate");
    let highest = running[running.len() - 1];
    let (lo, top) = range_of(figures.chain([quantile(&running, 0.001)])).unwrap_or((0.0, 1.0));
    let hi = highest.clamp(top, top + (top - lo).max(0.05 * top));
    let cut = highest > hi + 0.06 * (hi - lo);

    let alt = format!(
        "{}: validation loss from {first:.4} after the first epoch to {last:.4} after epoch {}, with the \
         running training loss by batch{}.",
        fit.name,
        fit.epochs.len(),
        if !fit.lecture().is_empty() { " and the lecture's figures" } else { "" }
    );
    let subtitle = if cut {
        let edge = hi + 0.06 * (hi - lo);
        let within = fit.running.iter().rposition(|&v| v > edge).map_or(0, |i| i + 1);
        format!(
            "The running mean comes down from {}; it is above the plot until batch {}.",
            number(highest, 2),
            number(within as f64, 0)
        )
    } else {
        String::new()
    };
    let mut legend =
        vec![(Key::Line(TRN, 1.4), "trn, running mean"), (Key::LineMark(Shape::Disc, palette::OURS), "val")];
    if !fit.lecture().is_empty() {
        legend.push((Key::Mark(Shape::OpenTriangle, palette::LECTURE), "lecture's trn"));
        legend.push((Key::Mark(Shape::OpenDiamond, palette::LECTURE), "lecture's val"));
    }
    let changes: Vec<String> =
        fit.set_lrs.iter().map(|(_, rate)| format!("from here, learning rate {}", short(*rate))).collect();
    legend.extend(changes.iter().map(|change| (Key::Dashes(palette::GRAY, 1.0), change.as_str())));
    Figure::draw(name, &alt, 720, 430, |c| {
        let body = header(c, title, &subtitle, &[]);
        let epochs = fit.epochs.len();
        let label = format!("epochs ({} batches each)", number(batches.round(), 0));
        let x = epoch_axis(epochs, 0.0, &label);
        let mut axes =
            Axes::within(c, body, x, Axis::around((lo, hi), 6, "mean squared error (stars²)").with_grid())?;
        axes.draw(c);
        mark_rates(c, &mut axes, fit.set_lrs);
        let running: Vec<(f64, f64)> =
            fit.running.iter().enumerate().map(|(i, &loss)| ((i + 1) as f64 / batches, loss)).collect();
        axes.line(c, &running, TRN, 1.1);
        draw_epochs(c, &mut axes, fit, true);
        // Losses fall, which leaves this corner free.
        axes.legend(c, SeriesLabelPosition::UpperRight, &legend);
        Ok(())
    })
}

/// The validation losses of all fits side by side, on one scale so that the models compare, with the
/// lecture's marks and the last figures as numbers.
///
/// # Errors
/// When there is no fit, or one has no finite validation loss.
pub fn all_validation_losses(name: &str, title: &str, fits: &[FitLosses]) -> Result<Figure> {
    ensure!(!fits.is_empty(), "{name}: there is no fit to draw; run at least one section that trains");
    let mut last_losses = Vec::new();
    for fit in fits {
        let (_, last) = ends(name, fit)?;
        last_losses.push(format!("{} {last:.4}", fit.name));
    }
    let alt = format!(
        "Validation loss by epoch of {} fits; the last of each: {}.",
        fits.len(),
        last_losses.join(", ")
    );
    let all = fits.iter().flat_map(|f| f.epochs.iter().chain(f.lecture())).map(|[_, val]| *val);
    let (lo, hi) = range_of(all).unwrap_or((0.0, 1.0));
    let mut legend = vec![(Key::LineMark(Shape::Disc, palette::OURS), "ours")];
    let subtitle = "The numbers are the losses of the last epoch.";
    if fits.iter().any(|f| !f.lecture().is_empty()) {
        legend.push((Key::Mark(Shape::OpenDiamond, palette::LECTURE), "lecture's"));
    }
    if fits.iter().any(|f| !f.set_lrs.is_empty()) {
        legend.push((Key::Dashes(palette::GRAY, 1.0), "from here, a lower rate"));
    }
    // At most four panels in a row.
    let per_row = fits.len().min(4);
    let rows = fits.len().div_ceil(per_row);
    let width = (230 * per_row as u32).max(460);
    Figure::draw(name, &alt, width, 96 + 340 * rows as u32, |c| {
        let body = header(c, title, subtitle, &legend);
        let height = body.h / rows as f64;
        for (row, fits) in fits.chunks(per_row).enumerate() {
            let strip = Rect { y: body.y + row as f64 * height, h: height - 6.0, ..body };
            draw_panels(c, strip, fits, per_row, (lo, hi))?;
        }
        Ok(())
    })
}

/// One row of panels: the first has the scale, the others only its grid.
fn draw_panels(
    c: &mut Canvas,
    strip: Rect,
    fits: &[FitLosses],
    columns: usize,
    range: (f64, f64),
) -> Result<()> {
    let scale = Axis::log(range.0 / 1.04, range.1 * 1.04, "validation loss, MSE (stars²)").with_grid();
    let left = Axes::room_left(&scale);
    let panels = Rect { x: strip.x + left, w: strip.w - left, ..strip }.columns(columns, 16.0);
    for (i, (fit, panel)) in fits.iter().zip(panels).enumerate() {
        let x = epoch_axis(fit.epochs.len(), 0.5, "epochs");
        let below = Axes::room_below(&x);
        let inner = Rect { y: panel.y + 40.0, h: panel.h - 40.0 - below, ..panel };
        let y = if i == 0 { scale.clone() } else { scale.clone().unlabeled() };
        let mut axes = Axes::around(c, inner, x, y)?;
        axes.draw(c);
        mark_rates(c, &mut axes, fit.set_lrs);
        draw_epochs(c, &mut axes, fit, false);
        let face = Face::LABEL.bold();
        c.text(&face.shorten(fit.name, panel.w), panel.x, panel.y + 12.0, Align::Left, face);
        if let Some([_, last]) = fit.epochs.last() {
            let ours = format!("{last:.4}");
            let face = Face::NOTE.in_color(palette::OURS).bold();
            c.text(&ours, panel.x, panel.y + 28.0, Align::Left, face);
            if let Some([_, lecture]) = fit.lecture.get(fit.epochs.len() - 1) {
                let x = panel.x + face.width(&ours) + 8.0;
                c.text(
                    &format!("lecture {lecture:.4}"),
                    x,
                    panel.y + 28.0,
                    Align::Left,
                    Face::NOTE.in_color(palette::LECTURE),
                );
            }
        }
    }
    Ok(())
}

fn epoch_axis(epochs: usize, from: f64, label: &str) -> Axis {
    let every = epochs.div_ceil(12).max(1);
    let start = if from > 0.0 { 1 } else { 0 };
    let ticks = (start..=epochs).step_by(every).map(|e| (e as f64, e.to_string())).collect();
    // The last mark is on the last tick: leave room for half of it.
    Axis::linear(from, epochs as f64 + 0.03 * epochs as f64 + from / 2.0, 6, label).with_ticks(ticks)
}

/// The first and the last validation loss; an error when there is none to draw.
fn ends(name: &str, fit: &FitLosses) -> Result<(f64, f64)> {
    let finite = fit.epochs.iter().filter(|[_, val]| val.is_finite()).count();
    match (fit.epochs.first(), fit.epochs.last()) {
        (Some([_, first]), Some([_, last])) if finite > 0 => Ok((*first, *last)),
        (Some(_), _) => anyhow::bail!(
            "{name}: no validation loss of {} is finite; the fit diverged, lower its rate",
            fit.name
        ),
        _ => anyhow::bail!("{name}: {} has no epoch to draw; fit at least one", fit.name),
    }
}

/// A dashed line where `set_lrs` changed the rate; the legend has the rate.
fn mark_rates(c: &mut Canvas, axes: &mut Axes, set_lrs: &[(usize, f64)]) {
    for &(after, _) in set_lrs {
        let (x, ends) = (after as f64, (axes.y.lo, axes.y.hi));
        axes.dashed(c, &[(x, ends.0), (x, ends.1)], palette::GRAY, 1.0, (4.0, 3.0));
    }
}

/// The figures at the ends of the epochs.
fn draw_epochs(c: &mut Canvas, axes: &mut Axes, fit: &FitLosses, with_trn: bool) {
    let val: Vec<(f64, f64)> =
        fit.epochs.iter().enumerate().map(|(i, [_, val])| ((i + 1) as f64, *val)).collect();
    axes.line(c, &val, palette::OURS, 1.6);
    // The lecture's marks first and larger: where both agree ours is inside, and both are visible.
    for (i, [trn, val]) in fit.lecture().iter().enumerate() {
        let x = (i + 1) as f64;
        if with_trn {
            axes.mark(c, Shape::OpenTriangle, (x, *trn), 4.6, palette::LECTURE);
        }
        axes.mark(c, Shape::OpenDiamond, (x, *val), 5.6, palette::LECTURE);
    }
    for &point in &val {
        axes.mark(c, Shape::Disc, point, 2.9, palette::OURS);
    }
}

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
        let label = format!("epochs ({} batches each)", number(batches_per_epoch as f64, 0));
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
    Figure::draw(name, &alt, 720, 400, |c| {
        let body = header(c, title, "", &legend);
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
        let x = Axis::linear(first as f64, last + 0.03 * longest as f64, 6, "epochs").with_ticks(epochs);
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
