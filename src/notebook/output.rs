//! What a cell shows.

use super::table::Table;

/// Something that a cell shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Printed lines; what a cell prints in a row is one stream.
    Stream(String),
    /// A value as text.
    Text(String),
    /// Rows and columns.
    Table(Table),
    /// Formatted text.
    Markdown(String),
    /// The source of an item, such as `struct EmbeddingDot`, that another file defines.
    Rust {
        /// As it was requested.
        item: String,
        /// Its source.
        text: String,
    },
    /// A picture.
    Picture(Picture),
    /// Why the cell failed.
    Error(String),
}

/// A picture as a page or a notebook holds it.
#[derive(Clone, PartialEq)]
pub struct Picture {
    /// The file's name without its ending; the picture is `plots/NAME.png`.
    pub name: String,
    /// What the picture shows, for readers who cannot see it.
    pub alt: String,
    /// Width and height in CSS pixels (96 an inch).
    pub size: (u32, u32),
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// The text of an SVG file, if one was requested.
    pub svg: Option<String>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Picture({}: {}, {} bytes)", self.name, self.alt, self.png.len())
    }
}

impl From<String> for Output {
    fn from(text: String) -> Output {
        Output::Text(text)
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Output {
        Output::Text(text.to_string())
    }
}

impl From<Table> for Output {
    fn from(table: Table) -> Output {
        Output::Table(table)
    }
}

impl From<Picture> for Output {
    fn from(picture: Picture) -> Output {
        Output::Picture(picture)
    }
}

macro_rules! numbers_are_shown_as_text {
    ($($number:ty),*) => {$(
        impl From<$number> for Output {
            fn from(number: $number) -> Output {
                Output::Text(number.to_string())
            }
        }
    )*};
}
numbers_are_shown_as_text!(f32, f64, i64, usize, bool);

impl Output {
    /// The output in plain text: what a terminal shows of it, without a newline at the end.
    pub fn to_text(&self) -> String {
        match self {
            Output::Stream(text) | Output::Text(text) | Output::Markdown(text) | Output::Error(text) => {
                text.trim_end().to_string()
            }
            Output::Table(table) => table.to_text().trim_end().to_string(),
            Output::Rust { text, .. } => text.clone(),
            Output::Picture(picture) => picture.alt.clone(),
        }
    }
}
