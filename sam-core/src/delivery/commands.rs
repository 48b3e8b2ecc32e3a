//! Receiving deliveries, and queueing failed ones again.

use std::sync::Arc;
use std::time::Duration;

use super::record::{DeliveryRecord, DeliveryState, InboxRecord, NewDelivery, PendingDelivery};
use crate::engine::{Stamped, Stored, decode, encode};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::id::CommitId;
use crate::page::Page;
use crate::store::{
    Actor, Commit, CommitError, Due, Expect, ListQuery, Record, RecordKey, Refusal, Store, Write,
};
use crate::time::Clock;

/// Most times a command begins anew because somebody else changed what it changes: each time one
/// of those who want the same stream gets through, so as many may come at once.
const CONFLICTS_MAX: usize = 256;
/// How long a sender is asked to wait when a stream is full.
const FULL_PAUSE: Duration = Duration::from_mins(1);

/// What became of a delivery that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// It came before, and has this state: nothing was done.
    Duplicate(DeliveryState),
    /// It is durable, and will be handled.
    Queued,
    /// It came before and had failed: it is tried again.
    QueuedAgain,
}

/// Receives deliveries into a store.
#[derive(Debug, Clone)]
pub struct Deliveries {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Deliveries {
    /// Works on a store.
    pub const fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, clock, entropy }
    }

    /// Receives a delivery that was checked: once this returns, it is durable and will be handled
    /// once, so that the sender can be told. Repeatable: the same id again is no second delivery.
    ///
    /// # Errors
    /// `BadInput` for what is malformed or too large; `Unavailable` with a pause when its stream is
    /// full; what the store answered. After an error it may be durable all the same: the sender
    /// delivers again, and that is seen.
    pub async fn receive(&self, new: &NewDelivery) -> Result<Received> {
        new.check()?;
        let key = DeliveryRecord::key_of(&new.source, &new.id);
        for _ in 0..CONFLICTS_MAX {
            let (expect, delivery, received) = match self.load::<DeliveryRecord>(&key).await? {
                None => {
                    let delivery = DeliveryRecord::received(new, self.clock.now());
                    (Expect::Absent, delivery, Received::Queued)
                }
                Some(known) if known.record.state == DeliveryState::Failed => {
                    let again = known.record.moved_to(DeliveryState::Queued, self.clock.now());
                    (Expect::Version(known.version), again, Received::QueuedAgain)
                }
                Some(known) => return Ok(Received::Duplicate(known.record.state)),
            };
            if self.queue(&delivery, expect, &Actor::system()).await? {
                return Ok(received);
            }
        }
        Err(too_many_conflicts())
    }

    /// Queues a failed delivery again, behind those that wait. Repeatable.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id; `Conflict` for one that was handled or replaced;
    /// `Unavailable` with a pause when its stream is full; what the store answered.
    pub async fn retry(&self, source: &str, id: &str, actor: &Actor) -> Result<()> {
        let key = DeliveryRecord::key_of(source, id);
        for _ in 0..CONFLICTS_MAX {
            let known = self.load::<DeliveryRecord>(&key).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "there is no such delivery")
                    .with_operation("retry_delivery")
            })?;
            match known.record.state {
                DeliveryState::Queued => return Ok(()),
                DeliveryState::Done | DeliveryState::Superseded => {
                    let state = known.record.state.code();
                    let message = format!("the delivery is {state}");
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_operation("retry_delivery")
                        .with_retry(Retry::Never));
                }
                DeliveryState::Failed => {}
            }
            let again = known.record.moved_to(DeliveryState::Queued, self.clock.now());
            if self.queue(&again, Expect::Version(known.version), actor).await? {
                return Ok(());
            }
        }
        Err(too_many_conflicts())
    }

    /// Returns one page of deliveries, of one state or of all, ordered by source and id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` for a record that cannot be read.
    pub async fn list(
        &self,
        state: Option<DeliveryState>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<DeliveryRecord>>> {
        let mut query = ListQuery::new(DeliveryRecord::KIND).with_after(after).with_limit(limit);
        if let Some(state) = state {
            query = query.with_filter(DeliveryRecord::BY_STATE, state.code());
        }
        let Page { items, next } = self.store.list(&query).await?;
        Ok(Page::new(items.iter().map(decode).collect::<Result<_>>()?, next))
    }

    /// Writes a delivery and its place in line in one commit; `false` when somebody else was first.
    async fn queue(
        &self,
        delivery: &DeliveryRecord,
        expect: Expect,
        actor: &Actor,
    ) -> Result<bool> {
        let key = delivery.inbox();
        let known = self.load::<InboxRecord>(&key).await?;
        let (inbox_expect, mut inbox) = match known {
            Some(known) => (Expect::Version(known.version), known.record),
            None => (Expect::Absent, InboxRecord::new(delivery)),
        };
        let id = CommitId::new(self.clock.now(), &*self.entropy);
        let mut commit = Commit::new(id, actor.clone());
        if let Some(at) = inbox.replaced_by(delivery.replaces.as_deref()) {
            let replaced = inbox.pending.remove(at);
            let replaced = DeliveryRecord::key_of(&delivery.source, &replaced.id);
            if let Some(old) = self.load::<DeliveryRecord>(&replaced).await? {
                let next = old.record.moved_to(DeliveryState::Superseded, self.clock.now());
                let expect = Expect::Version(old.version);
                commit = commit.with_write(put(&next, expect, "delivery_superseded")?);
            }
        }
        if inbox.pending.len() >= InboxRecord::PENDING_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "too many deliveries wait in this stream",
            )
            .with_operation("receive_delivery")
            .with_retry(Retry::After(FULL_PAUSE)));
        }
        inbox.pending.push(PendingDelivery {
            id: delivery.id.clone(),
            replaces: delivery.replaces.clone(),
            attempts: 0,
            retry_at: None,
        });
        let write = put(delivery, expect, "delivery_received")?;
        let inbox = Write::put(key, inbox_expect, encode(&inbox)?, "inbox_extended")
            .with_index(inbox.index())
            .with_due(Due::NOW);
        match self.store.commit(commit.with_write(write).with_write(inbox)).await {
            Ok(_) => Ok(true),
            Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => Ok(false),
            Err(error) if error.may_have_happened() => match self.store.outcome(id).await? {
                Some(_) => Ok(true),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn load<R: Stored>(&self, key: &RecordKey) -> Result<Option<Stamped<R>>> {
        self.store.load(key).await?.as_ref().map(decode).transpose()
    }
}

fn put(delivery: &DeliveryRecord, expect: Expect, event: &'static str) -> Result<Write> {
    let body = encode(delivery)?;
    if body.len() > Record::BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::BadInput, "the delivery is larger than a record")
            .with_operation("receive_delivery")
            .with_hint("keep only what the handler needs of it"));
    }
    Ok(Write::put(delivery.key(), expect, body, event)
        .with_index(delivery.index())
        .with_due(Due::In(DeliveryRecord::KEPT)))
}

fn too_many_conflicts() -> Error {
    Error::new(ErrorKind::Conflict, "the stream kept changing while the delivery was queued")
        .with_operation("receive_delivery")
        .with_hint("deliver it again")
}
