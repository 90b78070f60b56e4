//! What a trained model can answer: similar movies and users, found by title or id.

pub mod interpret;
pub mod titles;
