//! The minimizer that takes the place of Excel's Solver.

use lecture5::excel::solver::{Factors, rated, solve};

/// The fixture's ratings: 15 users by 15 movies.
fn ratings() -> Vec<Vec<Option<f32>>> {
    let rows = include_str!("../fixtures/crosstab.tsv").lines().skip(3);
    rows.map(|line| line.split('\t').skip(2).map(|cell| cell.parse().ok()).collect()).collect()
}

fn start(bias: bool, seed: u32) -> Factors {
    Factors::random(15, 15, 5, bias, seed)
}

#[test]
fn the_random_start_is_numpys_and_the_same_with_and_without_bias() {
    // np.random.RandomState(0).rand(3): [0.5488135, 0.71518937, 0.60276338]
    let (plain, bias) = (start(false, 0), start(true, 0));
    let digits: Vec<_> = plain.users[0][..3].iter().map(|x| format!("{x:.8}")).collect();
    assert_eq!(digits, ["0.54881350", "0.71518937", "0.60276338"]);
    assert_eq!((plain.count(), bias.count()), (150, 180));
    assert_eq!((&plain.users, &plain.movies), (&bias.users, &bias.movies));
    assert_ne!(start(false, 1), plain);
}

#[test]
fn blank_cells_do_not_count() {
    let mut table = ratings();
    assert_eq!(rated(&table).count(), 206);
    let factors = start(true, 0);
    let (mut sum, mut n) = (0.0, 0.0);
    for (u, row) in table.iter().enumerate() {
        for (m, rating) in row.iter().enumerate() {
            if let Some(y) = rating {
                sum += (f64::from(*y) - factors.predict(u, m)).powi(2);
                n += 1.0;
            }
        }
    }
    assert!((factors.rmse(&table) - f64::sqrt(sum / n)).abs() < 1e-12);
    let with = factors.rmse(&table);
    table[0][0] = None;
    assert_ne!(factors.rmse(&table), with);
}

#[test]
fn the_descent_starts_at_the_start_never_rises_and_ends_at_its_solution() {
    let table = ratings();
    for bias in [false, true] {
        let descent = solve(&table, &start(bias, 0), 1000).unwrap();
        assert_eq!(descent.rmse[0], start(bias, 0).rmse(&table));
        assert!((2.0..3.2).contains(&descent.rmse[0]), "{}", descent.rmse[0]);
        assert!(descent.rmse.windows(2).all(|pair| pair[1] <= pair[0]));
        let end = descent.solution.rmse(&table);
        assert!((end - descent.rmse.last().unwrap()).abs() < 1e-12);
    }
}

#[test]
fn the_solution_is_a_minimum_in_every_direction() {
    let table = ratings();
    let descent = solve(&table, &start(true, 0), 1000).unwrap();
    let best = descent.solution.rmse(&table);
    for i in 0..15 {
        for step in [-1e-3, 1e-3] {
            for k in 0..5 {
                let mut moved = descent.solution.clone();
                moved.users[i][k] += step;
                assert!(moved.rmse(&table) > best);
                let mut moved = descent.solution.clone();
                moved.movies[i][k] += step;
                assert!(moved.rmse(&table) > best);
            }
            let mut moved = descent.solution.clone();
            moved.user_bias[i] += step;
            assert!(moved.rmse(&table) > best);
            let mut moved = descent.solution.clone();
            moved.movie_bias[i] += step;
            assert!(moved.rmse(&table) > best);
        }
    }
}

#[test]
fn different_starts_find_the_same_minimum_and_biases_lower_it() {
    let table = ratings();
    let end = |bias, seed| solve(&table, &start(bias, seed), 1000).unwrap().solution.rmse(&table);
    for seed in 0..3 {
        assert!((end(false, seed) - 0.392901).abs() < 1e-5);
        assert!(end(true, seed) < 0.33);
    }
}

#[test]
fn a_table_that_the_factors_can_reproduce_is_reproduced() {
    let truth = start(true, 7);
    let table: Vec<Vec<_>> =
        (0..15).map(|u| (0..15).map(|m| Some(truth.predict(u, m) as f32)).collect()).collect();
    assert!(solve(&table, &start(true, 0), 1000).unwrap().solution.rmse(&table) < 1e-6);
}

#[test]
fn the_same_start_gives_the_same_descent() {
    let table = ratings();
    assert_eq!(solve(&table, &start(true, 0), 50).unwrap(), solve(&table, &start(true, 0), 50).unwrap());
    assert_eq!(solve(&table, &start(true, 0), 50).unwrap().rmse.len(), 51);
}

#[test]
fn a_table_of_the_wrong_size_or_without_ratings_is_refused_with_a_reason() {
    let message = |table: &[Vec<Option<f32>>]| solve(table, &start(false, 0), 10).unwrap_err().to_string();
    assert!(message(&ratings()[..14]).contains("15 users and 15 movies"));
    assert!(message(&vec![vec![None; 15]; 15]).contains("nothing to fit"));
}
