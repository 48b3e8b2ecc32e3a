//! The name of a blob, parsed: a relative path that no file system or object store reads as
//! something else.

use std::fmt;
use std::str::FromStr;

/// Segments of `[A-Za-z0-9._-]` joined by `/`; at most [`BlobKey::BYTES_MAX`] bytes; no segment is
/// empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(String);

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseBlobKeyError {
    /// The key is empty or too long.
    #[error("a blob's key has 1 to 512 bytes")]
    Length,
    /// A segment is empty, a dot, two dots, or has other characters.
    #[error("{0:?} is not a part of a blob's key: use letters, digits, '.', '_' and '-'")]
    Segment(String),
}

impl BlobKey {
    /// Longest key, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is `other` or lies below it.
    pub fn is_under(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobKey {
    type Err = ParseBlobKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(ParseBlobKeyError::Length);
        }
        let legal = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split('/').find(|part| !legal(part)) {
            Some(part) => Err(ParseBlobKeyError::Segment(part.to_owned())),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl From<ParseBlobKeyError> for crate::Error {
    fn from(error: ParseBlobKeyError) -> Self {
        Self::new(crate::ErrorKind::BadInput, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leaves_its_place() {
        for wrong in ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "a\\b", "a\0", "\u{e4}"] {
            assert!(wrong.parse::<BlobKey>().is_err(), "{wrong:?}");
        }
        "x".repeat(513).parse::<BlobKey>().unwrap_err();
        assert_eq!("a/b.c/..d".parse::<BlobKey>().unwrap().as_str(), "a/b.c/..d");
    }

    #[test]
    fn a_prefix_is_made_of_whole_segments() {
        let key: BlobKey = "logs/ws-10/a".parse().unwrap();
        assert!(key.is_under(&"logs/ws-10".parse().unwrap()) && key.is_under(&key));
        assert!(!key.is_under(&"logs/ws-1".parse().unwrap()));
    }
}
