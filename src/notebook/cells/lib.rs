//! `#[cells]`, the attribute of a notebook's function `run`, which marks where the cells begin.
//!
//! Cells are marked by comments (`// %%`), which do not exist in a running program. The attribute inserts a call of
//! `lecture5::notebook::begin_cell` before the first statement after each marker. Everything else stays on its line, so
//! errors, panics, `#[track_caller]` and breakpoints refer to the file as it was written.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Calls `begin_cell`, with the line of its first statement, at the beginning of each cell of a function.
#[proc_macro_attribute]
pub fn cells(_: TokenStream, function: TokenStream) -> TokenStream {
    let with_calls = function.into_iter().map(|token| match token {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => with_begin_calls(body).into(),
        token => token,
    });
    with_calls.collect()
}

fn with_begin_calls(body: Group) -> Group {
    // Without the source (some editors do not give it to macros), the function stays as it is.
    let Some(source) = body.span().source_text() else { return body };
    let first = body.span().start().line();
    let marked = source.lines().enumerate().filter(|(_, line)| is_marker(line));
    let mut markers = marked.map(|(at, _)| first + at).peekable();

    let mut tokens = TokenStream::new();
    let (mut previous_end, mut statement_ended) = (first, true);
    for token in body.stream() {
        let (start, end) = (token.span().start().line(), token.span().end().line());
        let mut begins = false;
        while let Some(marker) = markers.next_if(|&marker| marker < start) {
            begins = marker >= previous_end; // a marker inside the previous token does not count
        }
        if begins && statement_ended {
            let call = format!("::lecture5::notebook::begin_cell({start}usize)?;");
            tokens.extend(call.parse::<TokenStream>().expect("a call is Rust"));
        }
        statement_ended = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        previous_end = end;
        tokens.extend([token]);
    }
    let mut with_calls = Group::new(Delimiter::Brace, tokens);
    with_calls.set_span(body.span());
    with_calls
}

/// `// %%`, `// %% [markdown]`, `// %% a title`
fn is_marker(line: &str) -> bool {
    let after = line.trim_start().strip_prefix("//").and_then(|after| after.trim_start().strip_prefix("%%"));
    after.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}
