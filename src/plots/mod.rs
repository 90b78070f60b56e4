//! The lecture's pictures: slices in, a [`Figure`] out. Nothing here sees a tensor, a file of ratings or the
//! clock.
//!
//! Everything is drawn once, by plotters, as SVG; a PNG is that SVG rasterized. So both show the same
//! picture, text and thin lines are antialiased, and no font has to be installed: the DejaVu face is compiled
//! in.
//!
//! | file | what it draws |
//! |---|---|
//! | [`hexbin`](mod@hexbin) | counts points in hexagons; a pure function, draws nothing |
//! | [`joint`](fn@joint) | predictions against true ratings, with both marginals |
//! | [`curves`] | learning rates, losses of several methods, gradients: numbers in the order they came |
//! | [`losses`] | the losses of the fits, next to the lecture's |
//! | [`ratings`] | what the ratings look like: histogram, crosstab, squashed sigmoid, residuals |
//! | [`diagrams`] | the lecture's drawings: tensors, an embedding, a net, backpropagation |
//! | [`lines`] | the lecture's drawings with axes: points and lines, secant and tangent |
//! | [`embeddings`] | the weights before and after training |
//! | [`surface`] | the error over (a, b), and the paths that optimizers take down it |
//! | [`scatter`] | labeled points, no two labels on top of each other |
//! | [`intervals`](fn@intervals) | models side by side, one number per model with its interval |
//! | [`strips`](fn@strips) | an ensemble of runs for each of the lecture's numbers |
//!
//! plotters' charts draw the axes, series and most legends. `canvas`, `axis`, `axes` and `marks` give them one look, make room
//! for every label, and add what plotters cannot do: titles of several lines, marks with an edge, lines cut at the edge.

mod axes;
mod axis;
mod canvas;
pub mod curves;
pub mod diagrams;
pub mod embeddings;
mod fine;
pub mod hexbin;
mod intervals;
mod joint;
pub mod lines;
pub mod losses;
mod marks;
pub mod ratings;
pub mod scatter;
mod strips;
pub mod surface;

use std::cell::Cell;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use plotters::style::RGBColor;
use resvg::{tiny_skia, usvg};

use crate::system::files::write_whole;
use canvas::Canvas;
pub use curves::{descent, gradient_trace, loss_by_epoch, lr_finder, lr_schedule};
pub use diagrams::{backpropagation, dot_product, embedding_lookup, mini_net, tensors};
pub use embeddings::{EmbeddingWeights, embeddings_before_after};
pub use hexbin::{Extent, Hexagon, hexbin};
pub use intervals::{Interval, intervals};
pub use joint::joint;
pub use lines::{points_and_lines, secant_and_tangent};
pub use losses::{FitLosses, all_validation_losses, loss_curves};
pub use ratings::{crosstab_heatmap, rating_histogram, residuals_by_popularity, squashed_sigmoid};
pub use scatter::{LabelBox, labeled_scatter, place_labels};
pub use strips::{Strip, strips};
pub use surface::{Grid, error_surface};

/// A finished picture: its SVG, its name as a file and one sentence for those who cannot see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The file's stem, such as `embedding_dot_losses`.
    pub name: String,
    /// What the picture shows, in a sentence, for screen readers.
    pub alt: String,
    svg: String,
    width: u32,
    height: u32,
}

/// Every picture is laid out as if printed at 100 dots per inch: a width of 700 is 7 inches.
pub const DESIGN_DPI: u32 = 100;
/// The usual resolution of a PNG, twice the design's: sharp in print and on a dense screen.
pub const PRINT_DPI: u32 = 200;

/// A kind of file that a picture is written as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    /// Pixels, at the resolution of `--dpi`.
    Png,
    /// Lines and text, for web pages.
    Svg,
    /// Lines and text, for LaTeX.
    Pdf,
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "png" => Ok(Self::Png),
            "svg" => Ok(Self::Svg),
            "pdf" => Ok(Self::Pdf),
            _ => bail!("'{text}' is not a format of pictures; there are png, svg and pdf"),
        }
    }
}

/// On slides type is this many times as large.
const SLIDES: f64 = 1.3;

thread_local! {
    static TYPE: Cell<f64> = const { Cell::new(1.0) };
}

/// Draws the pictures of this thread with larger type from here on, for slides; those whose size follows from their
/// contents, such as tables and drawings, stay as they are.
pub fn for_slides() {
    TYPE.set(SLIDES);
}

impl Figure {
    /// Draws on a white page of `width` by `height` hundredths of an inch. For slides, the page is laid out smaller and then
    /// enlarged, type and all.
    ///
    /// # Errors
    /// When plotters cannot draw: for SVG in memory that is a bug in this program.
    fn draw(
        name: &str,
        alt: &str,
        width: u32,
        height: u32,
        paint: impl FnOnce(&mut Canvas) -> Result<()>,
    ) -> Result<Self> {
        let laid_out = |size: u32| (f64::from(size) / TYPE.get()).round() as u32;
        let figure = Self::fixed(name, alt, laid_out(width), laid_out(height), paint)?;
        Ok(Self { width, height, ..figure })
    }

    /// The same for contents that need a page of this size.
    ///
    /// # Errors
    /// When plotters cannot draw: for SVG in memory that is a bug in this program.
    fn fixed(
        name: &str,
        alt: &str,
        width: u32,
        height: u32,
        paint: impl FnOnce(&mut Canvas) -> Result<()>,
    ) -> Result<Self> {
        let svg = canvas::paint(alt, width, height, paint).with_context(|| format!("drawing {name}"))?;
        Ok(Self { name: name.to_owned(), alt: alt.to_owned(), svg, width, height })
    }

    /// The picture as an SVG document; it can be embedded in an HTML page as it is.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// Width and height of the design, in hundredths of an inch.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Width and height in CSS pixels (96 an inch).
    pub fn css_size(&self) -> (u32, u32) {
        let css = |n: u32| (f64::from(n) / f64::from(DESIGN_DPI) * 96.0).round() as u32;
        (css(self.width), css(self.height))
    }

    /// The picture as a PNG of `dpi` dots per inch, which is also written into the file (its `pHYs` chunk),
    /// so that a word processor shows it at the same size whatever the resolution.
    ///
    /// # Errors
    /// When `dpi` is 0 or the picture would be larger than 20,000 pixels on a side.
    pub fn png(&self, dpi: u32) -> Result<Vec<u8>> {
        let pixels = |n: u32| (f64::from(n) * f64::from(dpi) / f64::from(DESIGN_DPI)).round() as u32;
        let (width, height) = (pixels(self.width), pixels(self.height));
        ensure!(
            (1..=20_000).contains(&width.max(height)),
            "{}: at {dpi} dpi it would be {width} by {height} pixels; choose a dpi between 20 and 1200",
            self.name
        );
        let tree = self.tree()?;
        let mut page = tiny_skia::Pixmap::new(width, height)
            .with_context(|| format!("{}: no memory for {width} by {height} pixels", self.name))?;
        page.fill(tiny_skia::Color::WHITE);
        let scale = width as f32 / tree.size().width();
        let transform = tiny_skia::Transform::from_scale(scale, scale);
        resvg::render(&tree, transform, &mut page.as_mut());
        encoded(page, dpi).with_context(|| format!("{}: encoding the PNG", self.name))
    }

    /// The picture as a PDF document of its size, with its text as outlines.
    ///
    /// # Errors
    /// When the SVG cannot be converted: a bug in this program.
    pub fn pdf(&self) -> Result<Vec<u8>> {
        let tree = self.tree()?;
        let dpi = DESIGN_DPI as f32 * tree.size().width() / self.width as f32;
        // As text, svg2pdf would write the fonts in an order that differs from run to run.
        let outlines =
            svg2pdf::ConversionOptions { embed_text: false, ..svg2pdf::ConversionOptions::default() };
        svg2pdf::to_pdf(&tree, outlines, svg2pdf::PageOptions { dpi })
            .map_err(|error| anyhow::anyhow!("{}: no PDF can be made of it: {error}", self.name))
    }

    fn tree(&self) -> Result<usvg::Tree> {
        let font_resolver =
            usvg::FontResolver { select_fallback: canvas::other_font(), ..usvg::FontResolver::default() };
        let fontdb = Arc::clone(canvas::fonts());
        let options = usvg::Options { fontdb, font_resolver, ..usvg::Options::default() };
        usvg::Tree::from_str(&self.svg, &options)
            .with_context(|| format!("{}: its own SVG cannot be read back", self.name))
    }

    /// Writes the picture into `dir`, which is created if missing, as `NAME.png` and so on, one file per format. Each file is
    /// complete or absent. Returns the PNG's bytes, to be shown as well.
    ///
    /// # Errors
    /// When the folder or a file cannot be written, or the PNG or PDF not made (see [`Figure::png`]).
    pub fn save(&self, dir: &Path, dpi: u32, formats: &[Format]) -> Result<Vec<u8>> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) {
            bail!("'{}' cannot be the name of a picture: it needs letters and no slash", self.name);
        }
        let png = self.png(dpi)?;
        for format in formats {
            let file = |ending: &str| dir.join(format!("{}.{ending}", self.name));
            match format {
                Format::Png => write_whole(&file("png"), &png)?,
                Format::Svg => write_whole(&file("svg"), self.svg.as_bytes())?,
                Format::Pdf => write_whole(&file("pdf"), &self.pdf()?)?,
            }
        }
        Ok(png)
    }
}

/// The pixels as a PNG, whose `pHYs` chunk gives its resolution.
fn encoded(page: tiny_skia::Pixmap, dpi: u32) -> Result<Vec<u8>> {
    let per_meter = (f64::from(dpi) / 0.0254).round() as u32;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, page.width(), page.height());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_meter,
        yppu: per_meter,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    // The page is opaque, so no color is multiplied by its alpha.
    writer.write_image_data(page.data())?;
    writer.finish()?;
    Ok(bytes)
}

/// The colors: Okabe and Ito's (2008), which color-blind readers can distinguish too. Where ours and the lecture's
/// figures meet, ours are blue and full, the lecture's vermilion and open, so that shape alone distinguishes them as
/// well.
mod palette {
    use super::RGBColor;

    /// Text.
    pub const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
    /// Secondary text, axes.
    pub const GRAY: RGBColor = RGBColor(0x6b, 0x6b, 0x6b);
    /// Grid lines.
    pub const PALE: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
    /// A region behind the data.
    pub const BAND: RGBColor = RGBColor(0xee, 0xee, 0xee);
    pub const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);
    pub const BLACK: RGBColor = RGBColor(0, 0, 0);
    pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
    pub const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
    pub const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
    pub const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
    pub const PALE_ORANGE: RGBColor = RGBColor(0xfb, 0xea, 0xc4);
    pub const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
    pub const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);

    /// What this run measured.
    pub const OURS: RGBColor = BLUE;
    /// What the lecture printed.
    pub const LECTURE: RGBColor = VERMILION;
    /// For a sixth optimizer.
    pub const BROWN: RGBColor = RGBColor(0x8c, 0x51, 0x0a);
    /// Several curves of equal standing, in this order.
    pub const SERIES: [RGBColor; 8] =
        [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, RGBColor(0x99, 0x99, 0x99)];

    /// The color of an optimizer in every picture, and whether its line is dashed, as that of an annealed variant is.
    /// Blue is left to the ground that the paths of optimizers run over. `None` for another name.
    pub fn optimizer(name: &str) -> Option<(RGBColor, bool)> {
        let (of, annealed) = name.strip_suffix(", annealed").map_or((name, false), |of| (of, true));
        let color = match of.to_lowercase().as_str() {
            "sgd" | "basic sgd" => VERMILION,
            "momentum" => GREEN,
            "adagrad" => PURPLE,
            "rmsprop" => ORANGE,
            "adam" => BLACK,
            "eve" => BROWN,
            _ => return None,
        };
        Some((color, annealed))
    }

    /// From few (light) to many (dark): even steps of lightness from nearly white to a deep blue.
    const LIGHT_TO_DARK: [(u8, u8, u8); 6] =
        [(232, 241, 250), (182, 212, 238), (116, 174, 220), (54, 131, 192), (16, 86, 146), (8, 40, 82)];

    /// The color of a share between 0 (light) and 1 (dark).
    pub fn sequential(share: f64) -> RGBColor {
        let last = LIGHT_TO_DARK.len() - 1;
        let place = if share.is_finite() { share.clamp(0.0, 1.0) * last as f64 } else { 0.0 };
        let below = (place as usize).min(last - 1);
        let (from, to, t) = (LIGHT_TO_DARK[below], LIGHT_TO_DARK[below + 1], place - below as f64);
        let mix = |a: u8, b: u8| (f64::from(a) + t * (f64::from(b) - f64::from(a))).round() as u8;
        RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    }

    /// Perceived lightness between 0 and 1, to choose black or white text on a color.
    pub fn lightness(RGBColor(r, g, b): RGBColor) -> f64 {
        (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
    }
}

/// `1234567.8` as `1,234,568`, or with the given number of decimals; the minus sign is a real one.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::new();
    if value < 0.0 && plain.chars().any(|c| c.is_ascii_digit() && c != '0') {
        text.push('\u{2212}');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// Lowest and highest of the finite values.
fn range_of(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((lo, hi)) => Some((v.min(lo), v.max(hi))),
    })
}

/// The value that a share `q` of the sorted values lies below, by linear interpolation as NumPy's `quantile`
/// does.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// The finite numbers of `values`, sorted.
fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators_and_a_real_minus() {
        assert_eq!(number(1_251.0, 0), "1,251");
        assert_eq!(number(100_004.0, 0), "100,004");
        assert_eq!(number(-0.25, 2), "\u{2212}0.25");
        assert_eq!(number(-0.001, 1), "0.0");
        assert_eq!(number(999.96, 1), "1,000.0");
    }

    #[test]
    fn the_sequential_colors_only_ever_grow_darker() {
        let shades: Vec<f64> =
            (0..=100).map(|i| palette::lightness(palette::sequential(f64::from(i) / 100.0))).collect();
        assert!(shades.windows(2).all(|pair| pair[1] < pair[0]), "{shades:?}");
    }

    #[test]
    fn quantiles_interpolate_as_numpys_do() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
        assert_eq!(quantile(&[7.0], 0.9), 7.0);
    }
}
