//! Text from data as it is shown: harmless, and short.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// No more characters than this are shown of a field.
const LONGEST: usize = 200;

/// Text that can be shown anywhere: in a table, in XML, on a terminal. Control characters, characters that change the
/// direction of text, and Unicode's noncharacters are replaced. Line ends become blanks, and a long text is cut.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}' => {
            '\u{fffd}'
        }
        c if c.is_control() || u32::from(c) & 0xfffe == 0xfffe => '\u{fffd}',
        c => c,
    });
    let mut shown: String = shown.take(LONGEST + 1).collect();
    if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
        shown.truncate(end);
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Eight digits that distinguish a text from others.
pub(super) fn fingerprint(text: &str) -> String {
    Sha256::digest(text)[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `'userId', 'movieId'`, and no more of them than a user would read.
pub(super) fn quoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names: Vec<String> =
        names.into_iter().map(|name| format!("'{}'", shortened(name.as_ref()))).collect();
    if names.len() > 12 {
        names.truncate(12);
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// A field or a row as an error shows it: on one line, and cut if it is long.
pub(super) fn shortened(text: &str) -> String {
    let shown =
        text.chars().take(60).map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.into() });
    let end = if text.chars().nth(60).is_some() { "…" } else { "" };
    shown.chain([end.to_owned()]).collect()
}
