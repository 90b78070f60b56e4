//! Writes the whole lecture as one self-contained HTML page.
//!
//! The page has prose, formulas, colored code that folds, outputs, pictures, a table of contents, the losses next to the
//! lecture's, and the run's settings. It needs no network: style, script and pictures are in it. It is light or dark like
//! the reader's system, and fits on a phone. It prints without what is folded; `lecture.html#handout` folds all code.

mod code;
mod escape;
mod output;
mod prose;

use super::earlier::EarlierSection;
use super::highlight::Language;
use super::{CellKind, Notebook, Table};
use code::code;
pub use escape::escape;
use output::{fold, output, scroll};
pub use output::{outputs, table};
use prose::{Ids, Prose, anchor, inline, plain_markdown, plain_text};

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
    main += &switches(new.flat_map(|notebook| notebook.cells()).any(|cell| cell.python.is_some()));
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

/// The boxes that fold and unfold the code of every cell, and the link to the page without code.
fn switches(has_python: bool) -> String {
    let switch = |id: &str, label: &str, checked: &str| {
        format!("<label><input type=\"checkbox\" id=\"{id}\"{checked}> {label}</label>\n")
    };
    let rust = switch("rust", "Show the Rust", " checked");
    let python = if has_python { switch("python", "Show the Python", "") } else { String::new() };
    format!(
        "<p class=\"show\" id=\"handout\">\n{rust}{python}<a href=\"#handout\">A handout to print, without code</a>\n</p>\n"
    )
}

/// One section as it is in the page, for a page that is put together elsewhere.
pub fn one_section(notebook: &Notebook) -> String {
    notebook_section(notebook, &mut Ids::default(), &mut Vec::new())
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
    let mut prose = Prose::new(&id, ids, 2);
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
                    true => fold(("plumbing", "Plumbing"), false, &rust),
                    false if cell.text.is_empty() => String::new(),
                    false => fold(("rust", "Rust"), true, &rust),
                };
                if let Some(python) = &cell.python {
                    html += &fold(("python", "Python"), false, &code(python, Some(Language::Python)));
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
