//! `lecture5 run`: the sections, the page and the notebooks.

use std::path::Path;

use anyhow::{Context, Error, Result};
use clap::Args;

use super::common::{Common, finish, write_metrics};
use super::sections::{self, Section};
use lecture5::notebook::{Echo, html, ipynb};
use lecture5::run::lecture::Lecture;
use lecture5::run::progress::{Telling, say};
use lecture5::system::failure::wrong_use;
use lecture5::system::files;
use lecture5::system::interrupt::{self, Interrupted};

#[derive(Args)]
pub struct Run {
    /// Sections to run, as `lecture5 list` names them; all of them when none is named.
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// `lecture5 run`
pub fn run(args: Run) -> Result<()> {
    let chosen = sections::choose(&args.sections).map_err(wrong_use)?;
    args.common.check_out(&[
        "metrics.json",
        "lecture.html",
        "plots/_",
        "notebooks/_",
        "excel/_",
        "models/_",
    ])?;
    let mut lecture = args.common.begin()?;
    let telling = lecture.run.telling;
    let mut notebooks = Vec::new();
    let mut interrupted = None;
    for (at, section) in chosen.iter().enumerate() {
        lecture.at_section = (at + 1, chosen.len());
        let echo = if telling == Telling::Plain { Echo::Plain } else { Echo::Quiet };
        let outcome = interrupt::check().and_then(|()| section.run(&mut lecture, echo));
        if let Err(error) = &outcome
            && error.is::<Interrupted>()
        {
            interrupted = Some(Error::new(Interrupted).context(missing(&chosen, at, &lecture.run.out)));
            break;
        }
        notebooks.push(outcome.with_context(|| format!("section {}", section.name))?);
        if telling == Telling::Plain {
            say("");
        }
    }
    if notebooks.is_empty()
        && let Some(error) = interrupted
    {
        return Err(error);
    }
    if let Some(figure) = lecture.all_validation_losses()? {
        lecture.write_plot(&figure)?;
    }
    write_metrics(&lecture)?;
    ipynb::write(&notebooks, &lecture.run.out.join("notebooks"))?;
    files::write_whole(
        &lecture.run.out.join("lecture.html"),
        html::write(&notebooks, &about(&lecture)).as_bytes(),
    )?;
    match interrupted {
        Some(error) => Err(error),
        None => finish(&lecture),
    }
}

/// What to tell whoever interrupted a run in the section `at`: what is whole, and how to get the rest.
fn missing(chosen: &[&Section], at: usize, out: &Path) -> String {
    let names = |part: &[&Section]| part.iter().map(|s| s.name).collect::<Vec<_>>().join(" ");
    let here = chosen[at].name;
    if at == 0 {
        return format!("interrupted in section {here}: no section is whole");
    }
    format!(
        "interrupted in section {here}: {} are whole, and metrics.json and lecture.html in {} hold these. For the rest: \
         lecture5 run {} --out ANOTHER",
        names(&chosen[..at]),
        out.display(),
        names(&chosen[at..])
    )
}

/// What lecture.html says of the run as a whole.
fn about(lecture: &Lecture) -> html::RunInfo {
    let m = &lecture.metrics;
    let pair = |name: &str, value: String| (name.to_owned(), value);
    html::RunInfo {
        title: "Lecture 5: collaborative filtering on MovieLens".to_owned(),
        introduction: "Lecture 5 of fast.ai's *Deep Learning for Coders* (2017), reproduced in Rust over libtorch. \
                       Every cell below was run to make this page."
            .to_owned(),
        comparison: (!m.fits.is_empty()).then(|| m.beside_the_lecture()),
        comparison_note: "Mean squared errors, in stars². *Training* is the debiased running mean at the end of the \
                          epoch, *validation* the mean over the batches held out. Each comes from one random start; \
                          the lecture's came from another."
            .to_owned(),
        settings: vec![
            pair("seed", m.seed.to_string()),
            pair("data", lecture.ml.snapshot.name()),
            pair(&lecture.ml.file_name(), format!("sha256 {}", lecture.ml.sha256)),
            pair("split", lecture.run.split.to_string()),
        ],
        machine: vec![
            pair("device", m.device.clone()),
            pair("threads", m.threads.to_string()),
            pair("libtorch", m.libtorch.clone()),
            pair("stepper", m.stepper.name().to_owned()),
            pair("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ],
    }
}
