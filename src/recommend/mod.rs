//! What a trained model can answer: similar movies and people, found by title or id.

pub mod interpret;
pub mod titles;
