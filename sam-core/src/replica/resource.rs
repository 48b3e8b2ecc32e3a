//! Ending replicas that do not renew their record.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::record::{LinkRecord, ReplicaRecord};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource, decode};
use crate::error::Result;
use crate::id::NodeId;
use crate::store::{ListQuery, Store};
use crate::time::Timestamp;

/// A decision about a replica.
pub type ReplicaDecision = Decision<ReplicaResource>;

/// Which links does it hold?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaLook;

/// A link as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldLink {
    /// Whose it is.
    pub node: NodeId,
    /// The version of its record.
    pub version: u64,
}

impl HeldLink {
    /// Describes a link.
    pub const fn new(node: NodeId, version: u64) -> Self {
        Self { node, version }
    }
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplicaObservation {
    /// Links it holds; at most [`ReplicaResource::LINKS_MAX`] of them.
    Links(Result<Vec<HeldLink>>),
}

/// Carries replicas. A record is due only when its replica did not renew it.
#[derive(Debug)]
pub struct ReplicaResource {
    store: Arc<dyn Store>,
}

impl ReplicaResource {
    /// Most links that are ended in one commit; the rest follows in the next.
    pub const LINKS_MAX: usize = 60;

    /// Works on the replicas of a store.
    pub const fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn links(&self, replica: &ReplicaRecord) -> Result<Vec<HeldLink>> {
        let query = ListQuery::new(LinkRecord::KIND)
            .with_filter(LinkRecord::BY_REPLICA, replica.replica.id.clone())
            .with_limit(Self::LINKS_MAX);
        let page = self.store.list(&query).await?;
        let links = page.items.iter().map(|stored| {
            let link = decode::<LinkRecord>(stored)?;
            Ok(HeldLink::new(link.record.node, link.version))
        });
        links.collect()
    }
}

#[async_trait]
impl Resource for ReplicaResource {
    type Record = ReplicaRecord;
    type Look = ReplicaLook;
    type Effect = std::convert::Infallible;
    type Observation = ReplicaObservation;

    fn decide(
        &self,
        record: &ReplicaRecord,
        observation: Option<&ReplicaObservation>,
        _now: Timestamp,
    ) -> Result<ReplicaDecision> {
        Ok(decide(record, observation))
    }

    fn intends(&self, _record: &ReplicaRecord, effect: &std::convert::Infallible) -> bool {
        match *effect {}
    }

    fn check(&self, _from: &ReplicaRecord, _to: &ReplicaRecord) -> Result<(), InvalidTransition> {
        Ok(())
    }

    fn lane(
        &self,
        _record: &ReplicaRecord,
        _asked: Asked<'_, ReplicaLook, std::convert::Infallible>,
    ) -> Option<Lane> {
        None
    }

    async fn look(&self, record: &ReplicaRecord, _look: &ReplicaLook) -> ReplicaObservation {
        ReplicaObservation::Links(self.links(record).await)
    }

    async fn act(
        &self,
        _record: &ReplicaRecord,
        effect: &std::convert::Infallible,
    ) -> ReplicaObservation {
        match *effect {}
    }
}
