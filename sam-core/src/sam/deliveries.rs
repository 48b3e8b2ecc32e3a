//! Deliveries: taking them in, and what people see of them and decide.

use super::nodes::readable;
use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::delivery::{DeliveryRecord, DeliveryState, Line, NewDelivery};
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::store::{Commit, CommitError, Due, Expect, ListQuery, Refusal, Write};

impl Sam {
    /// Keeps a delivery, and returns it once it is durable: then it may be acknowledged. Repeatable by
    /// its id: a replay returns the first and changes nothing, unless that has failed, and then it is
    /// tried again.
    ///
    /// # Errors
    /// `BadInput` for an id or a name outside its bounds; `Unsupported` where nobody handles deliveries;
    /// what the store answered.
    pub async fn receive_delivery(
        &self,
        new: NewDelivery,
        caller: &Caller,
    ) -> Result<Stamped<DeliveryRecord>> {
        if !self.0.handles_deliveries {
            let error = Error::new(ErrorKind::Unsupported, "nobody handles deliveries here");
            return Err(error.with_hint("call .deliveries() on the builder"));
        }
        let (record, payload) = new.into_records(self.0.clock.now())?;
        let key = record.key();
        // A replay of one that is done already finds its record instead.
        for _ in 0..CONFLICTS_MAX {
            let event = if payload.is_some() { "delivery_received" } else { "delivery_handled" };
            let due = if payload.is_some() { Due::NOW } else { Due::In(DeliveryRecord::DONE_KEPT) };
            let write = Write::put(key.clone(), Expect::Absent, encode(&record)?, event);
            let write = write.with_index(record.index()).with_due(due);
            let mut commit = self.commit_for(caller).with_write(write);
            if let Some(payload) = &payload {
                // One whose delivery was forgotten is replaced.
                let (body, at) = (encode(payload)?, payload.key());
                let write = Write::put(at, Expect::Anything, body, "delivery_payload_kept");
                commit = commit.with_write(write);
            }
            commit.wakes = Line::superseded(&**self.store(), &record, Commit::PARTS_MAX).await?;
            match self.commit(commit).await {
                Ok(committed) => {
                    return Ok(Stamped::new(record, committed.version_of(&key).unwrap_or(1)));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(known) = self.replayed(&record, caller).await? {
                return Ok(known);
            }
        }
        Err(too_many_conflicts())
    }

    async fn replayed(
        &self,
        again: &DeliveryRecord,
        caller: &Caller,
    ) -> Result<Option<Stamped<DeliveryRecord>>> {
        let Some(known) = self.delivery(&again.id).await? else { return Ok(None) };
        if known.record.state != DeliveryState::Failed {
            return Ok(Some(known));
        }
        self.retry_delivery(&again.id, caller).await.map(Some)
    }

    /// Returns a delivery, or `None` when there is none of this id, or not any more.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn delivery(&self, id: &str) -> Result<Option<Stamped<DeliveryRecord>>> {
        let stored = self.0.store.load(&DeliveryRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<DeliveryRecord>).transpose()
    }

    /// Returns one page of the deliveries, ordered by id, all or those in one state.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_deliveries(
        &self,
        state: Option<DeliveryState>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<DeliveryRecord>>> {
        let query = ListQuery::new(DeliveryRecord::KIND).with_after(after).with_limit(limit);
        let query = match state {
            Some(state) => query.with_filter(DeliveryRecord::BY_STATE, state.code()),
            None => query,
        };
        Ok(readable(&self.0.store.list(&query).await?))
    }

    /// Has a delivery that failed tried again, with all its attempts. Repeatable: one that is waiting or
    /// worked on is left alone.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id, or not any more; `Conflict` when it is done; what the
    /// store answered.
    pub async fn retry_delivery(
        &self,
        id: &str,
        caller: &Caller,
    ) -> Result<Stamped<DeliveryRecord>> {
        let (key, now) = (DeliveryRecord::key_of(id), self.0.clock.now());
        let retried = |delivery: &DeliveryRecord| delivery.retried(now);
        let delivery = self.update(key, "delivery_retry_requested", caller, retried).await?;
        if delivery.record.state == DeliveryState::Done {
            let message = format!("the delivery {id} is done");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(delivery)
    }
}
