//! Finds items in the text of a Rust file, as `syn` parses it.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use syn::spanned::Spanned;

/// An item of a file, or a member of one.
struct Item {
    keyword: &'static str,
    /// The item's name; of an `impl`, that of the type it is for.
    name: String,
    /// Where it is in the text, from its first doc comment or attribute to its last bracket or semicolon.
    bytes: Range<usize>,
    /// The members of an `impl`, `trait` or `mod`.
    members: Vec<Item>,
}

impl Item {
    fn new(keyword: &'static str, name: impl ToString, whole: &impl Spanned, members: Vec<Item>) -> Item {
        Item { keyword, name: name.to_string(), bytes: whole.span().byte_range(), members }
    }

    fn of_file(item: &syn::Item) -> Option<Item> {
        use syn::Item::{Const, Enum, Fn, Impl, Mod, Static, Struct, Trait, Type, Union};
        Some(match item {
            Const(i) => Item::new("const", &i.ident, i, vec![]),
            Enum(i) => Item::new("enum", &i.ident, i, vec![]),
            Fn(i) => Item::new("fn", &i.sig.ident, i, vec![]),
            Static(i) => Item::new("static", &i.ident, i, vec![]),
            Struct(i) => Item::new("struct", &i.ident, i, vec![]),
            Type(i) => Item::new("type", &i.ident, i, vec![]),
            Union(i) => Item::new("union", &i.ident, i, vec![]),
            Mod(i) => {
                let inside = i.content.iter().flat_map(|(_, items)| items);
                Item::new("mod", &i.ident, i, inside.filter_map(Item::of_file).collect())
            }
            Impl(i) => {
                let members = i.items.iter().filter_map(Item::of_impl);
                Item::new("impl", type_name(&i.self_ty), i, members.collect())
            }
            Trait(i) => Item::new("trait", &i.ident, i, i.items.iter().filter_map(Item::of_trait).collect()),
            _ => return None,
        })
    }

    fn of_impl(item: &syn::ImplItem) -> Option<Item> {
        use syn::ImplItem::{Const, Fn, Type};
        Some(match item {
            Const(i) => Item::new("const", &i.ident, i, vec![]),
            Fn(i) => Item::new("fn", &i.sig.ident, i, vec![]),
            Type(i) => Item::new("type", &i.ident, i, vec![]),
            _ => return None,
        })
    }

    fn of_trait(item: &syn::TraitItem) -> Option<Item> {
        use syn::TraitItem::{Const, Fn, Type};
        Some(match item {
            Const(i) => Item::new("const", &i.ident, i, vec![]),
            Fn(i) => Item::new("fn", &i.sig.ident, i, vec![]),
            Type(i) => Item::new("type", &i.ident, i, vec![]),
            _ => return None,
        })
    }
}

/// The last word of a path: `Dot` of `models::Dot<'a>`; empty for any other type.
fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map_or(String::new(), |s| s.ident.to_string()),
        _ => String::new(),
    }
}

/// The text of an item of a Rust file, with its doc comments and attributes, moved to the left margin.
///
/// `item` is a keyword and a name: `"struct EmbeddingDot"` (an enum or a trait likewise) gives the type and
/// every `impl` for it, `"fn fit"` a function or method, `"fn EmbeddingDot::new"` that type's method,
/// `"const N_FACTORS"` a constant.
///
/// # Errors
/// When the text does not parse as a Rust file or has no such item.
pub fn item_text(text: &str, item: &str) -> Result<String> {
    let Some((keyword, path)) = item.split_once(' ') else {
        bail!(
            "'{item}' names no item: write its keyword and its name, as in 'struct EmbeddingDot' or 'fn fit'"
        );
    };
    let (owner, name) = path.rsplit_once("::").map_or((None, path), |(owner, name)| (Some(owner), name));
    let file = syn::parse_file(text).context("the file does not parse as Rust")?;
    let items: Vec<Item> = file.items.iter().filter_map(Item::of_file).collect();
    let is_it = |i: &&Item| i.keyword == keyword && i.name == name;
    let found: Vec<&Item> = if matches!(keyword, "struct" | "enum" | "union" | "trait") {
        let impls = items.iter().filter(|i| i.keyword == "impl" && i.name == name);
        items.iter().find(is_it).map_or(vec![], |definition| [definition].into_iter().chain(impls).collect())
    } else {
        let outside = items.iter().filter(|_| owner.is_none());
        let owners = items.iter().filter(|i| owner.is_none_or(|owner| i.name == owner));
        outside.chain(owners.flat_map(|i| &i.members)).find(is_it).into_iter().collect()
    };
    if found.is_empty() {
        let named = items.iter().filter(|i| i.keyword != "impl");
        let names: Vec<String> = named.map(|i| format!("{} {}", i.keyword, i.name)).collect();
        bail!("the file has no item '{item}'; its top-level items are: {}", names.join(", "));
    }
    let whole_lines = |i: &Item| {
        let line_start = text[..i.bytes.start].rfind('\n').map_or(0, |newline| newline + 1);
        dedent(&text[line_start..i.bytes.end])
    };
    Ok(found.into_iter().map(whole_lines).collect::<Vec<_>>().join("\n\n"))
}

/// The lines, counted from 1, on which a function begins (with its first doc comment or attribute) and on which
/// the braces of its body open and close.
pub(super) struct FunctionLines {
    pub start: usize,
    pub open: usize,
    pub close: usize,
}

/// Where the function `name` is in a file; `None` if there is none, or if the text does not parse.
pub(super) fn function_lines(text: &str, name: &str) -> Option<FunctionLines> {
    let file = syn::parse_file(text).ok()?;
    let function = file.items.iter().find_map(|item| match item {
        syn::Item::Fn(function) if function.sig.ident == name => Some(function),
        _ => None,
    })?;
    let braces = function.block.brace_token.span;
    Some(FunctionLines {
        start: function.span().start().line,
        open: braces.open().start().line,
        close: braces.close().start().line,
    })
}

/// The named cells of a Python program in the percent format, in order: each name and its text.
pub fn python_cells(program: &str) -> Vec<(String, String)> {
    let mut cells: Vec<(String, String)> = Vec::new();
    for line in program.lines() {
        match (line.strip_prefix("# %%"), cells.last_mut()) {
            (Some(name), _) => cells.push((name.trim().to_owned(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {} // the program's docstring
        }
    }
    cells.iter_mut().for_each(|(_, text)| *text = text.trim().to_owned());
    cells
}

/// `text` moved left by the indentation that all its lines share, without blank lines at either end.
pub(super) fn dedent(text: &str) -> String {
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let shared = text.lines().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    let lines: Vec<&str> = text.lines().map(|line| line.get(shared..).unwrap_or("").trim_end()).collect();
    lines.join("\n").trim_matches('\n').to_string()
}
