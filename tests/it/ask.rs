//! The commands that query a saved model: similar, recommend, predict; and Python code that reads the same file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{lecture5, stderr, stdout};

/// A quickly trained model of the lecture's data, trained once for all tests.
fn model(kind: &'static str) -> PathBuf {
    static FOLDERS: OnceLock<TempDir> = OnceLock::new();
    let out = FOLDERS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["dot", "bias", "net"] {
            let out = folder.path().to_str().unwrap();
            let plan = ["--optimizer", "adam", "--schedule", "0.01x2", "--batch-size", "2048", "--dpi", "20"];
            let output = lecture5(&[&["fit", "--quiet", "--model", kind, "--out", out], &plan[..]].concat());
            assert!(output.status.success(), "{}", stderr(&output));
        }
        folder
    });
    out.path().join("models").join(format!("{kind}.safetensors"))
}

/// Queries the biased model, and expects an answer.
fn ask(arguments: &[&str]) -> String {
    let output = lecture5(&[arguments, &["--from", model("bias").to_str().unwrap()]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{arguments:?}");
    stdout(&output)
}

fn ask_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ask(&[arguments, &["--json"]].concat())).unwrap()
}

/// Makes a query that is refused; returns the message and the exit status.
fn refused(arguments: &[&str]) -> (String, Option<i32>) {
    let output = lecture5(arguments);
    assert_eq!(stdout(&output), "", "{arguments:?}");
    (stderr(&output), output.status.code())
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn similar_names_movies_by_falling_cosine_and_not_the_movie_itself() {
    let answer = ask_json(&["similar", "--movie", "toy story", "--top", "7"]);
    assert_eq!(
        (answer["movie"]["movie"].as_str(), answer["movie"]["title"].as_str()),
        (Some("1"), Some("Toy Story (1995)"))
    );
    let similar = answer["similar"].as_array().unwrap();
    let cosines: Vec<f64> = similar.iter().map(|s| s["cosine"].as_f64().unwrap()).collect();
    assert!(cosines.len() == 7 && cosines.is_sorted_by(|a, b| a >= b) && cosines[0] <= 1.0, "{cosines:?}");
    assert!(similar.iter().all(|s| s["movie"] != "1" && s["ratings"].as_u64().unwrap() >= 20));
    assert_eq!(ask(&["similar", "--movie", "1"]), ask(&["similar", "--movie", "TOY STORY (1995)"]));
    let people = ask_json(&["similar", "--user", "15"]);
    assert_eq!(people["similar"].as_array().unwrap().len(), 10);
    assert!(people["similar"].as_array().unwrap().iter().all(|s| s["user"] != "15"));
}

#[test]
fn recommend_leaves_out_what_the_user_has_rated_and_says_so() {
    let text = std::fs::read_to_string("data/ml-latest-small/ratings.csv").unwrap();
    let rated: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("15,")?.split(',').next()).collect();
    assert_eq!(rated.len(), 1700);
    let answer = ask_json(&["recommend", "--user", "15", "--top", "2000"]);
    let named = answer["recommendations"].as_array().unwrap();
    assert_eq!(named.len(), 2000);
    assert!(named.iter().all(|movie| !rated.contains(&movie["movie"].as_str().unwrap())));
    let stars: Vec<f64> = named.iter().map(|movie| movie["stars"].as_f64().unwrap()).collect();
    assert!(stars.is_sorted_by(|a, b| a >= b) && stars.iter().all(|s| (0.5..=5.0).contains(s)));
    assert_eq!(answer["left_out"]["rated"], 1700);
    assert!(ask(&["recommend", "--user", "15"]).contains("Left out: 1700 movies that user 15 has rated"));

    let first = named[0]["movie"].as_str().unwrap();
    let predicted = ask_json(&["predict", "--user", "15", "--movie", first]);
    assert_eq!((&predicted["stars"], &predicted["rated"]), (&named[0]["stars"], &Value::Null));
    assert!(ask(&["predict", "--user", "15", "--movie", "1"]).contains("the rating in the data is 2.0"));
}

#[test]
fn a_new_user_is_described_by_titles_or_by_ids() {
    let folder = tempfile::tempdir().unwrap();
    let by_title = file(
        &folder,
        "t.csv",
        "\u{feff}title,rating\r\ntoy story,5\r\n\"Matrix, The\",4.5\r\nPulp Fictoin,0.5\r\n",
    );
    let by_id = file(&folder, "i.csv", "rating,movieId,title\n5,1,x\n4.5,2571,y\n0.5,296,z\n");
    let named = |path: &str| ask_json(&["recommend", "--ratings", path])["recommendations"].clone();
    assert_eq!(named(&by_title), named(&by_id));
    let all = ask_json(&["recommend", "--ratings", &by_title, "--top", "9000"]);
    let rated = ["1", "2571", "296"].map(Value::from);
    assert!(all["recommendations"].as_array().unwrap().iter().all(|movie| !rated.contains(&movie["movie"])));

    let (likes, dislikes) =
        (file(&folder, "l.csv", "movieId,rating\n1,5\n"), file(&folder, "d.csv", "movieId,rating\n1,0.5\n"));
    let stars =
        |path: &str| ask_json(&["predict", "--ratings", path, "--movie", "3114"])["stars"].as_f64().unwrap();
    assert!(stars(&likes) > stars(&dislikes), "one rating is heard");
    assert_eq!(ask_json(&["similar", "--ratings", &likes])["similar"].as_array().unwrap().len(), 10);
}

#[test]
fn what_cannot_be_answered_says_why_and_what_else_could_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let bias = model("bias");
    let from = ["--from", bias.to_str().unwrap()];
    let ratings = |text: &str| file(&folder, "my.csv", text);
    for (arguments, status, said) in [
        (vec!["similar", "--movie", "star wars"], 2, "fits 8 movies"),
        (vec!["similar", "--movie", "star wars"], 2, "  260  Star Wars: Episode IV - A New Hope (1977)"),
        (vec!["similar", "--movie", "Toy Story (1996)"], 2, "     1  Toy Story (1995)"),
        (
            vec!["predict", "--user", "15", "--movie", "qqqqqqqqqqqq"],
            2,
            "is not a movie that the model knows",
        ),
        (
            vec!["recommend", "--user", "9999"],
            2,
            "not one of the 671 users that the model knows (1, 2, 3, 4, 5, …)",
        ),
        (vec!["recommend"], 2, "--user"),
        (vec!["recommend", "--user", "1", "--ratings", "x.csv"], 2, "cannot be used with"),
        (vec!["similar", "--user", "1", "--movie", "1"], 2, "cannot be used with"),
        (vec!["similar", "--user", "1", "--top", "0"], 2, "--top"),
        (vec!["similar", "--user", "1", "--min-ratings", "5000"], 1, "lower --min-ratings"),
        (vec!["recommend", "--ratings", "no.csv"], 1, "no.csv: cannot be read"),
    ] {
        let (message, code) = refused(&[&arguments[..], &from].concat());
        assert!(message.contains(said) && code == Some(status), "{arguments:?} {code:?}: {message}");
    }
    for (text, said) in [
        ("", "an empty file"),
        (
            "song,grade\nHeat,4\n",
            "expected the columns title (or movieId) and rating; it has 'song', 'grade'; --item",
        ),
        ("title,rating\n", "a header and no rows"),
        ("title,rating\nHeat,four\n", "line 2: rating 'four' is not a number"),
        ("title,rating\nHeat,NaN\n", "line 2: rating 'NaN' is not a finite number"),
        (
            "title,rating\nHeat,4\nToy Story,6\n",
            "line 3: rating '6' is outside the range 0.5 to 5; --rating-range states another",
        ),
        ("title,rating\nHeat,4\nheat (1995),5\n", "line 3: Heat (1995) is rated a second time"),
        ("title,rating\nSabrina,4\n", "line 2: 'Sabrina' fits 2 movies; give one's id, its year"),
        ("title,rating\nMatrix, The,4\n", "line 2: 3 of 2 fields: 'Matrix, The,4'"),
        ("movieId,rating\n1,4\nx,4\n", "line 3: 'x' is not a movie that the model knows"),
    ] {
        let (message, code) = refused(&[&["recommend", "--ratings", &ratings(text)], &from[..]].concat());
        assert!(message.contains(said) && code.is_some_and(|code| code > 0), "{text:?} {code:?}: {message}");
    }
    let (message, code) = refused(&["recommend", "--user", "1", "--from", "no/collab_learner.safetensors"]);
    assert!(message.contains("`lecture5 run collab_filter` makes it") && code == Some(1), "{message}");
    let foreign = file(&folder, "foreign.safetensors", "not a model");
    let (message, code) = refused(&["recommend", "--user", "1", "--from", &foreign]);
    assert!(message.contains("text; only models that this program has saved are opened"), "{message}");
    assert_eq!(code, Some(1));
}

#[test]
fn lists_of_other_programs_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let stars = |text: &[u8], more: &[&str]| {
        let path = folder.path().join("list");
        std::fs::write(&path, text).unwrap();
        let from = model("bias");
        let output = lecture5(
            &[
                &[
                    "predict",
                    "--movie",
                    "3114",
                    "--json",
                    "--ratings",
                    path.to_str().unwrap(),
                    "--from",
                    from.to_str().unwrap(),
                ],
                more,
            ]
            .concat(),
        );
        assert!(output.status.success(), "{}: {}", String::from_utf8_lossy(text), stderr(&output));
        (serde_json::from_str::<Value>(&stdout(&output)).unwrap()["stars"].as_f64().unwrap(), stderr(&output))
    };
    let (meant, _) = stars(b"title,rating\nSabrina (1995),4.5\nHeat,5\n", &[]);
    for text in [
        "Date,Name,Year,Letterboxd URI,Rating\n2023-01-02,Sabrina,1995,https://example.org/a,4.5\n2023-01-03,Heat,1995,b,5\n",
        "Title;YEAR;Stars\nSabrina;1995.0;4.5\nHeat;1996;5\n",
        "movie\trating\nSabrina (1995)\t4.5\nHeat\t5\n",
        "Name,Rating,Review\nSabrina (1995),4.5,\"Well,\nwell, well\"\nHeat,5,\n",
        "sep=\t\nmovie\trating\nSabrina (1995)\t4.5\nHeat\t5\n",
        "movieId,rating\n7.0,4.5\n6.0,5\n",
        "movie_id,title,Rating\n7,Sabrina (1995),4.5\n6,Heat,5\n",
    ] {
        assert_eq!(stars(text.as_bytes(), &[]).0, meant, "{text}");
    }
    let imdb = b"Const,Your Rating,Title,IMDb Rating,Year\ntt1,9,Sabrina,6.3,1995\ntt2,10,Heat,8.3,1995\n";
    let (stars_of_ten, note) = stars(imdb, &[]);
    assert_eq!(stars_of_ten, meant);
    assert!(note.contains("ratings from 1 to 10 are mapped to the model's 0.5 to 5"), "{note}");
    let older = b"const,You rated,Title,IMDb Rating,Year\ntt1,9,Sabrina,6.3,1995\ntt2,10,Heat,8.3,1995\n";
    assert_eq!(stars(older, &[]).0, meant);
    let (_, note) = stars(b"movie_id,title,rating\n7,Sabrina (1995),4.5\n6,Heat,5\n", &[]);
    assert!(note.contains("identified by 'movie_id' (MovieLens' ids); --item 'title'"), "{note}");
    let percent = b"what,points\nSabrina (1995),0\nHeat,99\n";
    let columns = ["--item", "what", "--rating", "points", "--rating-range", "0:100", "--missing", "99"];
    assert_eq!(stars(percent, &columns).0, stars(b"title,rating\nSabrina (1995),0.5\n", &[]).0);
}

#[test]
fn unknown_movies_are_listed_together_and_can_be_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let list = file(&folder, "l.csv", "title,rating\nToy Story,5\nPapicha,4\nSabrina,4\nqqqqqqqqqqqq,3\n");
    let bias = model("bias");
    let from = ["--from", bias.to_str().unwrap()];
    let (message, code) = refused(&[&["recommend", "--ratings", &list][..], &from].concat());
    for said in [
        "3 of 4 movies",
        "line 3: 'Papicha'",
        "line 4: 'Sabrina' fits 2",
        "line 5: 'qqqqqqqqqqqq'",
        "--skip-unknown",
    ] {
        assert!(message.contains(said), "{said}: {message}");
    }
    assert_eq!(code, Some(2));
    let output =
        lecture5(&[&["recommend", "--skip-unknown", "--json", "--ratings", &list][..], &from].concat());
    assert!(stderr(&output).starts_with("note: 3 of 4 movies"), "{}", stderr(&output));
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["left_out"]["rated"], 1);
}

#[test]
fn a_list_that_could_mean_two_things_or_is_no_list_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let bias = model("bias");
    let many = "title,rating\n".to_owned() + &"qqqqqqqqqqqq,3\n".repeat(10_001);
    for (text, said) in [
        (
            "title,Rating,rating\nHeat,1,5\n",
            "both 'Rating' and 'rating' could be the ratings; --rating names one",
        ),
        ("Toy Story,5\nHeat,4\n", "or count them if the first line is a row: --item 1 --rating 2"),
        ("title,rating\nHeat,5\nToy Story,\n", "line 3: no rating; --missing '' leaves out rows without one"),
        ("title,rating\nHeat,5\nHeat (1995),4\n", "is rated a second time; keep one of the two rows"),
        (&many, "10001 rows, but one user's ratings are at most 10000"),
    ] {
        let list = file(&folder, "l.csv", text);
        let (message, code) = refused(&["recommend", "--ratings", &list, "--from", bias.to_str().unwrap()]);
        assert!(message.contains(said) && code == Some(1), "{said}: {message}");
    }
}

#[test]
fn a_user_whom_training_has_not_seen_is_noted_and_answered_from_the_ratings_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "userId,movieId,rating,timestamp\n".to_owned();
    for (user, times) in [(1, 10), (2, 20), (3, 30), (4, 40), (99, 900)] {
        (0..5).for_each(|movie| {
            text += &format!("{user},{movie},{},{}\n", 1 + (user + movie) % 5, times + movie)
        });
    }
    let (ratings, out) = (file(&folder, "r.csv", &text), folder.path().join("out"));
    let fit = [
        "fit",
        "--quiet",
        "--model",
        "learner",
        "--dpi",
        "20",
        "--timestamp",
        "timestamp",
        "--split",
        "time",
    ];
    let output = lecture5(&[&fit[..], &["--ratings", &ratings, "--out", out.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let from = out.join("models/learner.safetensors");
    let predict = |user: &str, more: &[&str]| {
        stdout(&lecture5(
            &[&["predict", "--movie", "3", "--user", user, "--from", from.to_str().unwrap()], more].concat(),
        ))
    };
    assert!(
        predict("99", &[]).contains("No rating of user 99 was trained on: the answer is computed from the 5")
    );
    assert!(!predict("1", &[]).contains("No rating of user"));
    assert_eq!(serde_json::from_str::<Value>(&predict("99", &["--json"])).unwrap()["trained_on"], 0);
}

#[test]
fn files_that_are_not_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, said) in [
        ("PK\u{3}\u{4}archive/data.pkl", "a PyTorch archive"),
        ("version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("<!DOCTYPE html><html></html>", "a page of HTML and not the file; only models"),
        ("{\"a\": [1, 2, 3]}", "JSON; only models"),
        ("GGUF\u{3}\0\0\0\u{1}\0\0\0", "a GGUF model; only models"),
        ("userId,movieId\n1,2\n", "text; only models"),
        ("", "an empty file; only models"),
    ] {
        let path = file(&folder, "model", bytes);
        let (message, code) = refused(&["predict", "--user", "1", "--movie", "3", "--from", &path]);
        assert!(message.contains(said) && code == Some(1), "{message}");
    }
}

#[test]
fn without_titles_ids_answer_and_other_data_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("data/ml-latest-small/ratings.csv", folder.path().join("ratings.csv")).unwrap();
    let data = ["--data", folder.path().to_str().unwrap()];
    let answer = ask_json(&[&["similar", "--movie", "1"], &data[..]].concat());
    assert_eq!(answer["movie"]["title"], Value::Null);
    assert!(ask(&[&["similar", "--movie", "1"], &data[..]].concat()).contains("Movies similar to movie 1"));
    let bias = model("bias");
    let from = ["--from", bias.to_str().unwrap()];
    let (message, _) = refused(&[&["similar", "--movie", "Toy Story"], &data[..], &from].concat());
    assert!(message.contains("has no titles"), "{message}");

    file(&folder, "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,0\n1,2,3.0,0\n");
    let output = lecture5(&[&["recommend", "--user", "1"], &data[..], &from].concat());
    assert!(output.status.success() && stderr(&output).contains("was trained on other ratings"));
    assert!(stdout(&output).contains("Left out: 2 movies"));
}

#[test]
fn python_reads_the_file_and_predicts_the_same() {
    let python = std::env::var_os("LECTURE5_PYTHON").unwrap_or_else(|| "python3".into());
    if !Command::new(&python)
        .args(["-c", "import torch, safetensors"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        println!("skipped: python3 has not both torch and safetensors (set LECTURE5_PYTHON)");
        return;
    }
    let page = std::fs::read_to_string("docs/model-files.md").unwrap();
    let snippets: Vec<&str> =
        page.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(snippets[0].lines().count() <= 10, "the page promises ten lines");
    for (kind, snippet) in [("bias", snippets[0]), ("net", snippets[1])] {
        let path = model(kind);
        let path = path.to_str().unwrap();
        for (user, movie) in [("15", "1"), ("671", "6565"), ("1", "31")] {
            let theirs = Command::new(&python).args(["-c", snippet, path, user, movie]).output().unwrap();
            assert!(theirs.status.success(), "{}", stderr(&theirs));
            let theirs: f64 = stdout(&theirs).trim().parse().unwrap();
            let ours = lecture5(&["predict", "--user", user, "--movie", movie, "--from", path, "--json"]);
            let ours: Value = serde_json::from_slice(&ours.stdout).unwrap();
            assert!(
                (ours["stars"].as_f64().unwrap() - theirs).abs() < 1e-5,
                "{kind}: {ours} and Python's {theirs}"
            );
        }
    }
}

#[test]
fn every_kind_of_model_answers_every_question() {
    let folder = tempfile::tempdir().unwrap();
    let my = file(&folder, "my.csv", "title,rating\nHeat,5\nToy Story,1\n");
    for kind in ["dot", "net"] {
        let path = model(kind);
        let from = ["--json", "--from", path.to_str().unwrap()];
        for question in [
            vec!["similar", "--movie", "Heat"],
            vec!["similar", "--user", "2"],
            vec!["recommend", "--user", "2"],
            vec!["recommend", "--ratings", &my],
            vec!["predict", "--ratings", &my, "--movie", "Heat"],
        ] {
            let output = lecture5(&[&question[..], &from].concat());
            assert!(output.status.success(), "{kind} {question:?}: {}", stderr(&output));
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(Path::new(&path).exists() && answer.is_object());
        }
    }
}

#[test]
fn a_model_of_any_file_remembers_it_and_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "reader;book;stars\n".to_owned();
    for (at, reader) in ["ann", "bo", "cem", "dee", "eve"].into_iter().enumerate() {
        for (book, title) in ["Emma", "Dune", "Ulysses", "1984"].into_iter().enumerate() {
            if at != book {
                text += &format!("{reader};{title};{}\n", 1 + (at * 3 + book) % 5);
            }
        }
    }
    let books = file(&folder, "books.csv", &text);
    let out = folder.path().join("out");
    let fit =
        ["fit", "--quiet", "--model", "bias", "--schedule", "0.1x1", "--dpi", "20", "--ratings", &books];
    let columns = ["--user", "reader", "--item", "book", "--rating", "stars", "--out", out.to_str().unwrap()];
    let output = lecture5(&[&fit[..], &columns[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));

    let from = out.join("models/bias.safetensors");
    let from = ["--from", from.to_str().unwrap()];
    let recommend = ["recommend", "--user", "bo", "--min-ratings", "1", "--json"];
    let output = lecture5(&[&recommend[..], &from].concat());
    assert_eq!(stderr(&output), "");
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let books_of = |answer: &Value| -> Vec<String> {
        let found = answer["recommendations"].as_array().unwrap().iter();
        found.map(|r| r["movie"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(books_of(&answer), ["Dune"], "all others are rated by bo");
    let output = lecture5(&[&["predict", "--user", "bo", "--movie", "ulises", "--json"][..], &from].concat());
    assert!(stderr(&output).contains("Ulysses"), "{}", stderr(&output));
    let output = lecture5(&[&["predict", "--user", "bo", "--movie", "ulysses"][..], &from].concat());
    assert!(
        stdout(&output).starts_with("Ulysses: ")
            && stdout(&output).contains(" stars from user bo; the rating in the data is 1.0"),
        "{}",
        stdout(&output)
    );

    // The file has moved: the error names the way out, which works with the columns stored in the model.
    let moved = folder.path().join("moved.csv");
    std::fs::rename(&books, &moved).unwrap();
    let output = lecture5(&[&recommend[..], &from].concat());
    let message = stderr(&output);
    assert!(
        message.contains("books.csv") && message.contains("--data") && output.status.success(),
        "{message}"
    );
    assert_eq!(
        books_of(&serde_json::from_str(&stdout(&output)).unwrap()).len(),
        4,
        "nothing is known to be rated"
    );
    let output = lecture5(&[&recommend[..], &from, &["--data", moved.to_str().unwrap()]].concat());
    assert_eq!(stderr(&output), "");
    assert_eq!(books_of(&serde_json::from_str(&stdout(&output)).unwrap()), ["Dune"]);
}
