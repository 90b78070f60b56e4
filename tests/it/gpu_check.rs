//! `scripts/gpu-check.sh` on a machine without a card: it says so, and its decision rules are correct.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::{first_ratings, write_program};
use crate::prepared;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lecture5");

/// Runs the script with `program`; `None` without Python.
fn gpu_check(program: &Path, arguments: &[&str]) -> Option<Output> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3 here");
        return None;
    }
    let mut command = Command::new("scripts/gpu-check.sh");
    command.args(arguments).env("LECTURE5_PROGRAM", program).env("LECTURE5_PYTHON", "python3");
    Some(command.output().unwrap())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The metrics of one fit of two epochs.
fn metrics(folder: &Path, name: &str, losses: [[Value; 2]; 2]) -> PathBuf {
    let epochs = losses.iter().enumerate();
    let epochs: Vec<Value> =
        epochs.map(|(at, [trn, val])| json!({"epoch": at, "trn": trn, "val": val})).collect();
    let path = folder.join(name);
    let all = json!({"device": "cpu", "fits": [{"name": "dot", "seconds": 1.0, "epochs": epochs}]});
    std::fs::write(&path, all.to_string()).unwrap();
    path
}

/// `scripts/gpu_compare.py` on two files.
fn compared(first: &Path, second: &Path) -> Output {
    let mut command = Command::new("python3");
    command.arg("scripts/gpu_compare.py").args([first, second]).output().unwrap()
}

#[test]
fn losses_that_lie_apart_are_noticed_and_named() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3 here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cpu = metrics(folder.path(), "cpu.json", [[json!(1.5), json!(1.6)], [json!(1.1), json!(1.3)]]);
    for (at, (other, noticed)) in [
        ([[json!(1.5), json!(1.6)], [json!(1.1), json!(1.3)]], None),
        ([[json!(1.5), json!(1.6)], [json!(1.1), json!(1.3012)]], None),
        ([[json!(1.5), json!(1.6)], [json!(1.1), json!(1.3014)]], Some("dot, epoch 1: ")),
        ([[json!(1.502), json!(1.6)], [json!(1.1), json!(1.3)]], Some("dot, epoch 0: ")),
        ([[json!(1.5), json!(1.6)], [json!(1.1), json!(null)]], Some("dot, epoch 1: ")),
    ]
    .into_iter()
    .enumerate()
    {
        let other = metrics(folder.path(), &format!("{at}.json"), other);
        let output = compared(&cpu, &other);
        assert_eq!(output.status.success(), noticed.is_none(), "{}", text(&output));
        assert!(text(&output).contains(noticed.unwrap_or("dot 1 ")), "{}", text(&output));
    }
    let none = folder.path().join("none.json");
    std::fs::write(&none, json!({"device": "cuda:0", "fits": []}).to_string()).unwrap();
    assert!(!compared(&none, &none).status.success(), "two runs without fits agree on nothing");
}

#[test]
fn a_fit_whose_parameters_were_elsewhere_is_noticed_whatever_the_run_says() {
    let code = "import sys; sys.path.insert(0, 'scripts'); from gpu_compare import wrong_device; \
                fits = [{'device': place} for place in sys.argv[1:]]; \
                print(len(wrong_device({'device': 'cuda:0', 'fits': fits}, 'cuda')))";
    for (places, wrong) in [(["cuda:0", "cuda:0"], "0\n"), (["cuda:0", "cpu"], "1\n")] {
        let Ok(output) = Command::new("python3").args(["-c", code]).args(places).output() else { return };
        assert_eq!(text(&output), wrong);
    }
}

#[test]
fn without_a_card_it_fails_and_the_report_says_why() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has CUDA");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.md");
    let Some(output) = gpu_check(Path::new(PROGRAM), &["--report", report.to_str().unwrap()]) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("  - no CUDA device that computes: none: "), "{report}");
    assert!(report.contains("- not checked: everything else: no card computes"), "{report}");
    assert!(report.contains("CPU           computes"), "the doctor's own words are there: {report}");
}

/// 2,000 of the ratings, so that four fits take a moment, and the program beside them.
fn few_ratings() -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let program = data.path().join("lecture5");
    prepared::write_script(&program);
    std::fs::write(data.path().join("ratings.csv"), first_ratings(2000)).unwrap();
    (data, program)
}

/// The options of a check on a few ratings, with one short section.
fn options<'a>(data: &'a Path, report: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let paths = ["--report", report.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let sections = ["--sections", "movielens,embedding_dot", "--sizes", "256,512", "--seconds", "1"];
    [&paths[..], &sections, more].concat()
}

#[test]
fn a_rehearsal_on_the_cpu_goes_through_every_step_and_writes_the_report() {
    let (data, program) = few_ratings();
    let report = data.path().join("report.md");
    let Some(output) = gpu_check(&program, &options(data.path(), &report, &["--rehearse"])) else { return };
    assert!(output.status.success(), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.starts_with("# Rehearsal on the CPU"), "{report}");
    assert!(report.contains("**Every check passed.**"), "{report}");
    // 6 + 3 + 6 + 3 epochs, each the same on the CPU as on the CPU.
    assert_eq!(report.matches(" | 0.0e+00 |").count(), 18, "{report}");
    assert_eq!(report.matches("- passed: ").count(), 2 + 4 * 2 + 1 + 3 + 3 + 1 + 1, "{report}");
    for section in ["## Doctor", "## Losses", "## Seconds per epoch", "## Batch sizes"] {
        assert!(report.contains(section), "{report}");
    }
}

#[test]
fn a_step_that_cannot_be_done_fails_and_the_others_and_the_report_follow() {
    let (data, program) = few_ratings();
    let works = program.display();
    // It crashes when it is asked for a fit with dropout and a schedule, leaves no loss with dropout alone, and its fits of
    // the net differ from run to run.
    let program = data.path().join("crashing");
    let script = format!(
        "#!/bin/bash\n[[ $* == *--dropout*--schedule* ]] && {{ echo 'error: no dropout here' >&2; exit 1; }}\n\
         if [[ $* == *--dropout* ]]; then\n  '{works}' \"$@\" || exit\n  while [[ $1 != --out ]]; do shift; done\n  \
         exec sed -i -E 's/\"val\": [0-9.]+/\"val\": null/' \"$2/metrics.json\"\nfi\n\
         [[ $* == *'--model net'* && $* != *--resume* ]] && set -- \"$@\" --seed $((RANDOM))\nexec '{works}' \"$@\"\n"
    );
    write_program(&program, &script);
    let report = data.path().join("report.md");
    let arguments = options(data.path(), &report, &["--rehearse", "--models", "net"]);
    let Some(output) = gpu_check(&program, &arguments) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("FAILED: dropout\n  - TypeError: "), "{report}");
    assert!(
        report.contains("FAILED: Ctrl-C and --resume\n  - fit --model net --dropout 0.05,0.5"),
        "{report}"
    );
    assert!(report.contains("error: no dropout here"), "{report}");
    assert!(report.contains("FAILED: net: two fits on cpu leave the same bytes"), "{report}");
    assert!(report.contains("passed: `run` with movielens embedding_dot on cpu"), "{report}");
}

#[test]
fn a_program_that_falls_back_to_the_cpu_in_silence_is_noticed() {
    let (data, program) = few_ratings();
    let works = program.display();
    // Its doctor claims a card, but everything runs on the CPU.
    let program = data.path().join("pretender");
    let script = format!(
        "#!/bin/bash\n[[ $1 == doctor ]] && {{ echo 'driver  for CUDA 13.1; libtorch for CUDA 13.0'\n\
         echo 'cuda:0        computes, differentiates and steps as by hand (NVIDIA L4)'; exit; }}\n\
         set -- \"${{@/#auto/cpu}}\"\nexec '{works}' \"${{@/#cuda/cpu}}\"\n"
    );
    write_program(&program, &script);
    let report = data.path().join("report.md");
    let Some(output) = gpu_check(&program, &options(data.path(), &report, &["--models", "dot"])) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("FAILED: dot: on cuda"), "{report}");
    assert!(report.contains("a fit that should run on cuda ran on cpu"), "{report}");
    assert!(report.contains("FAILED: --device auto takes the card"), "{report}");
    assert!(report.contains("FAILED: metrics.json names the card"), "{report}");
    assert!(report.contains("every loss is the CPU's to the last bit"), "{report}");
    assert!(report.contains("FAILED: what was begun on cuda continues on the CPU"), "{report}");
}
