//! `scripts/setup-libtorch.sh` with stand-ins for nvidia-smi, df and pip on the PATH: nothing is downloaded.

#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::common::{stderr, write_program};

/// A checkout with the scripts alone, and stand-ins for programs.
struct Checkout {
    folder: tempfile::TempDir,
    python: PathBuf,
}

impl Checkout {
    /// `None` without Python.
    fn new() -> Option<Checkout> {
        let folder = tempfile::tempdir().unwrap();
        let found =
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
        let python = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
        for name in ["scripts/setup-libtorch.sh", "scripts/unpack_libtorch.py", "Cargo.lock", "build.rs"] {
            let copy = folder.path().join("tree").join(name);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(name, copy).unwrap();
        }
        let checkout = Checkout { folder, python };
        // pip notes how it was called, and makes small wheels instead of downloading large ones.
        let pip = checkout.path("pip.py");
        std::fs::write(&pip, PIP).unwrap();
        checkout.stand_in(
            "python3",
            &format!(
                "[[ $1 == -m ]] && exec '{0}' '{1}' '{2}' \"$@\"\nexec '{0}' \"$@\"",
                checkout.python.display(),
                pip.display(),
                checkout.path("asked").display()
            ),
        );
        Some(checkout)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stand_in(&self, name: &str, script: &str) {
        write_program(&self.path("bin").join(name), &format!("#!/bin/bash\n{script}\n"));
    }

    /// nvidia-smi shows a driver for this CUDA.
    fn driver(&self, line: &str) {
        self.stand_in(
            "nvidia-smi",
            &format!("echo '| NVIDIA-SMI 550.54   Driver Version: 550.54   {line} |'"),
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("tree/scripts/setup-libtorch.sh"));
        command.args(arguments).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        command.env("LECTURE5_CACHE", self.path("cache"));
        command
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// How pip was called.
    fn asked(&self) -> String {
        std::fs::read_to_string(self.path("asked")).unwrap_or_default()
    }
}

/// A pip that makes wheels in place of downloading them.
const PIP: &str = r#"
import os, sys, zipfile
from pathlib import Path
log, *words = sys.argv[1:]
if "--version" in words:
    sys.exit()
with open(log, "a") as out:
    print(*words, "PIP_USER=" + os.environ.get("PIP_USER", ""), file=out)
dest = Path(words[words.index("--dest") + 1])
def wheel(name, files):
    with zipfile.ZipFile(dest / name, "w") as out:
        for path, text in files.items():
            out.writestr(path, text)
if "--no-deps" in words:
    metadata = ("Requires-Dist: sympy\nRequires-Dist: nvidia-cublas==13.1\n"
                "Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.2; platform_system == \"Linux\"\n")
    wheel("torch-2.13.0-cp312.whl", {
        "torch/lib/libtorch_cpu.so": "needs libcupti.so.13", "torch/lib/libtorch_cuda.so": "", "torch/lib/libtorch_python.so": "",
        "torch/include/torch/version.h": "", "torch/__init__.py": "", "torch-2.13.0.dist-info/METADATA": metadata})
else:
    print(Path(words[words.index("--requirement") + 1]).read_text(), file=open(log, "a"))
    wheel("nvidia_cublas-13.whl", {"nvidia/cu13/lib/libcublas.so.13": ""})
    wheel("nvidia_cuda_cupti-13.whl", {"nvidia/cu13/lib/libcupti.so.13": ""})
"#;

#[test]
fn a_driver_that_is_too_old_is_refused_before_anything_is_downloaded() {
    let Some(checkout) = Checkout::new() else { return };
    for (line, shown) in [("CUDA Version: 12.4", "12.4"), ("CUDA UMD Version: 11.8", "11.8")] {
        checkout.driver(line);
        for arguments in [&[][..], &["cuda"]] {
            let output = checkout.setup(arguments);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            let wanted =
                ["for CUDA 13", "newer driver", "cuda --index URL", "scripts/setup-libtorch.sh cpu", shown];
            assert!(wanted.iter().all(|words| said.contains(words)), "{said}");
        }
    }
    assert_eq!(checkout.asked(), "");
    assert!(!checkout.path("tree/libtorch").exists());
}

#[test]
fn for_an_old_driver_the_wheel_of_an_older_cuda_can_be_named() {
    let Some(checkout) = Checkout::new() else { return };
    checkout.driver("CUDA Version: 12.4");
    let output = checkout.setup(&["cuda", "--index", "https://example.org/whl/cu126"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(checkout.asked().contains("--index-url https://example.org/whl/cu126"), "{}", checkout.asked());
    let root = checkout.path("cache/libtorch-2.13.0-cu126/torch");
    assert_eq!(std::fs::read_link(checkout.path("tree/libtorch")).unwrap(), root);
    // It is for CUDA 12: an even older driver is refused here too.
    checkout.driver("CUDA Version: 11.8");
    for address in ["https://example.org/whl/cu128", "https://example.org/whl/cu128/?x=1"] {
        let output = checkout.setup(&["cuda", "--index", address]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("needs one for CUDA 12"), "{}", stderr(&output));
    }
}

#[test]
fn with_a_card_and_its_driver_all_of_cuda_is_unpacked_and_no_wheel_stays() {
    let Some(checkout) = Checkout::new() else { return };
    checkout.driver("CUDA Version: 13.1");
    let output = checkout.command(&[]).env("PIP_USER", "1").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let home = checkout.path("cache/libtorch-2.13.0-cuda");
    for there in
        ["torch/lib/libtorch_cuda.so", "torch/include/torch/version.h", "nvidia/cu13/lib/libcublas.so.13"]
    {
        assert!(home.join(there).exists(), "{there}");
    }
    assert!(!home.join("torch/lib/libtorch_python.so").exists());
    assert_eq!(std::fs::read_to_string(checkout.path("tree/libtorch/build-version")).unwrap(), "2.13.0\n");
    let left: Vec<_> = std::fs::read_dir(checkout.path("cache")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // What is only for Python is not downloaded, and a user's own setting of pip does not count.
    let asked = checkout.asked();
    assert!(asked.contains("nvidia-cublas==13.1\ncuda-toolkit[crt,cublas,cudart]==13.0.2"), "{asked}");
    assert!(
        !asked.contains("sympy") && asked.contains("PIP_USER=0") && !asked.contains("PIP_USER=1"),
        "{asked}"
    );
    assert!(stderr(&output).contains("Unpacking 2 of 2: nvidia_cuda_cupti-13.whl"), "{}", stderr(&output));
}

#[test]
fn without_a_card_or_with_a_broken_driver_the_lean_part_is_taken() {
    let Some(checkout) = Checkout::new() else { return };
    checkout.stand_in("nvidia-smi", "echo 'NVIDIA-SMI has failed: no driver'; exit 9");
    let output = checkout.setup(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("nvidia-smi fails: NVIDIA-SMI has failed: no driver"),
        "{}",
        stderr(&output)
    );
    let home = checkout.path("cache/libtorch-2.13.0-cpu");
    assert!(home.join("lib/libtorch_cpu.so").exists() && home.join("lib/libcupti.so.13").exists());
    assert!(!home.join("lib/libtorch_cuda.so").exists() && !home.join("lib/libcublas.so.13").exists());
    assert_eq!(std::fs::read_link(checkout.path("tree/libtorch")).unwrap(), home);
    // With a driver that is too old, a libtorch that is there stays.
    checkout.driver("CUDA Version: 12.4");
    let output = checkout.setup(&[]);
    assert!(output.status.success() && stderr(&output).contains("./libtorch stays what it is"));
}

#[test]
fn an_nvidia_smi_that_shows_no_usable_card_is_named_and_no_card_is_assumed() {
    for (smi, said) in [
        ("echo 'No devices were found'", "nvidia-smi fails: No devices were found"),
        (
            "echo '| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: N/A |'",
            "states no CUDA version",
        ),
        ("exit 1", "nvidia-smi fails: no answer"),
    ] {
        let Some(checkout) = Checkout::new() else { return };
        checkout.stand_in("nvidia-smi", smi);
        let output = checkout.setup(&[]);
        assert!(output.status.success() && stderr(&output).contains(said), "{smi}: {}", stderr(&output));
        assert!(checkout.path("cache/libtorch-2.13.0-cpu/lib/libtorch_cpu.so").exists(), "{smi}");
        // Where a card is only elsewhere, CUDA can still be requested.
        let output = checkout.setup(&["cuda"]);
        let unknown = "the driver cannot be asked which CUDA it supports; it must support 13.0";
        assert!(output.status.success() && stderr(&output).contains(unknown), "{smi}: {}", stderr(&output));
    }
    // One that hangs is ended, here at once.
    let Some(checkout) = Checkout::new() else { return };
    checkout.stand_in("nvidia-smi", "exec sleep 300");
    checkout.stand_in("timeout", "shift; exec /usr/bin/timeout 0.1 \"$@\"");
    let output = checkout.setup(&[]);
    assert!(output.status.success() && stderr(&output).contains("nvidia-smi fails: no answer"));
}

#[test]
fn a_disk_that_is_too_full_is_refused_and_another_folder_is_named() {
    let Some(checkout) = Checkout::new() else { return };
    checkout.stand_in("df", "echo 'Filesystem'; echo '/dev/vda 9 9 3145728 9% /'");
    checkout.driver("CUDA Version: 13.0");
    let output = checkout.setup(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has 3 GB free, and this takes up to 8 GB: LECTURE5_CACHE=DIR"), "{said}");
    assert_eq!(checkout.asked(), "");
    assert!(checkout.setup(&["cpu"]).status.success());
}

#[test]
fn without_home_the_users_own_folder_is_found() {
    let Some(checkout) = Checkout::new() else { return };
    checkout.stand_in("df", "echo 'Filesystem'; echo '/dev/vda 9 9 0 9% /'");
    checkout.driver("CUDA Version: 99.9");
    let mut command = checkout.command(&["cuda", "--index", "https://example.org/whl/cu999"]);
    let output = command.env_remove("LECTURE5_CACHE").output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/.cache/lecture5 has 0 GB free"), "{said}");
}
