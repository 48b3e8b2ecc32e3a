//! Numbers as they are printed: a median with its spread.

use std::fmt;
use std::time::Duration;

/// The middle and the ends of some measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |position: usize| values.get(position).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        let Self { min, median, max } = self;
        write!(f, "{median:.digits$} [{min:.digits$}..{max:.digits$}]")
    }
}

/// Ours and the peer's, one of each per turn.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    pub(crate) fn push(&mut self, ours: f64, peer: f64) {
        self.0.push((ours, peer));
    }

    pub(crate) fn ours(&self) -> Spread {
        Spread::of(self.0.iter().map(|pair| pair.0))
    }

    pub(crate) fn peer(&self) -> Spread {
        Spread::of(self.0.iter().map(|pair| pair.1))
    }

    /// Ours divided by the peer's, turn by turn.
    pub(crate) fn ratio(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, peer)| ours / peer))
    }
}

/// How often per second.
pub(crate) fn rate(count: u64, span: Duration) -> f64 {
    float(count) / span.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// The value below which `percent` of the sorted spans are, in microseconds.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let position = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(position).map_or(f64::NAN, |span| span.as_secs_f64() * 1e6)
}
