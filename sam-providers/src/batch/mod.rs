//! Many commits judged together: one picture of the state they mention, and what they make of it.
//!
//! A store that reaches its state over a wire loads every row a batch mentions at once, judges each
//! commit here in the order of the queue, and then writes only what passed. Nothing in here waits
//! or fails: it is tried against the store in memory without any database.

mod picture;

use std::collections::{BTreeMap, BTreeSet};

use sam_core::CommitId;
use sam_core::store::{Commit, Due, RecordKey, UniqueChange, WriteOp};

pub(crate) use self::picture::{Known, Picture, Written};

/// Most commits that wait; further callers wait for a place.
pub(crate) const QUEUE_MAX: usize = 1_024;
/// Most commits in one transaction.
pub(crate) const COMMITS_MAX: usize = 256;
/// A batch takes nothing more once its bodies have so many bytes together.
pub(crate) const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the bodies a commit brings.
pub(crate) fn weight(commit: &Commit) -> usize {
    let body = |write: &sam_core::store::Write| match &write.op {
        WriteOp::Put { body, .. } => body.len(),
        _ => 0,
    };
    commit.writes.iter().map(body).sum()
}

/// Every row that a batch of commits may read or write. Ordered, so that rows are always locked in
/// one order.
#[derive(Debug, Default)]
pub(crate) struct Mentions<'c> {
    pub(crate) commits: BTreeSet<CommitId>,
    /// Records, and whether the last body is wanted, because a delete tells it to the feed.
    pub(crate) records: BTreeMap<&'c RecordKey, bool>,
    /// Records whose due time or lease is looked at.
    pub(crate) due: BTreeSet<&'c RecordKey>,
    /// Names, by what they are for.
    pub(crate) names: BTreeSet<(&'c str, &'c str)>,
}

impl<'c> Mentions<'c> {
    /// Collects what a batch mentions.
    pub(crate) fn of(commits: impl IntoIterator<Item = &'c Commit>) -> Self {
        let mut all = Self::default();
        for commit in commits {
            all.add(commit);
        }
        all
    }

    fn add(&mut self, commit: &'c Commit) {
        self.commits.insert(commit.id);
        for write in &commit.writes {
            let (body, due) = match write.op {
                WriteOp::Put { due, .. } => (false, due != Due::Keep),
                _ => (true, true),
            };
            *self.records.entry(&write.key).or_default() |= body;
            if due {
                self.due.insert(&write.key);
            }
        }
        for (key, _) in &commit.checks {
            self.records.entry(key).or_default();
        }
        for key in &commit.wakes {
            self.records.entry(key).or_default();
            self.due.insert(key);
        }
        self.due.extend(commit.lease.as_ref().map(|used| &used.lease().key));
        for change in &commit.unique {
            if let UniqueChange::Claim { space, key, .. }
            | UniqueChange::Release { space, key, .. } = change
            {
                self.names.insert((*space, key.as_str()));
            }
        }
    }
}
