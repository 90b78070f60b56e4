//! What the tests of the program share: starting it, and reading what it says.
#![allow(dead_code)] // Each file of tests takes what it needs.

use std::ffi::OsStr;
use std::process::{Command, Output};

pub fn lecture5(arguments: &[impl AsRef<OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lecture5")).args(arguments).output().expect("the program starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
