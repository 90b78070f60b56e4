//! The libraries that the program is linked with, and its answers if CUDA is not available.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{Place, stderr, write_program};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lecture5");

/// The entries NEEDED and RUNPATH (or RPATH) of the program's dynamic section; `None` without readelf.
fn linked() -> Option<(Vec<String>, Vec<String>)> {
    let output = match Command::new("readelf").args(["--dynamic", "--wide", PROGRAM]).output() {
        Ok(output) if output.status.success() => output,
        _ => {
            println!("skipped: no readelf here (Debian, Ubuntu: apt-get install binutils)");
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let under = |tag: &str| {
        let lines = text.lines().filter(|line| line.contains(tag));
        let values = lines.filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned()));
        values.collect::<Vec<String>>()
    };
    let folders = under("(RUNPATH)").into_iter().chain(under("(RPATH)"));
    let folders = folders.flat_map(|path| path.split(':').map(str::to_owned).collect::<Vec<_>>()).collect();
    Some((under("(NEEDED)"), folders))
}

/// Whether the libtorch that the program was linked with has CUDA.
fn has_cuda(folders: &[String]) -> bool {
    folders.iter().any(|folder| Path::new(folder).join("libtorch_cuda.so").exists())
}

#[test]
fn the_program_needs_libtorch_cuda_exactly_when_its_libtorch_has_it() {
    let Some((needed, folders)) = linked() else { return };
    if !folders.is_empty() && folders.iter().all(|folder| !Path::new(folder).exists()) {
        println!("skipped: this program was built on another machine, with a libtorch in {folders:?}");
        return;
    }
    let needs = |name: &str| needed.iter().any(|library| library == name);
    assert!(
        folders.iter().any(|folder| Path::new(folder).join("libtorch_cpu.so").exists()),
        "libtorch's folder is written into the program: {folders:?}"
    );
    assert!(needs("libtorch_cpu.so"), "{needed:?}");
    assert_eq!(needs("libtorch_cuda.so"), has_cuda(&folders), "{needed:?} with {folders:?}");
}

#[test]
fn without_a_card_the_doctor_and_device_cuda_say_what_is_missing() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has CUDA");
        return;
    }
    let Some((_, folders)) = linked() else { return };
    let driver = Path::new("/proc/driver/nvidia/version").exists();
    let said: &[&str] = match (has_cuda(&folders), driver) {
        (false, _) => &["this program runs on a libtorch without CUDA"],
        (true, false) => &["there is no NVIDIA driver here", "this container was started without the card"],
        (true, true) => &["CUDA"],
    };
    let said = |text: &str| said.iter().any(|said| text.contains(said));
    let doctor = Command::new(PROGRAM).arg("doctor").output().unwrap();
    let text = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status.success(), "a machine without a card is healthy: {text}");
    assert!(text.contains("CUDA          none: ") && said(&text), "{text}");

    let fit = Command::new(PROGRAM).args(["fit", "--model", "dot", "--device", "cuda"]).output().unwrap();
    let text = String::from_utf8(fit.stderr).unwrap();
    assert!(!fit.status.success());
    assert!(text.starts_with("error: --device cuda: ") && said(&text), "{text}");
    assert_eq!(text.lines().count(), 1, "one line, no C++ trace: {text}");
}

/// A run of `arguments` in a place, with a program in its folder `bin` before those of the PATH.
fn with_stand_in(place: &Place, arguments: &[&str]) -> (String, Value) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = place.command(arguments, "out");
    let output = command.env("PATH", format!("{}:{path}", place.path("bin").display())).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    (stderr(&output), serde_json::from_str(&place.read("out/metrics.json")).unwrap())
}

fn stand_in_for_nvidia_smi(place: &Place) {
    write_program(&place.path("bin/nvidia-smi"), "#!/bin/sh\necho NVIDIA L4\n");
}

#[test]
fn auto_never_leaves_a_card_that_shows_in_silence() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has CUDA");
        return;
    }
    let place = Place::new();
    stand_in_for_nvidia_smi(&place);
    let (said, metrics) = with_stand_in(&place, &["run", "dot_product", "--device", "auto", "--quiet"]);
    let reason = metrics["device_reason"].as_str().expect("there is a reason");
    assert_eq!(said, format!("note: --device auto computes on the CPU: {reason}\n"));
    assert_eq!((&metrics["device"], &metrics["card"]), (&"cpu".into(), &Value::Null));
    assert!(place.read("out/lecture.html").contains("why not on a card"));
    // Whoever asks for the CPU needs no reason.
    let fit = ["fit", "--model", "dot", "--schedule", "0.1x1", "--device", "cpu", "--quiet", "--fresh"];
    let (said, metrics) = with_stand_in(&place, &fit);
    assert_eq!((said.as_str(), &metrics["device_reason"]), ("", &Value::Null));
    assert_eq!(metrics["fits"][0]["device"], "cpu", "where the parameters were after the fit");
}

#[test]
fn a_driver_that_is_too_old_is_named_with_both_versions() {
    let place = Place::new();
    let (source, library) = (place.path("driver.c"), place.path("libcuda.so.1"));
    let code =
        "int cuDriverGetVersion(int *v) { *v = 12040; return 0; } int cuInit(unsigned f) { return 0; }";
    std::fs::write(&source, code).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]).arg(&library).arg(&source);
    if !cc.status().is_ok_and(|status| status.success()) {
        println!("skipped: no C compiler here");
        return;
    }
    let mut command = Command::new(PROGRAM);
    let output = command.args(["fit", "--model", "dot", "--device", "cuda"]);
    // Before what is set: a program built elsewhere finds its libtorch by it.
    let others = std::env::var("LD_LIBRARY_PATH").map_or(String::new(), |others| format!(":{others}"));
    let folders = format!("{}{others}", library.parent().unwrap().display());
    let output = output.env("LD_LIBRARY_PATH", folders).output().unwrap();
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(
        said.contains("the driver") && said.contains("CUDA 12.4") && said.contains("CUDA 13.0"),
        "{said}"
    );
    assert!(said.contains("newer driver") && said.contains("--index URL"), "{said}");
}
