//! The program's allocator: if memory runs out, it prints one line and exits with status 1, where Rust would abort.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

use super::memory;

/// The system's allocator, which ends the process with one line if memory runs out, or if reading a damaged file
/// requests more than there is (see [`memory::while_reading`]). A program takes it as its `#[global_allocator]`.
pub struct OneLine;

// SAFETY: every call is the system allocator's own, with the arguments as they came.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the caller's promise is the system allocator's condition"
)]
unsafe impl GlobalAlloc for OneLine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        checked(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        checked(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        memory::within_bounds(-signed(layout.size()));
        checked(size, || unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        memory::within_bounds(-signed(layout.size()));
        unsafe { System.dealloc(memory, layout) }
    }
}

/// No layout is larger than an `isize`.
fn signed(size: usize) -> i64 {
    size as i64
}

#[inline]
fn checked(size: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
    if memory::within_bounds(signed(size)) {
        let memory = allocate();
        if !memory.is_null() {
            return memory;
        }
    }
    give_up(size)
}

/// Nothing here may allocate, and no destructor may run: another thread can hold any lock.
#[cold]
fn give_up(size: usize) -> ! {
    let mut line = [0; 1024];
    let mut rest = &mut line[..];
    let what = memory::being_read();
    // A name too long for the line is cut.
    drop(match what.as_ref().and_then(|path| path.as_deref()) {
        Some(path) => writeln!(
            rest,
            "error: {path}: reading it asks for {size} bytes more, which this machine does not have: the file is \
             damaged, or too large to be read here"
        ),
        None => writeln!(rest, "error: memory ran out: {size} more bytes were needed"),
    });
    let unused = rest.len();
    let said = &line[..line.len() - unused];
    // SAFETY: the bytes are there, and nothing returns.
    unsafe {
        libc::write(2, said.as_ptr().cast(), said.len() as _);
        libc::_exit(1)
    }
}
