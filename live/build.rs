//! The arguments of the linker: where libtorch is, libtorch_cuda if there is one (as in the build.rs of lecture5, whose
//! arguments do not reach this library), and which C functions cells may call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lib = PathBuf::from(std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names libtorch's folder"));
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-L{}", lib.display());
        println!("cargo:rustc-link-arg=-ltorch_cuda");
        println!("cargo:rustc-link-arg=-lc10_cuda");
        println!("cargo:rustc-link-arg=-Wl,--as-needed");
    }
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let exports = out.join("exports");
    let names = c_functions(&torch_sys_archive(&out));
    fs::write(&exports, format!("{{ global: {}; }};\n", names.join("; "))).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-arg=-Wl,--version-script={}", exports.display());
}

/// torch-sys's C functions, which its build script has compiled: the newest of its results.
fn torch_sys_archive(out: &Path) -> PathBuf {
    let builds = out.ancestors().nth(2).expect("OUT_DIR is build/NAME/out");
    let folders = fs::read_dir(builds).expect("Cargo's folder of builds can be read").flatten();
    let ours = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("torch-sys-"));
    let archives = ours.map(|folder| folder.path().join("out/libtch.a"));
    let time = |archive: &PathBuf| fs::metadata(archive).and_then(|archive| archive.modified()).ok();
    archives.filter(|archive| archive.exists()).max_by_key(time).expect("torch-sys is compiled")
}

/// Generic functions of tch are compiled in the cell and call these. Rust exports its own functions only, and a pattern
/// instead of the names (`at*`) takes a linker gigabytes.
fn c_functions(archive: &Path) -> Vec<String> {
    let listed = Command::new("nm")
        .args(["--defined-only", "--extern-only", "--format=just-symbols"])
        .arg(archive)
        .output()
        .expect("nm, which comes with the compiler, can be started");
    assert!(listed.status.success(), "nm {}: {}", archive.display(), String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("C names are ASCII");
    let is_c = |name: &&str| !name.is_empty() && !name.starts_with('_') && !name.ends_with(':');
    names.lines().filter(is_c).map(str::to_owned).collect()
}
