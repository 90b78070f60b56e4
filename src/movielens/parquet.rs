//! Ratings in a Parquet file.

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use polars::prelude::DataFrame;

use crate::system::failure::caught;
use crate::system::memory;

use super::columns::{Growing, Holds, Wanted, quoted};

/// Whether a file begins as Parquet files do.
pub fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

/// Reads the wanted columns, in their order. Times may be points in time: they become seconds since 1970.
///
/// # Errors
/// The file is damaged, or compressed in a way unknown here; a column is missing, or of another type; a value
/// is missing or cannot be one: with its row, counted from 1.
pub fn read(path: &Path, bytes: Vec<u8>, wanted: &[Wanted]) -> Result<DataFrame> {
    // The library has assertions that a damaged file fails.
    caught(|| read_columns(path, bytes, wanted)).unwrap_or_else(|panic| Err(damaged(path, &panic)))
}

fn damaged(path: &Path, why: &str) -> anyhow::Error {
    let why = why.lines().next().unwrap_or_default();
    anyhow!("{}: not a whole Parquet file: {}", path.display(), why.trim_start_matches("Parquet error: "))
}

fn read_columns(path: &Path, bytes: Vec<u8>, wanted: &[Wanted]) -> Result<DataFrame> {
    let shown = path.display();
    let broken = |error: ParquetError| damaged(path, &error.to_string());
    let held = bytes.len();
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(broken)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let groups = file.metadata().row_groups();
    let height = usize::try_from(groups.iter().map(|group| i128::from(group.num_rows())).sum::<i128>());
    let height = height.map_err(|_| damaged(path, "its number of rows is none"))?;
    ensure!(height > 0, "{shown}: columns and no rows");
    memory::check_table(path, height, held)?;

    let mut columns = Vec::new();
    for want in wanted {
        let names = || schema.root_schema().get_fields().iter().map(|field| field.name());
        if !names().any(|name| name == want.column) {
            ensure!(want.optional, "{shown}: no column '{}'; it has {}", want.column, quoted(names()));
            continue;
        }
        let other_type =
            |kind: &str| anyhow!("{shown}: column '{}' is {kind}; {}", want.column, can_be(want.holds));
        let flat = |c: &ColumnDescriptor| c.path().parts() == [want.column] && c.max_rep_level() == 0;
        let at =
            schema.columns().iter().position(|column| flat(column)).ok_or_else(|| other_type("nested"))?;
        // Memory is taken as the pages come, not for a number of rows that a damaged file may have.
        let mut column = Growing::new(want, want.column, 0);
        let mut row = 0;
        for (number, group) in groups.iter().enumerate() {
            check_codec(group.column(at).compression()).map_err(|why| anyhow!("{shown}: {why}"))?;
            let reader = file.get_row_group(number).and_then(|group| group.get_column_reader(at));
            let described = schema.column(at);
            read_column(reader.map_err(broken)?, &described, &mut column, &mut row).map_err(|wrong| {
                match wrong {
                    Wrong::File(error) => broken(error),
                    Wrong::Type => other_type(&format!("of type {}", kind(&described))),
                    Wrong::Value(why) => anyhow!("{shown} row {}: {why}", row + 1),
                }
            })?;
        }
        if row != height {
            bail!(damaged(path, &format!("{row} of {height} values of '{}'", want.column)));
        }
        columns.push(column.finish());
    }
    Ok(DataFrame::new(height, columns)?)
}

fn check_codec(codec: Compression) -> Result<(), String> {
    use Compression::{GZIP, LZ4, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    match codec {
        UNCOMPRESSED | SNAPPY | GZIP(_) | ZSTD(_) | LZ4 | LZ4_RAW => Ok(()),
        other => {
            let name = other.to_string();
            let name = name.split('(').next().unwrap_or_default();
            Err(format!("compressed by {name}; write it with snappy, gzip, zstd or LZ4"))
        }
    }
}

fn can_be(holds: Holds) -> &'static str {
    match holds {
        Holds::Ids => "ids are whole numbers or text",
        Holds::Ratings(_) => "ratings are whole numbers, decimals, or floats of 32 or 64 bits",
        Holds::Times => "times are whole numbers or points in time",
        Holds::Words => "text is expected",
    }
}

/// What the format calls the type of a column.
fn kind(column: &ColumnDescriptor) -> String {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => {
            let name = format!("{logical:?}");
            name.split(['(', '{', ' ']).next().unwrap_or_default().to_uppercase()
        }
        (None, ConvertedType::NONE) => column.physical_type().to_string(),
        (None, converted) => converted.to_string(),
    }
}

/// What can be wrong with a column.
enum Wrong {
    File(ParquetError),
    Type,
    Value(String),
}

/// Takes one group's values of a column; `row` counts them.
fn read_column(
    reader: ColumnReader,
    described: &ColumnDescriptor,
    column: &mut Growing,
    row: &mut usize,
) -> Result<(), Wrong> {
    use ColumnReader::{
        ByteArrayColumnReader, DoubleColumnReader, FixedLenByteArrayColumnReader, FloatColumnReader,
        Int32ColumnReader, Int64ColumnReader, Int96ColumnReader,
    };
    let holds = column.holds();
    let said = described.name();
    match reader {
        Int32ColumnReader(reader) => {
            let means = Whole::of(described, holds)?;
            each(reader, described, row, |&x| match means {
                Whole::Unsigned => column.push_whole(i64::from(x as u32)),
                _ => means.push(column, said, x.into()),
            })
        }
        Int64ColumnReader(reader) => {
            let means = Whole::of(described, holds)?;
            each(reader, described, row, |&x| means.push(column, said, x))
        }
        Int96ColumnReader(reader) if holds == Holds::Times => {
            each(reader, described, row, |x| column.push_whole(x.to_seconds()))
        }
        FloatColumnReader(reader) => each(reader, described, row, |&x| column.push_number(x.into())),
        DoubleColumnReader(reader) => each(reader, described, row, |&x| column.push_number(x)),
        ByteArrayColumnReader(reader)
            if matches!(holds, Holds::Ids | Holds::Words)
                && matches!(
                    described.converted_type(),
                    ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::NONE
                ) =>
        {
            each(reader, described, row, |bytes| match std::str::from_utf8(bytes.data()) {
                Ok(text) => column.push(text),
                Err(_) => Err(format!("{said} is not UTF-8 text")),
            })
        }
        FixedLenByteArrayColumnReader(reader) if described.converted_type() == ConvertedType::DECIMAL => {
            let of = 10_f64.powi(described.type_scale());
            each(reader, described, row, |bytes| column.push_number(big_endian(bytes.data()) / of))
        }
        _ => Err(Wrong::Type),
    }
}

/// The two's complement of a number, its highest byte first.
fn big_endian(bytes: &[u8]) -> f64 {
    let (first, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first as i8, rest));
    rest.iter().fold(f64::from(first), |number, byte| number * 256.0 + f64::from(*byte))
}

/// What a column's integers stand for.
#[derive(Clone, Copy)]
enum Whole {
    Themselves,
    Unsigned,
    Days,
    /// So many of them are a second.
    Second(i64),
    /// So many of them are one.
    Decimal(f64),
}

impl Whole {
    fn of(column: &ColumnDescriptor, holds: Holds) -> Result<Whole, Wrong> {
        use ConvertedType::{
            DATE, DECIMAL, INT_8, INT_16, INT_32, INT_64, NONE, TIMESTAMP_MICROS, TIMESTAMP_MILLIS, UINT_8,
            UINT_16, UINT_32, UINT_64,
        };
        let means = match (column.logical_type_ref(), column.converted_type()) {
            // The one unit that has no converted type.
            (Some(LogicalType::Timestamp(time)), _) if time.unit == TimeUnit::NANOS => {
                Whole::Second(1_000_000_000)
            }
            (_, TIMESTAMP_MICROS) => Whole::Second(1_000_000),
            (_, TIMESTAMP_MILLIS) => Whole::Second(1_000),
            (_, DATE) => Whole::Days,
            (_, DECIMAL) => Whole::Decimal(10_f64.powi(column.type_scale())),
            (_, UINT_8 | UINT_16 | UINT_32 | UINT_64) => Whole::Unsigned,
            (_, INT_8 | INT_16 | INT_32 | INT_64) | (None, NONE) => Whole::Themselves,
            _ => return Err(Wrong::Type),
        };
        let is_time = matches!(means, Whole::Days | Whole::Second(_));
        if is_time && holds != Holds::Times { Err(Wrong::Type) } else { Ok(means) }
    }

    fn push(self, column: &mut Growing, said: &str, x: i64) -> Result<(), String> {
        match self {
            Whole::Themselves => column.push_whole(x),
            // Bits of a number that is not negative; one that large is none here.
            Whole::Unsigned if x < 0 => {
                Err(format!("{said} {} is beyond 63 bits; save it as text", x as u64))
            }
            Whole::Unsigned => column.push_whole(x),
            Whole::Days => column.push_whole(x.saturating_mul(86_400)),
            Whole::Second(of) => column.push_whole(x.div_euclid(of)),
            Whole::Decimal(of) => column.push_number(x as f64 / of),
        }
    }
}

/// Hands over each value of a group, and counts them.
fn each<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    described: &ColumnDescriptor,
    row: &mut usize,
    mut take: impl FnMut(&T::T) -> Result<(), String>,
) -> Result<(), Wrong> {
    const AT_ONCE: usize = 1 << 16;
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let read = reader.read_records(AT_ONCE, Some(&mut levels), None, &mut values);
        let (records, ..) = read.map_err(Wrong::File)?;
        if records == 0 {
            return Ok(());
        }
        let mut values = values.iter();
        for at in 0..records {
            // A column that may lack values says of each whether it is there; another says nothing.
            let missing = levels.get(at).is_some_and(|&level| level < described.max_def_level());
            let value = values.next().filter(|_| !missing);
            let value = value.ok_or_else(|| Wrong::Value(format!("no {}", described.name())))?;
            take(value).map_err(Wrong::Value)?;
            *row += 1;
        }
    }
}
