//! The reasons why two ratings are alike, each as a number: a *term* of their covariance.
//!
//! The terms of one rating with many others are computed together, one row of numbers per term, so that the compiler
//! turns each line below into vector instructions.

use crate::system::wide::wide;

/// Reasons why two ratings by one user are alike.
const USER_TERMS: [&str; 16] = [
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
    "user: within ten minutes, and liked alike",
];
/// Reasons why two ratings of one movie are alike.
const ITEM_TERMS: [&str; 7] = [
    "same movie",
    "movie: users who liked alike",
    "movie: users who rated the same",
    "movie: within two years",
    "movie: within two months",
    "movie: users who liked much alike",
    "movie: users as busy",
];
/// Features that any two ratings may share.
const SHARED_TERMS: [&str; 6] = [
    "all: genres",
    "all: how many ratings the user gave",
    "all: age of the movie",
    "all: calendar time",
    "all: popular movies and busy users",
    "all: time of the user",
];
/// What ratings do not share.
const NOISE_TERMS: [&str; 2] = ["noise", "noise of users who scatter"];

pub(super) const N_USER: usize = USER_TERMS.len();
/// The first of the user terms that compares times: all after it do.
pub(super) const TIMED_FROM: usize = 8;
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
    /// Seconds since 1970; 0 if unknown.
    pub time: f64,
    /// Rank in the order in which the user rated, ties in the middle.
    pub rank: f32,
    /// ln(1 + ratings that the movie has from others), about −2 to 2.
    pub popular: f32,
    /// ln(1 + ratings that the user gave), about −2 to 2; 0 for a user without any, of whom nothing is known.
    pub busy: f32,
    /// Ratings of the movie by other users, and by the user of other movies.
    pub n_item: f32,
    pub n_user: f32,
    /// Year of the movie; NaN if unknown.
    pub year: f32,
    pub genres: u64,
}

const MINUTE: f32 = 60.0;
const DAY: f32 = 86_400.0;
const YEAR: f32 = 365.25 * DAY;

/// The features of many ratings, one array for each.
#[derive(Debug, Default)]
pub(super) struct Columns {
    time: Vec<f64>,
    rank: Vec<f32>,
    popular: Vec<f32>,
    busy: Vec<f32>,
    year: Vec<f32>,
    genres: Vec<u64>,
    /// 1/√(number of genres)
    per_genre: Vec<f32>,
    /// 1/√(ratings of the movie + 3) and 1/√(ratings by the user + 10): they shrink the similarities of what few rated.
    per_item: Vec<f32>,
    per_user: Vec<f32>,
}

/// The same of some ratings in a row.
#[derive(Clone, Copy)]
pub(super) struct Slice<'c> {
    time: &'c [f64],
    rank: &'c [f32],
    popular: &'c [f32],
    busy: &'c [f32],
    year: &'c [f32],
    genres: &'c [u64],
    per_genre: &'c [f32],
    per_item: &'c [f32],
    per_user: &'c [f32],
}

impl RatingFeatures {
    fn per_genre(&self) -> f32 {
        (self.genres.count_ones().max(1) as f32).sqrt().recip()
    }

    fn per_item(&self) -> f32 {
        (self.n_item + 3.0).sqrt().recip()
    }

    fn per_user(&self) -> f32 {
        (self.n_user + 10.0).sqrt().recip()
    }
}

impl Columns {
    pub(super) fn new<'f>(ratings: impl Iterator<Item = &'f RatingFeatures>) -> Columns {
        let mut columns = Columns::default();
        for of in ratings {
            columns.time.push(of.time);
            columns.rank.push(of.rank);
            columns.popular.push(of.popular);
            columns.busy.push(of.busy);
            columns.year.push(of.year);
            columns.genres.push(of.genres);
            columns.per_genre.push(of.per_genre());
            columns.per_item.push(of.per_item());
            columns.per_user.push(of.per_user());
        }
        columns
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> Slice<'_> {
        Slice {
            time: &self.time[from..to],
            rank: &self.rank[from..to],
            popular: &self.popular[from..to],
            busy: &self.busy[from..to],
            year: &self.year[from..to],
            genres: &self.genres[from..to],
            per_genre: &self.per_genre[from..to],
            per_item: &self.per_item[from..to],
            per_user: &self.per_user[from..to],
        }
    }
}

/// e^x for x ≤ 0, to six digits and without a branch: 2^n·2^f, with n the nearest whole number to x·log₂e.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Added to a number, it leaves the nearest whole number in the last bits.
    const TO_WHOLE: f32 = 12_582_912.0;
    let power = (x * std::f32::consts::LOG2_E).max(-126.0);
    let shifted = power + TO_WHOLE;
    let f = power - (shifted - TO_WHOLE);
    // The Taylor series of 2^f for −½ ≤ f ≤ ½.
    let series = 1.0
        + f * (std::f32::consts::LN_2
            + f * (0.240_226_5 + f * (0.055_504_11 + f * (0.009_618_13 + f * 0.001_333_36))));
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits())) * series
}

/// Fills a row of numbers from one or two columns.
macro_rules! fill {
    ($row:expr, $x:ident in $xs:expr => $value:expr) => {
        for (out, &$x) in $row.iter_mut().zip($xs) {
            *out = $value;
        }
    };
    ($row:expr, $x:ident in $xs:expr, $y:ident in $ys:expr => $value:expr) => {
        for ((out, &$x), &$y) in $row.iter_mut().zip($xs).zip($ys) {
            *out = $value;
        }
    };
}

wide! {
    /// The terms of a rating with others by the same user, each without its weight: (terms, others). `liked` and `both`
    /// are what other users' ratings say of its movie and each other movie: sums of products, and how many. With room for
    /// only the terms that need no times, the others are not computed.
    pub(super) fn user_terms(a: &RatingFeatures, b: Slice<'_>, liked: &[f32], both: &[f32], out: &mut [f32]) {
        let m = liked.len();
        let timed = out.len() > TIMED_FROM * m;
        let mut rows = out.chunks_exact_mut(m);
        let mut next = || rows.next().expect("there is a row for each term");
        let (per_item, per_genre) = (a.per_item(), a.per_genre());
        // Not a number if one of the years is unknown.
        let years = |year: f32| {
            let alike = exp(-(a.year - year).abs() / 20.0);
            if (a.year - year).is_nan() { 0.0 } else { alike }
        };
        let genres = |genres: u64, per: f32| (a.genres & genres).count_ones() as f32 * (per * per_genre);
        let apart = |time: f64| (a.time - time).abs() as f32;
        // Ranks say something within a session only.
        let near = |rank: f32, time: f64, scale: f32| {
            let near = exp(-(a.rank - rank).abs() / scale);
            if apart(time) < DAY / 2.0 { near } else { 0.0 }
        };
        next().fill(1.0);
        let liked_alike = next();
        fill!(liked_alike, liked in liked, per in b.per_item => liked * (per * per_item));
        let both_alike = next();
        fill!(both_alike, both in both, per in b.per_item => both * (per * per_item));
        let genres_alike = next();
        fill!(genres_alike, g in b.genres, per in b.per_genre => genres(g, per));
        fill!(next(), g in b.genres => if g == a.genres { 1.0 } else { 0.0 });
        let years_alike = next();
        fill!(years_alike, year in b.year => years(year));
        fill!(next(), genres in &*genres_alike, years in &*years_alike => genres * years);
        fill!(next(), popular in b.popular => a.popular * popular);
        if !timed {
            return;
        }
        fill!(next(), time in b.time => exp(-apart(time) / MINUTE));
        let minutes = next();
        fill!(minutes, time in b.time => exp(-apart(time) / (10.0 * MINUTE)));
        fill!(next(), time in b.time => exp(-apart(time) / (2.0 * DAY)));
        fill!(next(), time in b.time => exp(-apart(time) / (2.0 * YEAR)));
        fill!(next(), rank in b.rank, time in b.time => near(rank, time, 8.0));
        let and_genres = next();
        fill!(and_genres, rank in b.rank, time in b.time => near(rank, time, 20.0));
        fill!(next(), near in &*and_genres, both in &*both_alike => near * both);
        fill!(next(), liked in &*liked_alike, near in &*minutes => liked * near);
        and_genres.iter_mut().zip(&*genres_alike).for_each(|(near, genres)| *near *= genres);
    }
}

wide! {
    /// The terms of a rating with others of the same movie, each without its weight.
    pub(super) fn item_terms(a: &RatingFeatures, b: Slice<'_>, liked: &[f32], both: &[f32], out: &mut [f32]) {
        let m = liked.len();
        let mut rows = out.chunks_exact_mut(m);
        let mut next = || rows.next().expect("there is a row for each term");
        let per_user = a.per_user();
        next().fill(1.0);
        let liked_alike = next();
        fill!(liked_alike, liked in liked, per in b.per_user => liked * (per * per_user));
        fill!(next(), both in both, per in b.per_user => both * (per * per_user));
        fill!(next(), time in b.time => exp(-(a.time - time).abs() as f32 / (2.0 * YEAR)));
        fill!(next(), time in b.time => exp(-(a.time - time).abs() as f32 / (60.0 * DAY)));
        fill!(next(), liked in &*liked_alike => liked * liked * liked);
        fill!(next(), busy in b.busy => exp(-(a.busy - busy).abs()));
    }
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
    let since_1970 = |l: &RatingFeatures| l.time / f64::from(YEAR);
    let age = |l: &RatingFeatures| (1970.0 + since_1970(l) - f64::from(l.year)).max(0.0).ln_1p() / 2.0 - 1.0;
    for genre in 0..64 {
        column(0, &|l| {
            let has = l.genres >> genre & 1;
            has as f64 / f64::from(l.genres.count_ones().max(1)).sqrt()
        });
    }
    for k in -2..=2 {
        column(1, &|l| if l.n_user > 0.0 { bump(f64::from(l.busy), 0.8 * f64::from(k), 0.8) } else { 0.0 });
    }
    for k in -3..=3 {
        column(2, &|l| if l.time > 0.0 { bump(age(l), 0.35 * f64::from(k), 0.35) } else { 0.0 });
    }
    for k in 0..16 {
        column(3, &|l| if l.time > 0.0 { bump(since_1970(l), 26.0 + 2.0 * f64::from(k), 2.0) } else { 0.0 });
    }
    column(4, &|l| f64::from(l.popular * l.busy));
    for k in 0..6 {
        let place = |l: &RatingFeatures| f64::from(l.rank + 1.0).max(0.1).ln();
        column(5, &|l| if l.n_user > 0.0 { bump(place(l), 1.5 * f64::from(k), 1.5) } else { 0.0 });
    }
    columns
}
