//! Where the running section is: `#[cells]` calls [`begin_cell`] at the beginning of each cell.
//!
//! What a cell shows says where it stands too, but only once it shows something, and some cells show nothing. A debugger
//! line, a generated copy of the file or a call in each cell would do the same, and spoil breakpoints, the editor's view
//! of the file, or the text of the cell.

use std::cell::RefCell;

use anyhow::Result;

use crate::system::interrupt;

type Hear = Box<dyn FnMut(usize) -> Result<()>>;

thread_local! {
    // Not in the Notebook: a cell may still borrow that from the cell before.
    static HEARS: RefCell<Option<Hear>> = const { RefCell::new(None) };
}

/// Called by the code that `#[cells]` adds: the cell whose first statement is on this line begins.
///
/// # Errors
/// Ctrl-C was pressed, or what hears of the cells ends the run.
pub fn begin_cell(line: usize) -> Result<()> {
    interrupt::check()?;
    HEARS.with_borrow_mut(|hears| hears.as_mut().map_or(Ok(()), |hear| hear(line)))
}

/// From here on `hear` is told of each cell that begins on this thread, by its line. An error of it ends the section.
pub fn hear_cells(hear: impl FnMut(usize) -> Result<()> + 'static) {
    HEARS.set(Some(Box::new(hear)));
}
