//! Elements that plotters lacks: marks with a white edge or an open middle, hexagons, and what stands next to a name in a
//! legend. As elements they are drawn in a chart, by its legend and on the page alike.

use std::iter::{Once, once};

use plotters::element::{Drawable, PointCollection};
use plotters::style::RGBColor;
use plotters_backend::{BackendCoord, DrawingBackend, DrawingErrorKind};

use super::fine::{fine, fine_point, stroke};
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

/// A piece of a glyph, in hundredths of an inch from its point, right and down.
enum Piece {
    Disc((f64, f64), f64),
    Polygon(Vec<(f64, f64)>),
    Line(Vec<(f64, f64)>, f64),
}

/// Pieces at a point of the data or of the page (`P`), of a size on the page.
pub(super) struct Glyph<P> {
    at: P,
    pieces: Vec<(RGBColor, Piece)>,
}

impl<'a, P> PointCollection<'a, P> for &'a Glyph<P> {
    type Point = &'a P;
    type IntoIter = Once<&'a P>;
    fn point_iter(self) -> Self::IntoIter {
        once(&self.at)
    }
}

impl<P, DB: DrawingBackend> Drawable<DB> for Glyph<P> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut points: I,
        backend: &mut DB,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<DB::ErrorType>> {
        let Some((x, y)) = points.next() else { return Ok(()) };
        let place = |&offset: &(f64, f64)| {
            let (right, down) = fine_point(offset);
            (x + right, y + down)
        };
        self.pieces.iter().try_for_each(|(color, piece)| match piece {
            Piece::Disc(middle, radius) => {
                backend.draw_circle(place(middle), fine(*radius) as u32, color, true)
            }
            Piece::Polygon(corners) => backend.fill_polygon(corners.iter().map(place), color),
            Piece::Line(points, width) => {
                backend.draw_path(points.iter().map(place), &stroke(*color, *width))
            }
        })
    }
}

/// A mark with a thin white edge, so that it stands out from the line or color under it.
pub(super) fn mark<P>(at: P, shape: Shape, radius: f64, color: RGBColor) -> Glyph<P> {
    Glyph { at, pieces: pieces(shape, (0.0, 0.0), radius, color) }
}

fn pieces(shape: Shape, middle: (f64, f64), radius: f64, color: RGBColor) -> Vec<(RGBColor, Piece)> {
    const DIAMOND: &[(f64, f64)] = &[(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)];
    const TRIANGLE: &[(f64, f64)] = &[(0.0, -1.0), (0.87, 0.5), (-0.87, 0.5)];
    const SQUARE: &[(f64, f64)] = &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
    const RIGHT: &[(f64, f64)] = &[(1.0, 0.0), (-1.0, 1.1), (-1.0, -1.1)];
    let place = |corners: &[(f64, f64)], radius: f64| -> Vec<(f64, f64)> {
        corners.iter().map(|(x, y)| (middle.0 + radius * x, middle.1 + radius * y)).collect()
    };
    let full = |corners, radius| (color, Piece::Polygon(place(corners, radius)));
    let edge = |corners, radius| (palette::WHITE, Piece::Polygon(place(corners, radius)));
    // The outline of an open mark; what is inside stays visible, such as another mark. It goes on past its first corner, so
    // that this corner is rounded like the others.
    let open = |corners: &[(f64, f64)], radius| {
        (color, Piece::Line(place(&[corners, &corners[..2]].concat(), radius), 1.7))
    };
    match shape {
        Shape::Dot => vec![(color, Piece::Disc(middle, radius))],
        Shape::Disc => {
            vec![(palette::WHITE, Piece::Disc(middle, radius + 1.0)), (color, Piece::Disc(middle, radius))]
        }
        Shape::Diamond => vec![edge(DIAMOND, 1.25 * radius + 1.6), full(DIAMOND, 1.25 * radius)],
        Shape::Square => vec![edge(SQUARE, 0.85 * radius + 1.0), full(SQUARE, 0.85 * radius)],
        Shape::OpenDiamond => vec![open(DIAMOND, 1.2 * radius)],
        Shape::OpenTriangle => vec![open(TRIANGLE, 1.3 * radius)],
        Shape::BeyondRight => vec![full(RIGHT, radius)],
        Shape::BeyondLeft => vec![full(RIGHT, -radius)],
    }
}

/// A regular hexagon that stands on a corner, `half` as wide.
pub(super) fn hexagon<P>(at: P, half: f64, color: RGBColor) -> Glyph<P> {
    let (long, short) = (2.0 * half / 3.0_f64.sqrt(), half / 3.0_f64.sqrt());
    let corners =
        vec![(0.0, -long), (half, -short), (half, short), (0.0, long), (-half, short), (-half, -short)];
    Glyph { at, pieces: vec![(color, Piece::Polygon(corners))] }
}

/// A legend's symbol; `at` is the middle of its left side.
pub(super) fn symbol(at: BackendCoord, key: Key) -> Glyph<BackendCoord> {
    let line = |from: f64, to: f64, color, width| (color, Piece::Line(vec![(from, 0.0), (to, 0.0)], width));
    let radius = |shape| if shape == Shape::Dot { 2.6 } else { 4.0 };
    let middle = (KEY / 2.0, 0.0);
    let pieces = match key {
        Key::Line(color, width) => vec![line(0.0, KEY, color, width)],
        Key::Dashes(color, width) => [0.0, 8.0, 16.0].map(|from| line(from, from + 5.0, color, width)).into(),
        Key::Mark(shape, color) => pieces(shape, middle, radius(shape), color),
        Key::LineMark(shape, color) => {
            let mut both = vec![line(0.0, KEY, color, 1.6)];
            both.extend(pieces(shape, middle, radius(shape), color));
            both
        }
        Key::Patch(color) => vec![(color, Piece::Line(vec![(4.0, 0.0), (KEY - 4.0, 0.0)], 10.0))],
    };
    Glyph { at, pieces }
}
