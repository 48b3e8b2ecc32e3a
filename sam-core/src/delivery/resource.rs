//! The delivery's question and effect: its line in the store, and the host's handler.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::handler::{DeliveryHandler, ReceivedDelivery};
use super::line::Line;
use super::record::{DeliveryPayload, DeliveryRecord, DeliveryState};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource, decode};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::store::Store;
use crate::time::Timestamp;

/// A decision about a delivery.
pub type DeliveryDecision = Decision<DeliveryResource>;

/// Who is before it and behind it in its line?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryLook;

/// What a delivery's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryEffect {
    /// Hand it to the host's handler.
    Handle,
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeliveryObservation {
    /// Of [`DeliveryEffect::Handle`].
    Handled(Result<()>),
    /// Of [`DeliveryLook`].
    Line(Result<Line>),
}

/// Carries deliveries.
#[derive(Debug)]
pub struct DeliveryResource {
    store: Arc<dyn Store>,
    handler: Arc<dyn DeliveryHandler>,
    policy: Policy,
}

impl DeliveryResource {
    /// Hands the deliveries of a store to a handler.
    pub const fn new(
        store: Arc<dyn Store>,
        handler: Arc<dyn DeliveryHandler>,
        policy: Policy,
    ) -> Self {
        Self { store, handler, policy }
    }

    async fn handle(&self, record: &DeliveryRecord) -> Result<()> {
        let stored = self.store.load(&DeliveryPayload::key_of(&record.id)).await?;
        let payload = stored.as_ref().map(decode::<DeliveryPayload>).transpose()?;
        let payload = payload.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the payload of the delivery is not in the store")
        })?;
        let delivery = ReceivedDelivery::new(record.clone(), payload.record.text);
        self.handler.handle(&delivery).await
    }
}

#[async_trait]
impl Resource for DeliveryResource {
    type Record = DeliveryRecord;
    type Look = DeliveryLook;
    type Effect = DeliveryEffect;
    type Observation = DeliveryObservation;

    fn decide(
        &self,
        record: &DeliveryRecord,
        observation: Option<&DeliveryObservation>,
        now: Timestamp,
    ) -> Result<DeliveryDecision> {
        Ok(decide(record, observation, now, &self.policy))
    }

    fn intends(&self, record: &DeliveryRecord, effect: &DeliveryEffect) -> bool {
        match effect {
            DeliveryEffect::Handle => record.state == DeliveryState::Queued,
        }
    }

    fn check(&self, from: &DeliveryRecord, to: &DeliveryRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(
        &self,
        _record: &DeliveryRecord,
        asked: Asked<'_, DeliveryLook, DeliveryEffect>,
    ) -> Option<Lane> {
        match asked {
            // All wait for the same forge where it is slow.
            Asked::Act(DeliveryEffect::Handle) => Some(Lane::new("delivery", "handler")),
            Asked::Look(DeliveryLook) => None,
        }
    }

    async fn look(&self, record: &DeliveryRecord, _look: &DeliveryLook) -> DeliveryObservation {
        DeliveryObservation::Line(Line::look(&*self.store, record).await)
    }

    async fn act(&self, record: &DeliveryRecord, effect: &DeliveryEffect) -> DeliveryObservation {
        match effect {
            DeliveryEffect::Handle => DeliveryObservation::Handled(self.handle(record).await),
        }
    }
}
