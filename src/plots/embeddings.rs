//! The weights of the embeddings before and after training.

use anyhow::{Result, ensure};

use super::axes::{Axes, header};
use super::axis::Axis;
use super::canvas::{Align, Canvas, Face, Rect};
use super::figure::Figure;
use super::marks::Key;
use super::numbers::{quantile, range_of, sorted};
use super::palette;
use crate::system::arithmetic::mean;
use crate::system::numerals::number;

/// One embedding: its name (`u`, `m`), what its rows are (`users`), and all its weights, in any order, before
/// and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbeddingWeights<'a> {
    /// The lecture's name for it: `u`, `m`, `ub`, `mb`.
    pub name: &'a str,
    /// What the rows are, such as `users`.
    pub rows: &'a str,
    /// The length of a row.
    pub n_factors: i64,
    /// The weights at the random start.
    pub before: &'a [f32],
    /// The weights after training.
    pub after: &'a [f32],
}

/// Histograms of the weights: a column for each embedding, the random start above, the trained weights below, on one
/// scale of weights so that the spread is visible. At most one in a thousand at either end is outside the plot.
///
/// # Errors
/// When there is no embedding, or one has no finite weight before or after.
pub fn embeddings_before_after(name: &str, title: &str, embeddings: &[EmbeddingWeights]) -> Result<Figure> {
    ensure!(!embeddings.is_empty(), "{name}: there is no embedding to draw");
    let mut columns = Vec::new();
    for embedding in embeddings {
        let pair = [embedding.before, embedding.after].map(|w| sorted(w.iter().map(|&v| f64::from(v))));
        for (weights, when) in pair.iter().zip(["before", "after"]) {
            ensure!(
                !weights.is_empty(),
                "{name}: the embedding {} has no finite weight {when} training",
                embedding.name
            );
        }
        columns.push((embedding, pair));
    }
    let spreads: Vec<String> = columns
        .iter()
        .map(|(t, [before, after])| {
            format!("{} from {:.3} to {:.3}", t.name, deviation(before), deviation(after))
        })
        .collect();
    let alt = format!(
        "Histograms of the embeddings' weights before and after training; their standard deviation goes: {}.",
        spreads.join(", ")
    );
    let width = (350 * embeddings.len() as u32).clamp(480, 1400);
    Figure::fixed(name, &alt, width, 490, |c| {
        let legend =
            [(Key::Patch(palette::SKY), "before training"), (Key::Patch(palette::OURS), "after training")];
        let body = header(
            c,
            title,
            "Counts have a scale of their own in each panel, weights in each column.",
            &legend,
        );
        for ((embedding, pair), place) in columns.iter().zip(body.columns(embeddings.len(), 20.0)) {
            draw_column(c, place, embedding, pair)?;
        }
        Ok(())
    })
}

fn draw_column(
    c: &mut Canvas,
    place: Rect,
    embedding: &EmbeddingWeights,
    pair: &[Vec<f64>; 2],
) -> Result<()> {
    const HEAD: f64 = 20.0;
    let count = number(embedding.before.len() as f64 / embedding.n_factors as f64, 0);
    let rows = format!("{count} {} × {}", embedding.rows, embedding.n_factors);
    c.text(&rows, place.x, place.y + 10.0, Align::Left, Face::LABEL.bold());

    let ends = pair.iter().flat_map(|w| [quantile(w, 0.001), quantile(w, 0.999)]);
    let (lo, hi) = range_of(ends).unwrap_or((-1.0, 1.0));
    let x = Axis::around((lo, hi), 5, "weight");
    // Bars of one width for both, so that their areas compare: a start packed into a narrow range gives tall bars. They
    // begin and end where the start does, or its outermost bars would be cut. Their number there is odd: around 0, the middle
    // of the lecture's start, weights are in one bar, which a tiny sign does not divide.
    let (from, to) = range_of(pair[0].iter().copied()).unwrap_or((x.lo, x.hi));
    let about = (x.hi - x.lo) / 60.0;
    let width = (1.0 + 1e-9) * (to - from) / f64::from(((to - from) / about).round() as u32 | 1);
    let width = if to - from > about { width } else { about };
    let first = ((x.lo - from) / width).floor();
    let bins = ((x.hi - from) / width - first).ceil() as usize;
    let edge = |bin: usize| from + (first + bin as f64) * width;
    let counts = pair.each_ref().map(|weights| {
        let mut counts = vec![0_u32; bins];
        for w in weights.iter().filter(|w| (x.lo..x.hi).contains(*w)) {
            counts[(((w - from) / width).floor() - first) as usize] += 1;
        }
        counts
    });
    let panel_height = (place.h - HEAD - Axes::room_below(&x)) / 2.0;
    let scales = counts.each_ref().map(|counts| {
        Axis::from_zero(f64::from(counts.iter().copied().max().unwrap_or(1)), 3, "weights in a bar")
            .with_grid()
    });
    let left = scales.iter().map(Axes::room_left).fold(0.0, f64::max);
    for (i, ((counts, scale), color)) in
        counts.iter().zip(scales).zip([palette::SKY, palette::OURS]).enumerate()
    {
        let inner = Rect {
            x: place.x + left,
            y: place.y + HEAD + i as f64 * panel_height + 12.0,
            w: place.w - left - 8.0,
            h: panel_height - 12.0 - if i == 0 { 6.0 } else { 0.0 },
        };
        let axis = if i == 1 { x.clone() } else { x.clone().bare() };
        let mut axes = Axes::around(c, inner, axis, scale)?;
        axes.draw(c);
        for (bin, &count) in counts.iter().enumerate() {
            axes.bar(c, (edge(bin), edge(bin) + 0.92 * width), f64::from(count), color);
        }
        let mean = mean(&pair[i]);
        let text = format!("mean {}, standard deviation {}", number(mean, 3), number(deviation(&pair[i]), 3));
        c.text(&text, inner.right(), inner.y - 3.0, Align::Right, Face::TICK);
    }
    Ok(())
}

/// The standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
