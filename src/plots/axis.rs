//! One direction of a chart: its range, its ticks and what it measures.

use plotters::coord::combinators::{IntoLogRange, LogCoord};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

use super::canvas::Face;
use crate::system::numerals::number;

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Log,
}

/// One direction: its range, its ticks and what it measures.
#[derive(Clone)]
pub(super) struct Axis {
    pub lo: f64,
    pub hi: f64,
    pub ticks: Vec<(f64, String)>,
    pub label: String,
    pub grid: bool,
    scale: Scale,
}

impl Axis {
    /// A linear axis from `lo` to `hi` with about `n` ticks.
    pub fn linear(lo: f64, hi: f64, n: usize, label: &str) -> Self {
        let (lo, hi) = if hi > lo { (lo, hi) } else { (lo - 0.5, lo + 0.5) };
        Self { lo, hi, ticks: ticks(lo, hi, n), label: label.to_owned(), grid: false, scale: Scale::Linear }
    }

    /// A linear axis that holds every value with a little air on both sides.
    pub fn around((lo, hi): (f64, f64), n: usize, label: &str) -> Self {
        let air = if hi > lo { 0.06 * (hi - lo) } else { 0.06 * lo.abs().max(1.0) };
        Self::linear(lo - air, hi + air, n, label)
    }

    /// A linear axis from 0 to a little above `hi`, for counts.
    pub fn from_zero(hi: f64, n: usize, label: &str) -> Self {
        Self::linear(0.0, if hi > 0.0 { 1.06 * hi } else { 1.0 }, n, label)
    }

    /// A logarithmic axis; both ends must be above 0.
    pub fn log(lo: f64, hi: f64, label: &str) -> Self {
        let (lo, hi) = if hi > lo { (lo, hi) } else { (lo / 2.0, lo * 2.0) };
        Self {
            lo,
            hi,
            ticks: log_ticks(lo, hi),
            label: format!("{label}, log scale"),
            grid: false,
            scale: Scale::Log,
        }
    }

    /// The same axis with the given ticks.
    pub fn with_ticks(mut self, ticks: Vec<(f64, String)>) -> Self {
        self.ticks = ticks;
        self
    }

    /// The same axis without numbers and label, where another panel has them.
    pub fn unlabeled(mut self) -> Self {
        self.label.clear();
        self.ticks.iter_mut().for_each(|(_, text)| text.clear());
        self
    }

    /// The same axis as a bare line.
    pub fn bare(mut self) -> Self {
        self.label.clear();
        self.ticks.clear();
        self
    }

    /// The same axis with pale lines across the plot at its ticks.
    pub fn with_grid(mut self) -> Self {
        self.grid = true;
        self
    }

    /// Where a value lies between the two ends, 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        const FINE: i32 = 1 << 22;
        f64::from(self.map(&value, (0, FINE))) / f64::from(FINE)
    }

    pub fn widest_tick(&self) -> f64 {
        self.ticks.iter().map(|(_, text)| Face::TICK.width(text)).fold(0.0, f64::max)
    }
}

/// The scale is plotters' own; the ticks are not, for plotters' need not be round on a logarithmic scale nor share their
/// decimals, and it has none with names.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        match self.scale {
            Scale::Linear => RangedCoordf64::from(self.range()).map(value, limit),
            Scale::Log => LogCoord::from(self.range().log_scale()).map(value, limit),
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.lo..self.hi
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|(tick, _)| tick == value).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// Steps of 1, 2 or 5 times a power of ten that make about `n` intervals.
fn step(lo: f64, hi: f64, n: usize) -> f64 {
    let rough = (hi - lo) / n.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let lead = rough / power;
    power
        * if lead < 1.5 {
            1.0
        } else if lead < 3.5 {
            2.0
        } else if lead < 7.5 {
            5.0
        } else {
            10.0
        }
}

/// The ticks of a linear axis: round values within the range, all with the same number of decimals.
pub(super) fn ticks(lo: f64, hi: f64, n: usize) -> Vec<(f64, String)> {
    let step = step(lo, hi, n);
    let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    let slack = 1e-9 * (hi - lo);
    let (first, last) = (((lo - slack) / step).ceil() as i64, ((hi + slack) / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).map(|value| (value, number(value, decimals))).collect()
}

/// The ticks of a logarithmic axis: powers of ten, and 2 and 5 times those when there are few.
fn log_ticks(lo: f64, hi: f64) -> Vec<(f64, String)> {
    let decades = (hi / lo).log10();
    if decades < 0.2 {
        return ticks(lo, hi, 6);
    }
    let leads: &[f64] = if decades > 2.5 {
        &[1.0]
    } else if decades > 0.5 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    };
    let every = (decades / 7.0).ceil().max(1.0) as i32;
    let mut ticks = Vec::new();
    for power in lo.log10().floor() as i32..=hi.log10().ceil() as i32 {
        if decades > 2.5 && power.rem_euclid(every) != 0 {
            continue;
        }
        for lead in leads {
            let value = lead * 10_f64.powi(power);
            if value >= lo * 0.999_999 && value <= hi * 1.000_001 {
                ticks.push((value, short(value)));
            }
        }
    }
    ticks
}

/// A number with no more digits than it needs: `0.0025`, `1,000`, `1e−7`.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-5..1e9).contains(&size) {
        return format!("{value:e}").replace('-', "\u{2212}");
    }
    let mut decimals = 0;
    while decimals < 8
        && (size * 10_f64.powi(decimals)).fract().min(1.0 - (size * 10_f64.powi(decimals)).fract()) > 1e-6
    {
        decimals += 1;
    }
    number(value, decimals as usize)
}

/// An axis of whole epochs, with room for half a mark at its end.
pub(super) fn epoch_axis(epochs: usize, from: f64, label: &str) -> Axis {
    let every = epochs.div_ceil(12).max(1);
    let start = if from > 0.0 { 1 } else { 0 };
    let ticks = (start..=epochs).step_by(every).map(|e| (e as f64, e.to_string())).collect();
    Axis::linear(from, epochs as f64 + 0.03 * epochs as f64 + from / 2.0, 6, label).with_ticks(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_share_their_decimals() {
        assert_eq!(texts(&ticks(0.0, 1.06, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&ticks(0.0, 7_506.0, 4)), ["0", "2,000", "4,000", "6,000"]);
        assert_eq!(
            texts(&ticks(-0.3, 0.3, 6)),
            ["\u{2212}0.3", "\u{2212}0.2", "\u{2212}0.1", "0.0", "0.1", "0.2", "0.3"]
        );
        assert_eq!(texts(&ticks(0.755, 0.812, 5)), ["0.76", "0.77", "0.78", "0.79", "0.80", "0.81"]);
    }

    #[test]
    fn a_logarithmic_axis_is_labeled_over_one_decade_and_over_many() {
        assert_eq!(texts(&log_ticks(0.9, 25.0)), ["1", "2", "5", "10", "20"]);
        assert_eq!(texts(&log_ticks(0.001, 1000.0)), ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]);
        assert_eq!(short(1e-7), "1e\u{2212}7");
        assert_eq!(short(0.0025), "0.0025");
    }
}
