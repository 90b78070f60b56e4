//! A folder that one process at a time writes to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::system::files;
use crate::system::terminal::complain;

/// The file in a folder that the writing process locks.
const NAME: &str = ".lecture5.lock";

/// A folder that only this process writes to, until this is dropped. The system releases the lock when the process
/// ends, however it ends: a file that is left behind blocks nobody.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Folders that were created for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Lock {
    /// Locks a folder, which is created if missing; `option` names it.
    ///
    /// # Errors
    /// Another process holds the lock: the error has its id, and the way out. Or the folder cannot be created or
    /// written to.
    pub fn take(folder: &Path, option: &str) -> Result<Lock> {
        let made: Vec<PathBuf> = folder
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
            .map(Path::to_owned)
            .collect();
        let path = folder.join(NAME);
        files::check_writable(&path)?;
        let unusable = || format!("{}: cannot be locked", folder.display());
        std::fs::create_dir_all(folder).with_context(unusable)?;
        loop {
            if let Ok(there) = path.symlink_metadata() {
                ensure!(there.is_file(), "{}: not a file of this program; remove it", path.display());
            }
            let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = open().with_context(unusable)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "{}: {} writes here; wait for it, or take another {option}",
                    folder.display(),
                    holder(&file)
                ),
                Err(TryLockError::Error(why)) => complain(&format!(
                    "note: {}: locks do not work here, so a second run would not be refused ({why})",
                    folder.display()
                )),
            }
            let mut lock = Lock { file, path: path.clone(), made: made.clone() };
            // The process that held it may have removed the file just before it was locked here.
            if lock.is_the_file_there() {
                lock.write_id().with_context(unusable)?;
                return Ok(lock);
            }
            lock.made.clear();
        }
    }

    fn write_id(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }

    #[cfg(unix)]
    fn is_the_file_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |of: std::fs::Metadata| (of.dev(), of.ino());
        match (self.file.metadata(), self.path.metadata()) {
            (Ok(held), Ok(there)) => id(held) == id(there),
            _ => false,
        }
    }

    #[cfg(not(unix))]
    fn is_the_file_there(&self) -> bool {
        self.path.exists()
    }
}

/// The holder of a lock, by what it wrote into the file.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("another lecture5 (process {id})"),
        _ => "another lecture5".to_owned(),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked: no other process has taken the file in the meantime.
        if self.is_the_file_there() {
            drop(std::fs::remove_file(&self.path));
        }
        // Folders that were created in vain are removed; a folder with anything in it stays.
        for folder in &self.made {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_holder_s_and_what_a_dead_one_left_holds_nobody_off() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        let held = Lock::take(&folder, "--out").unwrap();
        let refused = format!("{:#}", Lock::take(&folder, "--out").unwrap_err());
        let id = std::process::id();
        let said =
            format!("a/b: another lecture5 (process {id}) writes here; wait for it, or take another --out");
        assert!(refused.ends_with(&said), "{refused}");
        drop(held);
        assert!(!place.path().join("a").exists(), "folders made for nothing are left");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(NAME), "1\n").unwrap();
        drop(Lock::take(&folder, "--out").unwrap());
        assert!(folder.exists() && !folder.join(NAME).exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_lock_is_not_opened() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", place.path().join(NAME)).unwrap();
        let refused = format!("{:#}", Lock::take(place.path(), "--out").unwrap_err());
        assert!(refused.contains("not a file of this program"), "{refused}");
    }
}
