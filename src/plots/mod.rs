//! The lecture's pictures: slices in, a [`Figure`] out. Nothing here sees a tensor, a file of ratings or the
//! clock.
//!
//! Everything is drawn once, by plotters, as SVG; a PNG is that SVG rasterized. So both show the same
//! picture, text and thin lines are antialiased, and no font has to be installed: the DejaVu face is compiled
//! in.
//!
//! | file | what it draws |
//! |---|---|
//! | [`hexbin`](mod@hexbin) | counts points in hexagons; a pure function, draws nothing |
//! | [`joint`](fn@joint) | predictions against true ratings, with both marginals |
//! | [`curves`] | learning rates, losses of several methods, gradients: numbers in the order they came |
//! | [`losses`] | the losses of the fits, next to the lecture's |
//! | [`ratings`] | what the ratings look like: histogram, crosstab, squashed sigmoid, residuals |
//! | [`diagrams`] | the lecture's drawings: tensors, an embedding, a net, backpropagation |
//! | [`lines`] | the lecture's drawings with axes: points and lines, secant and tangent |
//! | [`embeddings`] | the weights before and after training |
//! | [`surface`] | the error over (a, b), and the paths that optimizers take down it |
//! | [`scatter`] | labeled points, no two labels on top of each other |
//! | [`intervals`](fn@intervals) | models side by side, one number per model with its interval |
//! | [`strips`](fn@strips) | an ensemble of runs for each of the lecture's numbers |
//!
//! plotters' charts draw the axes, series and most legends. `canvas`, `axis`, `axes` and `marks` give them one look, make room
//! for every label, and add what plotters cannot do: titles of several lines, marks with an edge, lines cut at the edge.

mod axes;
mod axis;
mod canvas;
pub mod curves;
pub mod diagrams;
pub mod embeddings;
mod figure;
mod fine;
pub mod hexbin;
mod intervals;
mod joint;
pub mod lines;
pub mod losses;
mod marks;
mod numbers;
mod palette;
pub mod ratings;
pub mod scatter;
mod strips;
pub mod surface;

pub use curves::{descent, gradient_trace, loss_by_epoch, lr_finder, lr_schedule};
pub use diagrams::{backpropagation, dot_product, embedding_lookup, mini_net, tensors};
pub use embeddings::{EmbeddingWeights, embeddings_before_after};
pub use figure::{DESIGN_DPI, Figure, Format, PRINT_DPI, for_slides};
pub use hexbin::{Extent, Hexagon, hexbin};
pub use intervals::{Interval, intervals};
pub use joint::joint;
pub use lines::{points_and_lines, secant_and_tangent};
pub use losses::{FitLosses, all_validation_losses, loss_curves};
pub use ratings::{crosstab_heatmap, rating_histogram, residuals_by_popularity, squashed_sigmoid};
pub use scatter::{LabelBox, labeled_scatter, place_labels};
pub use strips::{Strip, strips};
pub use surface::{Grid, error_surface};
