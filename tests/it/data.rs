//! The data, its split and its ids.

use std::path::{Path, PathBuf};

use lecture5::movielens::{
    CollabFilterDataset, Id, Ids, LECTURE_SHA256, MovieLens, Snapshot, Split, get_cv_idxs,
};
use sha2::{Digest, Sha256};

fn lectures() -> MovieLens {
    MovieLens::read(Path::new("data/ml-latest-small")).expect("the lecture's data is committed")
}

/// A folder whose ratings.csv contains this text.
fn folder(ratings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ratings.csv"), ratings).unwrap();
    folder
}

fn refusal(ratings: &str) -> String {
    let folder = folder(ratings);
    let error = format!("{:#}", MovieLens::read(folder.path()).expect_err("it should be refused"));
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn sha256(path: &str) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_committed_files_are_the_2016_snapshot_byte_for_byte() {
    assert_eq!(sha256("data/ml-latest-small/ratings.csv"), LECTURE_SHA256);
    assert_eq!(
        sha256("data/ml-latest-small/movies.csv"),
        "dd43da0fcff532dce64eb7823df3cdbe425a63e54cc0180a3a6cb01999ddb659"
    );
    let ml = lectures();
    assert_eq!((ml.snapshot, ml.sha256.as_str()), (Snapshot::Lecture2016, LECTURE_SHA256));
}

#[test]
fn the_heads_of_both_tables_are_those_that_the_lecture_prints() {
    let ml = lectures();
    let ratings = lecture5::run::lecture::head(&ml.ratings, 5).unwrap().to_text();
    assert_eq!(
        ratings,
        "   userId  movieId  rating   timestamp\n\
         0       1       31     2.5  1260759144\n\
         1       1     1029     3.0  1260759179\n\
         2       1     1061     3.0  1260759182\n\
         3       1     1129     2.0  1260759185\n\
         4       1     1172     4.0  1260759205\n"
    );
    let movies = lecture5::run::lecture::head(ml.movies.as_ref().unwrap(), 5).unwrap();
    let titles: Vec<&str> = movies.rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(
        titles,
        [
            "Toy Story (1995)",
            "Jumanji (1995)",
            "Grumpier Old Men (1995)",
            "Waiting to Exhale (1995)",
            "Father of the Bride Part II (1995)"
        ]
    );
    assert_eq!(movies.rows[0][2], "Adventure|Animation|Children|Comedy|Fantasy");
}

#[test]
fn the_data_has_the_lectures_counts_and_range() {
    let ml = lectures();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    assert_eq!((cf.len(), cf.users.len(), cf.items.len()), (100_004, 671, 9_066));
    assert_eq!(cf.range(), (0.5, 5.0));
    assert_eq!(ml.titles().unwrap()["1"], "Toy Story (1995)");
    assert_eq!(ml.titles().unwrap().len(), 9_066 - 5, "five movies have no title in the package");
}

#[test]
fn the_split_is_numpys_own_permutation_with_seed_42() {
    let mut rows = get_cv_idxs(100_004, 0.2, 42);
    assert_eq!(rows[..10], [19090, 99678, 18455, 35755, 66536, 58156, 45934, 67241, 84837, 72699]);
    assert_eq!(rows.len(), 20_000);
    assert_eq!(rows.iter().sum::<usize>(), 994_752_395);
    rows.sort_unstable();
    assert_eq!(rows[..5], [8, 23, 39, 53, 70]);
    // numpy.random.seed(7); numpy.random.permutation(9)
    assert_eq!(get_cv_idxs(9, 1.0, 7), [2, 7, 0, 8, 5, 3, 6, 1, 4]);
}

#[test]
fn both_parts_of_the_split_keep_file_order_and_share_no_row() {
    let split = Split::new(8, &[5, 2, 7]);
    assert_eq!(split, Split { trn: vec![0, 1, 3, 4, 6], val: vec![2, 5, 7] });
}

#[test]
fn an_id_is_found_by_its_text_and_named_by_it() {
    let ids = Ids::new([31, 1029, 7]);
    assert_eq!(
        (ids.find("1029"), ids.find(" 7 "), ids.find("8"), ids.find("Toy Story")),
        (Some(1), Some(2), None, None)
    );
    assert_eq!((ids.name(0), ids.name(3)), ("31".to_owned(), String::new()));
}

#[test]
fn ids_become_contiguous_in_the_order_in_which_they_first_appear() {
    let ids = Ids::new([31, 1029, 31, 7, 1029]);
    assert_eq!(ids.ids().collect::<Vec<_>>(), [31, 1029, 7].map(Id::Whole));
    assert_eq!((ids.id(1), ids.id(3), ids.id(-1)), (Some(Id::Whole(1029)), None, None));
    let ml = lectures();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    assert_eq!(cf.items.find("1"), Some(417), "as the lecture's spreadsheet heads its column");
}

#[test]
fn windows_line_ends_are_the_same_data() {
    let text = std::fs::read_to_string("data/ml-latest-small/ratings.csv").unwrap().replace('\n', "\r\n");
    let folder = folder(&text);
    let ml = MovieLens::read(folder.path()).unwrap();
    assert_eq!(ml.snapshot, Snapshot::Lecture2016);
    assert!(ml.movies.is_none());
}

#[test]
fn other_data_is_named_as_such() {
    let folder = folder("userId,movieId,rating,timestamp\n1,31,2.5,1\n1,1029,3.0,2\n");
    let ml = MovieLens::read(folder.path()).unwrap();
    assert_eq!(ml.snapshot, Snapshot::Other);
    assert!(!ml.is_the_lectures());
}

#[test]
fn the_2018_snapshot_is_told_by_its_counts() {
    // 610 users and 100,836 ratings, as GroupLens' README of 2018 states them.
    for (users, snapshot) in [(610, Snapshot::Small2018), (609, Snapshot::Other)] {
        let mut text = String::from("userId,movieId,rating,timestamp\n");
        for row in 0..100_836 {
            text += &format!("{},{},{},0\n", row % users + 1, row % 9_724 + 1, 3 + row % 2);
        }
        let folder = folder(&text);
        let ml = MovieLens::read(folder.path()).unwrap();
        assert_eq!(ml.snapshot, snapshot);
        assert!(!ml.is_the_lectures());
    }
}

#[test]
fn a_field_that_cannot_be_read_is_named_with_its_line() {
    let head = "userId,movieId,rating,timestamp\n1,31,2.5,1\n";
    assert_eq!(refusal(&format!("{head}1,1029,abc,2\n")), "ratings.csv line 3: rating 'abc' is not a number");
    assert_eq!(refusal(&format!("{head}1,1029\n")), "ratings.csv line 3: 2 of 4 fields: '1,1029'");
    assert_eq!(refusal(&format!("{head}1,,3,2\n")), "ratings.csv line 3: no movieId");
    assert_eq!(
        refusal(&format!("{head}1,5,NaN,2\n")),
        "ratings.csv line 3: rating 'NaN' is not a finite number of single precision"
    );
}

#[test]
fn a_field_too_many_does_not_make_up_for_one_too_few_in_another_line() {
    let head = "userId,movieId,rating,timestamp\n1,31,2.5,1\n";
    assert_eq!(
        refusal(&format!("{head}1,1029,3,2,5\n1,5,3\n")),
        "ratings.csv line 3: 5 of 4 fields: '1,1029,3,2,5'"
    );
    assert_eq!(
        refusal(&format!("{head}1,5,3\n1,1029,3,2,5\n")),
        "ratings.csv line 3: 3 of 4 fields: '1,5,3'"
    );
}

#[test]
fn a_file_that_is_not_a_table_of_ratings_says_what_is_missing() {
    assert_eq!(
        refusal("userId,movieId,timestamp\n1,2,3\n"),
        "ratings.csv line 1: no column 'rating'; it has 'userId', 'movieId', 'timestamp'"
    );
    assert_eq!(refusal("userId,movieId,rating,timestamp\n"), "ratings.csv: a header and no rows");
    assert_eq!(refusal(""), "ratings.csv: an empty file");
    let nowhere = MovieLens::read(&PathBuf::from("no/such/folder")).unwrap_err().to_string();
    assert_eq!(nowhere, "no/such/folder: no such folder; --data takes the folder that holds ratings.csv");
}

#[test]
fn a_time_that_nobody_asked_for_stops_nothing() {
    let folder = folder("userId,movieId,rating,timestamp\n1,31,2.5,1\n2,1029,3,noon\n");
    let ml = MovieLens::read(folder.path()).unwrap();
    assert!(ml.times().is_none());
    let said = "line 3: timestamp 'noon' is neither a whole number nor a time as in 2001-02-28 10:42:28";
    assert!(ml.notes[0].contains(said), "{:?}", ml.notes);
}

#[test]
fn blank_lines_at_the_end_and_a_byte_order_mark_are_not_rows() {
    let plain = "userId,movieId,rating,timestamp\n1,31,2.5,1\n1,1029,3.0,2\n";
    for text in [format!("{plain}\n\n"), format!("\u{feff}{plain}"), plain.replace('\n', "\r\n") + "\r\n"] {
        let folder = folder(&text);
        let ml = MovieLens::read(folder.path()).unwrap_or_else(|error| panic!("{text:?}: {error:#}"));
        assert_eq!(ml.ratings.height(), 2, "{text:?}");
    }
    let bad = "\u{feff}userId,movieId,rating,timestamp\n1,31,abc,1\n";
    assert_eq!(refusal(bad), "ratings.csv line 2: rating 'abc' is not a number");
}

#[test]
fn a_rating_that_single_precision_cannot_hold_is_refused() {
    let text = "userId,movieId,rating,timestamp\n1,31,1e300,1\n";
    assert!(
        refusal(text).contains("line 2: rating '1e300'") || refusal(text).contains("line 2: rating '1000"),
        "{}",
        refusal(text)
    );
}
