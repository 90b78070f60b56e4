//! A *seal*: a checksum of a whole file, in the file itself, so that no bit of it changes unnoticed.
//!
//! It is the last field of the model card, which is JSON in the JSON of the header. It is computed with zeros in its
//! own place.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What comes before the checksum in the header.
const BEFORE: &[u8] = br#"\"seal\":\""#;
const DIGITS: usize = 64;

/// A card as JSON, with room for the checksum.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn open_card(card: &impl Serialize) -> Result<String> {
    #[derive(Serialize)]
    struct WithSeal<'a, T> {
        #[serde(flatten)]
        card: &'a T,
        seal: String,
    }
    Ok(serde_json::to_string(&WithSeal { card, seal: "0".repeat(DIGITS) })?)
}

/// Puts the checksum into the room that [`open_card`] left.
///
/// # Errors
/// There is no room for it.
pub(super) fn close(bytes: &mut [u8]) -> Result<()> {
    let at = place(bytes).context("no room for a checksum")?;
    let digits = checksum(bytes, at);
    bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
    Ok(())
}

/// Checks that the bytes are those that were sealed. Files without a checksum come from other programs, and pass.
///
/// # Errors
/// The bytes have changed.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let Some(at) = place(bytes) else { return Ok(()) };
    ensure!(
        checksum(bytes, at).as_bytes() == &bytes[at..at + DIGITS],
        "its checksum is not the one that it states: it is damaged, or another program has changed it"
    );
    Ok(())
}

/// Where the checksum's digits are.
fn place(bytes: &[u8]) -> Option<usize> {
    let header = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let end = header.checked_add(8).filter(|end| *end <= bytes.len())?;
    // Within an id the same characters are escaped once more.
    let at = memchr::memmem::rfind(&bytes[..end], BEFORE)? + BEFORE.len();
    (at + DIGITS <= end).then_some(at)
}

fn checksum(bytes: &[u8], at: usize) -> String {
    let hash = Sha256::new().chain_update(&bytes[..at]).chain_update([b'0'; DIGITS]);
    let hash = hash.chain_update(&bytes[at + DIGITS..]).finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
