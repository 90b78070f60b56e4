//! The two workbooks, read back, and recalculated by another program.
//!
//! Three numbers must agree for every formula: the stored result, LibreOffice's result, and (if a trace has it)
//! Rust's result. Tolerance: 1e-9, relative for values above 1, otherwise absolute.

use calamine::{Data, Range, Reader, Xlsx};
use lecture5::excel::descent::{self, Optimizer, Row};
use lecture5::excel::solver::{Descent, Factors, rated, solve};
use lecture5::excel::{Crosstab, collab_filter, epochs_shown, graddesc};
use lecture5::movielens::Id;
use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

/// The lecture's crosstab: three header rows (movie ids, indices, titles), then one row per user.
fn crosstab() -> Crosstab {
    let text = include_str!("../fixtures/crosstab.tsv");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    Crosstab {
        users: rows[3..].iter().map(|row| Id::Whole(row[0].parse().unwrap())).collect(),
        user_idx: rows[3..].iter().map(|row| row[1].parse().unwrap()).collect(),
        movies: rows[0][2..].iter().map(|cell| Id::Whole(cell.parse().unwrap())).collect(),
        movie_idx: rows[1][2..].iter().map(|cell| cell.parse().unwrap()).collect(),
        titles: rows[2][2..].iter().map(|cell| cell.to_string()).collect(),
        ratings: rows[3..]
            .iter()
            .map(|row| row[2..].iter().map(|cell| cell.parse().ok()).collect())
            .collect(),
    }
}

/// A numeric id as in a cell.
fn id(id: &Id) -> f64 {
    match id {
        Id::Whole(id) => *id as f64,
        Id::Text(text) => panic!("'{text}' is no number"),
    }
}

fn descent(bias: bool) -> Descent {
    solve(&crosstab().ratings, &Factors::random(15, 15, 5, bias, 0), 1000).unwrap()
}

fn collab() -> Vec<u8> {
    collab_filter(&crosstab(), &descent(false), &descent(true)).unwrap()
}

type Book = Xlsx<Cursor<Vec<u8>>>;

fn open(bytes: Vec<u8>) -> Book {
    calamine::open_workbook_from_rs(Cursor::new(bytes)).unwrap()
}

fn number(range: &Range<Data>, at: (u32, u32)) -> f64 {
    match range.get_value(at) {
        Some(Data::Float(x)) => *x,
        Some(Data::Int(x)) => *x as f64,
        other => panic!("cell {at:?} holds {other:?}, not a number"),
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.0)
}

/// The position of a text in a row.
fn find(range: &Range<Data>, row: u32, text: &str) -> u32 {
    let width = range.end().unwrap().1;
    let found = (0..=width).find(|&col| range.get_value((row, col)).is_some_and(|cell| cell == text));
    found.unwrap_or_else(|| panic!("row {row} has no '{text}'"))
}

/// The workbooks after LibreOffice has loaded and recalculated them, or why they are not available.
fn recalculated(books: &[(&str, Vec<u8>)]) -> Result<BTreeMap<String, Book>, String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // LibreOffice trusts stored results by default; 0 means "always recalculate".
    std::fs::create_dir_all(at("profile/user")).unwrap();
    std::fs::write(at("profile/user/registrymodifications.xcu"), ALWAYS_RECALCULATE).unwrap();
    let mut command = Command::new("soffice");
    command.arg(format!("-env:UserInstallation=file://{}", at("profile").display()));
    command.args(["--headless", "--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir"]);
    command.arg(at("out")).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, bytes) in books {
        std::fs::write(at(name), bytes).unwrap();
        command.arg(at(name));
    }
    match command.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err("LibreOffice (soffice) is not installed".into());
        }
        Err(error) => panic!("soffice could not be started: {error}"),
        Ok(status) => assert!(status.success(), "soffice ended with {status}"),
    }
    let read =
        |name: &&str| (name.to_string(), open(std::fs::read(Path::new(&at("out")).join(name)).unwrap()));
    Ok(books.iter().map(|(name, _)| read(name)).collect())
}

const ALWAYS_RECALCULATE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"#;

/// A workbook whose one formula, in A1, carries a wrong result.
fn liar() -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let formula = rust_xlsxwriter::Formula::new("=1+1").set_result("99");
    book.add_worksheet().write_formula(0, 0, formula).unwrap();
    book.save_to_buffer().unwrap()
}

#[test]
fn libreoffice_gets_every_result_that_is_stored() {
    let books =
        [("graddesc.xlsx", graddesc().unwrap()), ("collab_filter.xlsx", collab()), ("liar.xlsx", liar())];
    let mut after = match recalculated(&books) {
        Ok(after) => after,
        Err(why) => return println!("skipped: {why}"),
    };
    let liar = after.get_mut("liar.xlsx").unwrap().worksheet_range("Sheet1").unwrap();
    assert_eq!(number(&liar, (0, 0)), 2.0, "nothing was recalculated, so this test would prove nothing");

    for (name, formulas) in [("graddesc.xlsx", 15_000), ("collab_filter.xlsx", 3_900)] {
        let mut before = open(books.iter().find(|(book, _)| *book == name).unwrap().1.clone());
        let after = after.get_mut(name).unwrap();
        let mut seen = 0;
        for sheet in before.sheet_names() {
            let stored = before.worksheet_range(&sheet).unwrap();
            let anew = after.worksheet_range(&sheet).unwrap();
            let text = before.worksheet_formula(&sheet).unwrap();
            let (top, left) = text.start().unwrap_or_default();
            for (row, col, formula) in text.used_cells() {
                let at = (top + row as u32, left + col as u32);
                let (stored, anew) = (number(&stored, at), number(&anew, at));
                assert!(
                    close(stored, anew),
                    "{sheet} {at:?}: {formula} is stored as {stored}, comes to {anew}"
                );
                seen += 1;
            }
        }
        assert!(seen > formulas, "{name} has {seen} formulas");
    }
}

/// One number of a row.
type Of = fn(&Row) -> f64;

#[test]
fn every_row_of_graddesc_holds_what_the_optimizer_did() {
    let mut book = open(graddesc().unwrap());
    for optimizer in Optimizer::ALL {
        let sheet = book.worksheet_range(optimizer.name()).unwrap();
        let trace =
            descent::run(optimizer, optimizer.settings(), &descent::points(), epochs_shown(optimizer));
        let mut columns: Vec<(&str, Of)> = vec![
            ("x", |row| row.x),
            ("y", |row| row.y),
            ("intercept b", |row| row.w.b),
            ("slope a", |row| row.w.a),
            ("y_pred", |row| row.pred),
            ("err²", |row| row.err2),
            ("de/db", |row| row.gradient.b),
            ("de/da", |row| row.gradient.a),
            ("new a", |row| row.new.a),
            ("new b", |row| row.new.b),
        ];
        if optimizer.uses_mean() {
            columns.push(("avg de/db", |row| row.mean.b));
            columns.push(("avg de/da", |row| row.mean.a));
        }
        if optimizer.uses_square() {
            columns.push(("avg (de/db)²", |row| row.square.b));
            columns.push(("avg (de/da)²", |row| row.square.a));
        }
        for (head, value) in columns {
            let col = find(&sheet, 4, head);
            for (nth, epoch) in trace.warm_ups.iter().chain(&trace.epochs).enumerate() {
                for (i, row) in epoch.rows.iter().enumerate() {
                    let at = (6 + 30 * nth as u32 + i as u32, col);
                    let stored = number(&sheet, at);
                    assert!(close(stored, value(row)), "{optimizer} {at:?} {head}: {stored}, {}", value(row));
                }
            }
        }
        let (rmse, loss) = (find(&sheet, 4, "RMSE"), find(&sheet, 4, "f = √Σerr²"));
        for (row, epoch) in (6..).zip(trace.warm_ups.iter().chain(&trace.epochs)) {
            assert!(close(number(&sheet, (row, rmse)), epoch.rmse), "{optimizer}");
            assert!(close(number(&sheet, (row, loss)), epoch.loss), "{optimizer}");
        }
    }
}

#[test]
fn adams_averages_are_in_the_columns_that_the_lecture_names() {
    let sheet = open(graddesc().unwrap()).worksheet_range("adam").unwrap();
    assert_eq!(sheet.get_value((4, 9)).unwrap(), "avg de/db"); // J
    assert_eq!(sheet.get_value((4, 11)).unwrap(), "avg (de/db)²"); // L
    let formulas = open(graddesc().unwrap()).worksheet_formula("adam").unwrap();
    assert_eq!(formulas.get_value((7, 9)).unwrap(), "$E$4*J7+(1-$E$4)*H8"); // J8
    assert_eq!(formulas.get_value((7, 11)).unwrap(), "$G$4*L7+(1-$G$4)*H8^2"); // L8
    assert_eq!(formulas.get_value((7, 13)).unwrap(), "D8-$C$4*J7/SQRT(L7)"); // new b
}

#[test]
fn the_summary_quotes_the_first_five_epochs_of_every_optimizer() {
    let sheet = open(graddesc().unwrap()).worksheet_range("summary").unwrap();
    for (row, optimizer) in (5..).zip(Optimizer::ALL) {
        assert_eq!(sheet.get_value((row, 0)).unwrap(), optimizer.name());
        let trace = descent::run(optimizer, optimizer.settings(), &descent::points(), descent::EPOCHS);
        for (col, rmse) in (2..).zip(trace.rmse()) {
            assert!(close(number(&sheet, (row, col)), rmse), "{optimizer}");
        }
        assert!(
            close(number(&sheet, (row, 7)), trace.end.w.b) && close(number(&sheet, (row, 8)), trace.end.w.a)
        );
    }
}

/// Row of a sheet of collab_filter.xlsx that repeats the movies' indices, and the column of the users'.
fn corner(bias: bool) -> (u32, u32) {
    if bias { (30, 7) } else { (29, 6) }
}

#[test]
fn both_grids_hold_the_ratings_the_factors_and_their_predictions() {
    let crosstab = crosstab();
    let mut book = open(collab());
    for bias in [false, true] {
        let name = if bias { "bias" } else { "dotprod" };
        let descent = descent(bias);
        for (name, factors) in
            [(name.to_string(), &descent.start), (format!("{name} solved"), &descent.solution)]
        {
            let sheet = book.worksheet_range(&name).unwrap();
            let (row, col) = corner(bias);
            assert!(close(number(&sheet, (26, 2)), factors.rmse(&crosstab.ratings)), "{name}");
            for u in 0..15 {
                assert_eq!(number(&sheet, (row + 1 + u, 0)), id(&crosstab.users[u as usize]));
                assert_eq!(number(&sheet, (row + 1 + u, col)), crosstab.user_idx[u as usize] as f64);
                assert_eq!(number(&sheet, (row + 1 + u, 1)), factors.users[u as usize][0]);
                for m in 0..15 {
                    let stored = number(&sheet, (row + 1 + u, col + 1 + m));
                    let cell = sheet.get_value((7 + u, col + 1 + m)).unwrap();
                    match crosstab.ratings[u as usize][m as usize] {
                        Some(rating) => {
                            assert_eq!(*cell, f64::from(rating));
                            assert!(close(stored, factors.predict(u as usize, m as usize)), "{name} {u} {m}");
                        }
                        None => assert_eq!((cell, stored), (&Data::Empty, 0.0), "{name} {u} {m}"),
                    }
                }
            }
            if bias {
                assert_eq!(number(&sheet, (row + 1, 6)), factors.user_bias[0]);
                assert_eq!(number(&sheet, (row - 1, col + 1)), factors.movie_bias[0]);
            }
        }
    }
}

#[test]
fn the_heads_are_the_lectures_indices_with_the_titles_above() {
    let sheet = open(collab()).worksheet_range("dotprod").unwrap();
    assert_eq!(number(&sheet, (6, 7)), 417.0); // movieId 1 is the 418th movie to appear
    assert_eq!(number(&sheet, (5, 7)), 1.0);
    assert_eq!(sheet.get_value((4, 7)).unwrap(), "Toy Story (1995)");
    assert_eq!(sheet.get_value((4, 19)).unwrap(), "Raiders of the Lost Ark (1981)");
}

#[test]
fn the_formulas_are_the_lectures() {
    let mut book = open(collab());
    let dotprod = book.worksheet_formula("dotprod").unwrap();
    assert_eq!(dotprod.get_value((30, 7)).unwrap(), "IF(H8=\"\",0,MMULT(B31:F31,H25:H29))");
    assert_eq!(dotprod.get_value((26, 2)).unwrap(), "SQRT(SUMXMY2(H8:V22,H31:V45)/COUNT(H8:V22))");
    let bias = book.worksheet_formula("bias").unwrap();
    assert_eq!(bias.get_value((31, 8)).unwrap(), "IF(I8=\"\",0,MMULT(B32:F32,I25:I29)+G32+I30)");
    let emb = book.worksheet_formula("movielens_emb").unwrap();
    assert_eq!(emb.get_value((6, 3)).unwrap(), "MATCH(A7,$T$7:$T$21,0)-1");
    assert_eq!(emb.get_value((6, 5)).unwrap(), "OFFSET($U$7,D7,0)");
}

#[test]
fn the_embedding_sheet_has_one_row_per_rating_and_the_rmse_of_dotprod() {
    let (crosstab, descent) = (crosstab(), descent(false));
    let sheet = open(collab()).worksheet_range("movielens_emb").unwrap();
    for (row, (u, m, y)) in (6..).zip(rated(&crosstab.ratings)) {
        let cells = [id(&crosstab.users[u]), id(&crosstab.movies[m]), y, u as f64, m as f64];
        for (col, value) in (0..).zip(cells) {
            assert_eq!(number(&sheet, (row, col)), value);
        }
        assert!(close(number(&sheet, (row, 15)), descent.start.predict(u, m)));
    }
    assert_eq!(sheet.get_value((6 + 206, 0)).unwrap_or(&Data::Empty), &Data::Empty);
    assert!(close(number(&sheet, (3, 16)), descent.start.rmse(&crosstab.ratings)));
}

#[test]
fn the_descent_sheet_ends_at_the_solved_rmse() {
    let sheet = open(collab()).worksheet_range("descent").unwrap();
    for (col, bias) in [(1, false), (2, true)] {
        let descent = descent(bias);
        let row = 4 + descent.rmse.len() as u32;
        assert!(close(number(&sheet, (row, col)), descent.solution.rmse(&crosstab().ratings)));
        assert_eq!(number(&sheet, (4 + col, 7)), descent.start.count() as f64);
    }
    assert_eq!(number(&sheet, (5, 8)), 206.0);
}

#[test]
fn solver_is_preset_to_minimize_the_corner_by_changing_the_orange_cells() {
    let book = open(collab());
    let name = |sheet: &str, name: &str| {
        let found: Vec<_> = book
            .defined_names()
            .iter()
            .filter(|(key, text)| {
                key == name && (!text.contains('!') || text.starts_with(&format!("{sheet}!")))
            })
            .map(|(_, text)| text.as_str())
            .collect();
        found.first().unwrap_or_else(|| panic!("{sheet} has no {name}")).to_string()
    };
    assert_eq!(name("dotprod", "solver_opt"), "dotprod!$C$27");
    assert_eq!(name("dotprod", "solver_adj"), "dotprod!$B$31:$F$45,dotprod!$H$25:$V$29");
    assert_eq!(name("bias", "solver_opt"), "bias!$C$27");
    assert_eq!(name("bias", "solver_adj"), "bias!$B$32:$G$46,bias!$I$25:$W$30");
    assert_eq!((name("bias", "solver_typ"), name("bias", "solver_neg")), ("2".into(), "2".into()));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (first, second) = (graddesc().unwrap(), collab());
    // A file's date has a resolution of one second: wait for the next, so that a clock in the bytes would show.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == graddesc().unwrap());
    assert!(second == collab());
}

#[test]
fn a_crosstab_that_does_not_fit_together_is_refused_with_a_reason() {
    let (dotprod, bias) = (descent(false), descent(true));
    let message = |crosstab: &Crosstab| collab_filter(crosstab, &dotprod, &bias).unwrap_err().to_string();
    let mut short = crosstab();
    short.titles.pop();
    assert!(message(&short).contains("15 indices and 14 titles"), "{}", message(&short));
    let mut fewer = crosstab();
    fewer.users.pop();
    fewer.user_idx.pop();
    fewer.ratings.pop();
    assert!(message(&fewer).contains("the factors are for 15 users"), "{}", message(&fewer));
    let swapped = collab_filter(&crosstab(), &bias, &dotprod).unwrap_err().to_string();
    assert!(swapped.contains("without biases"), "{swapped}");
}
