//! Writes the whole lecture as one self-contained HTML page.
//!
//! The page has prose, colored code, outputs, pictures, a table of contents, the losses next to the lecture's, and the run's
//! settings. It needs no network: style, script and pictures are in it. It is light or dark like the reader's system, fits
//! on a phone, and can be printed.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::earlier::EarlierSection;
use super::highlight::{Class, Language, highlight};
use super::{Align, CellKind, Notebook, Output, Picture, Table};

/// What the page says about the run.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// The page's title.
    pub title: String,
    /// A paragraph or two of Markdown under the title; may be empty.
    pub introduction: String,
    /// Our losses next to the lecture's.
    pub comparison: Option<Table>,
    /// A line or two of Markdown under that table: what the columns mean; may be empty.
    pub comparison_note: String,
    /// Name and value: seed, threads, data, …
    pub settings: Vec<(String, String)>,
    /// Name and value: device, processor, libtorch, …
    pub machine: Vec<(String, String)>,
}

/// A section of the lecture on a page.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// As this run has recorded it.
    New(&'a Notebook),
    /// As an earlier page has it.
    Earlier(&'a EarlierSection),
}

/// An entry of the table of contents.
enum Entry {
    New { id: String, title: String, number: Option<u32>, headings: Vec<(String, String)> },
    Earlier(String),
}

/// The text of the page. The same record gives the same bytes.
pub fn write(notebooks: &[Notebook], run: &RunInfo) -> String {
    write_parts(&notebooks.iter().map(Part::New).collect::<Vec<_>>(), run)
}

/// The same, of new sections and of sections of an earlier page.
pub fn write_parts(parts: &[Part], run: &RunInfo) -> String {
    let mut ids = Ids::default();
    let mut contents = Vec::new();
    let mut main = format!("<header class=\"title\">\n<h1>{}</h1>\n", inline(&run.title));
    main += &format!("<div class=\"prose\">{}</div>\n", plain_markdown(&run.introduction, 2));
    let new =
        parts.iter().filter_map(|part| if let Part::New(notebook) = part { Some(notebook) } else { None });
    if new.flat_map(|notebook| notebook.cells()).any(|cell| cell.python.is_some()) {
        main += "<p><label class=\"show\"><input type=\"checkbox\" id=\"python\"> Show the Python of every cell</label></p>\n";
    }
    main += "</header>\n";

    if let Some(comparison) = &run.comparison {
        let title = "Our losses next to the lecture’s";
        let body = scroll("Losses", &table(comparison));
        let note = plain_markdown(&run.comparison_note, 3);
        main += &section(
            &ids.fresh("results"),
            title,
            &format!("{body}\n<div class=\"prose\">{note}</div>"),
            &mut contents,
        );
    }
    for part in parts {
        match part {
            Part::New(notebook) => main += &notebook_section(notebook, &mut ids, &mut contents),
            Part::Earlier(kept) => {
                ids.fresh(&kept.name);
                contents.push(Entry::Earlier(kept.entry.clone()));
                main += &kept.section;
            }
        }
    }
    let facts: String = [("Settings", &run.settings), ("Machine", &run.machine)]
        .iter()
        .filter(|(_, pairs)| !pairs.is_empty())
        .map(|(name, pairs)| format!("<div><h3>{name}</h3>\n{}</div>\n", definitions(pairs)))
        .collect();
    if !facts.is_empty() {
        let body = format!("<div class=\"facts\">\n{facts}</div>");
        main += &section(&ids.fresh("run"), "This run", &body, &mut contents);
    }

    let title = escape(&plain_text(&run.title));
    let (style, script) = (include_str!("page.css"), include_str!("page.js"));
    let contents = table_of_contents(&contents);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">Skip to the content</a>\n{contents}\
         <main id=\"content\" tabindex=\"-1\">\n{main}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
}

/// One section as it is in the page, for a page that is put together elsewhere.
pub fn one_section(notebook: &Notebook) -> String {
    notebook_section(notebook, &mut Ids::default(), &mut Vec::new())
}

/// The content of a cell's box of outputs.
pub fn outputs(outputs: &[Output]) -> String {
    let mut ids = Ids::default();
    let mut prose = Prose { section: "", ids: &mut ids, level: 2, headings: Vec::new() };
    outputs.iter().map(|shown| output(shown, &mut prose)).collect()
}

/// Text with the characters that HTML gives a meaning escaped, for content and for attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The ids given out so far: an id must be the only one of its name in a page.
#[derive(Default)]
struct Ids(HashSet<String>);

impl Ids {
    fn fresh(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        let id = std::iter::once(wanted.to_string()).chain(numbered).find(|id| !self.0.contains(id));
        let id = id.unwrap_or_default();
        self.0.insert(id.clone());
        id
    }
}

/// A section of the page that is not a notebook.
fn section(id: &str, title: &str, body: &str, contents: &mut Vec<Entry>) -> String {
    contents.push(Entry::New {
        id: id.to_string(),
        title: title.to_string(),
        number: None,
        headings: vec![],
    });
    format!("<section id=\"{id}\">\n<h2>{}{}</h2>\n{body}\n</section>\n", escape(title), anchor(id, title))
}

fn notebook_section(notebook: &Notebook, ids: &mut Ids, contents: &mut Vec<Entry>) -> String {
    let id = ids.fresh(notebook.name());
    let title = plain_text(notebook.title());
    let number = notebook.number().map_or(String::new(), |n| format!("<span class=\"number\">{n}</span> "));
    let mut html = format!(
        "<section id=\"{id}\">\n<h2>{number}{}{}</h2>\n<p class=\"file\">notebooks-equivalent/{}.rs</p>\n",
        inline(notebook.title()),
        anchor(&id, &title),
        escape(notebook.stem())
    );
    for i in 0..notebook.cells().len() {
        ids.fresh(&notebook.cell_id(i)); // headings keep off the cells' ids
    }
    let mut prose = Prose { section: &id, ids, level: 2, headings: Vec::new() };
    let mut title_pending = true;
    let mut count = 0;
    for (i, cell) in notebook.cells().iter().enumerate() {
        let cell_id = notebook.cell_id(i);
        match cell.kind {
            CellKind::Markdown => {
                let body = prose.render(&cell.text, title_pending.then_some(notebook.title()));
                title_pending = false;
                html += &format!("<div class=\"prose\" id=\"{cell_id}\">\n{body}</div>\n");
            }
            CellKind::Code => {
                count += 1;
                html += &format!(
                    "<div class=\"cell\" id=\"{cell_id}\">\n\
                     <a class=\"count\" href=\"#{cell_id}\" aria-label=\"Link to cell {count} of {}\">{count}</a>\n",
                    escape(&title)
                );
                let rust = code(&cell.text, Some(Language::Rust));
                html += &match cell.is_plumbing() {
                    true => fold("plumbing", &rust),
                    false if cell.text.is_empty() => String::new(),
                    false => rust,
                };
                if let Some(python) = &cell.python {
                    html += &fold("python", &code(python, Some(Language::Python)));
                }
                if !cell.outputs.is_empty() {
                    let outputs: String = cell.outputs.iter().map(|o| output(o, &mut prose)).collect();
                    html += &format!("<div class=\"outputs\">\n{outputs}</div>\n");
                }
                html += "</div>\n";
            }
        }
    }
    let headings = prose.headings;
    contents.push(Entry::New { id, title, number: notebook.number(), headings });
    html + "</section>\n"
}

fn output(output: &Output, prose: &mut Prose) -> String {
    match output {
        Output::Stream(_) | Output::Text(_) => {
            let text = escape(&output.to_text());
            format!("<pre class=\"text\">{}</pre>\n", one_newline_first(&text))
        }
        Output::Table(shown) => scroll(shown.caption.as_deref().unwrap_or("Table"), &table(shown)),
        Output::Markdown(text) => format!("<div class=\"prose\">\n{}</div>\n", prose.render(text, None)),
        Output::Rust { item, text } => format!(
            "<div class=\"item\"><p class=\"file\">{}</p>\n{}</div>\n",
            escape(item),
            code(text, Some(Language::Rust))
        ),
        Output::Picture(picture) => figure(picture),
        Output::Error(text) => format!("<pre class=\"text error\">{}</pre>\n", escape(text)),
    }
}

fn figure(picture: &Picture) -> String {
    let name = escape(&picture.name);
    let (width, height) = picture.size;
    let vector = picture.svg.as_ref().map_or(String::new(), |svg| {
        let svg = STANDARD.encode(svg);
        format!(" · <a download=\"{name}.svg\" href=\"data:image/svg+xml;base64,{svg}\">SVG</a>")
    });
    format!(
        "<figure>\n<img src=\"data:image/png;base64,{}\" alt=\"{}\" width=\"{width}\" height=\"{height}\" \
         decoding=\"async\">\n<figcaption class=\"file\">plots/{name}.png{vector}</figcaption>\n</figure>\n",
        STANDARD.encode(&picture.png),
        escape(&picture.alt),
    )
}

/// A table as HTML: pandas' class `dataframe`, header cells with their scope, text columns to the left.
pub fn table(table: &Table) -> String {
    let (header, rows, sides) = table.grid();
    let has_index = table.index.is_some();
    let style = |c: usize| match sides[c] {
        Align::Left => " style=\"text-align: left\"",
        Align::Right => " style=\"text-align: right\"",
    };
    let mut html = String::from("<table class=\"dataframe\">\n");
    if let Some(caption) = &table.caption {
        html += &format!("  <caption>{}</caption>\n", escape(caption));
    }
    html += "  <thead>\n    <tr>";
    for (c, name) in header.iter().enumerate() {
        // An empty header cell is the header of nothing, so it is not a <th>.
        html += &match name.is_empty() {
            true => "<td></td>".to_string(),
            false => format!("<th scope=\"col\"{}>{}</th>", style(c), escape(name)),
        };
    }
    html += "</tr>\n  </thead>\n  <tbody>\n";
    for row in rows {
        html += "    <tr>";
        for (c, cell) in row.iter().enumerate() {
            html += &match has_index && c == 0 {
                true => format!("<th scope=\"row\"{}>{}</th>", style(c), escape(cell)),
                false => format!("<td{}>{}</td>", style(c), escape(cell)),
            };
        }
        html += "</tr>\n";
    }
    html + "  </tbody>\n</table>"
}

/// Code in a box of its own, which scrolls if the code is wider.
fn code(text: &str, language: Option<Language>) -> String {
    let html = language.map_or_else(|| escape(text), |language| colored(text, language));
    format!("<pre class=\"code\"><code>{html}</code></pre>\n")
}

/// What is shown on a click; its class is also its label.
fn fold(class: &str, html: &str) -> String {
    let label = class[..1].to_uppercase() + &class[1..];
    format!("<details class=\"{class}\"><summary>{label}</summary>\n{html}</details>\n")
}

/// Code with each colored stretch in a `<span>`, whose class page.css gives a color.
fn colored(text: &str, language: Language) -> String {
    let spans = highlight(text, language).into_iter().map(|(class, text)| {
        let text = escape(text);
        let name = match class {
            Class::Plain => return text,
            Class::Keyword => "k",
            Class::Type => "t",
            Class::Function => "f",
            Class::String => "s",
            Class::Number => "n",
            Class::Lifetime => "l",
            Class::Comment => "c",
            Class::DocComment => "d",
            Class::Attribute => "a",
        };
        format!("<span class=\"{name}\">{text}</span>")
    });
    spans.collect()
}

/// HTML drops a newline that follows `<pre>`; one more keeps a text's own.
fn one_newline_first(text: &str) -> String {
    if text.starts_with('\n') { format!("\n{text}") } else { text.to_string() }
}

/// Something wide in a box that scrolls, so that the page does not.
fn scroll(label: &str, html: &str) -> String {
    format!("<div class=\"scroll\" data-label=\"{}\">\n{html}\n</div>\n", escape(label))
}

fn anchor(id: &str, title: &str) -> String {
    let title = escape(title);
    format!("<a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to “{title}”\">#</a>")
}

fn definitions(pairs: &[(String, String)]) -> String {
    let pairs = pairs.iter();
    let rows = pairs.map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
    format!("<dl>\n{}</dl>", rows.collect::<String>())
}

fn table_of_contents(entries: &[Entry]) -> String {
    let link = |id: &str, title: &str| format!("<a href=\"#{id}\">{}</a>", escape(title));
    let mut html = String::from(
        "<nav class=\"contents\" aria-label=\"Contents\">\n<details open>\n<summary>Contents</summary>\n<ol>\n",
    );
    for entry in entries {
        let (id, title, number, headings) = match entry {
            Entry::New { id, title, number, headings } => (id, title, number, headings),
            Entry::Earlier(entry) => {
                html += entry;
                continue;
            }
        };
        let number = number.map_or(String::new(), |n| format!("<span class=\"number\">{n}</span>"));
        html += &format!("<li>{number}{}", link(id, title));
        if !headings.is_empty() {
            let items: String =
                headings.iter().map(|(id, title)| format!("<li>{}</li>\n", link(id, title))).collect();
            html += &format!("\n<ol>\n{items}</ol>\n");
        }
        html += "</li>\n";
    }
    html + "</ol>\n</details>\n</nav>\n"
}

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(
        text,
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_SMART_PUNCTUATION,
    )
}

/// Markdown outside of the sections: its headings have no anchors, and start at the level after `level`.
fn plain_markdown(text: &str, level: usize) -> String {
    let mut ids = Ids::default();
    let mut prose = Prose { section: "", ids: &mut ids, level: level - 1, headings: Vec::new() };
    prose.render(text, None)
}

/// One line of Markdown as HTML without a paragraph around it.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let inner = parser(text)
        .filter(|event| !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph)));
    pulldown_cmark::html::push_html(&mut html, inner);
    html.trim().to_string()
}

/// One line of Markdown as plain text.
fn plain_text(text: &str) -> String {
    text_of(&parser(text).collect::<Vec<_>>())
}

fn text_of(events: &[Event]) -> String {
    let text = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.to_string()),
        Event::SoftBreak => Some(" ".to_string()),
        _ => None,
    });
    text.collect()
}

/// Renders the Markdown of a section's cells one after the other: it knows the level of the latest heading.
struct Prose<'a> {
    /// The section's id, which begins the ids of its headings; empty if they get none.
    section: &'a str,
    ids: &'a mut Ids,
    level: usize,
    /// The `##` headings met so far: id and title.
    headings: Vec<(String, String)>,
}

impl Prose<'_> {
    /// `title`: the section's title, whose `# ` heading the page has shown already.
    fn render(&mut self, text: &str, mut title: Option<&str>) -> String {
        let mut events = parser(text);
        let mut out: Vec<Event> = Vec::new();
        while let Some(event) = events.next() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    let is_end = |event: &Event| matches!(event, Event::End(TagEnd::Heading(_)));
                    let inside: Vec<Event> = events.by_ref().take_while(|event| !is_end(event)).collect();
                    let is_title = level == HeadingLevel::H1
                        && title.take().is_some_and(|title| plain_text(title) == text_of(&inside));
                    if !is_title {
                        out.push(Event::Html(self.heading(level as usize, inside).into()));
                    }
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match &kind {
                        CodeBlockKind::Fenced(info) => Language::named(info),
                        CodeBlockKind::Indented => None,
                    };
                    let is_end = |event: &Event| matches!(event, Event::End(TagEnd::CodeBlock));
                    let inside: Vec<Event> = events.by_ref().take_while(|event| !is_end(event)).collect();
                    out.push(Event::Html(code(text_of(&inside).trim_end(), language).into()));
                }
                Event::Start(Tag::Table(_)) => {
                    out.push(Event::Html("<div class=\"scroll\" data-label=\"Table\">\n".into()));
                    out.push(event);
                }
                Event::End(TagEnd::Table) => out.extend([event, Event::Html("</div>\n".into())]),
                // A picture from elsewhere would need a network: it becomes a link.
                Event::Start(Tag::Image { link_type, dest_url, title, id })
                    if !dest_url.starts_with("data:") =>
                {
                    out.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                    out.extend(
                        events.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Image))),
                    );
                    out.push(Event::End(TagEnd::Link));
                }
                event => out.push(event),
            }
        }
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, out.into_iter());
        html
    }

    /// A heading one level lower than in its cell (`##` is `<h3>`) and at most one below the one before it.
    fn heading(&mut self, level: usize, inside: Vec<Event>) -> String {
        let title = text_of(&inside);
        self.level = (level.max(2) + 1).min(self.level + 1).min(6);
        let level = self.level;
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, inside.into_iter());
        if self.section.is_empty() {
            return format!("<h{level}>{html}</h{level}>\n");
        }
        let id = self.ids.fresh(&format!("{}-{}", self.section, slug(&title)));
        let anchor = anchor(&id, &title);
        if level == 3 {
            self.headings.push((id.clone(), title));
        }
        format!("<h{level} id=\"{id}\">{html}{anchor}</h{level}>\n")
    }
}

/// A heading as an id: its letters and digits in lower case, `-` for anything between them.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_colored_stretch_of_code_is_a_span_and_what_html_gives_a_meaning_is_escaped() {
        let html = colored("fn f<'a>(x: &'a str) {} // <", Language::Rust);
        assert_eq!(
            html,
            "<span class=\"k\">fn</span> <span class=\"f\">f</span>&lt;<span class=\"l\">'a</span>&gt;(x: \
             &amp;<span class=\"l\">'a</span> <span class=\"t\">str</span>) {} \
             <span class=\"c\">// &lt;</span>"
        );
    }
}
