//! The command line: what its commands print, write and refuse.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::{first_ratings, lecture5, stderr, stdout};

/// Runs with `--out` in a separate folder, and expects success.
fn run(arguments: &[&str]) -> (tempfile::TempDir, PathBuf, Output) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut all = arguments.to_vec();
    all.extend(["--out", out.to_str().unwrap()]);
    let output = lecture5(&all);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    (folder, out, output)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_whole_lecture_runs_and_each_validation_loss_lies_within_the_spread_of_the_seeds() {
    let (_folder, out, output) = run(&["run", "--all-splits"]);
    let metrics = json(&out.join("metrics.json"));
    assert_eq!(metrics["data"]["n_ratings"], 100_004);
    check_splits(&metrics["beyond"]);
    let fits = metrics["fits"].as_array().unwrap();
    let mut epochs = 0;
    for fit in fits {
        let reference = lecture5::run::reference::lecture(fit["name"].as_str().unwrap()).unwrap();
        assert_eq!(fit["epochs"].as_array().unwrap().len(), reference.losses.len());
        for (at, epoch) in fit["epochs"].as_array().unwrap().iter().enumerate() {
            epochs += 1;
            let ([trn, val], [mean, sd]) = (reference.losses[at], reference.spread[at]);
            assert_eq!((&epoch["lecture_trn"], &epoch["lecture_val"]), (&trn.into(), &val.into()));
            let ours = epoch["val"].as_f64().unwrap();
            // A single draw compared with ten: within t(9)·√(1 + 1/10) at 99.9%.
            assert!(
                (ours - mean).abs() < 4.78 * 1.05 * sd,
                "{} epoch {at}: {ours} beside {mean} ± {sd}",
                fit["name"]
            );
        }
    }
    assert_eq!(epochs, 18);

    for plot in ["joint", "losses"] {
        for fit in ["collab_learner", "embedding_dot", "embedding_dot_bias", "embedding_net"] {
            assert!(out.join(format!("plots/{fit}_{plot}.png")).exists(), "{fit}_{plot}");
        }
    }
    for file in [
        "lecture.html",
        "plots/collab_learner_rates.png",
        "excel/collab_filter.xlsx",
        "excel/graddesc.xlsx",
        "excel/crosstab.csv",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }
    for (stem, _) in sections() {
        let notebook = json(&out.join(format!("notebooks/{stem}.ipynb")));
        assert_eq!(notebook["nbformat"], 4);
    }
    nbformat_finds_nothing_wrong(&out.join("notebooks"));
    let text = stdout(&output);
    assert!(
        text.contains("(0.5, 5.0)") && text.contains("0.8809086218218096"),
        "the lecture's own outputs are printed"
    );
    assert!(!stderr(&output).contains(" loss "), "no progress bar where nobody watches");
    let html = std::fs::read_to_string(out.join("lecture.html")).unwrap();
    assert!(html.contains("1.64501"), "the page has the lecture's losses beside ours");
    assert!(html.contains("Inside: nothing deviates."), "the page holds this run against the ensemble");
    assert!(out.join("plots/verify.png").exists());
}

/// On every way to split, no model that is offered as good is behind a number for each user and each movie.
fn check_splits(beyond: &Value) {
    let splits = beyond["splits"].as_array().unwrap();
    let ways: Vec<&str> = splits.iter().map(|split| split["split"].as_str().unwrap()).collect();
    assert_eq!(ways, ["random, seed 42", "user, seed 42", "time"]);
    for split in splits {
        assert_eq!(split["models"], json!(["biases", "Bayesian factorization", "Gaussian process", "blend"]));
        let all = &split["groups"][0];
        let rmse: Vec<f64> = all["rmse"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert!(rmse[1..].iter().all(|other| *other < rmse[0]), "{split}");
        assert!(split["models"].as_array().unwrap().contains(&split["best"]), "{split}");
        let n = |group: &Value| group["n"].as_u64().unwrap();
        assert_eq!(split["groups"].as_array().unwrap()[1..].iter().map(n).sum::<u64>(), n(all), "{split}");
    }
}

/// Validates the notebooks with Jupyter's own library, if installed (LECTURE5_PYTHON or python3).
fn nbformat_finds_nothing_wrong(folder: &Path) {
    let python = std::env::var_os("LECTURE5_PYTHON").unwrap_or_else(|| "python3".into());
    let python = |code: &str| Command::new(&python).args(["-c", code]).arg(folder).output();
    if !python("import nbformat").is_ok_and(|output| output.status.success()) {
        println!("skipped: python3 has no nbformat (set LECTURE5_PYTHON)");
        return;
    }
    let code = "import glob, sys, nbformat\n\
                for path in glob.glob(sys.argv[1] + '/*.ipynb'):\n    nbformat.validate(nbformat.read(path, 4))";
    let output = python(code).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn one_section_runs_alone() {
    let (_folder, out, output) = run(&["run", "dot_product"]);
    assert!(stdout(&output).contains("n_users = 671, n_movies = 9066"));
    assert_eq!(json(&out.join("metrics.json"))["fits"].as_array().unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(out.join("notebooks")).unwrap().count(), 1);
}

#[test]
fn a_section_of_the_notebook_and_fit_with_the_lectures_settings_are_the_same_run() {
    // By the fast stepper: libtorch takes several times as long.
    let (_a, section, _) = run(&["run", "embedding_dot_bias", "--seed", "5", "--fast"]);
    let (_b, fit, output) = run(&["fit", "--model", "bias", "--seed", "5", "--fast"]);
    let losses = |out: &Path| {
        let metrics = json(&out.join("metrics.json"));
        let epochs = metrics["fits"][0]["epochs"].as_array().unwrap().clone();
        epochs.iter().map(|e| (e["trn"].clone(), e["val"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(losses(&section), losses(&fit));
    let metrics = json(&fit.join("metrics.json"));
    assert_eq!(metrics["fits"][0]["name"], "bias");
    assert_eq!(metrics["fits"][0]["epochs"][0]["lecture_val"], Value::Null);
    assert!(stdout(&output).starts_with("  epoch    trn      val\n[ 0. "));
}

#[test]
fn fit_takes_every_variation_that_the_lecture_names() {
    for variation in [
        vec!["--model", "net", "--dropout", "0.05,0.5"],
        vec!["--model", "net", "--factors", "20,30"],
        vec!["--model", "net", "--hidden", "50,10"],
        vec!["--model", "net", "--wd", "0", "--optimizer", "adamw"],
        vec!["--model", "dot", "--optimizer", "adam", "--init", "0:0.1"],
        vec!["--model", "learner", "--schedule", "cosine:0.01,cycles=1"],
        vec!["--model", "bias", "--momentum", "0.5", "--init", "-0.1:0.1", "--factors", "8"],
    ] {
        let mut arguments = vec!["fit", "--batch-size", "4096"];
        arguments.extend(&variation);
        if !variation.contains(&"--schedule") {
            arguments.extend(["--schedule", "0.01x1"]);
        }
        let (_folder, out, _) = run(&arguments);
        assert_eq!(
            json(&out.join("metrics.json"))["fits"][0]["epochs"].as_array().unwrap().len(),
            1,
            "{variation:?}"
        );
    }
}

#[test]
fn json_lines_report_each_epoch_and_end_with_the_metrics() {
    let (_folder, out, output) =
        run(&["fit", "--model", "bias", "--schedule", "0.1x2", "--batch-size", "4096", "--json"]);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["epoch", "epoch", "done"]);
    assert_eq!(lines[2]["metrics"], json(&out.join("metrics.json")));
}

#[test]
fn json_counts_epochs_through_all_calls_of_a_plan() {
    let (_folder, _out, output) =
        run(&["fit", "--model", "bias", "--schedule", "0.1x1,0.01x2", "--batch-size", "4096", "--json"]);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<u64> = lines.iter().filter_map(|line| line["epoch"].as_u64()).collect();
    assert_eq!(epochs, [0, 1, 2]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_closes_the_pipe_causes_no_panic() {
    let program = env!("CARGO_BIN_EXE_lecture5");
    // The exit status of the program itself, with a reader that exits before the program writes.
    let script = format!("{{ sleep 0.2; '{program}' list; echo status $? >&2; }} | true");
    let output = crate::common::on_cpu("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(stderr(&output), "status 0\n");
}

#[test]
fn quiet_prints_nothing() {
    let (_folder, _out, output) = run(&["run", "dot_product", "--quiet"]);
    assert_eq!((stdout(&output), stderr(&output)), (String::new(), String::new()));
}

#[test]
fn other_data_leaves_the_lectures_columns_out() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("ratings.csv"), first_ratings(2000)).unwrap();
    let (_folder, out, output) = run(&["run", "--data", data.path().to_str().unwrap()]);
    let metrics = json(&out.join("metrics.json"));
    assert_eq!(metrics["fits"][0]["epochs"][0]["lecture_val"], Value::Null);
    assert!(stdout(&output).contains("the lecture's numbers are left out"));
    assert!(!stdout(&output).contains("training  lecture's"), "the table has our columns only");
}

#[test]
fn verification_alone_shows_the_lecture_and_on_other_data_nothing() {
    let (_folder, _, output) = run(&["run", "verification"]);
    let text = stdout(&output);
    assert!(text.contains("36 numbers") && text.contains("No fit has been run"), "{text}");
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n1,1,3.0,0\n1,2,4.0,0\n1,3,3.5,0\n2,1,2.0,0\n2,2,5.0,0\n",
    )
    .unwrap();
    let (_folder, _, output) = run(&["run", "verification", "--data", data.path().to_str().unwrap()]);
    assert!(stdout(&output).contains("nothing can be compared"), "{}", stdout(&output));
}

/// The files of notebooks-equivalent/, in order: `05_embedding_dot`, and the section's name, `embedding_dot`.
fn sections() -> Vec<(String, String)> {
    let files = std::fs::read_dir("notebooks-equivalent").unwrap();
    let paths =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let stems = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let mut sections: Vec<_> = stems.map(|stem| (stem.clone(), stem[3..].to_owned())).collect();
    sections.sort();
    sections
}

#[test]
fn list_has_a_line_for_each_section() {
    let text = stdout(&lecture5(&["list"]));
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let sections = sections();
    assert_eq!(names, sections.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>());
}

#[test]
fn doctor_says_which_libtorch_and_whether_there_is_cuda() {
    let output = lecture5(&["doctor"]);
    assert!(output.status.success());
    let text = stdout(&output);
    for wanted in ["libtorch      2.1", "CPU           computes", "CUDA"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    #[cfg(target_os = "linux")]
    assert!(text.contains("libtorch_cpu.so"));
}

#[test]
fn cuda_without_cuda_is_an_error_that_says_why() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has CUDA");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = lecture5(&["run", "--device", "cuda", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: --device cuda: "), "{}", stderr(&output));
    assert!(!out.exists(), "nothing is half-written");
}
