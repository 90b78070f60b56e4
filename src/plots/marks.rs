//! Elements that plotters lacks: marks with a white edge or an open middle, and what stands next to a name in a legend.
//! As elements they are drawn in a chart, by its legend and on the page alike.

use std::iter::{Once, once};

use plotters::element::{Drawable, PointCollection};
use plotters::style::{RGBColor, ShapeStyle};
use plotters_backend::{BackendCoord, DrawingBackend, DrawingErrorKind};

use super::canvas::{SUB, stroke};
use super::palette;

/// The shapes of marks; those that stand for the lecture are open, ours are full.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// A disc without a white edge, for crowds of marks.
    Dot,
    Disc,
    Diamond,
    OpenDiamond,
    OpenTriangle,
    Square,
    /// Points at what lies beyond the left or the right edge.
    BeyondLeft,
    BeyondRight,
}

/// A mark at a point, with a thin white edge, so that it stands out from the line or color under it.
#[derive(Clone, Copy)]
pub(super) struct Mark<P> {
    pub at: P,
    pub shape: Shape,
    pub radius: f64,
    pub color: RGBColor,
}

impl<'a, P> PointCollection<'a, P> for &'a Mark<P> {
    type Point = &'a P;
    type IntoIter = Once<&'a P>;
    fn point_iter(self) -> Self::IntoIter {
        once(&self.at)
    }
}

impl<P, DB: DrawingBackend> Drawable<DB> for Mark<P> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut points: I,
        backend: &mut DB,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<DB::ErrorType>> {
        let Some((x, y)) = points.next() else { return Ok(()) };
        let fine = |units: f64| (units * SUB).round() as i32;
        let place = |corners: &[(f64, f64)], radius: f64| -> Vec<BackendCoord> {
            corners.iter().map(|(right, down)| (x + fine(right * radius), y + fine(down * radius))).collect()
        };
        const DIAMOND: [(f64, f64); 4] = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)];
        const TRIANGLE: [(f64, f64); 3] = [(0.0, -1.0), (0.87, 0.5), (-0.87, 0.5)];
        const RIGHT: [(f64, f64); 3] = [(1.0, 0.0), (-1.0, 1.1), (-1.0, -1.1)];
        const SQUARE: [(f64, f64); 4] = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
        let (radius, color) = (self.radius, &self.color);
        // The outline of an open mark; what is inside stays visible, such as another mark. It goes on past its first
        // corner, so that this corner is rounded like the others.
        let ring = |corners: &[(f64, f64)], radius| {
            let corners = place(corners, radius);
            corners.iter().chain(&corners[..2]).copied().collect::<Vec<_>>()
        };
        match self.shape {
            Shape::Dot => backend.draw_circle((x, y), fine(radius) as u32, color, true),
            Shape::Disc => {
                backend.draw_circle((x, y), fine(radius + 1.0) as u32, &palette::WHITE, true)?;
                backend.draw_circle((x, y), fine(radius) as u32, color, true)
            }
            Shape::Diamond => {
                backend.fill_polygon(place(&DIAMOND, 1.25 * radius + 1.6), &palette::WHITE)?;
                backend.fill_polygon(place(&DIAMOND, 1.25 * radius), color)
            }
            Shape::Square => {
                backend.fill_polygon(place(&SQUARE, 0.85 * radius + 1.0), &palette::WHITE)?;
                backend.fill_polygon(place(&SQUARE, 0.85 * radius), color)
            }
            Shape::BeyondRight => backend.fill_polygon(place(&RIGHT, radius), color),
            Shape::BeyondLeft => backend.fill_polygon(place(&RIGHT.map(|(x, y)| (-x, y)), radius), color),
            Shape::OpenDiamond => backend.draw_path(ring(&DIAMOND, 1.2 * radius), &stroke(self.color, 1.7)),
            Shape::OpenTriangle => backend.draw_path(ring(&TRIANGLE, 1.3 * radius), &stroke(self.color, 1.7)),
        }
    }
}

/// The symbol next to a name in a legend.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Line(RGBColor, f64),
    Dashes(RGBColor, f64),
    Mark(Shape, RGBColor),
    LineMark(Shape, RGBColor),
    Patch(RGBColor),
}

/// Width of a symbol in a legend.
pub(super) const KEY: f64 = 22.0;

/// A legend's symbol; `at` is the middle of its left side, in units of the SVG.
#[derive(Clone, Copy)]
pub(super) struct Swatch {
    pub at: BackendCoord,
    pub key: Key,
}

impl<'a> PointCollection<'a, BackendCoord> for &'a Swatch {
    type Point = &'a BackendCoord;
    type IntoIter = Once<&'a BackendCoord>;
    fn point_iter(self) -> Self::IntoIter {
        once(&self.at)
    }
}

impl<DB: DrawingBackend> Drawable<DB> for Swatch {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut points: I,
        backend: &mut DB,
        size: (u32, u32),
    ) -> Result<(), DrawingErrorKind<DB::ErrorType>> {
        let Some((x, y)) = points.next() else { return Ok(()) };
        let right = |units: f64| (x + (units * SUB).round() as i32, y);
        let mut line =
            |from: f64, to: f64, style: ShapeStyle| backend.draw_path([right(from), right(to)], &style);
        let radius = |shape| if shape == Shape::Dot { 2.6 } else { 4.0 };
        let mark = |shape, color| Mark { at: right(KEY / 2.0), shape, radius: radius(shape), color };
        let middle = once(right(KEY / 2.0));
        match self.key {
            Key::Line(color, width) => line(0.0, KEY, stroke(color, width)),
            Key::Dashes(color, width) => {
                [0.0, 8.0, 16.0].into_iter().try_for_each(|from| line(from, from + 5.0, stroke(color, width)))
            }
            Key::Mark(shape, color) => mark(shape, color).draw(middle, backend, size),
            Key::LineMark(shape, color) => {
                line(0.0, KEY, stroke(color, 1.6))?;
                mark(shape, color).draw(middle, backend, size)
            }
            Key::Patch(color) => {
                let half = (5.0 * SUB) as i32;
                backend.draw_rect((right(4.0).0, y - half), (right(KEY - 4.0).0, y + half), &color, true)
            }
        }
    }
}
