//! The losses of the fits, next to the lecture's.

use anyhow::{Result, ensure};
use plotters::chart::SeriesLabelPosition;

use super::axes::{Axes, header};
use super::axis::{Axis, epoch_axis, short};
use super::canvas::{Align, Canvas, Face, Rect};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::numbers::{quantile, range_of, sorted};
use super::palette;
use crate::system::numerals::number;

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

    /// The running mean over the epochs trained. With each `fit` call, at a new rate, it starts anew: a line of its own,
    /// without the first batches, of which the mean of so few says little.
    fn running_lines(&self) -> Vec<Vec<(f64, f64)>> {
        let batches = self.running.len() as f64 / self.epochs.len() as f64;
        let batch = |after: usize| ((after as f64 * batches).round() as usize).min(self.running.len());
        let restarts = self.set_lrs.iter().map(|(after, _)| batch(*after));
        let ends: Vec<usize> = std::iter::once(0).chain(restarts).chain([self.running.len()]).collect();
        let line = |ends: &[usize]| {
            let (start, end) = (ends[0], ends[1]);
            let left_out = if start == 0 { 0 } else { RESTART.min(end.saturating_sub(start) / 2) };
            (start + left_out..end).map(|i| ((i + 1) as f64 / batches, self.running[i])).collect()
        };
        ends.windows(2).map(line).collect()
    }
}

/// Batches after a restart of the running mean that are not drawn, if there are twice as many.
const RESTART: usize = 20;

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
    let lines = fit.running_lines();
    let running = sorted(lines.iter().flatten().map(|(_, loss)| *loss));
    ensure!(!running.is_empty(), "{name}: no training loss is finite; the fit diverged, lower its rate");
    let highest = running[running.len() - 1];
    let (lo, top) = range_of(figures.chain([quantile(&running, 0.001)])).unwrap_or((0.0, 1.0));
    let hi = highest.clamp(top, top + (top - lo).max(0.05 * top));
    let cut = highest > hi + 0.06 * (hi - lo);

    let alt = format!(
        "{}: validation loss from {first:.4} after the first epoch to {last:.4} after {} epochs, with the \
         running training loss by batch{}.",
        fit.name,
        fit.epochs.len(),
        if !fit.lecture().is_empty() { " and the lecture's figures" } else { "" }
    );
    let mut subtitle = if cut {
        let edge = hi + 0.06 * (hi - lo);
        let within = lines[0].iter().rposition(|&(_, loss)| loss > edge).map_or(0, |i| i + 1);
        format!(
            "The running mean comes down from {}; it is above the plot until batch {}.",
            number(highest, 2),
            number(within as f64, 0)
        )
    } else {
        String::new()
    };
    if lines.len() > 1 {
        let restart = "At a new rate the running mean starts anew; its first batches there are left out.";
        subtitle = [&subtitle, restart].join(" ").trim_start().to_owned();
    }
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
        let label = format!("epochs trained ({} batches each)", number(batches.round(), 0));
        let x = epoch_axis(epochs, 0.0, &label);
        let mut axes =
            Axes::within(c, body, x, Axis::around((lo, hi), 6, "mean squared error (stars²)").with_grid())?;
        axes.draw(c);
        mark_rates(c, &mut axes, fit.set_lrs);
        for line in &lines {
            axes.line(c, line, TRN, 1.1);
        }
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
    let mut legend = vec![(Key::LineMark(Shape::Disc, palette::OURS), "this run")];
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
        let x = epoch_axis(fit.epochs.len(), 0.5, "epochs trained");
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
