//! Titles as people write them, matched with the titles of the lecture's data.

use std::path::Path;

use lecture5::movielens::MovieLens;
use lecture5::recommend::titles::{Found, Titles};

fn titles() -> Titles {
    let ml = MovieLens::read(Path::new("data/ml-latest-small")).unwrap();
    let titles = ml.titles().unwrap();
    let mut named: Vec<(i64, String)> =
        titles.into_iter().map(|(id, title)| (id.parse().unwrap(), title)).collect();
    named.sort();
    Titles::new(named.iter().map(|(id, title)| (*id, title.as_str())))
}

#[test]
fn a_title_is_found_however_a_person_writes_it() {
    let titles = titles();
    let mut wrong = Vec::new();
    for (asked, id) in [
        ("Toy Story", 1),
        ("toy story", 1),
        ("TOY STORY (1995)", 1),
        ("toy story 1995", 1),
        ("Toy Story 2", 3114),
        ("The Matrix", 2571),
        ("Matrix, The", 2571),
        ("matrix", 2571),
        ("Matrix, The (1999)", 2571),
        ("Se7en", 47),
        ("seven", 47),
        ("Seven (a.k.a. Se7en) (1995)", 47),
        ("Cite des enfants perdus", 29),
        ("The City of Lost Children", 29),
        ("amelie", 4973),
        ("Fabuleux destin d'Amélie Poulain", 4973),
        ("La Dolce Vita", 8154),
        ("dolce vita", 8154),
        ("Schindlers List", 527),
        ("500 Days of Summer", 69757),
        ("(500) days of summer", 69757),
        ("2001: a space odyssey", 924),
        ("E.T. the Extraterrestrial", 1097),
        ("Pulp Fictoin", 296),
        ("Shawshenk Redemption", 318),
        ("godfather part ii", 1221),
        ("fellowship ring 2001", 4993),
        ("Die Hard", 1036),
    ] {
        let found = titles.find(asked);
        if found != Found::One(id) {
            wrong.push(format!("{asked} is {id}, not {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_title_that_fits_several_movies_names_them() {
    let titles = titles();
    let several = |asked| match titles.find(asked) {
        Found::Several(ids) => ids,
        found => panic!("{asked}: {found:?}"),
    };
    assert!(several("star wars").contains(&260));
    assert_eq!(several("Sabrina"), [7, 915]);
    assert_eq!(titles.find("Sabrina (1954)"), Found::One(915));
    assert!(several("harry potter").len() > 5);
    assert_eq!(titles.find("lord of the rings"), Found::One(2116), "the cartoon of 1978 has no other words");
}

#[test]
fn an_unknown_title_lists_the_most_similar_ones() {
    let titles = titles();
    assert_eq!(titles.find("Toy Story (1996)"), Found::Unknown(vec![1]), "the year is another");
    match titles.find("Silence of the Lamps and Sheep") {
        Found::Unknown(likest) => assert!(likest.contains(&593), "{likest:?}"),
        found => panic!("{found:?}"),
    }
    for nothing in ["", "  ", "...", "()", "qzxvw kjhgf qqqq", "(1995)"] {
        match titles.find(nothing) {
            Found::Unknown(likest) => assert!(likest.len() <= 5),
            found => panic!("{nothing}: {found:?}"),
        }
    }
    assert!(Titles::default().is_empty());
    assert_eq!(Titles::default().find("Toy Story"), Found::Unknown(Vec::new()));
}

#[test]
fn every_title_finds_its_own_movie() {
    let ml = MovieLens::read(Path::new("data/ml-latest-small")).unwrap();
    let titles = ml.titles().unwrap();
    let mut named: Vec<(i64, String)> =
        titles.into_iter().map(|(id, title)| (id.parse().unwrap(), title)).collect();
    named.sort();
    let titles = Titles::new(named.iter().map(|(id, title)| (*id, title.as_str())));
    for (id, title) in named.iter().step_by(97) {
        match titles.find(title) {
            Found::One(found) => assert_eq!(found, *id, "{title}"),
            // A few movies share title and year.
            Found::Several(found) => assert!(found.contains(id) && found.len() <= 3, "{title}: {found:?}"),
            Found::Unknown(_) => panic!("{title}"),
        }
    }
}
