//! The libraries that the program is linked with, and its answers if CUDA is not available.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

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
    let said = match (has_cuda(&folders), driver) {
        (false, _) => "this program runs on a libtorch without CUDA",
        (true, false) => "no NVIDIA driver is loaded here",
        (true, true) => "no device answers",
    };
    let doctor = Command::new(PROGRAM).arg("doctor").output().unwrap();
    let text = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status.success(), "a machine without a card is healthy: {text}");
    assert!(text.contains("CUDA          none: ") && text.contains(said), "{text}");

    let fit = Command::new(PROGRAM).args(["fit", "--model", "dot", "--device", "cuda"]).output().unwrap();
    let text = String::from_utf8(fit.stderr).unwrap();
    assert!(!fit.status.success());
    assert!(text.starts_with("error: --device cuda: ") && text.contains(said), "{text}");
    assert_eq!(text.lines().count(), 1, "one line, no C++ trace: {text}");
}
