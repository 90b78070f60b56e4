//! The reasons why two ratings are alike, each as a number: a *term* of their covariance.

/// Reasons why two ratings by one user are alike.
const USER_TERMS: [&str; 15] = [
    "same user",
    "user: movies that others liked alike",
    "user: movies that others rated both",
    "user: genres",
    "user: the very same genres",
    "user: years within 20",
    "user: genres and years",
    "user: popularity",
    "user: within a minute",
    "user: within ten minutes",
    "user: within two days",
    "user: within two years",
    "user: some ratings apart",
    "user: some ratings apart, and genres",
    "user: some ratings apart, and rated both",
];
/// Reasons why two ratings of one movie are alike.
const ITEM_TERMS: [&str; 4] = [
    "same movie",
    "movie: users who liked alike",
    "movie: users who rated the same",
    "movie: within two years",
];
/// Features that any two ratings may share.
const SHARED_TERMS: [&str; 5] = [
    "all: genres",
    "all: how many ratings the user gave",
    "all: age of the movie",
    "all: calendar time",
    "all: popular movies and busy users",
];
/// What ratings do not share.
const NOISE_TERMS: [&str; 2] = ["noise", "noise of users who scatter"];

pub(super) const N_USER: usize = USER_TERMS.len();
pub(super) const N_ITEM: usize = ITEM_TERMS.len();
const N_SHARED: usize = SHARED_TERMS.len();
/// Number of terms.
pub const N_TERMS: usize = N_USER + N_ITEM + N_SHARED + NOISE_TERMS.len();

/// How much of the variance each term explains, in stars².
pub type Weights = [f64; N_TERMS];

/// The names of the terms, in the order of their weights.
pub fn term_names() -> impl Iterator<Item = &'static str> {
    USER_TERMS.into_iter().chain(ITEM_TERMS).chain(SHARED_TERMS).chain(NOISE_TERMS)
}

/// Words in the names of the terms that compare times.
pub(super) const TIMED: [&str; 6] = ["within a", "within ten", "within two", "apart", "time", "age of"];

/// What the terms compare in two ratings.
#[derive(Debug, Clone, Copy)]
pub(super) struct RatingFeatures {
    pub user: usize,
    pub item: usize,
    /// Seconds since 1970; 0 if unknown.
    pub time: f64,
    /// Rank in the order in which the user rated, ties in the middle.
    pub rank: f64,
    /// ln(1 + ratings that the movie has from others), about −2 to 2.
    pub popular: f64,
    /// ln(1 + ratings that the user gave), about −2 to 2.
    pub busy: f64,
    /// Ratings of the movie by other users, and by the user of other movies.
    pub n_item: f64,
    pub n_user: f64,
    /// Year of the movie; NaN if unknown.
    pub year: f64,
    pub genres: u64,
}

const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// Genres in common: the cosine of the two sets.
fn genres_alike(a: u64, b: u64) -> f64 {
    let n = f64::from(a.count_ones() * b.count_ones());
    if n > 0.0 { f64::from((a & b).count_ones()) / n.sqrt() } else { 0.0 }
}

/// The terms of two ratings by one user, each without its weight.
pub(super) fn user_terms(a: &RatingFeatures, b: &RatingFeatures, liked: f32, both: f32) -> [f64; N_USER] {
    let size = ((a.n_item + 3.0) * (b.n_item + 3.0)).sqrt();
    let (liked, both) = (f64::from(liked) / size, f64::from(both) / size);
    let genres = genres_alike(a.genres, b.genres);
    let years = (a.year - b.year).abs();
    let years = if years.is_nan() { 0.0 } else { (-years / 20.0).exp() };
    let apart = (a.time - b.time).abs();
    // Ranks say something within a session only.
    let near = |scale: f64| if apart < DAY / 2.0 { (-(a.rank - b.rank).abs() / scale).exp() } else { 0.0 };
    let some = near(20.0);
    [
        1.0,
        liked,
        both,
        genres,
        f64::from(a.genres == b.genres),
        years,
        genres * years,
        a.popular * b.popular,
        (-apart / MINUTE).exp(),
        (-apart / (10.0 * MINUTE)).exp(),
        (-apart / (2.0 * DAY)).exp(),
        (-apart / (2.0 * YEAR)).exp(),
        near(8.0),
        some * genres,
        some * both,
    ]
}

/// The terms of two ratings of one movie, each without its weight.
pub(super) fn item_terms(a: &RatingFeatures, b: &RatingFeatures, liked: f32, both: f32) -> [f64; N_USER] {
    let size = ((a.n_user + 10.0) * (b.n_user + 10.0)).sqrt();
    let mut terms = [0.0; N_USER];
    terms[0] = 1.0;
    terms[1] = f64::from(liked) / size;
    terms[2] = f64::from(both) / size;
    terms[3] = (-(a.time - b.time).abs() / (2.0 * YEAR)).exp();
    terms
}

/// The features that any two ratings may share, as columns: bumps along each known quantity of a rating. Each column
/// comes with the index of its term among the shared ones.
pub(super) fn shared_features(features: &[RatingFeatures]) -> Vec<(usize, Vec<f32>)> {
    let mut columns = Vec::new();
    let mut column = |term: usize, value: &dyn Fn(&RatingFeatures) -> f64| {
        let values: Vec<f32> = features.iter().map(|of_one| value(of_one) as f32).collect();
        if values.iter().any(|v| *v != 0.0) {
            columns.push((term, values));
        }
    };
    let bump = |x: f64, center: f64, width: f64| {
        let z = (x - center) / width;
        if z.is_nan() { 0.0 } else { (-z * z).exp() }
    };
    let since_1970 = |l: &RatingFeatures| l.time / YEAR;
    let age = |l: &RatingFeatures| (1970.0 + since_1970(l) - l.year).max(0.0).ln_1p() / 2.0 - 1.0;
    for genre in 0..64 {
        column(0, &|l| {
            let has = l.genres >> genre & 1;
            has as f64 / f64::from(l.genres.count_ones().max(1)).sqrt()
        });
    }
    for k in -2..=2 {
        column(1, &|l| bump(l.busy, 0.8 * f64::from(k), 0.8));
    }
    for k in -3..=3 {
        column(2, &|l| if l.time > 0.0 { bump(age(l), 0.35 * f64::from(k), 0.35) } else { 0.0 });
    }
    for k in 0..16 {
        column(3, &|l| if l.time > 0.0 { bump(since_1970(l), 26.0 + 2.0 * f64::from(k), 2.0) } else { 0.0 });
    }
    column(4, &|l| l.popular * l.busy);
    columns
}
