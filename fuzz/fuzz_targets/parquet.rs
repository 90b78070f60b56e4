//! Any bytes in a Parquet file are refused with an error that names the file, or are read as ratings.
#![no_main]

use std::path::Path;

use lecture5::movielens::columns::{ColumnKind, ColumnSpec};
use lecture5::movielens::parquet;
use libfuzzer_sys::fuzz_target;

// polars has assertions that a damaged file fails, which the reader catches. libFuzzer's own hook would end the process
// before that; a panic that nothing catches still does.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |bytes: &[u8]| {
    let path = Path::new("ratings.parquet");
    let want = |column, holds, optional| ColumnSpec { column, name: column, holds, optional };
    let wanted = [
        want("userId", ColumnKind::Ids, false),
        want("movieId", ColumnKind::Ids, false),
        want("rating", ColumnKind::Ratings(None), false),
        want("timestamp", ColumnKind::Times, true),
    ];
    match parquet::read(path, bytes, &wanted, None) {
        Err(error) => assert!(format!("{error:#}").starts_with("ratings.parquet")),
        Ok((table, _)) => assert!(table.height() > 0 && table.width() >= 3),
    }
    drop(parquet::names(path, bytes));
});
