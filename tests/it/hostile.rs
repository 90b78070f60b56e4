//! Files from other people: nothing is opened without being asked for, reading is bounded, and nothing in them reaches
//! a terminal or a spreadsheet as a command.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::common::{Place, Tensor, doctored, fails, lecture5, stderr, stdout, succeeds};

/// A model of few ratings, which were in the place.
static MODEL: LazyLock<(Place, PathBuf)> = LazyLock::new(|| {
    let place = Place::new();
    let fit = ["fit", "--model", "net", "--schedule", "0.01x1", "--factors", "4", "--dpi", "20"];
    succeeds(place.command(&fit, "out"));
    let model = place.path("out/models/net.safetensors");
    (place, model)
});

/// What a doctored model answers.
fn asked(
    name: &str,
    card: impl FnOnce(&mut Value),
    tensors: impl FnOnce(&mut Vec<(String, Tensor)>),
    question: &[&str],
) -> std::process::Output {
    let (place, model) = &*MODEL;
    let path = place.path(name);
    let without_seal = |about: &mut Value| {
        about.as_object_mut().unwrap().remove("seal");
        card(about);
    };
    std::fs::write(&path, doctored(model, without_seal, tensors)).unwrap();
    lecture5(&[question, &["--from", path.to_str().unwrap()]].concat())
}

const SIMILAR: [&str; 5] = ["similar", "--movie", "31", "--min-ratings", "0"];

#[test]
fn what_a_model_names_as_its_ratings_is_opened_only_if_it_is_these() {
    let (place, _) = &*MODEL;
    let fifo = place.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let folder = place.path("with-fifo");
    std::fs::create_dir(&folder).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("ratings.csv")).status().unwrap().success());
    let columns = json!({"user": "1", "item": "2", "rating": "3", "timestamp": null});
    let file = |path: &Path, titles: Option<&str>| {
        let told = json!({
            "dialect": {"separator": ":", "header": false, "quote": "Literal"},
            "missing": null, "titles": titles, "title_columns": ["1", "5"],
        });
        json!({"file": {"path": path, "columns": columns, "told": told}})
    };
    let ratings = place.path("data/ratings.csv");
    for (at, source) in [
        file(Path::new("/dev/zero"), None),
        file(&fifo, None),
        file(Path::new("/etc/passwd"), None),
        file(&ratings, Some("/dev/zero")),
        file(&ratings, Some("/etc/passwd")),
        json!({"folder": folder}),
    ]
    .into_iter()
    .enumerate()
    {
        let output = asked(
            &format!("source{at}.safetensors"),
            |card| card["source"] = source.clone(),
            |_| {},
            &SIMILAR,
        );
        let said = stderr(&output);
        assert!(output.status.success(), "{source}: {said}");
        assert!(stdout(&output).contains("Movies similar to movie 31"), "{source}");
        assert!(
            said.contains("titles and earlier ratings are not known") && said.lines().count() == 1,
            "{said}"
        );
        assert!(!said.contains("root:") && !stdout(&output).contains("root"), "{source}: {said}");
    }
}

#[test]
fn models_that_describe_nothing_or_do_not_answer_with_a_number_are_refused() {
    let user = ["predict", "--user", "1", "--movie", "31"];
    let none = |card: &mut Value| {
        card["users"] = json!([]);
        card["user_ratings"] = json!([]);
    };
    let no_rows = |tensors: &mut Vec<(String, Tensor)>| {
        let u = &mut tensors.iter_mut().find(|(name, _)| name == "u.weight").unwrap().1;
        (u.shape[0], u.data) = (0, Vec::new());
    };
    fails(&asked("none.safetensors", none, no_rows, &user), 1, "it names 0 users and ");
    let narrow = |card: &mut Value| card["settings"]["hidden"] = json!([0]);
    let no_layer = |tensors: &mut Vec<(String, Tensor)>| {
        for (name, shape) in
            [("lin1.weight", vec![0, 8]), ("lin1.bias", vec![0]), ("lin2.weight", vec![1, 0])]
        {
            let t = &mut tensors.iter_mut().find(|(other, _)| other == name).unwrap().1;
            (t.shape, t.data) = (shape, Vec::new());
        }
    };
    fails(&asked("narrow.safetensors", narrow, no_layer, &user), 1, "vectors or layers of length 0");
    let huge = |tensors: &mut Vec<(String, Tensor)>| {
        for (_, t) in tensors.iter_mut().filter(|(name, _)| name.ends_with(".weight")) {
            t.dtype = safetensors::Dtype::F64;
            t.data = 1e300_f64.to_le_bytes().repeat(t.shape.iter().product());
        }
    };
    fails(&asked("huge.safetensors", |_| {}, huge, &user), 1, "has values that are not finite");
    let (place, _) = &*MODEL;
    let mine = place.path("my.csv");
    std::fs::write(&mine, "movieId,rating\n31,4\n").unwrap();
    let recommend = ["recommend", "--ratings", mine.to_str().unwrap()];
    let decay = |card: &mut Value| card["settings"]["wd"] = json!(1e300);
    fails(&asked("decay.safetensors", decay, |_| {}, &recommend), 1, "a weight decay of ");
    let range = |card: &mut Value| card["range"] = json!([0.0, 1e300]);
    fails(&asked("range.safetensors", range, |_| {}, &recommend), 1, "ratings from 0.0 to 1e300");
    let point = |card: &mut Value| card["range"] = json!([5.0, 5.0]);
    fails(&asked("point.safetensors", point, |_| {}, &recommend), 1, "ratings from 5.0 to 5.0");
    let twins =
        |card: &mut Value| card["movies"] = json!(vec!["31"; card["movies"].as_array().unwrap().len()]);
    fails(&asked("twins.safetensors", twins, |_| {}, &user), 1, "two of its movies have the same id");
}

#[test]
fn devices_pipes_and_gigantic_files_are_refused_before_they_are_read() {
    let (place, _) = &*MODEL;
    let gigantic = place.path("gigantic");
    std::fs::File::create(&gigantic).unwrap().set_len(5 << 30).unwrap();
    let fifo = place.path("another-fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (gigantic, fifo) = (gigantic.to_str().unwrap(), fifo.to_str().unwrap());
    let no_file = "a device, a pipe or a socket, where a file is expected";
    for (from, said) in [
        (gigantic, "not a safetensors file; only models that this program has saved"),
        (fifo, no_file),
        ("/dev/zero", no_file),
    ] {
        fails(&lecture5(&[&SIMILAR[..], &["--from", from]].concat()), 1, said);
    }
    for (from, said) in [(gigantic, "longer than 256 MiB"), (fifo, no_file), ("/dev/zero", no_file)] {
        let out = place.path("verified");
        fails(&lecture5(&["verify", "--from", from, "--out", out.to_str().unwrap()]), 1, said);
    }
    #[cfg(target_os = "linux")]
    for file in ["/proc/kmsg", "/proc/self/pagemap"] {
        let out = place.path("kernel");
        let made_up = "a file that the kernel makes up, where one with data is expected";
        let read = ["fit", "--model", "dot", "--ratings", file, "--out", out.to_str().unwrap()];
        fails(&lecture5(&read), 1, made_up);
        fails(&lecture5(&[&SIMILAR[..], &["--from", file]].concat()), 1, made_up);
    }
    let zeros =
        ["fit", "--model", "dot", "--ratings", "/dev/zero", "--out", place.path("zeros").to_str().unwrap()]
            .map(str::to_owned);
    fails(&lecture5(&zeros), 1, "/dev/zero: a device, where a file is expected");
}

#[test]
fn no_escape_sequence_and_no_formula_gets_out() {
    let place = Place::new();
    let movies = "movieId,title,genres\n31,\u{1b}[31mRed\u{7}\u{9b}2J,Drama\n1029,=1+1,Drama\n";
    std::fs::write(place.path("data/movies.csv"), movies).unwrap();
    let ratings =
        place.read("data/ratings.csv").replace("\n1,", "\n=cmd|x,").replace("\n2,", "\n\u{1b}]0;two\u{7},");
    std::fs::write(place.path("data/ratings.csv"), ratings).unwrap();
    let raw = |bytes: &[u8]| {
        bytes.iter().any(|byte| matches!(byte, 0x1b | 0x07)) || bytes.windows(2).any(|w| w == [0xc2, 0x9b])
    };
    let output = succeeds(place.command(&["run", "movielens", "excel_subset", "--dpi", "20"], "out"));
    assert!(!raw(&output.stdout) && !raw(&output.stderr));
    let crosstab = place.read("out/excel/crosstab.csv");
    assert!(crosstab.contains("\n\"'=cmd|x\",") && !raw(crosstab.as_bytes()), "{crosstab}");

    // What the command line names.
    for arguments in
        [vec!["run", "--data", "\u{1b}[31mnone"], vec!["similar", "--movie", "1", "--from", "\u{1b}[31mnone"]]
    {
        let output = lecture5(&arguments);
        assert!(stderr(&output).contains("\u{fffd}[31mnone") && !raw(&output.stderr), "{}", stderr(&output));
    }
    // What a model holds.
    let ids = |card: &mut Value| card["movies"][0] = json!("\u{1b}[31mRed");
    let output = asked("ids.safetensors", ids, |_| {}, &["recommend", "--user", "1", "--top", "2000"]);
    assert!(output.status.success() && !raw(&output.stdout) && !raw(&output.stderr), "{}", stderr(&output));
}

#[test]
fn a_very_long_title_is_answered_like_any_other_that_is_unknown() {
    let (place, model) = &*MODEL;
    std::fs::copy("data/ml-latest-small/movies.csv", place.path("movies.csv")).unwrap();
    std::fs::copy(place.path("data/ratings.csv"), place.path("ratings.csv")).unwrap();
    let long = "a title of many words ".repeat(5000);
    let data = place.path("ratings.csv");
    let data = data.parent().unwrap().to_str().unwrap();
    let output = lecture5(&["similar", "--movie", &long, "--from", model.to_str().unwrap(), "--data", data]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("is not a movie that the model knows") && said.len() < 1000,
        "{} bytes",
        said.len()
    );
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let place = Place::new();
    let mut cat =
        Command::new("cat").arg(place.path("data/ratings.csv")).stdout(Stdio::piped()).spawn().unwrap();
    let mut run = crate::prepared::program();
    run.args(["run", "dot_product", "--ratings", "/dev/stdin", "--out"]).arg(place.path("out"));
    let output = run.stdin(cat.stdout.take().unwrap()).output().unwrap();
    cat.wait().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
