//! A finished picture, and the files it is written as.

use std::cell::Cell;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use resvg::{tiny_skia, usvg};

use super::canvas::{self, Canvas};
use crate::system::files::write_whole;

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
    pub(super) fn draw(
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
    pub(super) fn fixed(
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
        // As text, svg2pdf would write the fonts in an order that differs from run to run, and would need a library for them.
        let tree = usvg::Tree::from_str(&self.outlines()?, &usvg::Options::default())
            .with_context(|| format!("{}: its outlines cannot be read back", self.name))?;
        let dpi = DESIGN_DPI as f32 * tree.size().width() / self.width as f32;
        svg2pdf::to_pdf(&tree, svg2pdf::ConversionOptions::default(), svg2pdf::PageOptions { dpi })
            .map_err(|error| anyhow::anyhow!("{}: no PDF can be made of it: {error}", self.name))
    }

    /// The picture as SVG, with its text as outlines.
    fn outlines(&self) -> Result<String> {
        let options = usvg::WriteOptions { preserve_text: false, ..usvg::WriteOptions::default() };
        Ok(self.tree()?.to_string(&options))
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

#[cfg(test)]
mod tests {
    use super::Figure;

    #[test]
    fn the_text_of_a_pdf_is_outlines() {
        let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='20'><text font-family='DejaVu Sans' y='15'>a title</text></svg>";
        let figure = Figure { name: "x".into(), alt: "x".into(), svg: svg.into(), width: 90, height: 20 };
        let outlines = figure.outlines().unwrap();
        assert!(outlines.contains("<path ") && !outlines.contains("<text"), "{outlines}");
    }
}
