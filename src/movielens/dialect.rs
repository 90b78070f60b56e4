//! The dialect of a table in text: as stated, or as its first line shows.

use serde::{Deserialize, Serialize};

use super::columns::{ColumnKind, ColumnSpec};
use super::shown::quoted;

/// How a table is written as text. What is not stated here is inferred from the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// What separates two fields: a character, `::`, or a blank for any run of blanks.
    pub separator: Option<String>,
    /// Whether the first line names the columns.
    pub header: Option<bool>,
    /// What encloses a field that contains a separator, with a quote in it doubled (RFC 4180).
    pub quote: Option<Quote>,
}

/// What a quote means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quote {
    /// This character encloses a field.
    Around(char),
    /// A quote is a character like any other.
    Literal,
}

impl Dialect {
    fn stated(separator: &str, header: bool, quote: Quote) -> Dialect {
        Dialect { separator: Some(separator.to_owned()), header: Some(header), quote: Some(quote) }
    }

    /// ratings.csv and movies.csv, since 2013.
    pub fn csv() -> Dialect {
        Dialect::stated(",", true, Quote::Around('"'))
    }

    /// The files before that, which separate by `::`, tabs or bars.
    pub fn old(separator: &str) -> Dialect {
        Dialect::stated(separator, false, Quote::Literal)
    }
}

/// Separators, in the order in which they are tried.
const SEPARATORS: [&str; 6] = [",", "\t", ";", "|", "::", " "];
/// What `::` becomes, since polars separates by one byte: ASCII's unit separator.
pub(super) const UNIT: char = '\u{1f}';

pub(super) fn byte_of(separator: &str) -> u8 {
    if separator == "::" { UNIT as u8 } else { separator.as_bytes().first().copied().unwrap_or(b',') }
}

pub(super) fn position(name: &str, fields: &[String], header: bool) -> Option<usize> {
    match header {
        true => fields.iter().position(|field| field == name),
        false => name.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < fields.len()),
    }
}

/// The fields of the first record of a text, without surrounding blanks.
pub(super) fn fields(text: &str, separator: u8, quote: Option<u8>) -> Vec<String> {
    let mut how = csv::ReaderBuilder::new();
    how.delimiter(separator).quote(quote.unwrap_or(b'"')).quoting(quote.is_some());
    let mut reader = how.has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => record.iter().map(|field| field.trim_ascii().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// Whether there are quotes, and each field between tabs that has one is entirely enclosed in them. Otherwise they are
/// plain characters there.
pub(super) fn wholly_quoted(text: &str, separator: &str) -> bool {
    let whole = |field: &str| field.len() > 1 && field.starts_with('"') && field.ends_with('"');
    let mut fields =
        text.lines().flat_map(|line| line.split('\t')).filter(|field| field.contains('"')).peekable();
    separator == "\t" && text.contains('"') && fields.peek().is_some() && fields.all(whole)
}

/// A way to read the first line.
pub(super) struct Detected {
    pub separator: String,
    pub header: bool,
    pub quote: Option<u8>,
    pub fields: Vec<String>,
}

/// The ways to read a line, with each separator that is not ruled out.
fn ways(line: &str, dialect: &Dialect) -> impl Iterator<Item = (String, Option<u8>, Vec<String>)> {
    let stated = dialect.separator.as_deref();
    let separators = stated.map_or(SEPARATORS.to_vec(), |separator| vec![separator]);
    separators
        .into_iter()
        .map(|separator| {
            let line = match separator {
                "::" => line.replace("::", &UNIT.to_string()),
                " " => line.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
                _ => line.to_owned(),
            };
            let quote = match dialect.quote {
                Some(Quote::Literal) => None,
                Some(Quote::Around(mark)) => Some(mark as u8),
                // Between tabs a quote is a character, unless it encloses a whole field.
                None => {
                    let in_quotes =
                        |field: &str| field.len() > 1 && field.starts_with('"') && field.ends_with('"');
                    (separator != "\t" || line.split('\t').any(in_quotes)).then_some(b'"')
                }
            };
            (separator.to_owned(), quote, fields(&line, byte_of(separator), quote))
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// The possible names of the columns, for each way to read the first line.
pub(super) fn first_lines(text: &str, dialect: &Dialect) -> Vec<Vec<String>> {
    let line = text.lines().find(|line| !line.trim_ascii().is_empty() && !line.starts_with("sep="));
    ways(line.unwrap_or_default(), dialect).map(|(.., fields)| fields).collect()
}

/// The dialect of a file with this first line, given the wanted columns: the first one that separates the line into
/// fields with all of these names. Names that are numbers, and none of the first line's fields, are positions in a file
/// without a header.
pub(super) fn detect(line: &str, dialect: &Dialect, wanted: &[ColumnSpec]) -> Result<Detected, String> {
    let needed: Vec<&ColumnSpec> = wanted.iter().filter(|want| !want.optional).collect();
    let numbers = needed.iter().all(|want| want.column.parse::<usize>().is_ok());
    let stated = dialect.separator.as_deref();
    let mut likeliest: Option<Detected> = None;
    for (separator, quote, fields) in ways(line, dialect) {
        let has = |header: bool| needed.iter().all(|want| position(want.column, &fields, header).is_some());
        let header = dialect.header.unwrap_or(!numbers);
        if dialect.header.is_none() && numbers && has(true) {
            return Err(format!(
                "{} can be names of columns or a row; say which: --header yes or --header no",
                quoted(&fields)
            ));
        }
        // Without names to go by, at least the rating must be a number.
        let rating = needed.iter().find(|want| matches!(want.holds, ColumnKind::Ratings(_)));
        let rating = rating.and_then(|want| fields.get(position(want.column, &fields, false)?));
        let found = has(header) && (header || rating.is_none_or(|rating| rating.parse::<f64>().is_ok()));
        if found && header {
            let twice = |want: &&&ColumnSpec| fields.iter().filter(|field| *field == want.column).count() > 1;
            if let Some(want) = wanted.iter().collect::<Vec<_>>().iter().find(|want| twice(want)) {
                return Err(format!(
                    "two columns are called '{}'; give one of them another name",
                    want.column
                ));
            }
        }
        let detected = Detected { separator, header, quote, fields };
        if found {
            return Ok(detected);
        }
        // Many fields contain a blank.
        let better =
            |other: &Detected| detected.fields.len() > other.fields.len() && detected.separator != " ";
        if likeliest.as_ref().is_none_or(better) {
            likeliest = Some(detected);
        }
    }
    let detected = likeliest.ok_or("no fields")?;
    let n = detected.fields.len();
    if !detected.header && needed.iter().all(|want| position(want.column, &detected.fields, false).is_some())
    {
        return Ok(detected);
    }
    if !detected.header && stated.is_some() {
        let separator = detected.separator.escape_default();
        return Err(format!("{n} of {} fields separated by '{separator}'", needed.len()));
    }
    let missing =
        needed.iter().filter(|want| position(want.column, &detected.fields, detected.header).is_none());
    let missing = quoted(missing.map(|want| want.column));
    let is_row = detected.fields.iter().any(|field| field.parse::<f64>().is_ok());
    let hint = match () {
        _ if is_row && detected.header && n >= 3 => {
            "; if the first line is already a row, say --user 1 --item 2 --rating 3"
        }
        _ if n < 2 => "; --separator states what separates the fields",
        _ => "",
    };
    Err(format!("no column {missing}; it has {}{hint}", quoted(&detected.fields)))
}
