//! Ids of users and movies, and the indices that embeddings need instead.

use std::fmt;
use std::hash::Hash;

use anyhow::{Result, bail};
use polars::prelude::*;

use crate::system::threads::both;

/// An id as the data has it. Ids are ordered by number or, if they are text, by text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A whole number.
    Whole(i64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Id::Whole(id) => write!(f, "{id}"),
            Id::Text(id) => f.write_str(id),
        }
    }
}

/// A mapping from ids with gaps to contiguous indices, in the order in which the ids first appear: the
/// lecture's `{o:i for i,o in enumerate(ratings.userId.unique())}`. An embedding is a table looked up by
/// row number, so its ids must not skip any. A column of whole numbers is mapped as such, any other as text.
#[derive(Debug, Clone)]
pub struct Ids(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Whole(Index<i64>),
    Text(Index<String>),
}

/// The ids in index order, and where each one is.
#[derive(Debug, Clone)]
struct Index<T> {
    ids: Vec<T>,
    at: PlHashMap<T, i64>,
}

impl<T: Clone + Eq + Hash> Index<T> {
    fn empty() -> Index<T> {
        Index { ids: Vec::new(), at: PlHashMap::new() }
    }

    /// The index of an id, a new one if the id has none.
    fn of<Q: Eq + Hash + ?Sized + ToOwned<Owned = T>>(&mut self, id: &Q) -> i64
    where
        T: std::borrow::Borrow<Q>,
    {
        if let Some(&index) = self.at.get(id) {
            return index;
        }
        let index = self.ids.len() as i64;
        self.ids.push(id.to_owned());
        self.at.insert(id.to_owned(), index);
        index
    }
}

impl Ids {
    /// Maps whole numbers.
    pub fn new(ids: impl IntoIterator<Item = i64>) -> Ids {
        let mut index = Index::empty();
        for id in ids {
            index.of(&id);
        }
        Ids(Kind::Whole(index))
    }

    /// Maps the distinct values of a column, and says which index each row gets: the lecture's `apply`.
    ///
    /// # Errors
    /// The column holds neither whole numbers nor text.
    pub fn map(column: &Column) -> Result<(Ids, Vec<i64>)> {
        match column.dtype() {
            DataType::Int64 => {
                let mut rows = Vec::with_capacity(column.len());
                let ids = of_wholes(column.i64()?, |index| rows.push(index));
                Ok((Ids(Kind::Whole(ids)), rows))
            }
            DataType::String => {
                let mut index = Index::empty();
                let rows = column.str()?.iter().flatten().map(|id| index.of(id)).collect();
                Ok((Ids(Kind::Text(index)), rows))
            }
            other => bail!("column '{}' is {other}: ids are whole numbers or text", column.name()),
        }
    }

    /// How many distinct ids a column holds: the lecture's `nunique()`.
    ///
    /// # Errors
    /// As [`Ids::map`].
    pub(super) fn count(column: &Column) -> Result<usize> {
        match column.dtype() {
            DataType::Int64 => Ok(of_wholes(column.i64()?, |_| ()).ids.len()),
            _ => Ok(Ids::map(column)?.0.len() as usize),
        }
    }

    /// How many there are: the lecture's `nunique()`.
    pub fn len(&self) -> i64 {
        match &self.0 {
            Kind::Whole(index) => index.ids.len() as i64,
            Kind::Text(index) => index.ids.len() as i64,
        }
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index of an id given as text, as a user types it or a file stores it.
    pub fn find(&self, id: &str) -> Option<i64> {
        match &self.0 {
            Kind::Whole(index) => index.at.get(&id.trim().parse::<i64>().ok()?).copied(),
            Kind::Text(index) => index.at.get(id).or_else(|| index.at.get(id.trim())).copied(),
        }
    }

    /// The id at an index.
    pub fn id(&self, index: i64) -> Option<Id> {
        let at = usize::try_from(index).ok()?;
        match &self.0 {
            Kind::Whole(index) => index.ids.get(at).map(|id| Id::Whole(*id)),
            Kind::Text(index) => index.ids.get(at).map(|id| Id::Text(id.clone())),
        }
    }

    /// The id at an index as text: what [`Ids::find`] takes. Empty if there is no such index.
    pub fn name(&self, index: i64) -> String {
        self.id(index).map(|id| id.to_string()).unwrap_or_default()
    }

    /// The ids in index order.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        (0..self.len()).filter_map(|index| self.id(index))
    }
}

/// Maps the distinct values of a column, and calls `each` with the index of each row.
fn of_wholes(column: &Int64Chunked, mut each: impl FnMut(i64)) -> Index<i64> {
    let values = || column.downcast_iter().flat_map(|chunk| chunk.values().iter().copied());
    let (least, most) = values().fold((0, 0), |(least, most), id| (id.min(least), id.max(most)));
    // Where ids are not far beyond how many there are, a table of them is quicker than hashing each.
    let few = least == 0 && most <= column.len().max(1 << 20) as i64;
    let mut table = vec![-1_i64; if few { most as usize + 1 } else { 0 }];
    let mut index = Index::empty();
    for id in values() {
        each(match few {
            true if table[id as usize] >= 0 => table[id as usize],
            true => {
                table[id as usize] = index.of(&id);
                table[id as usize]
            }
            false => index.of(&id),
        });
    }
    index
}

/// What the models are trained on: contiguous indices and ratings, in file order. fastai's `CollabFilterDataset`. A
/// pair of user and movie may occur in several rows: each of them is a rating.
#[derive(Debug, Clone)]
pub struct CollabFilterDataset {
    /// userId ↔ index.
    pub users: Ids,
    /// movieId ↔ index.
    pub items: Ids,
    /// The user's index, one per rating.
    pub user_idx: Vec<i64>,
    /// The movie's index, one per rating.
    pub item_idx: Vec<i64>,
    /// The ratings, in stars.
    pub y: Vec<f32>,
    /// Lowest and highest possible rating, unless the data's own range is meant.
    pub scale: Option<(f64, f64)>,
}

impl CollabFilterDataset {
    /// The lecture's `CollabFilterDataset.from_csv(path, 'ratings.csv', 'userId', 'movieId', 'rating')`, from
    /// the table already read.
    ///
    /// # Errors
    /// There is no such column, or it does not hold ids or ratings.
    pub fn from_data_frame(ratings: &DataFrame, user: &str, item: &str, rating: &str) -> Result<Self> {
        let (user, item) = (ratings.column(user)?, ratings.column(item)?);
        let stars = ratings.column(rating)?.f64()?;
        let y = || {
            let mut y = Vec::with_capacity(stars.len());
            stars.downcast_iter().for_each(|chunk| y.extend(chunk.values().iter().map(|&r| r as f32)));
            y
        };
        let (items, (users, y)) = both(|| Ids::map(item), || (Ids::map(user), y()));
        let ((users, user_idx), (items, item_idx)) = (users?, items?);
        Ok(CollabFilterDataset { users, items, user_idx, item_idx, y, scale: None })
    }

    /// The same ratings, on a scale that may be wider than their own range.
    pub fn on_scale(self, scale: Option<(f64, f64)>) -> Self {
        CollabFilterDataset { scale, ..self }
    }

    /// The lecture's `cats` of a rating: the indices of its user and its movie.
    pub fn cats(&self, row: usize) -> [i64; 2] {
        [self.user_idx[row], self.item_idx[row]]
    }

    /// Number of ratings.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// Whether there are no ratings.
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// Lowest and highest rating, in stars: the lecture's `min_rating,max_rating`. Those of the scale if one
    /// is stated, otherwise the data's.
    pub fn range(&self) -> (f64, f64) {
        self.scale.unwrap_or_else(|| {
            let (low, high) =
                self.y.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &r| (l.min(r), h.max(r)));
            (f64::from(low), f64::from(high))
        })
    }

    /// How many ratings are of a pair of user and movie that an earlier row has already rated.
    pub fn repeated(&self) -> usize {
        let mut pairs: Vec<[i64; 2]> = (0..self.len()).map(|row| self.cats(row)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        self.len() - pairs.len()
    }
}
