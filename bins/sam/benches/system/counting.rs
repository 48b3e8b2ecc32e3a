//! A store that counts what is asked of the one inside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::Page;
use sam_core::store::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    Record, RecordKey, Store,
};
use sam_core::{CommitId, Result};

/// Counts calls that succeeded.
#[derive(Debug)]
pub(crate) struct Counting<S> {
    inner: S,
    commits: AtomicU64,
    refused: AtomicU64,
    claims: AtomicU64,
    claimed: AtomicU64,
    releases: AtomicU64,
    reads: AtomicU64,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) commits: u64,
    pub(crate) refused: u64,
    pub(crate) claims: u64,
    pub(crate) claimed: u64,
    pub(crate) releases: u64,
    pub(crate) reads: u64,
}

impl<S> Counting<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self {
            inner,
            commits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            releases: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            commits: read(&self.commits),
            refused: read(&self.refused),
            claims: read(&self.claims),
            claimed: read(&self.claimed),
            releases: read(&self.releases),
            reads: read(&self.reads),
        }
    }
}

impl Counts {
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            refused: self.refused + other.refused,
            claims: self.claims + other.claims,
            claimed: self.claimed + other.claimed,
            releases: self.releases + other.releases,
            reads: self.reads + other.reads,
        }
    }

    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            commits: self.commits - earlier.commits,
            refused: self.refused - earlier.refused,
            claims: self.claims - earlier.claims,
            claimed: self.claimed - earlier.claimed,
            releases: self.releases - earlier.releases,
            reads: self.reads - earlier.reads,
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[async_trait]
impl<S: Store> Store for Counting<S> {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        add(&self.reads);
        self.inner.load(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        add(&self.reads);
        self.inner.list(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let outcome = self.inner.commit(commit).await;
        add(if outcome.is_ok() { &self.commits } else { &self.refused });
        outcome
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        add(&self.reads);
        self.inner.outcome(id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        let claims = self.inner.claim_due(request).await?;
        add(&self.claims);
        self.claimed.fetch_add(claims.claims.len() as u64, Ordering::Relaxed);
        Ok(claims)
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        self.inner.renew(lease, span).await
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        add(&self.releases);
        self.inner.release(lease, due).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        add(&self.reads);
        self.inner.changes(after, limit).await
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        self.inner.wait(after).await
    }
}
