//! Numbers as text.

/// `1234567.8` as `1,234,568`, or with the given number of decimals; the minus sign is a real one.
pub fn number(value: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::new();
    if value < 0.0 && plain.chars().any(|c| c.is_ascii_digit() && c != '0') {
        text.push('\u{2212}');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators_and_a_real_minus() {
        assert_eq!(number(1_251.0, 0), "1,251");
        assert_eq!(number(100_004.0, 0), "100,004");
        assert_eq!(number(-0.25, 2), "\u{2212}0.25");
        assert_eq!(number(-0.001, 1), "0.0");
        assert_eq!(number(999.96, 1), "1,000.0");
    }
}
