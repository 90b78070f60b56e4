//! A machine that gives less than is asked for: each limit ends in one line.

#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::common::{Place, fails, succeeds};
use crate::prepared;

/// The program under a shell's command, such as a limit; `$0` is the program.
fn under(place: &Place, before: &str, arguments: &str) -> std::process::Output {
    let run = format!("{before}; \"$0\" {arguments}");
    crate::common::on_cpu("bash")
        .args(["-c", &run, env!("CARGO_BIN_EXE_lecture5")])
        .env("DATA", place.path("data"))
        .env("OUT", place.path("out"))
        .env("GONE", place.path("gone"))
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}

const FIT: &str = "fit --model dot --schedule 0.1x1 --dpi 20 --quiet --data \"$DATA\" --out \"$OUT\"";

#[test]
fn a_file_larger_than_allowed_is_an_error_like_any_other() {
    let place = Place::new();
    let output = under(&place, "ulimit -f 8", FIT);
    fails(&output, 1, "cannot be written: File too large");
}

#[test]
fn too_little_memory_to_begin_with_is_reported_in_one_line() {
    let place = Place::new();
    // Below this, not even the libraries can be loaded; the system's loader reports that.
    let mut told = 0;
    for mib in (420..500).step_by(3).chain((500..620).step_by(12)) {
        let output = under(&place, &format!("ulimit -v {}", mib << 10), FIT);
        match output.status.code() {
            Some(0) => break,
            Some(127) => continue,
            status => assert_eq!(status, Some(1), "{mib} MiB: {}", String::from_utf8_lossy(&output.stderr)),
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.starts_with("error: ") && text.lines().count() == 1, "{mib} MiB: {text}");
        told += 1;
    }
    assert!(told > 0, "no limit was tried at which the program starts and does not fit");
}

#[test]
fn too_few_threads_are_reported_in_one_line() {
    let place = Place::new();
    let root = rustix::process::getuid().is_root();
    // The system does not hold root to this limit: the program runs as a user who has no process yet.
    let user = if root { "setpriv --reuid=54321 --regid=54321 --clear-groups " } else { "" };
    let with = |threads: u32, arguments: &str| {
        let run = format!("{user}bash -c 'ulimit -u {threads}; exec \"$0\" {arguments}' \"$0\"");
        under(&place, &format!("chmod -R a+rwX \"$DATA/..\"; {run}; exit; :"), "")
    };
    if root && !with(1_000, "list").status.success() {
        eprintln!("skipped: another user cannot run this folder's program, and root has no limit of threads");
        return;
    }
    for threads in [1, 2, 4] {
        let output = with(threads, FIT);
        fails(&output, 1, "threads cannot be started: ask for fewer --threads, or raise the limits");
    }
    assert!(!place.path("out").exists(), "something was written");
}

#[test]
fn a_deleted_working_folder_is_reported_in_one_line() {
    let place = Place::new();
    let output = under(&place, "mkdir \"$GONE\"; cd \"$GONE\"; rmdir \"$GONE\"", "list");
    fails(&output, 1, "error: the working folder is gone");
}

#[test]
fn names_that_are_not_text_are_names_like_any_other() {
    let place = Place::new();
    let odd = |name: &[u8]| place.path("x").with_file_name(OsStr::from_bytes(name));
    let (data, out, kept) = (odd(b"data\xff"), odd(b"out\xff"), odd(b"kept\xff"));
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(place.path("data/ratings.csv"), data.join("ratings.csv")).unwrap();
    let mut fit = prepared::program();
    fit.args(["fit", "--model", "dot", "--schedule", "0.1x1", "--dpi", "20", "--data"]).arg(&data);
    fit.arg("--out").arg(&out).arg("--checkpoint").arg(&kept);
    succeeds(fit);
    let mut run = prepared::program();
    run.args(["run", "movielens", "--dpi", "20", "--ratings"])
        .arg(data.join("ratings.csv"))
        .arg("--out")
        .arg(&out);
    succeeds(run);
    let mut ask = prepared::program();
    ask.args(["similar", "--movie", "31", "--min-ratings", "0", "--from"])
        .arg(out.join("models/dot.safetensors"));
    succeeds(ask);
    let mut verify = prepared::program();
    verify.args(["verify", "--from", "data/ensembles/cpu.json", "--against"]);
    let ensemble = out.join("ensemble.json");
    std::fs::copy("data/ensembles/cpu.json", &ensemble).unwrap();
    verify.arg(&ensemble).arg("--out").arg(odd(b"verified\xff"));
    succeeds(verify);
}

#[test]
fn the_end_of_the_terminal_is_heard_and_ignored_under_nohup() {
    let place = Place::new();
    let fit = "fit --model dot --batch-size 1 --schedule 0.0001x9999 --quiet --data \"$DATA\" --out \"$OUT\"";
    for (before, killed_by) in [("", "HUP"), ("trap '' HUP", "INT")] {
        // Two signals, of which the first must be ignored: the status is that of the one that ended the process.
        let begun = "until [ -e \"$OUT/.lecture5.lock\" ]; do sleep 0.1; done";
        let ending = format!("{begun}; kill -HUP $!; sleep 0.5; kill -{killed_by} $!; wait $!");
        let script = format!("{before}\n\"$0\" {fit} & {ending}");
        // The tests themselves may run under nohup.
        let output = crate::common::on_cpu("env")
            .args(["--default-signal=HUP", "bash", "-c", &script, env!("CARGO_BIN_EXE_lecture5")])
            .env("DATA", place.path("data"))
            .env("OUT", place.path("out"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_a_file_unpacks_to_is_bounded_in_all() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::a_file_that_unpacks_to_a_lot", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8(child.stderr).unwrap();
    assert_eq!(child.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: bomb.parquet: reading it asks for 10000000 bytes more, "), "{said}");
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn a_file_that_unpacks_to_a_lot() {
    use lecture5::system::memory::while_reading;
    let pages = |n: usize| (0..n).map(|_| vec![0_u8; 10_000_000]).collect::<Vec<_>>();
    // One after another is not too much; all at once is.
    while_reading(std::path::Path::new("fine.parquet"), 100_000_000, || (0..20).for_each(|_| drop(pages(5))));
    assert_eq!(while_reading(std::path::Path::new("bomb.parquet"), 100_000_000, || pages(20)).len(), 20);
}
