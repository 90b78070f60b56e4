//! What the sheets of both workbooks share: the colors, cells with formulas, titles, legends, and the finished file.

use anyhow::{Context, Result, ensure};
use rust_xlsxwriter::utility::row_col_to_cell;
use rust_xlsxwriter::{
    ChartFont, ChartMarker, ChartMarkerType, DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder,
    Formula, Workbook, Worksheet,
};

/// Zero-based row and column.
pub(super) type At = (u32, u16);

/// What a cell is: its colors.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Ink {
    /// red: data
    Data,
    /// orange: what is optimized
    Weight,
    /// blue: a prediction
    Prediction,
    /// black on white: computed
    Plain,
    /// gray: where one epoch hands over to the next
    Carried,
    /// in a frame: a number that you may change
    Setting,
}

impl Ink {
    pub(super) fn format(self, number: &str) -> Format {
        let format = Format::new().set_num_format(number);
        match self {
            Ink::Data => format.set_font_color(0xB00020).set_background_color(0xFCE8E8),
            Ink::Weight => format.set_background_color(0xFFD199),
            Ink::Prediction => format.set_font_color(0x1F4E99).set_background_color(0xE1ECF8),
            Ink::Plain => format,
            Ink::Carried => format.set_italic().set_font_color(0x555555).set_background_color(0xEDEDED),
            Ink::Setting => format.set_bold().set_border(FormatBorder::Thin),
        }
    }

    /// The head of a column of such cells.
    pub(super) fn head(self) -> Format {
        let format = match self {
            Ink::Data | Ink::Weight | Ink::Prediction => self.format("General"),
            _ => Format::new().set_background_color(0xEDEDED),
        };
        format
            .set_bold()
            .set_text_wrap()
            .set_align(FormatAlign::Center)
            .set_align(FormatAlign::VerticalCenter)
            .set_border_bottom(FormatBorder::Thin)
    }
}

/// Writes a formula together with its result.
pub(super) fn formula(sheet: &mut Worksheet, at: At, text: &str, result: f64, format: &Format) -> Result<()> {
    ensure!(
        result.is_finite(),
        "sheet '{}', cell {}: the result of {text} is {result}, which a workbook cannot hold",
        sheet.name(),
        row_col_to_cell(at.0, at.1)
    );
    sheet.write_formula_with_format(at.0, at.1, Formula::new(text).set_result(result.to_string()), format)?;
    Ok(())
}

/// Excel's number for this size of paper.
const A4: u8 = 9;

/// A sheet that opens with its title, a line on what it holds and one on what to look at.
pub(super) fn titled<'a>(
    book: &'a mut Workbook,
    name: &str,
    title: &str,
    notes: [&str; 2],
) -> Result<&'a mut Worksheet> {
    let sheet = book.add_worksheet().set_name(name)?;
    sheet.write_with_format(0, 0, title, &Format::new().set_bold().set_font_size(14))?;
    sheet.write_with_format(1, 0, notes[0], &Format::new().set_font_color(0x333333))?;
    sheet.write_with_format(2, 0, notes[1], &Format::new().set_font_color(0x333333).set_italic())?;
    sheet.set_screen_gridlines(false);
    sheet.set_paper_size(A4).set_landscape().set_print_fit_to_pages(1, 0).set_print_center_horizontally(true);
    sheet.set_margins(0.4, 0.4, 0.5, 0.6, 0.3, 0.3).set_footer("&L&F, &A&RPage &P of &N");
    Ok(sheet)
}

/// The three colors, named, in three adjacent cells (each two columns wide), to the right of the sheet's title and so
/// apart from the heads of columns.
pub(super) fn legend(sheet: &mut Worksheet, first_col: u16) -> Result<()> {
    let words = [(Ink::Weight, "optimized"), (Ink::Prediction, "prediction"), (Ink::Data, "data")];
    for (col, (ink, word)) in (first_col..).step_by(2).zip(words) {
        let format = ink.format("General").set_align(FormatAlign::Center);
        sheet.merge_range(0, col, 0, col + 1, word, &format)?;
    }
    Ok(())
}

/// The dots on a chart's line.
pub(super) fn dots() -> ChartMarker {
    let mut marker = ChartMarker::new();
    marker.set_type(ChartMarkerType::Circle).set_size(5);
    marker
}

/// The font of a chart's title, no larger than necessary.
pub(super) fn title_font() -> ChartFont {
    let mut font = ChartFont::new();
    font.set_bold().set_size(12);
    font
}

/// The bytes of the file. The date in it is fixed (the lecture's): the same workbook, the same bytes.
pub(super) fn finished(mut book: Workbook, title: &str) -> Result<Vec<u8>> {
    let date = ExcelDateTime::from_ymd(2017, 11, 27)?;
    book.set_properties(&DocProperties::new().set_title(title).set_creation_datetime(&date));
    book.save_to_buffer().with_context(|| format!("writing the workbook '{title}' failed"))
}
