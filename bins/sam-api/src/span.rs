//! Spans as people write them: `45s`, `30m`, `2h`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Units, largest first, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A span in whole seconds, written with one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let unit = text.chars().last().ok_or(ParseSpanError)?;
        let (_, seconds) =
            UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(ParseSpanError)?;
        let digits = text.strip_suffix(unit).ok_or(ParseSpanError)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseSpanError);
        }
        let count: u64 = digits.parse().map_err(|_| ParseSpanError)?;
        count.checked_mul(seconds).map(|all| Self(Duration::from_secs(all))).ok_or(ParseSpanError)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let fits = |(_, unit): &(char, u64)| seconds >= *unit && seconds.is_multiple_of(*unit);
        match UNITS.into_iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", seconds / unit),
            None => write!(f, "{seconds}s"),
        }
    }
}

/// The text is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a span is a whole number and a unit: 45s, 30m, 2h or 7d")]
pub struct ParseSpanError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_with_one_unit() {
        for (text, seconds) in [("45s", 45), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.0.as_secs(), span.to_string().as_str()), (seconds, text));
        }
        assert_eq!("120m".parse::<Span>().unwrap().to_string(), "2h");
        assert_eq!("0s".parse::<Span>().unwrap().to_string(), "0s");
        let long = format!("{}d", u64::MAX);
        for bad in ["", "5", "h", "-1h", "+1h", "1.5h", "1 h", "1y", "2h30m", "ä", &long] {
            assert_eq!(bad.parse::<Span>(), Err(ParseSpanError), "{bad}");
        }
    }
}
