//! Keeping a ledger true: nodes that are gone cost nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::record::SpendRecord;
use crate::engine::{Decision, InvalidTransition, Resource, Transition, decode};
use crate::error::Result;
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::store::{Due, Store};
use crate::time::Timestamp;

/// Which of the ledger's nodes are gone?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpendLook;

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpendObservation {
    /// The nodes that are gone, and since when.
    Gone(Result<BTreeMap<NodeId, Timestamp>>),
}

/// Carries ledgers.
#[derive(Debug)]
pub struct SpendResource {
    store: Arc<dyn Store>,
}

impl SpendResource {
    /// Works on the ledgers of a store.
    pub const fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn gone(&self, ledger: &SpendRecord) -> Result<BTreeMap<NodeId, Timestamp>> {
        let mut gone = BTreeMap::new();
        for &id in ledger.nodes.keys() {
            let stored = self.store.load(&NodeRecord::key_of(id)).await?;
            let node = stored.as_ref().map(decode::<NodeRecord>).transpose()?;
            match node.map(|node| node.record) {
                Some(node) if node.state == NodeState::Deleted => {
                    gone.insert(id, node.state_at);
                }
                Some(_) => {}
                // Deleted records are kept longer than a ledger rests: this one never was.
                None => drop(gone.insert(id, Timestamp::EPOCH)),
            }
        }
        Ok(gone)
    }
}

#[async_trait]
impl Resource for SpendResource {
    type Record = SpendRecord;
    type Look = SpendLook;
    type Effect = std::convert::Infallible;
    type Observation = SpendObservation;

    fn decide(
        &self,
        record: &SpendRecord,
        observation: Option<&SpendObservation>,
        now: Timestamp,
    ) -> Result<Decision<Self>> {
        Ok(match observation {
            None => Decision::Look(SpendLook),
            Some(SpendObservation::Gone(Ok(gone))) if gone.is_empty() => {
                let due = if record.nodes.is_empty() { Due::Never } else { SpendRecord::due() };
                Decision::Rest(due)
            }
            Some(SpendObservation::Gone(Ok(gone))) => {
                let next = record.closing(gone, now);
                let transition = Transition::new(next, "spending_ended");
                Decision::Write(Box::new(transition.with_due(SpendRecord::due())))
            }
            Some(SpendObservation::Gone(Err(_))) => Decision::rest_for(SpendRecord::REST / 60),
        })
    }

    fn intends(&self, _record: &SpendRecord, effect: &std::convert::Infallible) -> bool {
        match *effect {}
    }

    fn check(&self, _from: &SpendRecord, _to: &SpendRecord) -> Result<(), InvalidTransition> {
        Ok(())
    }

    async fn look(&self, record: &SpendRecord, _look: &SpendLook) -> SpendObservation {
        SpendObservation::Gone(self.gone(record).await)
    }

    async fn act(
        &self,
        _record: &SpendRecord,
        effect: &std::convert::Infallible,
    ) -> SpendObservation {
        match *effect {}
    }
}
