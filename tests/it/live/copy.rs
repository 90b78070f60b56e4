//! A copy of the project that may be edited, and builds without compiling its dependencies again.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, MutexGuard};

use crate::common::stderr;

/// The copy and its target folder, for one test at a time.
pub struct Copy {
    pub folder: PathBuf,
}

static COPY: LazyLock<Mutex<Copy>> = LazyLock::new(|| Mutex::new(Copy::make()));

/// The copy, with the sources as they are in the working tree.
pub fn copy() -> MutexGuard<'static, Copy> {
    let copy = COPY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    copy.lay("notebooks-equivalent");
    copy
}

fn sh(script: &str, arguments: &[&Path]) {
    let output = Command::new("sh").args(["-euc", script, "sh"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{script}: {}", stderr(&output));
}

impl Copy {
    fn make() -> Copy {
        let copy = Copy { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("live") };
        std::fs::create_dir_all(copy.target().join("release")).unwrap();
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "build.rs",
            "README.md",
            ".cargo",
            "src",
            "notebooks-equivalent",
            "data",
            "tests",
            "benches",
            "examples",
        ] {
            copy.lay(part);
        }
        // What is compiled is taken over with its times, or Cargo would compile it again: as links, which nothing writes
        // through except for the notes next to this package's own programs. Those of its builds stay here for the next time.
        let release = Path::new(env!("CARGO_BIN_EXE_lecture5")).parent().unwrap();
        let take_over = "cd \"$2\"; rm -rf deps build .fingerprint; cp -Rpl \"$1/deps\" \"$1/build\" .; \
                         cp -Rp \"$1/.fingerprint\" .; rm -f deps/lecture5-* deps/it-*";
        sh(take_over, &[release, &copy.target().join("release")]);
        copy
    }

    /// Puts a file or a folder there as it is in the working tree, with its times.
    fn lay(&self, part: &str) {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        sh("rm -rf \"$2\"; cp -Rp \"$1\" \"$2\"", &[&tree.join(part), &self.folder.join(part)]);
    }

    pub fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// A command in the copy that builds into its own target folder.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = crate::common::on_cpu(program);
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.target()).env("LIBTORCH", libtorch());
        command
    }

    pub fn section(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("notebooks-equivalent/{stem}.rs"))
    }

    /// Replaces a text that is once in a section.
    pub fn edit(&self, stem: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.section(stem)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{stem}: {from}");
        std::fs::write(self.section(stem), text.replace(from, to)).unwrap();
    }

    /// Builds the copy's program, as `watch` does.
    pub fn build(&self) -> PathBuf {
        let mut cargo = self.command(env!("CARGO"));
        cargo.args(["rustc", "--release", "--bin", "lecture5", "--"]);
        let output = cargo.args(["-Copt-level=1", "-Clto=off", "-Cstrip=debuginfo"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        self.target().join("release/lecture5")
    }

    /// Runs it.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let output = self
            .command(program)
            .args(arguments)
            .args(["--fresh", "--out"])
            .arg(self.folder.join("out"))
            .output();
        output.unwrap()
    }
}

/// As the tests' own build has it: the copy's folder must not make another of it.
fn libtorch() -> PathBuf {
    let set = std::env::var_os("LIBTORCH").map_or_else(|| "libtorch".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(set)
}
