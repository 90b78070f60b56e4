//! Everything printed passes through here: a title, an id or a path may contain control characters that a terminal
//! obeys.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use anyhow::{Result, bail};

/// Whether a character would move, color or reverse what a terminal shows, instead of being shown.
fn commands(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Text in which the characters that a terminal would obey are replaced.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.chars().any(commands) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.chars().map(|c| if commands(c) { '\u{fffd}' } else { c }).collect()),
    }
}

/// Writes a line to the standard error. If that is closed or full, the line is lost.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", printable(line)));
}

/// The first error of the standard output, except a closed pipe.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line on the standard output. A closed pipe is not an error: the run continues and writes its files. Any
/// other error is kept for [`all_was_said`] at the end.
pub fn say(text: impl Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{}", printable(&text.to_string()))
        && error.kind() != ErrorKind::BrokenPipe
    {
        drop(UNSAID.set(error));
    }
}

/// Checks that everything printed was written.
///
/// # Errors
/// The standard output was not written completely, for example because of a full disk.
pub fn all_was_said() -> Result<()> {
    match UNSAID.get() {
        None => Ok(()),
        Some(error) => bail!("the standard output was not written completely: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_replaced_and_all_else_is_kept() {
        assert_eq!(printable("a\x1b[31mb\u{9b}c\u{202e}d\re"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}e");
        let kept = "Amélie (2001)\n\t千と千尋 – ½ 👩‍👧";
        assert!(matches!(printable(kept), Cow::Borrowed(text) if text == kept));
    }
}
