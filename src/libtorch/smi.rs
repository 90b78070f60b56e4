//! What `nvidia-smi` says of this machine's cards.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// What `nvidia-smi` answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Smi {
    /// It is not on the PATH.
    #[default]
    Absent,
    /// It fails: the first line of what it says.
    Fails(String),
    /// The names of the cards that it lists.
    Lists(Vec<String>),
}

/// What a process writes to a pipe, as it comes; beyond 64 kB it is read and forgotten, so that the pipe does not fill.
fn chunks(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    let read = move || {
        let (mut chunk, mut length) = ([0; 4096], 0);
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            length += n;
            if length <= 1 << 16 && send.send(chunk[..n].to_vec()).is_err() {
                break;
            }
        }
    };
    // Without a thread there is no answer, as from an nvidia-smi that hangs.
    drop(thread::Builder::new().spawn(read));
    receive
}

/// The lines of it, once the process has ended. One that it leaves behind may hold the pipe open.
fn lines(from: &Receiver<Vec<u8>>) -> Vec<String> {
    let mut bytes = Vec::new();
    while let Ok(chunk) = from.recv_timeout(Duration::from_millis(200)) {
        bytes.extend(chunk);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// How long nvidia-smi may take: with a broken driver it can hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks it for the names of the cards.
pub fn ask() -> Smi {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=name", "--format=csv,noheader"]).stdin(Stdio::null());
    let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        return Smi::Absent;
    };
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return Smi::Absent };
    let (out, err) = (chunks(out), chunks(err));
    let began = Instant::now();
    let status = loop {
        if let Ok(Some(status)) = child.try_wait() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Smi::Fails(format!("no answer within {} seconds", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let (cards, rest) = (lines(&out), lines(&err));
    if status.success() && !cards.iter().any(|card| card.starts_with("No devices")) {
        return Smi::Lists(cards);
    }
    Smi::Fails(cards.into_iter().chain(rest).next().unwrap_or_else(|| status.to_string()))
}
