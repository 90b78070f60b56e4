//! CUDA graphs: operations that are recorded once and then started together, by one call. The operations of a small batch
//! take a card less time than it takes to start them one by one.

use std::ffi::{c_char, c_int};

use anyhow::{Result, anyhow};
use tch::Device;

use super::{check, generator};
use crate::system::panics::caught;

/// A graph in `graph.cpp`.
#[repr(C)]
struct Recording {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn lecture5_graphs() -> bool;
    fn lecture5_graph_begin(device: c_int, out: *mut *mut Recording) -> *mut c_char;
    fn lecture5_graph_record(recording: *mut Recording) -> *mut c_char;
    fn lecture5_graph_end(recording: *mut Recording) -> *mut c_char;
    fn lecture5_graph_replay(recording: *mut Recording) -> *mut c_char;
    fn lecture5_graph_drop(recording: *mut Recording);
}

/// Whether this program was built with CUDA's headers, which graphs need.
pub fn has_graphs() -> bool {
    // SAFETY: returns a constant.
    unsafe { lecture5_graphs() }
}

/// Operations on a card, recorded together with the addresses of their tensors: the same memory is read and written each
/// time. Whoever owns the graph keeps those tensors.
#[derive(Debug)]
pub struct Graph {
    recording: *mut Recording,
}

impl Graph {
    /// From here to [`Graph::record`] this thread's operations go to a stream of their own, as those of a graph must. What
    /// will be recorded is to be computed there once, so that kernels are loaded.
    ///
    /// # Errors
    /// The card refuses, or this program has no graphs.
    pub fn begin(device: Device) -> Result<Graph> {
        let mut recording = std::ptr::null_mut();
        // SAFETY: on success `recording` is a new graph, which is then owned.
        unsafe { check(lecture5_graph_begin(generator(device), &mut recording))? };
        Ok(Graph { recording })
    }

    /// Records what `body` does, without computing it.
    ///
    /// # Errors
    /// It fails, or does what cannot be recorded, such as reading a number from the card.
    pub fn record<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        // SAFETY: the graph lives.
        unsafe { check(lecture5_graph_record(self.recording))? };
        let done = caught(body);
        // SAFETY: the graph lives.
        let ended = unsafe { check(lecture5_graph_end(self.recording)) };
        let done = done.map_err(|panic| anyhow!("{}", first_line(&panic)))??;
        ended.map(|()| done)
    }

    /// Starts the recorded operations.
    ///
    /// # Errors
    /// The card refuses.
    pub fn replay(&self) -> Result<()> {
        // SAFETY: the graph lives; its owner keeps the tensors.
        unsafe { check(lecture5_graph_replay(self.recording)) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `begin`, and dropped once.
        unsafe { lecture5_graph_drop(self.recording) };
    }
}

/// libtorch's message in a panic of tch, which quotes it: `… Torch("CUDA error: …\n…")`.
fn first_line(panic: &str) -> &str {
    let message = panic.split_once("Torch(\"").map_or(panic, |(_, message)| message);
    message.lines().next().and_then(|line| line.split("\\n").next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_a_panic_only_libtorchs_first_line_is_told() {
        let quoted = r#"called `Result::unwrap()` on an `Err` value: Torch("CUDA error: not now\nframe #0")"#;
        assert_eq!(super::first_line(quoted), "CUDA error: not now");
        assert_eq!(super::first_line("plain\nsecond"), "plain");
    }
}
