//! The command line: parse, dispatch, print the error chain. The commands are the lecture's table of contents.

mod ask;
mod common;
mod data;
mod earlier;
mod fit;
mod parse;
mod run;
mod sections;
mod step;
mod tune;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use lecture5::libtorch::doctor;
use lecture5::system::failure;
use lecture5::system::interrupt;
use lecture5::system::terminal::{all_was_said, say};

/// Lecture 5 of fast.ai's "Deep Learning for Coders" (2017), collaborative filtering on MovieLens, over
/// libtorch.
#[derive(Parser)]
#[command(name = "lecture5", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the lecture, or the named sections of it.
    Run(run::Run),
    /// Run a section again whenever its file or the sources are saved, and show it as a page in the browser.
    Watch(watch::Watch),
    /// Train one model, with the lecture's settings or any other.
    Fit(Box<fit::Fit>),
    /// Compare the lecture's numbers with many seeds, or this build with a saved ensemble.
    Verify(verify::Verify),
    /// Ask a saved model which movies, or which users, are similar.
    Similar(ask::similar::Similar),
    /// Ask a saved model what a user, known or new, should watch next.
    Recommend(ask::recommend::Recommend),
    /// Ask a saved model how a user, known or new, would rate a movie.
    Predict(ask::predict::Predict),
    /// Print one run's losses as JSON: what `verify` starts for each seed.
    #[command(hide = true)]
    OneRun(verify::OneRun),
    /// Choose the settings of section `beyond` again, on folds of the training rows, and print every fold's error.
    Tune(tune::Tune),
    /// List the sections of the lecture.
    List,
    /// Show which libtorch is loaded, and whether it computes on the CPU and on CUDA.
    Doctor,
}

/// Parses the arguments and runs the command. Status 2: used wrongly; 3: `verify` could not judge; 1: failed; 130:
/// interrupted.
pub fn main() -> ExitCode {
    failure::tell_panics_in_a_line();
    #[cfg(not(target_os = "linux"))]
    lecture5::libtorch::explain_terminations();
    if let Err(error) = failure::survive_limits().and_then(|()| interrupt::begin()) {
        return failure::tell(&error);
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Watch(args) => watch::watch(args),
        Command::Fit(args) => fit::fit(*args),
        Command::Verify(args) => verify::verify(args),
        Command::Similar(args) => ask::similar::similar(args),
        Command::Recommend(args) => ask::recommend::recommend(args),
        Command::Predict(args) => ask::predict::predict(args),
        Command::Tune(args) => tune::tune(args),
        Command::OneRun(args) => verify::one_run(args),
        Command::List => list(),
        Command::Doctor => examine(),
    };
    match outcome.and_then(|()| all_was_said()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

fn list() -> Result<()> {
    let width = sections::SECTIONS.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for section in sections::SECTIONS {
        say(format!("{:width$}  {}", section.name, section.title().replace('`', "")));
    }
    Ok(())
}

fn examine() -> Result<()> {
    let report = doctor::examine();
    for line in &report.lines {
        say(line);
    }
    ensure!(report.faults.is_empty(), "{}", report.faults.join("; "));
    Ok(())
}
