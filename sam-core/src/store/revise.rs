//! What becomes of records on their way from a backup into a store.

use std::fmt;

use super::commit::Write;
use super::record::{Kind, Record};
use crate::error::Result;

/// Decides, record by record, how a backup is restored.
///
/// What it writes becomes changes of the feed, after those of the backup and together with them: a
/// reader of the restored store sees why a record differs from what the backup said. Of a write, the
/// expectation and the due time are not looked at.
pub trait Revise: fmt::Debug + Send + Sync {
    /// Returns what is written in place of a record, or `None` to keep it as it was. The write names the
    /// same record.
    ///
    /// # Errors
    /// Any; nothing is restored then.
    fn revise(&self, record: &Record) -> Result<Option<Write>>;

    /// Returns whether records of a kind keep their due times and the names they hold.
    fn keeps_claims(&self, kind: &Kind) -> bool;

    /// Returns whether sealed secrets come along. What restores as another installation has other keys,
    /// and no right to what these secrets open.
    fn keeps_secrets(&self) -> bool;

    /// Returns what is written in any case; it stands in place of what the backup has of those
    /// records. At most [`Commit::PARTS_MAX`](super::Commit::PARTS_MAX) writes.
    ///
    /// # Errors
    /// Any; nothing is restored then.
    fn adds(&self) -> Result<Vec<Write>>;
}

/// Restores everything as it was: for moving from one store to another.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it holds nothing, and is named as a value")]
pub struct Unrevised;

impl Revise for Unrevised {
    fn revise(&self, _record: &Record) -> Result<Option<Write>> {
        Ok(None)
    }

    fn keeps_claims(&self, _kind: &Kind) -> bool {
        true
    }

    fn keeps_secrets(&self) -> bool {
        true
    }

    fn adds(&self) -> Result<Vec<Write>> {
        Ok(Vec::new())
    }
}
