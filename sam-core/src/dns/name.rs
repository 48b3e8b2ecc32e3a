//! A name in the DNS, parsed: lower-case, absolute, without the final dot.

use std::fmt;
use std::str::FromStr;

/// A fully qualified name: at least two labels, at most [`RecordName::BYTES_MAX`] bytes.
///
/// Parsing takes any letter case and one final dot, and keeps neither. The first label may be `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRecordNameError {
    /// A label has other characters, or begins or ends with a hyphen.
    #[error("{0:?} is not a label of a DNS name: use a-z, 0-9, '-' and '_'")]
    Label(String),
    /// A label is empty or longer than 63 characters.
    #[error("a label of a DNS name has 1 to 63 characters")]
    LabelLength,
    /// The name is too short or too long.
    #[error("a DNS name has two labels or more and at most 253 bytes")]
    Length,
}

impl RecordName {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 253;

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts labels in front of a name. The caller answers for their form and for the length.
    pub(super) fn below(base: &Self, labels: &str) -> Self {
        Self(format!("{labels}.{base}"))
    }

    /// Returns whether it is `zone` itself or lies below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        match self.0.strip_suffix(zone.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RecordName {
    type Err = ParseRecordNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.contains('.') {
            return Err(ParseRecordNameError::Length);
        }
        for (index, label) in text.split('.').enumerate() {
            if label.is_empty() || label.len() > 63 {
                return Err(ParseRecordNameError::LabelLength);
            }
            let wildcard = index == 0 && label == "*";
            let legal = label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                && !label.starts_with('-')
                && !label.ends_with('-');
            if !wildcard && !legal {
                return Err(ParseRecordNameError::Label(label.to_owned()));
            }
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<ParseRecordNameError> for crate::Error {
    fn from(error: ParseRecordNameError) -> Self {
        Self::new(crate::ErrorKind::BadInput, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_parsed_into_one_form() {
        let name: RecordName = "WS-1.Example.COM.".parse().unwrap();
        assert_eq!(name.as_str(), "ws-1.example.com");
        "*.example.com".parse::<RecordName>().unwrap();
        "_acme-challenge.example.com".parse::<RecordName>().unwrap();
        for wrong in ["", ".", "com", "a..b", "-a.b", "a-.b", "a b.c", "a.*.b", "\u{e4}.b"] {
            assert!(wrong.parse::<RecordName>().is_err(), "{wrong:?}");
        }
        format!("{}.example", "x".repeat(64)).parse::<RecordName>().unwrap_err();
    }

    #[test]
    fn a_zone_holds_itself_and_what_is_below_it() {
        let zone: RecordName = "example.com".parse().unwrap();
        let within = |text: &str| text.parse::<RecordName>().unwrap().is_within(&zone);
        assert!(within("example.com") && within("a.b.example.com"));
        assert!(!within("badexample.com") && !within("example.org"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_what_parses_reads_back(text: String) {
            if let Ok(name) = text.parse::<RecordName>() {
                prop_assert_eq!(name.as_str().parse::<RecordName>().unwrap(), name);
            }
        }
    }
}
