//! Leases: who works on a record now, proved by a fencing epoch.

use std::time::Duration;

use super::record::{Kind, Record, RecordKey};

/// Names one worker; unique for each start of each process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(String);

impl WorkerId {
    /// Names a worker.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to work on a record, until it ends or is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The record.
    pub key: RecordKey,
    /// Who holds it.
    pub owner: WorkerId,
    /// Rises with every claim of this record: a commit under an older one is refused.
    pub epoch: u64,
}

impl Lease {
    /// Puts a lease together from stored parts.
    pub const fn new(key: RecordKey, owner: WorkerId, epoch: u64) -> Self {
        Self { key, owner, epoch }
    }
}

/// Asks for due records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// Who asks.
    pub owner: WorkerId,
    /// The kinds it can work on.
    pub kinds: Vec<Kind>,
    /// How many at most, 1 to [`ClaimRequest::LIMIT_MAX`].
    pub limit: usize,
    /// How long each lease lasts unless renewed.
    pub span: Duration,
}

impl ClaimRequest {
    /// Most records claimed at once.
    pub const LIMIT_MAX: usize = 256;

    /// Asks for up to `limit` records, cut to 1 to [`ClaimRequest::LIMIT_MAX`].
    pub fn new(owner: WorkerId, kinds: Vec<Kind>, limit: usize, span: Duration) -> Self {
        Self { owner, kinds, limit: limit.clamp(1, Self::LIMIT_MAX), span }
    }
}

/// A claimed record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The right to work on it.
    pub lease: Lease,
    /// The record as it was when it was claimed; `None` when only its due time is left.
    pub record: Option<Record>,
}

impl Claim {
    /// Makes a claim.
    pub const fn new(lease: Lease, record: Option<Record>) -> Self {
        Self { lease, record }
    }
}

/// What a request for due records gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The claimed records, earliest due first.
    pub claims: Vec<Claim>,
    /// How long until the next record of these kinds is due; zero when more are due now, `None`
    /// when none is.
    pub next_due_in: Option<Duration>,
}

impl Claims {
    /// Makes an answer.
    pub const fn new(claims: Vec<Claim>, next_due_in: Option<Duration>) -> Self {
        Self { claims, next_due_in }
    }
}
