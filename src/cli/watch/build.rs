//! The build, and the compiler's errors by the cells that they are in.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::process::Process;
use super::tree::Tree;
use lecture5::notebook::Notebook;

/// Something that went wrong, and the cell that it belongs under.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Counted from 0; `None` if the error is elsewhere.
    pub cell: Option<usize>,
    /// What the compiler or the program says.
    pub text: String,
}

/// How a build ended.
pub enum Built {
    /// With this program.
    Program(PathBuf),
    /// With errors.
    Faults(Vec<Fault>),
    /// It was ended because a newer build is wanted.
    Ended,
}

/// The sections and the command line, which an edit compiles again, are optimized less than in a release: an edited cell is
/// built in two thirds of the time. The library, which does the computing, stays as it is. Cargo caches both builds.
const LESS: [&str; 6] = ["--bin", "lecture5", "--", "-Copt-level=1", "-Clto=off", "-Cstrip=debuginfo"];

/// Builds the program.
///
/// # Errors
/// Cargo is not installed.
pub fn build(tree: &Tree, notebook: &Notebook, process: &Process) -> Result<Built> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["rustc", "--release", "--message-format=json"]).args(LESS).current_dir(&tree.0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = process.start(&mut command);
    let Some(mut child) = started.context(
        "cargo cannot be started, and watch builds with it: install Rust (https://rustup.rs) or put cargo on the PATH",
    )?
    else {
        return Ok(Built::Ended);
    };
    let mut stderr = child.stderr.take().expect("it is piped");
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        drop(stderr.read_to_string(&mut text));
        text
    });

    let (mut faults, mut program) = (Vec::new(), None);
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        match message["reason"].as_str() {
            Some("compiler-message") => faults.extend(fault(&message["message"], notebook)),
            Some("compiler-artifact") => {
                program = message["executable"].as_str().map(PathBuf::from).or(program);
            }
            _ => {}
        }
    }
    let (status, complaints) = (process.wait(child)?, complaints.join().unwrap_or_default());
    Ok(match (status.success(), program) {
        _ if process.has_ended() => Built::Ended,
        (true, Some(program)) => Built::Program(program),
        _ => {
            if faults.is_empty() {
                faults.push(Fault { cell: None, text: complaints });
            }
            Built::Faults(faults)
        }
    })
}

/// An error of the compiler; warnings and the closing "aborting due to" do not count.
fn fault(message: &Value, notebook: &Notebook) -> Option<Fault> {
    let spans = message["spans"].as_array().filter(|spans| !spans.is_empty())?;
    if message["level"] != "error" {
        return None;
    }
    // The primary places come first; a place inside a macro counts as the line that calls the macro.
    let primary = spans.iter().filter(|span| span["is_primary"] == true);
    let cell = primary.chain(spans).find_map(|span| cell_of(span, notebook));
    Some(Fault { cell, text: message["rendered"].as_str().unwrap_or_default().trim_end().to_owned() })
}

fn cell_of(span: &Value, notebook: &Notebook) -> Option<usize> {
    let file = Path::new(span["file_name"].as_str()?).file_stem()?;
    let line = span["line_start"].as_u64()? as usize;
    let here = if file == notebook.stem() { notebook.cell_at(line) } else { None };
    here.or_else(|| cell_of(&span["expansion"]["span"], notebook))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lecture5::notebook::Echo;
    use serde_json::json;

    const SECTION: &str = "// %%\nuse a::b;\n\n// %%\nlet x = 1;\n// %%\nlet y: u8 = \"\";\n";

    #[test]
    fn an_error_belongs_to_the_cell_of_its_line_even_from_within_a_macro() {
        let notebook = Notebook::new("05_x", SECTION, Echo::Quiet);
        let at = |file: &str, line: u64| json!({"file_name": file, "line_start": line, "is_primary": true});
        let cell = |span: Value| {
            let message = json!({"level": "error", "spans": [span], "rendered": "error: no\n\n"});
            fault(&message, &notebook).map(|fault| (fault.cell, fault.text))
        };
        assert_eq!(cell(at("notebooks-equivalent/05_x.rs", 7)), Some((Some(2), "error: no".to_owned())));
        assert_eq!(cell(at("src/models.rs", 7)).map(|(cell, _)| cell), Some(None));
        let mut in_macro = at("/rust/library/alloc/src/macros.rs", 3);
        in_macro["expansion"] = json!({"span": at("notebooks-equivalent/05_x.rs", 5)});
        assert_eq!(cell(in_macro).map(|(cell, _)| cell), Some(Some(1)));
        let warning = json!({"level": "warning", "spans": [at("notebooks-equivalent/05_x.rs", 7)]});
        assert_eq!(fault(&warning, &notebook), None);
    }
}
