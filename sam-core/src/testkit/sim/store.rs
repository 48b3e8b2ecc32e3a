//! A store that is sometimes down, loses replies and refuses without a reason, and keeps books on
//! the one inside.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::{About, Dice, Fault};
use super::ledger::Ledger;
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
    ledger: Ledger,
}

impl SimStore {
    pub(super) const fn new(inner: Arc<dyn Store>, dice: Dice, ledger: Ledger) -> Self {
        Self { inner, dice, ledger }
    }

    /// The store itself: a call through the pointer to it would be boxed twice.
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn trouble(&self) -> Result<()> {
        give_way().await;
        if self.dice.strikes(Fault::StoreDown, || About::All) {
            return Err(down());
        }
        Ok(())
    }

    /// Hands a commit to the store inside, and writes down both the question and the answer.
    async fn pass(&self, commit: Commit) -> Result<Committed, CommitError> {
        let (id, used) = (commit.id, commit.lease.clone());
        self.ledger.offered(&commit);
        let result = self.inner().commit(commit).await;
        self.ledger.answered(id, used.as_ref(), &result);
        result
    }
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is down in the simulation")
}

fn unknown() -> CommitError {
    let error = Error::new(ErrorKind::Unavailable, "the commit's reply was lost");
    CommitError::Failed(error.with_effect(Effect::Unknown))
}

fn about(commit: &Commit) -> About {
    commit.writes.first().map_or(About::All, |write| About::Record(write.key.clone()))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for SimStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.trouble().await?;
        self.inner().load(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        self.trouble().await?;
        self.inner().list(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.trouble().await.map_err(CommitError::Failed)?;
        if self.dice.strikes(Fault::CommitLost, || about(&commit)) {
            give_way().await;
            return Err(unknown());
        }
        if self.dice.strikes(Fault::CommitConflict, || about(&commit))
            && let Some(write) = commit.writes.first()
        {
            let refusal = Refusal::VersionMismatch { key: write.key.clone(), actual: None };
            return Err(CommitError::Refused(refusal));
        }
        if self.dice.strikes(Fault::LeaseLost, || about(&commit))
            && let Some(used) = &commit.lease
        {
            let refusal = Refusal::LeaseLost { key: used.lease().key.clone() };
            return Err(CommitError::Refused(refusal));
        }
        if self.dice.strikes(Fault::CommitDuplicated, || about(&commit)) {
            let first = self.pass(commit.clone()).await;
            give_way().await;
            // What comes second must be answered as the first was; the ledger compares.
            if first.is_ok() {
                drop(self.pass(commit).await);
            }
            return first;
        }
        let lost = self.dice.strikes(Fault::CommitReplyLost, || about(&commit));
        let result = self.pass(commit).await;
        give_way().await;
        if result.is_ok() && lost { Err(unknown()) } else { result }
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        self.trouble().await?;
        let outcome = self.inner().outcome(id).await;
        if let Ok(outcome) = &outcome {
            self.ledger.told(id, outcome.as_ref());
        }
        outcome
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        self.trouble().await?;
        let claims = self.inner().claim_due(request).await;
        if let Ok(claims) = &claims {
            self.ledger.claimed(claims, request.span);
        }
        give_way().await;
        if claims.as_ref().is_ok_and(|claims| !claims.claims.is_empty())
            && self.dice.strikes(Fault::ClaimReplyLost, || About::All)
        {
            return Err(down());
        }
        claims
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        self.trouble().await?;
        let renewed = self.inner().renew(lease, span).await;
        if matches!(renewed, Ok(true)) {
            self.ledger.renewed(lease, span);
        }
        renewed
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        self.trouble().await?;
        let released = self.inner().release(lease, due).await;
        self.ledger.released(lease);
        released
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        self.trouble().await?;
        self.inner().changes(after, limit).await
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        self.inner().wait(after).await
    }
}
