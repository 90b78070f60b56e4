//! Cells with models of one's own.

use serde_json::Value;

use super::copy::{Copy, copy};
use crate::common::{stderr, stdout};

/// The validation losses that a section's run prints.
fn losses(copy: &Copy, program: &std::path::Path, section: &str) -> Vec<f64> {
    let output = copy.run(program, &["run", section, "--json", "--fast"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter_map(|event| event["val"].as_f64()).collect()
}

#[test]
fn the_struct_in_a_cell_is_the_model_that_trains() {
    let copy = copy();
    copy.edit("05_embedding_dot", "let n_factors: i64 = 50;", "let n_factors: i64 = 51;");
    copy.edit(
        "05_embedding_dot",
        "(u * m).sum_dim_intlist(1, false, None)",
        "(u * m).sum_dim_intlist(1, false, None) + 1.0",
    );
    copy.edit("07_embedding_net", "lin1.forward(&x).relu()", "lin1.forward(&x).tanh()");

    let (ours, theirs) = (copy.build(), std::path::Path::new(env!("CARGO_BIN_EXE_lecture5")));
    for section in ["embedding_dot", "embedding_net"] {
        let (changed, lecture) = (losses(&copy, &ours, section), losses(&copy, theirs, section));
        assert_eq!((changed.len(), lecture.len()), (6, 6), "{section}");
        assert!(changed.iter().zip(&lecture).all(|(a, b)| a != b), "{section}: {changed:?} and {lecture:?}");
        // It has learned something all the same: predicting the mean gives 1.12, nothing but zeros 13.7.
        assert!(changed[5] < 1.3, "{section}: {changed:?}");
    }
}
