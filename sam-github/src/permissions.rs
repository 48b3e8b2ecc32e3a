//! What a token may do: GitHub's names of permissions, each with a level.

use std::collections::BTreeMap;

use sam_core::forge::{Access, Right};
use serde::{Deserialize, Serialize};

/// How far a permission goes; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Looking.
    Read,
    /// Looking and changing.
    Write,
    /// All of it; few permissions know this level.
    Admin,
}

/// Permissions by GitHub's names, such as `contents`, each with its [`Level`].
///
/// ```
/// use sam_github::{Level, Permissions};
/// let wanted = Permissions::new().with("contents", Level::Read);
/// let held = Permissions::new().with("contents", Level::Write).with("metadata", Level::Read);
/// assert!(held.covers(&wanted) && !wanted.covers(&held));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Permissions(BTreeMap<String, Level>);

impl From<BTreeMap<String, String>> for Permissions {
    /// Takes what GitHub says; a level that came after this was written counts as none.
    fn from(said: BTreeMap<String, String>) -> Self {
        let level = |text: &str| match text {
            "read" => Some(Level::Read),
            "write" => Some(Level::Write),
            "admin" => Some(Level::Admin),
            _ => None,
        };
        Self(said.into_iter().filter_map(|(name, text)| Some((name, level(&text)?))).collect())
    }
}

impl Permissions {
    /// Makes an empty set: a token asked for with it gets all that the installation was granted.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a permission, or replaces its level.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, level: Level) -> Self {
        self.0.insert(name.into(), level);
        self
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the level of a permission.
    pub fn level(&self, name: &str) -> Option<Level> {
        self.0.get(name).copied()
    }

    /// Returns whether each of the others is here, at its level or above.
    pub fn covers(&self, others: &Self) -> bool {
        others.missing_in(self).is_none()
    }

    /// Returns the first permission that the others lack, by name.
    pub fn missing_in(&self, others: &Self) -> Option<&str> {
        let lacks = |(name, level): &(&String, &Level)| {
            others.level(name).is_none_or(|held| held < **level)
        };
        self.0.iter().find(lacks).map(|(name, _)| name.as_str())
    }

    /// Lists names and levels, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Level)> {
        self.0.iter().map(|(name, level)| (name.as_str(), *level))
    }
}

impl FromIterator<(Right, Access)> for Permissions {
    fn from_iter<I: IntoIterator<Item = (Right, Access)>>(rights: I) -> Self {
        rights.into_iter().fold(Self::new(), |all, (right, access)| {
            let (name, level) = permission(right, access);
            all.with(name, level)
        })
    }
}

/// Returns GitHub's permission for a right.
fn permission(right: Right, access: Access) -> (&'static str, Level) {
    let level = match access {
        Access::Read => Level::Read,
        // A level that came later asks for more than it needs rather than for less.
        Access::Write | _ => Level::Write,
    };
    match right {
        Right::Contents => ("contents", level),
        Right::Issues => ("issues", level),
        Right::PullRequests => ("pull_requests", level),
        // GitHub knows this permission for writing only.
        Right::Workflows => ("workflows", Level::Write),
        Right::Metadata | _ => ("metadata", level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_from_the_future_is_read_and_covers_nothing() {
        let held: Permissions =
            serde_json::from_str(r#"{"contents":"write","issues":"triage"}"#).unwrap();
        assert_eq!(held.level("contents"), Some(Level::Write));
        assert_eq!(held.level("issues"), None);
        assert!(!held.covers(&Permissions::new().with("issues", Level::Read)));
        assert_eq!(held.iter().count(), 1);
    }
}
