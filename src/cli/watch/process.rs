//! The current build or run, as a process group that can be interrupted and ended.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard};

use rustix::process::{Pid, Signal, kill_process_group};

/// One process at a time, with the processes that it starts.
#[derive(Default)]
pub struct Process(Mutex<State>);

#[derive(Default)]
struct State {
    group: Option<Pid>,
    ended: bool,
}

impl Process {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Starts a process in a separate group, so that the terminal's Ctrl-C does not reach it; `None` after
    /// [`Process::end`].
    pub fn start(&self, command: &mut Command) -> io::Result<Option<Child>> {
        let mut state = self.state();
        if state.ended {
            return Ok(None);
        }
        let child = command.process_group(0).spawn()?;
        state.group = Some(Pid::from_child(&child));
        Ok(Some(child))
    }

    /// Waits for it.
    pub fn wait(&self, mut child: Child) -> io::Result<ExitStatus> {
        let status = child.wait();
        self.state().group = None;
        status
    }

    /// Ctrl-C for the running process.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Asks the running process to end; no other will start.
    pub fn end(&self) {
        self.state().ended = true;
        self.signal(Signal::TERM);
    }

    /// Ends the process that did not end when it was asked to.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether [`Process::end`] was called.
    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.state().group {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, signal);
        }
    }
}
