//! Beyond the lecture: nothing reads the held-out ratings, and it runs on any data.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use lecture5::beyond::data::from_lecture;
use lecture5::beyond::models::{MODELS, models_for};
use lecture5::beyond::nets;
use lecture5::beyond::rows::{Pairs, Rated, World};
use lecture5::fit::Options;
use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, MovieLens, Split, SplitBy, get_cv_idxs};
use lecture5::optim::{Optimizer, Rule};
use lecture5::settings::{ModelKind, Settings};
use serde_json::Value;
use tch::{Device, Kind, Tensor, nn};

/// Ratings of 40 users and 60 movies that look random; those held out by the lecture's split are raised by `lift`
/// steps of half a star, and wrap around at the top.
fn ratings_csv(lift: usize) -> String {
    let mut state = 7_u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut rows = Vec::new();
    for user in 1..=40 {
        for movie in 1..=60 {
            if draw(3) == 0 {
                rows.push((user, movie, draw(10) as usize, 1_000_000_000 + draw(100_000_000)));
            }
        }
    }
    let held_out = get_cv_idxs(rows.len(), 0.2, 42);
    let mut text = "userId,movieId,rating,timestamp\n".to_owned();
    for (row, (user, movie, steps, time)) in rows.into_iter().enumerate() {
        let steps = if held_out.contains(&row) { (steps + lift) % 10 } else { steps };
        writeln!(text, "{user},{movie},{:?},{time}", 0.5 + 0.5 * steps as f64).unwrap();
    }
    text
}

fn folder(lift: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ratings.csv"), ratings_csv(lift)).unwrap();
    let movies: String = (1..=60)
        .map(|m| format!("{m},Movie {m} ({}),Drama|{}\n", 1950 + m, ["Comedy", "War"][m % 2]))
        .collect();
    std::fs::write(folder.path().join("movies.csv"), format!("movieId,title,genres\n{movies}")).unwrap();
    folder
}

fn read(folder: &Path) -> (World, Rated, Pairs, Vec<f64>) {
    let ml = MovieLens::read(folder).unwrap();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    let split = Split::new(cf.len(), &get_cv_idxs(cf.len(), 0.2, 42));
    from_lecture(&ml, &cf, SplitBy::LECTURE, &split).unwrap()
}

fn lecture5(arguments: &[&str]) -> Output {
    let output = crate::prepared::program().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn other_ratings_in_the_rows_held_out_change_no_prediction() {
    let (one, other) = (folder(0), folder(3));
    let ((world, trn, val, y), (world2, trn2, val2, y2)) = (read(one.path()), read(other.path()));
    assert_ne!(y, y2);
    assert_eq!((&world, &trn, &val), (&world2, &trn2, &val2));
    assert!(world.year.iter().all(|year| year.is_some_and(|y| (1951.0..=2010.0).contains(&y))));
    for model in MODELS {
        let stars = (model.predict)(&world, &trn, &val);
        assert_eq!(stars, (model.predict)(&world2, &trn2, &val2), "{}", model.name);
        assert!(stars.iter().all(|s| (0.5..=5.0).contains(s)), "{}", model.name);
    }
}

/// No model learns from which pairs are queried (it would be "transductive").
#[test]
fn what_else_is_asked_changes_no_prediction() {
    let folder = folder(0);
    let (world, trn, val, _) = read(folder.path());
    let half: Vec<usize> = (0..val.len()).step_by(2).collect();
    for model in MODELS {
        let all = (model.predict)(&world, &trn, &val);
        let alone = (model.predict)(&world, &trn, &val.pick(&half));
        for (stars, &row) in alone.iter().zip(&half) {
            assert!((stars - all[row]).abs() < 1e-4, "{}: {stars} beside {}", model.name, all[row]);
        }
    }
}

#[test]
fn nothing_is_chosen_on_the_rows_held_out() {
    let tuned = |lift: usize| {
        let data = folder(lift);
        let out = tempfile::tempdir().unwrap();
        let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
        let only = "biases,knn,gp,blend";
        let output = lecture5(&[
            "tune", "--folds", "2", "--steps", "2", "--only", only, "--json", "--data", data, "--out", out,
        ]);
        let mut found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let of_file = found.as_object_mut().unwrap().remove("data");
        (found, of_file)
    };
    let ((one, of_one), (other, of_other)) = (tuned(0), tuned(4));
    assert_ne!(of_one, of_other, "the files differ");
    assert_eq!(one, other);
    assert_eq!(one["choices"][0]["tried"][0]["folds"].as_array().unwrap().len(), 2);
}

#[test]
fn the_section_runs_on_small_data_and_leaves_its_table_in_the_metrics() {
    let (data, out) = (folder(0), tempfile::tempdir().unwrap());
    let arguments = ["run", "beyond", "--data", data.path().to_str().unwrap(), "--out"];
    lecture5(&[&arguments[..], &[out.path().to_str().unwrap()]].concat());
    let text = std::fs::read(out.path().join("metrics.json")).unwrap();
    let metrics: Value = serde_json::from_slice(&text).unwrap();
    let rows = metrics["beyond"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4 + MODELS.len() + 1);
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert!((number("val_mse").sqrt() - number("val_rmse")).abs() < 1e-12);
        assert!(number("low") <= number("val_mse") && number("val_mse") <= number("high"), "{row}");
        assert!(number("seconds") >= 0.0);
    }
    assert!(rows.iter().any(|row| row["name"] == metrics["beyond"]["best"]));
    for plot in ["variations", "lr_finder", "beyond"] {
        assert!(out.path().join(format!("plots/{plot}.png")).exists(), "{plot}");
    }
}

/// `run beyond` trains its models in the section; a run of more sections begins before the first.
#[test]
fn models_trained_ahead_are_those_of_the_section_alone() {
    let data = folder(0);
    let table = |sections: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let folders = ["--data", data.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
        lecture5(&[&["run"], sections, &folders[..], &["--dpi", "30"]].concat());
        let mut metrics: Value =
            serde_json::from_slice(&std::fs::read(out.path().join("metrics.json")).unwrap()).unwrap();
        let rows = metrics["beyond"]["rows"].as_array_mut().unwrap();
        rows.iter_mut().for_each(|row| row["seconds"] = Value::Null);
        metrics["beyond"].clone()
    };
    assert_eq!(table(&["movielens", "beyond"]), table(&["beyond"]));
}

#[test]
fn without_times_the_models_that_need_them_are_left_out_and_named() {
    let folder = folder(0);
    let (world, mut trn, ..) = read(folder.path());
    assert_eq!(models_for(&world, &trn.pairs).0.len(), MODELS.len());
    trn.pairs.time.clear();
    let (models, left_out) = models_for(&world, &trn.pairs);
    assert_eq!(left_out.len(), 2);
    assert!(left_out[0].contains("timeSVD++") && left_out[0].contains("no times"), "{left_out:?}");
    assert!(models.iter().all(|model| !model.needs_times));
    let blended: Vec<&str> = models.iter().filter(|m| m.blended).map(|m| m.name).collect();
    assert_eq!(blended, ["biases", "Bayesian factorization", "Gaussian process without times"]);
}

#[test]
fn a_layer_can_have_a_decay_of_its_own() {
    let vs = nn::VarStore::new(Device::Cpu);
    let ones = |layer: &str| (vs.root() / layer).var("weight", &[3], nn::Init::Const(1.0));
    let (u, lin1) = (ones("u"), ones("lin1"));
    let mut opt = Optimizer::new(&vs, Rule::Sgd { momentum: 0.0 }, 0.5, 0.1);
    opt.set_decay("u", 0.8).unwrap();
    assert!(opt.set_decay("lin7", 0.8).unwrap_err().to_string().contains("lin7"));
    ((&u + &lin1).sum(Kind::Float) * 0.0).backward();
    opt.step().unwrap();
    let numbers = |t: &Tensor| Vec::<f32>::try_from(t.detach()).unwrap();
    assert_eq!((numbers(&u), numbers(&lin1)), (vec![0.6; 3], vec![0.95; 3]));
}

#[test]
fn the_rate_finder_multiplies_the_rate_by_the_same_factor_each_batch() {
    let folder = folder(0);
    let ml = MovieLens::read(folder.path()).unwrap();
    let cf = CollabFilterDataset::from_data_frame(&ml.ratings, "userId", "movieId", "rating").unwrap();
    let split = Split::new(cf.len(), &get_cv_idxs(cf.len(), 0.2, 42));
    let settings = Settings { batch_size: 16, ..Settings::lecture(ModelKind::Net) };
    let mut learner = Learner::new(&cf, &split, &settings, Device::Cpu).unwrap();
    let found = learner.lr_find((1e-5, 1e-1), Options::default()).unwrap();
    assert_eq!(found.len(), learner.data.n_batches());
    assert!((found[0].0 - 1e-5).abs() < 1e-12 && (found[found.len() - 1].0 - 1e-1).abs() < 1e-9);
    let factor = found[1].0 / found[0].0;
    assert!(found.windows(2).all(|w| (w[1].0 / w[0].0 - factor).abs() < 1e-9));
    assert!(found.iter().all(|(_, loss)| loss.is_finite()));
}

#[test]
fn the_suggested_rate_is_a_tenth_of_where_the_loss_is_lowest_to_one_digit() {
    let found = [(1e-3, 2.0), (0.1, 1.0), (0.312, 0.8), (1.0, 1.5)];
    assert_eq!(nets::suggested_lr(&found), 0.03);
    assert_eq!(nets::suggested_lr(&[]), 0.01);
}
