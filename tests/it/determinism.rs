//! The same seed gives the same bytes; the number of threads changes little besides the time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;

use serde_json::Value;

use crate::common::Place;

/// Starts a run into `out`. Waiting threads sleep; if they spun, they would slow the other run.
fn start(arguments: &[&str], out: &Path) -> Child {
    crate::common::program()
        .args(arguments)
        .args(["--device", "cpu", "--quiet", "--out"])
        .arg(out)
        .env("OMP_WAIT_POLICY", "passive")
        .spawn()
        .expect("the program starts")
}

/// Runs both at the same time, each into its own folder.
fn run_both(first: &[&str], second: &[&str]) -> [tempfile::TempDir; 2] {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let runs = [start(first, folders[0].path()), start(second, folders[1].path())];
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    folders
}

/// Every file under `folder`, by path; metrics.json without the times.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let mut bytes = std::fs::read(&path).unwrap();
            if name == "metrics.json" {
                let mut metrics: Value = serde_json::from_slice(&bytes).unwrap();
                without_times(&mut metrics);
                bytes = metrics.to_string().into_bytes();
            }
            found.insert(name, bytes);
        }
    }
    found
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "seconds");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

fn same_files(arguments: &[&str], kinds: &[&str]) {
    let [first, second] = run_both(arguments, arguments);
    let (first, second) = (files(first.path()), files(second.path()));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{arguments:?} twice: {name} differs");
    }
    for kind in kinds {
        assert!(first.keys().any(|name| name.ends_with(kind)), "{arguments:?} wrote no {kind}");
    }
}

#[test]
fn the_same_run_twice_writes_the_same_bytes_in_every_file() {
    // Sections that together write every kind of file.
    let place = Place::with(20_000);
    let data = place.path("data");
    // Titles go through a hash table, whose order must not show.
    std::fs::copy("data/ml-latest-small/movies.csv", data.join("movies.csv")).unwrap();
    let sections = ["run", "excel_subset", "embedding_dot_bias", "training_loop"];
    let options = ["--format", "png,svg,pdf", "--dpi", "50", "--data", data.to_str().unwrap()];
    same_files(
        &[&sections[..], &options].concat(),
        &["metrics.json", ".html", ".ipynb", ".png", ".svg", ".pdf", ".xlsx", ".csv", ".safetensors"],
    );
}

#[test]
fn the_models_beyond_the_lecture_leave_no_time_but_in_metrics_json() {
    let place = Place::new();
    let data = place.path("data");
    let beyond = ["run", "beyond", "--dpi", "30", "--data", data.to_str().unwrap()];
    let [first, second] = run_both(&beyond, &beyond);
    let without = |folder: &Path| {
        let mut files = files(folder);
        files.remove("metrics.json");
        files
    };
    let (ours, theirs) = (without(first.path()), without(second.path()));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    assert!(ours.iter().all(|(name, bytes)| *bytes == theirs[name]));
    let metrics: Value =
        serde_json::from_slice(&std::fs::read(first.path().join("metrics.json")).unwrap()).unwrap();
    let rows = metrics["beyond"]["rows"].as_array().unwrap();
    assert!(rows.len() > 10 && rows.iter().all(|row| row["seconds"].is_f64()));
    assert!(!String::from_utf8_lossy(&ours["lecture.html"]).contains(">seconds</th>"));
}

#[test]
fn the_same_fit_twice_writes_the_same_bytes_with_dropout_and_at_two_threads() {
    let fit =
        ["fit", "--model", "net", "--dropout", "0.1,0.2", "--schedule", "0.01x1", "--batch-size", "512"];
    same_files(&fit, &["metrics.json", ".png", ".safetensors"]);
    same_files(&[&fit[..], &["--threads", "2"]].concat(), &["metrics.json", ".png", ".safetensors"]);
}

/// The maximum relative difference between losses computed with different numbers of threads.
const BETWEEN_THREADS: f64 = 1e-5;

#[test]
fn the_number_of_threads_changes_no_loss_beyond_the_stated_tolerance() {
    for model in ["dot", "bias", "net", "learner"] {
        // Large batches, so that libtorch has work to split among threads.
        let mut fit = vec!["fit", "--model", model, "--batch-size", "2048"];
        match model {
            "learner" => fit.extend(["--schedule", "cosine:0.01,cycles=1"]),
            _ => fit.extend(["--schedule", "0.01x1"]),
        }
        let [one, two] = run_both(&fit, &[&fit[..], &["--threads", "2"]].concat());
        let losses = |out: &Path| {
            let metrics: Value =
                serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
            let epoch = &metrics["fits"][0]["epochs"][0];
            (metrics["threads"].as_i64().unwrap(), ["trn", "val"].map(|loss| epoch[loss].as_f64().unwrap()))
        };
        let ((one, ours), (two, theirs)) = (losses(one.path()), losses(two.path()));
        assert_eq!((one, two), (1, 2));
        for (name, (ours, theirs)) in ["trn", "val"].iter().zip(ours.iter().zip(theirs)) {
            let apart = (ours / theirs - 1.0).abs();
            assert!(apart <= BETWEEN_THREADS, "{model}: {name} {ours} at one thread, {theirs} at two");
        }
    }
}
