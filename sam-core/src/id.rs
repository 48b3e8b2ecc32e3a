//! Identifiers: 128 bits in `UUIDv7` layout, typed by what they name, written so that they sort by
//! creation time and are legal DNS labels.
//!
//! The text form is `<kind>-<26 lower-case Crockford base32 characters>`, for example
//! `ws-06f1x2k3m4n5p6q7r8s9t0vwxy`. Parsing takes any letter case, because host names do not
//! keep theirs.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entropy::Entropy;
use crate::time::Timestamp;

/// Number of characters of an identifier after its kind and the hyphen.
pub const LABEL_LENGTH: usize = 26;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a byte stands for in either letter case, or [`NO_VALUE`].
const VALUES: [u8; 256] = {
    let mut values = [NO_VALUE; 256];
    let mut value: u8 = 0;
    while value < 32 {
        let letter = ALPHABET[value as usize];
        values[letter as usize] = value;
        values[letter.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};
const NO_VALUE: u8 = u8::MAX;

/// Why a text is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// A character outside Crockford's alphabet.
    #[error("character {found:?} at position {position} is not part of an id")]
    Character {
        /// Zero-based position in the whole text.
        position: usize,
        /// The character found.
        found: char,
    },
    /// The part after the hyphen is not 26 characters long.
    #[error("an id has 26 characters after its kind, this has {found}")]
    Length {
        /// Number of characters found.
        found: usize,
    },
    /// The first character encodes more than 128 bits.
    #[error("the id is larger than 128 bits")]
    Overflow,
    /// Another kind of identifier, or none.
    #[error("expected an id that begins with {expected:?}")]
    Prefix {
        /// The prefix expected, with its hyphen.
        expected: &'static str,
    },
}

/// 128 bits in `UUIDv7` layout: 48 bits of milliseconds, then random bits.
fn fresh_bits(now: Timestamp, entropy: &dyn Entropy) -> u128 {
    let mut random = [0_u8; 16];
    entropy.fill(&mut random);
    let millis = u128::from(now.as_millis_unsigned() & 0xffff_ffff_ffff);
    let random = u128::from_be_bytes(random) & ((1 << 80) - 1);
    let version = 7_u128 << 76;
    let variant = 2_u128 << 62;
    let random = random & !(0xf << 76) & !(3 << 62);
    (millis << 80) | version | variant | random
}

fn encode(bits: u128) -> [u8; LABEL_LENGTH] {
    let mut out = [0_u8; LABEL_LENGTH];
    let mut rest = bits;
    for slot in out.iter_mut().rev() {
        // Five bits always index the table of 32.
        *slot = ALPHABET[usize::from((rest & 31) as u8)];
        rest >>= 5;
    }
    out
}

fn decode(label: &str, offset: usize) -> Result<u128, ParseIdError> {
    if label.len() != LABEL_LENGTH || !label.is_ascii() {
        let found = label.chars().count();
        if found != LABEL_LENGTH {
            return Err(ParseIdError::Length { found });
        }
    }
    let mut bits: u128 = 0;
    for (index, byte) in label.bytes().enumerate() {
        let value = VALUES[usize::from(byte)];
        if value == NO_VALUE {
            // All before it are letters of one byte each: the character stands at this place.
            let found = label.chars().nth(index).unwrap_or(char::REPLACEMENT_CHARACTER);
            return Err(ParseIdError::Character { position: offset + index, found });
        }
        if index == 0 && value > 7 {
            return Err(ParseIdError::Overflow);
        }
        bits = (bits << 5) | u128::from(value);
    }
    Ok(bits)
}

/// Shows the text of an identifier without a detour over single characters.
fn show(bits: u128) -> impl AsRef<str> {
    struct Shown([u8; LABEL_LENGTH]);
    impl AsRef<str> for Shown {
        fn as_ref(&self) -> &str {
            // The alphabet is ASCII.
            std::str::from_utf8(&self.0).unwrap_or_default()
        }
    }
    Shown(encode(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The kind and its hyphen, as the text form begins.
            pub const PREFIX: &'static str = concat!($prefix, "-");

            /// Makes a new identifier from the time and fresh random bits.
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(fresh_bits(now, entropy))
            }

            /// Makes an identifier from bits chosen by the caller.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// Returns the 128 bits.
            pub const fn to_bits(self) -> u128 {
                self.0
            }

            /// Returns the 26 characters without the kind, as they stand in host names.
            pub fn label(self) -> String {
                show(self.0).as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::PREFIX)?;
                f.write_str(show(self.0).as_ref())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let prefix = text.get(..Self::PREFIX.len());
                match prefix {
                    Some(found) if found.eq_ignore_ascii_case(Self::PREFIX) => {}
                    _ => return Err(ParseIdError::Prefix { expected: Self::PREFIX }),
                }
                let label = text.get(Self::PREFIX.len()..).unwrap_or_default();
                decode(label, Self::PREFIX.len()).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Names an account that owns things.
    AccountId = "ac";
    /// Names one atomic change of the store; chosen by the caller so that its outcome can be asked.
    CommitId = "cm";
    /// Names a stored credential.
    CredentialId = "cr";
    /// Names a node.
    NodeId = "nd";
    /// Names an operation: a durable piece of work.
    OperationId = "op";
    /// Names a project.
    ProjectId = "pj";
    /// Names a session with a coding agent.
    SessionId = "ss";
    /// Names a terminal.
    TerminalId = "tm";
    /// Names a workspace.
    WorkspaceId = "ws";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let entropy = SeededEntropy::new(1);
        let early = WorkspaceId::new(Timestamp::from_micros(1_000_000), &entropy);
        let late = WorkspaceId::new(Timestamp::from_micros(2_000_000), &entropy);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn layout_is_uuid_version_7() {
        let id = NodeId::new(Timestamp::from_micros(1_700_000_000_000_000), &SeededEntropy::new(9));
        assert_eq!(id.to_bits() >> 80, 1_700_000_000_000);
        assert_eq!((id.to_bits() >> 76) & 0xf, 7);
        assert_eq!((id.to_bits() >> 62) & 3, 2);
    }

    #[test]
    fn parsing_says_what_is_wrong() {
        assert_eq!("nd-1".parse::<WorkspaceId>(), Err(ParseIdError::Prefix { expected: "ws-" }));
        assert_eq!("ws-1".parse::<WorkspaceId>(), Err(ParseIdError::Length { found: 1 }));
        let text = format!("ws-{}u", "0".repeat(25));
        assert_eq!(
            text.parse::<WorkspaceId>(),
            Err(ParseIdError::Character { position: 28, found: 'u' })
        );
        let text = format!("ws-8{}", "0".repeat(25));
        assert_eq!(text.parse::<WorkspaceId>(), Err(ParseIdError::Overflow));
    }

    proptest! {
        #[test]
        fn text_form_round_trips_in_any_case_and_is_a_dns_label(bits: u128) {
            let id = WorkspaceId::from_bits(bits);
            let text = id.to_string();
            prop_assert!(text.len() <= 63);
            prop_assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert_eq!(text.parse::<WorkspaceId>().unwrap(), id);
            prop_assert_eq!(text.to_uppercase().parse::<WorkspaceId>().unwrap(), id);
            prop_assert_eq!(serde_json::from_str::<WorkspaceId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _unused = text.parse::<WorkspaceId>();
        }
    }
}
