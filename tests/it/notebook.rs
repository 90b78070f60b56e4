//! The notebook: where output is recorded, and the files that it writes.

use std::cell::RefCell;
use std::rc::Rc;

use lecture5::notebook::html::{self, RunInfo};
use lecture5::notebook::{Align, CellKind, Echo, Notebook, Output, Table, ipynb, source};

mod tools;

pub use tools::chromium;

#[path = "../fixtures/01_movielens.rs"]
mod movielens;

#[path = "../fixtures/05_embedding_dot.rs"]
mod embedding_dot;

const MODELS: &str = include_str!("../fixtures/models.rs");

/// The two sample sections, run.
fn lecture() -> Vec<Notebook> {
    let mut first = Notebook::new("01_movielens", include_str!("../fixtures/01_movielens.rs"), Echo::Quiet);
    movielens::run(&mut first).expect("the first sample section runs");
    let mut second =
        Notebook::new("05_embedding_dot", include_str!("../fixtures/05_embedding_dot.rs"), Echo::Quiet);
    embedding_dot::run(&mut second).expect("the second sample section runs");
    vec![first, second]
}

fn run_info() -> RunInfo {
    let comparison = Table::new(["fit", "epoch", "trn", "lecture trn", "val", "lecture val", "difference"])
        .row(["embedding_dot", "0", "1.69021", "1.68932", "1.63991", "1.64501", "−0.0051"])
        .row(["", "1", "1.08112", "1.08445", "1.30571", "1.30609", "−0.0004"])
        .row(["", "2", "0.92034", "0.91446", "1.22786", "1.23001", "−0.0022"])
        .row(["embedding_net", "0", "0.92310", "1.08790", "0.90120", "1.10568", "−0.2045"]);
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    RunInfo {
        title: "Lecture 5: collaborative filtering".to_string(),
        introduction:
            "Lecture 5 of *Deep Learning for Coders* (2017), run again in Rust over libtorch: every \
                       cell of it, with what it printed and drew."
                .to_string(),
        comparison: Some(comparison),
        comparison_note: "Mean squared errors: `trn` is the running mean of the training loss, `val` the \
                          validation loss."
            .to_string(),
        settings: vec![
            pair("seed", "0"),
            pair("data", "ml-latest-small, 100,004 ratings"),
            pair("threads", "2"),
        ],
        machine: vec![pair("device", "CPU"), pair("processor", "AMD EPYC"), pair("libtorch", "2.13.0")],
    }
}

fn page() -> String {
    html::write(&lecture(), &run_info())
}

/// The output texts of the first cell whose text contains `part`.
fn outputs_under<'a>(notebook: &'a Notebook, part: &str) -> Vec<&'a Output> {
    let cell = notebook.cells().iter().find(|cell| cell.kind == CellKind::Code && cell.text.contains(part));
    cell.unwrap_or_else(|| panic!("no code cell contains '{part}'")).outputs.iter().collect()
}

// Cells

#[test]
fn cells_are_the_files_own_text_without_what_makes_it_a_module() {
    let notebook = &lecture()[0];
    let kinds: Vec<CellKind> = notebook.cells().iter().map(|cell| cell.kind).collect();
    let (prose, code) = (CellKind::Markdown, CellKind::Code);
    assert_eq!(kinds, [prose, code, prose, code, prose, code, prose, code]);
    assert_eq!(notebook.cells()[1].text, "use anyhow::Result;\nuse lecture5::notebook::{Notebook, Table};");
    assert!(notebook.cells()[2].text.starts_with("## Ratings\n\nEach row is one rating."));
    assert!(notebook.cells()[7].text.starts_with("let movie_ids = [31, 1029, 1061, 31];\n"));
    assert!(notebook.cells()[7].text.contains("\n    if !uniq.contains(&id) {\n"), "code keeps its shape");
    assert!(notebook.cells()[7].text.ends_with("\nnb.show(uniq.len());"));
    for cell in notebook.cells() {
        for scaffold in ["pub fn run", "Ok(())", "%%", "cell by cell", "sample section"] {
            assert!(!cell.text.contains(scaffold), "'{scaffold}' is shown in:\n{}", cell.text);
        }
    }
}

#[test]
fn a_section_knows_its_name_number_and_title() {
    let notebook = &lecture()[0];
    assert_eq!((notebook.name(), notebook.number(), notebook.title()), ("movielens", Some(1), "MovieLens"));
}

#[test]
fn code_after_prose_needs_no_marker_and_prose_above_run_stays() {
    let source = "// %% [markdown]\n// # T\n//\n//    indented\nconst A: i64 = 1;\n// %% [markdown]\n// last\npub fn run() \
                  {\n    // %%\n    b();\n    Ok(())\n}\n";
    let notebook = Notebook::new("01_t", source, Echo::Quiet);
    let texts: Vec<&str> = notebook.cells().iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(texts, ["# T\n\n   indented", "const A: i64 = 1;", "last", "b();"]);
}

#[test]
fn the_python_of_a_cells_name_is_folded_below_it_and_plumbing_is_folded_away() {
    let source = "// %% [markdown]\n// # T\n// %% plumbing\nuse anyhow::Result;\n// %% fit again\nlet a = 1;\n// %%\nb();\n";
    let python = "\"\"\"doc\"\"\"\n\n# %% import\nimport torch\n\n# %% t: fit again\na = 1\n\n# %% other: fit again\na = 2\n";
    let notebook = Notebook::new("01_t", source, Echo::Quiet).beside(python);
    let beside: Vec<Option<&str>> = notebook.cells().iter().map(|cell| cell.python.as_deref()).collect();
    assert_eq!(beside, [None, None, Some("a = 1"), None]);
    let ids: Vec<String> = (0..4).map(|i| notebook.cell_id(i)).collect();
    assert_eq!(ids, ["t-01", "t-02", "t-fit_again", "t-04"]);

    let page = html::write(std::slice::from_ref(&notebook), &run_info());
    let (rust, python) = (page.find("<span class=\"k\">let</span>"), page.find("<details class=\"python\">"));
    assert!(rust < python && python.is_some() && rust.is_some(), "{page}");
    assert_eq!(page.matches("<details class=\"plumbing\"><summary>Plumbing</summary>").count(), 1, "{page}");
    assert!(page.contains("id=\"python\""), "a box that shows all of it");
    assert!(!html::write(&lecture(), &run_info()).contains("id=\"python\""), "no box without Python");

    let ipynb: serde_json::Value =
        serde_json::from_str(&ipynb::to_string(&notebook).expect("JSON")).expect("JSON");
    let cells = ipynb["cells"].as_array().expect("cells");
    assert_eq!(cells[1]["metadata"]["jupyter"]["source_hidden"], true);
    assert_eq!((&cells[2]["id"], &cells[2]["cell_type"]), (&"t-fit_again-python".into(), &"markdown".into()));
    assert!(cells[2]["source"].to_string().contains("```python"), "{}", cells[2]);
    assert_eq!(
        (&cells[3]["id"], &cells[3]["metadata"]["title"]),
        (&"t-fit_again".into(), &"fit again".into())
    );
}

// Outputs

#[test]
fn an_output_is_shown_under_the_cell_whose_line_made_it() {
    let [first, second] = &lecture()[..] else { panic!("two sections") };
    assert!(matches!(outputs_under(first, "let ratings")[..], [Output::Table(_)]));
    assert!(matches!(outputs_under(first, "let movies")[..], [Output::Table(_)]));
    assert!(matches!(outputs_under(second, "nb.source(")[..], [Output::Rust { .. }]));
    assert!(matches!(outputs_under(second, "include_bytes!")[..], [Output::Picture(_)]));
    assert!(matches!(outputs_under(second, "let val =")[..], [Output::Markdown(_), Output::Text(_)]));
}

#[test]
fn lines_printed_in_a_row_are_one_stream() {
    let first = &lecture()[0];
    let expected = Output::Stream("   31 -> 0\n 1029 -> 1\n 1061 -> 2\n\n".to_string());
    assert_eq!(outputs_under(first, "let movie_ids"), [&expected, &Output::Text("3".to_string())]);
}

#[test]
fn what_a_helper_or_a_closure_shows_goes_under_the_cell_that_is_running() {
    let second = &lecture()[1];
    assert!(outputs_under(second, "fn helper").is_empty(), "not under the helper's own cell");
    let under = outputs_under(second, "let mut table");
    assert_eq!(under[1], &Output::Stream("said by a closure <&>\nsaid by a helper <&>\n".to_string()));
    // The line of this call would be inside `run` if it were the section's file.
    let mut other =
        Notebook::new("05_embedding_dot", include_str!("../fixtures/05_embedding_dot.rs"), Echo::Quiet);
    other.show("from another file");
    assert_eq!(outputs_under(&other, "nb.source(").len(), 1, "the first cell of `run`");
}

#[test]
fn the_terminal_hears_titles_outputs_and_the_headings_that_have_some_in_the_lectures_order() {
    let heard = Rc::new(RefCell::new(String::new()));
    let writer = heard.clone();
    let echo = Echo::With(Box::new(move |text| *writer.borrow_mut() += &format!("{text}\n")));
    let mut notebook =
        Notebook::new("05_embedding_dot", include_str!("../fixtures/05_embedding_dot.rs"), echo);
    embedding_dot::run(&mut notebook).expect("the section runs");
    let heard = heard.borrow();
    let told = "# `EmbeddingDot`: a row of numbers for everyone

## Run the fit
[ 0.   1.68932  1.64501]
[ 1.   1.08445  1.30609]
";
    assert!(heard.starts_with(told), "{heard}");
    let told = "
## What the losses look like
  plots/hexbin_embedding_dot.png
The root of the last validation loss is **1.11 stars**.
1.1090581589799517
epoch  lecture        ten seeds
    0  1.64501  1.6354 ± 0.0050
    1  1.30609  1.3037 ± 0.0036
    2  1.23001  1.2249 ± 0.0061
said by a closure <&>
said by a helper <&>
";
    assert!(heard.ends_with(told), "{heard}");
}

// Tables

fn movies() -> Table {
    Table::new(["movieId", "title", "mean_rating"])
        .row(["1", "Toy Story", "3.87"])
        .row(["2", "A|B <&> *c*", ""])
        .row(["10", "Amélie", "4.1"])
        .index("", ["0", "1", "2"])
        .caption("Three movies")
}

#[test]
fn a_table_is_text_with_numbers_to_the_right() {
    let text = "Three movies
   movieId  title        mean_rating
0        1  Toy Story           3.87
1        2  A|B <&> *c*
2       10  Amélie               4.1
";
    assert_eq!(movies().to_text(), text);
    let left = movies().align("movieId", Align::Left).to_text();
    assert!(left.contains("\n0  1        Toy Story"), "{left}");
}

#[test]
fn a_table_is_html_with_headers_scopes_and_escapes() {
    let html = html::table(&movies());
    assert!(html.starts_with("<table class=\"dataframe\">\n  <caption>Three movies</caption>\n"));
    assert!(
        html.contains("<tr><td></td><th scope=\"col\" style=\"text-align: right\">movieId</th>"),
        "{html}"
    );
    assert!(html.contains("<th scope=\"row\" style=\"text-align: right\">1</th>"), "{html}");
    assert!(html.contains("<td style=\"text-align: left\">A|B &lt;&amp;&gt; *c*</td>"), "{html}");
}

// Items of other files

#[test]
fn a_struct_is_shown_with_its_docs_attributes_and_impls() {
    let text = source::item_text(MODELS, "struct EmbeddingDot").expect("it is there");
    assert!(text.starts_with(
        "/// Users and movies as rows of numbers; a rating is the dot product of two rows.\n#[derive"
    ));
    assert!(text.contains("}\n\nimpl EmbeddingDot {\n    /// Both tables"), "{text}");
    assert!(text.contains("}\n\nimpl nn::ModuleT for EmbeddingDot {\n"), "{text}");
    assert!(text.ends_with("(u * m).sum_dim_intlist(1, false, None) // (bs,)\n    }\n}"), "{text}");
    for other in ["Biases", "detached", "SIZES", "fn fit"] {
        assert!(!text.contains(other), "'{other}' is no part of it:\n{text}");
    }
}

#[test]
fn functions_methods_and_constants_are_found_by_name() {
    let item = |name| source::item_text(MODELS, name).expect("it is there");
    assert!(item("fn fit").starts_with("/// One pass over the ratings.\npub fn fit<'a, M:"));
    assert!(item("fn fit").ends_with("Some(model(\"}\"))\n}"));
    assert!(
        item("fn forward_t")
            .starts_with("fn forward_t(&self, cats: &Tensor, _train: bool) -> Tensor {\n    let")
    );
    assert!(
        item("fn EmbeddingDot::new").starts_with("/// Both tables start"),
        "{}",
        item("fn EmbeddingDot::new")
    );
    assert!(
        item("trait Counted").ends_with("fn size(&self) -> usize;\n}"),
        "an impl for an array is no part of it"
    );
    assert!(item("const SIZES").ends_with("\npub const SIZES: [i64; 2] = [671, 9066];"));
}

#[test]
fn an_item_that_is_not_there_is_an_error_that_names_those_that_are() {
    let error = source::item_text(MODELS, "struct EmbeddingNet").expect_err("it is not there").to_string();
    assert!(error.contains("no item 'struct EmbeddingNet'"), "{error}");
    assert!(
        error.contains("const SIZES, struct EmbeddingDot, struct EmbeddingDotBias, trait Counted, fn fit"),
        "{error}"
    );
    let mut notebook = Notebook::new("01_movielens", "// %%\nlet a = 1;\n", Echo::Quiet);
    let error = format!("{:#}", notebook.source(MODELS, "fit").expect_err("no keyword"));
    assert!(
        error.contains("tests/it/notebook.rs:") && error.contains("write its keyword and its name"),
        "{error}"
    );
}

// Files

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert!(page() == page(), "lecture.html differs");
    for (one, other) in lecture().iter().zip(&lecture()) {
        let (one, other) = (ipynb::to_string(one).expect("JSON"), ipynb::to_string(other).expect("JSON"));
        assert!(one == other, "an .ipynb differs");
    }
}

#[test]
fn notebooks_are_written_under_their_files_names_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notebooks = folder.path().join("out/notebooks");
    ipynb::write(&lecture(), &notebooks).expect("they are written");
    let mut names: Vec<_> = std::fs::read_dir(&notebooks)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["01_movielens.ipynb", "05_embedding_dot.ipynb"]);
}

#[test]
fn the_page_and_the_notebook_give_a_pictures_size_and_what_it_shows() {
    assert!(
        page().contains("mean\" width=\"672\" height=\"442\" loading=\"lazy\" decoding=\"async\">"),
        "{}",
        page()
    );
    let ipynb = ipynb::to_string(&lecture()[1]).expect("JSON");
    let compact: String = ipynb.split_whitespace().collect();
    assert!(compact.contains("\"height\":442,\"width\":672}"), "{ipynb}");
}

/// All values of an attribute in a page, in order.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!(" {name}=\"");
    page.split(&open).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// A section whose headings skip levels, repeat, and look like the id of a cell.
fn awkward_headings() -> Notebook {
    let source =
        "// %% [markdown]\n// # T\n//\n// #### Deep\n// # Again\n// ## 02\n// ## 02\n// %%\nlet a = 1;\n";
    Notebook::new("01_t", source, Echo::Quiet)
}

#[test]
fn every_link_within_the_page_leads_somewhere_and_every_id_is_the_only_one() {
    for page in [page(), html::write(&[awkward_headings()], &run_info())] {
        let ids = attributes(&page, "id");
        let mut unique = ids.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "an id is there twice: {ids:?}");
        for link in attributes(&page, "href").iter().filter_map(|href| href.strip_prefix('#')) {
            assert!(ids.contains(&link), "#{link} leads nowhere; ids: {ids:?}");
        }
    }
    let page = page();
    let anchors =
        ["movielens", "embedding_dot", "embedding_dot-03", "movielens-contiguous-ids", "results", "run"];
    for id in anchors {
        assert!(attributes(&page, "id").contains(&id), "no anchor #{id}");
    }
}

#[test]
fn headings_go_down_one_level_at_a_time_and_there_is_one_h1() {
    for page in [page(), html::write(&[awkward_headings()], &run_info())] {
        let starts =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10));
        let levels: Vec<u32> = starts.collect();
        assert_eq!(levels.iter().filter(|&&level| level == 1).count(), 1);
        assert_eq!(levels[0], 1);
        for pair in levels.windows(2) {
            assert!(pair[1] <= pair[0] + 1, "h{} is followed by h{}: {levels:?}", pair[0], pair[1]);
        }
    }
}

#[test]
fn a_formula_is_mathml_in_the_page_and_latex_in_the_notebook() {
    let source =
        "// %% [markdown]\n// # T\n// It is $x^2$, not `$x$`, and costs $5:\n//\n// $$y = \\frac{a}{b}$$\n";
    let notebook = Notebook::new("01_t", source, Echo::Quiet);
    let page = html::write(std::slice::from_ref(&notebook), &run_info());
    assert!(page.contains("It is <math"), "{page}");
    assert!(page.contains("<msup><mi>x</mi><mn>2</mn></msup>"), "{page}");
    assert!(page.contains("<math display=\"block\">") && page.contains("<mfrac>"), "{page}");
    assert!(page.contains("<code>$x$</code>, and costs $5:"), "neither code nor a price is a formula");
    assert!(
        ipynb::to_string(&notebook).expect("JSON").contains("$$y = \\\\frac{a}{b}$$"),
        "as Jupyter wants it"
    );
}

#[test]
fn each_formula_of_the_lecture_is_well_formed() {
    for file in std::fs::read_dir("notebooks-equivalent").expect("the folder is there") {
        let path = file.expect("an entry").path();
        let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs")) else {
            continue;
        };
        let notebook = Notebook::new(stem, &std::fs::read_to_string(&path).expect("text"), Echo::Quiet);
        assert!(!html::one_section(&notebook).contains("<merror"), "{stem} has a formula with an error");
    }
}

#[test]
fn all_rust_of_the_page_folds_and_is_unfolded_at_first() {
    let page = page();
    let code = page.matches("<pre class=\"code\">").count();
    let folds = page.matches("<details class=\"rust\" open>").count()
        + page.matches("<details class=\"rust item\" open><summary>struct EmbeddingDot</summary>").count();
    assert!(folds > 5 && code - folds <= 1, "{folds} of {code} blocks; one is in the prose");
    assert!(page.contains("id=\"rust\" checked") && page.contains("href=\"#handout\""), "{page}");
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let source = "// %% [markdown]\n// # T\n// ![a picture](https://example.org/a.png) and ![mine](data:image/png;base64,AA==)\n";
    let remote = Notebook::new("01_t", source, Echo::Quiet);
    let page = html::write(&[remote], &run_info());
    assert!(page.contains("<a href=\"https://example.org/a.png\">a picture</a>"), "a link, not a picture");
    for src in attributes(&page, "src") {
        assert!(src.starts_with("data:"), "the page would fetch {src}");
    }
    assert!(!page.contains("@import") && !page.contains("url("), "the style fetches something");
    assert_eq!(page.matches("<link ").count(), page.matches("<link rel=\"icon\" href=\"data:,\">").count());
}
