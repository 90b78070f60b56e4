//! A trained model opened from its file, for predictions and comparisons; it needs only the file. A new user is
//! folded in from a few ratings, without any other training.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use argmin::core::{CostFunction, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use tch::nn::{ModuleT, VarStore};
use tch::{Device, Kind, Reduction, Tensor};

use crate::learner::build;
use crate::models::RatingRange;
use crate::optim::{Optimizer, named_parameters};
use crate::saved::model_file::{self, ModelCard};
use crate::settings::{ModelKind, Settings};

/// A trained model, on the CPU.
pub struct Trained {
    /// The model card from its file.
    pub card: ModelCard,
    vs: VarStore,
    model: Box<dyn ModuleT>,
}

impl Trained {
    /// Opens a file written by [`model_file::save`].
    ///
    /// # Errors
    /// The file cannot be read, is damaged, was written by another program, or contradicts itself.
    pub fn open(path: &Path) -> Result<Trained> {
        let (metadata, tensors) = model_file::read(path)?;
        let open = || {
            let card = model_file::card(&metadata)?;
            check(&card, &tensors)?;
            Trained::with(card, &tensors, Kind::Float)
        };
        open().with_context(|| format!("{}: not a model of this program", path.display()))
    }

    /// The model that `card` describes with the weights of `tensors`.
    fn with(card: ModelCard, tensors: &HashMap<String, Tensor>, kind: Kind) -> Result<Trained> {
        let mut vs = VarStore::new(Device::Cpu);
        let size = (card.users.len() as i64, card.movies.len() as i64);
        let range = RatingRange { min: card.range.0, max: card.range.1 };
        let model = build(&vs, size, range, &card.settings)?;
        vs.set_kind(kind);
        for (name, mut mine) in named_parameters(&vs) {
            let theirs = tensors.get(&name).with_context(|| format!("it has no '{name}'"))?;
            let (size, wanted) = (theirs.size(), mine.size());
            ensure!(
                size == wanted,
                "its '{name}' has shape {size:?}, but its model card describes {wanted:?}"
            );
            tch::no_grad(|| mine.f_copy_(theirs).map(drop))?;
            // A finite number may not be finite in single precision.
            ensure!(model_file::is_finite(&mine), "its '{name}' has values that are not finite");
        }
        Ok(Trained { card, vs, model })
    }

    /// A copy of a model that has just been trained, as its file would give it.
    ///
    /// # Errors
    /// The card describes another model.
    pub fn copy(card: ModelCard, opt: &Optimizer) -> Result<Trained> {
        let weights = opt.parameters().into_iter().map(|(name, t)| (name, t.detach()));
        Trained::with(card, &weights.collect(), Kind::Float)
    }

    /// The row of a user's id.
    pub fn user(&self, id: &str) -> Option<i64> {
        row(&self.card.users, id)
    }

    /// The row of a movie's id.
    pub fn movie(&self, id: &str) -> Option<i64> {
        row(&self.card.movies, id)
    }

    /// The users' vectors, (n_users, n_factors), and the movies', (n_movies, n_factors).
    pub fn vectors(&self) -> (Tensor, Tensor) {
        (self.weight("u.weight"), self.weight("m.weight"))
    }

    /// The movies' biases, (n_movies,), before the sigmoid: the part of a rating that does not depend on the
    /// user; `None` for models without biases.
    pub fn movie_bias(&self) -> Option<Tensor> {
        let has_bias = matches!(self.card.settings.model, ModelKind::Bias | ModelKind::Learner);
        has_bias.then(|| self.weight("mb.weight").squeeze_dim(1))
    }

    /// The users' biases, (n_users,), before the sigmoid; `None` for models without biases.
    pub fn user_bias(&self) -> Option<Tensor> {
        self.movie_bias().map(|_| self.weight("ub.weight").squeeze_dim(1))
    }

    fn weight(&self, name: &str) -> Tensor {
        self.vs.variables()[name].detach()
    }

    /// The predicted stars of a user for each of `movies`.
    pub fn predict(&self, user: i64, movies: &[i64]) -> Result<Vec<f32>> {
        let cats: Vec<i64> = movies.iter().flat_map(|&movie| [user, movie]).collect();
        let cats = Tensor::from_slice(&cats).view([-1, 2]); // (n, 2)
        let stars = Vec::<f32>::try_from(tch::no_grad(|| self.model.forward_t(&cats, false)))?;
        ensure!(
            stars.iter().all(|stars| stars.is_finite()),
            "the model's predictions are not finite: its weights are too large"
        );
        Ok(stars)
    }

    /// The same model with only one user, a new one with these ratings (movie row, stars). The new user's vector u,
    /// and the bias if the model has biases, minimize
    ///
    /// Σ (prediction − rating)² + n·wd/2 · (|u − ū|² + (ub − ūb)²)
    ///
    /// with everything else fixed; ū and ūb are the means over the model's users. The strength n·wd/2 equals the
    /// effect of the weight decay during training on one user: a step adds wd·u to the gradient of a batch's
    /// mean, and an epoch over n ratings makes n/bs such steps. Training pulls toward zero; here the average
    /// user is the better guess when there are few ratings. For a dot product this is ridge regression; for
    /// the other models L-BFGS descends from the average user to the nearest minimum.
    ///
    /// # Errors
    /// There are no ratings.
    pub fn fold_in(&self, ratings: &[(i64, f32)]) -> Result<Trained> {
        ensure!(!ratings.is_empty(), "there are no ratings that describe the new user");
        let rows: Vec<i64> = ratings.iter().map(|&(movie, _)| movie).collect();
        let rated = self.for_one_user(Some(&rows), Kind::Double)?;
        let stars: Vec<f64> = ratings.iter().map(|&(_, stars)| f64::from(stars)).collect();
        let cats: Vec<i64> = (0..ratings.len() as i64).flat_map(|movie| [0, movie]).collect();
        let average = |t: &Tensor| t.detach().to_kind(Kind::Double).mean_dim(0, true, None);
        let n: f64 = self.card.user_ratings.iter().map(|&n| f64::from(n)).sum();
        let fold = FoldIn {
            u: rated.of_users(),
            average: self.of_users().iter().map(average).collect(),
            model: rated.model,
            cats: Tensor::from_slice(&cats).view([-1, 2]),
            y: Tensor::from_slice(&stars),
            decay: n * self.card.settings.wd / 2.0,
            looked: Cell::new(0),
        };
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), 50);
        let solver = solver.with_tolerance_grad(1e-7).map_err(reworded)?;
        let start = flat(&fold.average)?;
        let solved = Executor::new(&fold, solver)
            .configure(|state| state.param(start).max_iters(200))
            .run()
            .map_err(reworded)?;
        fold.put(solved.state.get_best_param().context("folding in ended without a solution")?);

        let new = self.for_one_user(None, Kind::Float)?;
        for (mut place, solved) in new.of_users().into_iter().zip(&fold.u) {
            tch::no_grad(|| place.f_copy_(solved).map(drop))?;
        }
        Ok(new)
    }

    /// The users' weights: u, and ub if there are biases.
    fn of_users(&self) -> Vec<Tensor> {
        let mut variables = self.vs.variables();
        ["u.weight", "ub.weight"].iter().filter_map(|name| variables.remove(*name)).collect()
    }

    /// The model with one user, whose weights are not yet set, and with some or all of the movies.
    fn for_one_user(&self, movies: Option<&[i64]>, kind: Kind) -> Result<Trained> {
        let mut card = self.card.clone();
        card.users = vec!["new".to_owned()];
        card.user_ratings = vec![0];
        if let Some(rows) = movies {
            card.movies = rows.iter().map(|&row| self.card.movies[row as usize].clone()).collect();
        }
        let tensors = self.vs.variables().into_iter().map(|(name, t)| {
            let t = t.detach();
            let t = match (name.as_str(), movies) {
                ("u.weight" | "ub.weight", _) => t.narrow(0, 0, 1),
                ("m.weight" | "mb.weight", Some(rows)) => t.index_select(0, &Tensor::from_slice(rows)),
                _ => t,
            };
            (name, t)
        });
        Trained::with(card, &tensors.collect(), kind)
    }
}

fn row(ids: &[String], id: &str) -> Option<i64> {
    ids.iter().position(|known| known == id.trim()).map(|row| row as i64)
}

/// Checks that the tensors match the model card, before anything of that size is allocated.
fn check(card: &ModelCard, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let (n_users, n_movies) = (card.users.len(), card.movies.len());
    let counted = (card.user_ratings.len(), card.movie_ratings.len());
    ensure!(n_users > 0 && n_movies > 0, "it names {n_users} users and {n_movies} movies");
    ensure!(
        counted == (n_users, n_movies),
        "it names {n_users} users and {n_movies} movies, and counts the ratings of {} and {}",
        counted.0,
        counted.1
    );
    for (what, ids) in [("users", &card.users), ("movies", &card.movies)] {
        ensure!(ids.iter().collect::<HashSet<_>>().len() == ids.len(), "two of its {what} have the same id");
    }
    let (low, high) = card.range;
    // Beyond this the solver for a new user does not converge.
    const MOST: f64 = 1e9;
    ensure!(low.abs().max(high.abs()) <= MOST && low < high, "ratings from {low:?} to {high:?}");
    card.settings.check()?;
    let Settings { wd, n_factors: (u, m), hidden, dropout, .. } = &card.settings;
    let (u, m) = (*u, *m);
    ensure!((0.0..=MOST).contains(wd), "a weight decay of {wd}");
    ensure!(u > 0 && m > 0 && hidden.iter().all(|width| *width > 0), "vectors or layers of length 0");
    let is_share = |p: f64| (0.0..1.0).contains(&p);
    ensure!(is_share(dropout.0) && is_share(dropout.1), "a dropout of {dropout:?}");
    let mut wanted = vec![
        ("u.weight".to_owned(), vec![n_users as i64, u]),
        ("m.weight".to_owned(), vec![n_movies as i64, m]),
    ];
    if card.settings.model == ModelKind::Net {
        let layers = card.settings.net_shape().layers((u, m)).into_iter().enumerate();
        wanted.extend(
            layers.map(|(i, (inputs, outputs))| (format!("lin{}.weight", i + 1), vec![outputs, inputs])),
        );
    }
    for (name, wanted) in wanted {
        match tensors.get(&name).map(Tensor::size) {
            Some(size) if size == wanted => {}
            Some(size) => bail!("its '{name}' has shape {size:?}, but its model card describes {wanted:?}"),
            None => bail!("it has no '{name}'"),
        }
    }
    for (name, t) in tensors.iter().filter(|(name, _)| name.ends_with(".weight") || name.ends_with(".bias")) {
        ensure!(model_file::is_finite(t), "its '{name}' has values that are not finite");
    }
    Ok(())
}

/// The minimization problem for one new user.
struct FoldIn {
    model: Box<dyn ModuleT>,
    /// The unknowns: the user's vector, (1, n_factors), and bias, (1, 1), if there is one.
    u: Vec<Tensor>,
    /// The average user's values, toward which the penalty pulls.
    average: Vec<Tensor>,
    /// User 0 and each rated movie: (n, 2).
    cats: Tensor,
    /// The user's ratings: (n,), float64.
    y: Tensor,
    decay: f64,
    /// How often the objective has been computed.
    looked: Cell<usize>,
}

impl FoldIn {
    /// Two hundred iterations of a solver that converges take some hundreds.
    const MOST: usize = 5000;

    fn put(&self, at: &[f64]) {
        let mut rest = at;
        for t in &self.u {
            let (mine, others) = rest.split_at(t.numel());
            tch::no_grad(|| t.shallow_clone().copy_(&Tensor::from_slice(mine).view_as(t)));
            rest = others;
        }
    }

    /// The objective to minimize: ().
    fn objective(&self, at: &[f64]) -> Tensor {
        self.put(at);
        let squares = self.model.forward_t(&self.cats, false).mse_loss(&self.y, Reduction::Sum);
        let pulls =
            self.u.iter().zip(&self.average).map(|(t, average)| (t - average).square().sum(Kind::Double));
        pulls.fold(squares, |sum, pull| sum + pull * self.decay)
    }
}

impl CostFunction for &FoldIn {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        self.looked.set(self.looked.get() + 1);
        ensure!(self.looked.get() <= FoldIn::MOST, "no minimum was found in {} steps", FoldIn::MOST);
        Ok(tch::no_grad(|| self.objective(at)).double_value(&[]))
    }
}

impl Gradient for &FoldIn {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        let slopes = Tensor::run_backward(&[self.objective(at)], &self.u, false, false);
        Ok(flat(&slopes)?)
    }
}

/// All numbers of some tensors as one vector.
fn flat(tensors: &[Tensor]) -> Result<Vec<f64>, tch::TchError> {
    let rows: Vec<Tensor> = tensors.iter().map(|t| t.reshape([-1])).collect();
    Vec::<f64>::try_from(Tensor::cat(&rows, 0))
}

/// Converts argmin's own error type, and says where the error comes from.
fn reworded(error: argmin::core::Error) -> anyhow::Error {
    anyhow!("folding the new user in failed: {error}")
}
