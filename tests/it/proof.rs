//! `verify` can prove what it says: impossible ensembles, runs that cannot be judged, processes that do not end by
//! themselves.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lecture5::verify::committed;
use lecture5::verify::ensemble::Ensemble;

#[cfg(target_os = "linux")]
use crate::common::first_child;
use crate::common::{Place, fails, lecture5, stderr};

/// `verify --from` an ensemble that is the committed one with something changed.
fn verified(change: impl FnOnce(&mut Ensemble), more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut ensemble = committed().unwrap();
    change(&mut ensemble);
    let file = folder.path().join("changed.json");
    std::fs::write(&file, ensemble.to_text().unwrap()).unwrap();
    let (file, out) = (file.to_str().unwrap(), folder.path().join("out"));
    lecture5(&[&["verify", "--from", file, "--dpi", "20", "--out", out.to_str().unwrap()], more].concat())
}

#[test]
fn ensembles_that_no_runs_can_make_are_refused() {
    type Change = fn(&mut Ensemble);
    let cases: [(Change, &str); 12] = [
        (|e| e.fits[1].seeds[3] = e.fits[1].seeds[2], "embedding_dot: seed 2 twice"),
        (|e| e.fits[1].seeds[3] = -1, "embedding_dot: a seed of -1; seeds are 0 to 4294967295"),
        (|e| e.fits[1].seeds[3] += 1 << 32, "embedding_dot: a seed of 4294967299"),
        (
            |e| e.fits[1].runs[3] = e.fits[1].runs[5].clone(),
            "embedding_dot: seeds 3 and 5 have the same losses, so they are one run, not two",
        ),
        (|e| e.fits[1].runs[3][0] = 1e-9, "a loss of 1e-9 with seed 3"),
        (|e| e.fits.push(e.fits[0].clone()), "it has this fit twice"),
        (|e| e.fits[0].name = "another".to_owned(), "'another' is not a fit of the lecture"),
        (|e| e.fits[1].runs[3][0] = 1e12, "a loss of 1000000000000.0 with seed 3"),
        (|e| e.fits[1].runs[3][0] = 0.0, "a loss of 0.0 with seed 3"),
        (|e| e.fits[1].runs[3][0] = -1.0, "a loss of -1.0 with seed 3"),
        (|e| e.fits[1].runs[3].truncate(2), "2 losses of seed 3, where the lecture has 12"),
        (|e| e.fits.clear(), "it has no fits"),
    ];
    for (change, said) in cases {
        fails(&verified(change, &[]), 1, said);
    }
}

#[test]
fn if_nothing_could_be_judged_there_is_a_separate_status() {
    // So narrow a margin that no deviation of it would have been seen.
    fails(&verified(|_| {}, &["--margin", "1e-9"]), 3, "nothing could be judged: ");
    let few = |e: &mut Ensemble| {
        e.fits.iter_mut().for_each(|fit| {
            fit.seeds.truncate(3);
            fit.runs.truncate(3);
        });
    };
    fails(&verified(few, &[]), 3, "3 seeds are too few to estimate a spread");
    fails(&verified(|e| e.environment.data = "0".to_owned(), &[]), 3, "their losses cannot be compared");
    let others =
        |e: &mut Ensemble| e.fits.iter_mut().for_each(|fit| fit.seeds.iter_mut().for_each(|s| *s += 500));
    fails(&verified(others, &["--against", "data/ensembles/cpu.json"]), 3, "0 seeds in common");
    // What could be judged is.
    assert!(verified(|_| {}, &["--against", "data/ensembles/cpu.json"]).status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_is_named_with_its_signal_and_no_run_outlives_its_parent() {
    let out = tempfile::tempdir().unwrap();
    for parent_dies in [false, true] {
        let mut verify = crate::common::program();
        verify.args(["verify", "--seeds", "4", "--fits", "dot", "--jobs", "1", "--device", "cpu", "--out"]);
        verify.arg(out.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut verify = verify.spawn().unwrap();
        let child = first_child(&mut verify);
        let killed = if parent_dies { verify.id() } else { child };
        // Until the child is the program, and no longer a copy of its parent.
        std::thread::sleep(Duration::from_millis(300));
        assert!(Command::new("kill").args(["-KILL", &killed.to_string()]).status().unwrap().success());
        let output = verify.wait_with_output().unwrap();
        match parent_dies {
            false => fails(&output, 1, "--model dot with seed 0: killed by SIGKILL (signal 9)"),
            true => {
                let is_there = || Path::new(&format!("/proc/{child}/exe")).exists();
                let ended = (0..500).any(|_| {
                    std::thread::sleep(Duration::from_millis(20));
                    !is_there()
                });
                assert!(ended, "process {child} goes on");
            }
        }
    }
}

#[test]
fn a_fit_that_has_learned_less_than_nothing_is_a_failure() {
    let place = Place::new();
    for model in ["learner", "dot", "bias", "net"] {
        let fit = ["fit", "--model", model, "--schedule", "cosine:10,len=3", "--fast", "--dpi", "20"];
        let output = place.run(&fit, "out");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{model}: {said}");
        assert!(said.lines().count() == 1 && said.contains("try a lower learning rate"), "{model}: {said}");
        assert!(!place.path("out").exists(), "{model}");
    }
}
