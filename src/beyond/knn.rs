//! Neighbors: a rating is guessed from what the same user gave to similar movies, and from what similar users
//! gave to the same movie. After Sarwar et al. 2001 (item-based) and Koren 2008 (on residuals, shrunk).

use rayon::prelude::*;

use super::baselines::{Biases, SHRINKAGE};
use super::rows::{Pairs, Rated, World, rows_by};

/// Settings of a neighborhood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knn {
    /// Most neighbors used.
    pub k: usize,
    /// Shrinks a similarity: with n ratings in common, it is multiplied by n/(n + shrink).
    pub shrink: f64,
    /// The similarity to this power, its sign kept, is a neighbor's weight: 2 emphasizes the nearest.
    pub power: f64,
    /// Shrinks the prediction: it is added to the sum of the weights.
    pub doubt: f64,
}

/// Chosen on folds of the training rows; `lecture5 tune` compares it with others.
pub const ITEM: Knn = Knn { k: 300, shrink: 20.0, power: 2.0, doubt: 0.02 };
/// Chosen on folds of the training rows; `lecture5 tune` compares it with others.
pub const USER: Knn = Knn { k: 300, shrink: 10.0, power: 1.0, doubt: 0.2 };

/// Biases, and the weighted mean residual of the user's ratings of similar movies.
pub fn item_knn(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    one_side(world, trn, asked, false, ITEM)
}

/// Biases, and the weighted mean residual of similar users' ratings of the movie.
pub fn user_knn(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    one_side(world, trn, asked, true, USER)
}

/// Biases, and one neighborhood with the given settings.
pub fn one_side(world: &World, trn: &Rated, asked: &Pairs, users: bool, knn: Knn) -> Vec<f64> {
    let part = if users { by_users } else { by_items };
    with_biases(world, trn, asked, |residuals| part(world, trn, residuals, asked, knn))
}

/// The biases, the items' part, and the users' part of what then remains.
pub fn both_knn(world: &World, trn: &Rated, asked: &Pairs) -> Vec<f64> {
    with_biases(world, trn, asked, |residuals| {
        let items = by_items(world, trn, residuals, asked, ITEM);
        let users = by_users(world, trn, residuals, asked, USER);
        items.iter().zip(users).map(|(i, u)| 0.75 * i + 0.55 * u).collect()
    })
}

fn with_biases(
    world: &World,
    trn: &Rated,
    asked: &Pairs,
    neighbors: impl FnOnce(&[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let biases = Biases::fit(world, trn, SHRINKAGE);
    let moved = neighbors(&biases.residuals(trn));
    let pairs = asked.user.iter().zip(&asked.item);
    pairs.zip(moved).map(|((&u, &i), moved)| world.clamp(biases.predict(u, i) + moved)).collect()
}

/// The items' part for each pair to predict.
pub fn by_items(world: &World, trn: &Rated, residuals: &[f64], asked: &Pairs, knn: Knn) -> Vec<f64> {
    let (users, items) = (&trn.pairs.user, &trn.pairs.item);
    neighborhood((users, world.n_users), (items, world.n_items), residuals, (&asked.user, &asked.item), knn)
}

/// The users' part for each pair to predict: the same with the roles exchanged.
pub fn by_users(world: &World, trn: &Rated, residuals: &[f64], asked: &Pairs, knn: Knn) -> Vec<f64> {
    let (users, items) = (&trn.pairs.user, &trn.pairs.item);
    neighborhood((items, world.n_items), (users, world.n_users), residuals, (&asked.item, &asked.user), knn)
}

/// For each pair (owner, thing) to predict: Σ w·r / (Σ|w| + doubt) over the things most similar to this one among those
/// that the owner has a residual r with. The weight w is the similarity to some power. The similarity of two things is
/// the cosine of their residuals over all owners, the sum being over the n owners that they share, multiplied by
/// n/(n + shrink).
fn neighborhood(
    (owner, n_owners): (&[usize], usize),
    (thing, n_things): (&[usize], usize),
    residuals: &[f64],
    asked: (&[usize], &[usize]),
    knn: Knn,
) -> Vec<f64> {
    let of_owner: Vec<Vec<(u32, f64)>> = rows_by(owner, n_owners)
        .into_iter()
        .map(|rows| rows.into_iter().map(|row| (thing[row] as u32, residuals[row])).collect())
        .collect();
    let of_thing = rows_by(thing, n_things);
    let lengths: Vec<f64> =
        of_thing.iter().map(|rows| rows.iter().map(|&r| residuals[r].powi(2)).sum::<f64>().sqrt()).collect();
    let questions = rows_by(asked.1, n_things);
    // One thing at a time: its products with all others are summed in one pass over its owners' rows.
    let answers = (0..n_things).into_par_iter().map(|t| {
        let mut answers = Vec::new();
        if questions[t].is_empty() {
            return answers;
        }
        let mut common = vec![(0.0, 0.0); n_things];
        for &row in &of_thing[t] {
            for &(other, residual) in &of_owner[owner[row]] {
                let (product, n) = &mut common[other as usize];
                *product += residuals[row] * residual;
                *n += 1.0;
            }
        }
        let weights: Vec<f64> = (0..n_things)
            .map(|other| {
                let ((product, n), length) = (common[other], lengths[t] * lengths[other]);
                if other == t || n == 0.0 || length == 0.0 {
                    return 0.0;
                }
                let similarity: f64 = product / length * n / (n + knn.shrink);
                // powf would take longer than all the rest.
                match knn.power {
                    1.0 => similarity,
                    2.0 => similarity * similarity.abs(),
                    power => similarity.signum() * similarity.abs().powf(power),
                }
            })
            .collect();
        let mut near: Vec<(f64, f64)> = Vec::new();
        for &question in &questions[t] {
            let rated = &of_owner[asked.0[question]];
            near.clear();
            near.extend(rated.iter().map(|&(other, residual)| (weights[other as usize], residual)));
            near.retain(|(weight, _)| *weight != 0.0);
            if near.len() > knn.k {
                near.select_nth_unstable_by(knn.k, |a, b| b.0.abs().total_cmp(&a.0.abs()));
                near.truncate(knn.k);
            }
            let total: f64 = near.iter().map(|(w, _)| w.abs()).sum();
            let moved: f64 = near.iter().map(|(w, r)| w * r).sum();
            answers.push((question, if near.is_empty() { 0.0 } else { moved / (total + knn.doubt) }));
        }
        answers
    });
    let mut out = vec![0.0; asked.0.len()];
    for (question, answer) in answers.collect::<Vec<_>>().into_iter().flatten() {
        out[question] = answer;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users 0 and 1 agree on movies 0 and 1; user 2 rated movie 1 only.
    #[test]
    fn a_neighborhood_of_three_users_is_the_one_computed_by_hand() {
        let world = World::new(3, 2, (1.0, 5.0));
        let pairs = Pairs { user: vec![0, 0, 1, 1, 2], item: vec![0, 1, 0, 1, 1], time: vec![] };
        let trn = Rated { pairs, y: vec![0.0; 5] };
        let residuals = [1.0, 2.0, -1.0, -1.0, 0.5];
        let asked = Pairs { user: vec![2], item: vec![0], time: vec![] };
        let knn = Knn { k: 5, shrink: 2.0, power: 1.0, doubt: 0.1 };
        // products 1·2 + (−1)·(−1) = 3; lengths √2 and √(4 + 1 + 0.25); two users in common
        let similarity = 3.0 / (2.0f64.sqrt() * 5.25f64.sqrt()) * 2.0 / (2.0 + 2.0);
        let expected = similarity * 0.5 / (similarity + 0.1);
        assert!((by_items(&world, &trn, &residuals, &asked, knn)[0] - expected).abs() < 1e-12);

        // The same by users: 2 and 0 share movie 1, 2 and 1 as well.
        let (a, b) = (2.0 * 0.5 / (5.0f64.sqrt() * 0.5) / 3.0, -0.5 / (2.0f64.sqrt() * 0.5) / 3.0);
        let expected = (a - b) / (a.abs() + b.abs() + 0.1);
        assert!((by_users(&world, &trn, &residuals, &asked, knn)[0] - expected).abs() < 1e-12);
    }

    #[test]
    fn who_has_no_neighbors_is_left_to_the_biases() {
        let world = World::new(2, 2, (1.0, 5.0));
        let pairs = Pairs { user: vec![0], item: vec![0], time: vec![] };
        let trn = Rated { pairs, y: vec![4.0] };
        let asked = Pairs { user: vec![1, 0], item: vec![1, 1], time: vec![] };
        assert_eq!(both_knn(&world, &trn, &asked), vec![4.0, 4.0]);
    }
}
