//! lecture5 as one shared library for the cells of a Jupyter kernel, and what these find when they begin: `nb` and
//! `lecture`.
//!
//! The kernel (evcxr) compiles each cell to a shared library of its own. If each of them contained lecture5, a flag set
//! in one cell would not be set in the next. This library contains it once.

use std::path::PathBuf;

use anyhow::Result;
use lecture5::libtorch::device::{self, Choice};
use lecture5::movielens::{LECTURES, MovieLens, Source, SplitBy};
use lecture5::notebook::{Echo, Notebook, Output, Shown, html};
use lecture5::plots::{Format, PRINT_DPI};
use lecture5::run::lecture::Lecture;
use lecture5::run::options::RunOptions;
use lecture5::run::progress::Telling;
use lecture5::system::failure::complain;
use lecture5::system::interrupt;

pub use lecture5;

/// The variable `nb` of the cells. It lives as long as the kernel, since a variable can be kept from cell to cell only if
/// nothing in it is borrowed.
pub fn notebook() -> &'static mut Notebook {
    let mut cell = LiveCell::default();
    let show = move |shown: Shown| cell.show(shown.output);
    Box::leak(Box::new(Notebook::new("live", "", Echo::Outputs(Box::new(show)))))
}

/// The variable `lecture` of the cells: a run as `lecture5 run` begins it without options.
///
/// # Errors
/// The ratings cannot be read, or `LECTURE5_DEVICE` names a device that does not compute.
pub fn lecture() -> Result<&'static mut Lecture> {
    let device = std::env::var("LECTURE5_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let Choice { device, reason } = device::choose(&device)?;
    if let Some(reason) = &reason {
        complain(&format!("note: the device is {device:?}: {reason}"));
    }
    // Before libtorch starts its threads, which inherit it.
    lecture5::libtorch::flush_subnormals();
    tch::set_num_threads(1);
    let ml = MovieLens::load(&Source::Folder(PathBuf::from(LECTURES)), None)?;
    interrupt::listen_and_go_on()?;
    let run = RunOptions {
        seed: 0,
        device,
        device_reason: reason,
        stepper: Default::default(),
        rate: 1.0,
        split: SplitBy::LECTURE,
        all_splits: false,
        out: PathBuf::from("out/live"),
        dpi: PRINT_DPI,
        formats: vec![Format::Png],
        telling: Telling::Plain,
    };
    Ok(Box::leak(Box::new(Lecture::new(run, ml)?)))
}

/// What the running cell has shown.
#[derive(Default)]
struct LiveCell {
    number: usize,
    /// From the first output that is not a printed line.
    outputs: Vec<Output>,
}

impl LiveCell {
    /// Shows an output to the kernel. Printed lines appear at once. Of anything else, the kernel shows the last text and
    /// the last HTML at the cell's end: they contain all that the cell has shown from the first such output on, so that
    /// the order is kept.
    fn show(&mut self, output: &Output) {
        let number = cells_so_far();
        if number != self.number {
            *self = LiveCell { number, outputs: Vec::new() };
        }
        if let (Output::Stream(text), true) = (output, self.outputs.is_empty()) {
            print!("{text}");
            return;
        }
        match (self.outputs.last_mut(), output) {
            (Some(Output::Stream(before)), Output::Stream(text)) => before.push_str(text),
            _ => self.outputs.push(output.clone()),
        }
        let texts: Vec<String> = self.outputs.iter().map(Output::to_text).collect();
        content("text/plain", &texts.join("\n"));
        content("text/html", &html::outputs(&self.outputs));
    }
}

/// The kernel reads lines of the standard output.
fn content(mime_type: &str, text: &str) {
    println!("EVCXR_BEGIN_CONTENT {mime_type}\n{text}\nEVCXR_END_CONTENT");
}

/// How many cells have begun: the kernel loads a library for each, `libcode_1.so`, `libcode_2.so`, …, and never says that
/// another one begins.
fn cells_so_far() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let number = |line: &str| line.rsplit_once("/libcode_")?.1.strip_suffix(".so")?.parse().ok();
    maps.lines().filter_map(number).max().unwrap_or(0)
}

/// A cell that ends in `for`, `if` or `match` has the value `()`, which the kernel would show. It calls this instead.
pub trait Nothing {
    /// Shows nothing.
    fn evcxr_display(&self) {}
}

impl Nothing for () {}
