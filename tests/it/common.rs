//! Shared test code: starting the program, reading its output, and libtorch's generator.
#![allow(dead_code)] // Each test module uses only a part.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::prepared;

/// A command that computes on the CPU, unless it is told otherwise: on a card, bytes and losses are others.
pub fn on_cpu(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LECTURE5_DEVICE", "cpu");
    command
}

/// The program itself, for tests of how it is loaded and of its limits; others start `prepared::program`.
pub fn program() -> Command {
    on_cpu(env!("CARGO_BIN_EXE_lecture5"))
}

pub fn lecture5(arguments: &[impl AsRef<OsStr>]) -> Output {
    prepared::program().args(arguments).output().expect("the program starts")
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

/// Writes an executable script.
#[cfg(unix)]
pub fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A ratings.csv of this many of the lecture's first ratings.
pub fn first_ratings(n: usize) -> String {
    let text = std::fs::read_to_string("data/ml-latest-small/ratings.csv").unwrap();
    text.lines().take(1 + n).map(|line| format!("{line}\n")).collect()
}

/// A folder with the first users' ratings, and calls of the program on it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With the first 1,500 ratings.
    pub fn new() -> Place {
        Place::with(1500)
    }

    /// With this many of the first ratings.
    pub fn with(ratings: usize) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/ratings.csv"), first_ratings(ratings)).unwrap();
        Place { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes each rating.
    pub fn rate(&self, change: impl Fn(f64) -> f64) {
        let path = self.path("data/ratings.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = text.lines().enumerate().map(|(at, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            match at {
                0 => format!("{line}\n"),
                _ => format!(
                    "{},{},{},{}\n",
                    fields[0],
                    fields[1],
                    change(fields[2].parse().unwrap()),
                    fields[3]
                ),
            }
        });
        std::fs::write(&path, changed.collect::<String>()).unwrap();
    }

    pub fn command(&self, arguments: &[&str], out: &str) -> Command {
        self.of(prepared::program(), arguments, out)
    }

    /// A call of the program that is started in this way.
    pub fn of(&self, mut command: Command, arguments: &[&str], out: &str) -> Command {
        command.args(arguments).arg("--data").arg(self.path("data")).arg("--out").arg(self.path(out));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a command writes and prints, with its status.
    pub fn run(&self, arguments: &[&str], out: &str) -> Output {
        self.command(arguments, out).output().unwrap()
    }

    /// A file of results.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }
}

pub fn succeeds(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// The command fails with this status and one line that says so.
pub fn fails(output: &Output, status: i32, said: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(said) && text.lines().count() == 1, "{text}");
}

/// The first process that another one has started.
#[cfg(target_os = "linux")]
fn child_of(id: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    children.collect::<String>().split_whitespace().next()?.parse().ok()
}

/// Waits until a process has started another one, whose id it returns.
#[cfg(target_os = "linux")]
pub fn first_child(process: &mut Child) -> u32 {
    loop {
        if let Some(child) = child_of(process.id()) {
            return child;
        }
        assert!(process.try_wait().unwrap().is_none(), "it ended without a child");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// A saved model with its model card and its tensors changed, written without a checksum as another program would.
pub fn doctored(
    model: &Path,
    card: impl FnOnce(&mut serde_json::Value),
    tensors: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Vec<u8> {
    let bytes = std::fs::read(model).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut about: serde_json::Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["lecture5"]).unwrap();
    card(&mut about);
    let views = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let copy = |view: safetensors::tensor::TensorView| Tensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        data: view.data().to_vec(),
    };
    let mut all: Vec<(String, Tensor)> =
        views.tensors().into_iter().map(|(name, view)| (name, copy(view))).collect();
    tensors(&mut all);
    let metadata = std::collections::HashMap::from([("lecture5".to_owned(), about.to_string())]);
    let views = all.iter().map(|(name, t)| {
        (name, safetensors::tensor::TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap())
    });
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// A tensor of a file.
pub struct Tensor {
    pub dtype: safetensors::Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// The checksum of bytes without one, put into its place.
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mark = br#"\"seal\":\""#;
    let at = bytes.windows(mark.len()).rposition(|window| window == mark).unwrap() + mark.len();
    bytes[at..at + 64].fill(b'0');
    let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[at..at + 64].copy_from_slice(digits.as_bytes());
    bytes
}
