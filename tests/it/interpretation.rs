//! Trained models opened from their files: the same predictions, new users, neighbors and components.

use std::collections::HashMap;
use std::path::Path;

use lecture5::learner::Learner;
use lecture5::movielens::{CollabFilterDataset, Ids, Split};
use lecture5::optim::Rule;
use lecture5::recommend::interpret::{in_common, nearest, pca};
use lecture5::saved::model_file::{self, ModelCard};
use lecture5::saved::trained::Trained;
use lecture5::settings::{ModelKind, Settings};
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use crate::common::{alone, sealed};

/// 60 users × 40 movies, three fifths of the pairs; two hidden tastes determine the ratings.
fn tastes() -> (CollabFilterDataset, Split) {
    let pairs: Vec<[i64; 2]> = (0..60)
        .flat_map(|u| (0..40).map(move |m| [u, m]))
        .filter(|[u, m]| (u * 7 + m * 11) % 5 < 3)
        .collect();
    let stars = |&[u, m]: &[i64; 2]| if u % 3 == m % 3 { 4.5 } else { 1.0 + 0.5 * (m % 4) as f32 };
    let y = pairs.iter().map(stars).collect();
    let cf = CollabFilterDataset {
        users: Ids::new(100..160),
        items: Ids::new(500..540),
        user_idx: pairs.iter().map(|pair| pair[0]).collect(),
        item_idx: pairs.iter().map(|pair| pair[1]).collect(),
        y,
        scale: None,
    };
    let val: Vec<usize> = (0..cf.len()).step_by(5).collect();
    let split = Split::new(cf.len(), &val);
    (cf, split)
}

/// Trained long enough to learn the tastes.
fn settings(model: ModelKind) -> Settings {
    let plan = "0.03x20".parse().unwrap();
    Settings { n_factors: (4, 4), rule: Rule::Adam, plan, ..Settings::lecture(model) }
}

/// A model trained for a while, saved, and opened again, with its predictions from before it was saved.
fn trained(model: ModelKind, path: &Path) -> (Trained, Vec<f32>) {
    let settings = settings(model);
    let (cf, split) = tastes();
    let mut learner = Learner::new(&cf, &split, &settings, Device::Cpu).unwrap();
    learner.fit_plan(lecture5::fit::Options::default()).unwrap();
    model_file::save(path, &ModelCard::new(&cf, &split, &settings, "none"), &learner.opt).unwrap();
    (Trained::open(path).unwrap(), learner.predict().unwrap())
}

#[test]
fn an_opened_model_predicts_what_it_predicted_before_it_was_saved() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (cf, split) = tastes();
    for model in ModelKind::ALL {
        let (opened, before) = trained(model, &folder.path().join("model.safetensors"));
        for (&row, before) in split.val.iter().zip(before) {
            let [user, movie] = cf.cats(row);
            let user = opened.user(&cf.users.name(user)).unwrap();
            let movie = opened.movie(&cf.items.name(movie)).unwrap();
            let after = opened.predict(user, &[movie]).unwrap()[0];
            assert!((after - before).abs() < 1e-5, "{}: {after} was {before}", model.name());
        }
        assert_eq!((opened.user("99"), opened.movie("Toy Story")), (None, None));
        assert_eq!(opened.movie_bias().is_some(), matches!(model, ModelKind::Bias | ModelKind::Learner));
    }
}

#[test]
fn folding_in_solves_ridge_regression_where_the_model_is_a_dot_product() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (opened, _) = trained(ModelKind::Dot, &folder.path().join("dot.safetensors"));
    let ratings = [(3, 4.5), (6, 4.0), (7, 1.0), (11, 2.0), (20, 1.5)];
    let folded = opened.fold_in(&ratings).unwrap();

    // (MᵀM + λ·1)(u − ū) = Mᵀ(y − M·ū)
    let (u, m) = opened.vectors();
    let rows: Vec<i64> = ratings.iter().map(|r| r.0).collect();
    let m = m.index_select(0, &Tensor::from_slice(&rows)).to_kind(Kind::Double);
    let y = Tensor::from_slice(&ratings.map(|r| f64::from(r.1)));
    let average = u.to_kind(Kind::Double).mean_dim(0, false, None);
    let n: u32 = opened.card.user_ratings.iter().sum();
    let decay = f64::from(n) * opened.card.settings.wd / 2.0;
    let left = m.tr().matmul(&m) + Tensor::eye(4, (Kind::Double, Device::Cpu)) * decay;
    let right = m.tr().mv(&(y - m.mv(&average)));
    let wanted = average + left.inverse().mv(&right);
    let found = folded.vectors().0.get(0).to_kind(Kind::Double);
    assert!(found.allclose(&wanted, 1e-4, 1e-5, false), "{found:?} beside {wanted:?}");
}

#[test]
fn a_folded_in_user_likes_what_those_with_the_same_taste_like_whatever_the_model() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for model in ModelKind::ALL {
        let (opened, _) = trained(model, &folder.path().join("model.safetensors"));
        // The new user likes movies 0, 3, 6, …, as users 0, 3, 6, … do, and rates none above 20.
        let ratings: Vec<(i64, f32)> = (0..20).map(|m| (m, if m % 3 == 0 { 4.5 } else { 1.5 })).collect();
        let folded = opened.fold_in(&ratings).unwrap();
        let mean = |stars: Vec<f32>| stars.iter().sum::<f32>() / stars.len() as f32;
        let liked = mean(folded.predict(0, &[21, 24, 27, 30, 33, 36]).unwrap());
        let others = mean(folded.predict(0, &[22, 25, 28, 31, 34, 37]).unwrap());
        assert!(liked > others + 0.5, "{}: {liked} and {others}", model.name());
        let again = opened.fold_in(&ratings).unwrap();
        assert_eq!(folded.predict(0, &[21]).unwrap(), again.predict(0, &[21]).unwrap());
        assert!(opened.fold_in(&[]).is_err());
    }
}

#[test]
fn a_foreign_damaged_or_contradictory_file_is_refused_with_a_reason() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let refusal = || format!("{:#}", Trained::open(&path).err().expect("refused"));
    assert!(refusal().contains("cannot be read"));
    trained(ModelKind::Net, &path);
    let whole = std::fs::read(&path).unwrap();
    for (length, said) in [
        (0, "an empty file"),
        (7, "not a safetensors file"),
        (100, "not a complete safetensors file"),
        (whole.len() / 2, "not a complete safetensors file"),
        (whole.len() - 1, "not a complete safetensors file"),
    ] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(refusal().contains(said), "{length} bytes: {}", refusal());
    }
    let zeros = [0_u8; 16];
    let foreign = [("weight", TensorView::new(Dtype::F32, vec![2, 2], &zeros).unwrap())];
    std::fs::write(&path, safetensors::serialize(foreign, None).unwrap()).unwrap();
    assert!(refusal().contains("another program wrote it"), "{}", refusal());

    // Changes to the metadata: (from, to, why it is refused). Same length, so that the file stays valid.
    for (from, to, said) in [
        (
            "\\\"hidden\\\":[10]",
            "\\\"hidden\\\":[99]",
            "its 'lin1.weight' has shape [10, 8], but its model card describes [99, 8]",
        ),
        (
            "\\\"hidden\\\":[10]",
            "\\\"hidden\\\":[  ]",
            "its 'lin1.weight' has shape [10, 8], but its model card describes [1, 8]",
        ),
        ("\\\"model\\\":\\\"net\\\"", "\\\"model\\\":\\\"dog\\\"", "cannot be parsed"),
        (
            "\\\"n_factors\\\":[4,4]",
            "\\\"n_factors\\\":[4,9]",
            "'m.weight' has shape [40, 4], but its model card describes [40, 9]",
        ),
        ("\\\"range\\\":[1.0,4.5]", "\\\"range\\\":[9.0,4.5]", "ratings from 9.0 to 4.5"),
        ("\\\"100\\\",\\\"101\\\"", "\\\"100\\\"        ", "59 users"),
    ] {
        let text = whole.windows(from.len()).position(|w| w == from.as_bytes()).expect(from);
        let mut changed = whole.clone();
        changed[text..text + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, &changed).unwrap();
        assert!(refusal().contains("its checksum is not the one"), "{to}: {}", refusal());
        std::fs::write(&path, sealed(changed)).unwrap();
        assert!(refusal().contains(said), "{to}: {}", refusal());
    }

    let settings = settings(ModelKind::Dot);
    let (cf, split) = tastes();
    let learner = Learner::new(&cf, &split, &settings, Device::Cpu).unwrap();
    let _ = tch::no_grad(|| learner.vs.variables()["m.weight"].get(3).fill_(f64::NAN));
    model_file::save(&path, &ModelCard::new(&cf, &split, &settings, "none"), &learner.opt).unwrap();
    assert!(refusal().contains("'m.weight' has values that are not finite"), "{}", refusal());
}

#[test]
fn the_nearest_rows_are_those_at_the_smallest_angle() {
    let table =
        Tensor::from_slice(&[1.0_f32, 0.0, 10.0, 1.0, 0.0, 3.0, -2.0, 0.0, 0.0, 0.0, 1.0, 1.0]).view([6, 2]);
    let found = nearest(&table, &table.get(0), &[1, 2, 3, 4, 5], 4).unwrap();
    let rows: Vec<i64> = found.iter().map(|f| f.0).collect();
    assert_eq!(rows, [1, 5, 2, 3], "long or short does not matter; row 4 points nowhere");
    assert!((found[1].1 - 0.5_f64.sqrt()).abs() < 1e-9 && (found[3].1 + 1.0).abs() < 1e-9);
    assert!(nearest(&table, &table.get(4), &[0], 1).is_err());
    assert_eq!(nearest(&table, &table.get(0), &[], 3).unwrap(), []);
}

#[test]
fn principal_components_find_the_directions_of_greatest_variance() {
    // Along (3, 4)/5 with deviations −2, 0, 2 and a little along (−4, 3)/5: 8 to 2·0.1² = 0.02.
    let points = [(-2.0, 0.1), (0.0, 0.0), (2.0, 0.1), (0.0, -0.2)];
    let table: Vec<f64> =
        points.iter().flat_map(|(a, b)| [5.0 + 0.6 * a - 0.8 * b, 1.0 + 0.8 * a + 0.6 * b]).collect();
    let found = pca(&Tensor::from_slice(&table).view([4, 2]), 2).unwrap();
    let first = Vec::<f64>::try_from(found.scores.select(1, 0)).unwrap();
    let second = Vec::<f64>::try_from(found.scores.select(1, 1)).unwrap();
    assert!((first[0].abs() - 2.0).abs() < 1e-9 && (first[0] + first[2]).abs() < 1e-9, "{first:?}");
    assert!((second[3] - 0.2).abs() < 1e-9, "the row furthest out lies on the positive side: {second:?}");
    assert!(
        (found.shares[0] - 8.0 / 8.06).abs() < 1e-9 && (found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9
    );
    assert!(pca(&Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)), 3).is_err());
}

#[test]
fn sets_share_what_is_in_both() {
    let set = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(in_common(&set("Comedy|Drama"), &set("Drama|War|Comedy")), 2.0 / 3.0);
    assert_eq!(in_common(&set("Comedy"), &set("War")), 0.0);
}

#[test]
fn the_ids_of_a_model_are_text() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (opened, _) = trained(ModelKind::Bias, &folder.path().join("bias.safetensors"));
    let rows: HashMap<&str, i64> = opened.card.movies.iter().map(String::as_str).zip(0..).collect();
    assert_eq!((rows["500"], opened.movie(" 501 "), opened.user("100")), (0, Some(1), Some(0)));
}
