//! Published names as the feed shows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use sam_core::{ErrorRecord, WorkspaceId};

use crate::Time;

/// Where a published name is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameState {
    /// Wanted; the DNS was not asked.
    Requested,
    /// The DNS is asked to put it.
    Putting,
    /// It is in the DNS.
    Published,
    /// The DNS is asked to delete it.
    Deleting,
    /// The DNS is sure that nothing is left.
    Deleted,
}

impl NameState {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Putting => "putting",
            Self::Published => "published",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for NameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// The host name under which a workspace is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedName {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The name itself.
    pub host: String,
    /// Where it is in its life.
    pub state: NameState,
    /// The last failure, until it is made good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it got its state.
    pub changed_at: Time,
    /// Counts the changes of its record.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_words_are_those_of_the_json() {
        for state in [
            NameState::Requested,
            NameState::Putting,
            NameState::Published,
            NameState::Deleting,
            NameState::Deleted,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.code());
        }
    }
}
