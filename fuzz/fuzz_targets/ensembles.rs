//! Any text in an ensemble's file is refused, or can be parsed back from what it writes and compared with the lecture.
#![no_main]

use lecture5::verify::ensemble::Ensemble;
use lecture5::verify::{MARGIN, beside_the_lecture};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(ensemble) = Ensemble::parse(text) {
        let again = Ensemble::parse(&ensemble.to_text().expect("it is written")).expect("it reads back");
        assert_eq!(again.to_text().expect("it is written"), ensemble.to_text().expect("it is written"));
        if ensemble.fits.iter().map(|fit| fit.runs.len()).sum::<usize>() < 100 {
            drop(beside_the_lecture(&ensemble, MARGIN));
        }
    }
});
