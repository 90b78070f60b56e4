//! What an earlier run has left in `--out`: a run adds to it or is refused, but never loses it silently.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use serde_json::Value;

use super::sections::SECTIONS;
use lecture5::notebook::earlier::{EarlierSection, sections};
use lecture5::run::lecture::Lecture;
use lecture5::run::reference;
use lecture5::system::failure::wrong_use;
use lecture5::system::files;

/// No metrics.json and no page is longer than this.
const MOST: u64 = 1 << 28;

/// Takes over what an earlier run has left: its fits and figures into the metrics, and its sections, which are
/// returned. A run that is `whole` (all sections) needs nothing of it, and replaces what is of another kind.
///
/// # Errors
/// It is of another kind (data, seed, split, stepper, …): the error says what to do.
pub fn of_an_earlier_run(lecture: &mut Lecture, whole: bool, fresh: bool) -> Result<Vec<EarlierSection>> {
    let out = lecture.run.out.clone();
    let page = out.join("lecture.html");
    let Some(earlier) = metrics_of(&out).filter(|_| !fresh) else {
        ensure!(
            fresh || whole || !page.exists(),
            in_the_way(&page, "a page without the metrics.json of its run, so nothing can be added to it")
        );
        return Ok(Vec::new());
    };
    match take_over(lecture, &out, earlier) {
        Err(_) if whole => return Ok(Vec::new()),
        outcome => outcome?,
    }
    if !page.exists() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&files::read(&page, MOST)?).into_owned();
    let sections = sections(&text, SECTIONS.iter().map(|section| section.name));
    ensure!(whole || !sections.is_empty(), in_the_way(&page, "not a page of this program"));
    Ok(sections)
}

/// The same for a fit, which leaves no section: it adds to a run of the lecture, and replaces other fits.
///
/// # Errors
/// As [`of_an_earlier_run`]'s.
pub fn of_a_lecture(lecture: &mut Lecture, fresh: bool) -> Result<()> {
    let out = lecture.run.out.clone();
    let Some(Ok(earlier)) = metrics_of(&out).filter(|_| !fresh) else { return Ok(()) };
    let names = earlier["fits"].as_array().into_iter().flatten().filter_map(|fit| fit["name"].as_str());
    match names.into_iter().any(|name| reference::lecture(name).is_some()) {
        true => take_over(lecture, &out, Ok(earlier)),
        false => Ok(()),
    }
}

/// The metrics that are in a folder, if there are any.
fn metrics_of(out: &Path) -> Option<Result<Value>> {
    let path = out.join("metrics.json");
    let parse = || Ok(serde_json::from_slice(&files::read(&path, MOST)?)?);
    path.exists().then(parse)
}

fn take_over(lecture: &mut Lecture, out: &Path, earlier: Result<Value>) -> Result<()> {
    let take = || -> Result<()> {
        let earlier = earlier?;
        match lecture.metrics.difference(&earlier)? {
            Some(difference) => Err(wrong_use(format!("another run is in this folder: {difference}"))),
            None => lecture.metrics.take_over(&earlier).context("it is not understood"),
        }
    };
    take().map_err(|why| in_the_way(&out.join("metrics.json"), &format!("{why:#}")))
}

/// The error of a file that this run neither adds to nor replaces.
fn in_the_way(path: &Path, why: &str) -> Error {
    wrong_use(format!("{}: {why}; take another --out, or --fresh to replace it", path.display()))
}
