//! What a checkpoint states of itself is checked before anything is resumed from it.

use std::path::Path;

use lecture5::saved::model_file;

use crate::common::{Place, Tensor, doctored, fails, sealed, stderr, succeeds};

const FIT: [&str; 11] = [
    "fit",
    "--model",
    "bias",
    "--schedule",
    "0.05x2,0.01x2",
    "--factors",
    "4",
    "--dpi",
    "20",
    "--checkpoint",
    "{kept}",
];

/// The options of a fit that is kept in a folder.
fn fit(kept: &Path) -> Vec<String> {
    FIT.iter().map(|option| option.replace("{kept}", kept.to_str().unwrap())).collect()
}

fn run(place: &Place, kept: &Path, more: &[&str], out: &str) -> std::process::Command {
    let options = fit(kept);
    let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    place.command(&options, out)
}

#[test]
fn no_bit_of_a_checkpoint_changes_without_notice_and_the_epoch_before_is_resumed_from() {
    let place = Place::new();
    let kept = place.path("kept");
    succeeds(run(&place, &kept, &[], "unbroken"));
    let newest = kept.join("checkpoint.safetensors");
    let whole = std::fs::read(&newest).unwrap();
    let damaged = place.path("damaged.safetensors");
    let refused = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        model_file::read(&damaged).is_err()
    };
    assert!(!refused(&whole));
    for at in (8..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(refused(&bytes), "a bit of byte {at} is flipped");
    }
    let mut bytes = whole.clone();
    let tail = bytes.len() - 512;
    bytes[tail..].fill(0);
    assert!(refused(&bytes), "the tail is zeros");

    // The newest is damaged: the one before gives the same bytes in the end.
    std::fs::write(&newest, &bytes).unwrap();
    let output = succeeds(run(&place, &kept, &["--resume"], "resumed"));
    assert!(stderr(&output).contains("the fit resumes an epoch earlier, from "), "{}", stderr(&output));
    for file in ["models/bias.safetensors", "plots/bias_losses.png"] {
        let read = |out: &str| std::fs::read(place.path(&format!("{out}/{file}"))).unwrap();
        assert!(read("unbroken") == read("resumed"), "{file} differs");
    }
    assert!(std::fs::read(&newest).unwrap().len() == whole.len());

    // Both are damaged.
    for file in ["checkpoint.safetensors", "checkpoint-before.safetensors"] {
        std::fs::write(kept.join(file), &bytes).unwrap();
    }
    fails(&run(&place, &kept, &["--resume"], "none").output().unwrap(), 1, "and so is the one before it");
}

#[test]
fn values_that_no_fit_leaves_are_refused_and_another_machine_is_noted() {
    let place = Place::new();
    let kept = place.path("kept");
    succeeds(run(&place, &kept, &[], "out"));
    let newest = kept.join("checkpoint.safetensors");
    std::fs::remove_file(kept.join("checkpoint-before.safetensors")).unwrap();
    let original = place.path("original.safetensors");
    std::fs::copy(&newest, &original).unwrap();
    let named = |tensors: &mut Vec<(String, Tensor)>, name: &str, change: &dyn Fn(&mut Tensor)| {
        change(&mut tensors.iter_mut().find(|(other, _)| other == name).unwrap().1);
    };
    let nan_at_start = |t: &mut Tensor| t.data[..8].copy_from_slice(&f64::NAN.to_le_bytes());
    type Change<'a> = &'a dyn Fn(&mut Vec<(String, Tensor)>);
    let twice = |tensors: &mut Vec<(String, Tensor)>| {
        for name in ["losses", "running", "rates", "seconds"] {
            named(tensors, &format!("fit.{name}"), &|t| {
                t.data = t.data.repeat(2);
                t.shape[0] *= 2;
            });
        }
    };
    let cases: [(Change, &str); 6] = [
        (&|t| named(t, "fit.mean", &nan_at_start), "its 'fit.mean' holds NaN"),
        (&|t| named(t, "fit.rates", &nan_at_start), "its 'fit.rates' holds NaN"),
        (&|t| named(t, "fit.mean", &|t| t.data[8..].fill(0)), "its epochs and batches do not match"),
        (&twice, "it has 8 epochs, but 4 are planned"),
        (&|t| named(t, "rng.cpu", &|t| t.data.fill(0)), "its 'rng.cpu'"),
        (
            &|t| {
                named(t, "optimizer.u.weight.momentum", &|t| {
                    t.data[..4].copy_from_slice(&f32::NAN.to_le_bytes())
                })
            },
            "the optimizer's 'u.weight.momentum' has values that are not finite",
        ),
    ];
    for (change, said) in cases {
        std::fs::write(&newest, sealed(doctored(&original, |_| {}, change))).unwrap();
        fails(&run(&place, &kept, &["--resume"], "again").output().unwrap(), 1, said);
    }
    let card = |change: &dyn Fn(&mut serde_json::Value)| doctored(&original, change, |_| {});
    std::fs::write(&newest, sealed(card(&|card| card["range"] = serde_json::json!([0.5, 6.0])))).unwrap();
    let output = run(&place, &kept, &["--resume"], "again").output().unwrap();
    fails(&output, 2, "the range of the ratings was [0.5,6.0] and is [");
    std::fs::write(&newest, card(&|card| drop(card.as_object_mut().unwrap().remove("seal")))).unwrap();
    fails(&run(&place, &kept, &["--resume"], "again").output().unwrap(), 1, "without a checksum");
    assert!(!place.path("again").exists());

    std::fs::copy(&original, &newest).unwrap();
    let mut elsewhere = run(&place, &kept, &["--resume"], "elsewhere");
    elsewhere.env("MKL_CBWR", "COMPATIBLE");
    let output = succeeds(elsewhere);
    let said = stderr(&output);
    assert!(said.starts_with("note: ") && said.contains("MKL_CBWR=COMPATIBLE"), "{said}");
}
