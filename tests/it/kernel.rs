//! The kernel `lecture5` in Jupyter. Where it is not installed, which takes a quarter of an hour, the test says so.

use std::process::Command;

use crate::common::{lecture5, python_with, stderr, stdout};

#[test]
fn a_section_shows_the_same_in_the_kernel_as_in_the_program() {
    let Some(python) = python_with(&["nbclient"]) else { return };
    let find =
        "from jupyter_client.kernelspec import get_kernel_spec; print(get_kernel_spec('lecture5').argv[1])";
    let found = Command::new(&python).args(["-c", find]).output().expect("Python starts");
    if stdout(&found).trim() != concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/live-kernel.sh") {
        println!("skipped: the kernel is not installed from this folder (scripts/live.sh install)");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let run = lecture5(&["run", "dot_product", "--quiet", "--out", out.path().to_str().unwrap()]);
    assert!(run.status.success(), "{}", stderr(&run));
    let mut check = Command::new(python);
    check.arg("scripts/live_check.py").arg(out.path().join("notebooks/04_dot_product.ipynb"));
    let checked = check.env("LECTURE5_DEVICE", "cpu").output().expect("Python starts");
    assert!(checked.status.success(), "{}{}", stdout(&checked), stderr(&checked));
}
