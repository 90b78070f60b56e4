//! Properties of the readers: a table written in a dialect is read back, and no bytes make them panic.

use std::path::Path;

use lecture5::movielens::columns::{ColumnKind, ColumnSpec};
use lecture5::movielens::dialect::Quote;
use lecture5::movielens::text::Text;
use lecture5::movielens::{Dialect, file, shown};
use polars::prelude::DataFrame;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const WANTED: [ColumnSpec; 4] = [
    ColumnSpec { column: "userId", name: "userId", holds: ColumnKind::Ids, optional: false },
    ColumnSpec { column: "movieId", name: "movieId", holds: ColumnKind::Ids, optional: false },
    ColumnSpec { column: "rating", name: "rating", holds: ColumnKind::Ratings(None), optional: false },
    ColumnSpec { column: "timestamp", name: "timestamp", holds: ColumnKind::Times, optional: true },
];

/// The same columns of a file without a header.
fn by_number() -> [ColumnSpec<'static>; 4] {
    let mut wanted = WANTED;
    for (want, column) in wanted.iter_mut().zip(["1", "2", "3", "4"]) {
        want.column = column;
    }
    wanted
}

fn read(
    bytes: Vec<u8>,
    name: &str,
    dialect: Option<Dialect>,
    wanted: &[ColumnSpec],
) -> anyhow::Result<DataFrame> {
    let path = Path::new(name);
    let (text, _) = file::text(path, bytes)?;
    Ok(Text::new(path, &text, &dialect.unwrap_or_default(), wanted)?.read(path, wanted, None)?.0)
}

/// A column's fields as text.
fn fields(table: &DataFrame, name: &str) -> Vec<String> {
    let column = table.column(name).unwrap();
    (0..table.height()).map(|row| column.get(row).unwrap().str_value().into_owned()).collect()
}

/// A row: two ids, a rating, a time.
type Row = (String, String, f32, i64);

/// Ids that may be anything but empty, blank at the ends, or with characters that `not` forbids.
fn id(not: &'static str) -> impl Strategy<Value = String> {
    // What is cleaned at the door would come back cleaned.
    let words = "[^\u{0}]{1,12}".prop_map(move |text| text.replace(|c| not.contains(c), "_"));
    let words = words.prop_map(|text| shown::clean(&text).replace('\u{feff}', "_"));
    prop_oneof![any::<i64>().prop_map(|id| id.to_string()), words]
        .prop_filter("blank at an end", |id| !id.is_empty() && id.trim_ascii() == id)
}

fn rows(not: &'static str) -> impl Strategy<Value = Vec<Row>> {
    let rating = any::<f32>().prop_filter("finite", |x| x.is_finite());
    prop::collection::vec((id(not), id(not), rating, any::<i64>()), 1..30)
}

fn check(table: &DataFrame, rows: &[Row]) -> Result<(), TestCaseError> {
    prop_assert_eq!(table.height(), rows.len());
    prop_assert_eq!(fields(table, "userId"), rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>());
    prop_assert_eq!(fields(table, "movieId"), rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>());
    let ratings: Vec<f64> = table.column("rating").unwrap().f64().unwrap().iter().flatten().collect();
    prop_assert_eq!(ratings, rows.iter().map(|row| row.2.to_string().parse().unwrap()).collect::<Vec<f64>>());
    let times: Vec<i64> = table.column("timestamp").unwrap().i64().unwrap().iter().flatten().collect();
    prop_assert_eq!(times, rows.iter().map(|row| row.3).collect::<Vec<_>>());
    Ok(())
}

/// The same cases in each run, so that everyone can reproduce a failure.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn any_table_written_as_csv_is_read_back(
        rows in rows(""),
        separator in prop::sample::select(vec![",", "\t", ";", "|", "::"]),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        quote_all: bool,
        told: bool,
    ) {
        let quoted = |field: &str| {
            // A colon at the end of a field would be ambiguous in ":::".
            if quote_all || field.contains(['"', '\n', '\r']) || field.contains(|c| separator.contains(c)) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field.to_owned()
            }
        };
        let mut text = ["userId", "movieId", "rating", "timestamp"].map(quoted).join(separator) + end;
        for (user, item, rating, time) in &rows {
            let row = [user.clone(), item.clone(), rating.to_string(), time.to_string()];
            text += &(row.map(|field| quoted(&field)).join(separator) + end);
        }
        // Between tabs a quote is only a character, unless an option or the file says otherwise.
        let told = told || separator == "\t";
        let separator = Some(separator.to_owned());
        let dialect = told.then_some(Dialect { separator, header: Some(true), quote: Some(Quote::Around('"')) });
        let table = read(text.into_bytes(), "any.csv", dialect, &WANTED);
        check(&table.map_err(|error| TestCaseError::fail(format!("{error:#}")))?, &rows)?;
    }

    #[test]
    fn any_table_written_as_the_old_movielens_did_is_read_back(
        rows in rows("\n\r:\t|"),
        separator in prop::sample::select(vec!["::", "\t", "|"]),
    ) {
        let mut text = String::new();
        for (user, item, rating, time) in &rows {
            text += &([user.clone(), item.clone(), rating.to_string(), time.to_string()].join(separator) + "\n");
        }
        // A byte order mark at the start of the first id counts as the file's.
        prop_assume!(!text.starts_with('\u{feff}'));
        let table = read(text.into_bytes(), "ratings.dat", Some(Dialect::old(separator)), &by_number());
        check(&table.map_err(|error| TestCaseError::fail(format!("{error:#}")))?, &rows)?;
    }

    #[test]
    fn the_first_line_with_more_or_fewer_fields_is_refused_whatever_the_others_have(
        beyond in prop::collection::vec(prop::sample::select(vec![0, 0, 0, 0, -1, 1, -2, 2]), 1..12),
        // Where a column is that is not read.
        note in prop::option::of(0..5_usize),
        end in prop::sample::select(vec!["", "\n", "\n\n"]),
    ) {
        let mut head = vec!["userId", "movieId", "rating", "timestamp"];
        note.into_iter().for_each(|at| head.insert(at, "note"));
        let n = head.len();
        let row = |beyond: &i32| vec!["1"; n.checked_add_signed(*beyond as isize).unwrap()].join(",");
        let rows: Vec<String> = beyond.iter().map(row).collect();
        let text = head.join(",") + "\n" + &rows.join("\n") + end;
        let table = read(text.clone().into_bytes(), "r.csv", Some(Dialect::csv()), &WANTED);
        match beyond.iter().position(|beyond| *beyond != 0) {
            None => prop_assert_eq!(table.unwrap().height(), beyond.len()),
            Some(at) => {
                let fields = n.checked_add_signed(beyond[at] as isize).unwrap();
                let said = format!("r.csv line {}: {fields} of {n} fields: ", at + 2);
                let why = table.unwrap_err().to_string();
                prop_assert!(why.starts_with(&said), "'{}' is not the start of '{}', for '{}'", said, why, text);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_in_one_line_and_never_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            // Bytes with a meaning to a reader, so that rows occur.
            prop::collection::vec(prop::sample::select(b"1234.,:;|\t\"\r\n e-u\xe9\x00".to_vec()), 0..200),
        ],
        header: bool,
        which in 0..4_usize,
        name in prop::sample::select(vec!["ratings.csv", "ratings.dat"]),
    ) {
        let header_line: &[u8] = if header { b"userId,movieId,rating,timestamp\n" } else { b"" };
        let bytes = [header_line, &bytes].concat();
        let dialects = [Some(Dialect::csv()), Some(Dialect::old("::")), Some(Dialect::old("\t")), None];
        let wanted = if header { WANTED } else { by_number() };
        if let Err(error) = read(bytes, name, dialects[which].clone(), &wanted) {
            let said = format!("{error:#}");
            prop_assert!(said.starts_with(name) && said.lines().count() == 1, "{}", said);
        }
    }
}
