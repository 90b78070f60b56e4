//! Writes a section as an executed Jupyter notebook, byte for byte as Jupyter itself would save it.
//!
//! Format: nbformat 4.5. The kernel is `lecture5` (scripts/live.sh) if it can run the section, or else evcxr's, so that
//! Jupyter colors the code; the jupytext entry lets `jupytext --to rs:percent` give back cells like those of the section's
//! own file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::system::files::write_whole;

use super::{Cell, CellKind, Notebook, Output, Picture, html};

/// Writes `STEM.ipynb` for each section into `folder` (created if missing), each completely or not at all.
pub fn write(notebooks: &[Notebook], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for notebook in notebooks {
        let path = folder.join(format!("{}.ipynb", notebook.stem()));
        write_whole(&path, to_string(notebook)?.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// The text of the section's `.ipynb` file. The same record gives the same bytes.
pub fn to_string(notebook: &Notebook) -> Result<String> {
    let mut execution_count = 0;
    let mut cells = Vec::new();
    for (i, cell) in notebook.cells().iter().enumerate() {
        let id = notebook.cell_id(i);
        if let Some(python) = &cell.python {
            cells.push(python_cell(&format!("{id}-python"), python));
        }
        cells.push(match cell.kind {
            CellKind::Markdown => markdown_cell(&id, &cell.text),
            CellKind::Code => {
                execution_count += 1;
                json!({
                    "cell_type": "code",
                    "execution_count": execution_count,
                    "id": id,
                    "metadata": metadata(cell),
                    "outputs": outputs(cell, execution_count),
                    "source": lines(&cell.text),
                })
            }
        });
        if let (0, Some(live)) = (i, notebook.live) {
            let id = format!("{}-live", notebook.cell_id(i));
            cells.push(markdown_cell(&id, &how_to_run(live, notebook.name())));
        }
    }
    let kernel = match notebook.live {
        Some(true) => ("Rust (lecture5)", "lecture5"),
        _ => ("Rust", "rust"),
    };
    let notebook = json!({
        "cells": cells,
        "metadata": {
            "jupytext": {
                "text_representation": {
                    "extension": ".rs", "format_name": "percent", "format_version": "1.3",
                },
            },
            "kernelspec": {"display_name": kernel.0, "language": "rust", "name": kernel.1},
            "language_info": {
                "codemirror_mode": "rust",
                "file_extension": ".rs",
                "mimetype": "text/rust",
                "name": "rust",
                "pygments_lexer": "rust",
            },
            "title": notebook.title(),
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    });
    let mut bytes = Vec::new();
    let one_space = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, one_space);
    serde::Serialize::serialize(&notebook, &mut serializer)?;
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes)?)
}

fn markdown_cell(id: &str, text: &str) -> Value {
    json!({"cell_type": "markdown", "id": id, "metadata": {}, "source": lines(text)})
}

/// A line below the title.
fn how_to_run(live: bool, section: &str) -> String {
    match live {
        true => {
            "*These cells run in Jupyter with the kernel `lecture5`: `scripts/live.sh install` installs it.*"
                .to_owned()
        }
        false => {
            format!(
                "*These cells are not made to run in Jupyter; `lecture5 watch {section}` shows what becomes of an edited one.*"
            )
        }
    }
}

/// The same step in Python, folded, above the cell that does it in Rust.
fn python_cell(id: &str, python: &str) -> Value {
    markdown_cell(
        id,
        &format!("<details><summary>Python</summary>\n\n```python\n{python}\n```\n\n</details>"),
    )
}

/// A cell's name, as jupytext keeps it; Jupyter folds the code of plumbing.
fn metadata(cell: &Cell) -> Value {
    match cell.name.as_str() {
        "" => json!({}),
        _ if cell.is_plumbing() => json!({"jupyter": {"source_hidden": true}, "title": cell.name}),
        name => json!({"title": name}),
    }
}

/// nbformat's multi-line string: a list of lines, each but the last with its newline.
fn lines(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}

fn outputs(cell: &Cell, execution_count: usize) -> Vec<Value> {
    let last = cell.outputs.len().saturating_sub(1);
    let output = |(i, output): (usize, &Output)| {
        if let Output::Stream(text) = output {
            return json!({"name": "stdout", "output_type": "stream", "text": lines(text)});
        }
        if let Output::Error(text) = output {
            return json!({"ename": "Error", "evalue": text, "output_type": "error", "traceback": [text]});
        }
        let (data, metadata) = bundle(output);
        // As in Jupyter, the value that a cell ends with is its result; anything else is displayed.
        match output {
            Output::Text(_) | Output::Table(_) if i == last => json!({
                "data": data,
                "execution_count": execution_count,
                "metadata": metadata,
                "output_type": "execute_result",
            }),
            _ => json!({"data": data, "metadata": metadata, "output_type": "display_data"}),
        }
    };
    cell.outputs.iter().enumerate().map(output).collect()
}

/// An output as Jupyter's MIME bundle, and the bundle's metadata.
fn bundle(output: &Output) -> (Value, Value) {
    let plain = lines(&output.to_text());
    match output {
        Output::Stream(_) | Output::Text(_) | Output::Error(_) => (json!({"text/plain": plain}), json!({})),
        Output::Table(table) => {
            (json!({"text/html": lines(&html::table(table)), "text/plain": plain}), json!({}))
        }
        Output::Markdown(text) => (json!({"text/markdown": lines(text), "text/plain": plain}), json!({})),
        Output::Rust { text, .. } => {
            let fenced = format!("```rust\n{text}\n```");
            (json!({"text/markdown": lines(&fenced), "text/plain": plain}), json!({}))
        }
        Output::Picture(picture) => {
            let png = STANDARD.encode(&picture.png);
            (json!({"image/png": png, "text/plain": plain}), json!({"image/png": png_metadata(picture)}))
        }
    }
}

/// An image's size in CSS pixels, which Jupyter and nbconvert read here, and its alternative text, which so far
/// only nbconvert's classic template reads (the bundle's plain text says the same).
fn png_metadata(picture: &Picture) -> Value {
    json!({"alt": picture.alt, "height": picture.size.1, "width": picture.size.0})
}
