//! The figures, through their public interface: what is counted, what is drawn, and that no text is clipped or
//! covered.
//!
//! Pictures are compared with small PNGs in tests/goldens. After an intended change, regenerate them with
//! `UPDATE_GOLDENS=1 cargo test --release --test plots` and inspect them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use lecture5::plots::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg;

const MATPLOTLIB: &[(f64, f64, u32)] = &[
    (0.0000, 0.0000, 1),
    (0.3333, 0.0000, 1),
    (1.0000, 0.0000, 1),
    (0.0833, 0.1250, 1),
    (0.4167, 0.1250, 1),
    (0.5833, 0.1250, 1),
    (0.7500, 0.1250, 2),
    (0.9167, 0.1250, 1),
    (0.3333, 0.2500, 3),
    (0.5000, 0.2500, 2),
    (0.8333, 0.2500, 2),
    (0.0833, 0.3750, 2),
    (0.2500, 0.3750, 4),
    (0.4167, 0.3750, 2),
    (0.5833, 0.3750, 2),
    (0.9167, 0.3750, 1),
    (0.0000, 0.5000, 1),
    (0.1667, 0.5000, 1),
    (0.5000, 0.5000, 1),
    (0.8333, 0.5000, 3),
    (0.0833, 0.6250, 3),
    (0.2500, 0.6250, 1),
    (0.4167, 0.6250, 1),
    (0.5833, 0.6250, 1),
    (0.7500, 0.6250, 1),
    (0.9167, 0.6250, 1),
    (0.0000, 0.7500, 1),
    (0.1667, 0.7500, 3),
    (0.3333, 0.7500, 1),
    (0.5000, 0.7500, 1),
    (0.6667, 0.7500, 1),
    (0.8333, 0.7500, 1),
    (1.0000, 0.7500, 1),
    (0.0833, 0.8750, 1),
    (0.4167, 0.8750, 1),
    (0.5833, 0.8750, 3),
    (0.7500, 0.8750, 2),
    (0.9167, 0.8750, 2),
    (0.8333, 1.0000, 1),
];

/// Numbers between 0 and 1 that look random and are the same everywhere.
fn scattered(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    (0..n).map(|_| next()).collect()
}

/// A bell curve around 0 with standard deviation 1.
fn bell(n: usize, seed: u64) -> Vec<f64> {
    scattered(12 * n, seed).chunks(12).map(|twelve| twelve.iter().sum::<f64>() - 6.0).collect()
}

fn ratings_and_predictions(n: usize) -> (Vec<f32>, Vec<f32>) {
    let noise = bell(2 * n, 7);
    let targets: Vec<f32> =
        (0..n).map(|i| ((7.0 + 2.1 * noise[i]).round().clamp(1.0, 10.0) / 2.0) as f32).collect();
    let preds =
        (0..n).map(|i| (1.75 + 0.5 * targets[i] + 0.4 * noise[n + i] as f32).clamp(0.5, 5.0)).collect();
    (preds, targets)
}

/// Every kind of figure, drawn once for all tests that only read.
fn every_figure() -> &'static [Figure] {
    static FIGURES: OnceLock<Vec<Figure>> = OnceLock::new();
    FIGURES.get_or_init(draw_every_figure)
}

/// Every kind of figure, on synthetic data of a realistic shape.
fn draw_every_figure() -> Vec<Figure> {
    let (preds, targets) = ratings_and_predictions(4_000);
    let residuals: Vec<f32> = preds.iter().zip(&targets).map(|(p, t)| t - p).collect();
    let popularity: Vec<u32> = scattered(4_000, 3).iter().map(|v| (400.0 * v.powi(4)) as u32).collect();

    let dot = [[1.69, 1.64], [1.07, 1.30], [0.92, 1.22], [0.70, 1.15]];
    let lecture = [[1.68932, 1.64501], [1.08445, 1.30609], [0.91446, 1.23001], [0.69273, 1.14723]];
    let learner = [[0.81, 0.808], [0.78, 0.779], [0.60, 0.764]];
    let running: Vec<f64> = (0..1_600)
        .map(|i| 0.7 + 12.0 * (-f64::from(i) / 120.0).exp() + 0.05 * (f64::from(i) / 9.0).sin())
        .collect();
    let calm: Vec<f64> = (0..1_200).map(|i| 0.6 + 0.25 * (-f64::from(i) / 500.0).exp()).collect();
    let fits = [
        FitLosses {
            name: "embedding_dot",
            running: &running,
            epochs: &dot,
            lecture: &lecture,
            set_lrs: &[(3, 0.01)],
        },
        FitLosses { name: "collab_learner", running: &calm, epochs: &learner, lecture: &[], set_lrs: &[] },
    ];

    let rates: Vec<f64> =
        (0..300).map(|i| 0.005 * ((std::f64::consts::PI * f64::from(i % 150) / 150.0).cos() + 1.0)).collect();
    let falling = [5_801.0, 900.0, 300.0, 120.0, 60.0, 31.0];
    let slower = [5_801.0, 4_000.0, 2_500.0, 1_900.0, 1_200.0, 1_190.0];
    let raw: Vec<f64> = bell(60, 5).iter().map(|v| 4_000.0 * v).collect();
    let averaged: Vec<f64> = raw
        .iter()
        .scan(0.0, |a, g| {
            *a = 0.9 * *a + 0.1 * g;
            Some(*a)
        })
        .collect();
    let rmse: Vec<f64> = (0..40).map(|i| 0.3 + 2.5 * (-f64::from(i) / 6.0).exp()).collect();

    let users: Vec<String> = [547, 564, 624, 15].map(|id| id.to_string()).to_vec();
    let movies: Vec<String> = [
        "Forrest Gump (1994)",
        "Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark) (1981)",
        "Matrix, The (1999)",
    ]
    .map(String::from)
    .to_vec();
    let cells = [
        Some(4.0),
        None,
        Some(0.5),
        Some(5.0),
        Some(3.5),
        Some(2.0),
        None,
        Some(1.0),
        Some(4.5),
        Some(3.0),
        Some(2.5),
        None,
    ];

    let weights = |n, seed, mean: f64, sd: f64| -> Vec<f32> {
        bell(n, seed).iter().map(|v| (mean + sd * v) as f32).collect()
    };
    let start: Vec<f32> = scattered(5_000, 8).iter().map(|v| 0.05 * *v as f32).collect();
    let (u, m) = (weights(5_000, 9, 0.2, 0.1), weights(5_000, 10, 0.1, 0.1));
    let tables = [
        EmbeddingWeights { name: "u", rows: "users", n_factors: 50, before: &start, after: &u },
        EmbeddingWeights { name: "m", rows: "movies", n_factors: 50, before: &start, after: &m },
    ];

    let grid = Grid::of((0.0, 4.0), (0.0, 60.0), 101, |a, b| {
        2_000.0 * (a - 2.0).powi(2) + 80.0 * (a - 2.0) * (b - 30.0) + (b - 30.0).powi(2)
    });
    let path: Vec<(f64, f64)> =
        (0..30).map(|i| f64::from(i) / 29.0).map(|t| (1.0 + t, 1.0 + 29.0 * t * t)).collect();

    let (points, names) = crowded_movies();
    let ensembles: Vec<Vec<f64>> =
        (0..4).map(|i| bell(20, 20 + i).iter().map(|v| 0.8 + 0.003 * v).collect()).collect();
    let numbers: Vec<Strip> = ["epoch 0, trn", "epoch 0, val", "epoch 1, trn", "epoch 1, val"]
        .iter()
        .zip(&ensembles)
        .zip([0.86, 0.803, 0.798, 0.801])
        .map(|((name, ensemble), lecture)| Strip {
            group: "fastai's learner",
            name,
            ensemble,
            lecture: Some(lecture),
            ours: Some(ensemble[0]),
        })
        .collect();

    let interval =
        |name, value: f64, lecture| Interval { name, value, low: value - 0.04, high: value + 0.05, lecture };
    let models = [
        interval("EmbeddingDot", 1.13, true),
        interval("EmbeddingNet", 0.79, true),
        interval("item- and user-kNN", 0.75, false),
        interval("a model whose name is so long that it does not fit beside its interval", 0.70, false),
    ];
    let found: Vec<(f64, f64)> = (0..200)
        .map(|i| 1e-5 * 1.06_f64.powi(i))
        .map(|lr| (lr, 0.8 + 0.7 / (1.0 + 200.0 * lr) + 3.0 * lr * lr))
        .collect();
    let (a, b) = ([vec![1.0, 2.0], vec![3.0, 4.0]], [vec![2.0, 2.0], vec![10.0, 10.0]]);
    let figures = [
        joint("joint", "Predictions are shy of the extremes", &preds, &targets, true),
        loss_curves("loss_curves", "embedding_dot: the losses as training goes on", &fits[0]),
        loss_curves("loss_curves_calm", "collab_learner: the losses as training goes on", &fits[1]),
        all_validation_losses("all_validation_losses", "Validation loss of every fit", &fits),
        lr_schedule("lr_schedule", "Cosine annealing with a restart", &rates, 150),
        loss_by_epoch(
            "loss_by_epoch",
            "Adam is ahead",
            "mean squared error",
            0,
            &[("Adam", &falling), ("SGD", &slower), ("momentum", &slower)],
        ),
        gradient_trace(
            "gradient_trace",
            "The gradient bounces; its average does not",
            "de/da",
            &raw,
            &averaged,
        ),
        descent("descent", "The solver's way down", &rmse),
        rating_histogram(
            "rating_histogram",
            "4 stars are given most often",
            &[1.0, 2.0, 3.0, 4.0, 5.0],
            &[3_326, 7_271, 20_064, 28_750, 15_095],
        ),
        crosstab_heatmap(
            "crosstab_heatmap",
            "The busiest users and the most rated movies",
            ("userId", &users),
            ("movie", &movies),
            &cells,
        ),
        squashed_sigmoid(
            "squashed_sigmoid",
            "The sigmoid, squashed to the ratings",
            (0.5, 5.0),
            &[("EmbeddingDotBias", 0.5, 5.0), ("EmbeddingNet", 0.0, 5.5)],
        ),
        residuals_by_popularity(
            "residuals_by_popularity",
            "Rarely rated movies are predicted worse",
            &popularity,
            &residuals,
        ),
        embeddings_before_after("embeddings_before_after", "Training spreads the embeddings out", &tables),
        error_surface("error_surface", "Down the valley", &grid, (2.0, 30.0), &[("SGD", &path)]),
        labeled_scatter(
            "labeled_scatter",
            "Movies by two components",
            ("first component", "second component"),
            &points,
            &names,
        ),
        strips("strips", "Four numbers, each beside 20 seeds", &numbers),
        intervals("intervals", "Models, each with its interval", "MSE (stars²)", &models),
        dot_product("dot_product", "The dot product", &a, &b),
        tensors("tensors", "Tensors"),
        embedding_lookup("embedding_lookup", "An index picks a row", 671, 9_066, 50),
        mini_net("mini_net", "A net instead of the dot product", 50, 10),
        secant_and_tangent(
            "secant_and_tangent",
            "The slope of the error",
            ("b", "error²"),
            |b| (b - 44.0).powi(2),
            (1.0, -86.0),
            20.0,
        ),
        backpropagation("backpropagation", "Forward, then backward", (1.0, 1.0), (14.0, 58.0)),
        points_and_lines(
            "points_and_lines",
            "The data",
            &[(14.0, 58.0), (86.0, 202.0), (28.0, 86.0)],
            &[("y = 2x + 30", 2.0, 30.0), ("the start: y = x + 1", 1.0, 1.0)],
        ),
        lr_finder("lr_finder", "The learning-rate finder", &found, Some(0.02)),
    ];
    figures.into_iter().map(|figure| figure.expect("good data draws")).collect()
}

/// 50 points, most of them in a cluster, with names as long as movie titles.
fn crowded_movies() -> (Vec<(f64, f64)>, Vec<String>) {
    let places = bell(100, 12);
    let points: Vec<(f64, f64)> = places.chunks(2).map(|p| (p[0], p[1])).collect();
    let titles = [
        "Speed (1994)",
        "Lord of the Rings: The Return of the King, The (2003)",
        "Pulp Fiction (1994)",
        "Star Wars: Episode IV - A New Hope (1977)",
        "Toy Story (1995)",
    ];
    let names = (0..50).map(|i| titles[i % titles.len()].to_owned()).collect();
    (points, names)
}

// Hexagons

#[test]
fn every_point_is_counted_once_in_its_nearest_hexagon() {
    let extent = Extent { x: (-1.0, 3.0), y: (0.0, 5.0) };
    let (columns, rows) = (9, 7);
    let x: Vec<f64> = scattered(3_000, 1).iter().map(|v| -1.0 + 4.0 * v).collect();
    let y: Vec<f64> = scattered(3_000, 2).iter().map(|v| 5.0 * v).collect();
    let found = hexbin(&x, &y, extent, (columns, rows));
    assert_eq!(found.iter().map(|h| h.count).sum::<u32>(), 3_000);

    // Brute force: the distance to every center of both lattices.
    let (width, height) = (4.0 / columns as f64, 5.0 / rows as f64);
    let mut middles = Vec::new();
    for row in 0..=rows {
        middles.extend((0..=columns).map(|column| (column as f64, row as f64)));
    }
    for row in 0..rows {
        middles.extend((0..columns).map(|column| (column as f64 + 0.5, row as f64 + 0.5)));
    }
    let mut wanted = vec![0_u32; middles.len()];
    for (&x, &y) in x.iter().zip(&y) {
        let distance = |m: &(f64, f64)| ((x + 1.0) / width - m.0).powi(2) + 3.0 * (y / height - m.1).powi(2);
        let nearest =
            (0..middles.len()).min_by(|&i, &j| distance(&middles[i]).total_cmp(&distance(&middles[j])));
        wanted[nearest.expect("there are middles")] += 1;
    }
    assert_eq!(found.len(), wanted.iter().filter(|&&n| n > 0).count());
    for hexagon in &found {
        let is_middle = |m: &(f64, f64)| {
            (-1.0 + m.0 * width - hexagon.center.0).abs() < 1e-9
                && (m.1 * height - hexagon.center.1).abs() < 1e-9
        };
        let index =
            middles.iter().position(is_middle).expect("a hexagon's center is a middle of the lattices");
        assert_eq!(hexagon.count, wanted[index], "at {:?}", hexagon.center);
    }
}

#[test]
fn the_hexagons_are_those_of_matplotlib() {
    // x = [(i*37 % 101) / 101 for i in range(60)]; y = [(i*i*29 % 97) / 97 for i in range(60)]
    // p = plt.hexbin(x, y, gridsize=(6, 4), extent=(0, 1, 0, 1), mincnt=1); p.get_offsets(), p.get_array()
    let x: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
    let y: Vec<f64> = (0..60).map(|i| f64::from(i * i * 29 % 97) / 97.0).collect();
    let ours = hexbin(&x, &y, Extent { x: (0.0, 1.0), y: (0.0, 1.0) }, (6, 4));
    assert_eq!(ours.len(), MATPLOTLIB.len());
    for (hexagon, &(x, y, count)) in ours.iter().zip(MATPLOTLIB) {
        assert!(
            (hexagon.center.0 - x).abs() < 1e-4 && (hexagon.center.1 - y).abs() < 1e-4,
            "{hexagon:?}, not {x}, {y}"
        );
        assert_eq!(hexagon.count, count, "at {x}, {y}");
    }
}

#[test]
fn points_outside_are_kept_and_points_that_are_not_numbers_are_left_out() {
    let extent = Extent { x: (0.0, 1.0), y: (0.0, 1.0) };
    let found = hexbin(&[-5.0, 0.5, f64::NAN, 9.0], &[-5.0, 0.5, 0.5, f64::INFINITY], extent, (2, 2));
    assert_eq!(found, [Hexagon { center: (0.0, 0.0), count: 1 }, Hexagon { center: (0.5, 0.5), count: 1 }]);
}

// Structure

/// A text of a figure with the box around its ink, in hundredths of an inch.
fn texts(figure: &Figure) -> Vec<(String, usvg::Rect)> {
    fn collect(group: &usvg::Group, found: &mut Vec<(String, usvg::Rect)>) {
        for node in group.children() {
            match node {
                usvg::Node::Group(group) => collect(group, found),
                usvg::Node::Text(text) => {
                    let content = text.chunks().iter().map(|chunk| chunk.text().trim()).collect();
                    let bounds = text.flattened().bounding_box().transform(text.abs_transform());
                    found.push((content, bounds.expect("a text has an extent")));
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(parsed(figure).root(), &mut found);
    found
}

fn parsed(figure: &Figure) -> usvg::Tree {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
    usvg::Tree::from_str(figure.svg(), &options).expect("our own SVG")
}

#[test]
fn no_text_leaves_the_page_or_covers_another() {
    check_texts(every_figure());
}

#[test]
fn slides_have_larger_type_on_pages_of_the_same_size() {
    let figures = std::thread::spawn(|| {
        for_slides();
        draw_every_figure()
    });
    let figures = figures.join().expect("they are drawn");
    check_texts(&figures);
    let height = |figure: &Figure| {
        texts(figure).iter().find(|(text, _)| text == "epochs trained").map(|t| t.1.height())
    };
    let find = |figures: &[Figure]| figures.iter().find(|f| f.name == "all_validation_losses").cloned();
    let (usual, larger) = (find(every_figure()).expect("drawn"), find(&figures).expect("drawn"));
    assert_eq!(usual.size(), larger.size());
    let page = |figure: &Figure| parsed(figure).size().width();
    assert!(page(&larger) < 0.8 * page(&usual) && height(&larger) == height(&usual));
    let pdf = larger.pdf().expect("a PDF");
    let inches = f64::from(larger.size().0) / 100.0;
    let media = String::from_utf8_lossy(&pdf);
    let media = media.split("/MediaBox [").nth(1).and_then(|rest| rest.split(']').next()).expect("a page");
    let points: f64 = media.split_whitespace().nth(2).and_then(|x| x.parse().ok()).expect("its width");
    assert!((points - 72.0 * inches).abs() < 1.0, "{points} points for {inches} inches");
}

fn check_texts(figures: &[Figure]) {
    for figure in figures {
        let page = parsed(figure).size();
        let (width, height) = (page.width(), page.height());
        let texts = texts(figure);
        assert!(texts.len() > 5, "{} has {} texts only", figure.name, texts.len());
        for (text, r) in &texts {
            let inside =
                r.left() >= 4.0 && r.top() >= 4.0 && r.right() <= width - 4.0 && r.bottom() <= height - 4.0;
            assert!(inside, "{}: '{text}' at {r:?} leaves the page of {width} by {height}", figure.name);
        }
        for (i, (one, a)) in texts.iter().enumerate() {
            for (other, b) in &texts[i + 1..] {
                let apart = a.right() <= b.left()
                    || b.right() <= a.left()
                    || a.bottom() <= b.top()
                    || b.bottom() <= a.top();
                assert!(apart, "{}: '{one}' and '{other}' cover each other", figure.name);
            }
        }
    }
}

#[test]
fn a_long_title_is_broken_into_lines() {
    let title = "A title that goes on and on, because somebody had a great deal to say about this fit \
                 and said all of it in one line";
    let figure = descent("long", title, &[2.8, 1.0, 0.5]).expect("good data draws");
    let bold: Vec<(String, usvg::Rect)> =
        texts(&figure).into_iter().filter(|(t, _)| title.contains(t.as_str()) && t.len() > 20).collect();
    assert_eq!(bold.len(), 2, "{bold:?}");
    assert!(bold.iter().all(|(_, r)| r.right() <= figure.size().0 as f32 - 4.0));
}

#[test]
fn a_figure_says_what_it_shows() {
    let figures = every_figure();
    let find = |name: &str| figures.iter().find(|f| f.name == name).expect("it is drawn");
    let has = |figure: &Figure, wanted: &str| texts(figure).iter().any(|(text, _)| text.contains(wanted));
    for figure in figures {
        assert!(figure.alt.len() > 30 && figure.alt.ends_with('.'), "{}: {}", figure.name, figure.alt);
        assert!(figure.svg().contains("role=\"img\" aria-label=\""), "{}", figure.name);
    }
    assert!(has(find("joint"), "4,000 ratings"));
    assert!(has(find("joint"), "true rating (stars)"));
    assert!(has(find("loss_curves"), "learning rate 0.01"));
    assert!(has(find("loss_curves"), "comes down from 12.7"), "a running mean that is cut off is said to be");
    assert!(!has(find("loss_curves_calm"), "comes down from"));
    assert!(!has(find("loss_curves_calm"), "lecture"), "no lecture in the legend where it has no figures");
    assert!(has(find("all_validation_losses"), "lecture 1.1472"));
    assert!(has(find("rating_histogram"), "25,000"), "thousands are separated");
    assert!(has(find("residuals_by_popularity"), "cold start"));
    let beyond = texts(find("strips")).into_iter().filter_map(|(text, _)| text.parse::<f64>().ok());
    assert!(
        beyond.into_iter().any(|z| (15.0..30.0).contains(&z)),
        "a mark beyond the edge says how far out it is"
    );
}

#[test]
fn the_diagrams_have_the_numbers_of_what_they_explain() {
    let shown = |name: &str| -> Vec<String> {
        let figure = every_figure().iter().find(|f| f.name == name).expect("it is drawn");
        texts(figure).into_iter().map(|(text, _)| text).collect()
    };
    for (name, numbers) in [
        ("dot_product", &["1", "4", "2", "30", "40", "6", "70"][..]),
        // 15 is predicted, 58 is true: e = 43², de/db = −2 · 43, and de/da is 14 times that.
        ("backpropagation", &["15", "−43", "1,849", "−86", "de/da = −1,204", "de/db = −86"]),
        ("secant_and_tangent", &["tangent: slope −86.0", "secant over a step of 20: slope −66.0"]),
    ] {
        let texts = shown(name);
        for number in numbers {
            assert!(texts.iter().any(|text| text == number), "{name} lacks {number}: {texts:?}");
        }
    }
}

#[test]
fn the_joint_plot_has_a_hexagon_for_every_count_and_a_mark_for_every_rating() {
    let (preds, targets) = ratings_and_predictions(2_000);
    let polygons = |mean_marks| {
        let figure = joint("joint", "title", &preds, &targets, mean_marks).expect("good data draws");
        figure.svg().matches("<polygon").count()
    };
    // Two polygons per marker (the marker and its white edge), for ten ratings and the legend.
    assert_eq!(polygons(true) - polygons(false), 2 * 11);
    assert!(polygons(false) > 60);
}

#[test]
fn joint_plots_of_two_models_have_the_same_axes_and_colors() {
    let (preds, targets) = ratings_and_predictions(2_000);
    let wild: Vec<f32> = preds.iter().map(|p| 9.0 * (p - 3.0)).collect();
    let [one, other] = [&preds, &wild].map(|p| joint("joint", "t", p, &targets, true).expect("drawn"));
    let label = |figure: &Figure, wanted: &str| -> Vec<(f32, f32)> {
        let found = texts(figure).into_iter().filter(|(text, _)| text == wanted);
        found.map(|(_, bounds)| (bounds.left(), bounds.height())).collect()
    };
    // Stars, and a count next to the colors.
    for text in ["1", "5", "20"] {
        assert_eq!(label(&one, text), label(&other, text), "{text}");
    }
    let says = |figure| texts(figure).iter().any(|(text, _)| text.starts_with("Predictions beyond the plot"));
    assert!(!says(&one) && says(&other));
}

#[test]
fn an_optimizer_has_one_color_in_every_picture() {
    let path: &[(f64, f64)] = &[(1.0, 1.0), (2.0, 20.0)];
    let grid = Grid::of((0.0, 4.0), (0.0, 60.0), 21, |a, b| (a - 2.0).powi(2) + (b - 30.0).powi(2));
    let colors = |name: &str| {
        let surface = error_surface("s", "t", &grid, (2.0, 30.0), &[("SGD", path), (name, path)]);
        let losses = loss_by_epoch("l", "t", "loss", 0, &[(name, &[3.0, 2.0])]);
        [surface.expect("drawn"), losses.expect("drawn")].map(|figure| {
            ["#009E73", "#CC79A7"].map(|color| figure.svg().contains(&format!("stroke=\"{color}\"")))
        })
    };
    assert_eq!(colors("momentum"), [[true, false]; 2]);
    assert_eq!(colors("adagrad"), [[false, true]; 2]);
    assert_eq!(colors("adagrad, annealed"), [[false, true]; 2]);
}

#[test]
fn labels_neither_overlap_nor_leave_the_plot_nor_cover_a_point() {
    let (points, _) = crowded_movies();
    let area = (50.0, 40.0, 800.0, 600.0);
    let points: Vec<(f64, f64)> = points.iter().map(|p| (450.0 + 110.0 * p.0, 340.0 + 80.0 * p.1)).collect();
    let sizes: Vec<(f64, f64)> =
        (0..50).map(|i| (60.0 + 3.0 * f64::from(i), 14.0 + 12.0 * f64::from(i % 2))).collect();
    let labels = place_labels(&points, &sizes, area);
    let labels: Vec<LabelBox> =
        labels.into_iter().map(|l| l.expect("there is room for every label")).collect();
    for (i, label) in labels.iter().enumerate() {
        assert_eq!((label.w, label.h, label.point), (sizes[i].0, sizes[i].1, points[i]));
        assert!(
            label.x >= 50.0 && label.y >= 40.0 && label.x + label.w <= 850.0 && label.y + label.h <= 640.0
        );
        for other in &labels[i + 1..] {
            assert!(!label.overlaps(other), "{label:?} and {other:?}");
        }
        for p in &points {
            let covers = p.0 > label.x && p.0 < label.x + label.w && p.1 > label.y && p.1 < label.y + label.h;
            assert!(!covers, "{label:?} covers the point {p:?}");
        }
    }
}

#[test]
fn labels_that_find_no_place_are_reported() {
    let points = vec![(10.0, 10.0); 5];
    let placed = place_labels(&points, &[(50.0, 12.0); 5], (0.0, 0.0, 60.0, 40.0));
    assert!(placed.iter().any(Option::is_none));
    let names = vec!["x".repeat(70); 150];
    let points: Vec<(f64, f64)> = bell(300, 4).chunks(2).map(|p| (p[0], p[1])).collect();
    let error = labeled_scatter("crowd", "title", ("x", "y"), &points, &names)
        .expect_err("150 long names cannot fit");
    assert!(error.to_string().contains("no free place"), "{error}");
}

// Bytes and files

#[test]
fn the_same_numbers_give_the_same_bytes() {
    for (one, other) in every_figure().iter().zip(&draw_every_figure()) {
        assert_eq!(one, other);
        assert_eq!(one.png(60).expect("a PNG"), other.png(60).expect("a PNG"), "{}", one.name);
    }
}

#[test]
fn a_png_has_the_resolution_that_was_asked_for_and_says_so() {
    let figure = descent("descent", "title", &[2.8, 1.0, 0.5]).expect("good data draws");
    for dpi in [72, 200, 300] {
        let png = figure.png(dpi).expect("a PNG");
        let at = png.windows(4).position(|w| w == b"pHYs").expect("a pHYs chunk");
        let per_meter = u32::from_be_bytes([png[at + 4], png[at + 5], png[at + 6], png[at + 7]]);
        assert_eq!((f64::from(per_meter) * 0.0254).round() as u32, dpi);
        let page = Pixmap::decode_png(&png).expect("a PNG that can be read back");
        assert_eq!(page.width(), (f64::from(figure.size().0 * dpi) / 100.0).round() as u32);
    }
    assert_eq!(figure.size(), (720, 380));
    assert_eq!(figure.css_size(), (691, 365), "96 to the inch, whatever the PNG has");
    assert!(figure.png(0).expect_err("no pixel").to_string().contains("dpi"));
    assert!(figure.png(100_000).expect_err("too many pixels").to_string().contains("choose a dpi"));
}

#[test]
fn files_are_written_completely_and_only_in_the_formats_that_are_asked_for() {
    let folder = std::env::temp_dir().join(format!("lecture5-plots-{}", std::process::id()));
    let figure = descent("descent", "title & <more>", &[2.8, 1.0, 0.5]).expect("good data draws");
    let listing = || -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&folder)
            .expect("the folder")
            .map(|f| f.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let png = figure.save(&folder.join("deeper"), 50, &[Format::Png]).expect("saved");
    assert_eq!(fs::read(folder.join("deeper").join("descent.png")).expect("the file"), png);
    figure.save(&folder, 50, &[Format::Png, Format::Svg, Format::Pdf]).expect("saved");
    assert_eq!(listing(), ["deeper", "descent.pdf", "descent.png", "descent.svg"], "no temporary file stays");
    assert_eq!(fs::read(folder.join("descent.png")).expect("the file"), figure.png(50).expect("a PNG"));

    // If a file cannot be written, nothing is left behind and the error names the path.
    fs::create_dir(folder.join("blocked.png")).expect("a folder in the way");
    let mut blocked = figure.clone();
    blocked.name = "blocked".to_owned();
    let error = blocked.save(&folder, 50, &[Format::Png]).expect_err("a folder is in the way");
    assert!(format!("{error:#}").contains("blocked.png"), "{error:#}");
    assert_eq!(listing(), ["blocked.png", "deeper", "descent.pdf", "descent.png", "descent.svg"]);
    let mut outside = figure;
    outside.name = "../escape".to_owned();
    assert!(outside.save(&folder, 50, &[Format::Png]).is_err());
    fs::remove_dir_all(&folder).expect("tidied up");
}

#[test]
fn bad_numbers_are_answered_with_an_error_that_names_them() {
    let error = |figure: anyhow::Result<Figure>| format!("{:#}", figure.expect_err("bad data"));
    assert!(error(joint("j", "t", &[1.0, 2.0], &[1.0], false)).contains("2 and 1"));
    assert!(
        error(joint("j", "t", &[1.0, f32::NAN], &[1.0, 2.0], false)).contains("prediction number 1 is NaN")
    );
    assert!(error(lr_schedule("l", "t", &[], 10)).contains("no rate"));
    assert!(error(lr_schedule("l", "t", &[0.1], 0)).contains("0 batches"));
    let (running, epochs) = (&[f64::NAN], &[[f64::NAN; 2]]);
    let fit = FitLosses { name: "net", running, epochs, lecture: &[], set_lrs: &[] };
    assert!(error(loss_curves("c", "t", &fit)).contains("diverged"));
    assert!(
        error(crosstab_heatmap("x", "t", ("u", &["1".to_owned()]), ("m", &[]), &[None]))
            .contains("needs 0 values, not 1")
    );
    assert!(error(residuals_by_popularity("r", "t", &[1], &[])).contains("1 movies"));
    assert!(
        error(strips(
            "s",
            "t",
            &[Strip { group: "EmbeddingDot", name: "val", ensemble: &[0.8, 0.8], lecture: None, ours: None }]
        ))
        .contains("no spread")
    );
}

#[test]
fn few_or_odd_numbers_are_drawn_too() {
    joint("one", "one rating", &[3.0], &[4.0], true).expect("a single rating");
    joint("equal", "all the same", &[3.0; 9], &[3.0; 9], true).expect("no spread at all");
    rating_histogram("none", "no ratings", &[1.0], &[0]).expect("a count of 0");
    descent("still", "no step", &[1.0]).expect("only a start");
    gradient_trace("flat", "no gradient", "de/db", &[0.0], &[0.0]).expect("a gradient of 0");
    residuals_by_popularity("cold", "cold start only", &[0], &[0.0]).expect("one group");
    lr_schedule("zero", "a rate of 0", &[0.0, 0.0], 2).expect("a rate of 0");
    loss_by_epoch("ends", "ends early", "loss", 0, &[("a", &[1.0, f64::INFINITY]), ("b", &[])])
        .expect("a curve that ends");
    embeddings_before_after(
        "zeros",
        "all 0",
        &[EmbeddingWeights { name: "u", rows: "", n_factors: 2, before: &[0.0; 4], after: &[0.0; 4] }],
    )
    .expect("no spread");
}

// Pictures

/// The difference of two pictures of the same size: the mean difference of a channel, and the largest difference
/// of the mean over a block of 8 by 8 pixels, both out of 255.
fn difference(one: &Pixmap, other: &Pixmap) -> (f64, f64) {
    assert_eq!((one.width(), one.height()), (other.width(), other.height()), "the pictures differ in size");
    let mut blocks: BTreeMap<(u32, u32, usize), (f64, f64, f64)> = BTreeMap::new();
    let mut total = 0.0;
    for (i, (a, b)) in one.data().iter().zip(other.data()).enumerate() {
        let (pixel, channel) = ((i / 4) as u32, i % 4);
        let block = blocks.entry((pixel % one.width() / 8, pixel / one.width() / 8, channel)).or_default();
        *block = (block.0 + f64::from(*a), block.1 + f64::from(*b), block.2 + 1.0);
        total += (f64::from(*a) - f64::from(*b)).abs();
    }
    let worst = blocks.values().map(|(a, b, n)| (a - b).abs() / n).fold(0.0, f64::max);
    (total / one.data().len() as f64, worst)
}

#[test]
fn the_pictures_look_as_they_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    for figure in every_figure() {
        if update {
            figure.save(&folder, 16, &[Format::Png]).expect("a golden written");
        }
        let path = folder.join(format!("{}.png", figure.name));
        let wanted = Pixmap::load_png(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let drawn = Pixmap::decode_png(&figure.png(16).expect("a PNG")).expect("our own PNG");
        let (mean, worst) = difference(&drawn, &wanted);
        assert!(
            mean < 0.5 && worst < 4.0,
            "{} has changed: {mean:.2} of 255 on average, {worst:.1} in the worst 8 by 8 pixels",
            figure.name
        );
    }
}
