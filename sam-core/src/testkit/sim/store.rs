//! A store that is sometimes down, loses replies and refuses without a reason.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::Dice;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::id::CommitId;
use crate::page::Page;
use crate::store::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    Record, RecordKey, Refusal, Store,
};

/// The store of a simulation, around a good one.
#[derive(Debug, Clone)]
pub struct SimStore {
    inner: Arc<dyn Store>,
    dice: Dice,
}

impl SimStore {
    pub(super) const fn new(inner: Arc<dyn Store>, dice: Dice) -> Self {
        Self { inner, dice }
    }

    async fn trouble(&self) -> Result<()> {
        give_way().await;
        if self.dice.strikes(self.dice.faults.store_down) {
            return Err(Error::new(ErrorKind::Unavailable, "the store is down in the simulation"));
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for SimStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.trouble().await?;
        self.inner.load(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        self.trouble().await?;
        self.inner.list(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.trouble().await.map_err(CommitError::Failed)?;
        let faults = self.dice.faults;
        let unknown = || {
            let error = Error::new(ErrorKind::Unavailable, "the commit's reply was lost");
            CommitError::Failed(error.with_effect(Effect::Unknown))
        };
        if self.dice.strikes(faults.commit_lost) {
            give_way().await;
            return Err(unknown());
        }
        if self.dice.strikes(faults.commit_conflict)
            && let Some(write) = commit.writes.first()
        {
            let refusal = Refusal::VersionMismatch { key: write.key.clone(), actual: None };
            return Err(CommitError::Refused(refusal));
        }
        if self.dice.strikes(faults.lease_lost)
            && let Some(used) = &commit.lease
        {
            let refusal = Refusal::LeaseLost { key: used.lease().key.clone() };
            return Err(CommitError::Refused(refusal));
        }
        let result = self.inner.commit(commit).await;
        give_way().await;
        if result.is_ok() && self.dice.strikes(faults.commit_reply_lost) {
            return Err(unknown());
        }
        result
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        self.trouble().await?;
        self.inner.outcome(id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        self.trouble().await?;
        let claims = self.inner.claim_due(request).await;
        give_way().await;
        claims
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        self.trouble().await?;
        self.inner.renew(lease, span).await
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        self.trouble().await?;
        self.inner.release(lease, due).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        self.trouble().await?;
        self.inner.changes(after, limit).await
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        self.inner.wait(after).await
    }
}
