//! Why the watching process goes on.

use crate::cli::sections::Section;

/// What wakes the watching process.
pub enum Wake {
    /// A file was saved: this section's, or one of the sources.
    Saved(Option<&'static Section>),
    /// The page's button "Stop".
    Stop,
    /// The page's button "Run again".
    Again,
}
