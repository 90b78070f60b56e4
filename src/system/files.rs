//! Writes files whole or not at all, and finds out beforehand whether they can be written.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What the name of a temporary file begins with.
const WRITING: &str = ".writing-";

/// Writes a file through a temporary one beside it and a rename, making its folder where needed.
///
/// # Errors
/// The folder cannot be made or written to, or the disk is full; then nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, false)
}

/// The same for results of hours: the bytes are on the disk before the file takes its name, so a power failure leaves
/// either the new file or the old one. This takes about as long as writing twenty files.
///
/// # Errors
/// As [`write_whole`]'s.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, true)
}

fn write(path: &Path, bytes: &[u8], durably: bool) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = temporary(folder)?;
        file.write_all(bytes)?;
        if durably {
            file.as_file().sync_all()?;
        }
        // The error would keep the temporary file: only its cause goes on.
        file.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Checks that [`write_whole`] could write this file now, and leaves nothing behind, not even a folder: a run checks this
/// before it computes for an hour.
///
/// # Errors
/// A folder is in the place of the file, a file in the place of a folder, or the folder takes no files.
pub fn check_writable(path: &Path) -> Result<()> {
    ensure!(
        !path.is_dir(),
        "{}: a folder is in the way of this file; move it, or write elsewhere",
        path.display()
    );
    // The folder that is there already: itself, or the nearest above it.
    let mut folder = folder_of(path);
    while let Err(failed) = folder.metadata() {
        // A link to nowhere is there, and nothing can be made in its place.
        ensure!(
            !folder.is_symlink(),
            "{}: a link that leads nowhere is in the way of this folder; remove it, or write elsewhere",
            folder.display()
        );
        let higher = matches!(failed.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        ensure!(higher, "{}: no folder can be here; write elsewhere: {failed}", folder.display());
        folder = folder_of(folder);
    }
    ensure!(
        folder.is_dir(),
        "{}: a file is in the way of this folder; move it, or write elsewhere",
        folder.display()
    );
    temporary(folder)
        .map_err(|failed| std::io::Error::from(failed.kind()))
        .with_context(|| format!("{}: no file can be made here; write elsewhere", folder.display()))?;
    Ok(())
}

/// Removes what a killed process left half-written in a folder that no other process writes to.
///
/// # Errors
/// The folder cannot be read, or a file of it cannot be removed.
pub fn remove_half_written(folder: &Path) -> Result<()> {
    let remove = || -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(WRITING) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().with_context(|| format!("{}: cannot be cleaned", folder.display()))
}

/// A file that goes when it is dropped, as readable for others as the umask has it.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The folder that a path lies in; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
