//! Parses values of options; an error says which values are valid.

use anyhow::{Context, Result, ensure};

/// Takes a whole number within bounds; an error names them.
pub fn whole<T: TryFrom<i64>>(low: i64, high: i64) -> impl Fn(&str) -> Result<T> + Clone {
    move |text| {
        let n = text.trim().parse::<i64>().ok().filter(|n| (low..=high).contains(n));
        let n = n.and_then(|n| T::try_from(n).ok());
        n.with_context(|| format!("it must be a whole number from {low} to {high}"))
    }
}

pub fn number(text: &str) -> Result<f64> {
    let x: f64 = text.trim().parse().ok().with_context(|| format!("'{text}' is not a number"))?;
    ensure!(x.is_finite(), "'{text}' is not a finite number");
    Ok(x)
}

pub fn not_negative(text: &str) -> Result<f64> {
    let x = number(text)?;
    ensure!(x >= 0.0, "it must not be negative");
    Ok(x)
}

pub fn share(text: &str) -> Result<f64> {
    let x = number(text)?;
    ensure!((0.0..1.0).contains(&x), "it must be at least 0 and below 1");
    Ok(x)
}

pub fn positive(text: &str) -> Result<f64> {
    let x = number(text)?;
    ensure!(x > 0.0 && x <= 1e6, "it must be above 0, and at most a million");
    Ok(x)
}
