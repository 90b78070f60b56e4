//! Ratings in Parquet files: every type that a program may write, and damaged files.

use std::path::Path;
use std::sync::Arc;

use lecture5::movielens::columns::{ColumnKind, ColumnSpec};
use lecture5::movielens::parquet::read;
use lecture5::run::lecture::head;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType};
use parquet::data_type::{FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The values of a column; `None` is a missing one.
#[derive(Clone, Debug)]
enum Values {
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<Option<f64>>),
    Bytes(Vec<&'static [u8]>),
    Fixed(Vec<&'static [u8]>),
}
use Values::{Bytes, F32, F64, Fixed, I32, I64};

/// A file with a column for each line of `schema`, in two groups of rows.
fn file(schema: &str, columns: &[Values], codec: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message ratings {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    macro_rules! halves {
        ($values:expr, $half:expr) => {{
            let (first, second) = $values.split_at($values.len() / 2);
            if $half == 0 { first } else { second }
        }};
    }
    for half in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        for values in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match values {
                I32(x) => column.typed::<Int32Type>().write_batch(halves!(x, half), None, None),
                I64(x) => column.typed::<Int64Type>().write_batch(halves!(x, half), None, None),
                F32(x) => column.typed::<FloatType>().write_batch(halves!(x, half), None, None),
                F64(x) => {
                    let levels: Vec<i16> = halves!(x, half).iter().map(|x| x.is_some().into()).collect();
                    let x: Vec<f64> = halves!(x, half).iter().flatten().copied().collect();
                    column.typed::<DoubleType>().write_batch(&x, Some(&levels), None)
                }
                Bytes(x) => {
                    let x: Vec<ByteArray> = halves!(x, half).iter().map(|&x| x.into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&x, None, None)
                }
                Fixed(x) => {
                    let fixed = |x: &&[u8]| FixedLenByteArray::from(x.to_vec());
                    let x: Vec<FixedLenByteArray> = halves!(x, half).iter().map(fixed).collect();
                    column.typed::<FixedLenByteArrayType>().write_batch(&x, None, None)
                }
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

const WANTED: [ColumnSpec; 4] = [
    ColumnSpec { column: "u", name: "userId", holds: ColumnKind::Ids, optional: false },
    ColumnSpec { column: "i", name: "movieId", holds: ColumnKind::Ids, optional: false },
    ColumnSpec { column: "r", name: "rating", holds: ColumnKind::Ratings(Some((0.5, 5.0))), optional: false },
    ColumnSpec { column: "t", name: "timestamp", holds: ColumnKind::Times, optional: true },
];

/// The ratings read from a file, as `ratings.head()` shows them, or why the file is refused.
fn shown(bytes: Vec<u8>) -> Result<String, String> {
    let (table, _) =
        read(Path::new("r.parquet"), &bytes, &WANTED, None).map_err(|error| format!("{error:#}"))?;
    Ok(head(&table, 10).unwrap().to_text())
}

/// Three ratings of users `u` and movies 5, 6, 5, where `u` and one other column may be of any type.
fn with(u: (&str, Values), r: (&str, Values), t: (&str, Values)) -> Vec<u8> {
    let schema = format!("{}; required int32 i; {}; {};", u.0, r.0, t.0);
    file(&schema, &[u.1, I32(vec![5, 6, 5]), r.1, t.1], Compression::SNAPPY)
}

fn users() -> (&'static str, Values) {
    ("required int64 u", I64(vec![7, 7, 9]))
}

fn stars() -> (&'static str, Values) {
    ("optional double r", F64(vec![Some(4.5), Some(2.0), Some(3.0)]))
}

fn times() -> (&'static str, Values) {
    ("required int64 t", I64(vec![86_400, 0, -86_400]))
}

#[test]
fn a_rating_is_the_same_whatever_types_hold_it() {
    let expected = shown(with(users(), stars(), times())).unwrap();
    let lines: Vec<Vec<&str>> = expected.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["userId", "movieId", "rating", "timestamp"]);
    assert!(expected.contains("4.5") && expected.contains("-86400"), "{expected}");

    let users_of_a_kind = [
        ("required int32 u", I32(vec![7, 7, 9])),
        ("required int32 u (INTEGER(16, false))", I32(vec![7, 7, 9])),
        ("required int64 u (INTEGER(64, false))", I64(vec![7, 7, 9])),
        ("required float u", F32(vec![7.0, 7.0, 9.0])),
        ("required binary u (UTF8)", Bytes(vec![b"7", b"7", b"9"])),
        ("required binary u", Bytes(vec![b"7", b"7", b"9"])),
    ];
    for kind in users_of_a_kind {
        assert_eq!(shown(with(kind.clone(), stars(), times())).as_ref(), Ok(&expected), "{kind:?}");
    }
    let decimal: Vec<&[u8]> = vec![&[0, 45], &[0, 20], &[0, 30]];
    let stars_of_a_kind = [
        ("required float r", F32(vec![4.5, 2.0, 3.0])),
        ("required int32 r (DECIMAL(3, 1))", I32(vec![45, 20, 30])),
        ("required int64 r (DECIMAL(12, 2))", I64(vec![450, 200, 300])),
        ("required fixed_len_byte_array(2) r (DECIMAL(3, 1))", Fixed(decimal)),
    ];
    for kind in stars_of_a_kind {
        assert_eq!(shown(with(users(), kind.clone(), times())).as_ref(), Ok(&expected), "{kind:?}");
    }
    let by = |of: i64| I64(vec![86_400 * of + of / 2, 0, -86_400 * of]);
    let times_of_a_kind = [
        ("required int64 t (TIMESTAMP(MILLIS, true))", by(1_000)),
        ("required int64 t (TIMESTAMP_MILLIS)", by(1_000)),
        ("required int64 t (TIMESTAMP(MICROS, false))", by(1_000_000)),
        ("required int64 t (TIMESTAMP(NANOS, true))", by(1_000_000_000)),
        ("required int32 t (DATE)", I32(vec![1, 0, -1])),
        ("optional double t", F64(vec![Some(86_400.5), Some(0.0), Some(-86_400.0)])),
    ];
    for kind in times_of_a_kind {
        assert_eq!(shown(with(users(), stars(), kind.clone())).as_ref(), Ok(&expected), "{kind:?}");
    }
    // As Spark and Hive wrote them, in days of the Julian calendar: by pyarrow, `use_deprecated_int96_timestamps=True`.
    assert_eq!(shown(include_bytes!("../fixtures/int96.parquet").to_vec()).as_ref(), Ok(&expected), "INT96");
}

#[test]
fn every_usual_compression_is_read() {
    let schema = "required int64 u; required int32 i; required float r;";
    let columns = [I64(vec![1, 2, 3]), I32(vec![5, 6, 5]), F32(vec![4.5, 2.0, 3.0])];
    let expected = shown(file(schema, &columns, Compression::UNCOMPRESSED)).unwrap();
    assert!(!expected.contains("timestamp"), "no column of times is wanted or there: {expected}");
    let gzip = Compression::GZIP(GzipLevel::default());
    for codec in [Compression::SNAPPY, gzip, Compression::ZSTD(ZstdLevel::default()), Compression::LZ4_RAW] {
        assert_eq!(shown(file(schema, &columns, codec)).as_ref(), Ok(&expected), "{codec}");
    }
}

#[test]
fn a_column_that_cannot_be_one_is_refused_by_its_type_or_row() {
    let refused = |bytes: Vec<u8>| shown(bytes).unwrap_err();
    let three = || Bytes(vec![b"a", b"b", b"c"]);
    let cases = [
        (
            with(users(), ("required binary r (STRING)", three()), times()),
            "r.parquet row 1: r 'a' is not a number",
        ),
        (
            with(("required int64 u (TIMESTAMP(MILLIS, true))", I64(vec![1, 2, 3])), stars(), times()),
            "r.parquet: column 'u' is of type datetime[ms, +00:00]; ids are whole numbers or text",
        ),
        (
            file(
                "required int32 u; required group i { required int32 x; } required float r;",
                &[I32(vec![1]), I32(vec![1]), F32(vec![1.0])],
                Compression::SNAPPY,
            ),
            "r.parquet: column 'i' is of type struct[1]; ids are whole numbers or text",
        ),
        (
            with(("required int32 who", I32(vec![1, 2, 3])), stars(), times()),
            "r.parquet: no column 'u'; it has 'who', 'i', 'r', 't'",
        ),
        (
            with(users(), ("optional double r", F64(vec![Some(1.0), Some(1.0), None])), times()),
            "r.parquet row 3: no r; --missing '' leaves out rows without one",
        ),
        (
            with(users(), ("optional double r", F64(vec![Some(1.0), None, Some(1.0)])), times()),
            "r.parquet row 2: no r; --missing '' leaves out rows without one",
        ),
        (
            with(users(), ("optional double r", F64(vec![Some(1.0), Some(7.0), None])), times()),
            "r.parquet row 2: r '7.0' is outside the range 0.5 to 5; --rating-range states another",
        ),
        (
            with(users(), ("required float r", F32(vec![1.0, 2.0, f32::NAN])), times()),
            "r.parquet row 3: r 'NaN' is not a finite number of single precision",
        ),
        (
            with(("required float u", F32(vec![1.0, 2.5, 3.0])), stars(), times()),
            "r.parquet row 2: u '2.5' is not a whole number",
        ),
        (
            with(("required int64 u (INTEGER(64, false))", I64(vec![1, -1, 3])), stars(), times()),
            "r.parquet row 2: u 18446744073709551615 is beyond 63 bits; save it as text",
        ),
        (
            with(("required binary u (UTF8)", Bytes(vec![b"a", b"\xff", b"c"])), stars(), times()),
            "r.parquet: not a complete Parquet file: parquet: File out of specification: String data contained in…",
        ),
        (
            with(("required binary u (UTF8)", Bytes(vec![b"a", b"", b"c"])), stars(), times()),
            "r.parquet row 2: no u",
        ),
        (file("required int32 u;", &[I32(vec![])], Compression::SNAPPY), "r.parquet: columns and no rows"),
    ];
    for (bytes, why) in cases {
        assert_eq!(refused(bytes), why);
    }
}

#[test]
fn columns_of_one_name_are_called_that_and_not_damage() {
    let why = shown(with(users(), stars(), ("required int64 r", I64(vec![1; 3])))).unwrap_err();
    assert!(why.contains("two columns are called 'r'; rename one"), "{why}");
}

#[test]
fn a_column_that_nobody_needs_and_that_cannot_be_one_is_left_out_with_a_note() {
    let bytes = with(users(), stars(), ("required int64 t (TIME(MICROS, true))", I64(vec![1, 2, 3])));
    let (table, notes) = read(Path::new("r.parquet"), &bytes, &WANTED, None).unwrap();
    assert_eq!(table.width(), 3);
    assert_eq!(notes, ["r.parquet: column 't' is of type time; times are whole numbers or points in time"]);
}

#[test]
fn a_truncated_file_is_refused_in_one_line() {
    let whole = with(users(), stars(), times());
    for end in 4..whole.len() {
        let why = shown(whole[..end].to_vec()).unwrap_err();
        assert!(why.starts_with("r.parquet: ") && why.lines().count() == 1, "cut at {end}: {why}");
    }
}

/// Damaged files of the test below: from this one on.
const FROM: &str = "LECTURE5_TEST_DAMAGED_FROM";
const DAMAGED: usize = 5_000;

#[test]
fn a_damaged_file_is_read_or_refused_in_one_line_whatever_lengths_it_states() {
    // Reads in a separate process, which ends if a file states a length beyond all memory; the next process continues.
    let mut from = 0;
    while from < DAMAGED {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "parquet::damaged_files_one_after_another", "--ignored", "--nocapture"])
            .env(FROM, from.to_string())
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        let read = out.lines().filter(|line| line.starts_with("damaged file ")).count();
        assert!(read > 0, "from {from}: {out}{err}");
        from += read;
        if !child.status.success() {
            assert_eq!(child.status.code(), Some(1), "file {from}: {:?}\n{out}{err}", child.status);
            let why = err.lines().collect::<Vec<_>>();
            let refused = |line: &&str| line.starts_with("error: r.parquet: reading it asks for ");
            assert_eq!(why.iter().filter(|line| refused(line)).count(), 1, "file {from}: {out}{err}");
            assert!(!out.contains("panicked") && why.len() == 1, "file {from}: {out}{err}");
        }
    }
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn damaged_files_one_after_another() {
    lecture5::system::failure::tell_panics_in_a_line();
    let from: usize = std::env::var(FROM).ok().and_then(|from| from.parse().ok()).unwrap_or(0);
    let whole = with(users(), stars(), times());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let places = prop::collection::vec((4..whole.len(), any::<u8>()), 1..4);
    for at in 0..DAMAGED {
        let changes = places.new_tree(&mut runner).unwrap().current();
        if at < from {
            continue;
        }
        println!("damaged file {at}: {changes:?}");
        let mut bytes = whole.clone();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        if let Err(why) = shown(bytes) {
            assert!(why.starts_with("r.parquet") && why.lines().count() == 1, "{why}");
        }
    }
}
