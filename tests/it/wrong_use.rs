//! Wrong input other than ratings files: each case ends with one plain error that names the thing and the way out,
//! with status 2 for wrong use and 1 for failure, and leaves nothing half-written.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{first_ratings, sealed};

/// Commands, their exit status, and their message. {data} is a folder with few ratings, {tmp} an empty folder,
/// {file} a file of one line. A case without --out gets one.
type Case = (&'static str, i32, &'static str);

const OPTIONS: &[Case] = &[
    // Names.
    ("", 2, "Usage: lecture5 <COMMAND>"),
    ("fti", 2, "unrecognized subcommand 'fti'"),
    ("fit", 2, "--model <MODEL>"),
    ("fit --model", 2, "a value is required for '--model <MODEL>'"),
    ("fit --modl dot", 2, "unexpected argument '--modl'"),
    ("fit --model tree", 2, "invalid value 'tree' for '--model <MODEL>'"),
    ("fit --model DOT", 2, "[possible values: dot, bias, net, learner]"),
    ("fit dot", 2, "unexpected argument 'dot'"),
    ("fit --model dot --model bias", 2, "cannot be used multiple times"),
    ("fit --model dot --optimizer lion", 2, "possible values: sgd, adam, adamw"),
    ("run --fast yes", 2, "'yes' is not a section"),
    ("fit --model dot --fast=never", 2, "unexpected value 'never' for '--fast'"),
    (
        "run no_such_section",
        2,
        "'no_such_section' is not a section of the lecture; the sections are movielens, ",
    ),
    ("run movielens Movielens", 2, "'Movielens' is not a section"),
    ("run dot_product --step", 2, "--step waits for Enter before each cell, and needs a terminal"),
    ("run dot_product --step --quiet", 2, "'--step' cannot be used with '--quiet'"),
    ("watch no_such_section", 2, "'no_such_section' is not a section of the lecture; the sections are "),
    ("watch movielens dot_product", 2, "unexpected argument 'dot_product'"),
    ("watch --quiet", 2, "--quiet and --json: watch shows a page"),
    ("run --device tpu", 2, "it is auto, cpu, cuda or cuda:N, as in cuda:0"),
    ("run --device cuda:x", 2, "it is auto, cpu, cuda or cuda:N, as in cuda:0"),
    ("run --device cuda:-1", 2, "it is auto, cpu, cuda or cuda:N, as in cuda:0"),
    ("verify --fits dot,tree", 2, "[possible values: dot, bias, net, learner]"),
    // Numbers: zero, negative, not a number, huge.
    ("run --seed -1", 2, "a whole number from 0 to 4294967295"),
    ("run --seed 1.5", 2, "a whole number from 0 to 4294967295"),
    ("run --seed 4294967296", 2, "a whole number from 0 to 4294967295"),
    ("fit --model dot --seed nan", 2, "a whole number from 0 to 4294967295"),
    ("run --threads 0", 2, "a whole number from 1 to 1024"),
    ("run --threads -2", 2, "a whole number from 1 to 1024"),
    ("run --threads 99999999999999999999", 2, "a whole number from 1 to 1024"),
    ("run --dpi 0", 2, "a whole number from 20 to 1200"),
    ("run --dpi 100000", 2, "a whole number from 20 to 1200"),
    ("fit --model dot --batch-size 0", 2, "a whole number from 1 to 100000000"),
    ("fit --model dot --batch-size -64", 2, "a whole number from 1 to 100000000"),
    ("fit --model dot --batch-size 1e9", 2, "a whole number from 1 to 100000000"),
    ("fit --model dot --factors 0", 2, "'0': from 1 to 100000"),
    ("fit --model dot --factors -5", 2, "'-5': from 1 to 100000"),
    ("fit --model net --factors 50,", 2, "'' is not a whole number"),
    ("fit --model net --factors 1000000", 2, "'1000000': from 1 to 100000"),
    ("fit --model net --hidden 0", 2, "a whole number from 1 to 100000"),
    ("fit --model net --hidden 10,,10", 2, "a whole number from 1 to 100000"),
    ("fit --model net --hidden -1", 2, "a whole number from 1 to 100000"),
    ("fit --model net --dropout 1", 2, "it must be at least 0 and below 1"),
    ("fit --model net --dropout -0.5", 2, "it must be at least 0 and below 1"),
    ("fit --model net --dropout nan", 2, "'nan' is not a finite number"),
    ("fit --model net --dropout 0.1,inf", 2, "'inf' is not a finite number"),
    ("fit --model dot --wd -1", 2, "it must not be negative"),
    ("fit --model dot --wd NaN", 2, "'NaN' is not a finite number"),
    ("fit --model dot --wd 1e999", 2, "'1e999' is not a finite number"),
    ("fit --model dot --wd little", 2, "'little' is not a number"),
    ("fit --model dot --momentum 1", 2, "it must be at least 0 and below 1"),
    ("fit --model dot --momentum -0.9", 2, "it must be at least 0 and below 1"),
    ("fit --model dot --momentum nan", 2, "'nan' is not a finite number"),
    ("fit --model dot --init -0.05", 2, "give the positive bound, or LOW:HIGH"),
    ("fit --model dot --init nan:1", 2, "'nan' is not a finite number"),
    ("fit --model dot --init 1:0", 2, "the lower bound comes first"),
    ("fit --model dot --init 1e9", 2, "they must be within a million"),
    ("fit --model dot --schedule=", 2, "RATExEPOCHS, as in 0.1x3"),
    ("fit --model dot --schedule 0.1", 2, "RATExEPOCHS, as in 0.1x3"),
    ("fit --model dot --schedule 0x3", 2, "learning rate '0': it must be above zero"),
    ("fit --model dot --schedule -0.1x3", 2, "learning rate '-0.1': it must be above zero"),
    ("fit --model dot --schedule nanx3", 2, "it must be above zero"),
    ("fit --model dot --schedule 0.1x0", 2, "from 1 to 100000"),
    ("fit --model dot --schedule 0.1x100000,0.1x1", 2, "more than 100000 epochs"),
    ("fit --model dot --schedule cosine:", 2, "learning rate '' is not a number"),
    ("fit --model dot --schedule cosine:0.1,mult=0", 2, "from 1 to 100000"),
    ("fit --model dot --schedule cosine:0.1,cycles=99,mult=9", 2, "more than 100000 epochs"),
    ("fit --model dot --schedule cosine:0.1,speed=2", 2, "it takes cycles, len and mult"),
    ("verify --seeds 0", 2, "a whole number from 1 to 10000"),
    ("verify --seeds 3", 2, "it takes at least 4 to estimate a spread"),
    ("verify --seed 4294967290", 2, "they end at 4294967295"),
    ("verify --jobs 0", 2, "a whole number from 1 to 1024"),
    ("verify --margin nan", 2, "'nan' is not a finite number"),
    ("verify --margin -1", 2, "it must not be negative"),
    // Contradictions.
    ("run --quiet --json", 2, "'--quiet' cannot be used with '--json'"),
    ("verify --quick --against {file}", 2, "cannot be used with"),
    ("fit --model dot --hidden 10", 2, "--hidden belongs to --model net; dot has no layers"),
    ("fit --model bias --dropout 0.5", 2, "--dropout belongs to --model net; bias drops nothing"),
    ("fit --model dot --factors 10,20", 2, "vectors of one length, not 10 and 20"),
    ("fit --model learner --momentum 0.5", 2, "--momentum belongs to sgd"),
    ("fit --model dot --schedule cosine:0.1,len=1,len=2", 2, "'len' twice in the schedule"),
    ("fit --model dot --resume", 2, "--checkpoint <DIR>"),
    // Queries to a saved model.
    ("similar", 2, "--movie <TITLE|ID>"),
    ("similar --movie 1 --user 1", 2, "cannot be used with"),
    ("similar --movie 1 --top 0", 2, "a whole number from 1 to 65535"),
    ("similar --movie 1 --min-ratings -1", 2, "a whole number from 0 to 4294967295"),
    ("recommend", 2, "<--user <ID>|--ratings <FILE>>"),
    ("recommend --user 1 --ratings {file}", 2, "cannot be used with"),
    ("recommend --user 1 --min-ratings 0", 2, "a whole number from 1 to 4294967295"),
    ("predict --user 1", 2, "--movie <TITLE|ID>"),
    ("similar --movie 1 --from {tmp}/none", 1, "none: no such model"),
    ("recommend --user 1 --from {tmp}", 1, "Is a directory"),
    (
        "predict --user 1 --movie 1 --from {file}",
        1,
        "file: text; only models that this program has saved are opened",
    ),
    // Files and folders.
    ("run --data=", 2, "a value is required for '--data <DIR>'"),
    ("run --out=", 2, "a value is required for '--out <DIR>'"),
    ("run --data no/such/folder", 1, "no/such/folder: no such folder"),
    ("verify --from {tmp}/none.json", 1, "none.json: cannot be read: No such file"),
    ("verify --from {tmp}", 1, "cannot be read: Is a directory"),
    ("verify --from {file}", 1, "not an ensemble of `lecture5 verify`"),
    ("verify --against {file}", 1, "not an ensemble of `lecture5 verify`"),
];

/// These cases get as far as reading the data.
const FITS: &[Case] = &[
    ("fit --model dot --schedule 1e300x1", 1, "in epoch 0 at batch 1 of "),
    ("fit --model bias --wd 1e308", 1, "try a lower learning rate, or a lower weight decay"),
    ("fit --model dot --init 1000000 --schedule 1e-9x1", 1, "the loss became inf in epoch 0 at batch "),
    ("fit --model dot --init 30000 --schedule 1e-30x1", 1, "predicting only zeros gives "),
    ("fit --model net --hidden 100000,100000", 1, "of 10010367301 weights, takes at least 186.4 GiB, and "),
    (
        "fit --model net --hidden 100000,100000,100000 --optimizer adam",
        1,
        "take fewer --factors, smaller --hidden",
    ),
];

const OUTPUTS: &[Case] = &[
    ("fit --model dot --out {file}", 1, "a file is in the way of this folder; move it, or write elsewhere"),
    ("run --out {file}/deeper", 1, "a file is in the way of this folder; move it, or write elsewhere"),
    ("verify --out {file}", 1, "a file is in the way of this folder; move it, or write elsewhere"),
    ("fit --model dot --out /dev/full", 1, "/dev/full: a file is in the way"),
    (
        "fit --model dot --checkpoint {file}",
        1,
        "a file is in the way of this folder; move it, or write elsewhere",
    ),
    ("run --out {tmp}/taken", 1, "taken/metrics.json: a folder is in the way of this file"),
    ("fit --model dot --out {tmp}/nowhere", 1, "nowhere: a link that leads nowhere is in the way"),
];

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("data")).unwrap();
        std::fs::write(path("data/ratings.csv"), first_ratings(2000)).unwrap();
        std::fs::write(path("file"), "not what you think\n").unwrap();
        std::fs::create_dir(path("tmp")).unwrap();
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, line: &str) -> Vec<String> {
        let word = |word: &str| {
            ["data", "file", "tmp"].iter().fold(word.to_owned(), |word, name| {
                word.replace(&format!("{{{name}}}"), self.path(name).to_str().unwrap())
            })
        };
        line.split_whitespace().map(word).collect()
    }

    fn lecture5(&self, line: &str) -> Output {
        let mut command = crate::prepared::program();
        command.args(self.arguments(line));
        let writes = ["run ", "fit ", "verify "].iter().any(|command| line.starts_with(command));
        if writes && !line.contains("--out") {
            command.arg("--out").arg(self.path("out"));
        }
        command.env_remove("RUST_BACKTRACE").output().unwrap()
    }

    /// Runs a case and checks the requirements on every error.
    fn refuses(&self, (line, status, said): &Case) {
        let output = self.lecture5(line);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*status), "{line}: {stderr}");
        assert!(stderr.contains(said), "{line}: {stderr}");
        for unwanted in ["panicked", "frame #", "Exception raised", "unwrap", "bug in lecture5"] {
            assert!(!stderr.contains(unwanted), "{line}: {stderr}");
        }
        if line.is_empty() {
            return; // the help is the expected output
        }
        assert!(stderr.starts_with("error: "), "{line}: {stderr}");
        // clap's own errors point to --help and may show the usage.
        let lines = stderr.lines().count();
        assert!(lines == 1 || *status == 2 && lines <= 8, "{line}: {stderr}");
        assert!(!self.path("out").exists(), "{line}: something was written");
    }
}

#[test]
fn wrong_options_are_refused_by_name_with_what_would_be_right() {
    let place = Place::new();
    OPTIONS.iter().for_each(|case| place.refuses(case));
}

#[test]
fn a_fit_that_diverges_or_cannot_fit_into_memory_ends_in_one_line() {
    let place = Place::new();
    let data = place.path("data");
    for (line, status, said) in FITS {
        let line: &'static str = format!("{line} --data {}", data.display()).leak();
        place.refuses(&(line, *status, said));
    }
}

#[test]
fn what_is_in_the_way_of_the_results_is_named_before_anything_is_computed() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("tmp/taken/metrics.json")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.path("tmp/gone"), place.path("tmp/nowhere")).unwrap();
    for case in OUTPUTS {
        place.refuses(case);
    }
    let long: &'static str = format!("fit --model dot --out {}", "x".repeat(300)).leak();
    place.refuses(&(long, 1, "no folder can be here; write elsewhere"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_named_before_anything_is_computed() {
    let place = Place::new();
    place.refuses(&(
        "fit --model dot --out /proc/lecture5",
        1,
        "/proc: no file can be made here; write elsewhere",
    ));
    place.refuses(&(
        "verify --quick --out /proc/lecture5",
        1,
        "/proc: no file can be made here; write elsewhere",
    ));
    place.refuses(&("fit --model dot --checkpoint /proc/kept", 1, "/proc: no file can be made here"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_no_part_of_a_file() {
    let place = Place::new();
    let script = "mount -t tmpfs -o size=64k none \"$1\" || exit 77; shift; \"$@\"; echo status $?; cd \"$OUT\"; find . -type f";
    let disk = place.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let output = crate::common::on_cpu("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(&disk)
        .arg(env!("CARGO_BIN_EXE_lecture5"))
        .args(["fit", "--model", "bias", "--factors", "50", "--schedule", "0.1x1", "--dpi", "20"])
        .arg("--data")
        .arg(place.path("data"))
        .arg("--out")
        .arg(&disk)
        .arg("--quiet")
        .env("OUT", &disk)
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        _ => {
            println!("skipped: no disk of its own can be mounted here (unshare)");
            return;
        }
    };
    let (said, left) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(
        said.starts_with("error: ") && said.contains("cannot be written: No space left on device"),
        "{said}"
    );
    assert!(said.contains("models/bias.safetensors"), "{said}");
    assert!(left.starts_with("status 1\n"), "{left}");
    assert!(!left.contains(".writing-") && !left.contains("safetensors"), "{left}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_fails_and_a_closed_pipe_does_not() {
    let run = |redirected: &str| {
        let script = format!("'{}' list {redirected}; echo status $? >&2", env!("CARGO_BIN_EXE_lecture5"));
        let output = crate::common::on_cpu("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let full = run("> /dev/full");
    assert!(full.contains("the standard output was not written completely: No space left"), "{full}");
    assert!(full.ends_with("status 1\n") && full.lines().count() == 2, "{full}");
    assert_eq!(run("> >(true)"), "status 0\n");
    // An error that cannot be printed still has its status.
    let nobody = format!("'{}' run tree 2> /dev/full; echo $?", env!("CARGO_BIN_EXE_lecture5"));
    let output = crate::common::on_cpu("bash").args(["-c", &nobody]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_memory_is_respected() {
    let place = Place::new();
    let script = format!(
        "ulimit -v 2000000; exec '{}' fit --model bias --optimizer adam --factors 100000 --schedule 0.1x1 --data '{}' --out '{}'",
        env!("CARGO_BIN_EXE_lecture5"),
        place.path("data").display(),
        place.path("out").display()
    );
    // A thread reserves address space, even if it does not use it.
    let output =
        crate::common::on_cpu("bash").args(["-c", &script]).env("POLARS_MAX_THREADS", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.lines().count() == 1, "{said}");
    assert!(
        said.contains(" takes at least ")
            && said.contains(" GiB, and ")
            && said.contains("take fewer --factors"),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_larger_than_memory_is_not_read() {
    let place = Place::new();
    let file = std::fs::File::create(place.path("tmp/ratings.csv")).unwrap();
    file.set_len(1 << 42).unwrap(); // a sparse file: it takes no space on disk
    place.refuses(&(
        "run movielens --ratings {tmp}/ratings.csv",
        1,
        "ratings.csv: reading it takes at least 4096.0 GiB",
    ));
}

#[test]
fn a_damaged_or_foreign_file_is_not_resumed() {
    let place = Place::new();
    let kept = place.path("kept");
    let file = kept.join("checkpoint.safetensors");
    let fit = format!(
        "fit --model bias --factors 4 --schedule 0.1x2 --dpi 20 --data {{data}} --checkpoint {}",
        kept.display()
    );
    let first = place.lecture5(&format!("{fit} --out {{tmp}}/out"));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let model = std::fs::read(place.path("tmp/out/models/bias.safetensors")).unwrap();
    std::fs::remove_file(kept.join("checkpoint-before.safetensors")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let with_header = |edit: &dyn Fn(String) -> String| {
        let text = edit(String::from_utf8(whole[8..header].to_vec()).unwrap());
        sealed([&(text.len() as u64).to_le_bytes(), text.as_bytes(), &whole[header..]].concat())
    };
    let mut other_state = whole.clone();
    let end = other_state.len();
    other_state[header..end].fill(0xff);
    let line: &'static str = format!("{fit} --resume").leak();
    for (bytes, said) in [
        (Vec::new(), "an empty file"),
        (b"not a model".to_vec(), "text; only models"),
        (whole[..7].to_vec(), "not a safetensors file"),
        (whole[..header].to_vec(), "not a complete safetensors file"),
        (whole[..end - 1].to_vec(), "not a complete safetensors file"),
        ([&whole[..], b"more"].concat(), "not a complete safetensors file"),
        (vec![0xff; 100], "not a safetensors file"),
        // From another program: one without a model card, and one whose card is not understood.
        (safetensors_of_another_program(), "it has no model card"),
        (with_header(&|text| text.replace("n_factors", "n_fact0rs")), "its model card cannot be parsed"),
        (
            with_header(&|text| text.replace("\"mb.weight\"", "\"mb.height\"")),
            "it has no 'mb.weight': another model",
        ),
        (with_header(&|text| text.replace("fit.mean", "fit.moan")), "it has no 'fit.mean'"),
        (with_header(&|text| text.replace("rng.cpu", "rng.gpu")), "it has no 'rng.cpu'"),
        // A trained model, at the end of its fit, is not a fit under way.
        (model, "a trained model, not a checkpoint"),
        (other_state.clone(), "its checksum is not the one that it states"),
        (sealed(other_state), "its 'fit.losses' holds NaN"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        place.refuses(&(line, 1, said));
    }
    // A folder in its place, and no file at all.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    place.refuses(&(line, 1, "a folder is in the way of this file"));
    std::fs::remove_dir(&file).unwrap();
    let begun = place.lecture5(&format!("{line} --out {{tmp}}/begun"));
    assert!(String::from_utf8(begun.stdout).unwrap().starts_with("There is no checkpoint yet"));
    assert!(Path::new(&file).exists());
}

/// A tensor and its metadata, as PyTorch's own writer produces them.
fn safetensors_of_another_program() -> Vec<u8> {
    let header =
        r#"{"__metadata__":{"format":"pt"},"u.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat()
}
