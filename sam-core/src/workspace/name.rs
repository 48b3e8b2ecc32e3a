//! The name people give a workspace: unique for its owner, never its identity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 1 to 48 lower-case letters, digits and single hyphens, beginning and ending with a letter or
/// digit; never of the form of a workspace id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceName(String);

/// The text is no legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: use 1 to 48 lower-case letters, digits and hyphens")]
#[non_exhaustive]
pub struct ParseNameError(String);

impl WorkspaceName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 48;

    /// Makes a legal name of any text: what does not fit becomes a hyphen or is cut.
    pub fn suggested(text: &str) -> Self {
        let mut name = String::new();
        for character in text.chars() {
            let lower = character.to_ascii_lowercase();
            if lower.is_ascii_alphanumeric() {
                name.push(lower);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if name.len() >= 40 {
                break;
            }
        }
        let name = name.trim_matches('-');
        match name.parse() {
            Ok(name) => name,
            Err(_) => Self("workspace".to_owned()),
        }
    }

    /// Returns the name with a number behind it, for when the plain one is taken.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        Self(format!("{}-{number}", self.0))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkspaceName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = !text.is_empty()
            && text.len() <= Self::LENGTH_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.contains("--")
            && text.parse::<crate::WorkspaceId>().is_err();
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseNameError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for WorkspaceName {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WorkspaceName> for String {
    fn from(name: WorkspaceName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn illegal_names_are_refused() {
        for bad in
            ["", "A", "-a", "a-", "a--b", "a.b", &"a".repeat(49), "ws-00000000000000000000000000"]
        {
            assert!(bad.parse::<WorkspaceName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_suggestion_is_legal_even_with_a_number(text: String, number in 2_u32..100) {
            let name = WorkspaceName::suggested(&text).numbered(number);
            prop_assert!(name.as_str().parse::<WorkspaceName>().is_ok(), "{}", name);
        }
    }
}
