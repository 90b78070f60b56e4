//! Shared test code: starting the program, reading its output, and libtorch's generator.
#![allow(dead_code)] // Each test module uses only a part.

use std::ffi::OsStr;
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
