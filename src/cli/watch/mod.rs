//! `lecture5 watch`: a section is built and run again when it is saved, and shown as a page.
//!
//! This process watches the files and serves the page. [`job`] builds the program (cargo) and starts it as
//! `run SECTION --live`, which prints what its cells show as one event per line ([`live`]). [`page`] stores the events and
//! sends them to the browser.

mod build;
mod job;
pub mod live;
mod page;
mod process;
mod server;
mod tree;
mod wake;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Error, Result};
use clap::Args;

use super::common::Common;
use super::sections::{self, Section};
use job::Job;
use lecture5::notebook::{Echo, Notebook};
use lecture5::run::progress::Telling;
use lecture5::system::failure::{complain, wrong_use};
use lecture5::system::interrupt::{self, Interrupted};
use lecture5::system::terminal::say;
use page::Page;
use server::Place;
use tree::Tree;
use wake::Wake;

#[derive(Args)]
pub struct Watch {
    /// The section, as `lecture5 list` names it [default: the one whose file was saved last].
    #[arg(value_name = "SECTION")]
    section: Option<String>,
    #[command(flatten)]
    common: Common,
}

const ENDED: &str = "watch has ended";

/// `lecture5 watch`, until Ctrl-C.
pub fn watch(args: Watch) -> Result<()> {
    let chosen = match &args.section {
        Some(name) => Some(sections::choose(std::slice::from_ref(name)).map_err(wrong_use)?[0]),
        None => None,
    };
    if args.common.telling() != Telling::Plain {
        return Err(wrong_use("--quiet and --json: watch shows a page; `lecture5 run` prints"));
    }
    let tree = Tree::find()?;
    // Separate from the results of the unchanged lecture.
    let common = Common { out: args.common.out.join("watch"), ..args.common };
    let (page, options) = (Arc::new(Page::default()), common.arguments());
    let (sender, wakes) = channel();
    let _watcher = tree.watch(sender.clone())?;
    let place = Place::bind()?;
    interrupt::listen()?;
    interrupt::last_words(ENDED.to_owned());
    say(format!("Watching {} at {} (Ctrl-C ends)", tree.0.display(), place.address()));
    let served = Arc::clone(&page);
    std::thread::spawn(move || place.serve(served, sender));

    let start = |section: &Section| -> Result<Job> {
        let text = tree.text(section)?;
        page.text(&Notebook::new(section.stem, &text, Echo::Quiet));
        Ok(Job::start(tree.clone(), section.stem, text, options.clone(), Arc::clone(&page)))
    };
    let mut section = chosen.unwrap_or_else(|| tree.last_saved());
    let mut job = Some(start(section)?);
    while !interrupt::asked() {
        let mut again = false;
        match wakes.recv_timeout(Duration::from_millis(100)) {
            Ok(Wake::Stop) => job.iter().for_each(Job::interrupt),
            Ok(Wake::Again) => again = true,
            Ok(Wake::Saved(saved)) => {
                let mut saved = vec![saved];
                // An editor writes in several steps, and "save all" several files.
                while let Ok(Wake::Saved(more)) = wakes.recv_timeout(Duration::from_millis(30)) {
                    saved.push(more);
                }
                let last = saved.iter().rev().find_map(|saved| *saved);
                if chosen.is_none() {
                    section = last.unwrap_or(section);
                }
                // Another section's file changes nothing here.
                again = saved.iter().any(|saved| saved.is_none_or(|saved| saved.name == section.name));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if again {
            job.take().into_iter().for_each(Job::end);
            match start(section) {
                Ok(started) => job = Some(started),
                // An editor may have moved the file away for a moment.
                Err(error) => complain(&format!("{error:#}")),
            }
        }
    }
    job.into_iter().for_each(Job::end);
    Err(Error::new(Interrupted).context(ENDED))
}
