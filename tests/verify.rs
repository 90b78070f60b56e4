//! `lecture5 verify`: its statistics against known answers, its decisions against made-up deviations, its
//! false alarms against the ensemble itself, and the command on the real program.

use std::process::{Command, Output};

use lecture5::reference;
use lecture5::verify::ensemble::{Ensemble, FitEnsemble};
use lecture5::verify::stats::{self, Normal};
use lecture5::verify::{
    self, AGAINST_MARGIN, ALPHA, FitTest, MARGIN, Number, Verdict, against, beside_the_lecture, committed,
    decide, examine, inside,
};
use serde_json::Value;

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b} to {tolerance:e}");
}

#[test]
fn students_t_is_the_one_in_the_tables() {
    // Two-sided 5 %, 1 % and 0.1 % points from the usual printed table.
    for (df, points) in [
        (1.0, [12.706, 63.657, 636.619]),
        (4.0, [2.776, 4.604, 8.610]),
        (9.0, [2.262, 3.250, 4.781]),
        (19.0, [2.093, 2.861, 3.883]),
        (120.0, [1.980, 2.617, 3.373]),
    ] {
        for (t, p) in points.into_iter().zip([0.05, 0.01, 0.001]) {
            close(stats::t_quantile(1.0 - p / 2.0, df), t, 6e-4);
            close(stats::t_two_sided(t, df), p, 2e-3 * p);
            close(stats::t_quantile(p / 2.0, df), -t, 6e-4);
        }
    }
    close(stats::t_two_sided(1.0, 1.0), 0.5, 1e-9); // Cauchy: a quarter on either side
    close(stats::t_two_sided(0.0, 7.0), 1.0, 1e-9);
    close(stats::t_quantile(0.975, 1e7), 1.959_964, 1e-5); // the normal distribution
    assert_eq!(stats::t_two_sided(f64::INFINITY, 3.0), 0.0);
}

#[test]
fn the_prediction_interval_of_a_new_draw_is_wider_than_that_of_the_mean() {
    // 1, 2, 3, 4, 5: mean 3, variance 2.5; t(4) at 97.5 % is 2.776445; half width 2.776445·√(2.5·6/5).
    let values = [1.0, 2.0, 3.0, 4.0, 5.0];
    let (low, high) = stats::prediction_interval(&values, 0.95);
    close(high, 3.0 + 2.776_445 * 3f64.sqrt(), 1e-5);
    close(low + high, 6.0, 1e-9);
    close(stats::p_by_t(&values, high), 0.05, 1e-9);
}

#[test]
fn ranks_count_those_as_extreme_on_either_side() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    close(stats::p_by_rank(&values, 100.0), 0.1, 1e-12);
    close(stats::p_by_rank(&values, -100.0), 0.1, 1e-12);
    close(stats::p_by_rank(&values, 5.0), 1.0, 1e-12);
    // Median of the ten 5.25; 8.5 is 3.25 away, and 1, 2 and 9 are at least that.
    close(stats::p_by_rank(&values, 8.5), 0.4, 1e-12);
}

#[test]
fn benjamini_and_yekutieli_pay_the_harmonic_sum() {
    // m = 4: 1 + 1/2 + 1/3 + 1/4 = 25/12. Raw 4·p/rank: 0.004, 0.04, 0.04, 0.5.
    let adjusted = stats::benjamini_yekutieli(&[0.5, 0.001, 0.03, 0.02]);
    for (a, b) in adjusted.iter().zip([1.0, 0.004, 0.04, 0.04].map(|p: f64| (p * 25.0 / 12.0).min(1.0))) {
        close(*a, b, 1e-12);
    }
    close(stats::strictest_alpha(4, 0.05), 0.05 / 4.0 / (25.0 / 12.0), 1e-12);
}

#[test]
fn the_paired_test_gives_the_textbook_value() {
    // Mean 0.75, sd 0.957427, n = 4: t = 1.566699, and with 3 degrees of freedom p = 0.215.
    close(stats::p_paired(&[0.0, 2.0, 0.0, 1.0]), 0.215, 5e-4);
    assert_eq!(stats::p_paired(&[0.0; 5]), 1.0);
    assert_eq!(stats::p_paired(&[0.1; 5]), 0.0);
}

#[test]
fn a_shift_of_the_smallest_detectable_size_is_found_with_the_stated_power() {
    let (n, alpha, mut normal) = (20, 0.001, Normal::new(3));
    // Known spread 1, so that the detectable shift is a number and not a draw.
    let shift = stats::smallest_detectable(1.0, n, alpha, 0.8);
    let trials = 4_000;
    let found = (0..trials)
        .filter(|_| {
            let values: Vec<f64> = (0..n).map(|_| normal.draw()).collect();
            stats::p_by_t(&values, normal.draw() + shift) <= alpha
        })
        .count();
    let power = found as f64 / f64::from(trials);
    assert!((0.76..0.84).contains(&power), "power {power}");
}

#[test]
fn normal_draws_pass_as_normal_and_skewed_ones_do_not() {
    let mut normal = Normal::new(11);
    let mut refused = [0, 0];
    for _ in 0..1_000 {
        let draws: Vec<f64> = (0..20).map(|_| normal.draw()).collect();
        refused[0] += i32::from(stats::not_normal(&draws));
        refused[1] += i32::from(stats::not_normal(&draws.iter().map(|z| z.exp()).collect::<Vec<_>>()));
    }
    // Binomial(1000, 0.05): 50 ± 7; the test's published power against a log-normal is about 0.9.
    assert!((28..=75).contains(&refused[0]), "{refused:?}");
    assert!(refused[1] > 800, "{refused:?}");
}

#[test]
fn a_number_whose_ensemble_is_not_normal_is_judged_by_rank_alone() {
    let runs: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i), f64::from(i).exp2()]).collect();
    let fit = FitEnsemble { name: "made up".to_owned(), seeds: (0..20).collect(), runs };
    let (numbers, test) = examine(&fit, &[9.5, 1e9]).unwrap();
    assert_eq!([numbers[0].not_normal, numbers[1].not_normal], [false, true]);
    let report = decide(vec![(numbers, test)], 10.0);
    assert_eq!(report.numbers[0].verdict, Verdict::Reproduced);
    assert_eq!(report.numbers[1].verdict, Verdict::Underpowered, "a rank among 21 proves nothing");
    assert!(report.numbers[1].p_t < 1e-9 && report.deviations().is_empty());
}

/// Runs of three dependent numbers of very different sizes.
fn made_up_run(normal: &mut Normal) -> Vec<f64> {
    let (common, own, other) = (normal.draw(), normal.draw(), normal.draw());
    vec![10.0 + common, 1.0 + 0.001 * (common + 0.1 * own), 100.0 * other]
}

#[test]
fn the_joint_test_has_uniform_p_values_when_nothing_deviates_and_small_ones_when_something_does() {
    let mut normal = Normal::new(5);
    let (mut below, mut found) = (0, 0);
    let trials = 400;
    for _ in 0..trials {
        let runs: Vec<Vec<f64>> = (0..12).map(|_| made_up_run(&mut normal)).collect();
        let rows: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
        let mut new = made_up_run(&mut normal);
        below += usize::from(stats::joint(&rows, &new, 199).p <= 0.1);
        new[1] += 0.01; // ten standard deviations of the smallest number
        found += usize::from(stats::joint(&rows, &new, 199).p <= 0.01);
    }
    // Binomial(400, 0.1): 40 ± 6.
    assert!((22..=58).contains(&below), "{below} of {trials} below 0.1");
    assert!(found > trials * 9 / 10, "{found} of {trials} found");
}

#[test]
fn a_shifted_lecture_deviates_and_the_numbers_left_alone_do_not() {
    let ensemble = committed().unwrap();
    let examined = ensemble.fits.iter().map(|fit| {
        let mut values: Vec<f64> = (0..fit.runs[0].len())
            .map(|j| fit.runs.iter().map(|run| run[j]).sum::<f64>() / fit.runs.len() as f64)
            .collect();
        if fit.name == "embedding_dot_bias" {
            values[5] *= 1.03; // the last validation loss, by 3 %
        }
        examine(fit, &values).unwrap()
    });
    let report = decide(examined.collect(), MARGIN);
    assert_eq!(
        report.deviations(),
        ["embedding_dot_bias epoch 2 val", "embedding_dot_bias as a whole"],
        "{}",
        report.table("shifted").to_text()
    );
}

#[test]
fn a_deviation_that_could_not_have_been_seen_is_not_called_reproduced() {
    let ensemble = committed().unwrap();
    let report = beside_the_lecture(&ensemble, MARGIN).unwrap();
    for n in &report.numbers {
        let seen = n.detectable.is_some_and(|d| d <= MARGIN * n.value);
        assert_eq!(n.verdict == Verdict::Reproduced, seen && n.p_adjusted > ALPHA, "{n:?}");
    }
    let strict = beside_the_lecture(&ensemble, 1e-4).unwrap();
    assert!(strict.numbers.iter().all(|n| n.verdict != Verdict::Reproduced));
}

#[test]
fn the_committed_ensemble_has_every_fit_and_reads_back_as_it_was_written() {
    let ensemble = committed().unwrap();
    assert_eq!(ensemble.fits.len(), reference::LECTURE.len());
    for (fit, lecture) in ensemble.fits.iter().zip(reference::LECTURE.iter()) {
        assert_eq!(fit.name, lecture.name);
        assert_eq!(fit.seeds, (0..20).collect::<Vec<i64>>());
        assert!(fit.runs.iter().all(|run| run.len() == 2 * lecture.losses.len()));
    }
    let text = ensemble.to_text().unwrap();
    assert_eq!(Ensemble::parse(&text).unwrap(), ensemble);
    assert_eq!(text, include_str!("../data/ensembles/cpu.json"));
}

/// The ensemble's fit without one run, and that run.
fn leave_out(fit: &FitEnsemble, at: usize) -> (FitEnsemble, Vec<f64>) {
    let mut rest = fit.clone();
    rest.seeds.remove(at);
    let run = rest.runs.remove(at);
    (rest, run)
}

#[test]
fn of_two_hundred_lectures_drawn_from_the_ensemble_about_as_many_deviate_as_is_stated() {
    let ensemble = committed().unwrap();
    // Each fit's run is drawn by itself; what a run left out gives against the others is computed once.
    let examined: Vec<Vec<(Vec<Number>, FitTest)>> = ensemble
        .fits
        .iter()
        .map(|fit| {
            (0..fit.runs.len())
                .map(|at| {
                    let (rest, run) = leave_out(fit, at);
                    examine(&rest, &run).unwrap()
                })
                .collect()
        })
        .collect();
    let mut normal = Normal::new(2017);
    let drawn: Vec<Vec<(Vec<Number>, FitTest)>> = (0..200)
        .map(|_| {
            let mut at = |of_fit: &Vec<_>| (normal.uniform() * of_fit.len() as f64) as usize;
            examined.iter().map(|of_fit| of_fit[at(of_fit)].clone()).collect()
        })
        .collect();
    let alarms = |drawn: Vec<Vec<(Vec<Number>, FitTest)>>| {
        drawn.into_iter().filter(|of| !decide(of.clone(), MARGIN).deviations().is_empty()).count()
    };
    let mut by_t_alone = drawn.clone();
    by_t_alone.iter_mut().flatten().flat_map(|(numbers, _)| numbers).for_each(|n| n.not_normal = false);
    let (alarms, by_t_alone) = (alarms(drawn), alarms(by_t_alone));
    println!("{alarms} of 200 resampled lectures deviate; {by_t_alone} if t judged every number");
    // Stated: 5 %. The 80 runs are few, and with the one outlier left out an ensemble looks normal, so what
    // is measured is coarse: a run that is an outlier is drawn in one lecture of 20.
    assert!((1..=20).contains(&alarms), "{alarms} false alarms of 200");
    assert!(alarms < by_t_alone, "{alarms} with the test of normality, {by_t_alone} without");
}

#[test]
fn against_itself_an_ensemble_is_the_same_and_a_perturbed_one_is_found_out() {
    let saved = committed().unwrap();
    assert!(against(&saved, &saved, AGAINST_MARGIN).unwrap().failures().is_empty());

    // Same machine: the sixth digit of one seed is enough.
    let mut perturbed = saved.clone();
    perturbed.fits[1].runs[7][3] *= 1.0 + 5e-6;
    assert_eq!(
        against(&saved, &perturbed, AGAINST_MARGIN).unwrap().failures(),
        ["embedding_dot epoch 1 val"]
    );

    // Another machine: that is noise there, and so is a shift within the margin; a larger one is not.
    perturbed.made.machine = "another".to_owned();
    assert!(against(&saved, &perturbed, AGAINST_MARGIN).unwrap().failures().is_empty());
    let mut normal = Normal::new(1);
    for (share, expected) in [(0.002, 0), (0.01, 1)] {
        let mut shifted = perturbed.clone();
        for run in &mut shifted.fits[3].runs {
            run[11] *= 1.0 + share + 0.001 * normal.draw();
        }
        let failures = against(&saved, &shifted, AGAINST_MARGIN).unwrap().failures();
        assert_eq!(failures.len(), expected, "{share}: {failures:?}");
    }

    // Large but not significant: one seed far away.
    let mut one = perturbed.clone();
    one.fits[3].runs[4][11] *= 1.5;
    assert!(against(&saved, &one, AGAINST_MARGIN).unwrap().failures().is_empty());
}

#[test]
fn ensembles_of_other_ratings_or_without_common_seeds_are_refused() {
    let saved = committed().unwrap();
    let mut other = saved.clone();
    other.made.data = "0".to_owned();
    assert!(against(&saved, &other, 0.01).unwrap_err().to_string().contains("other ratings"));
    let mut other = saved.clone();
    other.fits[0].seeds.iter_mut().for_each(|seed| *seed += 100);
    assert!(against(&saved, &other, 0.01).unwrap_err().to_string().contains("seeds in common"));
    let mut few = saved.clone();
    few.fits.iter_mut().for_each(|fit| fit.runs.truncate(3));
    assert!(beside_the_lecture(&few, MARGIN).unwrap_err().to_string().contains("3 seeds"));
    assert!(inside(&few, &few, MARGIN).is_err());
}

#[test]
fn new_seeds_are_ones_that_the_ensemble_lacks() {
    let fit = FitEnsemble { name: String::new(), seeds: vec![0, 1, 3], runs: Vec::new() };
    assert_eq!(verify::new_seeds(Some(&fit), 0, 3), [2, 4, 5]);
    assert_eq!(verify::new_seeds(None, 7, 2), [7, 8]);
}

fn lecture5(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lecture5")).args(arguments).output().expect("the program starts")
}

#[test]
fn the_quick_mode_runs_one_new_seed_and_finds_it_inside_the_ensemble() {
    let out = tempfile::tempdir().unwrap();
    let output = lecture5(&[
        "verify",
        "--quick",
        "--fits",
        "bias",
        "--device",
        "cpu",
        "--out",
        out.path().to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("embedding_dot_bias").count(), 7, "six numbers and a fit:\n{text}");
    let json: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("verify.json")).unwrap()).unwrap();
    assert_eq!(json["run"]["fits"][0]["seeds"], serde_json::json!([20]));
    assert_eq!(json["report"]["numbers"].as_array().unwrap().len(), 6);
    assert!(out.path().join("plots/verify.png").exists());
}

#[test]
fn the_ensemble_is_the_same_however_many_processes_run_and_is_held_against_a_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |jobs: &str, out: &str, against: &str| {
        lecture5(&[
            "verify",
            "--seeds",
            "4",
            "--fits",
            "bias",
            "--device",
            "cpu",
            "--jobs",
            jobs,
            "--against",
            against,
            "--out",
            &at(out),
        ])
    };
    run("1", "one", "data/ensembles/cpu.json");
    let output = run("3", "three", &at("one/ensemble.json"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |out: &str| std::fs::read_to_string(at(out)).unwrap();
    assert_eq!(text("one/ensemble.json"), text("three/ensemble.json"));

    let mut perturbed = Ensemble::read(std::path::Path::new(&at("one/ensemble.json"))).unwrap();
    perturbed.fits[0].runs.iter_mut().for_each(|run| run[5] *= 1.02);
    std::fs::write(at("perturbed.json"), perturbed.to_text().unwrap()).unwrap();
    let output = lecture5(&[
        "verify",
        "--from",
        &at("one/ensemble.json"),
        "--against",
        &at("perturbed.json"),
        "--out",
        &at("two"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("embedding_dot_bias epoch 2 val") && !said.contains("epoch 1"), "{said}");
}

#[test]
fn too_few_seeds_and_unknown_fits_are_wrong_use() {
    for arguments in [["--seeds", "2"], ["--fits", "dots"], ["--margin", "-1"]] {
        let mut all = vec!["verify"];
        all.extend(arguments);
        let output = lecture5(&all);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
