//! Axes with room for their labels, titles and legends: what makes the figures look alike.
//!
//! Nothing is placed by eye. Every text is measured first and room is made for it, so none is clipped. A legend covers no
//! data: it is in a corner that no data reaches, or has its own line above the plot.
//!
//! plotters' charts draw. By hand is what they cannot do: titles that are broken into lines, legends in a row, lines cut at
//! the edge of the plot, and texts that are measured to place others next to them.

use anyhow::Result;
use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{Polygon, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{Color, RGBColor, TRANSPARENT};

use super::axis::Axis;
use super::canvas::{Align, Canvas, Face, Rect};
use super::fine::{SUB, fine, fine_point, stroke};
use super::marks::{Glyph, KEY, Key, Shape, mark, symbol};
use super::palette;

/// White space around every page.
pub(super) const MARGIN: f64 = 16.0;
const TICK_LENGTH: f64 = 3.5;

/// A chart of plotters with room made for its labels.
pub(super) struct Axes<'a> {
    pub inner: Rect,
    pub x: Axis,
    pub y: Axis,
    chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>,
}

impl<'a> Axes<'a> {
    /// Axes whose labels and ticks all fit into `outer`.
    pub fn within(c: &Canvas<'a>, outer: Rect, x: Axis, y: Axis) -> Result<Self> {
        let left = Self::room_left(&y);
        let bottom = Self::room_below(&x);
        // Half of an outermost tick's text may hang over the end of its axis.
        let overhang =
            x.ticks.iter().map(|(v, t)| Face::TICK.width(t) / 2.0 - (1.0 - x.share(*v)) * (outer.w - left));
        let right = overhang.fold(1.0, f64::max);
        let top = Face::TICK.half_capital() + 2.0;
        let inner = Rect {
            x: outer.x + left,
            y: outer.y + top,
            w: outer.w - left - right,
            h: outer.h - bottom - top,
        };
        Self::around(c, inner, x, y)
    }

    /// Axes around `inner`, which leaves them `room_left` and `room_below`.
    pub fn around(c: &Canvas<'a>, inner: Rect, x: Axis, y: Axis) -> Result<Self> {
        // Without ticks and label an axis is still a line.
        let (left, below) = (Self::room_left(&y).max(1.0), Self::room_below(&x).max(1.0));
        let corner = fine_point((inner.x - left, inner.y));
        let area = c.area.clone().shrink(corner, (fine(inner.w + left), fine(inner.h + below)));
        let chart = ChartBuilder::on(&area)
            .y_label_area_size(fine(left))
            .x_label_area_size(fine(below))
            .build_cartesian_2d(x.clone(), y.clone())?;
        Ok(Self { inner, x, y, chart })
    }

    /// What the ticks and the label of a vertical axis need to its left.
    pub fn room_left(y: &Axis) -> f64 {
        let label = if y.label.is_empty() { 0.0 } else { Face::LABEL.size + 8.0 };
        let ticks = if y.ticks.is_empty() { 0.0 } else { 2.0 * TICK_LENGTH + y.widest_tick() };
        label + ticks
    }

    /// What the ticks and the label of a horizontal axis need below it.
    pub fn room_below(x: &Axis) -> f64 {
        let label = if x.label.is_empty() { 0.0 } else { Face::LABEL.size + 8.0 };
        let ticks = if x.ticks.is_empty() { 0.0 } else { 2.0 * TICK_LENGTH + Face::TICK.size };
        label + ticks + 2.0
    }

    /// Where a point lies on the page.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.inner.x + self.x.share(x) * self.inner.w, self.inner.bottom() - self.y.share(y) * self.inner.h)
    }

    /// Grid, axes, ticks and labels: drawn before the data.
    pub fn draw(&mut self, c: &mut Canvas) {
        // plotters centers a tick's text by its x-height, which is too high for figures.
        let lower = Face::TICK.half_capital() - 0.25 * Face::TICK.size;
        let mut mesh = self.chart.configure_mesh();
        if !self.x.grid {
            mesh.disable_x_mesh();
        }
        if !self.y.grid {
            mesh.disable_y_mesh();
        }
        let drawn = mesh
            .axis_style(stroke(palette::GRAY, 0.9))
            .bold_line_style(stroke(palette::PALE, 0.8))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size((TICK_LENGTH * SUB) as i32)
            .label_style(Face::TICK.style())
            .y_label_offset((lower * SUB) as i32)
            .axis_desc_style(Face::LABEL.style())
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .draw();
        c.keep(drawn);
    }

    /// A line through points in the units of the data, cut off at the edges of the plot.
    pub fn line(&mut self, c: &mut Canvas, points: &[(f64, f64)], color: RGBColor, width: f64) {
        for piece in self.visible(points) {
            c.keep(self.chart.draw_series(LineSeries::new(piece, stroke(color, width))).map(|_| ()));
        }
    }

    /// The same, dashed.
    pub fn dashed(
        &mut self,
        c: &mut Canvas,
        points: &[(f64, f64)],
        color: RGBColor,
        width: f64,
        dash: (f64, f64),
    ) {
        let [on, off] = [dash.0, dash.1].map(|length| (length * SUB) as i32);
        for piece in self.visible(points) {
            let series = DashedLineSeries::new(piece, on, off, stroke(color, width));
            c.keep(self.chart.draw_series(series).map(|_| ()));
        }
    }

    /// A mark, unless its middle is outside the plot.
    pub fn mark(&mut self, c: &mut Canvas, shape: Shape, at: (f64, f64), radius: f64, color: RGBColor) {
        let inside = |share: f64| (-1e-6..=1.0 + 1e-6).contains(&share);
        if inside(self.x.share(at.0)) && inside(self.y.share(at.1)) {
            c.keep(self.chart.draw_series([mark(at, shape, radius, color)]).map(|_| ()));
        }
    }

    /// A bar of a histogram from the lowest value shown to `height`.
    pub fn bar(&mut self, c: &mut Canvas, (from, to): (f64, f64), height: f64, fill: impl Color) {
        self.area(c, (from, self.y.lo), (to, height), fill);
    }

    /// A rectangle between two corners; plotters cuts it off at the edges of the plot.
    pub fn area(&mut self, c: &mut Canvas, one: (f64, f64), other: (f64, f64), fill: impl Color) {
        let rectangle = Rectangle::new([(one.0, other.1), (other.0, one.1)], fill.filled());
        c.keep(self.chart.draw_series([rectangle]).map(|_| ()));
    }

    /// A filled polygon.
    pub fn polygon(&mut self, c: &mut Canvas, corners: Vec<(f64, f64)>, fill: RGBColor) {
        c.keep(self.chart.draw_series([Polygon::new(corners, fill)]).map(|_| ()));
    }

    /// Glyphs of any kind.
    pub fn series(&mut self, c: &mut Canvas, glyphs: impl Iterator<Item = Glyph<(f64, f64)>>) {
        c.keep(self.chart.draw_series(glyphs).map(|_| ()));
    }

    /// plotters' legend, inside the plot: for plots with a corner that no data reaches.
    pub fn legend(&mut self, c: &mut Canvas, position: SeriesLabelPosition, entries: &[(Key, &str)]) {
        for &(key, name) in entries {
            // What an entry names may be several series, or be drawn in two passes: its own has no element.
            let series = self.chart.draw_series(std::iter::empty::<Glyph<(f64, f64)>>());
            c.keep(series.map(|series| {
                series.label(name).legend(move |at| symbol(at, key));
            }));
        }
        let fine = |units: f64| (units * SUB) as i32;
        let drawn = self
            .chart
            .configure_series_labels()
            .position(position)
            .legend_area_size(fine(KEY + 5.0))
            .margin(fine(6.0))
            .background_style(palette::WHITE.mix(0.85))
            .label_font(Face::NOTE.style())
            .draw();
        c.keep(drawn);
    }

    /// The parts of a line that lie inside the plot: plotters would draw the others along its edge. Of many points to a
    /// hundredth of an inch only the lowest and highest are kept, which looks the same.
    fn visible(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let column = |x: f64| (2.0 * self.x.share(x) * self.inner.w).floor() as i64;
        let (x, y) = (&self.x, &self.y);
        clip(&thin(points, column), Rect { x: x.lo, y: y.lo, w: x.hi - x.lo, h: y.hi - y.lo })
    }
}

/// Colors one above the other, each as high as the others, with ticks (in numbers of colors) and a label at the left.
pub(super) fn color_bar(
    c: &mut Canvas,
    rect: Rect,
    label: &str,
    colors: &[RGBColor],
    ticks: Vec<(f64, String)>,
) -> Result<()> {
    let y = Axis::linear(0.0, colors.len() as f64, 1, label).with_ticks(ticks);
    let mut axes = Axes::around(c, rect, Axis::linear(0.0, 1.0, 1, "").bare(), y)?;
    for (i, color) in colors.iter().enumerate() {
        // Up under the next color, or a pale seam would be seen between them.
        axes.area(c, (0.0, i as f64), (1.0, i as f64 + 1.5), *color);
    }
    axes.draw(c);
    Ok(())
}

/// Keeps, of the points in a column, the first, lowest, highest and last, in their order.
fn thin(points: &[(f64, f64)], column: impl Fn(f64) -> i64) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        if group.len() <= 4 {
            kept.extend(group);
            continue;
        }
        let index_of = |better: fn(f64, f64) -> bool| {
            (1..group.len()).fold(0, |best, i| if better(group[i].1, group[best].1) { i } else { best })
        };
        let mut indices = [0, index_of(|a, b| a < b), index_of(|a, b| a > b), group.len() - 1];
        indices.sort_unstable();
        for (i, &index) in indices.iter().enumerate() {
            if i == 0 || indices[i - 1] != index {
                kept.push(group[index]);
            }
        }
    }
    kept
}

/// The pieces of a line inside a rectangle of the data's units; on a logarithmic scale a cut is not exact (Liang and Barsky's method, segment by segment).
fn clip(points: &[(f64, f64)], r: Rect) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (mut from, mut to) = (0.0_f64, 1.0_f64);
        let sides = [(-dx, x0 - r.x), (dx, r.right() - x0), (-dy, y0 - r.y), (dy, r.bottom() - y0)];
        let mut inside = [x0, y0, x1, y1].iter().all(|v| v.is_finite());
        for (direction, distance) in sides {
            if direction == 0.0 {
                inside &= distance >= 0.0;
            } else if direction < 0.0 {
                from = from.max(distance / direction);
            } else {
                to = to.min(distance / direction);
            }
        }
        if !inside || from > to {
            continue;
        }
        let (start, end) = ((x0 + from * dx, y0 + from * dy), (x0 + to * dx, y0 + to * dy));
        match pieces.last_mut() {
            Some(piece) if from == 0.0 && piece.last() == Some(&start) => piece.push(end),
            _ => pieces.push(vec![start, end]),
        }
    }
    pieces
}

/// Draws the title, a line of explanation (may be empty) and the legend at the top of the page; returns what is left
/// below for the plot.
pub(super) fn header(c: &mut Canvas, title: &str, subtitle: &str, legend: &[(Key, &str)]) -> Rect {
    let width = c.width - 2.0 * MARGIN;
    let mut y = MARGIN;
    for line in Face::TITLE.wrap(title, width) {
        y += 0.8 * Face::TITLE.size;
        c.text(&line, MARGIN, y, Align::Left, Face::TITLE);
        y += 0.5 * Face::TITLE.size;
    }
    if !subtitle.is_empty() {
        for line in Face::TICK.wrap(subtitle, width) {
            y += Face::TICK.size;
            c.text(&line, MARGIN, y, Align::Left, Face::TICK);
            y += 0.4 * Face::TICK.size;
        }
    }
    if !legend.is_empty() {
        y = draw_legend(c, y + 4.0, legend);
    }
    y += 8.0;
    Rect { x: MARGIN, y, w: width, h: c.height - y - MARGIN }
}

/// The legend's entries in a row, continued below where the page ends; the y below it. plotters' own legend is one column
/// inside the plot, where here it would cover data.
fn draw_legend(c: &mut Canvas, top: f64, entries: &[(Key, &str)]) -> f64 {
    const ROW: f64 = 18.0;
    let face = Face::NOTE;
    let (mut x, mut y) = (MARGIN, top + ROW / 2.0);
    for &(key, text) in entries {
        let width = KEY + 5.0 + face.width(text);
        if x > MARGIN && x + width > c.width - MARGIN {
            (x, y) = (MARGIN, y + ROW);
        }
        c.key(key, (x, y));
        c.text(text, x + KEY + 5.0, y + face.half_capital(), Align::Left, face);
        x += width + 18.0;
    }
    y + ROW / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edge_of_the_plot() {
        let unit = Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
        let pieces = clip(&[(-1.0, 0.5), (0.5, 0.5), (0.5, 3.0), (0.75, 3.0), (0.75, 0.0)], unit);
        assert_eq!(pieces, [vec![(0.0, 0.5), (0.5, 0.5), (0.5, 1.0)], vec![(0.75, 1.0), (0.75, 0.0)]]);
        assert!(clip(&[(f64::NAN, 0.5), (0.5, 0.5)], unit).is_empty());
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let noisy: Vec<(f64, f64)> =
            (0..1000).map(|i| (f64::from(i) / 100.0, f64::from(i * 7919 % 1000))).collect();
        let kept = thin(&noisy, |x| (2.0 * x).floor() as i64);
        assert!(kept.len() <= 80, "{} points are left", kept.len());
        for wanted in [0.0, 999.0] {
            assert!(kept.iter().any(|p| p.1 == wanted), "{wanted} is gone");
        }
    }
}
