//! The colors: Okabe and Ito's (2008), which color-blind readers can distinguish too. Where ours and the lecture's
//! figures meet, ours are blue and full, the lecture's vermilion and open, so that shape alone distinguishes them as
//! well.

use plotters::style::RGBColor;

/// Text.
pub const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
/// Secondary text, axes.
pub const GRAY: RGBColor = RGBColor(0x6b, 0x6b, 0x6b);
/// Grid lines.
pub const PALE: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// A region behind the data.
pub const BAND: RGBColor = RGBColor(0xee, 0xee, 0xee);
pub const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub const BLACK: RGBColor = RGBColor(0, 0, 0);
pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
pub const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
pub const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub const PALE_ORANGE: RGBColor = RGBColor(0xfb, 0xea, 0xc4);
pub const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);

/// What this run measured.
pub const OURS: RGBColor = BLUE;
/// What the lecture printed.
pub const LECTURE: RGBColor = VERMILION;
/// For a sixth optimizer.
pub const BROWN: RGBColor = RGBColor(0x8c, 0x51, 0x0a);
/// Several curves of equal standing, in this order.
pub const SERIES: [RGBColor; 8] =
    [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, RGBColor(0x99, 0x99, 0x99)];

/// The color of an optimizer in every picture, and whether its line is dashed, as that of an annealed variant is.
/// Blue is left to the ground that the paths of optimizers run over. `None` for another name.
pub fn optimizer(name: &str) -> Option<(RGBColor, bool)> {
    let (of, annealed) = name.strip_suffix(", annealed").map_or((name, false), |of| (of, true));
    let color = match of.to_lowercase().as_str() {
        "sgd" | "basic sgd" => VERMILION,
        "momentum" => GREEN,
        "adagrad" => PURPLE,
        "rmsprop" => ORANGE,
        "adam" => BLACK,
        "eve" => BROWN,
        _ => return None,
    };
    Some((color, annealed))
}

/// From few (light) to many (dark): even steps of lightness from nearly white to a deep blue.
const LIGHT_TO_DARK: [(u8, u8, u8); 6] =
    [(232, 241, 250), (182, 212, 238), (116, 174, 220), (54, 131, 192), (16, 86, 146), (8, 40, 82)];

/// The color of a share between 0 (light) and 1 (dark).
pub fn sequential(share: f64) -> RGBColor {
    let last = LIGHT_TO_DARK.len() - 1;
    let place = if share.is_finite() { share.clamp(0.0, 1.0) * last as f64 } else { 0.0 };
    let below = (place as usize).min(last - 1);
    let (from, to, t) = (LIGHT_TO_DARK[below], LIGHT_TO_DARK[below + 1], place - below as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + t * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Perceived lightness between 0 and 1, to choose black or white text on a color.
pub fn lightness(RGBColor(r, g, b): RGBColor) -> f64 {
    (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequential_colors_only_ever_grow_darker() {
        let shades: Vec<f64> = (0..=100).map(|i| lightness(sequential(f64::from(i) / 100.0))).collect();
        assert!(shades.windows(2).all(|pair| pair[1] < pair[0]), "{shades:?}");
    }
}
