//! `scripts/gpu-check.sh` on a machine without a card: it says so, and its decision rules are correct.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

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

#[test]
fn losses_that_lie_apart_are_noticed_and_named() {
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
        let arguments = ["--compare", cpu.to_str().unwrap(), other.to_str().unwrap()];
        let Some(output) = gpu_check(Path::new(PROGRAM), &arguments) else { return };
        assert_eq!(output.status.success(), noticed.is_none(), "{}", text(&output));
        assert!(text(&output).contains(noticed.unwrap_or("dot 1 ")), "{}", text(&output));
    }
    let none = folder.path().join("none.json");
    std::fs::write(&none, json!({"device": "cuda:0", "fits": []}).to_string()).unwrap();
    let arguments = ["--compare", none.to_str().unwrap(), none.to_str().unwrap()];
    let output = gpu_check(Path::new(PROGRAM), &arguments).unwrap();
    assert!(!output.status.success(), "two runs without fits agree on nothing");
}

#[test]
fn without_a_card_it_fails_and_says_why() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has CUDA");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.md");
    let Some(output) = gpu_check(Path::new(PROGRAM), &["--report", report.to_str().unwrap()]) else { return };
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("gpu-check: no CUDA device that computes: none: "), "{said}");
    assert!(!report.exists());
}

/// 2,000 of the ratings, so that four fits take a moment.
fn few_ratings() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string("data/ml-latest-small/ratings.csv").unwrap();
    let some: Vec<&str> = text.lines().take(2001).collect();
    std::fs::write(data.path().join("ratings.csv"), some.join("\n") + "\n").unwrap();
    data
}

#[test]
fn a_rehearsal_on_the_cpu_goes_through_every_step_and_writes_the_report() {
    let data = few_ratings();
    let report = data.path().join("report.md");
    let arguments =
        ["--rehearse", "--report", report.to_str().unwrap(), "--data", data.path().to_str().unwrap()];
    let Some(output) = gpu_check(Path::new(PROGRAM), &arguments) else { return };
    assert!(output.status.success(), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.starts_with("# Rehearsal on the CPU"), "{report}");
    assert!(report.contains("**Every check passed.**"), "{report}");
    // 6 + 3 + 6 + 3 epochs, each the same on the CPU as on the CPU.
    assert_eq!(report.matches(" | 0.0e+00 |").count(), 18, "{report}");
    assert_eq!(report.matches("the same losses to the last bit").count(), 4, "{report}");
}

#[test]
fn a_program_that_falls_back_to_the_cpu_in_silence_is_noticed() {
    let data = few_ratings();
    // Its doctor claims a card, but everything runs on the CPU.
    let program = data.path().join("pretender");
    let script = format!(
        "#!/bin/bash\n[[ $1 == doctor ]] && {{ echo 'cuda:0        computes and differentiates'; exit; }}\n\
         exec '{PROGRAM}' \"${{@/#cuda/cpu}}\"\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = data.path().join("report.md");
    let arguments =
        ["--models", "dot", "--report", report.to_str().unwrap(), "--data", data.path().to_str().unwrap()];
    let Some(output) = gpu_check(&program, &arguments) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("FAILED: dot: on cuda"), "{report}");
    assert!(report.contains("a fit that should run on cuda ran on cpu"), "{report}");
    assert!(report.contains("FAILED: --device auto takes the card"), "{report}");
    assert!(report.contains("every loss is the CPU's to the last bit"), "{report}");
}
