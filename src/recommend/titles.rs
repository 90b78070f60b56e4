//! Finds a movie by its title as people write it: without the year, the case or the accents, "The Matrix" for "Matrix,
//! The (1999)", by another of its names, by a part of it, or with a typo.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What a title led to; the numbers are those that [`Titles::new`] was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This movie.
    One(i64),
    /// Any of these.
    Several(Vec<i64>),
    /// None; the most similar titles, best first.
    Unknown(Vec<i64>),
}

/// The titles of a collection, ready to be searched.
#[derive(Debug, Default)]
pub struct Titles {
    movies: Vec<Movie>,
}

#[derive(Debug)]
struct Movie {
    number: i64,
    /// `1995` of "(1995)" or "(1995–1997)".
    year: Option<String>,
    /// See [`names`].
    names: Vec<String>,
    /// Of each name, without its article.
    letters: Vec<Letters>,
}

/// How many letters of each of 32 kinds a name has. Two names are at least as many typos apart as one has letters that the
/// other has not, which is much faster to count.
#[derive(Debug)]
struct Letters {
    counts: [u8; 32],
    length: usize,
}

impl Letters {
    fn of(name: &str) -> Letters {
        let mut counts = [0u8; 32];
        for letter in name.chars() {
            let count = &mut counts[u32::from(letter) as usize % 32];
            *count = count.saturating_add(1);
        }
        Letters { counts, length: name.chars().count() }
    }

    fn least_typos(&self, other: &Letters) -> usize {
        let (mut more, mut fewer) = (0, 0);
        for (a, b) in self.counts.iter().zip(&other.counts) {
            more += usize::from(a.saturating_sub(*b));
            fewer += usize::from(b.saturating_sub(*a));
        }
        more.max(fewer).max(self.length.abs_diff(other.length))
    }

    /// How similar names of these lengths are that are so many typos apart: from 0 to 1.
    fn likeness(&self, other: &Letters, typos: usize) -> f64 {
        1.0 - typos as f64 / self.length.max(other.length).max(1) as f64
    }
}

/// Titles that are less similar than this are not suggested.
const LIKE: f64 = 0.4;
/// No title has more bytes than this.
const LONGEST: usize = 1000;
/// How many titles are suggested for one that is unknown.
const SUGGESTIONS: usize = 5;

impl Titles {
    /// The titles with the numbers of their movies.
    pub fn new<'a>(titles: impl IntoIterator<Item = (i64, &'a str)>) -> Titles {
        let movies = titles.into_iter().map(|(number, title)| {
            let (title, year) = split_year(title);
            let names = names(title);
            let letters = names.iter().map(|name| Letters::of(without_article(name))).collect();
            Movie { number, year: year.map(str::to_owned), names, letters }
        });
        Titles { movies: movies.collect() }
    }

    /// Whether there is no title.
    pub fn is_empty(&self) -> bool {
        self.movies.is_empty()
    }

    /// The movie that `asked` means. The first of these rules that finds any decides: the same title; the same except
    /// for a leading article; a title that begins with it; one that contains it; one that has all of its words; one
    /// that is a few typos away. A year, if given, must be the movie's.
    pub fn find(&self, asked: &str) -> Found {
        let (title, year) = split_year(asked);
        if title.len() > LONGEST {
            return Found::Unknown(Vec::new());
        }
        let Some(name) = names(title).into_iter().next() else { return Found::Unknown(Vec::new()) };
        // "toy story 1995" ends with a year, "blade runner 2049" with a part of the title.
        let with_bare_year = || {
            let (name, year) = bare_year(&name)?;
            self.search(name, Some(year))
        };
        self.search(&name, year).or_else(with_bare_year).unwrap_or_else(|| self.nearly(&name, year))
    }

    /// The movie of a title and a separate year. Catalogs differ by a year in when a film came out, so a movie of the
    /// year before or after is taken if there is none of the year.
    pub fn find_of(&self, asked: &str, year: Option<i64>) -> Found {
        let (title, None, Some(year)) = (split_year(asked).0, split_year(asked).1, year) else {
            return self.find(asked);
        };
        let of = |year: i64| self.find(&format!("{title} ({year})"));
        let near = [year - 1, year + 1].into_iter().map(of).find(|found| matches!(found, Found::One(_)));
        match of(year) {
            Found::Unknown(likely) => near.unwrap_or(Found::Unknown(likely)),
            found => found,
        }
    }

    /// All rules except that for typos.
    fn search(&self, name: &str, year: Option<&str>) -> Option<Found> {
        let words: Vec<&str> = name.split(' ').collect();
        let inside = format!(" {name}");
        let long_enough = name.chars().count() >= 3;
        let same = |theirs: &str| theirs == name;
        let same_but_article = |theirs: &str| without_article(theirs) == without_article(name);
        let begins = |theirs: &str| theirs.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        let contains = |theirs: &str| long_enough && (theirs.starts_with(name) || theirs.contains(&inside));
        let has = |theirs: &str, word: &str| theirs.split(' ').any(|other| other == word);
        let has_words = |theirs: &str| long_enough && words.iter().all(|word| has(theirs, word));
        let ways: [&dyn Fn(&str) -> bool; 5] = [&same, &same_but_article, &begins, &contains, &has_words];
        let by = |way: &dyn Fn(&str) -> bool| -> Vec<&Movie> {
            self.movies.iter().filter(|movie| movie.names.iter().any(|theirs| way(theirs))).collect()
        };
        let found = ways.into_iter().map(by).find(|found| !found.is_empty())?;
        let of_the_year: Vec<i64> = found.iter().filter(|m| m.is_of(year)).map(|m| m.number).collect();
        Some(match of_the_year[..] {
            [] => Found::Unknown(found.iter().take(SUGGESTIONS).map(|m| m.number).collect()),
            [one] => Found::One(one),
            _ => Found::Several(of_the_year),
        })
    }

    /// The title that is at most one typo in six letters away, or else the most similar ones.
    fn nearly(&self, name: &str, year: Option<&str>) -> Found {
        let name = without_article(name);
        let asked = Letters::of(name);
        let most = asked.length.div_ceil(6);
        let typos = |theirs: &str| strsim::osa_distance(without_article(theirs), name);
        let least = |m: &Movie| {
            let near =
                m.letters.iter().zip(&m.names).filter(|(theirs, _)| theirs.least_typos(&asked) <= most);
            near.map(|(_, theirs)| typos(theirs)).filter(|typos| *typos <= most).min()
        };
        let of_the_year = self.movies.iter().filter(|m| m.is_of(year) && asked.length >= 4);
        let close: Vec<(usize, i64)> = of_the_year.filter_map(|m| Some((least(m)?, m.number))).collect();
        if let Some(least) = close.iter().map(|&(typos, _)| typos).min() {
            let best: Vec<i64> = close.iter().filter(|c| c.0 == least).map(|c| c.1).collect();
            return if let [one] = best[..] { Found::One(one) } else { Found::Several(best) };
        }
        // The most similar that a name can be; the few best are found among the first.
        let names = self
            .movies
            .iter()
            .flat_map(|m| m.letters.iter().zip(&m.names).map(move |(l, name)| (m, l, name)));
        let mut names: Vec<(f64, &Movie, &Letters, &String)> = names
            .map(|(m, letters, name)| (asked.likeness(letters, asked.least_typos(letters)), m, letters, name))
            .filter(|(at_most, ..)| *at_most > LIKE)
            .collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut likest: Vec<(f64, i64)> = Vec::new();
        for (at_most, movie, letters, name) in names {
            if likest.len() == SUGGESTIONS && at_most < likest[SUGGESTIONS - 1].0 {
                break;
            }
            let likeness = asked.likeness(letters, typos(name));
            if likeness > LIKE
                && likest.iter().all(|(other, number)| *number != movie.number || *other < likeness)
            {
                likest.retain(|(_, number)| *number != movie.number);
                likest.push((likeness, movie.number));
                likest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                likest.truncate(SUGGESTIONS);
            }
        }
        Found::Unknown(likest.into_iter().map(|(_, number)| number).collect())
    }
}

impl Movie {
    fn is_of(&self, year: Option<&str>) -> bool {
        year.is_none_or(|year| self.year.as_deref() == Some(year))
    }
}

/// A title and the year in brackets at its end: "Toy Story (1995)", "Death Note (2006–2007)".
fn split_year(title: &str) -> (&str, Option<&str>) {
    let title = title.trim();
    let found = title.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')).filter(|(_, years)| {
        years.len() >= 4 && years.chars().all(|c| c.is_ascii_digit() || c == '-' || c == '–')
    });
    match found.and_then(|(title, years)| Some((title.trim_end(), years.get(..4)?))) {
        Some((title, year)) => (title, Some(year)),
        None => (title, None),
    }
}

/// A plain name and the year after it without brackets.
fn bare_year(name: &str) -> Option<(&str, &str)> {
    let (name, year) = name.rsplit_once(' ')?;
    let digits = year.len() == 4 && year.chars().all(|c| c.is_ascii_digit());
    digits.then_some((name, year))
}

/// The names in a title without its year, in plain words: all of it, then what comes before the first bracket, then
/// what is in brackets ("Seven (a.k.a. Se7en)", "City of Lost Children, The (Cité des enfants perdus, La)"). Empty if
/// there is no letter or digit.
fn names(title: &str) -> Vec<String> {
    let parts = title.split(['(', ')']).map(str::trim);
    let parts = parts.map(|part| part.strip_prefix("a.k.a. ").unwrap_or(part));
    let mut names: Vec<String> = [title].into_iter().chain(parts).map(|part| plain(&spoken(part))).collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

/// The articles that catalogs put after a title.
const ARTICLES: [&str; 28] = [
    "the", "a", "an", "la", "le", "les", "l'", "un", "une", "el", "los", "las", "il", "lo", "gli", "i",
    "der", "die", "das", "den", "det", "de", "en", "ett", "het", "o", "os", "as",
];

/// "Matrix, The" as it is spoken: "The Matrix".
fn spoken(title: &str) -> String {
    match title.rsplit_once(", ") {
        Some((rest, article)) if ARTICLES.contains(&article.to_lowercase().as_str()) => {
            let space = if article.ends_with('\'') { "" } else { " " };
            format!("{article}{space}{rest}")
        }
        _ => title.to_owned(),
    }
}

/// A title for a narrow place: "The Matrix" for "Matrix, The (1999)".
pub fn short(title: &str) -> String {
    let (name, _) = split_year(title);
    let before_bracket = name.split(" (").next().unwrap_or(name);
    spoken(before_bracket)
}

/// Lower case, no accents, "and" for "&", apostrophes removed, and single spaces for everything else that is not a
/// letter or digit.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfd().filter(|&c| !is_combining_mark(c)).flat_map(char::to_lowercase) {
        match c {
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' => out.push('d'),
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            '&' => out.push_str(" and "),
            '\'' | '’' | '`' | '.' => {}
            c if c.is_alphanumeric() => out.push(c),
            _ => out.push(' '),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A plain name without the article it begins with. Only articles that are not also other words: "die" and "i" are.
fn without_article(name: &str) -> &str {
    match name.split_once(' ') {
        Some(("the" | "a" | "an" | "la" | "le" | "les" | "el" | "il" | "der" | "das", rest)) => rest,
        _ => name,
    }
}
