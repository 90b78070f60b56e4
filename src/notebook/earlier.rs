//! The sections of a page that an earlier run has written, to be put on a new page unchanged.

/// A section of an earlier page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierSection {
    /// Its name on the command line: `embedding_dot`.
    pub name: String,
    /// Its entry in the table of contents.
    pub(super) entry: String,
    /// All of it.
    pub(super) section: String,
}

/// The sections of these names on a page of [`html::write`](super::html::write), in the order of the names. What the page
/// does not have, or another program has changed, is left out.
pub fn sections<'a>(page: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<EarlierSection> {
    let kept = |name: &'a str| {
        let section = between(page, &format!("<section id=\"{name}\">\n"), "</section>\n")?;
        let entry = entry(page, name)?;
        Some(EarlierSection { name: name.to_owned(), entry: entry.to_owned(), section: section.to_owned() })
    };
    names.into_iter().filter_map(kept).collect()
}

/// The part of a text from one mark to the end of the next.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let start = text.find(from)?;
    let end = start + text[start..].find(to)? + to.len();
    Some(&text[start..end])
}

/// A section's entry in the table of contents: one line, or one with a list of headings under it.
fn entry<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let contents = between(page, "<nav class=\"contents\"", "</nav>")?;
    let link = contents.find(&format!("<a href=\"#{name}\">"))?;
    let start = contents[..link].rfind("<li>")?;
    let line = between(&contents[start..], "<li>", "\n")?;
    match line.ends_with("</li>\n") {
        true => Some(line),
        false => between(&contents[start..], "<li>", "</ol>\n</li>\n"),
    }
}
