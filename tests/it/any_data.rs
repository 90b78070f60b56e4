//! Ratings of any kind: old and new MovieLens folders, arbitrary CSV files, text ids, other splits.

use std::path::Path;

use lecture5::movielens::{
    CollabFilterDataset, ColumnNames, FileOptions, Id, Ids, LECTURE_SEED, MovieLens, Snapshot, Source,
    SplitBy,
};
use lecture5::run::lecture::head;
use serde_json::Value;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn file(name: &str, bytes: &[u8], columns: [&str; 3], timestamp: Option<&str>) -> anyhow::Result<MovieLens> {
    let folder = folder(&[(name, bytes)]);
    let [user, item, rating] = columns.map(str::to_owned);
    let columns = ColumnNames { user, item, rating, timestamp: timestamp.map(str::to_owned) };
    MovieLens::load(
        &Source::File { path: folder.path().join(name), columns, options: FileOptions::default() },
        None,
    )
}

fn shown(ml: &MovieLens) -> String {
    head(&ml.ratings, 100).unwrap().to_text()
}

#[test]
fn movielens_folders_of_every_age_read_the_same() {
    let new = folder(&[
        ("ratings.csv", b"userId,movieId,rating,timestamp\n7,12,4,100\n7,3,2,50\n9,12,5,70\n"),
        (
            "movies.csv",
            "movieId,title,genres\n3,\"Misérables, Les (1995)\",Drama|Musical\n12,Heat (1995),Action\n"
                .as_bytes(),
        ),
    ]);
    let ml_1m = folder(&[
        ("ratings.dat", b"7::12::4::100\n7::3::2::50\n9::12::5::70\n"),
        // ml-1m's titles are in Latin-1.
        ("movies.dat", b"3::Mis\xe9rables, Les (1995)::Drama|Musical\n12::Heat (1995)::Action\n"),
    ]);
    let flags =
        |on: &[usize]| (0..19).map(|at| if on.contains(&at) { "|1" } else { "|0" }).collect::<String>();
    let latin_1 = |text: String| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let items = format!(
        "3|Misérables, Les (1995)|01-Jan-1995||http://x/?a|b{}\n12|Heat (1995)|01-Jan-1995||http://x{}\n",
        "",
        flags(&[1])
    )
    .replace("http://x/?a|b", &format!("http://x{}", flags(&[8, 12])));
    let ml_100k =
        folder(&[("u.data", b"7\t12\t4\t100\n7\t3\t2\t50\n9\t12\t5\t70\n"), ("u.item", &latin_1(items))]);
    let expected = MovieLens::read(new.path()).unwrap();
    assert_eq!(expected.titles().unwrap()["3"], "Misérables, Les (1995)");
    for (old, file) in [(&ml_1m, "ratings.dat"), (&ml_100k, "u.data")] {
        let ml = MovieLens::read(old.path()).unwrap();
        assert_eq!(ml.file_name(), file);
        assert_eq!(shown(&ml), shown(&expected), "{file}");
        let movies = |ml: &MovieLens| head(ml.movies.as_ref().unwrap(), 10).unwrap().to_text();
        assert_eq!(movies(&ml), movies(&expected), "{file}");
        assert_eq!(ml.snapshot, Snapshot::Other);
    }
}

#[test]
fn a_folder_without_movies_or_times_is_complete() {
    let folder = folder(&[("ratings.csv", b"userId,movieId,rating\n7,12,4\n7,3,2\n")]);
    let ml = MovieLens::read(folder.path()).unwrap();
    assert!(ml.movies.is_none() && ml.times().is_none() && ml.titles().unwrap().is_empty());
    assert_eq!(ml.ratings.width(), 3);
}

#[test]
fn any_separator_and_any_column_names_are_understood() {
    let rows = [
        ["who", "when", "what", "stars"],
        ["ann", "5", "Emma", "4.5"],
        ["bob", "6", "Dune; or, Arrakis", "2"],
    ];
    for separator in [",", "\t", ";", "|", "::"] {
        let quoted = |field: &&str| {
            if field.contains([',', ';']) { format!("\"{field}\"") } else { field.to_string() }
        };
        let text: String = rows
            .iter()
            .map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(separator) + "\n")
            .collect();
        let ml = file("books.csv", text.as_bytes(), ["who", "what", "stars"], Some("when")).unwrap();
        assert_eq!(
            shown(&ml),
            "   userId  movieId            rating  timestamp\n\
             0  ann     Emma                  4.5          5\n\
             1  bob     Dune; or, Arrakis     2.0          6\n",
            "{separator}"
        );
        // Without a header, columns are named by number.
        let (_, headless) = text.split_once('\n').unwrap();
        let by_number = file("books.txt", headless.as_bytes(), ["1", "3", "4"], Some("2")).unwrap();
        assert_eq!(shown(&by_number), shown(&ml), "{separator}");
    }
}

/// What is read of a file, or why it is refused.
fn told(name: &str, bytes: &[u8], columns: [&str; 3], options: FileOptions) -> Result<MovieLens, String> {
    let folder = folder(&[(name, bytes)]);
    let [user, item, rating] = columns.map(str::to_owned);
    let columns = ColumnNames { user, item, rating, timestamp: None };
    let ml = MovieLens::load(&Source::File { path: folder.path().join(name), columns, options }, None);
    ml.map_err(|error| format!("{error:#}").replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn what_people_have_is_read_row_by_row_and_nothing_is_dropped_in_silence() {
    let (uir, numbers) = (["u", "i", "r"], ["1", "2", "3"]);
    let meant = shown(&told("r.csv", b"u,i,r\na,x,2\nb,y,3.5\n", uir, FileOptions::default()).unwrap());
    let gzip = {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packed, b"u,i,r\na,x,2\nb,y,3.5\n").unwrap();
        packed.finish().unwrap()
    };
    for (bytes, columns) in [
        (&gzip[..], uir),
        (b"a x 2\nb   y\t3.5\n", numbers),
        (b"sep=;\nu;i;r\na;x;2\nb;y;3.5\n", uir),
        (b"u,i,r\ra,x,2\rb,y,3.5\r", uir),
        (b",u,i,r\n0,a,x,2\n1,b,y,3.5\n", uir),
        (b"u,i,r,note\na,x,2,\"one\ntwo\"\nb,y,3.5,\n", uir),
        (b"u,i,r,note\na,x,2,\"a \\\"word\\\" or, two\"\nb,y,3.5,\"\"\n", uir),
    ] {
        let read = told("r.csv", bytes, columns, FileOptions::default());
        assert_eq!(read.as_ref().map(shown).as_deref(), Ok(&meant[..]), "{}", String::from_utf8_lossy(bytes));
    }
    // Between tabs a quote is a character.
    let lone =
        told("r.tsv", b"u\ti\tr\na\t\"odd\" al\t2\na\t\"open\t1\nb\t12\"\t3\n", uir, FileOptions::default())
            .unwrap();
    assert_eq!(lone.ratings.height(), 3);
    let latin_1 = told("r.csv", b"u;i;r\nJos\xe9;x;2\n", uir, FileOptions::default()).unwrap();
    assert!(shown(&latin_1).contains("José") && latin_1.notes[0].contains("read as Latin-1"));
    let typographic =
        told("r.csv", b"u;i;r\nJos\xe9\x92s;\x93x\x94;2\n", uir, FileOptions::default()).unwrap();
    assert!(shown(&typographic).contains("José’s") && shown(&typographic).contains("“x”"));
    let missing = FileOptions { missing: Some("0".to_owned()), ..FileOptions::default() };
    let rated = told("r.csv", b"u,i,r\na,x,0\na,y,2\nb,y,0.0\n", uir, missing).unwrap();
    assert_eq!(rated.ratings.height(), 1);
    let floats = told("r.csv", b"u,i,r\n1.0,7.0,2\n2.0,7.0,3\n", uir, FileOptions::default())
        .unwrap()
        .dataset()
        .unwrap();
    assert_eq!((floats.users.id(1), floats.items.id(0)), (Some(Id::Whole(2)), Some(Id::Whole(7))));
}

#[test]
fn what_is_ambiguous_or_of_another_kind_is_refused_by_name_with_the_way_out() {
    let (uir, numbers) = (["u", "i", "r"], ["1", "2", "3"]);
    for (bytes, columns, said) in [
        (
            &b"2,1,3\n5,6,4\n"[..],
            numbers,
            "r.csv line 1: '2', '1', '3' can be names of columns or a row; say which: --header",
        ),
        (b"u,i,r,r\n1,2,3,4\n", uir, "line 1: two columns are called 'r'"),
        (b"A,B,2.0\nA,C,3.0\n", uir, "if the first line is already a row, say --user 1 --item 2 --rating 3"),
        (b"u,i,r\n1,2,3\nNaN,2,4\n", uir, "line 3: u 'NaN' stands for a missing value"),
        (b"u,i,r\n1,2,3\nnull,2,4\n", uir, "line 3: u 'null' stands for a missing value"),
        (b"u,i,r\n1,\"a\nb\",3\n2,c,4\n", uir, "line 2: i 'a\\nb' continues on another line"),
        (b"u,i,r\n1,\"a,2\n2,b,3\n3,c\",4\n4,d,5\n", uir, "line 2: to line 4 is one row by its quotes"),
        (b"u;i;r\n1;2;2,5\n", uir, "line 2: r '2,5' is not a number: it has a decimal comma"),
        (b"u;i;r\n1;2;3\n;;\n", uir, "line 3: a row of empty fields; delete it"),
        // Also where the last field is not one that is read.
        (b"u,i,r,t\n1,2,3,4,5\n2,2,4\n", uir, "line 2: 5 of 4 fields: '1,2,3,4,5'"),
        (b"BZh91AY", uir, "r.csv: compressed by bzip2"),
        (b"\xfd7zXZ\0", uir, "r.csv: compressed by xz"),
        (b"{\"u\":1}\n", uir, "r.csv: JSON"),
        (b"1:\n5,3,2005-09-06\n", uir, "r.csv: a file of the Netflix prize"),
        (b"version https://git-lfs.github.com/spec/v1\n", uir, "git lfs pull"),
    ] {
        let why = told("r.csv", bytes, columns, FileOptions::default()).unwrap_err();
        assert!(why.contains(said), "{}: {why}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn times_are_read_as_numbers_or_dates_and_titles_from_any_table() {
    let times = [
        "982579348",
        "982579348.0",
        "2001-02-19 10:42:28",
        "2001-02-19T10:42:28Z",
        "2001-02-19 11:42:28.5+01:00",
    ];
    for time in times {
        let text = format!("u,i,r,t\n1,2,3,{time}\n");
        let ml = file("r.csv", text.as_bytes(), ["u", "i", "r"], Some("t")).unwrap();
        assert_eq!(ml.times(), Some(vec![982_579_348]), "{time}");
    }
    let titles = folder(&[("t.csv", b"ISBN;Book-Title\n7;Emma\n8;Dune\n")]);
    let with = |columns: (&str, &str)| FileOptions {
        titles: Some(titles.path().join("t.csv")),
        title_columns: Some((columns.0.to_owned(), columns.1.to_owned())),
        ..FileOptions::default()
    };
    let read = |ids: &str, columns| {
        told("r.csv", format!("u,i,r\n1,{ids},3\n").as_bytes(), ["u", "i", "r"], with(columns))
    };
    assert_eq!(read("7", ("ISBN", "Book-Title")).unwrap().titles().unwrap()["7"], "Emma");
    let none = read("9", ("ISBN", "Book-Title")).unwrap();
    assert!(
        none.movies.is_none() && none.notes[0].contains("none of the 2 titles belongs to a movie"),
        "{:?}",
        none.notes
    );
    assert!(read("7", ("isbn", "title")).unwrap_err().contains("--title-columns ID,TITLE"));
    // A backslash stands before a quote, as in Book-Crossing, and may end a field or a line.
    let titled = |rows: &str| {
        std::fs::write(titles.path().join("t.csv"), format!("\"ISBN\";\"Book-Title\";\"Year\"\n{rows}"))
            .unwrap();
        let books = read("7", ("ISBN", "Book-Title")).unwrap().titles().unwrap();
        (books["7"].clone(), books.get("8").cloned(), books.len())
    };
    for (rows, seventh, eighth, n) in [
        (
            r#""7";"The Real \"J. Peterman\"; Adventures";"1999"
"8";"C:\";"2000"
"#,
            r#"The Real "J. Peterman"; Adventures"#,
            Some(r"C:\"),
            2,
        ),
        (r#""7";"The \"Real\" X";"1999""#, r#"The "Real" X"#, None, 1),
        (
            r#""7";"\"Real\"; X";"C:\"
"8";"Y";"\""#,
            r#""Real"; X"#,
            Some("Y"),
            2,
        ),
        // In a field without quotes a backslash is a backslash.
        (
            r#"7;12\" and 7\" vinyl;"1999"
8;c;"D:\""#,
            r#"12\" and 7\" vinyl"#,
            Some("c"),
            2,
        ),
        // Another reading of the last fields would make one row of each two.
        (
            r#"7;"The \"Real\" X";"p"
8;"a; b";"C:\"
9;c;"D:\"
10;"d; e";"E:\"
11;f;"F:\"
"#,
            r#"The "Real" X"#,
            Some("a; b"),
            5,
        ),
    ] {
        assert_eq!(titled(rows), (seventh.to_owned(), eighth.map(str::to_owned), n), "{rows}");
    }
}

#[test]
fn text_is_cleaned_at_the_door() {
    let long = "x".repeat(80_000);
    let text = format!("u,i,r\n1,{long},3\n2,{long}y,4\n3,a\u{7}b,5\n");
    let cf = file("r.csv", text.as_bytes(), ["u", "i", "r"], None).unwrap().dataset().unwrap();
    let names: Vec<String> = cf.items.ids().map(|id| id.to_string()).collect();
    assert_eq!(cf.items.len(), 3, "ids that differ stay different");
    assert!(names.iter().all(|name| name.chars().count() < 220 && !name.contains('\u{7}')), "{names:?}");
}

#[test]
fn ids_of_text_keep_their_order_and_every_character() {
    let text = b"u,i,r\nzoe,7,1\nann,007,2\nzoe,+7,3\n\xc3\x84nne,7,4\n";
    let cf = file("r.csv", text, ["u", "i", "r"], None).unwrap().dataset().unwrap();
    let names = |ids: &Ids| (0..ids.len()).map(|index| ids.name(index)).collect::<Vec<_>>();
    assert_eq!(names(&cf.users), ["zoe", "ann", "Änne"]);
    assert_eq!(names(&cf.items), ["7", "007", "+7"], "three ids, not one");
    assert_eq!((cf.user_idx, cf.item_idx), (vec![0, 1, 0, 2], vec![0, 1, 2, 0]));
    assert_eq!(
        (cf.users.find("ann"), cf.users.find(" ann "), cf.users.find("Ann")),
        (Some(1), Some(1), None)
    );
    assert_eq!(cf.users.id(2), Some(Id::Text("Änne".to_owned())));
}

#[test]
fn ids_beyond_64_bits_turn_a_column_into_text_without_changing_the_others() {
    let text = b"u,i,r\n12,1,1\n99999999999999999999,1,2\n12,2,3\n-3,2,3\n";
    let cf = file("r.csv", text, ["u", "i", "r"], None).unwrap().dataset().unwrap();
    assert_eq!(
        cf.users.ids().map(|id| id.to_string()).collect::<Vec<_>>(),
        ["12", "99999999999999999999", "-3"]
    );
    assert_eq!(cf.items.id(0), Some(Id::Whole(1)));
}

/// Six ratings of user 0 and four of user 1, not in order of time.
fn ten() -> (CollabFilterDataset, Vec<i64>) {
    let (user_idx, item_idx) = (vec![0, 1, 0, 0, 1, 0, 0, 1, 0, 1], vec![0, 0, 1, 2, 1, 3, 4, 2, 5, 3]);
    let y = (0..10).map(|i| i as f32).collect();
    let cf = CollabFilterDataset {
        users: Ids::new(0..2),
        items: Ids::new(0..6),
        user_idx,
        item_idx,
        y,
        scale: None,
    };
    (cf, vec![50, 10, 90, 20, 80, 60, 30, 40, 70, 99])
}

#[test]
fn a_split_by_time_holds_out_the_last_fifth() {
    let (cf, times) = ten();
    let mut rows = SplitBy::Time.val_idxs(&cf, Some(&times)).unwrap();
    rows.sort_unstable();
    assert_eq!(rows, [2, 9], "times 90 and 99");
    let same = vec![5; 10];
    assert_eq!(SplitBy::Time.val_idxs(&cf, Some(&same)).unwrap(), [8, 9], "equal times are in file order");
    assert!(SplitBy::Time.val_idxs(&cf, None).unwrap_err().to_string().contains("timestamp"));
}

#[test]
fn a_split_by_user_holds_out_a_fifth_of_each_users_ratings_the_last_if_there_are_times() {
    let (cf, times) = ten();
    let by_user = |seed, times| SplitBy::User { seed }.val_idxs(&cf, times).unwrap();
    assert_eq!(by_user(42, Some(&times[..])), [2], "of six ratings one, the last; of four none");
    let drawn: Vec<Vec<usize>> = (0..20).map(|seed| by_user(seed, None)).collect();
    assert!(drawn.iter().all(|rows| rows.len() == 1 && cf.user_idx[rows[0]] == 0), "{drawn:?}");
    assert!(drawn.iter().any(|rows| *rows != drawn[0]), "the seed matters");
    assert_eq!(by_user(3, None), by_user(3, None));
}

#[test]
fn a_random_split_is_the_lectures_and_has_its_seed() {
    let (cf, _) = ten();
    let rows = |seed| SplitBy::Random { seed }.val_idxs(&cf, None).unwrap();
    // numpy.random.seed(42); numpy.random.permutation(10)[:2]
    assert_eq!(rows(LECTURE_SEED), [8, 1]);
    assert_ne!(rows(LECTURE_SEED), rows(LECTURE_SEED + 1));
}

/// Runs a command with `--out` in the folder, expects success, and returns its output.
fn run(data: &Path, arguments: &[&str]) -> String {
    let out = data.join("out");
    let mut command = crate::prepared::program();
    let output = command.args(arguments).args(["--dpi", "30", "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metrics(data: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(data.join("out/metrics.json")).unwrap()).unwrap()
}

/// Readers and books, with an id that a spreadsheet would read as a wildcard, two ids that differ only in case,
/// and a pair that is rated twice.
fn books() -> String {
    let books = ["Emma", "emma", "Who?", "Dune, or \"Arrakis\"", "1984"];
    let mut text = String::from("reader;book;stars\n");
    for reader in 0..7 {
        for (at, book) in books.iter().enumerate().filter(|(at, _)| (reader + at) % 3 != 0) {
            let book = format!("\"{}\"", book.replace('"', "\"\""));
            text += &format!("r-{reader};{book};{}\n", (reader * 3 + at * 5) % 10 + 1);
        }
    }
    text + "r-1;Emma;1\nr-1;Emma;10\n"
}

#[test]
fn every_section_runs_on_ratings_with_ids_of_text_and_neither_times_nor_titles() {
    let data = folder(&[("books.csv", books().as_bytes())]);
    let file = data.path().join("books.csv");
    let path = file.to_str().unwrap();
    let columns = ["--ratings", path, "--user", "reader", "--item", "book", "--rating", "stars"];
    let text = run(data.path(), &[&["run"], &columns[..]].concat());
    assert!(text.contains("2 of them rate a movie that the user had already rated"), "{text}");
    assert!(text.contains("the lecture's numbers are left out"));
    let metrics = metrics(data.path());
    assert_eq!(metrics["data"]["n_users"], 7);
    assert_eq!(metrics["data"]["n_movies"], 5);
    for fit in metrics["fits"].as_array().unwrap() {
        assert!(fit["epochs"].as_array().unwrap().iter().all(|e| e["lecture_val"].is_null()));
    }
    let crosstab = std::fs::read_to_string(data.path().join("out/excel/crosstab.csv")).unwrap();
    let ratings: Vec<f64> = crosstab
        .lines()
        .filter(|l| l.starts_with("\"r-1\","))
        .flat_map(|l| l.split(',').filter_map(|f| f.parse().ok()))
        .collect();
    assert!(ratings.contains(&5.0), "the mean of 4, 1 and 10: {crosstab}");
    for file in ["excel/collab_filter.xlsx", "lecture.html", "models/embedding_net.safetensors"] {
        assert!(data.path().join("out").join(file).exists(), "{file}");
    }
}

#[test]
fn every_model_fits_any_split_of_any_data_within_its_stated_range() {
    let data = folder(&[("books.csv", books().as_bytes())]);
    let file = data.path().join("books.csv");
    let path = file.to_str().unwrap();
    let columns = ["--ratings", path, "--user", "reader", "--item", "book", "--rating", "stars"];
    for (model, more) in [
        ("dot", ["--split", "random", "--split-seed", "7"]),
        ("net", ["--split", "random", "--rating-range", "0:20"]),
        ("learner", ["--rating-range", "-5:11", "--split-seed", "1"]),
    ] {
        run(data.path(), &[&["fit", "--model", model], &columns[..], &more[..]].concat());
        assert_eq!(metrics(data.path())["fits"][0]["name"], model);
    }
    let text = run(
        data.path(),
        &[&["run", "embedding_dot_bias", "--fresh"], &columns[..], &["--rating-range", "0:20"]].concat(),
    );
    assert!(text.contains("(0.0, 20.0)"), "the model is squashed to the range that was stated: {text}");
}

#[test]
fn ratings_that_are_all_the_same_run_once_their_range_is_stated() {
    let rows: String = (0..30).map(|row| format!("{},{},3\n", row % 5, row % 6)).collect();
    let data = folder(&[("ratings.csv", format!("userId,movieId,rating\n{rows}").as_bytes())]);
    let error = MovieLens::read(data.path()).unwrap().dataset().unwrap_err().to_string();
    assert!(error.contains("all 30 ratings are 3") && error.contains("--rating-range LOW:HIGH"), "{error}");
    let path = data.path().to_str().unwrap();
    run(data.path(), &["run", "--data", path, "--rating-range", "1:5"]);
    assert_eq!(metrics(data.path())["fits"].as_array().unwrap().len(), 4);
}

#[test]
fn one_user_or_one_movie_is_enough_for_every_section() {
    for (what, row) in [("user", "0,{},"), ("movie", "{},0,")] {
        let rows: String =
            (0..6).map(|at| format!("{}{}\n", row.replace("{}", &at.to_string()), 1 + at % 5)).collect();
        let data = folder(&[("ratings.csv", format!("userId,movieId,rating\n{rows}").as_bytes())]);
        run(data.path(), &["run", "--data", data.path().to_str().unwrap()]);
        assert_eq!(metrics(data.path())["fits"].as_array().unwrap().len(), 4, "one {what}");
    }
}

#[test]
fn the_lectures_numbers_are_left_out_for_another_split_or_range_of_its_data() {
    let data = tempfile::tempdir().unwrap();
    for (more, why) in [
        (["--split", "time"], "The split (time) is not the lecture's"),
        (["--split-seed", "1"], "The split (random, seed 1) is not the lecture's"),
        (["--rating-range", "0:5"], "The range of the ratings, 0 to 5, is not the lecture's"),
    ] {
        let few = ["fit", "--model", "bias", "--schedule", "0.1x1", "--batch-size", "4096"];
        let text = run(data.path(), &[&few[..], &more[..]].concat());
        assert!(text.contains(why), "{text}");
    }
}
