//! Any bytes in a ratings file are refused with a one-line error, or are read as ratings that can be split.
#![no_main]

use std::path::Path;

use lecture5::movielens::columns::{ColumnKind, ColumnSpec};
use lecture5::movielens::text::Text;
use lecture5::movielens::{CollabFilterDataset, Dialect, SplitBy, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The first byte selects how the rest is read.
    let Some((how, bytes)) = input.split_first() else { return };
    let (name, dialect, columns) = match how % 5 {
        0 => ("ratings.csv", Dialect::csv(), ["userId", "movieId", "rating", "timestamp"]),
        1 => ("ratings.dat", Dialect::old("::"), ["1", "2", "3", "4"]),
        2 => ("u.data", Dialect::old("\t"), ["1", "2", "3", "4"]),
        3 => ("any.csv", Dialect::default(), ["u", "i", "r", "t"]),
        _ => ("any.csv", Dialect::default(), ["1", "2", "3", "4"]),
    };
    let scale = (how & 0x80 != 0).then_some((0.5, 5.0));
    let want = |at: usize, name, holds, optional| ColumnSpec { column: columns[at], name, holds, optional };
    let wanted = [
        want(0, "userId", ColumnKind::Ids, false),
        want(1, "movieId", ColumnKind::Ids, false),
        want(2, "rating", ColumnKind::Ratings(scale), false),
        want(3, "timestamp", ColumnKind::Times, true),
    ];
    let path = Path::new(name);
    let table = file::text(path, bytes.to_vec())
        .and_then(|(text, _)| Ok(Text::new(path, &text, &dialect, &wanted)?.read(path, &wanted, None)?.0));
    match table {
        Err(error) => {
            let said = format!("{error:#}");
            assert!(said.starts_with(name) && said.lines().count() == 1, "one line names the file: {said}");
        }
        Ok(table) => {
            let cf =
                CollabFilterDataset::from_data_frame(&table, "userId", "movieId", "rating").expect("ids");
            assert!(cf.len() > 0 && cf.len() == cf.user_idx.len() && cf.y.iter().all(|y| y.is_finite()));
            for index in 0..cf.users.len() {
                assert_eq!(cf.users.find(&cf.users.name(index)), Some(index));
            }
            let times: Option<Vec<i64>> =
                table.column("timestamp").ok().map(|t| t.i64().expect("whole").iter().flatten().collect());
            for split in [SplitBy::LECTURE, SplitBy::Time, SplitBy::User { seed: 1 }] {
                if let Ok(rows) = split.val_idxs(&cf, times.as_deref()) {
                    assert!(rows.len() <= cf.len() / 5 && rows.iter().all(|row| *row < cf.len()));
                }
            }
        }
    }
});
