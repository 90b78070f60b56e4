//! Tables in text: the lecture's ratings.csv, the older MovieLens files, and any CSV file. polars reads them; this file
//! finds their dialect, and checks that every line is one row.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use polars::prelude::*;

use crate::system::memory;
use crate::system::panics::caught;
use crate::system::wide::wide;

use super::columns::{ColumnKind, ColumnSpec, Wrong, table, whole};
use super::dialect::{Dialect, UNIT, byte_of, detect, fields, position, wholly_quoted};
use super::escapes;
use super::shown::shortened;

/// A text that polars can read, and where its fields are.
#[derive(Debug)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    /// As it was in the file.
    separator: String,
    header: bool,
    quote: Option<u8>,
    /// The fields of the first line.
    first: Vec<String>,
    /// Which of them are wanted.
    wanted: Vec<usize>,
    /// Where the rows begin, and how many they are.
    start: usize,
    rows: usize,
    /// Lines of the file that were blank and are left out.
    blank: Vec<usize>,
}

/// A line of the file and what is wrong there.
type Fault = (usize, String);

impl<'a> Text<'a> {
    /// Finds the dialect of the text and, if it has quotes, checks that each of its rows has as many fields as the first
    /// line. Without quotes a line is a row, and [`Text::read`] checks that.
    ///
    /// # Errors
    /// It is empty, lacks a wanted column, or has a malformed row, if it has quotes.
    pub fn new(path: &Path, text: &'a str, dialect: &Dialect, wanted: &[ColumnSpec]) -> Result<Text<'a>> {
        let at = |(line, why): Fault| anyhow!("{} line {line}: {why}", path.display());
        let (mut text, mut blank) = without_blank_lines(text);
        ensure!(!text.is_empty(), "{}: an empty file", path.display());
        let mut dialect = dialect.clone();
        // Excel's own way of stating the separator.
        let stated = text
            .split_once('\n')
            .and_then(|(line, rest)| Some((line.strip_prefix("sep=")?, rest.to_owned())));
        if let Some((separator, rest)) = stated {
            let trimmed = separator.trim_ascii();
            let separator = if trimmed.is_empty() { separator } else { trimmed }; // a tab is one
            dialect.separator.get_or_insert(separator.to_owned());
            text = rest.into();
            blank.insert(0, 1);
        }
        let line = text.lines().next().unwrap_or_default();
        let first_line = 1 + blank.iter().enumerate().take_while(|(at, line)| at + 1 == **line).count();
        let detected = detect(line, &dialect, wanted).map_err(|why| at((first_line, why)))?;
        let (separator, header) = (detected.separator, detected.header);
        match separator.as_str() {
            "::" => {
                // Not within quotes: every other part between them.
                let mark = detected.quote.map_or('\0', char::from);
                let outside = |(at, part): (usize, &str)| match at % 2 {
                    0 => part.replace("::", &UNIT.to_string()),
                    _ => part.to_owned(),
                };
                let parts: Vec<String> = text.split(mark).enumerate().map(outside).collect();
                text = parts.join(&mark.to_string()).into();
            }
            " " => {
                let squeezed =
                    text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
                text = squeezed.collect::<Vec<_>>().join("\n").into();
            }
            _ => {}
        }
        let place = |want: &ColumnSpec| position(want.column, &detected.fields, header);
        let wanted = wanted.iter().filter_map(place).collect();
        let mut quote = detected.quote.filter(|quote| memchr::memchr(*quote, text.as_bytes()).is_some());
        if dialect.quote.is_none() && quote.is_none() && wholly_quoted(&text, &separator) {
            quote = Some(b'"');
        }
        let mut text =
            Text { text, separator, header, quote, first: detected.fields, wanted, start: 0, rows: 0, blank };
        let Some(quote) = quote else {
            text.count_lines();
            return Ok(text);
        };
        let checked = text.check_quoted(quote);
        let by = byte_of(&text.separator);
        let escaped = match checked {
            Ok(()) => escapes::within_fields(&text.text, by, quote),
            Err(_) => escapes::any(&text.text, quote),
        };
        if escaped && text.understand_escapes(quote) {
            return Ok(text);
        }
        checked.map_err(|(line, why)| at((text.in_file(line), why)))?;
        Ok(text)
    }

    /// Finds where the rows of a text without quotes begin, and how many they are.
    fn count_lines(&mut self) {
        self.start = if self.header { self.text.find('\n').map_or(self.text.len(), |at| at + 1) } else { 0 };
        let rows = &self.text.as_bytes()[self.start..];
        let unended = usize::from(!rows.is_empty() && !rows.ends_with(b"\n"));
        self.rows = memchr::memchr_iter(b'\n', rows).count() + unended;
    }

    /// Checks that each line of a text without quotes has as many fields as the first, and not only empty ones.
    ///
    /// # Errors
    /// One has not.
    fn check_lines(&self) -> Result<(), Fault> {
        let (n, by) = (self.first.len(), byte_of(&self.separator));
        let bytes = self.text.as_bytes();
        let unended = (!bytes.ends_with(b"\n")).then_some(bytes.len());
        // All bytes in one loop, which is faster than line by line.
        let (mut fields, mut line, mut begin) = (1, 1, 0);
        for at in memchr::memchr2_iter(by, b'\n', bytes).chain(unended) {
            if bytes.get(at) == Some(&by) {
                fields += 1;
                continue;
            }
            if fields != n {
                return Err(self.miscounted(line, fields));
            }
            if n > 1 && at - begin == n - 1 {
                return Err((line, EMPTY_ROW.to_owned()));
            }
            (fields, line, begin) = (1, line + 1, at + 1);
        }
        Ok(())
    }

    /// Checks that each row of a text with quotes has as many fields as the first line, and finds where the rows begin and
    /// how many they are.
    ///
    /// # Errors
    /// A row has more or fewer fields, or its quotes make no sense.
    fn check_quoted(&mut self, quote: u8) -> Result<(), Fault> {
        let n = self.first.len();
        if memchr::memchr_iter(quote, self.text.as_bytes()).count() % 2 == 1 {
            return Err((self.odd_line(quote), format!("a quote that is never closed{LITERALLY}")));
        }
        let mut reader = self.csv(quote);
        let (mut record, mut line, mut begin, mut start, mut rows) = (csv::ByteRecord::new(), 1, 0, 0, 0);
        while reader.read_byte_record(&mut record).map_err(|error| (line, error.to_string()))? {
            match self.header && line == 1 {
                true => start = reader.position().byte() as usize,
                false => rows += 1,
            }
            let next = reader.position().line() as usize;
            let end = reader.position().byte() as usize;
            let lines =
                if next > line + 1 { format!("to line {} ", self.in_file(next - 1)) } else { String::new() };
            if record.len() != n {
                let row: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
                let row = shortened(&row.join(&self.separator));
                let why = format!(
                    "{lines}{} of {n} fields: '{row}'{}",
                    record.len(),
                    self.about_quotes(line, quote)
                );
                return Err((line, why));
            }
            if n > 1 && record.iter().all(<[u8]>::is_empty) {
                return Err((line, EMPTY_ROW.to_owned()));
            }
            if !lines.is_empty()
                && let Some(field) = self.swallowed(&record, &self.text[begin..end])
            {
                let field = shortened(&String::from_utf8_lossy(field));
                return Err((
                    line,
                    format!(
                        "{lines}is one row by its quotes, with a field '{field}'; if quotes are ordinary characters, \
                         use --quote none"
                    ),
                ));
            }
            (line, begin) = (next, end);
        }
        (self.start, self.rows) = (start, rows);
        Ok(())
    }

    /// Writes each `\"` of a quoted field as two quotes, if the rows make sense then.
    ///
    /// But a field may also end in a backslash. What follows tells: a separator (`"C:\";`), the next field's quote after it
    /// where titles go on with a separator (`"C:\";"`, unlike `"\"Real\"; X"`), or the end of a line. Of the readings that
    /// make sense, the one with the most rows is right: a quote that is misread swallows rows.
    fn understand_escapes(&mut self, quote: u8) -> bool {
        let (by, mark) = (char::from(byte_of(&self.separator)), char::from(quote));
        let written = (std::mem::take(&mut self.text), self.start, self.rows);
        let ends = [by.to_string(), format!("{by}{mark}")];
        let mut best = None;
        for (end, at_line_ends) in ends.iter().flat_map(|end| [(end, false), (end, true)]) {
            let ends = |after: &str| {
                after.starts_with(end) || at_line_ends && (after.is_empty() || after.starts_with('\n'))
            };
            self.text = escapes::doubled(&written.0, by, mark, ends).into();
            self.rows = 0;
            if self.check_quoted(quote).is_ok() && best.as_ref().is_none_or(|(_, _, rows)| self.rows > *rows)
            {
                best = Some((std::mem::take(&mut self.text), self.start, self.rows));
            }
        }
        let understood = best.filter(|(_, _, rows)| *rows >= written.2);
        let found = understood.is_some();
        (self.text, self.start, self.rows) = understood.unwrap_or(written);
        found
    }

    /// The field of a row of several lines that seems to go on because of an unintended quote: it is a wanted one, in
    /// which a separator follows a line end, or each of the lines would be a row of its own.
    fn swallowed<'r>(&self, record: &'r csv::ByteRecord, lines: &str) -> Option<&'r [u8]> {
        let by = byte_of(&self.separator);
        let mut later = record
            .iter()
            .enumerate()
            .filter(|(_, field)| field.split(|b| *b == b'\n').skip(1).any(|line| line.contains(&by)));
        let count = |line: &str| memchr::memchr_iter(by, line.as_bytes()).count() + 1;
        let rows = lines.lines().all(|line| count(line) == self.first.len());
        later.find(|(at, _)| rows || self.wanted.contains(at)).map(|(_, field)| field)
    }

    /// The error of a line with too few or too many fields.
    fn miscounted(&self, line: usize, fields: usize) -> Fault {
        let row = self.text.lines().nth(line - 1).unwrap_or_default();
        let row = shortened(&row.replace(UNIT, "::"));
        let quotes = if row.contains('"') { "; if quotes enclose fields, say --quote '\"'" } else { "" };
        (line, format!("{fields} of {} fields: '{row}'{quotes}", self.first.len()))
    }

    /// What to say about quotes if a row has the wrong number of fields.
    fn about_quotes(&self, line: usize, quote: u8) -> &'static str {
        let row = self.text.lines().nth(line - 1).unwrap_or_default();
        if row.as_bytes().contains(&quote) { LITERALLY } else { "" }
    }

    /// The first line whose quotes do not come in pairs or, if all do, that has one within a field.
    fn odd_line(&self, quote: u8) -> usize {
        let by = byte_of(&self.separator);
        let odd = |line: &&str| memchr::memchr_iter(quote, line.as_bytes()).count() % 2 == 1;
        let within = |line: &&str| {
            line.as_bytes().windows(3).any(|three| {
                three[1] == quote
                    && [three[0], three[2]].iter().all(|beside| *beside != by && *beside != quote)
            })
        };
        let first = |is: &dyn Fn(&&str) -> bool| self.text.lines().position(|line| is(&line));
        first(&odd).or_else(|| first(&within)).map_or(1, |at| at + 1)
    }

    fn csv(&self, quote: u8) -> csv::Reader<&[u8]> {
        let mut how = csv::ReaderBuilder::new();
        how.delimiter(byte_of(&self.separator)).quote(quote).has_headers(false).flexible(true);
        how.from_reader(self.text.as_bytes())
    }

    /// What polars reads of the wanted columns as these types, under their new names; `None` if it refuses, or does not
    /// find each row.
    fn polars(
        &self,
        wanted: &[(usize, &ColumnSpec)],
        kind: impl Fn(usize, &ColumnSpec) -> DataType,
    ) -> Option<DataFrame> {
        let name =
            |at: usize| wanted.iter().find(|(place, _)| *place == at).map(|(_, want)| want.name.into());
        let field = |at: usize| Field::new(name(at).unwrap_or(format!("{at}").into()), DataType::String);
        let mut schema: Schema = (0..self.first.len()).map(field).collect();
        for (at, want) in wanted {
            schema.with_column(want.name.into(), kind(*at, want));
        }
        let written =
            CsvParseOptions::default().with_separator(byte_of(&self.separator)).with_quote_char(self.quote);
        let options = CsvReadOptions::default()
            .with_has_header(false)
            .with_schema(Some(Arc::new(schema)))
            .with_columns(Some(wanted.iter().map(|(_, want)| want.name.into()).collect()))
            .with_rechunk(false)
            .with_parse_options(written);
        let rows = Cursor::new(&self.text.as_bytes()[self.start..]);
        let table = caught(|| options.into_reader_with_file_handle(rows).finish()).ok()?.ok()?;
        (table.height() == self.rows).then_some(table)
    }

    /// Whether what polars has read shows that each line of a text without quotes has as many fields as the first: the
    /// last field is there in each row, and there are no more separators than that takes.
    fn shows_even_lines(&self, raw: &DataFrame, wanted: &[(usize, &ColumnSpec)]) -> bool {
        let (n, by) = (self.first.len(), byte_of(&self.separator));
        let last = wanted.iter().find(|(at, _)| at + 1 == n).and_then(|(_, want)| raw.column(want.name).ok());
        let separators = || memchr::memchr_iter(by, &self.text.as_bytes()[self.start..]).count();
        last.is_some_and(|last| !last.has_nulls() && separators() == self.rows * (n - 1))
    }

    /// The table of the wanted columns: as numbers where the first row has some and, if not all rows agree, as text
    /// that is examined field by field. An optional column that cannot be read is left out, with a note.
    ///
    /// # Errors
    /// A line has more or fewer fields than the first, or a value cannot be converted; the error gives its line.
    pub fn read(
        &self,
        path: &Path,
        wanted: &[ColumnSpec],
        missing: Option<&str>,
    ) -> Result<(DataFrame, Vec<String>)> {
        let shown = path.display();
        ensure!(self.start < self.text.len(), "{shown}: a header and no rows");
        memory::check_table(path, self.rows, self.text.len())?;
        let place = |want: &ColumnSpec| position(want.column, &self.first, self.header);
        let wanted: Vec<(usize, &ColumnSpec)> =
            wanted.iter().filter_map(|want| Some((place(want)?, want))).collect();
        let label =
            |want: &ColumnSpec| if self.header { want.column.to_owned() } else { want.name.to_owned() };
        let oddly = written_oddly(self.text.as_bytes(), byte_of(&self.separator));
        let row = fields(&self.text[self.start..], byte_of(&self.separator), self.quote);
        let kind = |at: usize, want: &ColumnSpec| {
            let field = row.get(at).map_or("", String::as_str);
            match want.holds {
                ColumnKind::Ratings(_) => DataType::Float64,
                ColumnKind::Ids if whole(field).is_some() && !field.contains('.') && !oddly => {
                    DataType::Int64
                }
                ColumnKind::Times if field.parse::<i64>().is_ok() => DataType::Int64,
                _ => DataType::String,
            }
        };
        let raw = self.polars(&wanted, kind);
        let even = |raw| self.shows_even_lines(raw, &wanted);
        if self.quote.is_none() && !raw.as_ref().is_some_and(even) {
            self.check_lines()
                .map_err(|(line, why)| anyhow!("{shown} line {}: {why}", self.in_file(line)))?;
        }
        if let Some(raw) = raw
            && let Ok((table, faults)) = table(&raw, wanted.iter().map(|(_, want)| *want), label, missing)
            && faults.is_empty()
        {
            return Ok((table, Vec::new()));
        }
        let Some(raw) = self.polars(&wanted, |_, _| DataType::String) else {
            let line = self.in_file(self.quote.map_or(1, |quote| self.odd_line(quote)));
            bail!(
                "{shown} line {line}: a quote within a field; write it twice, and the field in quotes{LITERALLY}"
            );
        };
        let tell = |fault: Wrong| match fault.row {
            Some(row) => format!("{shown} line {}: {}", self.line_of(row), fault.why),
            None => format!("{shown}: {}", fault.why),
        };
        let (table, faults) = table(&raw, wanted.iter().map(|(_, want)| *want), label, missing)
            .map_err(|fault| anyhow!(tell(fault)))?;
        Ok((table, faults.into_iter().map(tell).collect()))
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The line of the file that holds a row.
    pub fn line_of(&self, row: usize) -> usize {
        self.lines().nth(row).unwrap_or(1)
    }

    /// The lines of the file that hold the rows.
    pub fn lines(&self) -> impl Iterator<Item = usize> {
        let mut reader = self.quote.map(|quote| self.csv(quote));
        let mut skipped = csv::ByteRecord::new();
        let mut of_record = move |record: usize| match &mut reader {
            None => record + 1,
            Some(reader) => {
                let line = reader.position().line() as usize;
                let _ = reader.read_byte_record(&mut skipped);
                line
            }
        };
        let (mut blank, mut left_out) = (self.blank.iter().peekable(), 0);
        let lines = (0..self.rows + usize::from(self.header)).map(move |record| {
            let line = of_record(record);
            while blank.next_if(|blank| **blank <= line + left_out).is_some() {
                left_out += 1;
            }
            line + left_out
        });
        lines.skip(usize::from(self.header))
    }

    /// The same line before blank ones were left out.
    fn in_file(&self, line: usize) -> usize {
        self.blank.iter().fold(line, |line, blank| line + usize::from(*blank <= line))
    }
}

const EMPTY_ROW: &str = "a row of empty fields; delete it";
const LITERALLY: &str = "; if quotes are ordinary characters, use --quote none";

/// Whether a field begins like a number that, written this way, is a different id: `+7`, `007`, `-0`.
fn written_oddly(bytes: &[u8], separator: u8) -> bool {
    let at_start = matches!(bytes, [b'+', ..] | [b'0', b'0'..=b'9', ..] | [b'-', b'0', ..]);
    // In pieces, so that a number of this kind ends the search soon; each with two bytes of the next.
    let mut pieces = (0..bytes.len()).step_by(1 << 14);
    at_start || pieces.any(|at| odd_within(&bytes[at..bytes.len().min(at + (1 << 14) + 2)], separator))
}

wide! {
    /// Whether one of the fields after the first begins like a number that is written oddly. Without a branch for each
    /// byte, so that the processor handles many at once.
    fn odd_within(bytes: &[u8], separator: u8) -> bool {
        let from = |at: usize| bytes.get(at..).unwrap_or_default();
        let mut found = 0;
        for ((&before, &first), &second) in bytes.iter().zip(from(1)).zip(from(2)) {
            let minus = before == b'-';
            let begins = (before == separator) | (before == b'\n') | (before == b'"') | (before == b' ') | minus;
            let zero = first == b'0';
            let odd = begins & ((first == b'+') | (zero & (second.wrapping_sub(b'0') < 10)) | (minus & zero));
            found |= u8::from(odd);
        }
        found != 0
    }
}

/// The text without its blank lines, and the numbers of those lines.
fn without_blank_lines(text: &str) -> (Cow<'_, str>, Vec<usize>) {
    // If no line begins with a blank or ends at once, none is blank; that is found without looking at each line.
    let blank = |byte: u8| (byte == b'\n') | (byte == b' ') | (byte == b'\t');
    let bytes = text.as_bytes();
    let pairs = || bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let suspect = bytes.first().is_some_and(|first| blank(*first))
        || pairs().fold(false, |found, (end, start)| found | ((*end == b'\n') & blank(*start)));
    let is_blank = |line: &str| line.trim_ascii().is_empty();
    let blank: Vec<usize> = match suspect {
        true => (1..).zip(text.lines()).filter(|(_, line)| is_blank(line)).map(|(at, _)| at).collect(),
        false => Vec::new(),
    };
    if blank.is_empty() {
        return (text.into(), blank);
    }
    (text.split_inclusive('\n').filter(|line| !is_blank(line)).collect::<String>().into(), blank)
}
