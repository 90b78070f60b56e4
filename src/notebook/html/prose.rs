//! Markdown as HTML.

use std::collections::HashSet;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{RenderConfig, Storage, push_mathml};

use super::code::code;
use super::escape::escape;
use crate::notebook::highlight::Language;

/// The ids given out so far: an id must be the only one of its name in a page.
#[derive(Default)]
pub(super) struct Ids(HashSet<String>);

impl Ids {
    pub(super) fn fresh(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        let id = std::iter::once(wanted.to_string()).chain(numbered).find(|id| !self.0.contains(id));
        let id = id.unwrap_or_default();
        self.0.insert(id.clone());
        id
    }
}

pub(super) fn anchor(id: &str, title: &str) -> String {
    let title = escape(title);
    format!("<a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to “{title}”\">#</a>")
}

pub(super) fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(
        text,
        Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_SMART_PUNCTUATION
            | Options::ENABLE_MATH,
    )
}

/// Markdown outside of the sections: its headings have no anchors, and start at the level after `level`.
pub(super) fn plain_markdown(text: &str, level: usize) -> String {
    let mut ids = Ids::default();
    let mut prose = Prose::new("", &mut ids, level - 1);
    prose.render(text, None)
}

/// One line of Markdown as HTML without a paragraph around it.
pub(super) fn inline(text: &str) -> String {
    let inner = parser(text)
        .filter(|event| !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph)));
    to_html(inner).trim().to_string()
}

fn to_html<'a>(events: impl Iterator<Item = Event<'a>>) -> String {
    let mut html = String::new();
    let with_formulas = events.map(|event| match event {
        Event::InlineMath(tex) => Event::InlineHtml(formula(&tex, DisplayMode::Inline).into()),
        Event::DisplayMath(tex) => Event::InlineHtml(formula(&tex, DisplayMode::Block).into()),
        other => other,
    });
    pulldown_cmark::html::push_html(&mut html, with_formulas);
    html
}

/// A formula in LaTeX as MathML; what is wrong with a faulty one is shown in its place.
fn formula(tex: &str, display_mode: DisplayMode) -> String {
    let (storage, mut mathml) = (Storage::new(), String::new());
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    match push_mathml(&mut mathml, pulldown_latex::Parser::new(tex, &storage), config) {
        Ok(()) => mathml,
        Err(_) => format!("<code>{}</code>", escape(tex)),
    }
}

/// One line of Markdown as plain text.
pub(super) fn plain_text(text: &str) -> String {
    text_of(&parser(text).collect::<Vec<_>>())
}

pub(super) fn text_of(events: &[Event]) -> String {
    let text = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => Some(text.to_string()),
        Event::SoftBreak => Some(" ".to_string()),
        _ => None,
    });
    text.collect()
}

/// Renders the Markdown of a section's cells one after the other: it knows the level of the latest heading.
pub(super) struct Prose<'a> {
    /// The section's id, which begins the ids of its headings; empty if they get none.
    section: &'a str,
    ids: &'a mut Ids,
    level: usize,
    /// The `##` headings met so far: id and title.
    pub(super) headings: Vec<(String, String)>,
}

impl<'a> Prose<'a> {
    pub(super) fn new(section: &'a str, ids: &'a mut Ids, level: usize) -> Prose<'a> {
        Prose { section, ids, level, headings: Vec::new() }
    }

    /// `title`: the section's title, whose `# ` heading the page has shown already.
    pub(super) fn render(&mut self, text: &str, mut title: Option<&str>) -> String {
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
        to_html(out.into_iter())
    }

    /// A heading one level lower than in its cell (`##` is `<h3>`) and at most one below the one before it.
    fn heading(&mut self, level: usize, inside: Vec<Event>) -> String {
        let title = text_of(&inside);
        self.level = (level.max(2) + 1).min(self.level + 1).min(6);
        let level = self.level;
        let html = to_html(inside.into_iter());
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
pub(super) fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}
