//! What is at a path like a file, and is none.

use std::fs::Metadata;
use std::path::Path;

use anyhow::{Result, ensure};

/// Refuses a file that the kernel makes up as it is read (/proc, /sys): some wait, some never end.
///
/// # Errors
/// It is one.
pub fn refuse_of_the_kernel(path: &Path, there: &Metadata) -> Result<()> {
    let why = "a file that the kernel makes up, where one with data is expected";
    ensure!(!of_the_kernel(there), "{}: {why}", path.display());
    Ok(())
}

/// Whether it is a device, such as /dev/zero.
#[cfg(unix)]
pub fn is_device(there: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    there.file_type().is_char_device() || there.file_type().is_block_device()
}

#[cfg(unix)]
fn of_the_kernel(there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |folder: &str| std::fs::metadata(folder).map(|folder| folder.dev()).ok();
    let made_up = [device("/proc"), device("/sys")].contains(&Some(there.dev()));
    there.is_file() && made_up && device("/") != Some(there.dev())
}

#[cfg(not(unix))]
pub fn is_device(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn of_the_kernel(_: &Metadata) -> bool {
    false
}
