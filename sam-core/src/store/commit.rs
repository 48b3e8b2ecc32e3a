//! A commit: what must hold, what is written, and who may write it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::feed::Rev;
use super::lease::Lease;
use super::record::{Index, RecordKey};
use crate::error::{Effect, Error, ErrorKind};
use crate::id::CommitId;

/// On whose behalf something happens: `system`, or the name of an account; at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(Arc<str>);

impl Actor {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The engine itself.
    pub fn system() -> Self {
        Self(Arc::from("system"))
    }

    /// Somebody by name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a record shall be looked at next, told as a span: the store adds its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// After this span; zero is at once.
    In(Duration),
    /// As it is.
    Keep,
    /// Never, until somebody sets it again.
    Never,
}

impl Due {
    /// At once.
    pub const NOW: Self = Self::In(Duration::ZERO);
}

/// What must hold of a record for a commit to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// There is none.
    Absent,
    /// Nothing; whatever is there is replaced.
    Anything,
    /// It has this version.
    Version(u64),
}

/// What to do to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOp {
    /// Remove it, with its lease and due time. Removing the absent writes nothing; it passes unless
    /// a version was expected.
    Delete,
    /// Create or replace it.
    Put {
        /// The values it can be listed by.
        index: Index,
        /// JSON text, at most [`Record::BODY_BYTES_MAX`](super::Record::BODY_BYTES_MAX) bytes.
        body: Arc<str>,
        /// When it is due next.
        due: Due,
    },
}

/// One write; it becomes one change of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The record.
    pub key: RecordKey,
    /// What must hold of it before.
    pub expect: Expect,
    /// What to do.
    pub op: WriteOp,
    /// A past fact that names the change, such as `machine_created`.
    pub event: &'static str,
}

impl Write {
    /// Creates or replaces a record.
    pub fn put(
        key: RecordKey,
        expect: Expect,
        body: impl Into<Arc<str>>,
        event: &'static str,
    ) -> Self {
        let op = WriteOp::Put { index: Index::default(), body: body.into(), due: Due::Keep };
        Self { key, expect, op, event }
    }

    /// Removes a record.
    pub const fn delete(key: RecordKey, expect: Expect, event: &'static str) -> Self {
        Self { key, expect, op: WriteOp::Delete, event }
    }

    /// Sets the values the record can be listed by.
    #[must_use]
    pub fn with_index(mut self, new: Index) -> Self {
        if let WriteOp::Put { index, .. } = &mut self.op {
            *index = new;
        }
        self
    }

    /// Sets when the record is due next.
    #[must_use]
    pub fn with_due(mut self, new: Due) -> Self {
        if let WriteOp::Put { due, .. } = &mut self.op {
            *due = new;
        }
        self
    }
}

/// Takes or frees a name that only one record may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UniqueChange {
    /// Take it for `holder`; refused while another record holds it. The changes of one commit are
    /// made in order, so a name can be freed and taken in one.
    Claim {
        /// What the name is for, such as `workspace_name`.
        space: &'static str,
        /// The name; at most 256 bytes.
        key: String,
        /// The record that holds it.
        holder: RecordKey,
    },
    /// Free it if `holder` holds it.
    Release {
        /// What the name is for.
        space: &'static str,
        /// The name.
        key: String,
        /// The record that held it.
        holder: RecordKey,
    },
}

/// The lease a commit is made under, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseUse {
    /// Keep working under it.
    Keep(Lease),
    /// Give it back with this commit.
    Release(Lease),
}

impl LeaseUse {
    /// Returns the lease.
    pub const fn lease(&self) -> &Lease {
        match self {
            Self::Keep(lease) | Self::Release(lease) => lease,
        }
    }
}

/// All or nothing: preconditions, writes, uniques and wake-ups under one id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// Chosen by the caller; applying it twice is applying it once.
    pub id: CommitId,
    /// On whose behalf.
    pub actor: Actor,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// Preconditions on records that are not written.
    pub checks: Vec<(RecordKey, Expect)>,
    /// The writes, in order.
    pub writes: Vec<Write>,
    /// Names to take and to free.
    pub unique: Vec<UniqueChange>,
    /// Records that become due at once without being written; the absent are passed over.
    pub wakes: Vec<RecordKey>,
    /// The lease that must still be held.
    pub lease: Option<LeaseUse>,
}

impl Commit {
    /// Most checks, writes, uniques or wakes in one commit, each.
    pub const PARTS_MAX: usize = 64;

    /// Most bytes of all bodies of one commit together.
    pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

    /// Longest request id, in bytes.
    pub const REQUEST_ID_BYTES_MAX: usize = 256;

    /// Longest unique name, in bytes.
    pub const UNIQUE_BYTES_MAX: usize = 256;

    /// Starts an empty commit.
    pub const fn new(id: CommitId, actor: Actor) -> Self {
        Self {
            id,
            actor,
            request_id: None,
            checks: Vec::new(),
            writes: Vec::new(),
            unique: Vec::new(),
            wakes: Vec::new(),
            lease: None,
        }
    }

    /// Adds a write.
    #[must_use]
    pub fn with_write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Adds a precondition on a record that is not written.
    #[must_use]
    pub fn with_check(mut self, key: RecordKey, expect: Expect) -> Self {
        self.checks.push((key, expect));
        self
    }

    /// Takes or frees a name.
    #[must_use]
    pub fn with_unique(mut self, change: UniqueChange) -> Self {
        self.unique.push(change);
        self
    }

    /// Makes another record due at once.
    #[must_use]
    pub fn with_wake(mut self, key: RecordKey) -> Self {
        self.wakes.push(key);
        self
    }

    /// Requires a lease.
    #[must_use]
    pub fn with_lease(mut self, lease: LeaseUse) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Names the request that causes it.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The revision of its last write; of the head when it wrote nothing.
    pub rev: Rev,
    /// The new version of each written record, in the order of the writes.
    pub versions: Vec<(RecordKey, u64)>,
}

impl Committed {
    /// Makes an answer.
    pub const fn new(rev: Rev, versions: Vec<(RecordKey, u64)>) -> Self {
        Self { rev, versions }
    }

    /// Returns the new version of a record it wrote.
    pub fn version_of(&self, key: &RecordKey) -> Option<u64> {
        self.versions.iter().find(|(written, _)| written == key).map(|&(_, version)| version)
    }
}

/// The precondition that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The lease was lost: another worker has the record, or it was given back.
    #[error("the lease on {key} is no longer held")]
    LeaseLost {
        /// The record.
        key: RecordKey,
    },
    /// Another record holds the name.
    #[error("{space} {key:?} is taken")]
    UniqueTaken {
        /// What the name is for.
        space: &'static str,
        /// The name.
        key: String,
        /// Who holds it.
        holder: RecordKey,
    },
    /// The record is not as expected.
    #[error("{key} has changed")]
    VersionMismatch {
        /// The record.
        key: RecordKey,
        /// Its version now, or `None` when there is none.
        actual: Option<u64>,
    },
}

/// Why a commit was not, or may not have been, applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The store failed; `effect()` tells whether the commit may have been applied.
    #[error("the store failed")]
    Failed(#[source] Error),
    /// A precondition did not hold; nothing was written.
    #[error("{0}")]
    Refused(Refusal),
}

impl CommitError {
    /// Returns whether the commit may have been applied all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Failed(error) => error.effect() == Effect::Unknown,
            Self::Refused(_) => false,
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Failed(error) => error,
            CommitError::Refused(refusal) => {
                let kind = match &refusal {
                    Refusal::UniqueTaken { .. } => ErrorKind::AlreadyExists,
                    Refusal::LeaseLost { .. } | Refusal::VersionMismatch { .. } => {
                        ErrorKind::Conflict
                    }
                };
                Self::new(kind, refusal.to_string()).with_source(refusal)
            }
        }
    }
}
