//! A section's source, cut into cells.

use std::ops::Range;

use super::output::Output;
use super::source;

/// Prose or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Markdown,
    /// Rust.
    Code,
}

/// One cell of a section and what it showed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Prose or code.
    pub kind: CellKind,
    /// The name after the `%%` of a code cell's marker; empty if there is none.
    pub name: String,
    /// The same step in Python, if a program has a cell of that name.
    pub python: Option<String>,
    /// The cell's text as a notebook shows it: Markdown without its `// `, code moved to the left margin.
    pub text: String,
    /// The lines of the file that the cell is on, from 1, the end exclusive.
    pub lines: Range<usize>,
    /// In the order they were shown.
    pub outputs: Vec<Output>,
}

impl Cell {
    /// Whether the code only makes the cells around it work (`use` lines, rows of a table): a page folds it away. Its
    /// name is `plumbing`.
    pub fn is_plumbing(&self) -> bool {
        self.name == "plumbing"
    }
}

pub(super) fn cell(kind: CellKind, name: &str, text: String, lines: Range<usize>) -> Cell {
    Cell { kind, name: name.to_owned(), python: None, text, lines, outputs: Vec::new() }
}

pub(super) fn second_level_headings(cell: &Cell) -> Vec<String> {
    if cell.kind == CellKind::Code {
        return Vec::new();
    }
    let mut in_fence = false;
    let is_heading = |line: &&str| {
        in_fence ^= line.starts_with("```");
        !in_fence && line.starts_with("## ")
    };
    cell.text.lines().filter(is_heading).map(str::to_string).collect()
}

/// The cells of a section's source, without what only makes it a module, and the lines inside its `run`.
pub(super) fn cells(source: &str) -> (Vec<Cell>, Range<usize>) {
    let mut lines: Vec<&str> = source.lines().collect();
    let run_lines = blank_scaffolding(source, &mut lines);

    let mut cells = Vec::new();
    let mut begin = |kind, name: &str, text: String, lines| {
        if !text.trim().is_empty() {
            cells.push(cell(kind, name, text, lines));
        }
    };
    let is_marker = |line: &&str| line.trim_start().strip_prefix("//").is_some_and(is_percent);
    let markers: Vec<usize> = (0..lines.len()).filter(|&i| is_marker(&lines[i])).collect();
    let first = markers.first().copied().unwrap_or(lines.len());
    begin(CellKind::Code, "", source::dedent(&lines[..first].join("\n")), 1..first + 1);
    for (m, &marker) in markers.iter().enumerate() {
        let end = markers.get(m + 1).copied().unwrap_or(lines.len());
        let mut start = marker + 1;
        let mut name = lines[marker].split_once("%%").map_or("", |(_, name)| name.trim());
        if name.starts_with("[markdown]") || name.starts_with("[md]") {
            name = "";
            // Prose ends at a line that is not a comment: code may follow without its own marker.
            let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
            let prose_end = lines[start..end].iter().position(is_code).map_or(end, |i| start + i);
            let prose: Vec<&str> = lines[start..prose_end].iter().map(|line| uncommented(line)).collect();
            begin(
                CellKind::Markdown,
                "",
                prose.join("\n").trim_matches('\n').to_string(),
                start + 1..prose_end + 1,
            );
            start = prose_end;
        }
        begin(CellKind::Code, name, source::dedent(&lines[start..end].join("\n")), start + 1..end + 1);
    }
    (cells, run_lines)
}

/// True for what follows the `//` of a marker line: ` %%`, ` %% [markdown]`, ` %% a title`.
fn is_percent(after: &str) -> bool {
    after.trim_start().strip_prefix("%%").is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn uncommented(line: &str) -> &str {
    let text = line.trim_start();
    let text = text.strip_prefix("//").unwrap_or(text);
    text.strip_prefix(' ').unwrap_or(text).trim_end()
}

/// Empties the lines that only make the file a module (`//!` comments and `#![…]` before the first cell, the
/// header of `run`, its last `Ok(())` and brace). Returns the lines inside `run`, from 1, the end exclusive.
fn blank_scaffolding(source: &str, lines: &mut [&str]) -> Range<usize> {
    for line in lines.iter_mut().take_while(|line| !line.contains("%%")) {
        if line.starts_with("//!") || line.starts_with("#![") {
            *line = "";
        }
    }
    let Some(run) = source::function_lines(source, "run") else {
        return 1..lines.len() + 1;
    };
    lines[run.start - 1..run.open].fill("");
    lines[run.close - 1] = "";
    let last = (run.open..run.close - 1).rev().find(|&i| !lines[i].trim().is_empty());
    if let Some(last) = last.filter(|&i| lines[i].trim() == "Ok(())") {
        lines[last] = "";
    }
    run.open + 1..run.close
}
