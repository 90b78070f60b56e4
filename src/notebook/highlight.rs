//! Cuts Rust, and the lecture's Python, into stretches that a page shows in one color each.
//!
//! A lexer, not a parser: code in a cell or in a fenced block need not be a complete file, nor even correct.

/// The languages that code in a cell or a fenced block can be colored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// This project's.
    Rust,
    /// The lecture's.
    Python,
}

impl Language {
    /// The language of a fenced block's info string (`rust`, `python`), if its code can be colored.
    pub fn named(name: &str) -> Option<Language> {
        match name.split([' ', ',']).next().unwrap_or("").to_ascii_lowercase().as_str() {
            "rust" | "rs" => Some(Language::Rust),
            "python" | "py" => Some(Language::Python),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Space,
    Comment,
    Quoted,
    Lifetime,
    Number,
    Word,
    Punctuation,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

const RUST_KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false",
    "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return",
    "self", "Self", "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while",
];
const RUST_PRIMITIVES: &[&str] = &[
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "isize", "str", "u8", "u16", "u32", "u64",
    "usize",
];
const PYTHON_KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "False", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "None",
    "nonlocal", "not", "or", "pass", "raise", "return", "self", "True", "try", "while", "with", "yield",
];

fn tokens(text: &str, language: Language) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let rest = &text[start..];
        let (kind, length) = first_token(rest, language);
        found.push(Token { kind, text: &rest[..length], start });
        start += length;
    }
    found
}

/// The kind and the length in bytes of the token that `rest` (not empty) begins with.
fn first_token(rest: &str, language: Language) -> (Kind, usize) {
    let run = |inside: fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
    let line_end = || rest.find('\n').unwrap_or(rest.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let first = rest.chars().next().unwrap_or(' ');

    if first.is_whitespace() {
        return (Kind::Space, run(char::is_whitespace));
    }
    let comment = match language {
        Language::Rust => "//",
        Language::Python => "#",
    };
    if rest.starts_with(comment) {
        return (Kind::Comment, line_end());
    }
    if language == Language::Rust && rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if let Some(length) = quoted(rest, language) {
        return (Kind::Quoted, length);
    }
    if language == Language::Rust && first == '\'' {
        return (Kind::Lifetime, 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1));
    }
    if first.is_ascii_digit() {
        return (Kind::Number, number(rest));
    }
    if is_word(first) {
        let raw = if rest.starts_with("r#") { 2 } else { 0 };
        return (Kind::Word, raw + rest[raw..].find(|c| !is_word(c)).unwrap_or(rest.len() - raw));
    }
    (Kind::Punctuation, first.len_utf8())
}

/// The length of the block comment at the start of `rest`; Rust's nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of the string or character literal at the start of `rest`, its prefix included.
fn quoted(rest: &str, language: Language) -> Option<usize> {
    let prefixes: &[&str] = match language {
        Language::Rust => &["", "b", "c", "r", "br", "cr"],
        Language::Python => &["", "r", "b", "f", "u", "rb", "br", "fr", "rf"],
    };
    let quote_at = rest.find(['"', '\''])?;
    let hashes = rest[..quote_at].chars().rev().take_while(|&c| c == '#').count();
    let prefix = &rest[..quote_at - hashes];
    if !prefixes.contains(&prefix) || (hashes > 0 && !prefix.ends_with('r')) {
        return None;
    }
    let (body, quote) = (&rest[quote_at..], &rest[quote_at..=quote_at]);
    if language == Language::Rust && quote == "'" {
        // 'a' is a character, 'a alone a lifetime.
        let mut inside = body[1..].chars();
        let (first, second) = (inside.next()?, inside.next());
        if hashes > 0 || !matches!(prefix, "" | "b") || (first != '\\' && second != Some('\'')) {
            return None;
        }
    }
    let triple = quote.repeat(3);
    let close = if language == Language::Python && body.starts_with(&triple) {
        triple
    } else {
        format!("{quote}{}", "#".repeat(hashes))
    };
    let escapes = !prefix.contains('r') || language == Language::Python;
    let mut at = if close.len() == 3 && hashes == 0 { 3 } else { 1 };
    while at < body.len() {
        if escapes && body[at..].starts_with('\\') {
            at += 1 + body[at + 1..].chars().next().map_or(0, char::len_utf8);
        } else if body[at..].starts_with(&close) {
            return Some(quote_at + at + close.len());
        } else {
            at += body[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// The length of the number at the start of `rest`: `1_000`, `0.05`, `1e-2`, `0xff`, `2f64`, but `0..3` stops at 0.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let hex = rest.starts_with("0x") || rest.starts_with("0b") || rest.starts_with("0o");
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        let goes_on = match bytes[at] {
            b'.' => next.is_ascii_digit() || !(next == b'.' || next == b'_' || next.is_ascii_alphabetic()),
            b'+' | b'-' => !hex && matches!(bytes[at - 1], b'e' | b'E') && next.is_ascii_digit(),
            other => other.is_ascii_alphanumeric() || other == b'_',
        };
        if !goes_on || (bytes[at] == b'.' && rest[..at].contains('.')) {
            break;
        }
        at += 1;
    }
    at
}

/// What a stretch of code is, for its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Spaces, punctuation, names of values.
    Plain,
    /// `fn`, `let`, `def`, …
    Keyword,
    /// A type, or any other name in upper case.
    Type,
    /// A function or macro where it is defined or called.
    Function,
    /// A string or character.
    String,
    /// A number.
    Number,
    /// `'a`
    Lifetime,
    /// `// …`, `/* … */`, `# …`
    Comment,
    /// `/// …`, `//! …`
    DocComment,
    /// `#[…]`
    Attribute,
}

/// The code cut into stretches of one class each; together they are `text`.
pub fn highlight(text: &str, language: Language) -> Vec<(Class, &str)> {
    let tokens = tokens(text, language);
    let mut pairs = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let attribute = attribute_end(&tokens, i, language);
        let end = attribute.unwrap_or(i + 1);
        let class = if attribute.is_some() { Class::Attribute } else { class_of(&tokens, i, language) };
        pairs.push((class, &text[tokens[i].start..tokens[end - 1].end()]));
        i = end;
    }
    pairs
}

fn class_of(tokens: &[Token], i: usize, language: Language) -> Class {
    let text = tokens[i].text;
    let after = tokens[i + 1..].iter().find(|t| t.kind != Kind::Space).map_or("", |t| t.text);
    let before = tokens[..i].iter().rev().find(|t| t.kind != Kind::Space).map_or("", |t| t.text);
    let (keywords, primitives) = match language {
        Language::Rust => (RUST_KEYWORDS, RUST_PRIMITIVES),
        Language::Python => (PYTHON_KEYWORDS, &[][..]),
    };
    match tokens[i].kind {
        Kind::Comment if text.starts_with("///") || text.starts_with("//!") => Class::DocComment,
        Kind::Comment => Class::Comment,
        Kind::Quoted => Class::String,
        Kind::Lifetime => Class::Lifetime,
        Kind::Number => Class::Number,
        Kind::Word if keywords.contains(&text) => Class::Keyword,
        Kind::Word if primitives.contains(&text) => Class::Type,
        Kind::Word if matches!(before, "fn" | "def") => Class::Function,
        Kind::Word if after == "(" && !starts_upper(text) => Class::Function,
        Kind::Word if language == Language::Rust && is_macro_call(tokens, i) => Class::Function,
        Kind::Word if starts_upper(text) => Class::Type,
        _ => Class::Plain,
    }
}

fn starts_upper(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

/// `name!(…)`, but not `name != other`.
fn is_macro_call(tokens: &[Token], i: usize) -> bool {
    matches!(tokens.get(i + 1..i + 3), Some([bang, next]) if bang.text == "!" && next.text != "=")
}

/// If an attribute `#[…]` or `#![…]` begins at token `i`, the index after its last token.
fn attribute_end(tokens: &[Token], i: usize, language: Language) -> Option<usize> {
    let text = |j: usize| tokens.get(j).map_or("", |t| t.text);
    if language != Language::Rust || text(i) != "#" {
        return None;
    }
    let open = if text(i + 1) == "!" { i + 2 } else { i + 1 };
    if text(open) == "[" { Some(group_end(tokens, open)) } else { None }
}

/// The index after the bracket that closes the one at token `open` (the end of the tokens if none does).
fn group_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if token.kind == Kind::Punctuation {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return i + 1;
            }
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_text_are_the_text() {
        let awkward = "let s = r#\"a \" } // no\"#; /* { /* } */ */ 'a' 'static b'\\'' 0..3 1.5e-3f64 x.0.1 é→λ \
                       \"unfinished { ";
        for language in [Language::Rust, Language::Python] {
            let joined: String = tokens(awkward, language).iter().map(|t| t.text).collect();
            assert_eq!(joined, awkward);
        }
    }

    #[test]
    fn a_number_ends_before_ranges_methods_and_operators() {
        let first = |text| number(text);
        assert_eq!((first("0..3"), first("1.5e-3f64+1"), first("1.max(2)"), first("1., 2")), (1, 9, 1, 2));
        assert_eq!((first("1_000"), first("0xfe-1"), first("1e-2,")), (5, 4, 4));
    }

    #[test]
    fn each_token_has_the_class_of_its_kind() {
        use Class::{Attribute, Comment, Function, Keyword, Lifetime, Number, String, Type};
        let colored = |text, language| -> Vec<(Class, &str)> {
            highlight(text, language).into_iter().filter(|(class, _)| *class != Class::Plain).collect()
        };
        assert_eq!(
            colored("#[inline]\nfn f<'a>(x: &'a f32) -> Vec<u8> { vec![1.5, 'c'] } // <", Language::Rust),
            [
                (Attribute, "#[inline]"),
                (Keyword, "fn"),
                (Function, "f"),
                (Lifetime, "'a"),
                (Lifetime, "'a"),
                (Type, "f32"),
                (Type, "Vec"),
                (Type, "u8"),
                (Function, "vec"),
                (Number, "1.5"),
                (String, "'c'"),
                (Comment, "// <"),
            ]
        );
        assert_eq!(
            colored("f = lambda x: x != '''it's''' # no", Language::Python),
            [(Keyword, "lambda"), (String, "'''it's'''"), (Comment, "# no")]
        );
    }
}
