//! The lecture's numbers as data.

use std::sync::LazyLock;

use serde::Deserialize;

/// One of the lecture's fits.
#[derive(Debug, Clone, Deserialize)]
pub struct ReferenceFit {
    /// Its name in metrics.json.
    pub name: String,
    /// The model's name in text.
    pub title: String,
    /// The heading in the lecture's notes under which it runs.
    pub section: String,
    /// One [training, validation] loss pair per epoch, as printed.
    pub losses: Vec<[f64; 2]>,
    /// Mean and standard deviation of the validation loss over ten seeds in PyTorch, one pair per epoch.
    pub spread: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct File {
    fit: Vec<ReferenceFit>,
}

/// The lecture's fits, in its order.
pub static LECTURE: LazyLock<Vec<ReferenceFit>> = LazyLock::new(|| {
    let file: File =
        toml::from_str(include_str!("reference.toml")).expect("src/run/reference.toml is well formed");
    file.fit
});

/// The lecture's fit of that name.
pub fn lecture(name: &str) -> Option<&'static ReferenceFit> {
    LECTURE.iter().find(|fit| fit.name == name)
}
