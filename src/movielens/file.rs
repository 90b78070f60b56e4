//! The content of a file before it becomes a table: unpacked, decoded as text, or recognized as another kind of file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use crate::system::memory;
use crate::system::special::{is_device, refuse_of_the_kernel};
use crate::system::threads::both;

/// How files begin that are not tables, and what to do about them.
const OTHERS: [(&[u8], &str); 21] = [
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
    (b"BZh", "compressed by bzip2; unpack it first (bunzip2)"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard; unpack it first (unzstd)"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
    (b"SQLite format 3", "an SQLite database; export the ratings as CSV"),
    (b"\x89HDF", "an HDF5 file; save the table as CSV or Parquet"),
    (b"ARROW1", "an Arrow or Feather file; save the table as Parquet"),
    (b"Obj\x01", "an Avro file; save the table as Parquet"),
    (b"\x80", "a Python pickle; save the table as CSV or Parquet (pandas: to_csv, to_parquet)"),
    (b"\x93NUMPY", "an array of NumPy; save it as CSV (numpy.savetxt)"),
    (b"GGUF", "a GGUF model; ratings are read from tables"),
    (b"]\0\0", "compressed by LZMA; unpack it first (unlzma)"),
    (b"\x1f\x9d", "compressed by compress; unpack it first (uncompress)"),
    (b"%PDF", "a PDF; ratings are read from tables of text"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself; git lfs pull fetches it"),
    (b"PAR1", "a Parquet file, but text is expected; save its table as CSV"),
];

const TAR: &str = "a tar archive; unpack it and name the file in it";

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// What a file is that is neither a table nor text, and what to do about it; `None` if its beginning does not show that.
pub fn recognize(bytes: &[u8]) -> Option<&'static str> {
    let begins = OTHERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, what)| *what);
    begins.or_else(|| is_tar(bytes).then_some(TAR))
}

/// Whether a text begins as an object or a list of JSON or Python does: `{"`, `[{`, `[1`, with any blanks.
fn is_json(text: &str) -> bool {
    let mut characters = text.chars().filter(|c| !c.is_whitespace());
    match (characters.next(), characters.next()) {
        (Some('{'), Some(next)) => matches!(next, '"' | '\'' | '}'),
        (Some('['), Some(next)) => matches!(next, '{' | '[' | ']' | '"' | '\'' | '0'..='9'),
        _ => false,
    }
}

/// How text begins that is not a table, and what to do about it.
pub fn other_text(text: &str) -> Option<&'static str> {
    let start = text.trim_start().get(..9).unwrap_or(text.trim_start()).to_ascii_lowercase();
    let line = text.lines().next().unwrap_or_default().trim();
    let netflix =
        line.strip_suffix(':').is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    if is_json(text) {
        Some("JSON; save the table as CSV (pandas: read_json(…, lines=True), to_csv(…, index=False))")
    } else if start.starts_with("<!doctype") || start.starts_with("<html") {
        Some("a page of HTML and not the file; download it again")
    } else if netflix {
        Some(
            "a file of the Netflix prize, which lists ratings under their movie's number; write one row per rating: \
             movie,user,rating,date",
        )
    } else {
        None
    }
}

/// A pipe, or what gzip unpacks, is read up to this size: three times the largest MovieLens.
const MOST: usize = 4 << 30;

/// The first `size` bytes of a file, read on all processors: if the system has the file in memory, copying is most of the
/// work. Nothing where a file has only one place to read at.
fn read_at_once(file: &File, size: usize) -> io::Result<Vec<u8>> {
    #[cfg(not(unix))]
    return Ok(Vec::new());
    #[cfg(unix)]
    {
        let mut bytes = vec![0; size];
        let piece = size.div_ceil(thread::available_parallelism().map_or(1, Into::into)).max(1 << 24);
        thread::scope(|scope| {
            let read = |(k, into)| scope.spawn(move || file.read_exact_at(into, (k * piece) as u64));
            let pieces: Vec<_> = bytes.chunks_mut(piece).enumerate().map(read).collect();
            pieces.into_iter().try_for_each(|piece| piece.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })?;
        Ok(bytes)
    }
}

/// Everything that a reader gives after these bytes, which may be endless; `fault` is what its error means.
fn read_all(path: &Path, mut bytes: Vec<u8>, mut from: impl Read, fault: &str) -> Result<Vec<u8>> {
    let shown = path.display();
    loop {
        let read = from.by_ref().take(64 << 20).read_to_end(&mut bytes);
        if read.with_context(|| format!("{shown}: {fault}"))? == 0 {
            return Ok(bytes);
        }
        // A small file may unpack to one that does not fit into memory.
        memory::check_file(path, bytes.len() as u64)?;
        ensure!(bytes.len() <= MOST, "{shown}: more than {} GiB; take a part of it", MOST >> 30);
    }
}

/// The bytes of a file, unpacked if gzip has packed it.
///
/// # Errors
/// It cannot be read, is not a complete gzip file, or does not fit into memory.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    ensure!(!path.is_dir(), "{}: a folder, where a file is expected", path.display());
    let unread = || format!("{}: cannot be read", path.display());
    let there = std::fs::metadata(path).with_context(unread)?;
    ensure!(!is_device(&there), "{}: a device, where a file is expected", path.display());
    memory::check_file(path, there.len())?;
    refuse_of_the_kernel(path, &there)?;
    let mut file = File::open(path).with_context(unread)?;
    // A pipe has no size.
    let size = if there.is_file() { there.len() } else { 0 };
    let packed = read_at_once(&file, size as usize).with_context(unread)?;
    if !packed.is_empty() {
        file.seek(SeekFrom::Start(packed.len() as u64)).with_context(unread)?;
    }
    let packed = read_all(path, packed, file, "cannot be read")?;
    if !packed.starts_with(b"\x1f\x8b") {
        return Ok(packed);
    }
    let unpacked = read_all(path, Vec::new(), MultiGzDecoder::new(&packed[..]), "not a complete gzip file")?;
    Ok(unpacked)
}

/// What Windows-1252 has in place of Latin-1's control characters: typographic quotes, dashes, the euro. No text uses
/// those control characters, so a Latin-1 file is read as Windows-1252, as browsers do.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252(byte: u8) -> char {
    let special = byte.checked_sub(0x80).and_then(|at| WINDOWS.get(usize::from(at)));
    special.copied().unwrap_or(char::from(byte))
}

/// A file's text, without a byte order mark and with Unix line ends: UTF-8 or, if it cannot be that, Latin-1. The
/// second result says whether it is Latin-1.
///
/// # Errors
/// It is something else; the error says what.
pub fn text(path: &Path, bytes: Vec<u8>) -> Result<(String, bool)> {
    let shown = path.display();
    if let Some(what) = recognize(&bytes) {
        bail!("{shown}: {what}");
    }
    let line_at = |bytes: &[u8], at: usize| memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1;
    let (zeros_or_returns, utf_8) = both(
        || memchr::memchr2(0, b'\r', &bytes).is_some(),
        || std::str::from_utf8(&bytes).map(drop).map_err(|e| e.valid_up_to()),
    );
    if zeros_or_returns && let Some(at) = memchr::memchr(0, &bytes) {
        bail!("{shown} line {}: a zero byte, so this is not text", line_at(&bytes, at));
    }
    let latin_1 = utf_8.is_err();
    let mut text = match utf_8 {
        // SAFETY: these bytes have just been found to be UTF-8.
        Ok(()) => unsafe { String::from_utf8_unchecked(bytes) },
        Err(valid) => {
            // Text that was UTF-8 so far is damaged rather than in another encoding.
            ensure!(
                bytes[..valid].is_ascii(),
                "{shown} line {}: not UTF-8 text, unlike the lines before; save it as UTF-8",
                line_at(&bytes, valid)
            );
            bytes.iter().map(|&byte| windows_1252(byte)).collect()
        }
    };
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if let Some(what) = other_text(&text) {
        bail!("{shown}: {what}");
    }
    if zeros_or_returns {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    Ok((text, latin_1))
}
