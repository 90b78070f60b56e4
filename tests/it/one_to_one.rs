//! The sections compared with the lecture: every cell of the lecture has its place, and the Python next to the Rust gives
//! the same numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lecture5::notebook::{Cell, CellKind, Echo, Notebook, source};
use serde_json::Value;

use crate::common::{lecture5, python_with, stderr};

const SECTIONS: [&str; 8] = [
    "01_movielens",
    "02_excel_subset",
    "03_collab_filter",
    "04_dot_product",
    "05_embedding_dot",
    "06_embedding_dot_bias",
    "07_embedding_net",
    "08_training_loop",
];

/// The lecture's cells (pictures are P1 and so on), each with its section and what it does.
const CELLS: &str = include_str!("../../notebooks-equivalent/lecture_cells.tsv");
const LECTURE: &str = include_str!("../../notebooks-equivalent/python/lecture.py");
const FASTAI: &str = include_str!("../../notebooks-equivalent/python/fastai_2017.py");

fn notebooks() -> Vec<Notebook> {
    let read = |stem: &str| {
        let text = std::fs::read_to_string(format!("notebooks-equivalent/{stem}.rs")).unwrap();
        Notebook::new(stem, text.leak(), Echo::Quiet).beside(LECTURE).beside(FASTAI)
    };
    SECTIONS.into_iter().map(read).collect()
}

/// The rows of the table that closes a section: the lecture's cell, its code, ours, the verdict, and why.
fn closing_table(notebook: &Notebook) -> Vec<[String; 5]> {
    let last = notebook.cells().iter().rfind(|cell| cell.kind == CellKind::Markdown).unwrap();
    assert!(
        last.text.starts_with("## The lecture's cells of this section"),
        "{}: {}",
        notebook.name(),
        last.text
    );
    let rows = last.text.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = rows
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.map(|row| row.clone().try_into().unwrap_or_else(|_| panic!("five columns: {row:?}"))).collect()
}

/// The ids that the links of a text lead to.
fn links(text: &str) -> Vec<&str> {
    text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_cell_of_the_lecture_has_its_row_in_the_table_that_closes_its_section() {
    let notebooks = notebooks();
    let cells: BTreeMap<String, &Cell> = notebooks
        .iter()
        .flat_map(|notebook| (0..notebook.cells().len()).map(|i| (notebook.cell_id(i), &notebook.cells()[i])))
        .collect();
    for notebook in &notebooks {
        let listed: Vec<&str> = CELLS
            .lines()
            .skip(1)
            .filter(|line| line.split('\t').nth(1) == Some(notebook.name()))
            .filter_map(|line| line.split('\t').next())
            .collect();
        let rows = closing_table(notebook);
        let told: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(told, listed, "{}", notebook.name());
        for [number, lecture, here, verdict, why] in &rows {
            assert!(verdict == "same" || verdict == "differs", "{number} {lecture}: {verdict}");
            assert!(verdict == "same" || !why.is_empty(), "{number} {lecture} differs, but why?");
            for link in links(here) {
                let cell = cells.get(link).unwrap_or_else(|| panic!("{number}: #{link} leads nowhere"));
                assert!(
                    number.starts_with('P') || cell.python.is_some(),
                    "{number}: there is no Python beside {link}"
                );
            }
            assert!(!links(here).is_empty() || !here.starts_with('['), "{number}: {here}");
        }
    }
    let told: usize = notebooks.iter().map(|notebook| closing_table(notebook).len()).sum();
    assert_eq!(told, CELLS.lines().count() - 1, "every cell of the list belongs to a section");
}

#[test]
fn every_cell_of_the_python_program_is_next_to_one_cell_of_rust() {
    let notebooks = notebooks();
    for (name, text) in [LECTURE, FASTAI].into_iter().flat_map(source::python_cells) {
        let Some((section, cell)) = name.split_once(": ") else { continue };
        let notebook =
            notebooks.iter().find(|n| n.name() == section).unwrap_or_else(|| panic!("no section {section}"));
        let beside: Vec<&Cell> = notebook.cells().iter().filter(|c| c.name == cell).collect();
        assert_eq!(beside.len(), 1, "'{name}'");
        assert_eq!(beside[0].python.as_deref(), Some(text.as_str()), "'{name}'");
    }
}

#[test]
fn the_lectures_names_come_in_the_lectures_order() {
    let code: String = notebooks()
        .iter()
        .flat_map(|notebook| notebook.cells().to_vec())
        .filter(|cell| cell.kind == CellKind::Code && !cell.is_plumbing())
        .map(|cell| cell.text + "\n")
        .collect();
    let mut after = 0;
    for name in [
        "let ratings",
        "movies)",
        "let top_users",
        "let top_movies",
        "let top_r",
        "val_idxs",
        "let wd",
        "let n_factors",
        "let cf",
        "let mut learn",
        "learn.fit",
        "let preds",
        "let y",
        "let a =",
        "let b =",
        "struct DotProduct",
        "let model",
        "let u_uniq",
        "let user2idx",
        "let m_uniq",
        "let movie2idx",
        "n_users",
        "struct EmbeddingDot",
        "let x",
        "let data",
        "let mut opt",
        "opt.set_lrs(",
        "min_rating",
        "fn get_emb",
        "struct EmbeddingDotBias",
        "struct EmbeddingNet",
        "lin1",
        "lin2",
        "dropout(",
        "dropout(",
        "opt.set_lrs(",
    ] {
        let at =
            code[after..].find(name).unwrap_or_else(|| panic!("'{name}' is missing, or comes too early"));
        after += at + name.len();
    }
}

#[test]
fn the_busiest_users_and_movies_are_those_of_the_lectures_spreadsheet() {
    let out = tempfile::tempdir().unwrap();
    let done = lecture5(&["run", "excel_subset", "--quiet", "--out", out.path().to_str().unwrap()]);
    assert!(done.status.success(), "{}", stderr(&done));
    let text = std::fs::read_to_string(out.path().join("notebooks/02_excel_subset.ipynb")).unwrap();
    let shown = numbers(&shown(&serde_json::from_str(&text).unwrap(), "excel_subset-top_users"));
    for (row, (user, given, movie, received)) in [
        (547, 2391, 356, 341),
        (564, 1868, 296, 324),
        (624, 1735, 318, 311),
        (15, 1700, 593, 304),
        (73, 1610, 260, 291),
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = [user, given, movie, received].map(f64::from);
        assert!(shown.windows(4).any(|four| four == wanted), "row {row}: {wanted:?} is not in {shown:?}");
    }
}

/// The numbers in a text, as they are written.
fn numbers(text: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_digit() || matches!(c, '.' | '-' | '+') || (matches!(c, 'e') && !word.is_empty()) {
            word.push(c);
        } else {
            found.extend(word.trim_end_matches(['.', 'e', '-', '+']).parse::<f64>().ok());
            word.clear();
        }
    }
    found
}

/// What a notebook shows under a named cell and the folded ones after it, as text.
fn shown(ipynb: &Value, id: &str) -> String {
    let cells = ipynb["cells"].as_array().unwrap();
    let at = cells.iter().position(|cell| cell["id"] == id).unwrap_or_else(|| panic!("no cell {id}"));
    let is_next = |cell: &&Value| cell["metadata"]["title"].as_str().is_none_or(|title| title == "plumbing");
    let texts = cells[at..=at].iter().chain(cells[at + 1..].iter().take_while(is_next));
    texts
        .flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default())
        .flat_map(|output| [output["text"].clone(), output["data"]["text/plain"].clone()])
        .filter_map(|lines| {
            Some(lines.as_array()?.iter().filter_map(Value::as_str).collect::<String>() + "\n")
        })
        .collect()
}

#[test]
fn with_other_data_no_sentence_is_left_that_is_true_of_the_lectures_only() {
    let folder = tempfile::tempdir().unwrap();
    let ratings = folder.path().join("ratings.csv");
    let rows = (0..480).map(|row| (row % 40, row * 7 % 60, 1 + (row * 5 + row / 40) % 10));
    let lines = rows.map(|(user, item, rating)| format!("u{user},i{item},{rating}\n"));
    std::fs::write(&ratings, "user,item,rating\n".to_owned() + &lines.collect::<String>()).unwrap();
    let out = folder.path().join("out");
    let paths = ["--ratings", ratings.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let columns = ["--user", "user", "--item", "item", "--rating", "rating"];
    let sections = [
        "movielens",
        "collab_filter",
        "embedding_dot",
        "embedding_dot_bias",
        "embedding_net",
        "interpretation",
    ];
    let arguments = ["run", "--quiet"].into_iter().chain(paths).chain(columns).chain(sections);
    let done = lecture5(&arguments.collect::<Vec<_>>());
    assert!(done.status.success(), "{}", stderr(&done));
    let page = std::fs::read_to_string(out.join("lecture.html")).unwrap();
    for only in [
        "exactly the rows that the lecture held out",
        "at the slow end",
        "A hundred thousand ratings",
        "sequels",
    ] {
        // The sentence is in folded code, which the page shows unchanged; what a run says is in prose.
        let said = page.split("<div class=\"prose\"").skip(1).filter_map(|rest| rest.split("</div>").next());
        assert!(!said.clone().any(|prose| prose.contains(only)), "'{only}' is not true of this data");
    }
    assert!(page.contains("These are not the rows that the lecture held out."));
}

#[test]
fn the_python_put_together_gives_the_numbers_on_the_page() {
    let Some(python) = python_with(&["torch", "pandas"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let printed = folder.path().join("cells.json");
    let done = Command::new(python)
        .args(["scripts/pytorch_twin.py", "--threads", "1", "--cells"])
        .arg(&printed)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    let printed: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(printed).unwrap()).unwrap();

    let names = SECTIONS.map(|stem| &stem[3..]);
    let out = folder.path().join("out");
    let arguments =
        ["run", "--quiet", "--threads", "1", "--out"].into_iter().chain(out.to_str()).chain(names);
    let done = lecture5(&arguments.collect::<Vec<_>>());
    assert!(done.status.success(), "{}", stderr(&done));
    for notebook in notebooks() {
        let path = out.join(format!("notebooks/{}.ipynb", notebook.stem()));
        let ipynb: Value = serde_json::from_str(&std::fs::read_to_string(Path::new(&path)).unwrap()).unwrap();
        for (i, cell) in notebook.cells().iter().enumerate().filter(|(_, cell)| cell.python.is_some()) {
            let name = format!("{}: {}", notebook.name(), cell.name);
            let ours = numbers(&shown(&ipynb, &notebook.cell_id(i)));
            for theirs in numbers(printed.get(&name).map_or("", String::as_str)) {
                let same = |ours: &&f64| (*ours - theirs).abs() <= 2e-4 * theirs.abs().max(1.0);
                assert!(
                    ours.iter().any(|ours| same(&ours)),
                    "{name}: Python's {theirs} is not among ours: {ours:?}"
                );
            }
        }
    }
}
