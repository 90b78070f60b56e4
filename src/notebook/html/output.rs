//! Outputs and code as HTML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::code::code;
use super::escape::escape;
use super::prose::{Ids, Prose};
use crate::notebook::highlight::Language;
use crate::notebook::{Align, Output, Picture, Table};

/// The content of a cell's box of outputs.
pub fn outputs(outputs: &[Output]) -> String {
    let mut ids = Ids::default();
    let mut prose = Prose::new("", &mut ids, 2);
    outputs.iter().map(|shown| output(shown, &mut prose)).collect()
}

pub(super) fn output(output: &Output, prose: &mut Prose) -> String {
    match output {
        Output::Stream(_) | Output::Text(_) => {
            let text = escape(&output.to_text());
            format!("<pre class=\"text\">{}</pre>\n", one_newline_first(&text))
        }
        Output::Table(shown) => scroll(shown.caption.as_deref().unwrap_or("Table"), &table(shown)),
        Output::Markdown(text) => format!("<div class=\"prose\">\n{}</div>\n", prose.render(text, None)),
        Output::Rust { item, text } => {
            fold(("rust item", &escape(item)), true, &code(text, Some(Language::Rust)))
        }
        Output::Picture(picture) => figure(picture),
        Output::Error(text) => format!("<pre class=\"text error\">{}</pre>\n", escape(text)),
    }
}

pub(super) fn figure(picture: &Picture) -> String {
    let name = escape(&picture.name);
    let (width, height) = picture.size;
    let vector = picture.svg.as_ref().map_or(String::new(), |svg| {
        let svg = STANDARD.encode(svg);
        format!(" · <a download=\"{name}.svg\" href=\"data:image/svg+xml;base64,{svg}\">SVG</a>")
    });
    format!(
        "<figure{}>\n<img src=\"data:image/png;base64,{}\" alt=\"{}\" width=\"{width}\" height=\"{height}\" \
         loading=\"lazy\" decoding=\"async\">\n<figcaption class=\"file\">plots/{name}.png{vector}</figcaption>\n</figure>\n",
        if height > width { " class=\"tall\"" } else { "" },
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

/// What a click folds and unfolds, under a label.
pub(super) fn fold((class, label): (&str, &str), open: bool, html: &str) -> String {
    let open = if open { " open" } else { "" };
    format!("<details class=\"{class}\"{open}><summary>{label}</summary>\n{html}</details>\n")
}

/// HTML drops a newline that follows `<pre>`; one more keeps a text's own.
pub(super) fn one_newline_first(text: &str) -> String {
    if text.starts_with('\n') { format!("\n{text}") } else { text.to_string() }
}

/// Something wide in a box that scrolls, so that the page does not.
pub(super) fn scroll(label: &str, html: &str) -> String {
    format!("<div class=\"scroll\" data-label=\"{}\">\n{html}\n</div>\n", escape(label))
}
