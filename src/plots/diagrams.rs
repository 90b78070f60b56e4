//! The lecture's drawings: what a tensor, an embedding, a net and backpropagation are. They show an idea and have no axes, so
//! boxes and arrows are drawn straight on the page.

use anyhow::{Result, ensure};
use plotters::style::RGBColor;

use super::axes::{MARGIN, header};
use super::axis::short;
use super::canvas::{Align, Canvas, Face, Rect};
use super::figure::Figure;
use super::marks::{Key, Shape};
use super::palette;
use crate::system::numerals::number;

/// Side of a cell.
const CELL: f64 = 44.0;
const USERS: RGBColor = RGBColor(0xc9, 0xdf, 0xf1);
/// What connects the units of a net.
const LINK: RGBColor = RGBColor(0xc4, 0xc4, 0xc4);
const MOVIES: RGBColor = RGBColor(0xfb, 0xea, 0xc4);

/// Cells with numbers, row by row; returns the rectangle that they fill.
fn matrix(
    c: &mut Canvas,
    (x, y): (f64, f64),
    rows: &[Vec<String>],
    cell: (f64, f64),
    color: RGBColor,
) -> Rect {
    for (i, row) in rows.iter().enumerate() {
        for (j, text) in row.iter().enumerate() {
            let (left, top) = (x + j as f64 * cell.0, y + i as f64 * cell.1);
            let inside = Rect { x: left, y: top, w: cell.0, h: cell.1 };
            c.rect(inside, color);
            c.outline(inside, palette::WHITE, 1.6);
            let baseline = top + cell.1 / 2.0 + Face::LABEL.half_capital();
            c.text(text, left + cell.0 / 2.0, baseline, Align::Center, Face::LABEL);
        }
    }
    let columns = rows.first().map_or(0, Vec::len);
    Rect { x, y, w: cell.0 * columns as f64, h: cell.1 * rows.len() as f64 }
}

/// `n` rows of `columns` cells without a text.
fn blank(n: usize, columns: usize) -> Vec<Vec<String>> {
    vec![vec![String::new(); columns]; n]
}

fn arrow(c: &mut Canvas, from: (f64, f64), to: (f64, f64), color: RGBColor) {
    const HEAD: f64 = 7.0;
    let length = (to.0 - from.0).hypot(to.1 - from.1).max(1e-9);
    let along = ((to.0 - from.0) / length, (to.1 - from.1) / length);
    let neck = (to.0 - HEAD * along.0, to.1 - HEAD * along.1);
    let side = (0.5 * HEAD * along.1, -0.5 * HEAD * along.0);
    c.line(&[from, neck], color, 1.4);
    c.polygon(&[to, (neck.0 + side.0, neck.1 + side.1), (neck.0 - side.0, neck.1 - side.1)], color);
}

/// A sign between two drawings, such as `×`.
fn sign(c: &mut Canvas, text: &str, x: f64, y: f64) {
    c.text(text, x, y + Face::TITLE.half_capital(), Align::Center, Face::TITLE);
}

fn note(c: &mut Canvas, text: &str, x: f64, y: f64) {
    c.text(text, x, y, Align::Center, Face::NOTE);
}

/// The dot product of each row of `a` with the same row of `b`: both, their product by elements, and its sums by rows.
///
/// # Errors
/// When the two differ in shape or are empty.
pub fn dot_product(name: &str, title: &str, a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<Figure> {
    let (rows, columns) = (a.len(), a.first().map_or(0, Vec::len));
    let same = |m: &[Vec<f64>]| m.len() == rows && m.iter().all(|row| row.len() == columns);
    ensure!(columns > 0 && same(a) && same(b), "{name}: a dot product needs two tables of one shape");
    let product: Vec<Vec<f64>> =
        a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).collect()).collect();
    let sums: Vec<f64> = product.iter().map(|row| row.iter().sum()).collect();
    let list = sums.iter().map(|sum| short(*sum)).collect::<Vec<_>>().join(" and ");
    let alt = format!("{rows} rows times the same rows of a second table, added up along each row: {list}.");
    let texts = |m: &[Vec<f64>]| -> Vec<Vec<String>> {
        m.iter().map(|row| row.iter().map(|v| short(*v)).collect()).collect()
    };
    let step = CELL * columns as f64 + 62.0;
    let width = 2.0 * MARGIN + 16.0 + 3.0 * step + 1.6 * CELL;
    let height = 96.0 + CELL * rows as f64;
    Figure::fixed(name, &alt, (width as u32).max(480), height as u32, |c| {
        let body = header(c, title, "", &[]);
        let top = body.y + 4.0;
        let sums: Vec<Vec<f64>> = sums.iter().map(|sum| vec![*sum]).collect();
        for (i, (values, color, below)) in [
            (a, USERS, "a: a user per row"),
            (b, MOVIES, "b: a movie per row"),
            (&product, palette::BAND, "a × b, by element"),
            (&sums, palette::BAND, "its sum, by row"),
        ]
        .into_iter()
        .enumerate()
        {
            let wide = if i == 3 { 1.6 * CELL } else { CELL };
            let cells = matrix(c, (body.x + 8.0 + i as f64 * step, top), &texts(values), (wide, CELL), color);
            note(c, below, cells.x + cells.w / 2.0, cells.bottom() + 17.0);
            if i < 3 {
                sign(c, ["×", "=", "→"][i], cells.right() + 31.0, top + cells.h / 2.0);
            }
        }
        Ok(())
    })
}

/// Tensors of no, one, two and three dimensions, with their shapes.
///
/// # Errors
/// When plotters cannot draw.
pub fn tensors(name: &str, title: &str) -> Result<Figure> {
    let alt =
        "A number, a row of numbers, a table of numbers and a block of tables: tensors of 0 to 3 dimensions.";
    const SMALL: (f64, f64) = (26.0, 26.0);
    Figure::fixed(name, alt, 640, 200, |c| {
        let body = header(c, title, "", &[]);
        let middle = body.y + 58.0;
        for (i, (rows, columns, what, shape)) in [
            (1, 1, "a number", "shape ()"),
            (1, 4, "a vector", "shape (4,)"),
            (3, 4, "a matrix", "shape (3, 4)"),
            (3, 4, "a tensor of 3 dimensions", "shape (2, 3, 4)"),
        ]
        .into_iter()
        .enumerate()
        {
            let center = body.x + [40.0, 160.0, 310.0, 500.0][i];
            let at = (center - columns as f64 * SMALL.0 / 2.0, middle - rows as f64 * SMALL.1 / 2.0);
            if i == 3 {
                matrix(
                    c,
                    (at.0 + 11.0, at.1 - 11.0),
                    &blank(rows, columns),
                    SMALL,
                    palette::sequential(0.34),
                );
            }
            matrix(c, at, &blank(rows, columns), SMALL, USERS);
            note(c, what, center, middle + 62.0);
            c.text(shape, center, middle + 78.0, Align::Center, Face::TICK);
        }
        Ok(())
    })
}

/// What an embedding does: an index picks a row of a table, for a user and for a movie, and the dot product of the two rows
/// is the prediction.
///
/// # Errors
/// When plotters cannot draw.
pub fn embedding_lookup(
    name: &str,
    title: &str,
    n_users: usize,
    n_movies: usize,
    n_factors: usize,
) -> Result<Figure> {
    let [users, movies] = [n_users, n_movies].map(|n| number(n as f64, 0));
    let alt = format!(
        "An index picks a row of {n_factors} factors, of {users} users or of {movies} movies; the dot product of the two \
         rows is the predicted rating."
    );
    const SMALL: (f64, f64) = (26.0, 20.0);
    // Some of many.
    const ROWS: usize = 6;
    const FACTORS: usize = 5;
    Figure::fixed(name, &alt, 720, 374, |c| {
        let body = header(c, title, "", &[]);
        let factors = format!("{FACTORS} of {n_factors} factors");
        let mut ends = Vec::new();
        for (i, (what, all, color, strong, picked)) in
            [("user", users, USERS, palette::SKY, 3), ("movie", movies, MOVIES, palette::ORANGE, 1)]
                .into_iter()
                .enumerate()
        {
            let top = body.y + 16.0 + 160.0 * i as f64;
            let table = matrix(c, (body.x + 150.0, top), &blank(ROWS, FACTORS), SMALL, color);
            note(c, &factors, table.x + table.w / 2.0, table.y - 5.0);
            let upright = (table.right() + 16.0, table.y + table.h / 2.0);
            c.text_upwards(
                &format!("{ROWS} of {all} {what}s"),
                upright.0,
                upright.1,
                Align::Center,
                Face::NOTE,
            );
            let middle = top + (picked as f64 + 0.5) * SMALL.1;
            matrix(c, (table.x, middle - SMALL.1 / 2.0), &blank(1, FACTORS), SMALL, strong);
            let index = format!("{what} {picked}");
            c.text(
                &index,
                body.x + 4.0,
                middle + Face::LABEL.half_capital(),
                Align::Left,
                Face::LABEL.bold(),
            );
            arrow(c, (body.x + 78.0, middle), (table.x - 4.0, middle), palette::GRAY);
            let row = matrix(c, (body.x + 370.0, middle - SMALL.1 / 2.0), &blank(1, FACTORS), SMALL, strong);
            note(c, &format!("the {what}'s embedding"), row.x + row.w / 2.0, row.y - 6.0);
            arrow(c, (table.right() + 26.0, middle), (row.x - 4.0, middle), palette::GRAY);
            ends.push((row.right() + 4.0, middle));
        }
        let at = (body.x + 590.0, (ends[0].1 + ends[1].1) / 2.0);
        for end in ends {
            arrow(c, end, (at.0 - 34.0, at.1 + (end.1 - at.1).signum() * 12.0), palette::GRAY);
        }
        sign(c, "u · m", at.0 + 24.0, at.1 - 6.0);
        note(c, "predicted rating", at.0 + 24.0, at.1 + 18.0);
        Ok(())
    })
}

/// A net over embeddings: the user's and the movie's side by side, a hidden layer, and the prediction.
///
/// # Errors
/// When plotters cannot draw.
pub fn mini_net(name: &str, title: &str, n_factors: usize, hidden: usize) -> Result<Figure> {
    let alt = format!(
        "A user's and a movie's {n_factors} factors side by side, every one of them connected with {hidden} hidden units, \
         and these with the predicted rating."
    );
    // Some of many, with dots for the others.
    const SHOWN: usize = 4;
    Figure::fixed(name, &alt, 720, 350, |c| {
        let body = header(c, title, "", &[]);
        let layer = |c: &mut Canvas, x: f64, top: f64, n: usize, apart: f64| -> Vec<(f64, f64)> {
            if n > SHOWN {
                c.text("⋮", x, top + SHOWN as f64 * apart - 3.0, Align::Center, Face::TITLE);
            }
            (0..n.min(SHOWN)).map(|i| (x, top + i as f64 * apart)).collect()
        };
        let (left, middle, right) = (body.x + 190.0, body.x + 410.0, body.x + 580.0);
        let user = layer(c, left, body.y + 14.0, n_factors, 24.0);
        let movie = layer(c, left, body.y + 152.0, n_factors, 24.0);
        let inner = layer(c, middle, body.y + 70.0, hidden, 34.0);
        let answer = (right, body.y + 126.0);
        for &unit in &inner {
            user.iter().chain(&movie).for_each(|&input| c.line(&[input, unit], LINK, 1.0));
            c.line(&[unit, answer], LINK, 1.0);
        }
        for (units, color) in [
            (&user, palette::SKY),
            (&movie, palette::ORANGE),
            (&inner, palette::GREEN),
            (&vec![answer], palette::INK),
        ] {
            units.iter().for_each(|&at| c.mark(Shape::Disc, at, 8.0, color));
        }
        for (units, text) in [(&user, "the user's"), (&movie, "the movie's")] {
            let y = (units[0].1 + units[units.len() - 1].1) / 2.0;
            c.text(text, left - 24.0, y - 2.0, Align::Right, Face::NOTE);
            c.text(&format!("{n_factors} factors"), left - 24.0, y + 14.0, Align::Right, Face::NOTE);
        }
        let below = body.y + 278.0;
        note(c, "side by side", left, below);
        note(c, &format!("{hidden} hidden units"), middle, below);
        c.text("linear, then relu", middle, below + 16.0, Align::Center, Face::TICK);
        note(c, "predicted rating", right, below);
        c.text("linear, then sigmoid", right, below + 16.0, Align::Center, Face::TICK);
        Ok(())
    })
}

/// The squared error of `b + a·x` as a chain of steps: each step's value going forward, and going backward the derivative of
/// the error with respect to it.
///
/// # Errors
/// When plotters cannot draw.
pub fn backpropagation(name: &str, title: &str, (a, b): (f64, f64), (x, y): (f64, f64)) -> Result<Figure> {
    let product = a * x;
    let apart = b + product - y;
    let error = apart * apart;
    let steps = [
        ("a · x", product, 2.0 * apart),
        ("+ b", b + product, 2.0 * apart),
        ("− y = d", apart, 2.0 * apart),
        ("d² = e", error, 1.0),
    ];
    let alt = format!(
        "A chain from a, b and x = {} to the error {}; backward it gives de/da = {} and de/db = {}.",
        short(x),
        number(error, 0),
        number(2.0 * apart * x, 0),
        number(2.0 * apart, 0)
    );
    let legend = [
        (Key::Line(palette::OURS, 1.8), "forward: values"),
        (
            Key::Line(palette::VERMILION, 1.8),
            "backward: the derivative of the error with respect to each value",
        ),
    ];
    const BOX: (f64, f64) = (96.0, 40.0);
    let value = |v: f64| number(v, if v.fract() == 0.0 { 0 } else { 2 });
    Figure::fixed(name, &alt, 720, 290, |c| {
        let body = header(c, title, "", &legend);
        let middle = body.y + 78.0;
        let left = |i: usize| body.x + 76.0 + 162.0 * i as f64;
        let write = |c: &mut Canvas, text: &str, x: f64, y: f64, color: RGBColor| {
            c.text(text, x, y, Align::Center, Face::NOTE.in_color(color));
        };
        for (i, (text, result, slope)) in steps.into_iter().enumerate() {
            let place = Rect { x: left(i), y: middle - BOX.1 / 2.0, w: BOX.0, h: BOX.1 };
            c.rect(place, palette::BAND);
            let baseline = middle + Face::LABEL.half_capital();
            c.text(text, place.x + BOX.0 / 2.0, baseline, Align::Center, Face::LABEL);
            write(c, &value(result), place.x + BOX.0 / 2.0, place.y - 8.0, palette::OURS);
            write(c, &value(slope), place.x + BOX.0 / 2.0, place.bottom() + 18.0, palette::VERMILION);
            if i > 0 {
                let before = left(i - 1) + BOX.0;
                arrow(c, (before + 5.0, middle - 7.0), (place.x - 5.0, middle - 7.0), palette::OURS);
                arrow(c, (place.x - 5.0, middle + 7.0), (before + 5.0, middle + 7.0), palette::VERMILION);
            }
        }
        // What enters from below or from the left: the weights with their derivatives, and the data.
        let enter = |c: &mut Canvas, i: usize, text: String, slope: Option<String>| {
            let (x, y) = (left(i) + 0.5 * BOX.0, middle + 86.0);
            arrow(c, (x + 26.0, y - 16.0), (x + 26.0, middle + BOX.1 / 2.0 + 4.0), palette::OURS);
            write(c, &text, x, y, palette::OURS);
            if let Some(slope) = slope {
                arrow(c, (x - 26.0, middle + BOX.1 / 2.0 + 4.0), (x - 26.0, y - 16.0), palette::VERMILION);
                write(c, &slope, x, y + 17.0, palette::VERMILION);
            }
        };
        enter(c, 0, format!("a = {}", value(a)), Some(format!("de/da = {}", value(2.0 * apart * x))));
        enter(c, 1, format!("b = {}", value(b)), Some(format!("de/db = {}", value(2.0 * apart))));
        enter(c, 2, format!("y = {}", value(y)), None);
        c.text(
            &format!("x = {}", value(x)),
            body.x,
            middle + 4.0,
            Align::Left,
            Face::NOTE.in_color(palette::OURS),
        );
        arrow(c, (body.x + 44.0, middle), (left(0) - 5.0, middle), palette::OURS);
        Ok(())
    })
}
