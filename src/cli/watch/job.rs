//! One build and run of a section.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::build::{Built, Fault, build};
use super::page::{Page, State};
use super::process::Process;
use super::tree::Tree;
use lecture5::notebook::{Echo, Notebook};
use lecture5::run::live::CellEvent;
use lecture5::system::interrupt;
use lecture5::system::terminal::say;

/// A build and run in a separate thread.
pub struct Job {
    process: Arc<Process>,
    thread: JoinHandle<()>,
}

impl Job {
    /// Builds the program and runs a section of this text, which the page shows already; `options` are those of `run`.
    pub fn start(
        tree: Tree,
        stem: &'static str,
        text: String,
        options: Vec<OsString>,
        page: Arc<Page>,
    ) -> Job {
        let process = Arc::new(Process::default());
        let of_thread = Arc::clone(&process);
        let thread = spawn(move || {
            let notebook = Notebook::new(stem, &text, Echo::Quiet);
            if let Err(error) = work(&tree, &notebook, &options, &page, &of_thread) {
                page.fail(vec![Fault { cell: None, text: format!("{error:#}") }]);
            }
        });
        Job { process, thread }
    }

    /// Ctrl-C for the run: a fit stops after its batch.
    pub fn interrupt(&self) {
        self.process.interrupt();
    }

    /// Ends build and run.
    pub fn end(self) {
        self.process.end();
        let asked = Instant::now();
        while !self.thread.is_finished() && asked.elapsed() < Duration::from_millis(500) {
            sleep(Duration::from_millis(5));
        }
        self.process.kill();
        drop(self.thread.join());
    }
}

fn work(
    tree: &Tree,
    notebook: &Notebook,
    options: &[OsString],
    page: &Page,
    process: &Process,
) -> Result<()> {
    let started = Instant::now();
    page.state(State::Building, "");
    let program = match build(tree, notebook, process)? {
        Built::Program(program) => program,
        Built::Faults(faults) => {
            page.fail(faults);
            return Ok(());
        }
        Built::Ended => return Ok(()),
    };
    let built = started.elapsed().as_secs_f64();
    page.state(State::Running, &format!("built in {built:.1} s"));
    if run(&program, notebook, options, page, process)? {
        let took = started.elapsed().as_secs_f64();
        page.state(State::Done, &format!("built in {built:.1} s, run in {:.1} s", took - built));
        say(format!("{}: built in {built:.1} s, run in {:.1} s", notebook.name(), took - built));
    }
    Ok(())
}

/// Runs the section, and passes on its events. Returns whether it ran to its end.
fn run(
    program: &Path,
    notebook: &Notebook,
    options: &[OsString],
    page: &Page,
    process: &Process,
) -> Result<bool> {
    let mut command = Command::new(program);
    command.args(["run", notebook.name(), "--live", "--fresh"]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = process.start(&mut command);
    let started = started.with_context(|| format!("{}: cannot be started", program.display()))?;
    let Some(mut child) = started else { return Ok(false) };
    // The run ends with this pipe, and so ends even if the watching process is killed.
    let _stdin = child.stdin.take();
    let mut stderr = child.stderr.take().expect("it is piped");
    let complaints = spawn(move || {
        let mut text = String::new();
        drop(stderr.read_to_string(&mut text));
        text
    });
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        match CellEvent::read(&line) {
            Some(told) => page.hear(told),
            None => say(line), // a cell's own println!
        }
    }
    let (status, complaints) = (process.wait(child)?, complaints.join().unwrap_or_default());
    if process.has_ended() {
        return Ok(false);
    }
    if status.code() == Some(i32::from(interrupt::STATUS)) {
        page.state(State::Stopped, "stopped");
    } else if !status.success() {
        let text = if complaints.trim().is_empty() { status.to_string() } else { complaints };
        page.fail_where_it_runs(text.trim_end());
    }
    Ok(status.success())
}
