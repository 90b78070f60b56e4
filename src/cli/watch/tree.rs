//! The source tree that is watched, and which file of it was saved.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use anyhow::{Context, Result, bail};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::wake::Wake;
use crate::cli::sections::{SECTIONS, Section};

const NOTEBOOKS: &str = "notebooks-equivalent";

/// The folder of Cargo.toml.
#[derive(Clone)]
pub struct Tree(pub PathBuf);

impl Tree {
    /// The current folder if it is such a tree, else the one that this program was built from.
    pub fn find() -> Result<Tree> {
        let here = std::env::current_dir().context("the current folder cannot be read")?;
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
        let is_tree = |folder: &&Path| folder.join("Cargo.toml").is_file() && folder.join(NOTEBOOKS).is_dir();
        match [here.as_path(), built_from].into_iter().find(is_tree) {
            Some(folder) => Ok(Tree(folder.to_owned())),
            None => bail!(
                "watch builds the program again from its sources, which are neither in the current folder nor in {} any \
                 more: run it in the folder that has Cargo.toml and {NOTEBOOKS}/",
                built_from.display()
            ),
        }
    }

    /// The file of a section.
    pub fn file(&self, section: &Section) -> PathBuf {
        self.0.join(NOTEBOOKS).join(format!("{}.rs", section.stem))
    }

    /// The text of a section as it is now.
    pub fn text(&self, section: &Section) -> Result<String> {
        let file = self.file(section);
        std::fs::read_to_string(&file).with_context(|| format!("{}: cannot be read", file.display()))
    }

    /// The section that was saved last.
    pub fn last_saved(&self) -> &'static Section {
        let saved = |section: &&Section| self.file(section).metadata().and_then(|file| file.modified()).ok();
        SECTIONS.iter().max_by_key(saved).expect("there are sections")
    }

    /// Sends a [`Wake::Saved`] for each file that is saved from here on, until the returned watcher is dropped.
    pub fn watch(&self, wakes: Sender<Wake>) -> Result<RecommendedWatcher> {
        let folders = [NOTEBOOKS, "src"].map(|folder| self.0.join(folder));
        let hear = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if event.kind.is_access() {
                return;
            }
            for path in event.paths.iter().filter(|path| is_source(path)) {
                drop(wakes.send(Wake::Saved(section_of(path))));
            }
        };
        let mut watcher = notify::recommended_watcher(hear).context("files cannot be watched here")?;
        for folder in &folders {
            let watched = watcher.watch(folder, RecursiveMode::Recursive);
            watched.with_context(|| format!("{}: cannot be watched", folder.display()))?;
        }
        Ok(watcher)
    }
}

/// Whether this is a source of the program; editors temporarily put other files next to the sources.
fn is_source(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let known = ["rs", "cpp", "css", "js", "toml"];
    !hidden && path.extension().is_some_and(|ending| known.iter().any(|known| ending == *known))
}

/// The section that a file of notebooks-equivalent/ is.
fn section_of(path: &Path) -> Option<&'static Section> {
    let folder = path.parent().and_then(Path::file_name)?;
    SECTIONS
        .iter()
        .find(|section| folder == NOTEBOOKS && path.file_stem().is_some_and(|stem| stem == section.stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_leaves_next_to_a_file_is_not_a_source_of_the_program() {
        for name in ["05_embedding_dot.rs", "page.css", "extra.cpp", "reference.toml"] {
            assert!(is_source(&Path::new("/tree/src").join(name)), "{name}");
        }
        for name in [".05_embedding_dot.rs.swp", ".#models.rs", "models.rs~", "4913", "models.rs.bck"] {
            assert!(!is_source(&Path::new("/tree/src").join(name)), "{name}");
        }
    }

    #[test]
    fn a_saved_file_is_recognized_as_its_section() {
        let name = |path: &str| section_of(Path::new(path)).map(|section| section.name);
        assert_eq!(name("/tree/notebooks-equivalent/05_embedding_dot.rs"), Some("embedding_dot"));
        assert_eq!(name("/tree/src/models.rs"), None);
        assert_eq!(name("/tree/notebooks-equivalent/12_other.rs"), None);
    }
}
