//! `lecture5 run`: the sections, the page and the notebooks.

use std::path::Path;

use anyhow::{Error, Result, bail};
use clap::Args;

use super::common::{Common, finish, write_metrics};
use super::earlier;
use super::parse::positive;
use super::sections::{self, SECTIONS, Section};
use super::step::{self, Quit, Steps};
use super::watch::live;
use lecture5::beyond::ahead::Ahead;
use lecture5::fit::DIVERGENCE_ADVICE;
use lecture5::notebook::earlier::EarlierSection;
use lecture5::notebook::html::Part;
use lecture5::notebook::{Echo, Notebook, html, ipynb};
use lecture5::run::lecture::Lecture;
use lecture5::run::progress::Telling;
use lecture5::system::failure::{self, complain, wrong_use};
use lecture5::system::interrupt::{self, Interrupted};
use lecture5::system::terminal::say;
use lecture5::system::{files, panics};

#[derive(Args)]
pub struct Run {
    /// Sections to run, as `lecture5 list` names them; all of them when none is named. What an earlier run of the same
    /// data, seed, split and stepper has left in --out is kept.
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
    /// Multiply each learning rate of the lecture by this: for ratings on a larger scale, on which the lecture's rates
    /// diverge.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    rate: f64,
    /// In section beyond, train the best models on each way to split, and show the results side by side.
    #[arg(long)]
    all_splits: bool,
    /// Replace what another run has left in --out, instead of adding to it or refusing.
    #[arg(long)]
    fresh: bool,
    /// Cell by cell, in a terminal: shows prose and code, runs the cell on Enter, and shows its output; q ends.
    #[arg(long, conflicts_with_all = ["quiet", "json", "live"])]
    step: bool,
    /// Print events for the page of `watch`, and end with it.
    #[arg(long, hide = true, conflicts_with_all = ["quiet", "json"])]
    live: bool,
    #[command(flatten)]
    common: Common,
}

/// `lecture5 run`
pub fn run(args: Run) -> Result<()> {
    let chosen = sections::choose(&args.sections).map_err(wrong_use)?;
    if args.step {
        step::check_terminal()?;
    }
    args.common.check_out(&[
        "metrics.json",
        "lecture.html",
        "plots/_",
        "notebooks/_",
        "excel/_",
        "models/_",
    ])?;
    let mut lecture = args.common.begin()?;
    lecture.set_rate(args.rate);
    lecture.run.all_splits = args.all_splits;
    if args.live {
        lecture.run.telling = Telling::Live;
        interrupt::end_with_stdin()?;
    }
    let _lock = args.common.lock_out()?;
    let kept = earlier::of_an_earlier_run(&mut lecture, chosen.len() == SECTIONS.len(), args.fresh)?;
    let page = Page { kept, new: Vec::new() };
    if chosen.iter().skip(1).any(|section| section.name == "beyond") && !args.step {
        let (cf, split) = lecture.ratings();
        // What fails here fails again, and is told, in the section.
        lecture.ahead = Ahead::begin(&lecture.ml, &cf, lecture.run.split, &split).ok();
    }
    let outcome = run_sections(&chosen, &mut lecture, page, args.step);
    let plotted = if lecture.n_fits() > 0 { plot_all_losses(&lecture) } else { Ok(()) };
    let Some(failed) = outcome? else { return plotted };
    plotted?;
    finish(&lecture)?;
    match &failed[..] {
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!("{} of {} sections failed: {}", several.len(), chosen.len(), several.join("; ")),
    }
}

/// The validation losses of all fits in one figure, however the run has ended.
fn plot_all_losses(lecture: &Lecture) -> Result<()> {
    lecture.all_validation_losses()?.map_or(Ok(()), |figure| lecture.write_plot(&figure).map(drop))
}

/// Runs sections one by one, and adds each to the page. Returns those that failed and why; `None` if the user quit.
fn run_sections(
    chosen: &[&Section],
    lecture: &mut Lecture,
    mut page: Page,
    step: bool,
) -> Result<Option<Vec<String>>> {
    let mut failed = Vec::new();
    for (at, section) in chosen.iter().enumerate() {
        lecture.at_section = (at + 1, chosen.len());
        interrupt::last_words(missing(chosen, at, &lecture.run.out));
        let (notebook, outcome) = run_section(section, lecture, step);
        if let Err(error) = outcome {
            if error.is::<Quit>() {
                say(missing(chosen, at, &lecture.run.out));
                return Ok(None);
            }
            if error.is::<Interrupted>() {
                return Err(Error::new(Interrupted).context(missing(chosen, at, &lecture.run.out)));
            }
            failed.push(format!("section {}: {error:#}{}", section.name, way_out(&error)));
            if at + 1 < chosen.len() {
                complain(&format!("error: {}; the run continues", failed[failed.len() - 1]));
            }
        }
        // After each section, so that the complete ones are there however the run ends.
        page.add(section, notebook, lecture)?;
        if lecture.run.telling == Telling::Plain {
            say("");
        }
    }
    Ok(Some(failed))
}

/// Runs a section, and returns its record as far as it got, with the error in the cell that failed.
fn run_section(section: &Section, lecture: &mut Lecture, step: bool) -> (Notebook, Result<()>) {
    let steps = step.then(|| Steps::begin(section));
    let echo = match (lecture.run.telling, &steps) {
        (_, Some(steps)) => steps.echo(),
        (Telling::Plain, None) => Echo::Plain,
        (Telling::Live, None) => live::echo(section),
        (Telling::Quiet | Telling::Json, None) => Echo::Quiet,
    };
    let mut notebook = section.notebook(echo);
    let run = || interrupt::check().and_then(|()| (section.run)(&mut notebook, lecture));
    let outcome = panics::caught(run).unwrap_or_else(|panic| Err(failure::of_panic(&panic)));
    if let Err(error) = &outcome {
        notebook.fail(format!("{error:#}"));
    } else if let Some(steps) = steps {
        steps.end();
    }
    (notebook, outcome)
}

/// What may help when a loss has diverged.
fn way_out(error: &Error) -> &'static str {
    let diverged = error.chain().any(|cause| cause.to_string().contains(DIVERGENCE_ADVICE));
    if diverged { " (--rate 0.1 makes each rate of the lecture a tenth)" } else { "" }
}

/// The page as it grows.
struct Page {
    /// Sections of an earlier run that this one has not run again.
    kept: Vec<EarlierSection>,
    new: Vec<Notebook>,
}

impl Page {
    /// Adds a section, and writes its notebook, the page and the metrics.
    fn add(&mut self, section: &Section, notebook: Notebook, lecture: &Lecture) -> Result<()> {
        self.kept.retain(|kept| kept.name != section.name);
        ipynb::write(std::slice::from_ref(&notebook), &lecture.run.out.join("notebooks"))?;
        self.new.push(notebook);
        let parts = SECTIONS.iter().filter_map(|section| {
            let kept = self.kept.iter().find(|kept| kept.name == section.name).map(Part::Earlier);
            kept.or_else(|| self.new.iter().find(|new| new.name() == section.name).map(Part::New))
        });
        let page = html::write_parts(&parts.collect::<Vec<_>>(), &run_info(lecture));
        files::write_whole(&lecture.run.out.join("lecture.html"), page.as_bytes())?;
        write_metrics(lecture)
    }
}

/// The message after an interruption in the section `at`: what is complete, and how to get the rest.
fn missing(chosen: &[&Section], at: usize, out: &Path) -> String {
    let names = |part: &[&Section]| part.iter().map(|s| s.name).collect::<Vec<_>>().join(" ");
    let here = chosen[at].name;
    if at == 0 {
        return format!("interrupted in section {here}: no section is complete");
    }
    format!(
        "interrupted in section {here}: {} are complete, and in metrics.json and lecture.html in {}. For the rest: \
         lecture5 run {} with the same options",
        names(&chosen[..at]),
        out.display(),
        names(&chosen[at..])
    )
}

/// The paragraphs before the table of losses.
const INTRODUCTION: &str = "\
Lecture 5 of fast.ai's *Deep Learning for Coders* (2017), reproduced in Rust over libtorch. The question is how many stars \
a user would give to a movie. Collaborative filtering answers it from other ratings alone: it learns some numbers for each \
user and each movie, and predicts from them.

The sections follow the lecture's notebook, cell by cell, and every cell of Rust was run to make this page. Sections 9 to \
11 go beyond the lecture. The table shows how far each model gets.

To change a cell and see what becomes of it: `lecture5 watch SECTION`. The notebooks of sections 1 to 8 also run in \
Jupyter, with a kernel that `scripts/live.sh install` makes; those of the others do not.";

/// What the page says if a card has computed it.
const ON_A_CARD: &str = "; batches of 64 are too small for a card, and take about as long on one core of a CPU (measured on an \
                         H200: docs/performance.md)";

/// What lecture.html says about the run as a whole.
fn run_info(lecture: &Lecture) -> html::RunInfo {
    let m = &lecture.metrics;
    let pair = |name: &str, value: String| (name.to_owned(), value);
    html::RunInfo {
        title: "Lecture 5: collaborative filtering on MovieLens".to_owned(),
        introduction: INTRODUCTION.to_owned(),
        comparison: (!m.fits.is_empty()).then(|| m.beside_the_lecture()),
        comparison_note: "Mean squared errors, in stars². *Training* is the debiased running mean at the end of the \
                          epoch, *validation* the mean over the validation batches. Each comes from one random start; \
                          the lecture's came from another. The *difference* is that of the validation losses; \
                          `lecture5 verify` says whether chance alone could explain such a difference."
            .to_owned(),
        settings: vec![
            pair("seed", m.seed.to_string()),
            pair("data", lecture.ml.snapshot.name()),
            pair(&lecture.ml.file_name(), format!("sha256 {}", lecture.ml.sha256)),
            pair("split", lecture.run.split.to_string()),
        ],
        machine: [
            pair("device", m.device_and_card() + if lecture.run.device.is_cuda() { ON_A_CARD } else { "" }),
            pair("threads", m.threads.to_string()),
            pair("libtorch", m.libtorch.clone()),
            pair("stepper", m.stepper.name().to_owned()),
            pair("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ]
        .into_iter()
        .chain(m.device_reason.iter().map(|why| pair("why not on a card", why.clone())))
        .collect(),
    }
}
