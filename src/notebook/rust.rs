//! Reads Rust (and the lecture's Python) just well enough to colour it and to cut items out of a file.
//!
//! A lexer and no parser: it knows strings, comments and brackets, so a brace in a comment ends nothing.

use anyhow::{Result, bail};

/// The languages that code in a cell or a fenced block can be coloured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// This project's.
    Rust,
    /// The lecture's.
    Python,
}

impl Language {
    /// The language of a fenced block's info string (`rust`, `python`), if it is one that we colour.
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

/// `text` as HTML with its tokens in `<span class="…">`: `k` keyword, `t` type, `f` function or macro,
/// `s` string, `n` number, `l` lifetime, `c` comment, `d` doc comment, `a` attribute.
pub fn highlight(text: &str, language: Language) -> String {
    let tokens = tokens(text, language);
    let mut html = String::new();
    let mut i = 0;
    while i < tokens.len() {
        let attribute = attribute_end(&tokens, i, language);
        let end = attribute.unwrap_or(i + 1);
        let source = &text[tokens[i].start..tokens[end - 1].end()];
        let class = if attribute.is_some() { "a" } else { class_of(&tokens, i, language) };
        if class.is_empty() {
            html.push_str(&super::html::escape(source));
        } else {
            html.push_str(&format!("<span class=\"{class}\">{}</span>", super::html::escape(source)));
        }
        i = end;
    }
    html
}

fn class_of(tokens: &[Token], i: usize, language: Language) -> &'static str {
    let text = tokens[i].text;
    let after = tokens[i + 1..].iter().find(|t| t.kind != Kind::Space).map_or("", |t| t.text);
    let before = tokens[..i].iter().rev().find(|t| t.kind != Kind::Space).map_or("", |t| t.text);
    let (keywords, primitives) = match language {
        Language::Rust => (RUST_KEYWORDS, RUST_PRIMITIVES),
        Language::Python => (PYTHON_KEYWORDS, &[][..]),
    };
    match tokens[i].kind {
        Kind::Comment if text.starts_with("///") || text.starts_with("//!") => "d",
        Kind::Comment => "c",
        Kind::Quoted => "s",
        Kind::Lifetime => "l",
        Kind::Number => "n",
        Kind::Word if keywords.contains(&text) => "k",
        Kind::Word if primitives.contains(&text) => "t",
        Kind::Word if matches!(before, "fn" | "def") || after == "(" && !starts_upper(text) => "f",
        Kind::Word if language == Language::Rust && is_macro_call(tokens, i) => "f",
        Kind::Word if starts_upper(text) => "t",
        _ => "",
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

/// One item of a file: where it stands in the text, its keyword, its name, and its body's tokens.
#[derive(Debug)]
struct Item<'a> {
    keyword: &'a str,
    /// The item's name; of an `impl`, the type it is for.
    name: &'a str,
    /// Bytes, from its first doc comment or attribute to its last bracket or semicolon.
    bytes: (usize, usize),
    /// Tokens inside `{…}`, and the bytes of those two braces.
    body: Option<(std::ops::Range<usize>, usize, usize)>,
}

/// The items among the tokens `range`, which is a whole file or the body of an `impl`, `trait` or `mod`.
fn items<'a>(tokens: &[Token<'a>], range: std::ops::Range<usize>) -> Vec<Item<'a>> {
    let mut found = Vec::new();
    let mut i = range.start;
    let mut start = None; // where the comments and attributes of the next item begin
    while i < range.end {
        let token = tokens[i];
        let blank_line = token.kind == Kind::Space && token.text.matches('\n').count() > 1;
        let inner = token.text.starts_with("//!")
            || token.text == "#" && tokens.get(i + 1).is_some_and(|next| next.text == "!");
        if blank_line || inner {
            start = None;
            i = attribute_end(tokens, i, Language::Rust).unwrap_or(i + 1);
        } else if token.kind == Kind::Space {
            i += 1;
        } else if token.kind == Kind::Comment {
            start.get_or_insert(token.start);
            i += 1;
        } else if let Some(end) = attribute_end(tokens, i, Language::Rust) {
            start.get_or_insert(token.start);
            i = end;
        } else {
            let (item, end) = item(tokens, i..range.end, start.take().unwrap_or(token.start));
            found.extend(item);
            i = end;
        }
    }
    found
}

/// The item whose header begins at `range.start`, and the index of the token after it.
fn item<'a>(tokens: &[Token<'a>], range: std::ops::Range<usize>, start: usize) -> (Option<Item<'a>>, usize) {
    let mut header = Vec::new(); // its words and punctuation outside brackets
    let mut i = range.start;
    let (mut body, mut end) = (None, range.end);
    while i < range.end {
        let token = tokens[i];
        if token.text == ";" {
            end = i + 1;
            break;
        }
        if token.kind == Kind::Punctuation && matches!(token.text, "(" | "[" | "{") {
            let close = group_end(tokens, i).min(range.end);
            let (keyword, _) = keyword_and_name(&header);
            let holds_a_value = matches!(keyword, "const" | "static" | "use" | "type" | "let");
            if token.text == "{" && !holds_a_value {
                body = Some((i + 1..close.saturating_sub(1), token.start, tokens[close - 1].start));
                end = close;
                break;
            }
            i = close;
            continue;
        }
        if !matches!(token.kind, Kind::Space | Kind::Comment) {
            header.push(token.text);
        }
        i += 1;
    }
    let last = tokens[end - 1].end();
    let (keyword, name) = keyword_and_name(&header);
    ((!keyword.is_empty()).then_some(Item { keyword, name, bytes: (start, last), body }), end)
}

fn keyword_and_name<'a>(header: &[&'a str]) -> (&'a str, &'a str) {
    const KEYWORDS: &[&str] =
        &["fn", "struct", "enum", "union", "trait", "impl", "mod", "const", "static", "use", "type", "let"];
    let Some(at) = (0..header.len()).find(|&i| {
        let qualifier = header[i] == "const" // const fn
            && matches!(header.get(i + 1), Some(&("fn" | "unsafe" | "async" | "extern")));
        KEYWORDS.contains(&header[i]) && !qualifier
    }) else {
        return ("", "");
    };
    if header[at] == "impl" {
        return ("impl", self_type(&header[at + 1..]));
    }
    (header[at], header.get(at + 1).copied().unwrap_or(""))
}

/// The last word of the type in an `impl` header: `Dot` of `<'a> nn::ModuleT for models::Dot<'a> where …`.
fn self_type<'a>(header: &[&'a str]) -> &'a str {
    let mut depth = 0_usize;
    let mut name = "";
    for (i, &text) in header.iter().enumerate() {
        match text {
            "<" => depth += 1,
            ">" if i > 0 && header[i - 1] != "-" => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            "where" => break,
            "for" => name = "",
            _ if text.starts_with(|c: char| c.is_alphabetic() || c == '_') => name = text,
            _ => {}
        }
    }
    name
}

/// The text of an item of a Rust file, with its doc comments and attributes, moved to the left margin.
///
/// `item` is a keyword and a name: `"struct EmbeddingDot"` (an enum or a trait likewise) gives the type and
/// every `impl` for it, `"fn fit"` a function or method, `"fn EmbeddingDot::new"` that type's method,
/// `"const N_FACTORS"` a constant. Fails if the file has no such item.
pub fn item_text(text: &str, item: &str) -> Result<String> {
    let tokens = tokens(text, Language::Rust);
    let Some((keyword, path)) = item.split_once(' ') else {
        bail!(
            "'{item}' names no item: write its keyword and its name, as in 'struct EmbeddingDot' or 'fn fit'"
        );
    };
    let (owner, name) = path.rsplit_once("::").map_or((None, path), |(owner, name)| (Some(owner), name));
    let top = items(&tokens, 0..tokens.len());
    let is_it = |i: &Item| i.keyword == keyword && i.name == name;
    let mut spans = Vec::new();
    if matches!(keyword, "struct" | "enum" | "union" | "trait") {
        if top.iter().any(is_it) {
            let belongs = |i: &&Item| is_it(i) || i.keyword == "impl" && i.name == name;
            spans.extend(top.iter().filter(belongs).map(|i| i.bytes));
        }
    } else {
        if owner.is_none() {
            spans.extend(top.iter().find(|i| is_it(i)).map(|i| i.bytes));
        }
        if spans.is_empty() {
            let holders = top.iter().filter(|i| {
                matches!(i.keyword, "impl" | "trait" | "mod") && owner.is_none_or(|owner| i.name == owner)
            });
            let inside = holders.filter_map(|i| i.body.clone()).flat_map(|body| items(&tokens, body.0));
            spans.extend(inside.into_iter().find(is_it).map(|i| i.bytes));
        }
    }
    if spans.is_empty() {
        let names: Vec<String> = top
            .iter()
            .filter(|i| !matches!(i.keyword, "use" | "impl"))
            .map(|i| format!("{} {}", i.keyword, i.name))
            .collect();
        bail!("the file has no item '{item}'; at its top level stand: {}", names.join(", "));
    }
    let texts: Vec<String> = spans
        .into_iter()
        .map(|(start, end)| dedent(&text[text[..start].rfind('\n').map_or(0, |at| at + 1)..end]))
        .collect();
    Ok(texts.join("\n\n"))
}

/// Where `fn name` of a file stands: bytes of the whole item, and of its body's two braces.
pub(super) fn function_span(text: &str, name: &str) -> Option<((usize, usize), (usize, usize))> {
    let tokens = tokens(text, Language::Rust);
    let found = items(&tokens, 0..tokens.len()).into_iter().find(|i| i.keyword == "fn" && i.name == name)?;
    let (_, open, close) = found.body?;
    Some((found.bytes, (open, close)))
}

/// `text` moved left by the indentation that all its lines share, without blank lines at either end.
pub(super) fn dedent(text: &str) -> String {
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let shared = text.lines().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    let lines: Vec<&str> = text.lines().map(|line| line.get(shared..).unwrap_or("").trim_end()).collect();
    lines.join("\n").trim_matches('\n').to_string()
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
    fn ranges_methods_and_exponents_are_told_apart() {
        let first = |text| number(text);
        assert_eq!((first("0..3"), first("1.5e-3f64+1"), first("1.max(2)"), first("1., 2")), (1, 9, 1, 2));
        assert_eq!((first("1_000"), first("0xfe-1"), first("1e-2,")), (5, 4, 4));
    }

    #[test]
    fn each_token_has_the_class_of_its_kind() {
        let html =
            highlight("#[inline]\nfn f<'a>(x: &'a f32) -> Vec<u8> { vec![1.5, 'c'] } // <", Language::Rust);
        assert_eq!(
            html,
            "<span class=\"a\">#[inline]</span>\n<span class=\"k\">fn</span> <span class=\"f\">f</span>&lt;\
             <span class=\"l\">'a</span>&gt;(x: &amp;<span class=\"l\">'a</span> <span class=\"t\">f32</span>) \
             -&gt; <span class=\"t\">Vec</span>&lt;<span class=\"t\">u8</span>&gt; { \
             <span class=\"f\">vec</span>![<span class=\"n\">1.5</span>, <span class=\"s\">'c'</span>] } \
             <span class=\"c\">// &lt;</span>"
        );
        let python = highlight("f = lambda x: x != '''it's''' # no", Language::Python);
        assert!(python.contains("<span class=\"k\">lambda</span>"), "{python}");
        assert!(python.contains("<span class=\"s\">'''it's'''</span>"), "{python}");
        assert!(python.ends_with("<span class=\"c\"># no</span>"), "{python}");
    }
}
