//! Models side by side: one number per model, with its interval.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::Axis;
use super::canvas::{Align, Face, Rect};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::numbers::range_of;
use super::palette;

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval<'a> {
    /// The name of the model.
    pub name: &'a str,
    /// The number.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Whether it is one of the lecture's own.
    pub lecture: bool,
}

/// A value is drawn at the edge, with an arrow, if it is further above the median than this many times the distance
/// from the lowest value to the median.
const FAR: f64 = 1.6;

/// One row per number, the lowest on top: a dot with a line from `low` to `high`, and the number at the right. A value
/// so far out that it would flatten the others is drawn at the edge.
///
/// # Errors
/// When there is no number, or one is not finite.
pub fn intervals(name: &str, title: &str, measure: &str, rows: &[Interval]) -> Result<Figure> {
    ensure!(!rows.is_empty(), "{name}: there is no number to draw");
    for row in rows {
        ensure!(
            row.value.is_finite() && row.low.is_finite() && row.high.is_finite(),
            "{name}: {} is {} from {} to {}; it cannot be drawn",
            row.name,
            row.value,
            row.low,
            row.high
        );
    }
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| a.value.total_cmp(&b.value));
    let values: Vec<f64> = rows.iter().map(|r| r.value).collect();
    let (least, middle) = (values[0], values[values.len() / 2]);
    let edge = middle + FAR * (middle - least).max(0.02 * middle);
    let inside = rows.iter().filter(|r| r.value <= edge);
    let (lo, hi) = range_of(inside.flat_map(|r| [r.low, r.high])).unwrap_or((0.0, 1.0));
    let best = rows.iter().min_by(|a, b| a.value.total_cmp(&b.value)).map_or("", |r| r.name);
    let alt =
        format!("{measure} of {} models with 95% intervals; the lowest is {best}, {least:.4}.", rows.len());
    let mut legend = vec![
        (Key::Mark(Shape::Disc, palette::OURS), "beyond the lecture"),
        (Key::Mark(Shape::OpenDiamond, palette::LECTURE), "the lecture's models"),
        (Key::Line(palette::SKY, 2.0), "95% interval, by user"),
    ];
    if rows.iter().any(|r| r.value > edge) {
        legend.push((Key::Mark(Shape::BeyondRight, palette::GRAY), "beyond the plot"));
    }
    const ROW: f64 = 25.0;
    Figure::fixed(name, &alt, 820, 135 + (ROW * rows.len() as f64) as u32, |c| {
        let body = header(c, title, "", &legend);
        let figures = |row: &Interval| format!("{:.4}", row.value);
        let right = rows.iter().map(|r| Face::NOTE.bold().width(&figures(r))).fold(0.0, f64::max) + 12.0;
        let ticks = rows.iter().enumerate();
        let ticks = ticks.map(|(i, r)| (-(i as f64), Face::TICK.shorten(r.name, 260.0))).collect();
        let y = Axis::linear(0.5 - rows.len() as f64, 0.5, 1, "").with_ticks(ticks);
        let x = Axis::around((lo, hi), 8, measure).with_grid();
        let mut axes = Axes::within(c, Rect { w: body.w - right, ..body }, x, y)?;
        axes.draw(c);
        for (i, row) in rows.iter().enumerate() {
            let at = -(i as f64);
            let within = |v: f64| v.clamp(axes.x.lo, axes.x.hi);
            axes.line(c, &[(within(row.low), at), (within(row.high), at)], palette::SKY, 2.0);
            let color = if row.lecture { palette::LECTURE } else { palette::OURS };
            if row.value > axes.x.hi {
                axes.mark(c, Shape::BeyondRight, (axes.x.hi, at), 4.2, color);
            } else if row.lecture {
                axes.mark(c, Shape::OpenDiamond, (row.value, at), 5.2, color);
            } else {
                axes.mark(c, Shape::Disc, (row.value, at), 4.2, color);
            }
            let face = if row.name == best { Face::NOTE.bold() } else { Face::NOTE };
            let y = axes.at(axes.x.lo, at).1 + face.half_capital();
            c.text(&figures(row), axes.inner.right() + right, y, Align::Right, face);
        }
        Ok(())
    })
}
