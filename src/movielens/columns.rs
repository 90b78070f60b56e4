//! The columns that are read of a table, whatever kind of file it is in.

use polars::prelude::{Column, IntoColumn, StringChunkedBuilder};

/// What a column holds, which decides how it is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Holds {
    /// Whole numbers, if each field is one as a program would write it; otherwise text, as it is.
    Ids,
    /// Finite numbers of single precision, within these bounds if there are any.
    Ratings(Option<(f64, f64)>),
    /// Whole numbers.
    Times,
    /// Text.
    Words,
}

/// A column to read.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name in the file or, where that has no header, its number, counted from 1.
    pub column: &'a str,
    /// Its name from here on.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Whether the table may lack it.
    pub optional: bool,
}

/// A column as it is read.
pub(super) struct Growing<'a> {
    want: &'a Wanted<'a>,
    /// What errors call it.
    said: &'a str,
    values: Values,
}

enum Values {
    Whole(Vec<i64>),
    Numbers(Vec<f64>),
    Text(StringChunkedBuilder),
}

impl<'a> Growing<'a> {
    /// Without values yet, of which there may be as many as `rows`; `said` is what errors call it.
    pub fn new(want: &'a Wanted, said: &'a str, rows: usize) -> Growing<'a> {
        let values = match want.holds {
            Holds::Ids | Holds::Times => Values::Whole(Vec::with_capacity(rows)),
            Holds::Ratings(_) => Values::Numbers(Vec::with_capacity(rows)),
            Holds::Words => Values::Text(StringChunkedBuilder::new(want.name.into(), rows)),
        };
        Growing { want, said, values }
    }

    /// What it holds.
    pub fn holds(&self) -> Holds {
        self.want.holds
    }

    /// The next value, as text has it.
    ///
    /// # Errors
    /// It cannot be one. So with the others.
    pub fn push(&mut self, field: &str) -> Result<(), String> {
        let said = self.said;
        if field.is_empty() && self.want.holds != Holds::Words {
            return Err(format!("no {said}"));
        }
        match (&mut self.values, self.want.holds) {
            (Values::Numbers(values), holds) => {
                let wrong = |why: &str| format!("{said} '{}' is {why}", shortened(field));
                let x: f64 = field.parse().map_err(|_| wrong("not a number"))?;
                if let Holds::Ratings(scale) = holds {
                    check_rating(x, scale).map_err(|why| wrong(&why))?;
                }
                values.push(x);
            }
            (Values::Whole(values), Holds::Ids) => match canonical(field) {
                Some(id) => values.push(id),
                None => {
                    // Some id is no number, so all of them are text.
                    let mut ids = StringChunkedBuilder::new(self.want.name.into(), values.capacity());
                    values.iter().for_each(|id| ids.append_value(id.to_string()));
                    ids.append_value(field);
                    self.values = Values::Text(ids);
                }
            },
            (Values::Whole(values), _) => {
                let wrong = || format!("{said} '{}' is not a whole number", shortened(field));
                values.push(field.parse().map_err(|_| wrong())?);
            }
            (Values::Text(values), _) => values.append_value(field),
        }
        Ok(())
    }

    /// The next value, a whole number.
    pub fn push_whole(&mut self, x: i64) -> Result<(), String> {
        match &mut self.values {
            Values::Whole(values) => values.push(x),
            Values::Numbers(_) => self.push_number(x as f64)?,
            Values::Text(values) => values.append_value(x.to_string()),
        }
        Ok(())
    }

    /// The next value, a number. Where whole ones are wanted, one with nothing after the point is.
    pub fn push_number(&mut self, x: f64) -> Result<(), String> {
        const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        let wrong = |why: &str| Err(format!("{} '{x:?}' is {why}", self.said));
        match (&mut self.values, self.want.holds) {
            (Values::Numbers(values), Holds::Ratings(scale)) => match check_rating(x, scale) {
                Ok(()) => values.push(x),
                Err(why) => return wrong(&why),
            },
            _ if x.fract() == 0.0 && x.abs() < EXACT => return self.push_whole(x as i64),
            _ => return wrong("not a whole number"),
        }
        Ok(())
    }

    /// The column, under its new name.
    pub fn finish(self) -> Column {
        let name = self.want.name.into();
        match self.values {
            Values::Whole(values) => Column::new(name, values),
            Values::Numbers(values) => Column::new(name, values),
            Values::Text(values) => values.finish().into_column(),
        }
    }
}

/// A whole number that would be written in just these characters: "7", but not "007" or "+7", which are
/// different ids.
fn canonical(field: &str) -> Option<i64> {
    let digits = field.strip_prefix('-').unwrap_or(field);
    if field != "0" && !digits.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    field.parse().ok()
}

/// Whether a rating can be one.
///
/// # Errors
/// What it is instead.
fn check_rating(x: f64, scale: Option<(f64, f64)>) -> Result<(), String> {
    if !(x as f32).is_finite() {
        return Err("not a finite number of single precision".to_owned());
    }
    match scale {
        Some((low, high)) if !(low..=high).contains(&x) => Err(format!("outside the range {low} to {high}")),
        _ => Ok(()),
    }
}

/// `'userId', 'movieId'`, not more of them than a person would read.
pub(super) fn quoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names: Vec<String> =
        names.into_iter().map(|name| format!("'{}'", shortened(name.as_ref()))).collect();
    if names.len() > 12 {
        names.truncate(12);
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// A field or a row as an error shows it: on one line, and not all of a long one.
pub(super) fn shortened(text: &str) -> String {
    let shown =
        text.chars().take(60).map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.into() });
    let end = if text.chars().nth(60).is_some() { "…" } else { "" };
    shown.chain([end.to_owned()]).collect()
}
