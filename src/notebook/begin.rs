//! Where the running section is: `#[cells]` calls [`begin_cell`] at the beginning of each cell.
//!
//! Each output also says which cell it belongs to, but only once the cell shows something, and some cells show nothing.
//! A generated copy of the file or a call written into each cell would do the same, but spoil breakpoints and the editor's
//! view of the file, or the text of the cell.

use std::cell::RefCell;

use anyhow::Result;

use crate::system::interrupt;

type Hear = Box<dyn FnMut(usize) -> Result<()>>;

thread_local! {
    // Not in the Notebook, which may still be borrowed by the previous cell.
    static HEARS: RefCell<Option<Hear>> = const { RefCell::new(None) };
}

/// Called by the code that `#[cells]` adds: the cell whose first statement is on this line begins.
///
/// # Errors
/// Ctrl-C was pressed, or the listener ends the run.
pub fn begin_cell(line: usize) -> Result<()> {
    interrupt::check()?;
    HEARS.with_borrow_mut(|hears| hears.as_mut().map_or(Ok(()), |hear| hear(line)))
}

/// From here on, `hear` is called with the line of each cell that begins on this thread. Its error ends the section.
pub fn hear_cells(hear: impl FnMut(usize) -> Result<()> + 'static) {
    HEARS.set(Some(Box::new(hear)));
}
