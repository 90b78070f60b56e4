//! Labeled points, no two labels on top of each other.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::Axis;
use super::canvas::{Align, Face, Rect};
use super::figure::Figure;
use super::marks::Shape;
use super::numbers::range_of;
use super::palette;

/// Where a label went, in the units of the page: its upper left corner and size, and the point that it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelBox {
    /// Left edge.
    pub x: f64,
    /// Upper edge (the y of a page grows downward).
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
    /// The point.
    pub point: (f64, f64),
}

impl LabelBox {
    /// Whether two labels overlap.
    pub fn overlaps(&self, other: &LabelBox) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + other.h
            && other.y < self.y + self.h
    }

    fn covers(&self, (x, y): (f64, f64), radius: f64) -> bool {
        let (dx, dy) =
            ((self.x - x).max(x - self.x - self.w).max(0.0), (self.y - y).max(y - self.y - self.h).max(0.0));
        dx.hypot(dy) < radius
    }

    /// The point of the label's edge that is nearest to what it names.
    fn nearest_edge(&self) -> (f64, f64) {
        (self.point.0.clamp(self.x, self.x + self.w), self.point.1.clamp(self.y, self.y + self.h))
    }

    fn distance(&self) -> f64 {
        let (x, y) = self.nearest_edge();
        (x - self.point.0).hypot(y - self.point.1)
    }
}

/// How often every label looks for a place.
const ROUNDS: usize = 6;
/// Points are drawn as discs of this radius, and no label comes nearer to one.
const DISC: f64 = 3.0;

/// Finds a place for the label of each point: next to its point if that is free, otherwise in growing rings around it.
/// No two labels overlap, none covers a point and none leaves the area (left, top, width, height); leader lines avoid
/// labels, points and each other where possible. `sizes` are the labels' widths and heights. The places are in the
/// order of the points; `None` when there is no free place left.
///
/// Greedy: each label in turn takes the best place that is left, and once all have one, each may look again.
/// The first choices shape the rest, so several orders are tried and the one with the lowest total cost is kept.
///
/// # Panics
/// When there are not as many sizes as points.
pub fn place_labels(
    points: &[(f64, f64)],
    sizes: &[(f64, f64)],
    area: (f64, f64, f64, f64),
) -> Vec<Option<LabelBox>> {
    assert_eq!(points.len(), sizes.len(), "place_labels: a size for each point");
    let crowd = |i: usize| -> f64 {
        points.iter().map(|q| (-(q.0 - points[i].0).hypot(q.1 - points[i].1) / 60.0).exp()).sum()
    };
    let orders: [&dyn Fn(usize) -> f64; 6] =
        [&|i| -crowd(i), &|i| -sizes[i].0, &|i| points[i].0, &|i| -points[i].0, &|i| points[i].1, &|i| {
            -points[i].1
        }];
    let outcomes = orders.map(|first| {
        let mut order: Vec<(usize, f64)> = (0..points.len()).map(|i| (i, first(i))).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let order: Vec<usize> = order.into_iter().map(|(i, _)| i).collect();
        place_in_order(points, sizes, area, &order)
    });
    let tidiest = outcomes.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    tidiest.map(|(_, placed)| placed).unwrap_or_default()
}

/// Labels placed in the given order, with the sum of what their places cost.
fn place_in_order(
    points: &[(f64, f64)],
    sizes: &[(f64, f64)],
    (left, top, width, height): (f64, f64, f64, f64),
    order: &[usize],
) -> (f64, Vec<Option<LabelBox>>) {
    const NO_PLACE: f64 = 10_000.0;
    let mut placed: Vec<Option<LabelBox>> = vec![None; points.len()];
    let mut total = 0.0;
    for _ in 0..ROUNDS {
        total = 0.0;
        let before = placed.clone();
        for &i in order {
            placed[i] = None;
            let mut best: Option<(f64, LabelBox)> = None;
            for (preference, label) in candidates(points[i], sizes[i]) {
                // What is further out cannot be better than what was found.
                if best.is_some_and(|(cost, _)| label.distance() > cost) {
                    break;
                }
                let inside = label.x >= left
                    && label.y >= top
                    && label.x + label.w <= left + width
                    && label.y + label.h <= top + height;
                if !inside
                    || points.iter().any(|&p| label.covers(p, DISC + 1.0))
                    || placed.iter().flatten().any(|other| label.overlaps(other))
                {
                    continue;
                }
                if best.is_some_and(|(least, _)| label.distance() + preference >= least) {
                    continue;
                }
                let cost = preference + cost(i, &label, points, &placed);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, label));
                }
            }
            total += best.map_or(NO_PLACE, |(cost, _)| cost);
            placed[i] = best.map(|(_, label)| label);
        }
        if placed == before {
            break;
        }
    }
    (total, placed)
}

/// What is wrong with a free place for the label of point `i`: its distance, a leader that gets tangled up
/// with other labels or points, and being near another point, whose name it could be taken for.
fn cost(i: usize, label: &LabelBox, points: &[(f64, f64)], placed: &[Option<LabelBox>]) -> f64 {
    let others = || points.iter().filter(|&&p| p != points[i]);
    let tangles = placed.iter().flatten();
    let tangles =
        tangles.filter(|o| crosses(label, o) || crosses(o, label) || leaders_meet(label, o)).count();
    let run_over = others().filter(|&&p| passes(label, p)).count();
    let doubtful = others().filter(|&&p| label.covers(p, DISC + 6.0)).count();
    label.distance() + 150.0 * (tangles + run_over) as f64 + 5.0 * doubtful as f64
}

/// Places around a point in rings, the nearest first: right and left of it are read best, then above and
/// below.
fn candidates(point: (f64, f64), (w, h): (f64, f64)) -> impl Iterator<Item = (f64, LabelBox)> {
    (0..60).flat_map(move |ring| {
        let distance = DISC + 2.5 + 4.0 * f64::from(ring);
        let directions = if ring == 0 { 8 } else { 24 };
        (0..directions).map(move |k| {
            let angle = std::f64::consts::TAU * f64::from(k) / f64::from(directions);
            let (toward_x, toward_y) = (angle.cos(), angle.sin());
            // The box is outside the ring: its nearest side or corner is on it.
            let x = point.0 + distance * toward_x + (toward_x - 1.0) / 2.0 * w;
            let y = point.1 - distance * toward_y - (toward_y + 1.0) / 2.0 * h;
            (
                2.0 * (1.0 - toward_x.abs()) + if toward_x < -0.5 { 0.5 } else { 0.0 },
                LabelBox { x, y, w, h, point },
            )
        })
    })
}

/// Whether the leader of `label` runs through `other`: whether anything of it is left between the box's sides.
fn crosses(label: &LabelBox, other: &LabelBox) -> bool {
    let (from, to) = (label.point, label.nearest_edge());
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (start, end, lo, hi) in
        [(from.0, to.0, other.x, other.x + other.w), (from.1, to.1, other.y, other.y + other.h)]
    {
        if start == end {
            // It runs along these two sides: between them all the way, or never.
            if !(lo..=hi).contains(&start) {
                return false;
            }
            continue;
        }
        let (first, second) = ((lo - start) / (end - start), (hi - start) / (end - start));
        (enter, leave) = (enter.max(first.min(second)), leave.min(first.max(second)));
    }
    enter <= leave
}

/// Whether the leader of `label` runs over a point that is not its own.
fn passes(label: &LabelBox, point: (f64, f64)) -> bool {
    let (from, to) = (label.point, label.nearest_edge());
    let along = (to.0 - from.0, to.1 - from.1);
    let offset = (point.0 - from.0, point.1 - from.1);
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 { (offset.0 * along.0 + offset.1 * along.1) / length } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    (offset.0 - share * along.0).hypot(offset.1 - share * along.1) < DISC + 1.0
}

/// Whether two leaders cross each other: each has its ends on both sides of the other.
fn leaders_meet(one: &LabelBox, other: &LabelBox) -> bool {
    let ((a, b), (c, d)) = ((one.point, one.nearest_edge()), (other.point, other.nearest_edge()));
    let side =
        |p: (f64, f64), q: (f64, f64), r: (f64, f64)| (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

/// Height of a line of a label.
const LINE: f64 = 12.5;

/// A name in one line, or in two when it is long.
fn lines_of(face: Face, name: &str) -> Vec<String> {
    let whole = face.width(name);
    if whole <= 190.0 {
        return vec![name.to_owned()];
    }
    // About half of it to a line.
    let mut lines = face.wrap(name, (0.56 * whole).min(230.0));
    let rest = lines.split_off(1).join(" ");
    lines.push(face.shorten(&rest, 250.0));
    lines
}

/// Points with their names, such as movies in the plane of two principal components. A name that had to move
/// away from its point is tied to it by a thin line.
///
/// # Errors
/// When there are not as many names as points, none at all, a point is not finite, or the names do not fit.
pub fn labeled_scatter(
    name: &str,
    title: &str,
    (x_label, y_label): (&str, &str),
    points: &[(f64, f64)],
    labels: &[String],
) -> Result<Figure> {
    ensure!(
        points.len() == labels.len() && !points.is_empty(),
        "{name}: there are {} points and {} names",
        points.len(),
        labels.len()
    );
    ensure!(points.iter().all(|p| p.0.is_finite() && p.1.is_finite()), "{name}: a point is not finite");
    let alt = format!("{} named points by {x_label} and {y_label}.", points.len());
    let face = Face::NOTE.sized(10.5);
    let (mut unplaced, mut all) = (0, 0);
    let figure = Figure::fixed(name, &alt, 960, 720, |c| {
        let body = header(c, title, "", &[]);
        let range = |f: fn(&(f64, f64)) -> f64| range_of(points.iter().map(f)).unwrap_or((0.0, 1.0));
        let x = Axis::around(range(|p| p.0), 8, x_label);
        let mut axes = Axes::within(c, body, x, Axis::around(range(|p| p.1), 8, y_label))?;
        axes.draw(c);
        let on_page: Vec<(f64, f64)> = points.iter().map(|p| axes.at(p.0, p.1)).collect();
        let names: Vec<Vec<String>> = labels.iter().map(|l| lines_of(face, l)).collect();
        let size = |lines: &Vec<String>| {
            let width = lines.iter().map(|line| face.width(line)).fold(0.0, f64::max);
            (width + 4.0, LINE * lines.len() as f64 + 1.0)
        };
        let sizes: Vec<(f64, f64)> = names.iter().map(size).collect();
        let Rect { x, y, w, h } = axes.inner;
        let boxes = place_labels(&on_page, &sizes, (x + 2.0, y, w - 2.0, h - 2.0));
        (unplaced, all) = (boxes.iter().filter(|b| b.is_none()).count(), boxes.len());
        for label in boxes.iter().flatten().filter(|l| l.distance() > DISC + 4.0) {
            c.line(&[label.point, label.nearest_edge()], palette::GRAY, 0.7);
        }
        for &point in &on_page {
            c.mark(Shape::Disc, point, DISC, palette::OURS);
        }
        for (label, lines) in boxes.iter().zip(&names).filter_map(|(b, n)| b.as_ref().map(|b| (b, n))) {
            // Text leans toward its point.
            let (x, align) = if label.x > label.point.0 {
                (label.x + 2.0, Align::Left)
            } else if label.x + label.w < label.point.0 {
                (label.x + label.w - 2.0, Align::Right)
            } else {
                (label.x + label.w / 2.0, Align::Center)
            };
            for (i, line) in lines.iter().enumerate() {
                c.text(line, x, label.y + 0.5 + LINE * (i as f64 + 0.5) + face.half_capital(), align, face);
            }
        }
        Ok(())
    })?;
    ensure!(
        unplaced == 0,
        "{name}: {unplaced} of {all} names found no free place; draw fewer points or shorter names"
    );
    Ok(figure)
}
