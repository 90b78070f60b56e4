//! Any text given as a schedule is refused, or is a schedule that reads back from its own printed form.
#![no_main]

use lecture5::settings::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(plan) = text.parse::<Plan>() {
        assert_eq!(plan.to_string().parse::<Plan>().expect("a plan reads back"), plan);
        plan.rate_changes();
    }
});
