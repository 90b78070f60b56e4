//! Quotes after a backslash, `\"`, as MySQL and Book-Crossing write a quote within a field.

use memchr::memmem;

/// Whether there is one.
pub fn any(text: &str, quote: u8) -> bool {
    memmem::find(text.as_bytes(), &[b'\\', quote]).is_some()
}

/// Whether there is one that ends no field: then `\"` is a quote, also if the rows can be read without.
pub fn within_fields(text: &str, by: u8, quote: u8) -> bool {
    let bytes = text.as_bytes();
    let within = |at: usize| bytes.get(at + 2).is_some_and(|after| ![by, b'\n', quote].contains(after));
    memmem::find_iter(bytes, &[b'\\', quote]).any(within)
}

/// The text with each backslash and quote of a quoted field as two quotes, unless the field ends there.
pub fn doubled(text: &str, by: char, mark: char, ends: impl Fn(&str) -> bool) -> String {
    let mut written = String::with_capacity(text.len());
    let (mut quoted, mut begins) = (false, true);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let mut taken = next.len_utf8();
        if !quoted {
            quoted = begins && next == mark;
            begins = next == by || next == '\n';
        } else if next == mark {
            // Two of them are one in the field.
            let two = rest[taken..].starts_with(mark);
            taken += usize::from(two);
            (quoted, begins) = (two, false);
        } else if next == '\\' && rest[taken..].starts_with(mark) {
            taken += 1;
            if ends(&rest[taken..]) {
                (quoted, begins) = (false, false);
            } else {
                written.extend([mark; 2]);
                rest = &rest[taken..];
                continue;
            }
        }
        written += &rest[..taken];
        rest = &rest[taken..];
    }
    written
}
