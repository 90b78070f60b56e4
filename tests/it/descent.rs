//! The spreadsheets' optimizers: every known number of the sheets, and each optimizer against its description.

use lecture5::excel::descent::{
    self, EPOCHS, Optimizer, Pair, START, STEP, State, TRUTH, Trace, finite_difference, gradient, points,
    rmse, run, running_mean, squared_error,
};

fn trace(optimizer: Optimizer, epochs: usize) -> Trace {
    run(optimizer, optimizer.settings(), &points(), epochs)
}

/// Equal except for the last bits.
fn same(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-12 * left.abs().max(right.abs())
}

#[test]
fn the_points_are_the_sheets_29_on_the_true_line() {
    let points = points();
    assert_eq!(points.len(), 29);
    assert_eq!((points[0], points[1], points[28]), ((14.0, 58.0), (86.0, 202.0), (8.0, 46.0)));
    assert_eq!(rmse(TRUTH, &points), 0.0);
}

#[test]
fn the_first_row_of_basic_sgd_is_the_sheets_to_every_digit() {
    let row = trace(Optimizer::Sgd, 1).epochs[0].rows[0];
    assert_eq!((row.pred, row.err2), (15.0, 1849.0));
    let (x, y) = (row.x, row.y);
    let moved_b = squared_error(Pair { b: START.b + STEP, ..START }, x, y);
    let moved_a = squared_error(Pair { a: START.a + STEP, ..START }, x, y);
    assert_eq!((format!("{moved_b:.4}"), format!("{moved_a:.4}")), ("1848.1401".into(), "1836.9796".into()));
    let estimate = finite_difference(START, x, y, STEP);
    assert_eq!(
        (format!("{:.2}", estimate.b), format!("{:.2}", estimate.a)),
        ("-85.99".into(), "-1202.04".into())
    );
    assert_eq!(row.gradient, Pair { b: -86.0, a: -1204.0 });
    assert_eq!(
        (format!("{:.4}", row.new.a), format!("{:.4}", row.new.b)),
        ("1.1204".into(), "1.0086".into())
    );
}

#[test]
fn the_second_and_the_last_row_of_basic_sgd_are_the_sheets_to_every_digit() {
    let epoch = &trace(Optimizer::Sgd, 1).epochs[0];
    let row = epoch.rows[1];
    assert_eq!(
        (format!("{:.3}", row.pred), format!("{:.4}", row.err2)),
        ("97.363".into(), "10948.9018".into())
    );
    // The known digits are truncated, not rounded: 2.9201564 is 2.9201563999999998 in f64, here and in the sheet.
    let begin = |w: Pair, a: &str, b: &str| w.a.to_string().starts_with(a) && w.b.to_string().starts_with(b);
    assert!(begin(row.new, "2.92015639", "1.02952739"), "{:?}", row.new);
    assert!(begin(epoch.rows[28].new, "2.61308449", "1.07151602"), "{:?}", epoch.rows[28].new);
    assert_eq!(format!("{:.3}", epoch.loss), "150.755");
    assert!(same(epoch.loss, epoch.rmse * 29f64.sqrt()));
}

#[test]
fn finite_differences_approach_the_chain_rule_as_the_step_shrinks() {
    let (w, x, y) = (Pair { b: -3.0, a: 0.7 }, 51.0, 132.0);
    let exact = gradient(w, x, y);
    let off = |h: f64| {
        let estimate = finite_difference(w, x, y, h);
        (estimate.b - exact.b).abs() + (estimate.a - exact.a).abs()
    };
    // The error is a parabola in b and in a, so the estimate is off by h·(1 + x²) exactly.
    for h in [0.1, 0.01, 0.001] {
        assert!((off(h) - h * (1.0 + x * x)).abs() < 1e-4, "off by {} at {h}", off(h));
    }
}

#[test]
fn a_warm_up_keeps_what_was_averaged_and_puts_b_and_a_back() {
    for optimizer in Optimizer::ALL {
        let trace = trace(optimizer, 2);
        assert_eq!(trace.warm_ups.len(), optimizer.settings().warm_ups, "{optimizer}");
        assert_eq!(trace.epochs[0].rows[0].w, START, "{optimizer}");
        assert_eq!(trace.epochs[1].rows[0].w, trace.epochs[0].rows[28].new, "{optimizer}");
        let passes: Vec<_> = trace.warm_ups.iter().chain(&trace.epochs).collect();
        for pair in passes.windows(2) {
            let (before, row) = (pair[0].rows[28], pair[1].rows[0]);
            let beta = optimizer.settings().beta1;
            assert!(same(row.mean.b, beta * before.mean.b + (1.0 - beta) * row.gradient.b), "{optimizer}");
        }
    }
}

#[test]
fn momentum_steps_along_the_average_of_the_row_before() {
    let trace = trace(Optimizer::Momentum, 1);
    let warm_up = &trace.warm_ups[0];
    assert_eq!(warm_up.rows[0].new, START, "the average is 0 at reset, so the first row does not move");
    assert!(same(warm_up.rows[1].new.b, 1.0 + 1e-4 * 0.1 * 86.0)); // row 1 had de/db = -86
    let (kept, first) = (warm_up.rows[28].mean, trace.epochs[0].rows[0]);
    assert!(same(first.new.a, 1.0 - 1e-4 * kept.a));
}

#[test]
fn momentum_calms_the_gradient() {
    let trace = trace(Optimizer::Momentum, 1);
    let bounce = |of: &dyn Fn(usize) -> f64| (1..29).map(|i| (of(i) - of(i - 1)).abs()).sum::<f64>();
    let rows = &trace.epochs[0].rows;
    assert!(bounce(&|i| rows[i].mean.a) < 0.2 * bounce(&|i| rows[i].gradient.a));
}

#[test]
fn rmsprop_divides_by_the_root_of_the_average_square_of_the_row_before() {
    let rows = &trace(Optimizer::RmsProp, 1).warm_ups[0].rows;
    assert!(same(rows[0].new.b, 1.0 + 0.02 * 86.0 / 100.0)); // √10,000 at reset
    assert!(same(rows[0].new.a, 1.0 + 0.02 * 1204.0 / 100.0));
    let square = 0.9 * 10_000.0 + 0.1 * 86.0 * 86.0;
    assert!(same(rows[1].new.b, rows[0].new.b - 0.02 * rows[1].gradient.b / f64::sqrt(square)));
}

#[test]
fn adam_divides_one_average_by_the_root_of_the_other_without_bias_correction() {
    let rows = &trace(Optimizer::Adam, 1).warm_ups[0].rows;
    assert_eq!(rows[0].new, START);
    let (mean, square) = (0.3 * -1204.0, 0.9 * 10_000.0 + 0.1 * 1204.0 * 1204.0);
    assert!(same(rows[1].new.a, 1.0 - mean / f64::sqrt(square)));
    assert!(same(rows[1].mean.b, 0.7 * (0.3 * -86.0) + 0.3 * rows[1].gradient.b));
}

#[test]
fn adagrads_rates_are_fixed_for_an_epoch_by_the_gradients_of_the_one_before() {
    let trace = trace(Optimizer::Adagrad, 2);
    assert!(same(trace.warm_ups[0].rate.a, 1e-3 / 10_000.0));
    let root_mean_square = |rows: &[descent::Row]| {
        (rows.iter().map(|row| row.gradient.a * row.gradient.a).sum::<f64>() / rows.len() as f64).sqrt()
    };
    for (before, epoch) in [(&trace.warm_ups[0], &trace.epochs[0]), (&trace.epochs[0], &trace.epochs[1])] {
        let rate = 1e-3 / root_mean_square(&before.rows);
        assert!(same(epoch.rate.a, rate));
        for row in &epoch.rows {
            assert!(same(row.new.a, row.w.a - rate * row.gradient.a));
        }
    }
}

#[test]
fn eve_is_adam_until_there_are_two_epochs_to_compare() {
    let (eve, adam) = (trace(Optimizer::Eve, 2), trace(Optimizer::Adam, 2));
    assert_eq!(eve.warm_ups[1].rows, adam.warm_ups[1].rows);
    assert_ne!(eve.epochs[0].rows, adam.epochs[0].rows);
    let (f1, f2) = (eve.warm_ups[0].loss, eve.warm_ups[1].loss);
    assert!(same(eve.epochs[0].d, 0.9 + 0.1 * (f1 - f2).abs() / f1.min(f2)));
    assert!(same(eve.epochs[0].rate.b, 1.0 / eve.epochs[0].d));
}

#[test]
fn annealing_halves_the_rate_after_an_epoch_whose_mean_gradient_more_than_doubled_its_squares() {
    let trace = trace(Optimizer::AdamAnn, 40);
    let mut halvings = 0;
    for window in trace.epochs.windows(3) {
        let grew = window[1].measure > 2.0 * window[0].measure;
        assert!(same(window[2].lr, if grew { window[1].lr / 2.0 } else { window[1].lr }));
        halvings += usize::from(grew);
    }
    assert!(halvings > 5, "{halvings} halvings");
    assert_eq!(trace.epochs[0].lr, 1.0);
}

#[test]
fn annealed_adam_settles_on_the_true_line_where_adam_keeps_hopping() {
    let (adam, annealed) = (trace(Optimizer::Adam, 40), trace(Optimizer::AdamAnn, 40));
    assert!(adam.epochs[39].rmse > 30.0, "{}", adam.epochs[39].rmse);
    assert!(annealed.epochs[39].rmse < 0.1, "{}", annealed.epochs[39].rmse);
    assert!((annealed.end.w.b - 30.0).abs() < 0.2 && (annealed.end.w.a - 2.0).abs() < 0.01);
}

#[test]
fn every_path_starts_at_the_start_and_has_one_point_per_step() {
    for optimizer in Optimizer::ALL {
        let trace = trace(optimizer, EPOCHS);
        let path = trace.path();
        assert_eq!(path.len(), 1 + 29 * EPOCHS);
        assert_eq!((path[0], path[29 * EPOCHS]), (START, trace.end.w));
        assert_eq!(trace.rmse().len(), EPOCHS);
    }
}

#[test]
fn a_state_stepped_by_hand_does_what_run_does() {
    let mut state = State::new(Optimizer::Sgd, Optimizer::Sgd.settings());
    let rows: Vec<_> = points().into_iter().map(|(x, y)| state.step(x, y)).collect();
    assert_eq!(rows, trace(Optimizer::Sgd, 1).epochs[0].rows);
}

#[test]
fn the_running_mean_is_too_small_at_first_and_debiasing_cures_it() {
    let means = running_mean(&[3.0; 200], 0.98);
    for (batches, (biased, debiased)) in (1..).zip(&means) {
        assert!((biased - 3.0 * (1.0 - 0.98f64.powi(batches))).abs() < 1e-12);
        assert!((debiased - 3.0).abs() < 1e-12);
    }
    assert!(means[0].0 < 0.07 && means[199].0 > 2.9);
    // Weights by hand: 0.98 · 0.02 and 0.02, over their sum.
    let (biased, debiased) = running_mean(&[1.0, 5.0], 0.98)[1];
    assert!((biased - 0.1196).abs() < 1e-12 && (debiased - 0.1196 / 0.0396).abs() < 1e-12);
    assert!(running_mean(&[], 0.98).is_empty());
}
