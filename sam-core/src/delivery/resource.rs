//! The inbox's effect, carried to the host's handler.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::decide::{decide_delivery, decide_inbox};
use super::record::{DeliveryRecord, InboxRecord};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource, Stamped, decode};
use crate::error::Result;
use crate::policy::Policy;
use crate::store::Store;
use crate::time::Timestamp;

/// What a host does with deliveries.
///
/// A delivery may be handed in again when a process ended while it was being handled, so what is
/// done must be repeatable: with the delivery's id as the key of what it causes, it is done once.
/// `Ok` also for what is ignored. An error whose retry is `Never` ends it as failed, any other is
/// tried again; the rest of the stream waits meanwhile.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use sam_core::compute::MemoryCompute;
/// use sam_core::delivery::{DeliveryHandler, DeliveryRecord, NewDelivery, Received};
/// use sam_core::store::MemoryStore;
/// use sam_core::time::{ManualClock, Timestamp};
/// use sam_core::{Result, Sam};
///
/// #[derive(Debug)]
/// struct Print;
///
/// #[async_trait]
/// impl DeliveryHandler for Print {
///     async fn handle(&self, delivery: &DeliveryRecord) -> Result<()> {
///         println!("{} {}: {}", delivery.event, delivery.id, delivery.body);
///         Ok(())
///     }
/// }
///
/// # futures_util::future::FutureExt::now_or_never(async {
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
/// let store = Arc::new(MemoryStore::new(clock.clone()));
/// let sam = Sam::builder(store, Arc::new(MemoryCompute::new()))
///     .clock(clock)
///     .deliveries(Arc::new(Print))
///     .build()?;
/// let push = NewDelivery::new("github", "d-1", "push", "{}").with_stream("repository-7");
/// assert_eq!(sam.deliveries().receive(&push).await?, Received::Queued);
/// assert!(matches!(sam.deliveries().receive(&push).await?, Received::Duplicate(_)));
/// sam.step().await?;
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait DeliveryHandler: fmt::Debug + Send + Sync + 'static {
    /// Handles a delivery.
    ///
    /// # Errors
    /// Why it was not handled.
    async fn handle(&self, delivery: &DeliveryRecord) -> Result<()>;
}

/// A decision about an inbox.
pub type InboxDecision = Decision<InboxResource>;

/// What an inbox's decisions may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboxEffect {
    /// Hand the delivery of this id to the host.
    Handle(String),
}

/// Nothing outside is ever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NothingAsked {}

/// What came of [`InboxEffect::Handle`].
#[derive(Debug)]
#[non_exhaustive]
pub struct InboxObservation {
    /// Which delivery.
    pub id: String,
    /// Its record; `None` when there is none any more, and then there is nothing to handle.
    pub delivery: Option<Stamped<DeliveryRecord>>,
    /// What the host said.
    pub outcome: Result<()>,
}

/// Carries inboxes.
#[derive(Debug)]
pub struct InboxResource {
    store: Arc<dyn Store>,
    handler: Arc<dyn DeliveryHandler>,
    policy: Policy,
}

impl InboxResource {
    /// Reads deliveries from the store they are in, and hands them to the host.
    pub const fn new(
        store: Arc<dyn Store>,
        handler: Arc<dyn DeliveryHandler>,
        policy: Policy,
    ) -> Self {
        Self { store, handler, policy }
    }

    async fn delivery(&self, source: &str, id: &str) -> Result<Option<Stamped<DeliveryRecord>>> {
        let stored = self.store.load(&DeliveryRecord::key_of(source, id)).await?;
        stored.as_ref().map(decode).transpose()
    }
}

#[async_trait]
impl Resource for InboxResource {
    type Record = InboxRecord;
    type Look = NothingAsked;
    type Effect = InboxEffect;
    type Observation = InboxObservation;

    fn decide(
        &self,
        record: &InboxRecord,
        observation: Option<&InboxObservation>,
        now: Timestamp,
    ) -> Result<InboxDecision> {
        decide_inbox(record, observation, now, &self.policy)
    }

    fn intends(&self, record: &InboxRecord, effect: &InboxEffect) -> bool {
        match effect {
            InboxEffect::Handle(id) => record.handled().is_some_and(|first| first.id == *id),
        }
    }

    fn check(&self, _from: &InboxRecord, _to: &InboxRecord) -> Result<(), InvalidTransition> {
        // An inbox has no states: its deliveries have.
        Ok(())
    }

    fn lane(
        &self,
        record: &InboxRecord,
        _asked: Asked<'_, NothingAsked, InboxEffect>,
    ) -> Option<Lane> {
        Some(Lane::new("inbox", &record.source))
    }

    async fn look(&self, _record: &InboxRecord, look: &NothingAsked) -> InboxObservation {
        match *look {}
    }

    async fn act(&self, record: &InboxRecord, effect: &InboxEffect) -> InboxObservation {
        let InboxEffect::Handle(id) = effect;
        let (delivery, outcome) = match self.delivery(&record.source, id).await {
            Ok(Some(delivery)) => {
                let outcome = self.handler.handle(&delivery.record).await;
                (Some(delivery), outcome)
            }
            Ok(None) => (None, Ok(())),
            Err(error) => (None, Err(error)),
        };
        InboxObservation { id: id.clone(), delivery, outcome }
    }
}

/// Carries deliveries: it forgets them after [`DeliveryRecord::KEPT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeliveryResource;

#[async_trait]
impl Resource for DeliveryResource {
    type Record = DeliveryRecord;
    type Look = NothingAsked;
    type Effect = NothingAsked;
    type Observation = NothingAsked;

    fn decide(
        &self,
        record: &DeliveryRecord,
        _observation: Option<&NothingAsked>,
        now: Timestamp,
    ) -> Result<Decision<Self>> {
        Ok(decide_delivery(record, now))
    }

    fn intends(&self, _record: &DeliveryRecord, effect: &NothingAsked) -> bool {
        match *effect {}
    }

    fn check(&self, from: &DeliveryRecord, to: &DeliveryRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(
        &self,
        _record: &DeliveryRecord,
        _asked: Asked<'_, NothingAsked, NothingAsked>,
    ) -> Option<Lane> {
        None
    }

    async fn look(&self, _record: &DeliveryRecord, look: &NothingAsked) -> NothingAsked {
        match *look {}
    }

    async fn act(&self, _record: &DeliveryRecord, effect: &NothingAsked) -> NothingAsked {
        match *effect {}
    }
}
