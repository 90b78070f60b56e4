//! Code as HTML.

use super::escape::escape;
use crate::notebook::highlight::{Class, Language, highlight};

/// Code in a box of its own, which scrolls if the code is wider.
pub(super) fn code(text: &str, language: Option<Language>) -> String {
    let html = language.map_or_else(|| escape(text), |language| colored(text, language));
    format!("<pre class=\"code\"><code>{html}</code></pre>\n")
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
