//! The real tools accept the files that a notebook writes.
//!
//! Some tests need external tools and say so when they are skipped: Python with nbformat, nbconvert and jupytext (the
//! interpreter in LECTURE5_PYTHON, or `python3`), and Chromium.

use std::path::Path;
use std::process::{Command, Output as Finished};

use lecture5::notebook::ipynb;

use super::{lecture, page};
use crate::common::python_with;

/// Runs a Python program on a folder with the written notebooks; panics with its output if it fails.
fn run_python(python: &Path, program: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    ipynb::write(&lecture(), folder.path()).expect("the notebooks are written");
    let finished = Command::new(python).args(["-c", program]).current_dir(folder.path()).output();
    said(finished.expect("Python starts"))
}

fn said(finished: Finished) -> String {
    let (out, err) = (String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&finished.stderr));
    assert!(finished.status.success(), "{}\n{out}\n{err}", finished.status);
    format!("{out}{err}")
}

#[test]
fn nbformat_finds_the_notebooks_valid_and_would_write_the_same_bytes() {
    let Some(python) = python_with(&["nbformat"]) else { return };
    let program = r#"
import glob, pathlib, warnings, nbformat
warnings.simplefilter("error")
for name in sorted(glob.glob("*.ipynb")):
    text = pathlib.Path(name).read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook, relax_add_props=False)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n" == text, name + " is not as Jupyter writes it"
    print("valid", name)
"#;
    assert_eq!(run_python(&python, program), "valid 01_movielens.ipynb\nvalid 05_embedding_dot.ipynb\n");
}

#[test]
fn nbconvert_makes_a_page_with_colored_rust_and_alternative_texts() {
    let Some(python) = python_with(&["nbconvert", "nbformat"]) else { return };
    let program = r#"
import re, nbconvert, nbformat
notebook = nbformat.read("05_embedding_dot.ipynb", as_version=4)
# The classic template, because it is the one that reads the alternative text of a picture.
page, _ = nbconvert.HTMLExporter(template_name="classic").from_notebook_node(notebook)
assert '<span class="k">let</span>' in page or '<span class="kd">let</span>' in page, "the code is not colored"
assert re.search("alt=.Hexagonal bins of true", page), "the picture has no alternative text"
assert '<table class="dataframe">' in page, "no table"
assert 'said by a helper &lt;&amp;&gt;' in page, "no stream"
page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
assert '<table class="dataframe">' in page and "data:image/png;base64," in page, "the usual template"
"#;
    run_python(&python, program);
}

#[test]
fn jupytext_there_and_back_keeps_the_kinds_and_texts_of_the_cells() {
    let Some(python) = python_with(&["jupytext", "nbformat"]) else { return };
    let program = r#"
import glob, subprocess, sys, nbformat
for name in sorted(glob.glob("*.ipynb")):
    jupytext = [sys.executable, "-m", "jupytext"]
    subprocess.run(jupytext + ["--to", "rs:percent", name, "-o", "there.rs"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(jupytext + ["--to", "ipynb", "there.rs", "-o", "back.out.ipynb"], check=True, stdout=subprocess.DEVNULL)
    cells = lambda path: [(c.cell_type, c.source) for c in nbformat.read(path, as_version=4).cells]
    before, after = cells(name), cells("back.out.ipynb")
    assert before == after, (name, [pair for pair in zip(before, after) if pair[0] != pair[1]])
    assert nbformat.read("back.out.ipynb", as_version=4).metadata.kernelspec.name == "rust"
    print(open("there.rs").read())
"#;
    let texts = run_python(&python, program);
    assert!(texts.contains("\n// %% [markdown]\n// ## Ratings\n//\n// Each row is one rating."), "{texts}");
}

/// Chromium's name on this machine, or a line that says that it is missing.
pub fn chromium() -> Option<&'static str> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|f| f.status.success());
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs);
    if found.is_none() {
        println!("skipped: no Chromium on the PATH");
    }
    found
}

/// Opens a file in headless Chromium; returns the document after its scripts ran, and the log.
fn open_in(chromium: &str, file: &Path, more: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().expect("a temporary folder");
    let finished = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(file)
        .output()
        .expect("Chromium starts");
    let (out, err) = (String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&finished.stderr));
    assert!(finished.status.success(), "{}\n{err}", finished.status);
    (out.to_string(), err.to_string())
}

#[test]
fn in_a_browser_nothing_overflows_on_a_phone_nothing_is_fetched_and_nothing_is_logged() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("lecture.html"), page()).expect("the page is written");
    // A window cannot be as narrow as a phone, but a frame in it can.
    let frames = r#"<!DOCTYPE html><html><body><iframe width="390" height="844" src="lecture.html"></iframe>
<iframe width="1400" height="900" src="lecture.html"></iframe><pre id="found"></pre><script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(({ contentWindow: w, contentDocument: d }) => ({
    width: d.documentElement.clientWidth, content: d.documentElement.scrollWidth,
    fetched: w.performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith("data:")),
    pictures: [...d.images].map((image) => image.complete && image.naturalWidth > 0),
    open: d.querySelector("details").open, fold: getComputedStyle(d.querySelector("nav")).height,
    boxes: [...d.querySelectorAll("[role=group]")].length,
  }));
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script></body></html>"#;
    let harness = folder.path().join("frames.html");
    std::fs::write(&harness, frames).expect("the frames are written");
    let (dom, log) = open_in(chromium, &harness, &["--allow-file-access-from-files"]);
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found: serde_json::Value =
        serde_json::from_str(found.unwrap_or("")).expect("the frames were measured");
    let (phone, wide) = (&found[0], &found[1]);
    for frame in [phone, wide] {
        assert!(frame["content"].as_u64() <= frame["width"].as_u64(), "the page overflows: {frame}");
        assert_eq!(frame["fetched"], serde_json::json!([]));
        assert_eq!(frame["pictures"], serde_json::json!([true]));
    }
    assert!(phone["width"].as_u64() <= Some(390) && phone["width"].as_u64() > Some(300), "{phone}");
    assert_eq!(
        (&phone["open"], &wide["open"]),
        (&false.into(), &true.into()),
        "the contents fold on a phone"
    );
    assert!(phone["boxes"].as_u64() > Some(0), "what is wide scrolls in its own box: {phone}");
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
