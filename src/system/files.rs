//! Writes files completely or not at all, and finds out beforehand whether they can be written. Reads files from
//! unknown sources without taking more memory than there is.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::system::memory;
use crate::system::special::refuse_of_the_kernel;

/// The start of a temporary file's name, and how many letters and digits follow.
const WRITING: &str = ".lecture5-writing-";
const RANDOM: usize = 6;

/// Writes a file through a temporary one next to it and a rename, creating its folder if needed.
///
/// # Errors
/// The folder cannot be created or written to, or the disk is full; then nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, false)
}

/// The same for results that took hours: the bytes are on the disk before the file takes its name, so a power failure
/// leaves either the new file or the old one. This takes about as long as writing twenty files.
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
        // The error would keep the temporary file: only its cause is passed on.
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
    // The nearest folder that exists: itself, or one above it.
    let mut folder = folder_of(path);
    while let Err(failed) = folder.metadata() {
        // A dangling link exists, but nothing can be created in its place.
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
    let mine = temporary(folder)
        .map_err(|failed| std::io::Error::from(failed.kind()))
        .with_context(|| format!("{}: no file can be made here; write elsewhere", folder.display()))?;
    if let (Ok(mine), Ok(folder), Ok(there)) =
        (mine.as_file().metadata(), folder.metadata(), path.symlink_metadata())
    {
        ensure!(
            !sticky_keeps(&folder, &there, &mine),
            "{}: another user's file, in a folder where only its owner may replace it (sticky); write elsewhere",
            path.display()
        );
    }
    Ok(())
}

/// Whether a sticky folder prevents the owner of the file `mine` from replacing the file that is there.
#[cfg(unix)]
fn sticky_keeps(folder: &Metadata, there: &Metadata, mine: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    only_owners_replace(folder.mode(), [folder.uid(), there.uid()], mine.uid())
}

#[cfg(not(unix))]
fn sticky_keeps(_: &Metadata, _: &Metadata, _: &Metadata) -> bool {
    false
}

/// Whether, in a folder of this mode, a user is neither root nor the owner of the folder or the file.
#[cfg(unix)]
fn only_owners_replace(mode: u32, owners: [u32; 2], user: u32) -> bool {
    mode & 0o1000 != 0 && user != 0 && !owners.contains(&user)
}

/// Removes what a killed process left half-written in a folder (if it exists) that no other process writes to.
///
/// # Errors
/// The folder cannot be read, or a file in it cannot be removed.
pub fn remove_half_written(folder: &Path) -> Result<()> {
    let of_ours = |name: &str| {
        name.strip_prefix(WRITING)
            .is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let remove = || -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(of_ours) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    match folder.is_dir() {
        true => remove().with_context(|| format!("{}: cannot be cleaned", folder.display())),
        false => Ok(()),
    }
}

/// Opens a file, and returns it with its length. A device, pipe or socket, which may be endless or wait for one, is
/// refused.
///
/// # Errors
/// It is not a file, or cannot be read.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let unread = || format!("{}: cannot be read", path.display());
    let there = path.metadata().with_context(unread)?;
    ensure!(
        there.is_file() || there.is_dir(),
        "{}: a device, a pipe or a socket, where a file is expected",
        path.display()
    );
    refuse_of_the_kernel(path, &there)?;
    Ok((File::open(path).with_context(unread)?, there.len()))
}

/// The bytes of a file of at most `most` bytes.
///
/// # Errors
/// As [`open`]; or the file is longer, or does not fit into memory.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, length) = open(path)?;
    let too_long =
        || format!("{}: longer than {} MiB, which no file of this program is", path.display(), most >> 20);
    ensure!(length <= most, too_long());
    memory::check_file(path, length)?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("{}: cannot be read", path.display()))?;
    ensure!(bytes.len() as u64 <= most, too_long());
    Ok(bytes)
}

/// A file that is removed when it is dropped, with the permissions that the umask allows.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING).rand_bytes(RANDOM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The folder that contains a path; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_program_left_half_written_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = [".writing-notes.txt", ".lecture5-writing-notes.txt", ".lecture5-writing-", "notes"];
        for name in kept.iter().chain(&[".lecture5-writing-aB3xY9"]) {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        remove_half_written(folder.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(left, kept);
    }

    #[cfg(unix)]
    #[test]
    fn a_sticky_folder_lets_only_owners_replace_a_file() {
        assert!(only_owners_replace(0o41777, [0, 1000], 1001));
        assert!(!only_owners_replace(0o40777, [0, 1000], 1001));
        for user in [0, 1000] {
            assert!(!only_owners_replace(0o41777, [0, 1000], user));
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = format!("{:#}", read(&path, 1 << 20).unwrap_err());
        assert!(error.contains("long: longer than 1 MiB"), "{error}");
    }
}
