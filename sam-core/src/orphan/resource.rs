//! The orphan's question and effect, carried to where it was listed.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::record::{OrphanRecord, OrphanState};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::Result;
use crate::hold::Hold;
use crate::policy::Policy;
use crate::sweep::{Reach, Standing};
use crate::time::Timestamp;

/// A decision about an orphan.
pub type OrphanDecision = Decision<OrphanResource>;

/// Is it still there, whose is it now, and is automatic deletion held?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrphanLook;

/// What an orphan's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrphanEffect {
    /// Ask the provider to delete it.
    Delete,
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum OrphanObservation {
    /// Of [`OrphanEffect::Delete`].
    Deleted(Result<()>),
    /// Of [`OrphanLook`].
    Seen {
        /// Whose it is now; `None` when it is not listed.
        standing: Result<Option<Standing>>,
        /// The hold on automatic deletion.
        hold: Hold,
    },
}

/// Carries orphans.
#[derive(Debug)]
pub struct OrphanResource {
    reach: Arc<Reach>,
    policy: Policy,
}

impl OrphanResource {
    /// Works where the sweeps do.
    pub const fn new(reach: Arc<Reach>, policy: Policy) -> Self {
        Self { reach, policy }
    }
}

#[async_trait]
impl Resource for OrphanResource {
    type Record = OrphanRecord;
    type Look = OrphanLook;
    type Effect = OrphanEffect;
    type Observation = OrphanObservation;

    fn decide(
        &self,
        record: &OrphanRecord,
        observation: Option<&OrphanObservation>,
        now: Timestamp,
    ) -> Result<OrphanDecision> {
        Ok(decide(record, observation, now, &self.policy))
    }

    fn intends(&self, record: &OrphanRecord, effect: &OrphanEffect) -> bool {
        match effect {
            OrphanEffect::Delete => record.state == OrphanState::Deleting,
        }
    }

    fn check(&self, from: &OrphanRecord, to: &OrphanRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(
        &self,
        record: &OrphanRecord,
        _asked: Asked<'_, OrphanLook, OrphanEffect>,
    ) -> Option<Lane> {
        Some(Lane::new("sweep", &record.scope))
    }

    async fn look(&self, record: &OrphanRecord, _look: &OrphanLook) -> OrphanObservation {
        let standing = self.reach.standing_of(&record.scope, &record.resource).await;
        OrphanObservation::Seen { standing, hold: Hold::look(&*self.reach.store).await }
    }

    async fn act(&self, record: &OrphanRecord, effect: &OrphanEffect) -> OrphanObservation {
        match effect {
            OrphanEffect::Delete => {
                OrphanObservation::Deleted(match self.reach.scope(&record.scope).await {
                    Ok(scope) => scope.source.delete_owned(&record.resource).await,
                    Err(error) => Err(error),
                })
            }
        }
    }
}
