//! Ratings in a Parquet file.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use polars::prelude::*;

use crate::system::memory;
use crate::system::panics::caught;

use super::columns::{ColumnSpec, Wrong, table};
use super::shown::{quoted, shortened};

/// Whether a file begins as Parquet files do.
pub fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

/// What its columns are called.
///
/// # Errors
/// The file is damaged.
pub fn names(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let schema =
        caught(|| ParquetReader::new(Cursor::new(bytes)).schema()).map_err(|panic| damaged(path, &panic))?;
    let schema = schema.map_err(|error| refused(path, &error))?;
    Ok(schema.iter_names().map(|name| name.to_string()).collect())
}

/// Reads the wanted columns, in their order. An optional column that cannot be read is left out, with a note.
///
/// # Errors
/// The file is damaged; a column is missing, or of another type; a value is missing or cannot be converted: the error
/// gives its row, counted from 1.
pub fn read(
    path: &Path,
    bytes: &[u8],
    wanted: &[ColumnSpec],
    missing: Option<&str>,
) -> Result<(DataFrame, Vec<String>)> {
    let most = memory::available(Path::new("/")).unwrap_or(u64::MAX) / 10 * 9;
    // polars has assertions that a damaged file fails.
    let read = memory::while_reading(path, most, || caught(|| read_columns(path, bytes, wanted, missing)));
    read.unwrap_or_else(|panic| Err(damaged(path, &panic)))
}

/// A file that polars refuses: complete or not.
fn refused(path: &Path, error: &PolarsError) -> anyhow::Error {
    let (shown, why) = (path.display(), error.to_string());
    if let PolarsError::Duplicate(_) = error {
        let name = why.split('\'').nth(1).unwrap_or_default();
        return anyhow!("{shown}: two columns are called '{}'; rename one", shortened(name));
    }
    match why.strip_prefix("cannot create series from ") {
        Some(kind) => anyhow!(
            "{shown}: a column holds {}, which is not read here; write it as another type, such as Float32",
            shortened(kind)
        ),
        None => damaged(path, &why),
    }
}

fn damaged(path: &Path, why: &str) -> anyhow::Error {
    let why = why.lines().next().unwrap_or_default();
    anyhow!("{}: not a complete Parquet file: {}", path.display(), shortened(why))
}

fn read_columns(
    path: &Path,
    bytes: &[u8],
    wanted: &[ColumnSpec],
    missing: Option<&str>,
) -> Result<(DataFrame, Vec<String>)> {
    let shown = path.display();
    let broken = |error: PolarsError| refused(path, &error);
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let schema = reader.schema().map_err(broken)?;
    let height = reader.num_rows().map_err(broken)?;
    ensure!(height > 0, "{shown}: columns and no rows");
    memory::check_table(path, height, bytes.len())?;
    let (there, others): (Vec<&ColumnSpec>, Vec<&ColumnSpec>) =
        wanted.iter().partition(|want| schema.contains(want.column));
    if let Some(want) = others.iter().find(|want| !want.optional) {
        bail!("{shown}: no column '{}'; it has {}", want.column, quoted(schema.iter_names()));
    }
    let names = there.iter().map(|want| want.column.to_owned()).collect();
    let raw = reader.with_columns(Some(names)).read_parallel(ParallelStrategy::None).finish();
    let raw = raw.map_err(broken)?;
    ensure!(raw.height() == height, damaged(path, &format!("{} of {height} rows", raw.height())));
    let renamed = there.iter().map(|want| Ok(raw.column(want.column)?.clone().with_name(want.name.into())));
    let raw = renamed.collect::<PolarsResult<_>>().and_then(|columns| DataFrame::new(height, columns));
    let raw = raw.map_err(broken)?;
    let tell = |fault: Wrong| match fault.row {
        Some(row) => format!("{shown} row {}: {}", row + 1, fault.why),
        None => format!("{shown}: {}", fault.why),
    };
    let label = |want: &ColumnSpec| want.column.to_owned();
    let (table, faults) =
        table(&raw, there.into_iter(), label, missing).map_err(|fault| anyhow!(tell(fault)))?;
    Ok((table, faults.into_iter().map(tell).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_polars_does_not_read_is_named_and_is_no_damage() {
        let path = Path::new("r.parquet");
        let why = |text: &'static str| refused(path, &PolarsError::ComputeError(text.into())).to_string();
        let halves = why("cannot create series from Float16");
        assert!(halves.starts_with("r.parquet: a column holds Float16, which is not read here"), "{halves}");
        assert_eq!(why("no magic"), "r.parquet: not a complete Parquet file: no magic");
    }
}
