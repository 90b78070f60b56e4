//! Where cells begin, and `run --step` in a terminal.

#![cfg(unix)]

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Result, bail};
use lecture5::notebook::{cells, hear_cells};

use crate::common::{stderr, stdout};

/// Its lines are counted from that of its header.
const HEADER: usize = line!() as usize + 3;

#[cells]
fn section(seen: &RefCell<Vec<&'static str>>) -> Result<()> {
    // %% [markdown]
    // Prose begins nothing.

    // %%
    let shadowed = 1;
    // %% a title
    let shadowed = shadowed + 1;
    seen.borrow_mut().push("first");
    if shadowed > 0 {
        // %%
        seen.borrow_mut().push("within a block");
    }

    // %%

    // A comment of a cell without code.

    // %%
    seen.borrow_mut()
        // %%
        .push("last");
    Ok(())
}

#[test]
fn a_cell_is_announced_with_its_first_line_before_it_runs_and_only_at_the_outermost_level() {
    let (seen, begins) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let (seen_then, begun) = (Rc::clone(&seen), Rc::clone(&begins));
    hear_cells(move |line| {
        begun.borrow_mut().push((line - HEADER, seen_then.borrow().len()));
        Ok(())
    });
    section(&seen).unwrap();
    assert_eq!(*seen.borrow(), ["first", "within a block", "last"]);
    assert_eq!(*begins.borrow(), [(5, 0), (7, 0), (19, 2)], "line after the header, and what had run");
}

#[test]
fn a_listener_can_end_the_section_before_a_cell_runs() {
    let seen = RefCell::new(Vec::new());
    hear_cells(|line| if line - HEADER > 10 { bail!("enough") } else { Ok(()) });
    assert_eq!(section(&seen).unwrap_err().to_string(), "enough");
    assert_eq!(*seen.borrow(), ["first", "within a block"]);
}

#[test]
fn a_cell_keeps_its_lines_for_callees_and_panics() {
    #[cells]
    fn section() -> Result<u32> {
        // %%
        let line = std::panic::Location::caller().line();
        // %%
        Ok(line)
    }
    hear_cells(|_| Ok(()));
    assert_eq!(section().unwrap(), line!() - 5);
}

/// Runs the program in a pseudo-terminal, presses these keys, one at each prompt, and returns what was on the screen.
fn in_a_terminal(keys: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let program = r#"
import os, pty, sys
keys, command = list(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
screen, asked = b"", 0
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    screen += part
    while screen.count(b"q ends: ") > asked and keys:
        asked += 1
        key = keys.pop(0)
        screen += b"<" + key.encode() + b">"
        os.write(terminal, b"\n" if key == "E" else key.encode() + b"\n")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(screen)
sys.exit(status)
"#;
    let mut python = crate::common::on_cpu("python3");
    python.args(["-c", program, keys, env!("CARGO_BIN_EXE_lecture5")]).args(arguments);
    let output = python.output().expect("python3 starts");
    assert!(!stderr(&output).contains("Traceback"), "{}", stderr(&output));
    (stdout(&output), output.status.code())
}

#[test]
fn in_a_terminal_each_cell_waits_for_enter_and_q_ends() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (screen, status) = in_a_terminal(
        "EEEq",
        &["run", "dot_product", "embedding_dot", "--step", "--out", out.to_str().unwrap()],
    );
    assert_eq!(status, Some(0), "{screen}");
    let places = [
        "# The dot product",              // the prose
        "│ let a = Tensor::from_slice2(", // the code
        "<E>",                            // waits
        "[Float tensor of size 2x2]",     // what it shows
        "│ lecture.plot(nb, plots::tensors(",
        "<E>",
        "`a * b` multiplies element by element:", // the next prose
        "│ nb.show(shown(&(&a * &b))?);",
        "<E>",
        "30  40",
        "│ nb.show(shown(&(&a * &b).sum_dim_intlist(",
        "<q>",
        "interrupted in section dot_product: no section is complete",
    ];
    let mut rest = screen.as_str();
    for place in places {
        let at = rest
            .find(place)
            .unwrap_or_else(|| panic!("'{place}' is not there, or not in its turn:\n{screen}"));
        rest = &rest[at + place.len()..];
    }
    assert_eq!(
        screen.matches("[Float tensor of size 2x2]").count(),
        3,
        "nothing is shown before its turn:\n{screen}"
    );
    assert!(!out.exists() || !out.join("lecture.html").exists());
}

#[test]
fn a_complete_section_is_kept_when_q_ends_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let sections = ["run", "dot_product", "embedding_dot", "--step", "--out", out.to_str().unwrap()];
    let section = include_str!("../../notebooks-equivalent/04_dot_product.rs");
    let cells =
        section.lines().filter(|line| line.starts_with("    // %%") && !line.contains("[markdown]")).count();
    let (screen, status) = in_a_terminal(&format!("{}q", "E".repeat(cells)), &sections);
    assert_eq!(status, Some(0), "{screen}");
    assert!(screen.contains("interrupted in section embedding_dot: dot_product are complete"), "{screen}");
    assert!(
        out.join("notebooks/04_dot_product.ipynb").exists() && out.join("lecture.html").exists(),
        "{screen}"
    );
    assert!(!out.join("notebooks/05_embedding_dot.ipynb").exists());
}
