//! The page that figures are drawn on: lines, shapes, marks and text, by plotters, in hundredths of an inch.
//!
//! plotters' SVG backend takes whole numbers only. So the page is laid out [`SUB`] times finer than the
//! design, and the SVG's `viewBox` scales it back: a line of 1.3 or a mark at 17.4 is then where it should
//! be.

use std::sync::{Arc, Once, OnceLock};

use anyhow::Result;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, RGBColor, TextStyle, register_font,
};
use resvg::usvg::{self, FallbackSelectionFn, fontdb};

use crate::system::failure::complain;

use super::fine::{SUB, fine_point, stroke};
use super::marks::{Key, Shape, mark, symbol};
use super::palette;

/// The names a viewer of the SVG tries in turn; plotters knows the compiled-in face under the whole string.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// plotters writes `font-size` as the size it is given divided by this.
const PLOTTERS_EM: f64 = 1.24;
/// plotters' ab_glyph measures with the face's height where we mean its em: (1901 + 483) / 2048 for DejaVu.
const FACE_HEIGHT: f64 = 2384.0 / 2048.0;
/// With `VPos::Top` plotters puts the baseline this many em below the point.
const TOP_TO_BASELINE: f64 = 0.76;

/// The compiled-in font, registered with plotters (which measures) and loaded for resvg (which rasterizes).
pub(super) fn fonts() -> &'static Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    FONTS.get_or_init(|| {
        let mut database = fontdb::Database::new();
        for (style, bytes) in
            [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())]
        {
            assert!(register_font(FAMILY, style, bytes).is_ok(), "the compiled-in DejaVu Sans is not a font");
            database.load_font_data(bytes.to_vec());
        }
        Arc::new(database)
    })
}

/// Finds a system font for a character that the compiled-in font lacks. If no font has it, the picture shows a box, and
/// a note says so once.
pub(super) fn other_font() -> FallbackSelectionFn<'static> {
    static SYSTEMS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    static TOLD: Once = Once::new();
    let among = usvg::FontResolver::default_fallback_selector();
    Box::new(move |character, tried, fonts| {
        if let Some(font) = among(character, tried, fonts) {
            return Some(font);
        }
        *fonts = Arc::clone(SYSTEMS.get_or_init(|| {
            let mut all = fontdb::Database::clone(fonts);
            all.load_system_fonts();
            Arc::new(all)
        }));
        let font = among(character, tried, fonts);
        if font.is_none() {
            TOLD.call_once(|| {
                complain(&format!(
                    "note: no font on this system has '{character}', and possibly other characters: pictures show a \
                     box instead; install a font of its script (Noto Sans CJK covers many)"
                ));
            });
        }
        font
    })
}

/// A rectangle: left, top, width, height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Rect {
    pub fn right(&self) -> f64 {
        self.x + self.w
    }
    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }
    /// Side by side in `n` equal columns with a gap between them.
    pub fn columns(&self, n: usize, gap: f64) -> Vec<Rect> {
        let w = (self.w - gap * (n - 1) as f64) / n as f64;
        (0..n).map(|i| Rect { x: self.x + i as f64 * (w + gap), w, ..*self }).collect()
    }
}

/// How a text is aligned to its x.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Face {
    pub size: f64,
    pub color: RGBColor,
    pub bold: bool,
}

impl Face {
    pub const TITLE: Face = Face { size: 15.0, color: palette::INK, bold: true };
    pub const LABEL: Face = Face { size: 12.5, color: palette::INK, bold: false };
    pub const TICK: Face = Face { size: 11.5, color: palette::GRAY, bold: false };
    pub const NOTE: Face = Face { size: 11.5, color: palette::INK, bold: false };

    pub fn in_color(self, color: RGBColor) -> Face {
        Face { color, ..self }
    }
    pub fn sized(self, size: f64) -> Face {
        Face { size, ..self }
    }
    pub fn bold(self) -> Face {
        Face { bold: true, ..self }
    }

    fn description(self, size: f64) -> FontDesc<'static> {
        fonts();
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        FontDesc::new(FontFamily::Name(FAMILY), size, style)
    }

    /// The same for plotters.
    pub fn style(self) -> TextStyle<'static> {
        let color = self.color.to_backend_color();
        TextStyle { color, ..TextStyle::from(self.description(self.size * PLOTTERS_EM * SUB)) }
    }

    /// How wide the text will be.
    pub fn width(self, text: &str) -> f64 {
        let measured = self.description(self.size * FACE_HEIGHT * SUB).box_size(text);
        // The face is compiled in, so measuring cannot fail; a guess is better than a panic all the same.
        measured.map_or(0.6 * self.size * text.chars().count() as f64, |(width, _)| f64::from(width) / SUB)
    }

    /// How far below the middle of its capitals and figures the baseline lies.
    pub fn half_capital(self) -> f64 {
        0.365 * self.size
    }

    /// Breaks the text at spaces so that no line is wider than `width` (a single longer word stays whole).
    pub fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last_mut().expect("there is always a line");
            if line.is_empty() {
                line.push_str(word);
            } else if self.width(&format!("{line} {word}")) <= width {
                line.push(' ');
                line.push_str(word);
            } else {
                lines.push(word.to_owned());
            }
        }
        lines
    }

    /// The text, or as much of its beginning as fits, ending in an ellipsis.
    pub fn shorten(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let short = format!("{}…", kept.iter().collect::<String>().trim_end());
            if self.width(&short) <= width {
                return short;
            }
        }
        String::new()
    }
}

pub(super) struct Canvas<'a> {
    pub area: DrawingArea<SVGBackend<'a>, Shift>,
    /// The first error, checked once at the end.
    failure: Option<anyhow::Error>,
    pub width: f64,
    pub height: f64,
}

/// A white page, painted by `paint`, as an SVG document that carries `alt` for screen readers.
pub(super) fn paint(
    alt: &str,
    width: u32,
    height: u32,
    paint: impl FnOnce(&mut Canvas) -> Result<()>,
) -> Result<String> {
    fonts();
    let fine = |n: u32| n * SUB as u32;
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, (fine(width), fine(height)));
    let mut canvas = Canvas {
        area: backend.into_drawing_area(),
        failure: None,
        width: f64::from(width),
        height: f64::from(height),
    };
    canvas.rect(Rect { x: 0.0, y: 0.0, w: canvas.width, h: canvas.height }, palette::WHITE);
    let painted = paint(&mut canvas);
    let presented = canvas.area.present().map_err(anyhow::Error::from);
    let failure = canvas.failure.take();
    drop(canvas);
    painted?;
    presented?;
    failure.map_or(Ok(()), Err)?;

    // What plotters cannot say: the size on the page, what the picture shows, and round corners, without
    // which a jagged line grows spikes.
    let fine_size = format!("width=\"{}\" height=\"{}\"", fine(width), fine(height));
    let alt = alt.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let size = format!(
        "width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{alt}\" stroke-linejoin=\"round\""
    );
    Ok(svg.replacen(&fine_size, &size, 1))
}

impl Canvas<'_> {
    pub fn keep<E: Into<anyhow::Error>>(&mut self, outcome: Result<(), E>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error.into());
        }
    }

    pub fn line(&mut self, points: &[(f64, f64)], color: impl Into<RGBAColor>, width: f64) {
        if points.len() < 2 {
            return;
        }
        let mut fine: Vec<(i32, i32)> = points.iter().map(|&p| fine_point(p)).collect();
        fine.dedup();
        let drawn = self.area.draw(&PathElement::new(fine, stroke(color, width)));
        self.keep(drawn);
    }

    pub fn polygon(&mut self, points: &[(f64, f64)], fill: impl Into<RGBAColor>) {
        let fine: Vec<(i32, i32)> = points.iter().map(|&p| fine_point(p)).collect();
        let drawn = self.area.draw(&Polygon::new(fine, fill.into()));
        self.keep(drawn);
    }

    pub fn rect(&mut self, r: Rect, fill: impl Into<RGBAColor>) {
        let corners = [fine_point((r.x, r.y)), fine_point((r.right(), r.bottom()))];
        let drawn = self.area.draw(&Rectangle::new(corners, fill.into().filled()));
        self.keep(drawn);
    }

    pub fn outline(&mut self, r: Rect, color: impl Into<RGBAColor>, width: f64) {
        let (right, bottom) = (r.right(), r.bottom());
        self.line(&[(r.x, r.y), (right, r.y), (right, bottom), (r.x, bottom), (r.x, r.y)], color, width);
    }

    pub fn mark(&mut self, shape: Shape, at: (f64, f64), radius: f64, color: RGBColor) {
        let drawn = self.area.draw(&mark(fine_point(at), shape, radius, color));
        self.keep(drawn);
    }

    /// A legend's symbol; `at` is the middle of its left side.
    pub fn key(&mut self, key: Key, at: (f64, f64)) {
        let drawn = self.area.draw(&symbol(fine_point(at), key));
        self.keep(drawn);
    }

    /// Text on a white background, for places where lines may pass.
    pub fn text_on_white(&mut self, text: &str, x: f64, y: f64, align: Align, face: Face) {
        let w = face.width(text) + 4.0;
        let left = match align {
            Align::Left => x - 2.0,
            Align::Center => x - w / 2.0,
            Align::Right => x - w + 2.0,
        };
        self.rect(Rect { x: left, y: y - 0.85 * face.size, w, h: 1.1 * face.size }, palette::WHITE);
        self.text(text, x, y, align, face);
    }

    /// Text with its baseline at `y`.
    pub fn text(&mut self, text: &str, x: f64, y: f64, align: Align, face: Face) {
        let place = (x, y - TOP_TO_BASELINE * face.size);
        self.put_text(text, place, align, face, FontTransform::None);
    }

    /// Text that reads upward, its baseline at `x`; `Align::Left` begins at `y`, `Center` has its middle there.
    pub fn text_upwards(&mut self, text: &str, x: f64, y: f64, align: Align, face: Face) {
        let place = (x - TOP_TO_BASELINE * face.size, y);
        self.put_text(text, place, align, face, FontTransform::Rotate270);
    }

    fn put_text(&mut self, text: &str, place: (f64, f64), align: Align, face: Face, turn: FontTransform) {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = face.style().transform(turn).pos(Pos::new(h_pos, VPos::Top));
        let drawn = self.area.draw(&Text::new(text, fine_point(place), style));
        self.keep(drawn);
    }
}
