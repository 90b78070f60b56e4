//! What a column holds, and how its values are converted: one rule for every kind of file.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use polars::prelude::*;

use super::shown::{clean, fingerprint, shortened};

/// What a column holds, which decides how it is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColumnKind {
    /// Whole numbers, if each field is one as a program would write it; otherwise text, as it is.
    Ids,
    /// Finite numbers of single precision, within these bounds if there are any.
    Ratings(Option<(f64, f64)>),
    /// Whole numbers; points in time become seconds since 1970.
    Times,
    /// Text.
    Words,
}

/// A column to read.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec<'a> {
    /// Its name in the file or, if that has no header, its number, counted from 1.
    pub column: &'a str,
    /// Its name from here on.
    pub name: &'static str,
    /// What it holds.
    pub holds: ColumnKind,
    /// Whether the table may lack it.
    pub optional: bool,
}

/// What is wrong with a column: in which row, counted from 0, or in all of them.
#[derive(Debug)]
pub(super) struct Wrong {
    pub row: Option<usize>,
    pub why: String,
}

impl Wrong {
    fn at(row: usize, why: String) -> Wrong {
        Wrong { row: Some(row), why }
    }
}

impl From<PolarsError> for Wrong {
    fn from(error: PolarsError) -> Wrong {
        Wrong { row: None, why: shortened(&error.to_string()) }
    }
}

impl ColumnSpec<'_> {
    /// Converts the column to what it holds, under its new name; `label` is what errors call it. A rating that is
    /// written as `missing` becomes null.
    ///
    /// # Errors
    /// A value is missing or cannot be converted.
    pub(super) fn of(&self, column: &Column, label: &str, missing: Option<&str>) -> Result<Column, Wrong> {
        let series = self.plain(column.as_materialized_series(), label)?;
        let column = match self.holds {
            ColumnKind::Words => {
                let words = series.str()?.iter().map(|field| field.map_or("".into(), clean));
                Column::new(self.name.into(), words.map(|word| word.into_owned()).collect::<Vec<_>>())
            }
            ColumnKind::Ids => match series.dtype() {
                DataType::String => ids(&series, label)?,
                _ => wholes(&series, label)?,
            },
            ColumnKind::Times => match series.dtype() {
                DataType::String => times(&series, label)?,
                DataType::Float64 => wholes(&floored(&series)?, label)?,
                _ => wholes(&series, label)?,
            },
            ColumnKind::Ratings(scale) => ratings(&series, label, scale, missing)?,
        };
        Ok(column.with_name(self.name.into()))
    }

    /// The same values as one of three types: text, whole numbers, numbers.
    fn plain(&self, series: &Series, label: &str) -> Result<Series, Wrong> {
        use DataType::{
            Binary, Categorical, Date, Datetime, Decimal, Enum, Float32, Float64, Int8, Int16, Int32, Int64,
            String, UInt8, UInt16, UInt32, UInt64,
        };
        let (is_time, is_text) =
            (self.holds == ColumnKind::Times, matches!(self.holds, ColumnKind::Ids | ColumnKind::Words));
        let type_of = series.dtype();
        Ok(match type_of {
            String => series.clone(),
            Categorical(..) | Enum(..) if is_text => series.cast(&String)?,
            Binary if is_text => {
                let bytes = series.binary()?.iter().enumerate();
                let text = bytes.map(|(row, bytes)| {
                    let text = bytes.map(std::str::from_utf8).transpose();
                    text.map_err(|_| Wrong::at(row, format!("{label} is not UTF-8 text")))
                });
                Series::new("".into(), text.collect::<Result<Vec<_>, _>>()?)
            }
            _ if self.holds == ColumnKind::Words => series.cast(&String)?,
            Int64 => series.clone(),
            Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 => series.cast(&Int64)?,
            UInt64 => {
                let too_large = |x: Option<u64>| x.is_some_and(|x| i64::try_from(x).is_err());
                if let Some(row) = series.u64()?.iter().position(too_large) {
                    let x = series.u64()?.get(row).unwrap_or_default();
                    return Err(Wrong::at(row, format!("{label} {x} is beyond 63 bits; save it as text")));
                }
                series.cast(&Int64)?
            }
            Float64 => series.clone(),
            Float32 | Decimal(..) => series.cast(&Float64)?,
            Date if is_time => {
                let days = series.cast(&Int64)?;
                days.i64()?.apply(|days| days.map(|days| days.saturating_mul(86_400))).into_series()
            }
            Datetime(unit, _) if is_time => {
                let of = match unit {
                    TimeUnit::Nanoseconds => 1_000_000_000,
                    TimeUnit::Microseconds => 1_000_000,
                    TimeUnit::Milliseconds => 1_000,
                };
                let time = series.cast(&Int64)?;
                time.i64()?.apply(|time| time.map(|time| time.div_euclid(of))).into_series()
            }
            other => {
                let can_be = match self.holds {
                    ColumnKind::Ids => "ids are whole numbers or text",
                    ColumnKind::Ratings(_) => "ratings are numbers",
                    ColumnKind::Times => "times are whole numbers or points in time",
                    ColumnKind::Words => "text is expected",
                };
                return Err(Wrong {
                    row: None,
                    why: format!("column '{label}' is of type {other}; {can_be}"),
                });
            }
        })
    }
}

/// The table of these columns, which `raw` has under their new names; `label` is what errors call one. A row whose
/// rating is `missing` is left out. So is an optional column that cannot be converted: the second result says why.
///
/// # Errors
/// Another column cannot be converted.
pub(super) fn table<'a>(
    raw: &DataFrame,
    wanted: impl Iterator<Item = &'a ColumnSpec<'a>>,
    label: impl Fn(&ColumnSpec) -> String,
    missing: Option<&str>,
) -> Result<(DataFrame, Vec<Wrong>), Wrong> {
    let (mut columns, mut faults) = (Vec::new(), Vec::new());
    for want in wanted {
        match want.of(raw.column(want.name)?, &label(want), missing) {
            Ok(column) => columns.push(column),
            Err(fault) if want.optional => faults.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    let mut table = DataFrame::new(raw.height(), columns)?;
    if let Ok(ratings) = table.column("rating")
        && ratings.has_nulls()
    {
        table = table.filter(&ratings.is_not_null())?;
    }
    Ok((table, faults))
}

/// What `of` makes of each field of a column of text, without surrounding blanks.
fn each<T>(
    series: &Series,
    label: &str,
    mut of: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, Wrong> {
    let fields = series.str()?.iter().enumerate();
    fields
        .map(|(row, field)| match field.map_or("", str::trim_ascii) {
            "" => Err(Wrong::at(row, format!("no {label}"))),
            field => of(field).map_err(|why| Wrong::at(row, why)),
        })
        .collect()
}

/// Ids from text: numbers if all are; otherwise text, in which a word for a missing value is refused.
fn ids(series: &Series, label: &str) -> Result<Column, Wrong> {
    let fields = series.str()?;
    let whole_ones = fields.iter().map(|field| whole(field?.trim_ascii())).collect::<Option<Vec<i64>>>();
    if let Some(ids) = whole_ones {
        return Ok(Column::new("".into(), ids));
    }
    // Null can be a name, but not where all others are numbers.
    let absent = ["null", "none", "na", "n/a", "#n/a", "<na>", "\\n", "nat", "-", "?", "inf", "-inf"];
    let absent = |field: &str| absent.iter().any(|word| field.eq_ignore_ascii_case(word));
    let among_numbers =
        fields.iter().flatten().map(str::trim_ascii).all(|field| whole(field).is_some() || absent(field));
    // The same rule as for numbers in Parquet.
    let all_numbers = fields.iter().flatten().all(|field| field.trim_ascii().parse::<f64>().is_ok());
    let id = |field: &str| {
        if all_numbers && field.parse().is_ok_and(|x: f64| x.is_finite() && x.fract() != 0.0) {
            return Err(format!("{label} '{field}' is not a whole number"));
        }
        if field.eq_ignore_ascii_case("nan") || (among_numbers && absent(field)) {
            return Err(format!("{label} '{field}' stands for a missing value"));
        }
        if field.contains(['\n', '\r']) {
            return Err(format!(
                "{label} '{}' continues on another line, in quotes; if quotes are ordinary characters, use \
                 --quote none",
                shortened(field)
            ));
        }
        let shown = clean(field);
        // Ids that differ stay different even if their shown forms are the same.
        Ok(if shown == field { field.to_owned() } else { format!("{shown} #{}", fingerprint(field)) })
    };
    Ok(Column::new("".into(), each(series, label, id)?))
}

/// Times from text: whole numbers or dates, but not both.
fn times(series: &Series, label: &str) -> Result<Column, Wrong> {
    let mut first: Option<(bool, String)> = None;
    let mut time = |field: &str| {
        let Some(time) = seconds(field) else {
            let field = shortened(field);
            return Err(format!(
                "{label} '{field}' is neither a whole number nor a time as in 2001-02-28 10:42:28"
            ));
        };
        let is_number = field.parse::<f64>().is_ok();
        let (was_number, before) = first.get_or_insert_with(|| (is_number, field.to_owned()));
        if *was_number == is_number {
            return Ok(time);
        }
        let kind = |is_number: bool| if is_number { "a number" } else { "a date" };
        Err(format!(
            "{label} '{}' is {}, and '{}' in an earlier row is {}",
            shortened(field),
            kind(is_number),
            shortened(before),
            kind(*was_number)
        ))
    };
    Ok(Column::new("".into(), each(series, label, &mut time)?))
}

/// Fractions of a second are dropped.
fn floored(times: &Series) -> Result<Series, Wrong> {
    Ok(times.f64()?.apply(|time| time.map(f64::floor)).into_series())
}

/// Whole numbers from numbers.
fn wholes(series: &Series, label: &str) -> Result<Column, Wrong> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    if series.dtype() == &DataType::Int64 {
        if !series.has_nulls() {
            return Ok(series.clone().into_column());
        }
        let row = series.i64()?.iter().position(|x| x.is_none());
        return Err(Wrong { row, why: format!("no {label}") });
    }
    let numbers = series.f64()?.iter().enumerate().map(|(row, x)| match x {
        Some(x) if x.fract() == 0.0 && x.abs() < EXACT => Ok(x as i64),
        Some(x) => Err(Wrong::at(row, format!("{label} '{x:?}' is not a whole number"))),
        None => Err(Wrong::at(row, format!("no {label}"))),
    });
    Ok(Column::new("".into(), numbers.collect::<Result<Vec<i64>, _>>()?))
}

const WITHOUT_RATING: &str = "; --missing '' leaves out rows without one";

/// Ratings from numbers or text.
fn ratings(
    series: &Series,
    label: &str,
    scale: Option<(f64, f64)>,
    missing: Option<&str>,
) -> Result<Column, Wrong> {
    let missing_number = missing.and_then(|missing| missing.parse::<f64>().ok());
    let is_missing =
        |x: f64| missing_number.is_some_and(|missing| x == missing || (x.is_nan() && missing.is_nan()));
    let check = |x: f64| match scale {
        _ if !(x as f32).is_finite() => Err("not a finite number of single precision".to_owned()),
        Some((low, high)) if !(low..=high).contains(&x) => {
            Err(format!("outside the range {low} to {high}; --rating-range states another"))
        }
        _ => Ok(x),
    };
    let values: Vec<Option<f64>> = if let Ok(text) = series.str() {
        let rating = |(row, field): (usize, Option<&str>)| {
            let field = field.map_or("", str::trim_ascii);
            let number = field.parse::<f64>().ok();
            if missing == Some(field) || number.is_some_and(is_missing) {
                return Ok(None);
            }
            let why = match number {
                _ if field.is_empty() => return Err(Wrong::at(row, format!("no {label}{WITHOUT_RATING}"))),
                Some(x) => match check(x) {
                    Ok(x) => return Ok(Some(x)),
                    Err(why) => why,
                },
                None if field.replacen(',', ".", 1).parse::<f64>().is_ok() => {
                    "not a number: it has a decimal comma (change the commas of that column to points)"
                        .to_owned()
                }
                None if field.starts_with('"') => {
                    "not a number: it is in quotes; say --quote '\"' if these are not characters".to_owned()
                }
                None => "not a number".to_owned(),
            };
            Err(Wrong::at(row, format!("{label} '{}' is {why}", shortened(field))))
        };
        text.iter().enumerate().map(rating).collect::<Result<_, _>>()?
    } else {
        let series = series.cast(&DataType::Float64)?;
        let numbers = series.f64()?;
        let wrong = |x: Option<f64>| x.is_none_or(|x| is_missing(x) || check(x).is_err());
        match numbers.iter().position(wrong) {
            None => return Ok(series.clone().into_column()),
            Some(_) => {
                let rating = |(row, x): (usize, Option<f64>)| match x {
                    Some(x) if is_missing(x) => Ok(None),
                    None if missing == Some("") => Ok(None),
                    None => Err(Wrong::at(row, format!("no {label}{WITHOUT_RATING}"))),
                    Some(x) => match check(x) {
                        Ok(x) => Ok(Some(x)),
                        Err(why) => Err(Wrong::at(row, format!("{label} '{x:?}' is {why}"))),
                    },
                };
                numbers.iter().enumerate().map(rating).collect::<Result<_, _>>()?
            }
        }
    };
    Ok(Column::new("".into(), values))
}

/// A whole number that a program would write in exactly these characters, or as pandas writes one in a column with
/// gaps: "7" and "7.0", but not "007" or "+7", which are different ids.
pub(super) fn whole(field: &str) -> Option<i64> {
    let number = match field.split_once('.') {
        Some((number, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => number,
        Some(_) => return None,
        None => field,
    };
    let digits = number.strip_prefix('-').unwrap_or(number);
    if number != "0" && !digits.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    number.parse().ok()
}

/// A time as a whole number: as it is written or, for a date, in seconds since 1970.
fn seconds(field: &str) -> Option<i64> {
    if let Ok(time) = field.parse() {
        return Some(time);
    }
    if let Ok(time) = field.parse::<f64>() {
        return time.is_finite().then_some(time.floor() as i64);
    }
    let field = field.trim_end_matches("UTC").trim_end().replacen('T', " ", 1);
    let with_zone = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"];
    let without = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S"];
    let day = |form: &str| NaiveDate::parse_from_str(&field, form).ok()?.and_hms_opt(0, 0, 0);
    let local = |form: &&str| NaiveDateTime::parse_from_str(&field, form).ok();
    let local = without.iter().find_map(local).or_else(|| ["%Y-%m-%d", "%Y/%m/%d"].into_iter().find_map(day));
    let zoned = |form: &&str| DateTime::parse_from_str(&field, form).ok().map(|time| time.timestamp());
    local.map(|time| time.and_utc().timestamp()).or_else(|| with_zone.iter().find_map(zoned))
}
