//! Reading what vendors write: decimal numbers that are prices, and names that people mistype.

/// Most names that are suggested.
const SUGGESTED_MAX: usize = 3;

/// Reads a decimal number as millionths, rounded up: a price must not look cheaper than it is.
pub(crate) fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let millionths: u64 = format!("{kept:0<6}").parse().ok()?;
    let more = u64::from(rest.bytes().any(|byte| byte != b'0'));
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(millionths)?.checked_add(more)
}

/// Returns the known names that are most like one, the likeliest first, with commas between them.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.into_iter().map(|known| (distance(name, known), known)).collect();
    known.sort_unstable();
    known.dedup();
    let names: Vec<_> = known.into_iter().take(SUGGESTED_MAX).map(|(_, name)| name).collect();
    names.join(", ")
}

/// Counts the letters to add, drop or change between two names.
fn distance(one: &str, other: &str) -> usize {
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, byte) in one.bytes().enumerate() {
        let mut left = row + 1;
        let mut diagonal = row;
        for (place, known) in above.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal + usize::from(byte != known);
            diagonal = *place;
            *place = changed.min(diagonal + 1).min(left + 1);
            left = *place;
        }
        if let Some(first) = above.first_mut() {
            *first = row + 1;
        }
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_and_rounded_up() {
        for (text, read) in [
            ("0.0060000000000000", Some(6_000)),
            ("4", Some(4_000_000)),
            ("16.0", Some(16_000_000)),
            ("0.00000001", Some(1)),
            ("12.3456789", Some(12_345_679)),
            ("1e3", None),
            ("", None),
            (".5", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micros(text), read, "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested_first() {
        let known = ["fsn1", "nbg1", "hel1", "ash", "hil"];
        assert!(nearest("fns1", known).starts_with("fsn1"), "{}", nearest("fns1", known));
        assert!(nearest("helsinki", known).starts_with("hel1"));
        assert_eq!(nearest("", []), "");
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
