//! The sections of the lecture: the files of notebooks-equivalent/, compiled in and listed in order.

use anyhow::{Result, bail};

use lecture5::notebook::{self, Echo, Notebook};
use lecture5::run::lecture::Lecture;

#[path = "../../notebooks-equivalent/10_beyond.rs"]
mod beyond;
#[path = "../../notebooks-equivalent/03_collab_filter.rs"]
mod collab_filter;
#[path = "../../notebooks-equivalent/04_dot_product.rs"]
#[allow(clippy::mutable_key_type)] // a polars value can be a category, which is mutable inside; ids are not
mod dot_product;
#[path = "../../notebooks-equivalent/05_embedding_dot.rs"]
mod embedding_dot;
#[path = "../../notebooks-equivalent/06_embedding_dot_bias.rs"]
mod embedding_dot_bias;
#[path = "../../notebooks-equivalent/07_embedding_net.rs"]
mod embedding_net;
#[path = "../../notebooks-equivalent/02_excel_subset.rs"]
mod excel_subset;
#[path = "../../notebooks-equivalent/09_interpretation.rs"]
mod interpretation;
#[path = "../../notebooks-equivalent/01_movielens.rs"]
mod movielens;
#[path = "../../notebooks-equivalent/08_training_loop.rs"]
mod training_loop;
#[path = "../../notebooks-equivalent/11_verification.rs"]
mod verification;

macro_rules! section {
    ($name:ident, $stem:literal, $live:literal) => {
        Section {
            name: stringify!($name),
            stem: $stem,
            source: include_str!(concat!("../../notebooks-equivalent/", $stem, ".rs")),
            run: $name::run,
            live: $live,
        }
    };
}

/// Every section, in the order of the lecture; those that go beyond it come last.
pub static SECTIONS: &[Section] = &[
    section!(movielens, "01_movielens", true),
    section!(excel_subset, "02_excel_subset", true),
    section!(collab_filter, "03_collab_filter", true),
    section!(dot_product, "04_dot_product", true),
    section!(embedding_dot, "05_embedding_dot", true),
    section!(embedding_dot_bias, "06_embedding_dot_bias", true),
    section!(embedding_net, "07_embedding_net", true),
    section!(training_loop, "08_training_loop", true),
    section!(interpretation, "09_interpretation", false),
    section!(beyond, "10_beyond", false),
    section!(verification, "11_verification", false),
];

/// A section of the lecture.
pub struct Section {
    /// As `lecture5 run` takes it.
    pub name: &'static str,
    /// Its file in notebooks-equivalent/, without `.rs`.
    pub stem: &'static str,
    source: &'static str,
    /// Its cells, from top to bottom.
    pub run: fn(&mut Notebook, &mut Lecture) -> Result<()>,
    /// Whether its cells were checked in the kernel `lecture5`, which runs them one by one (docs/live.md).
    live: bool,
}

impl Section {
    /// Its title, which is found without cutting it into cells.
    pub fn title(&self) -> String {
        notebook::title(self.stem, self.source)
    }

    /// The section's record before it has run.
    pub fn notebook(&self, echo: Echo) -> Notebook {
        Notebook::new(self.stem, self.source, echo)
            .live(self.live)
            .beside(include_str!("../../notebooks-equivalent/python/lecture.py"))
            .beside(include_str!("../../notebooks-equivalent/python/fastai_2017.py"))
    }
}

/// The named sections in the order of the lecture, or all of them when none is named.
///
/// # Errors
/// A name is not that of a section.
pub fn choose(names: &[String]) -> Result<Vec<&'static Section>> {
    if let Some(unknown) = names.iter().find(|name| !SECTIONS.iter().any(|s| s.name == **name)) {
        let known: Vec<&str> = SECTIONS.iter().map(|s| s.name).collect();
        bail!("'{unknown}' is not a section of the lecture; the sections are {}", known.join(", "));
    }
    Ok(SECTIONS.iter().filter(|s| names.is_empty() || names.iter().any(|name| name == s.name)).collect())
}
