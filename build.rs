//! Compiles the small C++ part (src/libtorch/*.cpp), and links libtorch so that CUDA is available.
//!
//! Linkers drop a shared library if the program uses none of its symbols. Nothing here refers to
//! libtorch_cuda, so it would be dropped and `Cuda::is_available()` would return false on a GPU machine;
//! `--no-as-needed` keeps it. The rpath lets the binary find its libtorch without LD_LIBRARY_PATH.

use std::env::VarError;
use std::path::{Path, PathBuf};

const CPP: [&str; 3] = ["src/libtorch/extra.cpp", "src/libtorch/cuda.cpp", "src/libtorch/graph.cpp"];

fn main() {
    for file in CPP.into_iter().chain(["src/libtorch/guarded.h"]) {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in ["DEP_TCH_LIBTORCH_LIB", "LIBTORCH", "LIBTORCH_LIB", "LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"]
    {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if std::env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        return; // documentation needs no libtorch
    }
    let lib =
        PathBuf::from(std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names libtorch's lib folder"));
    let lib = lib.canonicalize().unwrap_or(lib);
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();

    compile_extra(lib.parent().expect("libtorch's lib folder has a parent"));

    if target != "windows" {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    if target == "linux" && lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-L{}", lib.display());
        println!("cargo:rustc-link-arg=-ltorch_cuda");
        println!("cargo:rustc-link-arg=-lc10_cuda");
        println!("cargo:rustc-link-arg=-Wl,--as-needed");
    }
}

fn compile_extra(libtorch: &Path) {
    // The headers are next to lib/, both in pip's torch folder and in a libtorch archive, unless a variable says where.
    let apart = if std::env::var_os("LIBTORCH_LIB").is_some() {
        std::env::var("LIBTORCH")
    } else {
        Err(VarError::NotPresent)
    };
    let include =
        std::env::var("LIBTORCH_INCLUDE").or(apart).map_or_else(|_| libtorch.to_path_buf(), PathBuf::from);
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    if let Some(headers) = cuda_headers(libtorch) {
        build.include(headers).define("LECTURE5_CUDA_GRAPHS", None);
    }
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(include.join("include"))
        .include(include.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        // As libtorch was built: some of its classes have additional members when assertions are on.
        .define("NDEBUG", None)
        .files(CPP)
        .compile("lecture5_extra");
}

/// The CUDA headers next to a libtorch with CUDA, if they are complete.
fn cuda_headers(libtorch: &Path) -> Option<PathBuf> {
    libtorch.join("lib/libtorch_cuda.so").exists().then_some(())?;
    let wheels = std::fs::read_dir(libtorch.parent()?.join("nvidia")).ok()?.flatten();
    wheels
        .map(|wheel| wheel.path().join("include"))
        .find(|headers| headers.join("crt/host_defines.h").exists())
}
