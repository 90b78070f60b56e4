//! An ensemble of runs for each of the lecture's numbers.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::Axis;
use super::canvas::{Align, Face, Rect};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::palette;

/// One number: what it is called, its value in every run of the ensemble, in the lecture and in this run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strip<'a> {
    /// What it belongs to, such as `EmbeddingDot`: numbers of one group follow each other under its name.
    pub group: &'a str,
    /// Such as `epoch 2, val`.
    pub name: &'a str,
    /// The value for each seed.
    pub ensemble: &'a [f64],
    /// What the lecture printed.
    pub lecture: Option<f64>,
    /// What this run gave.
    pub ours: Option<f64>,
}

/// A mark further out than this many standard deviations is put at the edge, with its distance in figures.
const REACH: f64 = 5.0;

/// Each number's ensemble as a strip of dots, with the lecture's value and this run's marked. The numbers differ in
/// size and in spread, so each strip is in standard deviations from its own ensemble's mean; that mean and deviation
/// are at the right. The band is the middle 95% of a normal distribution.
///
/// # Errors
/// When there is no number, or an ensemble has fewer than two runs or no spread.
pub fn strips(name: &str, title: &str, numbers: &[Strip]) -> Result<Figure> {
    ensure!(!numbers.is_empty(), "{name}: there is no number to draw");
    let mut rows = Vec::new();
    for number in numbers {
        let n = number.ensemble.len() as f64;
        let mean = number.ensemble.iter().sum::<f64>() / n;
        let deviation = (number.ensemble.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        ensure!(
            number.ensemble.len() >= 2 && deviation > 0.0 && deviation.is_finite(),
            "{name}: the ensemble of {}, {} has {} runs and no spread; it takes at least two different seeds",
            number.group,
            number.name,
            number.ensemble.len()
        );
        rows.push((number, mean, deviation));
    }
    let outside: Vec<String> = rows
        .iter()
        .filter(|(s, mean, sd)| s.lecture.is_some_and(|v| ((v - mean) / sd).abs() > 1.96))
        .map(|(s, ..)| format!("{}, {}", s.group, s.name))
        .collect();
    let verdict = match outside.len() {
        0 => "the lecture's value lies within 1.96 standard deviations everywhere".to_owned(),
        n => format!(
            "the lecture's value lies further out than 1.96 standard deviations in {n}: {}",
            outside.join("; ")
        ),
    };
    let alt = format!("Strips of {} numbers over the seeds of an ensemble; {verdict}.", rows.len());
    // The place of each row down the page; a group has a line for its name.
    let mut lines = 0;
    let mut groups: Vec<(usize, &str)> = Vec::new();
    let mut places = Vec::new();
    for (strip, ..) in &rows {
        if groups.last().is_none_or(|(_, group)| *group != strip.group) {
            groups.push((lines, strip.group));
            lines += 1;
        }
        places.push(-(lines as f64));
        lines += 1;
    }
    const ROW: f64 = 22.0;
    let height = 132 + (ROW * lines as f64) as u32;
    let mut legend = vec![
        (Key::Mark(Shape::Dot, palette::SKY), "a seed"),
        (Key::Mark(Shape::Disc, palette::OURS), "this run"),
        (Key::Mark(Shape::OpenDiamond, palette::LECTURE), "the lecture"),
        (Key::Patch(palette::BAND), "±1.96 standard deviations"),
    ];
    if rows.iter().any(|(s, mean, sd)| s.ensemble.iter().any(|v| ((v - mean) / sd).abs() >= REACH)) {
        legend.push((Key::Mark(Shape::BeyondRight, palette::SKY), "further out"));
    }
    Figure::fixed(name, &alt, 720, height, |c| {
        let body = header(c, title, "", &legend);
        let values: Vec<String> = rows.iter().map(|(_, mean, sd)| format!("{mean:.4} ± {sd:.4}")).collect();
        let right = values.iter().map(|v| Face::NOTE.width(v)).fold(0.0, f64::max) + 10.0;
        let ticks = rows.iter().zip(&places);
        let ticks = ticks.map(|((s, ..), &at)| (at, Face::TICK.shorten(s.name, 260.0))).collect();
        let y = Axis::linear(0.5 - lines as f64, 0.5, 1, "").with_ticks(ticks).with_grid();
        let x = Axis::linear(-REACH - 0.4, REACH + 0.4, 10, "standard deviations from the ensemble's mean");
        // The names of the groups may be wider than those of their numbers.
        let wide = groups.iter().map(|(_, group)| Face::NOTE.bold().width(group)).fold(0.0, f64::max);
        let shift = (wide + 8.0 - Axes::room_left(&y)).max(0.0);
        let place = Rect { x: body.x + shift, w: body.w - shift - right, ..body };
        let mut axes = Axes::within(c, place, x, y)?;
        axes.area(c, (-1.96, axes.y.lo), (1.96, axes.y.hi), palette::BAND);
        axes.draw(c);
        axes.line(c, &[(0.0, axes.y.lo), (0.0, axes.y.hi)], palette::GRAY, 0.8);
        for &(line, group) in &groups {
            let y = axes.at(0.0, -(line as f64)).1 + Face::NOTE.half_capital();
            c.text(group, body.x, y, Align::Left, Face::NOTE.bold());
            if line == 0 {
                c.text("mean ± sd", axes.inner.right() + right, y, Align::Right, Face::TICK);
            }
        }
        for (((strip, mean, deviation), value), &row) in rows.iter().zip(&values).zip(&places) {
            let standard = |v: f64| (v - mean) / deviation;
            for (k, &v) in strip.ensemble.iter().enumerate() {
                let at = (standard(v).clamp(-REACH, REACH), row + 0.5 * jitter(k));
                match at.0 {
                    REACH => axes.mark(c, Shape::BeyondRight, at, 3.4, palette::SKY),
                    x if x == -REACH => axes.mark(c, Shape::BeyondLeft, at, 3.4, palette::SKY),
                    _ => axes.mark(c, Shape::Dot, at, 1.9, palette::SKY),
                }
            }
            for (mark, shape, size, color) in [
                (strip.lecture, Shape::OpenDiamond, 5.2, palette::LECTURE),
                (strip.ours, Shape::Disc, 3.0, palette::OURS),
            ] {
                let Some(z) = mark.map(standard).filter(|z| z.is_finite()) else { continue };
                axes.mark(c, shape, (z.clamp(-REACH, REACH), row), size, color);
                if z.abs() > REACH {
                    let (x, y) = axes.at(REACH * z.signum(), row);
                    let text = format!("{}{:.1}", if z < 0.0 { "\u{2212}" } else { "" }, z.abs());
                    let align = if z > 0.0 { Align::Right } else { Align::Left };
                    c.text(
                        &text,
                        x - 11.0 * z.signum(),
                        y + Face::TICK.half_capital(),
                        align,
                        Face::TICK.in_color(color),
                    );
                }
            }
            let y = axes.at(0.0, row).1 + Face::NOTE.half_capital();
            c.text(value, axes.inner.right() + right, y, Align::Right, Face::NOTE);
        }
        Ok(())
    })
}

/// Evenly scattered between -1/2 and 1/2 and the same every time: multiples of the golden ratio.
fn jitter(k: usize) -> f64 {
    (k as f64 * 0.618_033_988_749_895).fract() - 0.5
}
