//! Any bytes in a model file are refused, or are read as tensors with metadata.
#![no_main]

use std::sync::LazyLock;

use lecture5::saved::model_file;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("the file is written");
    match model_file::read(&path) {
        Err(error) => assert!(format!("{error:#}").contains("model.safetensors")),
        Ok((metadata, _)) => drop(model_file::card(&metadata)),
    }
});
