//! The feed: every change, in order, with nothing missing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Store;
use super::commit::Actor;
use super::record::RecordKey;
use crate::error::Result;
use crate::id::CommitId;
use crate::time::Timestamp;

/// Numbers one change; dense, from 1. Zero stands before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct Rev(pub u64);

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names one history of revisions. A restore begins another, so that a revision number that is
/// used again is not mistaken for the old one. Letters and digits only, at most 40.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Names an epoch.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the feed, written `<epoch>-<rev>`; also the id of a server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Cursor {
    /// The history it belongs to.
    pub epoch: Epoch,
    /// The last revision seen.
    pub rev: Rev,
}

impl Cursor {
    /// Makes a cursor.
    pub const fn new(epoch: Epoch, rev: Rev) -> Self {
        Self { epoch, rev }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.rev)
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is written <epoch>-<revision>")]
#[non_exhaustive]
pub struct ParseCursorError;

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, rev) = text.rsplit_once('-').ok_or(ParseCursorError)?;
        let legal = |c: char| c.is_ascii_alphanumeric();
        if epoch.is_empty() || epoch.len() > 40 || !epoch.chars().all(legal) {
            return Err(ParseCursorError);
        }
        let rev = rev.parse().map_err(|_| ParseCursorError)?;
        Ok(Self { epoch: Epoch::new(epoch), rev: Rev(rev) })
    }
}

/// What a change did to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeOp {
    /// The record is gone.
    Delete,
    /// The record was created or replaced; `body` is all of it.
    Put,
}

impl ChangeOp {
    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Put => "put",
        }
    }
}

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its number.
    pub rev: Rev,
    /// The commit it was part of.
    pub commit_id: CommitId,
    /// When the store applied it, by the store's clock.
    pub at: Timestamp,
    /// On whose behalf.
    pub actor: Actor,
    /// The request that caused it, where one did.
    pub request_id: Option<String>,
    /// The record.
    pub key: RecordKey,
    /// The record's version after it.
    pub version: u64,
    /// What was done.
    pub op: ChangeOp,
    /// A past fact, such as `machine_created`.
    pub event: String,
    /// The whole record after it (its last body for a delete).
    pub body: Arc<str>,
}

impl Change {
    /// Puts a change together from stored parts.
    pub fn new(rev: Rev, commit_id: CommitId, at: Timestamp, key: RecordKey) -> Self {
        Self {
            rev,
            commit_id,
            at,
            actor: Actor::system(),
            request_id: None,
            key,
            version: 0,
            op: ChangeOp::Put,
            event: String::new(),
            body: Arc::from(""),
        }
    }
}

/// Changes after a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The changes, ascending and without a gap.
    pub changes: Vec<Change>,
    /// The end of the feed when it was read.
    pub head: Cursor,
    /// The highest revision that is no longer kept.
    pub floor: Rev,
}

impl Changes {
    /// Most changes read at once.
    pub const LIMIT_MAX: usize = 1_000;

    /// Makes an answer.
    pub const fn new(changes: Vec<Change>, head: Cursor, floor: Rev) -> Self {
        Self { changes, head, floor }
    }
}

/// What reading the feed gives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feed {
    /// The changes asked for.
    Changes(Changes),
    /// The cursor belongs to another epoch, lies below the floor or beyond the head: take a
    /// snapshot and follow from `head`.
    Stale {
        /// The end of the feed now.
        head: Cursor,
        /// The highest revision that is no longer kept.
        floor: Rev,
    },
}

/// Returns the head of the feed.
///
/// # Errors
/// What the store answered.
pub async fn head(store: &dyn Store) -> Result<Cursor> {
    Ok(match store.changes(None, 0).await? {
        Feed::Changes(changes) => changes.head,
        Feed::Stale { head, .. } => head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        let cursor = Cursor::new(Epoch::new("19f0ab"), Rev(42));
        assert_eq!(cursor.to_string(), "19f0ab-42");
        assert_eq!("19f0ab-42".parse(), Ok(cursor));
        for bad in ["", "-", "42", "-42", "a b-1", "x--1", "x-", "x-99999999999999999999999"] {
            assert_eq!(bad.parse::<Cursor>(), Err(ParseCursorError), "{bad}");
        }
    }
}
