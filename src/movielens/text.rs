//! Tables in text files: the lecture's ratings.csv, its elders, and anybody's CSV.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use polars::prelude::DataFrame;

use crate::system::memory;

use super::columns::{Growing, Wanted, quoted, shortened};

/// How a table is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two fields.
    pub separator: &'static str,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Whether a field may stand in quotes, with a quote in it doubled (RFC 4180).
    pub quotes: bool,
}

impl Dialect {
    /// ratings.csv and movies.csv, since 2013.
    pub const CSV: Dialect = Dialect { separator: ",", header: true, quotes: true };
    /// ratings.dat and movies.dat of ml-1m and ml-10m.
    pub const DOUBLE_COLON: Dialect = Dialect { separator: "::", header: false, quotes: false };
    /// u.data of ml-100k.
    pub const TABS: Dialect = Dialect { separator: "\t", header: false, quotes: false };
    /// u.item of ml-100k.
    pub const BARS: Dialect = Dialect { separator: "|", header: false, quotes: false };

    /// The dialect of a file in which someone names columns: the first of comma, tab, semicolon, bar and
    /// double colon that separates the first line into fields with all of these names. Names that are
    /// numbers, and none of the first line's fields, are positions in a file without a header.
    fn that_has(text: &str, names: &[&str]) -> Result<Dialect, String> {
        let mut likeliest = Vec::new();
        for header in [true, false] {
            for separator in [",", "\t", ";", "|", "::"] {
                let dialect = Dialect { separator, header, quotes: true };
                let mut fields = Vec::new();
                // Under another separator than its own, a line with quotes may make no sense.
                if Records::new(text, dialect).next_into(&mut fields).is_err() {
                    continue;
                }
                if names.iter().all(|name| position(name, &fields, header).is_some()) {
                    return Ok(dialect);
                }
                if fields.len() > likeliest.len() {
                    likeliest = fields;
                }
            }
        }
        if likeliest.is_empty() {
            return Err("no names of columns, nor fields: its quotes are not closed".to_owned());
        }
        let missing: Vec<&str> =
            names.iter().filter(|name| position(name, &likeliest, true).is_none()).copied().collect();
        Err(format!("no column {}; it has {}", quoted(missing), quoted(likeliest.iter())))
    }
}

fn position(name: &str, fields: &[Cow<str>], header: bool) -> Option<usize> {
    match header {
        true => fields.iter().position(|field| field == name),
        false => name.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < fields.len()),
    }
}

/// A file's text, without a byte order mark: UTF-8 or, in the .dat and .item files of old, Latin-1.
///
/// # Errors
/// It is something else, and what.
pub fn decode(path: &Path, mut bytes: Vec<u8>) -> Result<String> {
    const NOT_TEXT: [(&[u8], &str); 6] = [
        (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
        (b"\x1f\x8b", "compressed by gzip; unpack it first"),
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV"),
        (b"PAR1", "a Parquet file, and text is expected; save its table as CSV"),
        (b"SQLite format 3", "an SQLite database; export the ratings as CSV"),
    ];
    let shown = path.display();
    if let Some((_, what)) = NOT_TEXT.iter().find(|(start, _)| bytes.starts_with(start)) {
        bail!("{shown}: {what}");
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    if let Some(at) = memchr::memchr(0, &bytes) {
        bail!("{shown} line {}: a byte of zero; this is no text", line_at(&bytes, at));
    }
    let latin_1 = path.extension().is_some_and(|kind| kind == "dat" || kind == "item");
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if latin_1 => Ok(error.as_bytes().iter().map(|&byte| char::from(byte)).collect()),
        Err(error) => {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            bail!("{shown} line {line}: not UTF-8 text; save it as UTF-8")
        }
    }
}

/// What Windows programs put in front of UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn line_at(bytes: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1
}

/// Reads the wanted columns of a table, in their order. `dialect` is `None` for a file whose dialect is told
/// by the names of the columns.
///
/// # Errors
/// A column that is missing, a row with too few or too many fields, a field that cannot be read, no rows:
/// with file and line.
pub fn read(path: &Path, text: &str, dialect: Option<Dialect>, wanted: &[Wanted]) -> Result<DataFrame> {
    let at = |(line, why): (usize, String)| anyhow!("{} line {line}: {why}", path.display());
    ensure!(!text.trim_ascii().is_empty(), "{}: an empty file", path.display());
    let needed: Vec<&str> = wanted.iter().filter(|w| !w.optional).map(|w| w.column).collect();
    let dialect = match dialect {
        Some(dialect) => dialect,
        None => Dialect::that_has(text, &needed).map_err(|why| at((1, why)))?,
    };

    let mut records = Records::new(text, dialect);
    let mut fields = Vec::new();
    let first = records.next_into(&mut fields).map_err(at)?.unwrap_or(1);
    let (n_fields, names) = (fields.len(), fields.clone());
    let rows = records.at_most();
    memory::check_table(path, rows, text.len())?;
    let mut columns = Vec::new();
    for want in wanted {
        match position(want.column, &names, dialect.header) {
            Some(place) => {
                let said = if dialect.header { want.column } else { want.name };
                columns.push((place, Growing::new(want, said, rows)));
            }
            None if want.optional => {}
            None if dialect.header => {
                let (needed, found) = (quoted(&needed), quoted(&names));
                bail!(at((first, format!("no column '{}'; expected {needed}, found {found}", want.column))))
            }
            None => {
                let separator = dialect.separator.escape_default();
                bail!(at((
                    first,
                    format!("{n_fields} of {} fields separated by '{separator}'", needed.len())
                )))
            }
        }
    }

    let mut line = if dialect.header { records.next_into(&mut fields).map_err(at)? } else { Some(first) };
    ensure!(line.is_some(), "{}: a header and no rows", path.display());
    let mut height = 0;
    while let Some(number) = line {
        if fields.len() != n_fields {
            let row = fields.join(dialect.separator);
            bail!(at((number, format!("{} of {n_fields} fields: '{}'", fields.len(), shortened(&row)))));
        }
        for (place, column) in &mut columns {
            column.push(&fields[*place]).map_err(|why| at((number, why)))?;
        }
        height += 1;
        line = records.next_into(&mut fields).map_err(at)?;
    }
    DataFrame::new(height, columns.into_iter().map(|(_, column)| column.finish()).collect())
        .with_context(|| format!("{}: cannot be made a table", path.display()))
}

/// The records of a table, one after another.
struct Records<'a> {
    rest: &'a str,
    /// On which `rest` begins, counted from 1.
    line: usize,
    dialect: Dialect,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, dialect: Dialect) -> Records<'a> {
        Records { rest: text, line: 1, dialect }
    }

    /// How many records there can be at most.
    fn at_most(&self) -> usize {
        memchr::memchr_iter(b'\n', self.rest.as_bytes()).count() + 1
    }

    /// Replaces `fields` by those of the next record; answers the line on which it begins, or `None` when
    /// there is none. Blank lines are passed over, and white space around a field that is not in quotes.
    ///
    /// # Errors
    /// A quote that is not closed, or is closed within a field: with its line.
    fn next_into(&mut self, fields: &mut Vec<Cow<'a, str>>) -> Result<Option<usize>, (usize, String)> {
        while !self.rest.is_empty() {
            fields.clear();
            let (bytes, number) = (self.rest.as_bytes(), self.line);
            let stop = match self.dialect.quotes {
                true => memchr::memchr2(b'\n', b'"', bytes),
                false => memchr::memchr(b'\n', bytes),
            };
            if let Some(b'"') = stop.map(|at| bytes[at]) {
                self.with_quotes(fields)?;
                return Ok(Some(number));
            }
            let (line, rest) = self.rest.split_at(stop.unwrap_or(bytes.len()));
            self.rest = rest.strip_prefix('\n').unwrap_or(rest);
            self.line += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let field = |field: &'a str| Cow::Borrowed(field.trim_ascii());
            match *self.dialect.separator.as_bytes() {
                [separator] => fields.extend(line.split(char::from(separator)).map(field)),
                _ => fields.extend(line.split(self.dialect.separator).map(field)),
            }
            return Ok(Some(number));
        }
        Ok(None)
    }

    /// The fields of a record that has a quote somewhere: slower, and across lines where need be.
    fn with_quotes(&mut self, fields: &mut Vec<Cow<'a, str>>) -> Result<(), (usize, String)> {
        let separator = self.dialect.separator;
        loop {
            let opened = self.line;
            match self.rest.trim_start_matches(' ').strip_prefix('"') {
                Some(inner) => {
                    let (field, rest) =
                        up_to_the_quote(inner).ok_or((opened, "a quote that is never closed".to_owned()))?;
                    self.line += field.matches('\n').count();
                    self.rest = rest.trim_start_matches([' ', '\r']);
                    fields.push(field);
                }
                None => {
                    let line = self.rest.split('\n').next().unwrap_or_default();
                    let field = line.split(separator).next().unwrap_or_default();
                    self.rest = &self.rest[field.len()..];
                    fields.push(field.trim_ascii().into());
                }
            }
            if let Some(rest) = self.rest.strip_prefix(separator) {
                self.rest = rest;
            } else if self.rest.is_empty() {
                return Ok(());
            } else if let Some(rest) = self.rest.strip_prefix('\n') {
                self.rest = rest;
                self.line += 1;
                return Ok(());
            } else {
                let field = shortened(fields.last().map_or("", |field| field));
                return Err((self.line, format!("text after the closing quote of '{field}'")));
            }
        }
    }
}

/// What stands before the closing quote, two quotes being one within, and what follows it.
fn up_to_the_quote(inner: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut field = Cow::Borrowed("");
    let mut rest = inner;
    loop {
        let (part, after) = rest.split_once('"')?;
        field += part;
        match after.strip_prefix('"') {
            Some(more) => {
                field += "\"";
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}
