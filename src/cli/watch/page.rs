//! What the page shows: stored here, and sent to every browser that listens.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use super::build::Fault;
use lecture5::notebook::{Notebook, html};
use lecture5::run::live::CellEvent;

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Building,
    Running,
    Done,
    Failed,
    Stopped,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Building => "building",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }
}

/// The page of one section.
#[derive(Default)]
pub struct Page(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    name: String,
    /// The section without outputs.
    html: String,
    cells: Vec<Cell>,
    /// The first cell that the last save changed.
    changed: Option<usize>,
    running: Option<usize>,
    faults: Vec<Fault>,
    /// As it is sent to the browser.
    state: Value,
    listeners: Vec<Sender<String>>,
}

#[derive(Clone, Default)]
struct Cell {
    id: String,
    text: String,
    outputs: String,
    /// The outputs are those of an earlier run.
    old: bool,
}

impl Page {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Shows the section's text as it was saved, with the outputs of the run before.
    pub fn text(&self, notebook: &Notebook) {
        let mut shown = self.shown();
        let before =
            if shown.name == notebook.name() { std::mem::take(&mut shown.cells) } else { Vec::new() };
        shown.name = notebook.name().to_owned();
        shown.html = html::one_section(notebook);
        (shown.cells, shown.changed) = carried_over(&before, notebook);
        shown.running = None;
        shown.faults.clear();
        let told = shown.text();
        shown.tell(told);
    }

    /// Shows what is going on.
    pub fn state(&self, state: State, text: &str) {
        let mut shown = self.shown();
        shown.enter(state, text);
        if state == State::Done {
            // Remove what an earlier run has shown and this one has not.
            for cell in 0..shown.cells.len() {
                if shown.cells[cell].old {
                    shown.outputs(cell, String::new());
                }
            }
        }
    }

    /// Shows an event of the run.
    pub fn hear(&self, told: CellEvent) {
        let mut shown = self.shown();
        match told {
            CellEvent::Begins { cell } => {
                shown.running = Some(cell);
                let told = json!({"event": "running", "id": shown.id(cell)});
                shown.tell(told);
            }
            CellEvent::Shows { cell, html } => shown.outputs(cell, html),
            CellEvent::Fits { text } => shown.tell(json!({"event": "fits", "text": text})),
        }
    }

    /// Shows why there is no new result.
    pub fn fail(&self, faults: Vec<Fault>) {
        let mut shown = self.shown();
        shown.faults = faults;
        let told = shown.faults();
        shown.tell(told);
        shown.enter(State::Failed, "");
    }

    /// The same for an error of a run, under the cell that was running.
    pub fn fail_where_it_runs(&self, text: &str) {
        let cell = self.shown().running;
        self.fail(vec![Fault { cell, text: text.to_owned() }]);
    }

    /// Everything that is shown now, and then each change, as JSON.
    pub fn listen(&self) -> Receiver<String> {
        let (sender, receiver) = channel();
        let mut shown = self.shown();
        // Before anything has begun there is no state to send.
        let state = Some(shown.state.clone()).filter(|state| !state.is_null());
        for told in [shown.text(), shown.faults()].into_iter().chain(state) {
            drop(sender.send(told.to_string()));
        }
        shown.listeners.push(sender);
        receiver
    }
}

impl Shown {
    fn tell(&mut self, told: Value) {
        let told = told.to_string();
        self.listeners.retain(|listener| listener.send(told.clone()).is_ok());
    }

    fn enter(&mut self, state: State, text: &str) {
        if state != State::Running {
            self.running = None;
        }
        self.state = json!({"event": "state", "state": state.name(), "text": text});
        self.tell(self.state.clone());
    }

    fn outputs(&mut self, cell: usize, html: String) {
        let Some(kept) = self.cells.get_mut(cell) else { return };
        (kept.outputs, kept.old) = (html, false);
        let told = json!({"event": "outputs", "id": kept.id, "html": kept.outputs, "old": false});
        self.tell(told);
    }

    fn id(&self, cell: usize) -> Option<&str> {
        self.cells.get(cell).map(|cell| cell.id.as_str())
    }

    fn text(&self) -> Value {
        let outputs = self.cells.iter().filter(|cell| !cell.outputs.is_empty());
        let outputs = outputs.map(|cell| json!({"id": cell.id, "html": cell.outputs, "old": cell.old}));
        json!({
            "event": "text",
            "name": self.name,
            "html": self.html,
            "outputs": outputs.collect::<Vec<_>>(),
            "changed": self.changed.and_then(|cell| self.id(cell)),
        })
    }

    fn faults(&self) -> Value {
        let faults = self.faults.iter();
        let faults =
            faults.map(|fault| json!({"id": fault.cell.and_then(|cell| self.id(cell)), "text": fault.text}));
        json!({"event": "faults", "faults": faults.collect::<Vec<_>>()})
    }
}

/// The cells of a saved section with the outputs that they had, and the first cell that changed. A cell is recognized by its
/// text, even if it has moved; a cell whose text changed is recognized by its place among its neighbors.
fn carried_over(before: &[Cell], notebook: &Notebook) -> (Vec<Cell>, Option<usize>) {
    let after = notebook.cells();
    let same = |(a, b): (&Cell, &lecture5::notebook::Cell)| a.text == b.text;
    let head = before.iter().zip(after).take_while(|&pair| same(pair)).count();
    let most = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(most).take_while(|&pair| same(pair)).count();
    let cells = after.iter().enumerate().map(|(at, cell)| {
        let from_end = after.len() - at;
        let old = match from_end <= tail {
            true => before.get(before.len() - from_end),
            // Not a cell of the tail: outputs stay with their own cell.
            false => before[..before.len() - tail].get(at),
        };
        let outputs = old.map_or(String::new(), |old| old.outputs.clone());
        Cell { id: notebook.cell_id(at), text: cell.text.clone(), old: !outputs.is_empty(), outputs }
    });
    let changed = (!before.is_empty() && (head < after.len() || before.len() != after.len()))
        .then(|| head.min(after.len().saturating_sub(1)));
    (cells.collect(), changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lecture5::notebook::Echo;

    fn notebook(cells: &[&str]) -> Notebook {
        let source: String = cells.iter().map(|cell| format!("// %%\n{cell}\n")).collect();
        Notebook::new("05_x", &source, Echo::Quiet)
    }

    /// Each cell's outputs after an edit, if each cell had shown its own text.
    fn kept(before: &[&str], after: &[&str]) -> (Vec<String>, Option<usize>) {
        let (mut cells, _) = carried_over(&[], &notebook(before));
        cells.iter_mut().for_each(|cell| cell.outputs.clone_from(&cell.text));
        let (cells, changed) = carried_over(&cells, &notebook(after));
        assert!(cells.iter().all(|cell| cell.old != cell.outputs.is_empty()));
        (cells.into_iter().map(|cell| cell.outputs).collect(), changed)
    }

    #[test]
    fn a_cell_keeps_its_old_output_even_if_cells_come_and_go() {
        assert_eq!(
            kept(&["a", "b", "c"], &["a", "b", "c"]),
            (["a", "b", "c"].map(String::from).to_vec(), None)
        );
        assert_eq!(kept(&["a", "b", "c"], &["a", "B", "c"]).0, ["a", "b", "c"]);
        assert_eq!(kept(&["a", "b", "c"], &["a", "new", "b", "c"]).0, ["a", "", "b", "c"]);
        assert_eq!(kept(&["a", "b", "c"], &["a", "c"]).0, ["a", "c"]);
        assert_eq!(kept(&["a"], &["a", "b"]).0, ["a", ""]);
    }

    #[test]
    fn the_first_changed_cell_is_the_one_to_scroll_to() {
        assert_eq!(kept(&["a", "b", "c"], &["a", "B", "C"]).1, Some(1));
        assert_eq!(kept(&["a", "b"], &["a", "b", "c"]).1, Some(2));
        assert_eq!(kept(&["a", "b"], &["a"]).1, Some(0));
    }

    #[test]
    fn a_browser_that_connects_late_gets_everything_that_is_shown() {
        let page = Page::default();
        page.text(&notebook(&["let a = 1;"]));
        page.hear(CellEvent::Shows { cell: 0, html: "<pre>1</pre>".to_owned() });
        page.fail(vec![Fault { cell: Some(0), text: "error: no".to_owned() }]);
        let told: Vec<Value> =
            page.listen().try_iter().map(|told| serde_json::from_str(&told).expect("JSON")).collect();
        assert_eq!(told[0]["outputs"], json!([{"id": "x-01", "html": "<pre>1</pre>", "old": false}]));
        assert_eq!(told[1]["faults"], json!([{"id": "x-01", "text": "error: no"}]));
        assert_eq!(told[2]["state"], "failed");
    }

    #[test]
    fn what_a_run_no_longer_shows_goes_when_it_is_done_and_not_before() {
        let page = Page::default();
        let outputs = |page: &Page| page.shown().cells[0].outputs.clone();
        page.text(&notebook(&["let a = 1;"]));
        page.hear(CellEvent::Shows { cell: 0, html: "1".to_owned() });
        page.text(&notebook(&["let a = 2;"]));
        page.state(State::Running, "");
        assert_eq!(outputs(&page), "1");
        page.state(State::Done, "");
        assert_eq!(outputs(&page), "");
    }
}
