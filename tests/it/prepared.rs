//! The program, prepared: one process has loaded libtorch and is forked for each command (tests/prepared.c). A command
//! that only says what is wrong takes 0.02 s instead of 0.5 s. Where there is no such process, the program itself is
//! started.
//!
//! Tests of how the program is loaded, of its limits, or of its process id start `common::program`.

use std::path::Path;
use std::process::Command;

use crate::common::{self, Place, on_cpu, write_program};

/// A command that starts the program and ends as it does.
pub fn program() -> Command {
    let itself = common::program();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Some(clients) = &*linux::CLIENTS {
        let mut command = on_cpu(&clients.program);
        command.arg(&clients.address).arg(itself.get_program());
        return command;
    }
    itself
}

/// Writes a script that is such a command, for a program that starts it by its path.
#[cfg(unix)]
pub fn write_script(path: &Path) {
    let command = program();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: String = words.map(|word| format!(" '{}'", word.to_str().unwrap())).collect();
    write_program(path, &format!("#!/bin/sh\nexec{words} \"$@\"\n"));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod linux {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::path::{Path, PathBuf};
    use std::process::{ChildStdout, Command, Stdio};
    use std::sync::LazyLock;

    use anyhow::{Context, Result, ensure};

    use super::common;

    /// What stands for the program, and how it finds the prepared process.
    pub struct Clients {
        pub program: PathBuf,
        pub address: String,
        /// The prepared process lives until this end is closed, which is when the tests end.
        _life: ChildStdout,
    }

    pub static CLIENTS: LazyLock<Option<Clients>> = LazyLock::new(|| {
        let prepared = prepare();
        if let Err(error) = &prepared {
            // Past the capture of `println!`, or nobody would see why the tests are slow.
            _ = writeln!(std::io::stderr(), "the program is started anew for each command: {error:#}");
        }
        prepared.ok()
    });

    fn prepare() -> Result<Clients> {
        ensure!(std::env::var_os("ASAN_OPTIONS").is_none(), "a sanitizer is loaded before all others");
        let server = compile("prepared.so", &["-shared", "-fPIC"])?;
        let client = compile("prepared", &["-DCLIENT"])?;
        let address = format!("lecture5 {}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&address)?)?;
        let mut process = common::program()
            .env("LD_PRELOAD", server)
            // Threads that wait sleep; if they spun, they would slow the other tests.
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut life = process.stdout.take().context("the output is a pipe")?;
        life.read_exact(&mut [0]).context("the prepared process does not start")?;
        Ok(Clients { program: client, address, _life: life })
    }

    /// Compiles tests/prepared.c. Test processes that do this at once each put a whole file into place.
    fn compile(name: &str, options: &[&str]) -> Result<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let own = folder.join(format!("{name}.{}", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "tests/prepared.c"]).args(options);
        let output = cc.arg("-o").arg(&own).output().context("no C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = folder.join(name);
        std::fs::rename(own, &path)?;
        Ok(path)
    }
}

#[test]
fn a_prepared_command_prints_and_ends_as_the_program_does() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, device) in [
        (&["list"][..], "cpu"),
        (&["fit", "--modl", "dot"], "cpu"),
        (&["run", "--data", "no such folder"], "cpu"),
        (&["run", "dot_product"], "tpu"),
    ] {
        let [ours, theirs] = [program(), common::program()].map(|mut command| {
            command
                .args(arguments)
                .env("LECTURE5_DEVICE", device)
                .current_dir(folder.path())
                .output()
                .unwrap()
        });
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_prepared_command_that_is_killed_ends_the_program() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    let fit = ["fit", "--model", "dot", "--batch-size", "1", "--schedule", "0.0001x9999", "--json"];
    let mut process = place.command(&fit, "out").spawn().unwrap();
    let mut first = [0];
    std::io::Read::read_exact(process.stdout.as_mut().unwrap(), &mut first).unwrap();
    process.kill().unwrap();
    // Until the program has closed its output too.
    assert_eq!(process.wait_with_output().unwrap().status.signal(), Some(9));
}
