//! The options of all commands that train, and how each of these commands begins and ends.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;

use super::data::Data;
use super::parse::whole;
use lecture5::fast::{self, StepperKind};
use lecture5::libtorch::{self, device, device::Choice};
use lecture5::plots::{self, Format};
use lecture5::run::lecture::Lecture;
use lecture5::run::options::RunOptions;
use lecture5::run::progress::Telling;
use lecture5::settings::MOST_SEED;
use lecture5::system::failure::{complain, wrong_use};
use lecture5::system::lock::Lock;
use lecture5::system::terminal::say;
use lecture5::system::{files, interrupt, machine};

#[derive(Args)]
pub struct Common {
    /// Seed of the random generator, set before each fit: 0 to 4294967295.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<i64>(0, MOST_SEED))]
    pub seed: i64,
    /// Where to compute: auto (a card that computes, or else the CPU), cpu, cuda or cuda:N. The environment
    /// variable LECTURE5_DEVICE, if it is set, is the default.
    #[arg(long, value_name = "DEVICE", default_value_t = default_device(), value_parser = device_name)]
    pub device: String,
    /// The folder to write results to.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Threads within an operation of the CPU. At batches of 64 a second thread gains nothing, and on a busy machine it
    /// makes the run many times slower.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<i32>(1, 1024))]
    pub threads: i32,
    /// Train by the fast stepper instead of libtorch: on the CPU, several times faster, with the same losses to five
    /// digits. It does not test libtorch.
    #[arg(long)]
    pub fast: bool,
    /// Resolution of the PNG plots, in dots per inch.
    #[arg(long, value_name = "N", default_value_t = plots::PRINT_DPI, allow_negative_numbers = true, value_parser = whole::<u32>(20, 1200))]
    pub dpi: u32,
    /// The formats that each plot is written in: png, svg, pdf. A page or notebook shows it in any case.
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "png")]
    pub format: Vec<Format>,
    /// Draw the plots with larger type, for slides.
    #[arg(long)]
    pub slides: bool,
    /// Print nothing but errors.
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print one JSON object per line: each epoch, and at the end the metrics.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: Data,
}

fn default_device() -> String {
    std::env::var("LECTURE5_DEVICE").unwrap_or_else(|_| "auto".to_owned())
}

fn device_name(text: &str) -> Result<String> {
    ensure!(device::is_device(text), "{}", device::DEVICES);
    Ok(text.to_owned())
}

impl Common {
    pub fn telling(&self) -> Telling {
        match (self.quiet, self.json) {
            (true, _) => Telling::Quiet,
            (_, true) => Telling::Json,
            _ => Telling::Plain,
        }
    }

    /// The options as a command line has them, for a run of another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = self.data.arguments();
        let numbers = [("--seed", self.seed), ("--threads", self.threads.into()), ("--dpi", self.dpi.into())];
        for (name, number) in numbers {
            arguments.extend([name.into(), number.to_string().into()]);
        }
        arguments.extend(["--device".into(), (&self.device).into(), "--out".into(), (&self.out).into()]);
        let flags = [("--fast", self.fast), ("--slides", self.slides)];
        arguments.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
        arguments
    }

    /// Checks that results can be written, before an hour is spent on computing them: these files, in which `_` is any name.
    pub fn check_out(&self, files: &[&str]) -> Result<()> {
        files.iter().try_for_each(|file| files::check_writable(&self.out.join(file)))
    }

    /// Locks the folder of results for this process, and removes what a killed process left half-written there.
    pub fn lock_out(&self) -> Result<Lock> {
        let lock = Lock::take(&self.out, "--out")?;
        for folder in ["", "plots", "notebooks", "excel", "models"] {
            files::remove_half_written(&self.out.join(folder))?;
        }
        Ok(lock)
    }

    /// Chooses the device; that `auto` leaves a card out is said.
    pub fn choose_device(&self) -> Result<Choice> {
        let choice = device::choose(&self.device)?;
        if let Some(reason) = &choice.reason {
            let place = match choice.device {
                tch::Device::Cpu => "the CPU".to_owned(),
                card => device::name(card),
            };
            complain(&format!("note: --device auto computes on {place}: {reason}"));
        }
        Ok(choice)
    }

    /// Sets the process up, reads the data and begins a run.
    pub fn begin(&self) -> Result<Lecture> {
        self.data.check().map_err(wrong_use)?;
        if self.slides {
            plots::for_slides();
        }
        machine::check_threads(self.threads as usize)?;
        let Choice { device, reason } = self.choose_device()?;
        // Before libtorch starts its threads, which inherit it.
        libtorch::flush_subnormals();
        tch::set_num_threads(self.threads);
        let stepper = if self.fast { StepperKind::Fast } else { StepperKind::Libtorch };
        if self.fast {
            fast::check_device(device).map_err(|why| wrong_use(format!("--fast: {why}")))?;
        }
        let ml = self.data.read()?;
        // Until here nothing is lost by a Ctrl-C that ends the process at once.
        interrupt::listen()?;
        let run = RunOptions {
            seed: self.seed,
            device,
            device_reason: reason,
            stepper,
            rate: 1.0,
            split: self.data.split(),
            all_splits: false,
            out: self.out.clone(),
            dpi: self.dpi,
            formats: self.format.clone(),
            telling: self.telling(),
        };
        Lecture::new(run, ml)
    }
}

pub fn write_metrics(lecture: &Lecture) -> Result<()> {
    let text = serde_json::to_string_pretty(&lecture.metrics)? + "\n";
    files::write_whole(&lecture.run.out.join("metrics.json"), text.as_bytes())
}

/// The end of a run: the table, and where the files are.
pub fn finish(lecture: &Lecture) -> Result<()> {
    match lecture.run.telling {
        Telling::Quiet | Telling::Live => {}
        Telling::Json => say(json!({"event": "done", "metrics": lecture.metrics})),
        Telling::Plain => {
            if !lecture.metrics.fits.is_empty() {
                say(lecture.metrics.beside_the_lecture().to_text());
            }
            if let Some(why) = lecture.why_not_the_lectures() {
                say(format!("{why}: the lecture's numbers are left out."));
            }
            say(format!("Results are in {}/", lecture.run.out.display()));
        }
    }
    Ok(())
}
