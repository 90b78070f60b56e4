//! What is complete is kept: from a run with a section that fails, from an earlier run, and from a process that runs at the
//! same time.

use serde_json::Value;

use crate::common::{Place, fails, program, stderr, stdout, succeeds};

fn metrics(place: &Place, out: &str) -> Value {
    serde_json::from_str(&place.read(&format!("{out}/metrics.json"))).unwrap()
}

fn fits(place: &Place, out: &str) -> Vec<String> {
    let metrics = metrics(place, out);
    metrics["fits"].as_array().unwrap().iter().map(|fit| fit["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_section_that_fails_leaves_the_others_complete_and_its_error_in_its_cell() {
    let place = Place::new();
    place.rate(|stars| 20.0 * stars);
    let sections = ["run", "movielens", "embedding_dot", "dot_product", "--dpi", "30"];
    let output = place.run(&sections, "out");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: section embedding_dot: ") && last.contains("--rate 0.1"), "{said}");
    assert!(stdout(&output).contains("Results are in "));
    let page = place.read("out/lecture.html");
    for section in ["movielens", "embedding_dot", "dot_product"] {
        assert!(page.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
    assert!(page.contains("<pre class=\"text error\">error: "));
    let failed: Value = serde_json::from_str(&place.read("out/notebooks/05_embedding_dot.ipynb")).unwrap();
    let outputs =
        failed["cells"].as_array().unwrap().iter().filter_map(|cell| cell["outputs"].as_array()).flatten();
    let errors: Vec<&Value> = outputs.filter(|output| output["output_type"] == "error").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(metrics(&place, "out")["fits"], serde_json::json!([]));
    assert!(place.path("out/notebooks/04_dot_product.ipynb").exists());

    // The way out that it names.
    succeeds(place.command(&["run", "embedding_dot", "--rate", "0.01", "--dpi", "30"], "slower"));
    assert_eq!(metrics(&place, "slower")["rate"], 0.01);
}

#[test]
fn sections_run_one_after_another_make_the_page_of_all() {
    let place = Place::new();
    let run = |sections: &[&str], out: &str| {
        let arguments = [&["run"], sections, &["--dpi", "30"]].concat();
        succeeds(place.command(&arguments, out));
    };
    run(&["embedding_dot", "movielens"], "together");
    run(&["embedding_dot"], "apart");
    run(&["movielens"], "apart");
    assert_eq!(fits(&place, "apart"), ["embedding_dot"]);
    assert!(place.read("together/lecture.html") == place.read("apart/lecture.html"), "the pages differ");
    // Once more: nothing is there twice.
    run(&["embedding_dot"], "apart");
    assert!(place.read("together/lecture.html") == place.read("apart/lecture.html"), "the pages differ");

    // A run of another kind is refused, and what is there stays as it is.
    let before = place.read("apart/metrics.json");
    for other in [["--seed", "1"], ["--split", "time"], ["--split-seed", "1"], ["--threads", "2"]] {
        let output = place.run(&[&["run", "movielens"], &other[..]].concat(), "apart");
        fails(&output, 2, "; take another --out, or --fresh to replace it");
    }
    fails(
        &place.run(&["run", "movielens", "--fast"], "apart"),
        2,
        "its stepper is \"libtorch\", but here it is \"fast\"",
    );
    let fit = ["fit", "--model", "bias", "--schedule", "0.1x1", "--dpi", "30"];
    fails(&place.run(&[&fit[..], &["--seed", "1"]].concat(), "apart"), 2, "its seed is 0, but here it is 1");
    assert_eq!(place.read("apart/metrics.json"), before);

    // A fit of the same kind is added; --fresh replaces.
    succeeds(place.command(&fit, "apart"));
    assert_eq!(fits(&place, "apart"), ["embedding_dot", "bias"]);
    succeeds(place.command(&["run", "movielens", "--seed", "1", "--fresh"], "apart"));
    assert_eq!(fits(&place, "apart"), [""; 0]);
    assert!(!place.read("apart/lecture.html").contains("<section id=\"embedding_dot\">"));

    // Nor is another program's page replaced.
    std::fs::write(place.path("apart/lecture.html"), "<html></html>").unwrap();
    fails(&place.run(&["run", "movielens", "--seed", "1"], "apart"), 2, "not a page of this program");

    // A page whose metrics are gone cannot be added to.
    std::fs::remove_file(place.path("together/metrics.json")).unwrap();
    fails(&place.run(&["run", "movielens"], "together"), 2, "a page without the metrics.json of its run");
    assert!(place.read("together/lecture.html").contains("<section id=\"embedding_dot\">"));
}

#[test]
fn ids_that_no_model_file_can_hold_are_refused_before_any_training() {
    use lecture5::saved::model_file::{ModelCard, check_card};
    let text = |n: usize| (0..n).map(|id| format!("{id:06}{}", "\"".repeat(190))).collect::<Vec<_>>();
    let card = |n: usize| ModelCard {
        settings: lecture5::settings::Settings::lecture(lecture5::settings::ModelKind::Dot),
        range: (0.5, 5.0),
        users: text(n),
        movies: text(1),
        user_ratings: vec![1; n],
        movie_ratings: vec![1],
        data: String::new(),
        source: None,
        stepper: None,
    };
    assert!(check_card(&card(1000)).is_ok());
    let error = check_card(&card(130_000)).unwrap_err().to_string();
    assert!(
        error.starts_with("the ids of 130000 users and 1 movies take ") && error.contains("shorter ids"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_another_process_writes_to_is_refused_with_its_id_until_that_ends() {
    let place = Place::new();
    let slow = ["fit", "--model", "dot", "--batch-size", "1", "--schedule", "0.0001x9999", "--checkpoint"];
    let (kept, elsewhere) = (place.path("kept"), place.path("elsewhere"));
    let slow = [&slow[..], &[kept.to_str().unwrap()]].concat();
    let mut first = place.of(program(), &slow, "out").spawn().unwrap();
    while !kept.join("checkpoint.safetensors").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first fit ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id =
        format!("another lecture5 (process {}) writes here; wait for it, or take another --", first.id());
    fails(&place.run(&["run", "movielens"], "out"), 1, &(id.clone() + "out"));
    fails(&place.run(&slow, "out2"), 1, &(id + "checkpoint"));
    let another = [&slow[..7], &["--checkpoint", elsewhere.to_str().unwrap()]].concat();
    fails(&place.run(&another, "out"), 1, "another lecture5 (process ");
    assert!(!elsewhere.exists() && !place.path("out2").exists(), "folders made for nothing are left");

    // Its lock file is left, but blocks nobody.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(place.path("out/.lecture5.lock").exists());
    succeeds(place.command(&["run", "movielens", "--dpi", "30"], "out"));
    assert!(!place.path("out/.lecture5.lock").exists());

    // One folder for both is one lock.
    let both = place.path("both");
    let fit = [
        "fit",
        "--model",
        "bias",
        "--schedule",
        "0.1x1",
        "--dpi",
        "30",
        "--checkpoint",
        both.to_str().unwrap(),
    ];
    succeeds(place.command(&fit, "both"));
}

/// Replaces the learner's file by another model's as soon as it is there.
#[test]
fn section_interpretation_looks_at_the_learner_in_memory_whatever_becomes_of_its_file() {
    let place = Place::new();
    let sections = ["run", "collab_filter", "embedding_net", "interpretation", "--dpi", "30"];
    succeeds(place.command(&["run", "collab_filter", "--seed", "1", "--dpi", "30"], "other"));
    succeeds(place.command(&sections, "undisturbed"));

    let learner = |out: &str| place.path(out).join("models/collab_learner.safetensors");
    let another = std::fs::read(learner("other")).unwrap();
    let mut run = place.command(&sections, "out").spawn().unwrap();
    while !learner("out").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended without a learner");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::fs::write(learner("out"), &another).unwrap();
    assert!(
        !place.path("out/notebooks/09_interpretation.ipynb").exists(),
        "replaced too late to prove anything"
    );
    assert!(run.wait().unwrap().success());
    assert!(std::fs::read(learner("out")).unwrap() == another);
    assert!(place.read("out/lecture.html") == place.read("undisturbed/lecture.html"), "the pages differ");
}
