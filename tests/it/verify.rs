//! `lecture5 verify`: its statistics against known answers, its decisions on synthetic deviations, its false
//! alarms on the ensemble itself, and the command on the real program.

use std::collections::BTreeMap;
use std::process::Output;

use lecture5::run::reference;
use lecture5::system::random::Random;
use lecture5::verify::ensemble::{Ensemble, FitEnsemble};
use lecture5::verify::stats;
use lecture5::verify::{
    AGAINST_MARGIN, ALPHA, By, DRAWS, MARGIN, Report, Verdict, against, beside_the_lecture, committed,
    decide, examine, inside,
};
use serde_json::Value;

use crate::common::lecture5;

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b} to {tolerance:e}");
}

#[test]
fn students_t_is_the_one_in_the_tables() {
    // Two-sided 5%, 1% and 0.1% points from the standard printed table.
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
    close(stats::t_two_sided(1.0, 1.0), 0.5, 1e-9); // Cauchy: a quarter on each side
    close(stats::t_two_sided(0.0, 7.0), 1.0, 1e-9);
    close(stats::t_quantile(0.975, 1e7), 1.959_964, 1e-5); // the normal distribution
    assert_eq!(stats::t_two_sided(f64::INFINITY, 3.0), 0.0);
}

#[test]
fn the_prediction_interval_of_a_new_draw_is_wider_than_that_of_the_mean() {
    // 1, 2, 3, 4, 5: mean 3, variance 2.5; t(4) at 97.5% is 2.776445; half width 2.776445·√(2.5·6/5).
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
    // The median of the ten is 5.25; 8.5 is 3.25 away, and 1, 2 and 9 are at least as far.
    close(stats::p_by_rank(&values, 8.5), 0.4, 1e-12);
}

#[test]
fn benjamini_and_yekutieli_pay_the_harmonic_sum() {
    // m = 4: 1 + 1/2 + 1/3 + 1/4 = 25/12. Raw 4·p/rank: 0.004, 0.04, 0.04, 0.5.
    let adjusted = stats::benjamini_yekutieli(&[0.5, 0.001, 0.03, 0.02]);
    for (a, b) in adjusted.iter().zip([1.0, 0.004, 0.04, 0.04].map(|p: f64| (p * 25.0 / 12.0).min(1.0))) {
        close(*a, b, 1e-12);
    }
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
    let (n, alpha, mut random) = (20, 0.001, Random::new(3));
    // The spread is exactly 1, so that the detectable shift is a fixed number.
    let unit: Vec<f64> = {
        let values: Vec<f64> = (0..n).map(f64::from).collect();
        let (_, sd) = stats::mean_sd(&values);
        values.iter().map(|v| v / sd).collect()
    };
    let critical = stats::t_quantile(1.0 - alpha / 2.0, f64::from(n) - 1.0);
    let shift = stats::shift_by_t(&unit, critical, 0.8);
    let trials = 4_000;
    let found = (0..trials)
        .filter(|_| {
            let values: Vec<f64> = (0..n).map(|_| random.normal()).collect();
            stats::p_by_t(&values, random.normal() + shift) <= alpha
        })
        .count();
    let power = found as f64 / f64::from(trials);
    assert!((0.76..0.84).contains(&power), "power {power}");
}

#[test]
fn normal_draws_pass_as_normal_and_skewed_ones_do_not() {
    let mut random = Random::new(11);
    let mut refused = [0, 0];
    for _ in 0..1_000 {
        let draws: Vec<f64> = (0..20).map(|_| random.normal()).collect();
        refused[0] += i32::from(stats::not_normal(&draws));
        refused[1] += i32::from(stats::not_normal(&draws.iter().map(|z| z.exp()).collect::<Vec<_>>()));
    }
    // Binomial(1000, 0.05): 50 ± 7; the test's published power against a log-normal is about 0.9.
    assert!((28..=75).contains(&refused[0]), "{refused:?}");
    assert!(refused[1] > 800, "{refused:?}");
}

/// A fit of `n` synthetic runs of two numbers: 0, 1, 2, … in some order, and 2 to that power.
fn one_normal_one_not(n: i32) -> FitEnsemble {
    let runs = (0..n).map(|i| vec![f64::from(i * 7 % n), (f64::from(i) / f64::from(n) * 20.0).exp2()]);
    FitEnsemble { name: "made up".to_owned(), seeds: (0..i64::from(n)).collect(), runs: runs.collect() }
}

#[test]
fn a_number_whose_ensemble_is_not_normal_is_judged_by_rank_alone() {
    let fit = one_normal_one_not(20);
    let report = decide(vec![examine(&fit, &fit, &[9.5, 1e9], 999).unwrap()], 10.0);
    assert_eq!([report.numbers[0].by, report.numbers[1].by], [By::T, By::Rank]);
    assert_eq!(report.numbers[0].verdict, Verdict::Reproduced);
    assert_eq!(report.numbers[1].verdict, Verdict::Underpowered, "a rank among 21 proves nothing");
    assert!(report.numbers[1].p_t < 1e-9 && report.numbers[1].detectable.is_none());
    assert!(report.deviations().is_empty());
}

#[test]
fn a_rank_among_enough_runs_is_a_deviation() {
    // Two tests, so 1/(N + 1) must be at most 0.025. For a normal distribution the first number is far too even.
    for (n, deviates) in [(38, false), (39, true)] {
        let (fit, shape) = (one_normal_one_not(n), one_normal_one_not(20));
        let report = decide(vec![examine(&fit, &shape, &[9.5, 1e9], 999).unwrap()], 10.0);
        assert_eq!(report.fits.len(), 2);
        assert_eq!(report.deviations() == ["made up epoch 0 val"], deviates, "{n}");
        assert_eq!(report.numbers[1].detectable.is_some(), deviates, "{n}");
    }
}

#[test]
fn the_larger_ensemble_says_what_is_not_normal() {
    let (mut few, many) = (one_normal_one_not(5), one_normal_one_not(20));
    few.runs = (0..5).map(|i| vec![f64::from(i), f64::from(i)]).collect();
    let by = |shape| examine(&few, shape, &[2.0, 3.0], 99).unwrap().numbers[1].by;
    assert_eq!((by(&few), by(&many)), (By::T, By::Rank));
}

#[test]
fn the_share_that_is_as_large_agrees_with_the_critical_value() {
    let largest: Vec<f64> = (1..=39).map(f64::from).collect();
    close(stats::share_as_large(&largest, 39.5), 1.0 / 40.0, 1e-12);
    close(stats::share_as_large(&largest, 39.0), 2.0 / 40.0, 1e-12);
    close(stats::share_as_large(&largest, 0.0), 1.0, 1e-12);
    assert_eq!(stats::critical_t(&largest, 1.0 / 40.0), Some(39.0));
    assert_eq!(stats::critical_t(&largest, 2.0 / 40.0), Some(38.0));
    assert_eq!(stats::critical_t(&largest, 0.9 / 40.0), None, "39 runs cannot show that");
}

#[test]
fn a_shift_of_the_size_stated_for_ranks_takes_four_of_five_values_beyond_the_critical_one() {
    let values: Vec<f64> = (0..100).map(|i| (f64::from(i) / 15.0).exp()).collect();
    let shift = stats::shift_by_rank(&values, 4.0, 0.8);
    for sign in [-1.0, 1.0] {
        let found =
            values.iter().filter(|&v| stats::t_of_new_draw(&values, v + sign * shift) * sign >= 4.0).count();
        assert!(found >= 80, "{found}");
    }
}

/// Runs of three dependent numbers of very different magnitudes.
fn made_up_run(random: &mut Random) -> Vec<f64> {
    let (common, own, other) = (random.normal(), random.normal(), random.normal());
    vec![10.0 + common, 1.0 + 0.001 * (common + 0.1 * own), 100.0 * other]
}

#[test]
fn both_tests_of_a_whole_run_have_uniform_p_values_when_nothing_deviates_and_small_ones_when_something_does()
{
    let mut random = Random::new(5);
    let (mut below, mut found, mut below_by_rank) = (0, 0, 0);
    let trials = 400;
    for _ in 0..trials {
        let runs: Vec<Vec<f64>> = (0..19).map(|_| made_up_run(&mut random)).collect();
        let rows: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
        let mut new = made_up_run(&mut random);
        let made_up = stats::made_up_largest_t(&rows, 199);
        let p = |largest: &[f64], new: &[f64]| stats::share_as_large(largest, stats::largest_t(&rows, new));
        below += usize::from(p(&made_up, &new) <= 0.1);
        // Ranks are valid for any distribution: here a log-normal.
        let skewed: Vec<Vec<f64>> =
            runs.iter().map(|run| vec![(run[2] / 100.0).exp(), run[0].exp()]).collect();
        let skewed: Vec<&[f64]> = skewed.iter().map(Vec::as_slice).collect();
        let skewed_new = [(new[2] / 100.0).exp(), new[0].exp()];
        let held_out = stats::held_out_largest_t(&skewed, &skewed_new);
        let p_rank = stats::share_as_large(&held_out, stats::largest_t(&skewed, &skewed_new));
        below_by_rank += usize::from(p_rank <= 0.1);
        new[1] += 0.01; // ten standard deviations of the smallest number
        found += usize::from(p(&made_up, &new) <= 0.01);
    }
    // Binomial(400, 0.1): 40 ± 6.
    assert!((22..=58).contains(&below), "{below} of {trials} below 0.1");
    assert!((22..=58).contains(&below_by_rank), "{below_by_rank} of {trials} below 0.1 by rank");
    assert!(found > trials * 9 / 10, "{found} of {trials} found");
}

#[test]
fn made_up_runs_are_correlated_as_the_ensemble_is() {
    // Ten identical numbers: the largest |t| of ten is then the |t| of one.
    let mut random = Random::new(8);
    let runs: Vec<Vec<f64>> = (0..20).map(|_| vec![random.normal(); 10]).collect();
    let rows: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
    let critical = stats::critical_t(&stats::made_up_largest_t(&rows, 3_999), 0.05).unwrap();
    close(critical, stats::t_quantile(0.975, 19.0), 0.12);
}

#[test]
fn a_shifted_lecture_deviates_and_the_numbers_left_alone_do_not() {
    let ensemble = committed().unwrap();
    let examined = ensemble.fits.iter().map(|fit| {
        let mut values: Vec<f64> = (0..fit.runs[0].len()).map(|j| stats::mean_sd(&fit.column(j)).0).collect();
        if fit.name == "embedding_dot_bias" {
            values[5] *= 1.03; // the last validation loss, by 3%
        }
        examine(fit, fit, &values, DRAWS).unwrap()
    });
    let report = decide(examined.collect(), MARGIN);
    assert_eq!(
        report.deviations(),
        ["embedding_dot_bias epoch 2 val"],
        "{}",
        report.table("shifted").to_text()
    );
    let fits: Vec<&str> = report.fits.iter().filter(|f| f.deviates).map(|f| f.fit.as_str()).collect();
    assert_eq!(fits, ["embedding_dot_bias"]);
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
        assert!(fit.runs.len() >= 20);
        assert_eq!(fit.seeds, (0..fit.seeds.len() as i64).collect::<Vec<i64>>());
        assert!(fit.runs.iter().all(|run| run.len() == 2 * lecture.losses.len()));
    }
    let text = ensemble.to_text().unwrap();
    assert_eq!(Ensemble::parse(&text).unwrap(), ensemble);
    assert_eq!(text, include_str!("../../data/ensembles/cpu.json"));
}

/// The ensemble's fit without one run, and that run.
fn leave_out(fit: &FitEnsemble, at: usize) -> (FitEnsemble, Vec<f64>) {
    let mut rest = fit.clone();
    rest.seeds.remove(at);
    let run = rest.runs.remove(at);
    (rest, run)
}

#[test]
fn of_two_hundred_lectures_drawn_from_the_ensemble_no_more_deviate_than_is_stated() {
    let ensemble = committed().unwrap();
    let rests: Vec<Vec<(FitEnsemble, Vec<f64>)>> =
        ensemble.fits.iter().map(|fit| (0..fit.runs.len()).map(|at| leave_out(fit, at)).collect()).collect();
    // Each fit's run is drawn separately; the result of a held-out run against the others is computed once, up to
    // the number of tests, which is the same for all.
    let alone: Vec<Vec<Report>> = rests
        .iter()
        .zip(&ensemble.fits)
        .map(|(rests, shape)| {
            rests
                .iter()
                .map(|(rest, run)| decide(vec![examine(rest, shape, run, 999).unwrap()], MARGIN))
                .collect()
        })
        .collect();
    let mut random = Random::new(2017);
    let alarms = (0..200)
        .filter(|_| {
            let drawn: Vec<&Report> =
                alone.iter().map(|of| &of[(random.uniform() * of.len() as f64) as usize]).collect();
            let tests = drawn.iter().map(|report| report.fits.len()).sum::<usize>() as f64;
            drawn.iter().flat_map(|report| &report.fits).any(|test| tests * test.p <= ALPHA)
        })
        .count();
    let n = ensemble.fits[0].runs.len();
    println!("{alarms} of 200 lectures resampled from {n} seeds deviate");
    // The stated limit is 5%, that is 10; Binomial(200, 0.05) is at most 18 with probability 0.99.
    assert!(alarms <= 18, "{alarms} false alarms of 200");
}

#[test]
fn compared_with_itself_an_ensemble_is_the_same_and_a_perturbed_one_is_found_out() {
    let saved = committed().unwrap();
    assert!(against(&saved, &saved, AGAINST_MARGIN).unwrap().failures().is_empty());

    // On the same machine the sixth digit of one seed is enough.
    let mut perturbed = saved.clone();
    perturbed.fits[1].runs[7][3] *= 1.0 + 5e-6;
    assert_eq!(
        against(&saved, &perturbed, AGAINST_MARGIN).unwrap().failures(),
        ["embedding_dot epoch 1 val"]
    );

    // On another machine that is noise, and so is a shift within the margin; a larger shift is not.
    perturbed.environment.machine = "another".to_owned();
    assert!(against(&saved, &perturbed, AGAINST_MARGIN).unwrap().failures().is_empty());
    let mut random = Random::new(1);
    for (share, expected) in [(0.002, 0), (0.01, 1)] {
        let mut shifted = perturbed.clone();
        for run in &mut shifted.fits[3].runs {
            run[11] *= 1.0 + share + 0.001 * random.normal();
        }
        let failures = against(&saved, &shifted, AGAINST_MARGIN).unwrap().failures();
        assert_eq!(failures.len(), expected, "{share}: {failures:?}");
    }

    // Large but not significant: one outlying seed.
    let mut one = perturbed.clone();
    one.fits[3].runs[4][11] *= 1.5;
    assert!(against(&saved, &one, AGAINST_MARGIN).unwrap().failures().is_empty());
}

#[test]
fn ensembles_of_other_ratings_or_without_common_seeds_are_refused() {
    let saved = committed().unwrap();
    let mut other = saved.clone();
    other.environment.data = "0".to_owned();
    assert!(against(&saved, &other, 0.01).unwrap_err().to_string().contains("other ratings"));
    let mut other = saved.clone();
    other.fits[0].seeds.iter_mut().for_each(|seed| *seed += 1000);
    assert!(against(&saved, &other, 0.01).unwrap_err().to_string().contains("seeds in common"));
    let mut few = saved.clone();
    few.fits.iter_mut().for_each(|fit| fit.runs.truncate(3));
    assert!(beside_the_lecture(&few, MARGIN).unwrap_err().to_string().contains("3 seeds"));
    assert!(inside(&few, &few, MARGIN).is_err());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_quick_mode_runs_one_seed_and_finds_it_to_be_the_ensembles() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let output = lecture5(&["verify", "--quick", "--fits", "bias", "--device", "cpu", "--out", folder]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let json: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("verify.json")).unwrap()).unwrap();
    assert_eq!(json["run"]["fits"][0]["seeds"], serde_json::json!([0]));
    assert_eq!(json["report"]["numbers"].as_array().unwrap().len(), 6);
    assert!(out.path().join("plots/verify.png").exists());
    // If the machine or libtorch differs from the committed ensemble's, it says so and judges only the spread.
    match json["comparison"]["tolerance"].as_f64() {
        Some(within) => {
            assert!(within == 1e-6 && text.contains("each loss must be the same to 1e-6"), "{text}")
        }
        None => assert!(text.contains("Not compared digit by digit"), "{text}"),
    }
}

#[test]
fn the_quick_mode_compares_the_fast_stepper_with_libtorchs_runs() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let output =
        lecture5(&["verify", "--quick", "--fast", "--fits", "bias,dot", "--device", "cpu", "--out", folder]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let json: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("verify.json")).unwrap()).unwrap();
    assert_eq!(json["run"]["made"]["stepper"], "fast");
    assert_eq!(json["made"]["stepper"], "libtorch");
    if let Some(within) = json["comparison"]["tolerance"].as_f64() {
        assert!(within == 1e-4 && text.contains("each loss must be the same to 1e-4"), "{text}");
    }
}

/// The output of `verify --quick` for the committed seed 0 of EmbeddingDotBias with its last loss changed.
fn quick_with_the_last_loss_times(factor: f64, machine: Option<&str>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut one = committed().unwrap();
    one.fits.retain(|fit| fit.name == "embedding_dot_bias");
    one.fits[0].seeds.truncate(1);
    one.fits[0].runs.truncate(1);
    one.fits[0].runs[0][5] *= factor;
    if let Some(machine) = machine {
        one.environment.machine = machine.to_owned();
    }
    let file = folder.path().join("one.json");
    std::fs::write(&file, one.to_text().unwrap()).unwrap();
    let (file, out) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    let output = lecture5(&["verify", "--quick", "--from", file, "--out", out]);
    (output.status.code(), said(&output))
}

#[test]
fn the_quick_mode_is_exact_on_the_same_machine_and_statistical_elsewhere() {
    let (status, said) = quick_with_the_last_loss_times(1.0, None);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = quick_with_the_last_loss_times(1.0 + 5e-6, None);
    assert!(status == Some(1) && said.contains("1 numbers differ") && said.contains("epoch 2 val"), "{said}");
    let (status, said) = quick_with_the_last_loss_times(1.0 + 5e-6, Some("another"));
    assert!(status == Some(0) && said.contains("its machine is"), "{said}");
    let (status, said) = quick_with_the_last_loss_times(1.03, Some("another"));
    assert!(status == Some(1) && said.contains("1 deviate: embedding_dot_bias epoch 2 val"), "{said}");
}

#[test]
fn other_ratings_are_refused_before_anything_is_run_on_them() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n1,1,3.0,0\n2,2,4.0,0\n",
    )
    .unwrap();
    let out = data.path().join("out");
    for more in [vec![], vec!["--quick"], vec!["--against", "data/ensembles/cpu.json"]] {
        let mut arguments =
            vec!["verify", "--data", data.path().to_str().unwrap(), "--out", out.to_str().unwrap()];
        arguments.extend(more);
        let output = lecture5(&arguments);
        assert_eq!(output.status.code(), Some(3));
        assert!(said(&output).contains("other ratings"), "{}", said(&output));
    }
}

#[test]
fn every_deliberate_fault_still_has_its_place_in_the_sources_and_its_row_in_the_docs() {
    let faults: toml::Table = toml::from_str(include_str!("../faults.toml")).unwrap();
    let docs = include_str!("../../docs/verification.md");
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for fault in faults["fault"].as_array().unwrap() {
        let text = |key: &str| fault.get(key).and_then(toml::Value::as_str);
        let name = text("name").unwrap();
        assert!(docs.contains(&format!("| {name} |")), "'{name}' has no row: run scripts/faults.py");
        let Some(file) = text("file") else { continue };
        let (find, replace) = (text("find").unwrap(), text("replace").unwrap());
        let source = files.entry(file).or_insert_with(|| std::fs::read_to_string(file).unwrap());
        assert_eq!(source.matches(find).count(), 1, "'{name}': {find:?} in {file}");
        assert!(replace.contains(&format!("crate::fault(\"{name}\")")), "'{name}' has no switch");
        *source = source.replace(find, replace);
    }
}

#[test]
fn the_ensemble_is_the_same_however_many_processes_run_and_is_compared_with_a_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |jobs: &str, out: &str, against: &str| {
        let options = ["verify", "--seeds", "4", "--fits", "bias", "--fast", "--device", "cpu"];
        lecture5(&[&options[..], &["--jobs", jobs, "--against", against, "--out", &at(out)]].concat())
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
