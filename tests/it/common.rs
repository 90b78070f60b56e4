//! Shared test code: starting the program, reading its output, and libtorch's generator.
#![allow(dead_code)] // Each test module uses only a part.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

pub fn lecture5(arguments: &[impl AsRef<OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lecture5")).args(arguments).output().expect("the program starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// libtorch has one generator for the process: a test that draws from it runs alone.
static GENERATOR: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A Python with these modules (the one in LECTURE5_PYTHON, `python3`, or one that scripts/bench.sh has made), or a line that
/// says what is missing.
pub fn python_with(modules: &[&str]) -> Option<PathBuf> {
    let import = format!("import {}", modules.join(", "));
    let named = std::env::var_os("LECTURE5_PYTHON").map(PathBuf::from);
    let made = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/lecture5"));
    let made = made.and_then(|cache| std::fs::read_dir(cache).ok()).into_iter().flatten().flatten();
    let made = made.map(|folder| folder.path().join("bin/python"));
    let runs = |python: &PathBuf| {
        Command::new(python).args(["-c", &import]).output().is_ok_and(|finished| finished.status.success())
    };
    let found = named.into_iter().chain([PathBuf::from("python3")]).chain(made).find(runs);
    if found.is_none() {
        println!("skipped: no Python here has all of {} (set LECTURE5_PYTHON)", modules.join(", "));
    }
    found
}
