//! Ratings files that are wrong, or only look wrong. A wrong file ends with one line that says what is wrong, where,
//! and what to do, before anything is written; the others are read.

use std::path::Path;

use lecture5::movielens::MovieLens;

use crate::common::lecture5;

/// Three users and three movies, with enough ratings to hold out a fifth.
const GOOD: &str =
    "userId,movieId,rating,timestamp\n1,31,2.5,10\n1,1029,3,20\n2,31,4,30\n2,10,1,40\n3,10,5,50\n3,31,2,60\n";

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        match name.strip_suffix('/') {
            Some(name) => std::fs::create_dir(folder.path().join(name)).unwrap(),
            None => std::fs::write(folder.path().join(name), bytes).unwrap(),
        }
    }
    folder
}

/// Runs a command in which `@` stands for the folder, and expects the refusal.
fn refused(what: &str, files: &[(&str, &[u8])], command: &str, status: i32, said: &str) {
    let data = folder(files);
    let out = data.path().join("out");
    let shown = data.path().display().to_string();
    let mut arguments: Vec<String> =
        command.split(' ').map(|argument| argument.replace('@', &shown)).collect();
    arguments.extend(["--out".to_owned(), out.display().to_string()]);
    let output = lecture5(&arguments);
    let stderr =
        String::from_utf8_lossy(&output.stderr).replace(&format!("{shown}/"), "").replace(&shown, "@");
    assert_eq!(output.status.code(), Some(status), "{what}: {stderr}");
    assert!(stderr.contains(said), "{what}: '{said}' is not in '{stderr}'");
    let lines = stderr.trim_end().lines().count();
    // clap's message for a wrong option ends with the usage.
    assert!(lines == 1 || status == 2, "{what}: more than a line: {stderr}");
    assert!(stderr.starts_with("error: "), "{what}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("Stack backtrace"), "{what}: {stderr}");
    assert!(output.stdout.is_empty(), "{what}: something was printed before the error");
    assert!(!out.exists(), "{what}: something was written");
}

/// Every row of the good table, and one more.
fn with_row(row: &str) -> Vec<u8> {
    format!("{GOOD}{row}\n").into_bytes()
}

#[test]
fn a_wrong_ratings_csv_is_refused_in_one_line_before_anything_is_written() {
    let gzip: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an empty file", b"".to_vec(), "ratings.csv: an empty file"),
        ("white space only", b"\n \n\n".to_vec(), "ratings.csv: an empty file"),
        ("a header only", b"userId,movieId,rating,timestamp\n".to_vec(), "ratings.csv: a header and no rows"),
        ("a header with blank lines", b"userId,movieId,rating\n\n\n".to_vec(), "ratings.csv: a header and no rows"),
        ("no header", b"1,31,2.5,10\n1,32,3,20\n".to_vec(), "ratings.csv line 1: no column 'userId', 'movieId', 'rating'; it has '1', '31', '2.5', '10'; if the first line is already a row, say --user 1 --item 2 --rating 3"),
        ("other columns", b"user,item,stars\n1,2,3\n".to_vec(), "line 1: no column 'userId'"),
        ("one column missing", b"userId,rating,timestamp\n1,2,3\n".to_vec(), "line 1: no column 'movieId'"),
        ("semicolons", GOOD.replace(',', ";").into_bytes(), "line 1: no column 'userId'"),
        ("a missing field", with_row("1,32,3"), "ratings.csv line 8: 3 of 4 fields: '1,32,3'"),
        ("a field too many", with_row("1,32,3,4,5"), "ratings.csv line 8: 5 of 4 fields"),
        ("a decimal comma", with_row("1,32,3,5,70"), "ratings.csv line 8: 5 of 4 fields"),
        ("a row of separators", with_row(",,,"), "ratings.csv line 8: a row of empty fields; delete it"),
        ("a spreadsheet's word for no user", with_row("#N/A,32,3,70"), "line 8: userId '#N/A' stands for a missing value"),
        ("pandas' word for no time as a user", with_row("NaT,32,3,70"), "line 8: userId 'NaT' stands for a missing value"),
        ("a dash for a user", with_row("-,32,3,70"), "line 8: userId '-' stands for a missing value"),
        ("an infinite user", with_row("inf,32,3,70"), "line 8: userId 'inf' stands for a missing value"),
        ("a fraction of a movie", with_row("1,32.5,3,70"), "line 8: movieId '32.5' is not a whole number"),
        ("a list of JSON over lines", b"[\n  {\"userId\": 1}]\n".to_vec(), "ratings.csv: JSON; save the table as CSV"),
        ("JSON with blanks", b"{ \"userId\": 1 }\n".to_vec(), "ratings.csv: JSON"),
        ("lists of JSON", b"[1, 31, 2.5]\n".to_vec(), "ratings.csv: JSON"),
        ("Python's dictionaries", b"{'userId': 1}\n".to_vec(), "ratings.csv: JSON"),
        ("a tar archive", [&[b'r'; 257][..], b"ustar\0", &[0; 300]].concat(), "ratings.csv: a tar archive; unpack it"),
        ("an array of NumPy", b"\x93NUMPY\x01\0".to_vec(), "ratings.csv: an array of NumPy; save it as CSV"),
        ("LZMA", b"]\0\0\x80\0".to_vec(), "ratings.csv: compressed by LZMA; unpack it first"),
        ("an empty rating", with_row("1,32,,70"), "ratings.csv line 8: no rating"),
        ("an empty user", with_row(",32,3,70"), "ratings.csv line 8: no userId"),
        ("an empty movie in quotes", with_row("1,\"\",3,70"), "ratings.csv line 8: no movieId"),
        ("text for a rating", with_row("1,32,good,70"), "ratings.csv line 8: rating 'good' is not a number"),
        ("NaN for a rating", with_row("1,32,NaN,70"), "line 8: rating 'NaN' is not a finite number"),
        ("an infinite rating", with_row("1,32,-inf,70"), "line 8: rating '-inf' is not a finite number"),
        ("a rating beyond single precision", with_row("1,32,1e39,70"), "line 8: rating '1e39' is not a finite number"),
        ("not UTF-8", [GOOD.as_bytes(), b"1,caf\xc3\xa9,3,70\n1,caf\xe9,3,70\n"].concat(), "ratings.csv line 9: not UTF-8 text, unlike the lines before; save it as UTF-8"),
        ("UTF-16", b"\xff\xfeu\0s\0e\0r\0".to_vec(), "ratings.csv: text in UTF-16; save it as UTF-8"),
        ("bytes of zero", [GOOD.as_bytes(), b"1,\0,3,70\n"].concat(), "ratings.csv line 8: a zero byte"),
        ("truncated in a row", GOOD.as_bytes()[..GOOD.len() - 4].to_vec(), "line 7: 3 of 4 fields: '3,31,2'"),
        ("truncated in a quote", with_row("1,\"32,3,70"), "ratings.csv line 8: a quote that is never closed"),
        ("text after a quote", with_row("1,\"32\"x,3,70"), "ratings.csv line 8: "),
        ("gzip", gzip.to_vec(), "ratings.csv: not a complete gzip file"),
        ("a ZIP archive", b"PK\x03\x04\x14\x00".to_vec(), "ratings.csv: a ZIP archive or an Excel workbook"),
        ("Parquet under another name", b"PAR1....PAR1".to_vec(), "ratings.csv: a Parquet file, but text is expected; save its table as CSV"),
        ("an HTML page", b"<!DOCTYPE html>\n<html></html>\n".to_vec(), "ratings.csv: a page of HTML and not the file; download it again"),
        ("one rating", b"userId,movieId,rating\n1,2,3\n".to_vec(), "1 rating of 1 user are too few"),
        ("four ratings", b"userId,movieId,rating\n1,2,3\n1,3,4\n2,2,3\n2,3,4\n".to_vec(), "ratings.csv: 4 ratings of 2 users are too few to hold out a fifth"),
        ("all ratings the same", GOOD.lines().map(|l| if l.starts_with('u') { l.to_owned() } else { let f: Vec<&str> = l.split(',').collect(); format!("{},{},3,{}", f[0], f[1], f[3]) } + "\n").collect::<String>().into_bytes(), "all 6 ratings are 3"),
    ];
    for (at, (what, bytes, said)) in table.iter().enumerate() {
        // One command per case, so that each command meets many cases.
        let command = [
            "run --data @",
            "fit --model dot --data @",
            "run movielens --data @",
            "run dot_product --json --data @",
        ][at % 4];
        refused(what, &[("ratings.csv", bytes)], command, 1, said);
    }
}

#[test]
fn wrong_files_of_other_kinds_are_refused_in_one_line_too() {
    let good = GOOD.as_bytes();
    let mixed = [good, b"3,32,2,2001-02-28\n"].concat();
    let bars = "1|A|01-Jan-1995||x|".to_owned() + &["0"; 19].join("|");
    // The case, the files, the command, the status, a part of the error.
    type Case<'a> = (&'a str, Vec<(&'a str, &'a [u8])>, &'a str, i32, &'a str);
    #[rustfmt::skip]
    let table: Vec<Case> = vec![
        ("no such folder", vec![], "run --data @/none", 1, "none: no such folder; --data takes the folder that holds ratings.csv"),
        ("an empty folder", vec![], "fit --model net --data @", 1, "a folder without ratings.csv, ratings.dat or u.data"),
        ("a file for a folder", vec![("r.csv", good)], "run --data @/r.csv", 1, "r.csv: a file, and --data takes a folder; for a file of ratings take --ratings"),
        ("a folder for a file", vec![("r.csv/", b"")], "run --ratings @/r.csv", 1, "r.csv: a folder"),
        ("a folder named ratings.csv", vec![("ratings.csv/", b"")], "run --data @", 1, "ratings.csv: a folder"),
        ("no such file", vec![], "fit --model bias --ratings @/none.csv", 1, "none.csv: cannot be read"),
        ("a column that is not there", vec![("r.csv", good)], "run --ratings @/r.csv --user reader", 1, "r.csv line 1: no column 'reader'; it has 'userId', 'movieId', 'rating', 'timestamp'"),
        ("a number beyond the columns", vec![("r.csv", good)], "run --ratings @/r.csv --user 1 --item 2 --rating 9", 1, "r.csv line 1: no column '9'; it has 'userId'"),
        ("numbers for a file with a header", vec![("r.csv", good)], "run --ratings @/r.csv --user 1 --item 2 --rating 3", 1, "r.csv line 1: rating 'rating' is not a number"),
        ("one column twice", vec![("r.csv", good)], "run --ratings @/r.csv --item userId", 2, "--user and --item both name the column 'userId'"),
        ("columns without a file", vec![], "run --user reader", 2, "--ratings"),
        ("two sources", vec![("ratings.csv", good)], "run --data @ --ratings @/ratings.csv", 2, "cannot be used with"),
        ("a rating below the range", vec![("ratings.csv", good)], "run --data @ --rating-range 1.5:5", 1, "ratings.csv line 5: rating '1' is outside the range 1.5 to 5"),
        ("a rating above the range", vec![("ratings.csv", good)], "fit --model dot --data @ --rating-range -1:4", 1, "ratings.csv line 6: rating '5' is outside the range -1 to 4"),
        ("a range that is none", vec![("ratings.csv", good)], "run --data @ --rating-range 5:1", 2, "from 5 to 1: the lower end comes first"),
        ("a range of one number", vec![("ratings.csv", good)], "run --data @ --rating-range 5", 2, "'5' is not LOW:HIGH"),
        ("a range of NaN", vec![("ratings.csv", good)], "run --data @ --rating-range 0:NaN", 2, "not a finite number"),
        ("dates among seconds", vec![("r.csv", &mixed)], "run --ratings @/r.csv --timestamp timestamp", 1, "r.csv line 8: timestamp '2001-02-28' is a date, and '"),
        ("a quote that swallows rows", vec![("r.csv", b"userId,movieId,rating,what\n1,1,2,\"a\n1,2,3,b\n2,1,2,\"c\n")], "run --ratings @/r.csv", 1, "r.csv line 2: "),
        ("an unknown split", vec![("ratings.csv", good)], "run --data @ --split half", 2, "random, time, user"),
        ("a split by time without times", vec![("ratings.csv", b"userId,movieId,rating\n1,1,1\n1,2,2\n2,1,1\n2,2,2\n2,3,3\n")], "run --data @ --split time", 1, "--split time needs the time of each rating"),
        ("a split by users who rated little", vec![("ratings.csv", good)], "run --data @ --split user", 1, "no user has five"),
        ("movies without a title", vec![("ratings.csv", good), ("movies.csv", b"movieId,name\n1,A\n")], "run --data @", 1, "movies.csv line 1: no column 'title'"),
        ("movies with an open quote", vec![("ratings.csv", good), ("movies.csv", b"movieId,title,genres\n1,\"A,x\n")], "run --data @", 1, "movies.csv line 2: a quote that is never closed"),
        ("ratings.dat with single colons", vec![("ratings.dat", b"1:31:2.5:10\n")], "run --data @", 1, "ratings.dat line 1: 1 of 3 fields separated by '::'"),
        ("ratings.dat cut off", vec![("ratings.dat", b"1::31::2::10\n1::32::3")], "run --data @", 1, "ratings.dat line 2: 3 of 4 fields"),
        ("u.data with spaces", vec![("u.data", b"1 31 2 10\n")], "run --data @", 1, "u.data line 1: 1 of 3 fields separated by '\\t'"),
        ("u.item cut off", vec![("u.data", b"1\t1\t2\t1\n1\t2\t3\t1\n1\t3\t3\t1\n1\t4\t3\t1\n1\t5\t3\t1\n"), ("u.item", &bars.as_bytes()[..30])], "run --data @", 1, "u.item line 1:"),
        ("an Excel workbook", vec![("r.xlsx", b"PK\x03\x04\x14\x00")], "run --ratings @/r.xlsx", 1, "r.xlsx: a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV"),
        ("an SQLite database", vec![("r.db", b"SQLite format 3\0")], "run --ratings @/r.db", 1, "r.db: an SQLite database; export the ratings as CSV"),
        ("a picture", vec![("r.png", b"\x89PNG\r\n\x1a\n\0\0")], "run --ratings @/r.png", 1, "r.png line 3: a zero byte, so this is not text"),
        ("a Parquet file", vec![("r.parquet", b"PAR1\x15\x04")], "run --ratings @/r.parquet", 1, "r.parquet: not a complete Parquet file"),
        ("verify on a damaged file", vec![("ratings.csv", b"userId,movieId,rating\n1,2,x\n")], "verify --seeds 4 --fits dot --jobs 1 --data @", 1, "ratings.csv line 2: rating 'x' is not a number"),
        ("verify on no folder", vec![], "verify --quick --fits dot --jobs 1 --data @/none", 1, "none: no such folder"),
    ];
    for (what, files, command, status, said) in &table {
        refused(what, files, command, *status, said);
    }
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let data = folder(&[("ratings.csv", GOOD.as_bytes())]);
    let file = data.path().join("ratings.csv");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let error = format!("{:#}", MovieLens::read(data.path()).unwrap_err());
    assert!(error.contains("ratings.csv: cannot be read: Permission denied"), "{error}");
}

/// The table of ratings as the first section shows it, or why the file is refused.
fn read(files: &[(&str, &[u8])]) -> String {
    let data = folder(files);
    let shown = |path: &Path| match MovieLens::read(path) {
        Ok(ml) => lecture5::run::lecture::head(&ml.ratings, 100).unwrap().to_text(),
        Err(error) => format!("{error:#}"),
    };
    shown(data.path())
}

#[test]
fn what_only_looks_wrong_is_read_as_it_is_meant() {
    let meant = read(&[("ratings.csv", GOOD.as_bytes())]);
    assert!(meant.contains("1029"), "{meant}");
    let rows: Vec<Vec<&str>> = GOOD.lines().map(|line| line.split(',').collect()).collect();
    let written = |field: &dyn Fn(&str) -> String, separator: &str, end: &str| {
        let line = |row: &Vec<&str>| row.iter().map(|f| field(f)).collect::<Vec<_>>().join(separator) + end;
        rows.iter().map(line).collect::<String>()
    };
    let plain = |field: &str| field.to_owned();
    let review = |(at, line): (usize, &str)| match at {
        0 => format!("{line},review\n"),
        _ => format!("{line},\"Fine,\nI think, or so\n\"\n"),
    };
    let reviewed: String = GOOD.lines().enumerate().map(review).collect();
    let reversed: String =
        rows.iter().map(|row| row.iter().rev().copied().collect::<Vec<_>>().join(",") + "\n").collect();
    for (what, text) in [
        ("a byte order mark", format!("\u{feff}{GOOD}")),
        ("Windows' line ends", written(&plain, ",", "\r\n")),
        ("both", format!("\u{feff}{}", written(&plain, ",", "\r\n"))),
        ("everything in quotes", written(&|f| format!("\"{f}\""), ",", "\n")),
        ("quotes and Windows' line ends", written(&|f| format!("\"{f}\""), ",", "\r\n")),
        ("spaces after the commas", written(&plain, ", ", "\n")),
        ("no line end at the end", GOOD.trim_end().to_owned()),
        ("blank lines", GOOD.replace('\n', "\n\n") + "\n \n"),
        ("columns in another order and one more", reversed.replace('\n', ",x\n")),
        ("a column of free text, over lines and with commas", reviewed),
    ] {
        let got = read(&[("ratings.csv", text.as_bytes())]);
        assert_eq!(got, meant, "{what}");
    }
}

#[test]
fn gigantic_ids_and_repeated_pairs_are_data_like_any_other() {
    let gigantic = "9".repeat(30);
    let text = format!("userId,movieId,rating\n{gigantic},1,2\n{gigantic},1,4\n7,9223372036854775807,1\n");
    let data = folder(&[("ratings.csv", text.as_bytes())]);
    let cf = MovieLens::read(data.path()).unwrap().dataset().unwrap();
    assert_eq!((cf.users.find(&gigantic), cf.users.find("7")), (Some(0), Some(1)));
    assert_eq!((cf.items.len(), cf.items.name(1)), (2, "9223372036854775807".to_owned()));
    assert_eq!((cf.len(), cf.repeated(), cf.y), (3, 1, vec![2.0, 4.0, 1.0]));
}
