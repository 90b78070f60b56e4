//! The lecture's drawings with axes: points with lines, and a curve with its secant and tangent.

use anyhow::{Result, ensure};
use plotters::chart::SeriesLabelPosition;

use super::axes::{Axes, header};
use super::axis::{Axis, short};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::numbers::range_of;
use super::palette;
use crate::system::numerals::number;

/// Points, and lines `b + a·x` through them, each with its name.
///
/// # Errors
/// When there is no point.
pub fn points_and_lines(
    name: &str,
    title: &str,
    points: &[(f64, f64)],
    lines: &[(&str, f64, f64)],
) -> Result<Figure> {
    ensure!(!points.is_empty(), "{name}: there is no point to draw");
    let names: Vec<&str> = lines.iter().map(|line| line.0).collect();
    let alt = format!("{} points, and the lines: {}.", points.len(), names.join("; "));
    let ink =
        |i: usize| if i == 0 { Key::Line(palette::GREEN, 1.8) } else { Key::Dashes(palette::VERMILION, 1.8) };
    let mut legend = vec![(Key::Mark(Shape::Disc, palette::OURS), "data")];
    legend.extend(names.iter().enumerate().map(|(i, name)| (ink(i), *name)));
    Figure::draw(name, &alt, 640, 400, |c| {
        let body = header(c, title, "", &[]);
        let x = Axis::around(range_of(points.iter().map(|p| p.0)).unwrap_or((0.0, 1.0)), 8, "x");
        let ends = [x.lo, x.hi];
        let ys =
            lines.iter().flat_map(|&(_, a, b)| ends.map(|x| b + a * x)).chain(points.iter().map(|p| p.1));
        let y = Axis::around(range_of(ys).unwrap_or((0.0, 1.0)), 6, "y").with_grid();
        let mut axes = Axes::within(c, body, x, y)?;
        axes.draw(c);
        for (i, &(_, a, b)) in lines.iter().enumerate() {
            let line = ends.map(|x| (x, b + a * x));
            match ink(i) {
                Key::Dashes(color, width) => axes.dashed(c, &line, color, width, (6.0, 3.0)),
                Key::Line(color, width) => axes.line(c, &line, color, width),
                _ => {}
            }
        }
        points.iter().for_each(|&at| axes.mark(c, Shape::Disc, at, 3.6, palette::OURS));
        axes.legend(c, SeriesLabelPosition::Coordinate(60, 40), &legend);
        Ok(())
    })
}

/// A function with its tangent at `at` and the secant over a step, whose slope is what finite differences estimate.
///
/// # Errors
/// When the step is not above 0 or the function not finite.
pub fn secant_and_tangent(
    name: &str,
    title: &str,
    (x_label, y_label): (&str, &str),
    f: impl Fn(f64) -> f64,
    (at, slope): (f64, f64),
    step: f64,
) -> Result<Figure> {
    let (here, there) = (f(at), f(at + step));
    ensure!(step > 0.0 && here.is_finite() && there.is_finite(), "{name}: no secant over a step of {step}");
    let estimate = (there - here) / step;
    let line = |slope: f64, x: f64| here + slope * (x - at);
    let (from, to) = (at - 0.6 * step, at + 1.8 * step);
    let alt = format!(
        "At {}, the tangent has the slope {slope:.1}; the secant over a step of {} has {estimate:.1}.",
        short(at),
        short(step)
    );
    let [secant, tangent] = [
        format!("secant over a step of {}: slope {}", short(step), number(estimate, 1)),
        format!("tangent: slope {}", number(slope, 1)),
    ];
    let legend = [
        (Key::Line(palette::OURS, 2.2), y_label),
        (Key::Line(palette::VERMILION, 1.6), &*tangent),
        (Key::Dashes(palette::GREEN, 1.8), &*secant),
    ];
    Figure::draw(name, &alt, 640, 400, |c| {
        let body = header(c, title, "", &[]);
        let xs = (0..=200).map(|i| from + (to - from) * f64::from(i) / 200.0);
        let curve: Vec<(f64, f64)> = xs.map(|x| (x, f(x))).collect();
        let range = range_of(curve.iter().map(|p| p.1)).unwrap_or((0.0, 1.0));
        let mut axes =
            Axes::within(c, body, Axis::linear(from, to, 7, x_label), Axis::around(range, 6, y_label))?;
        axes.draw(c);
        axes.line(c, &curve, palette::OURS, 2.2);
        axes.line(c, &[from, to].map(|x| (x, line(slope, x))), palette::VERMILION, 1.6);
        axes.dashed(c, &[from, to].map(|x| (x, line(estimate, x))), palette::GREEN, 1.8, (6.0, 3.0));
        for point in [(at, here), (at + step, there)] {
            axes.mark(c, Shape::Disc, point, 4.0, palette::INK);
        }
        axes.legend(c, SeriesLabelPosition::UpperRight, &legend);
        Ok(())
    })
}
