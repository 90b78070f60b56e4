//! The fine units of the pictures' SVG, of which plotters takes whole numbers only.

use plotters::style::{RGBAColor, ShapeStyle};

/// Units of the SVG in one hundredth of an inch.
pub(super) const SUB: f64 = 20.0;

pub(super) fn fine(hundredths: f64) -> i32 {
    (hundredths * SUB).round() as i32
}

pub(super) fn fine_point((x, y): (f64, f64)) -> (i32, i32) {
    (fine(x), fine(y))
}

/// The style of a line, `width` hundredths of an inch wide.
pub(super) fn stroke(color: impl Into<RGBAColor>, width: f64) -> ShapeStyle {
    ShapeStyle { color: color.into(), filled: false, stroke_width: fine(width) as u32 }
}
