//! Ctrl-C, kill -9, and resuming from a checkpoint.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lecture5::system::files;

#[cfg(target_os = "linux")]
use crate::common::first_child;
use crate::common::{Place, Tensor, doctored, program, sealed, signal, stderr, succeeds};

/// A very short fit of 12 epochs in two `fit` calls; it also draws for dropout.
const QUICK: &[&str] = &[
    "fit",
    "--model",
    "net",
    "--dropout",
    "0.1,0.2",
    "--optimizer",
    "adam",
    "--schedule",
    "0.01x5,0.001x7",
    "--factors",
    "8",
    "--batch-size",
    "64",
    "--dpi",
    "20",
    "--seed",
    "3",
];

trait Fits {
    fn fit(&self, more: &[&str], out: &str) -> Command;
}

impl Fits for Place {
    fn fit(&self, more: &[&str], out: &str) -> Command {
        let mut command = self.command(QUICK, out);
        command.args(more);
        command
    }
}

/// Every file that a fit writes, by name; metrics.json without the times.
fn results(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["", "plots", "models"] {
        for entry in std::fs::read_dir(out.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // A file that a process left when it was killed while writing.
            if path.is_file() && !name.starts_with(".lecture5-") {
                let bytes = match name.as_str() {
                    "metrics.json" => without_seconds(&path).into_bytes(),
                    _ => std::fs::read(&path).unwrap(),
                };
                found.push((name, bytes));
            }
        }
    }
    found.sort();
    found
}

fn without_seconds(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.contains("\"seconds\"")).collect::<Vec<_>>().join("\n")
}

fn same(ours: &[(String, Vec<u8>)], theirs: &[(String, Vec<u8>)]) {
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs));
    assert_eq!(ours.len(), 4, "{:?}", names(ours));
    for ((name, a), (_, b)) in ours.iter().zip(theirs) {
        assert!(a == b, "{name} differs");
    }
}

/// The test's own generator: it kills at the same moments, as far as the machine's speed is the same.
struct Moments(u64);

impl Moments {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn a_fit_killed_at_fifty_random_moments_gives_the_bytes_of_an_uninterrupted_one() {
    let place = Place::new();
    let started = std::time::Instant::now();
    succeeds(place.fit(&[], "unbroken"));
    let took = started.elapsed().as_millis() as u64;
    let unbroken = results(&place.path("unbroken"));

    // Two at a time, each with its own kill times and folders.
    let kills = &|seed: u64| {
        let mut moments = Moments(seed);
        let (mut kills, mut fits, mut went_on) = (0, 0, 0);
        while kills < 25 || fits == 0 {
            let (folder, out) = (place.path(&format!("kept{seed}-{fits}")), format!("out{seed}-{fits}"));
            let keep = ["--checkpoint", folder.to_str().unwrap(), "--resume"];
            // Kills until a fit finishes by itself; the last one is not killed.
            loop {
                let mut process = place.fit(&keep, &out).spawn().unwrap();
                if kills < 25 {
                    std::thread::sleep(Duration::from_millis(moments.below(took + took / 8)));
                    process.kill().unwrap();
                }
                let output = process.wait_with_output().unwrap();
                if output.status.success() {
                    break;
                }
                assert!(kills < 25, "{}", stderr(&output));
                kills += 1;
                went_on += usize::from(folder.join("checkpoint.safetensors").exists());
            }
            same(&results(&place.path(&out)), &unbroken);
            let mut left: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(
                left,
                ["checkpoint-before.safetensors", "checkpoint.safetensors"],
                "nothing half-written is left"
            );
            fits += 1;
        }
        println!("{kills} kills, {went_on} of them after an epoch was kept; {fits} fits came through");
        went_on
    };
    let went_on: usize = std::thread::scope(|scope| {
        let both = [1, 2].map(|seed| scope.spawn(move || kills(seed)));
        both.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(went_on > 0, "no kill came after the first epoch");
}

#[test]
fn ctrl_c_keeps_the_complete_epochs_and_says_how_to_continue() {
    let place = Place::new();
    let kept = place.path("kept");
    let keep = ["--checkpoint", kept.to_str().unwrap()];
    for (name, batches) in [("-INT", "1"), ("-TERM", "2")] {
        // Slow enough to be interrupted mid-fit: a batch is one or two ratings.
        let slow = ["--batch-size", batches, "--schedule", "0.001x9999"];
        let arguments: Vec<&str> = vec!["fit", "--model", "net", "--factors", "8"];
        let mut command = place.command(&arguments, "out");
        let process = command.args(slow).args(keep).spawn().unwrap();
        while !kept.join("checkpoint.safetensors").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(&process, name);
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.starts_with("interrupted: ") && said.contains("complete epochs are in "), "{said}");
        assert!(said.contains("the same command with --resume continues"), "{said}");
        assert!(!place.path("out").exists(), "the results of a broken fit are not written");
        std::fs::remove_dir_all(&kept).unwrap();
    }
}

#[test]
fn ctrl_c_without_a_checkpoint_says_that_nothing_was_kept() {
    let place = Place::new();
    let arguments = ["fit", "--model", "dot", "--batch-size", "1", "--schedule", "0.0001x9999", "--json"];
    let mut process = place.command(&arguments, "out").spawn().unwrap();
    // The first line shows that training has started.
    let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut String::new()).unwrap();
    signal(&process, "-INT");
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        stderr(&output),
        "interrupted: nothing was saved; with --checkpoint DIR a fit is saved after each epoch\n"
    );
    assert!(!place.path("out").exists());
}

#[test]
fn ctrl_c_ends_a_choice_of_settings_between_two_folds() {
    let place = Place::new();
    let mut process =
        place.command(&["tune", "--only", "biases,gp", "--steps", "1000"], "out").spawn().unwrap();
    // It has started, and a thousand steps take longer than the test waits.
    let mut first = [0; 64];
    std::io::Read::read_exact(process.stdout.as_mut().unwrap(), &mut first).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&process, "-INT");
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(stderr(&output).trim_end(), "interrupted: nothing was saved");
    assert!(!place.path("out/tune.json").exists());
}

#[test]
fn a_signal_ends_verify_with_the_status_of_an_interruption() {
    let place = Place::new();
    let started = ["-INT", "-TERM", "-HUP"].map(|name| {
        let mut verify = program();
        verify.args(["verify", "--seeds", "500", "--fits", "bias", "--fast", "--jobs", "1", "--out"]);
        verify.arg(place.path(name)).stdout(Stdio::piped()).stderr(Stdio::piped());
        (name, verify.spawn().unwrap())
    });
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    for (name, mut process) in started {
        // It listens before its first run starts.
        #[cfg(target_os = "linux")]
        first_child(&mut process);
        #[cfg(not(target_os = "linux"))]
        std::thread::sleep(Duration::from_secs(2));
        signal(&process, name);
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{name}: {}", stderr(&output));
        assert!(!place.path(name).join("verify.json").exists());
    }
}

#[test]
fn an_interrupted_run_keeps_the_sections_that_are_complete() {
    let place = Place::new();
    let mut command =
        place.command(&["run", "movielens", "dot_product", "embedding_dot", "training_loop"], "out");
    let mut process = command.spawn().unwrap();
    let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
    // Its first fit's first line of losses.
    let mut line = String::new();
    while !line.starts_with("[ 0.") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0, "the run ended by itself");
    }
    signal(&process, "-INT");
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let output = process.wait_with_output().unwrap();
    reader.join().unwrap().unwrap();
    // Whether the signal arrives during the fit or between two sections depends on the machine.
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.starts_with("interrupted in section "), "{said}");
    assert!(said.contains("movielens dot_product") && said.contains("For the rest: lecture5 run "), "{said}");
    assert!(place.path("out/notebooks/04_dot_product.ipynb").exists());
    assert!(place.path("out/metrics.json").exists() && place.path("out/lecture.html").exists());
    assert!(!place.path("out/notebooks/08_training_loop.ipynb").exists());
}

#[test]
fn another_fit_is_not_resumed_and_the_difference_is_named() {
    let place = Place::new();
    let kept = place.path("kept");
    let keep = ["--checkpoint", kept.to_str().unwrap()];
    succeeds(place.fit(&keep, "out"));
    let refused = |mut command: Command, status: i32, said: &str| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(said) && stderr(&output).lines().count() == 1,
            "{}",
            stderr(&output)
        );
    };
    let resume = |more: &[&str]| {
        let mut options: Vec<&str> = QUICK.to_vec();
        for pair in more.chunks(2) {
            match options.iter().position(|option| *option == pair[0]) {
                Some(at) => options[at + 1] = pair[1],
                None => options.extend(pair),
            }
        }
        let mut command = place.command(&options, "again");
        command.args(keep).arg("--resume");
        command
    };
    for (more, said) in [
        (["--seed", "4"], "--seed was 3 and is 4"),
        (["--factors", "9"], "--factors was [8,8] and is [9,9]"),
        (["--batch-size", "32"], "--batch-size was 64 and is 32"),
        (["--schedule", "0.01x5,0.001x8"], "--schedule was \"0.01x5,0.001x7\" and is \"0.01x5,0.001x8\""),
        (["--optimizer", "adamw"], "--optimizer was \"adam\" and is \"adamw\""),
        (["--wd", "0.001"], "--wd was 0.0005 and is 0.001"),
        (["--init", "0.2"], "--init was"),
        (["--hidden", "10,10"], "--hidden was [10] and is [10,10]"),
        (["--threads", "2"], "--threads was 1 and is 2"),
        (["--dropout", "0"], "--dropout was [0.1,0.2] and is [0.0,0.0]"),
    ] {
        refused(resume(&more), 2, said);
    }
    refused(resume(&["--fast"]), 2, "the stepper was \"libtorch\" and is \"fast\"");
    refused(place.fit(&keep, "again"), 2, "there is a checkpoint here already; continue it by --resume");
    assert!(!place.path("again").exists());

    // The same ratings except one.
    let ratings = place.path("data/ratings.csv");
    let text = std::fs::read_to_string(&ratings).unwrap();
    let shorter: Vec<&str> = text.lines().take(1500).collect();
    std::fs::write(&ratings, shorter.join("\n") + "\n").unwrap();
    refused(resume(&[]), 2, "the ratings' SHA-256 was ");
}

#[test]
fn a_checkpoint_can_be_predicted_from_as_it_is() {
    let place = Place::new();
    let kept = place.path("kept");
    succeeds(place.fit(&["--checkpoint", kept.to_str().unwrap()], "out"));
    let (metadata, tensors) =
        lecture5::saved::model_file::read(&kept.join("checkpoint.safetensors")).unwrap();
    assert_eq!(lecture5::saved::model_file::card(&metadata).unwrap().settings.seed, 3);
    let (_, model) = lecture5::saved::model_file::read(&place.path("out/models/net.safetensors")).unwrap();
    assert!(model.iter().all(|(name, t)| tensors[name] == *t), "the model's tensors are all there");
}

#[test]
fn files_are_as_readable_as_the_umask_allows_and_leave_nothing_next_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let whole = folder.path().join("whole");
    files::write_whole(&whole, b"x").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&whole), mode(&plain));
    assert!(files::write_whole(&folder.path().join("plain/whole"), b"x").is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_fit_crosses_from_a_card_to_the_cpu_only_when_the_device_is_named() {
    let place = Place::new();
    let fit = ["fit", "--model", "dot", "--schedule", "0.1x3", "--quiet", "--dpi", "20", "--checkpoint"];
    let with = |kept: &str, more: &[&str], out: &str| {
        let kept = place.path(kept);
        let arguments = [&fit[..], &[kept.to_str().unwrap()], more].concat();
        place.run(&arguments, out)
    };
    assert!(with("kept", &[], "whole").status.success());
    // An epoch before the end, as if it had been made on a card: with the state of a card's generator.
    let before = place.path("kept/checkpoint-before.safetensors");
    let of_a_card = doctored(
        &before,
        |_| {},
        |tensors| {
            tensors.push((
                "rng.cuda".to_owned(),
                Tensor { dtype: safetensors::Dtype::U8, shape: vec![16], data: vec![1; 16] },
            ));
        },
    );
    std::fs::create_dir(place.path("moved")).unwrap();
    let moved = place.path("moved/checkpoint.safetensors");
    std::fs::write(&moved, sealed(of_a_card)).unwrap();
    if !tch::Cuda::is_available() {
        let output = with("moved", &["--resume", "--device", "auto"], "refused");
        let said = "it was trained on CUDA: resume with --device cuda, or with --device cpu to cross over";
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    let output = with("moved", &["--resume", "--device", "cpu"], "crossed");
    let said = stderr(&output);
    assert!(
        output.status.success() && said.contains("it was trained on CUDA, and continues on the CPU"),
        "{said}"
    );
    // It was the CPU in truth, so it goes on as if nothing had happened.
    let model = |out: &str| std::fs::read(place.path(out).join("models/dot.safetensors")).unwrap();
    assert!(model("whole") == model("crossed"));
}
