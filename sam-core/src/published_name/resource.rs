//! The name's question and effects, carried to the store and the DNS.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::decide::decide;
use super::publishing::Publishing;
use super::record::{NameRecord, NameState};
use crate::dns::RecordName;
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource, decode};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::store::Store;
use crate::time::{Clock, Timestamp};
use crate::workspace::{WorkspaceRecord, WorkspaceState, WorkspaceWish};

/// A decision about a published name.
pub type NameDecision = Decision<NameResource>;

/// What a name's decisions may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameLook {
    /// Is its workspace wanted?
    Wanted,
}

/// What a name's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameEffect {
    /// Ask the DNS to delete everything under the name.
    Delete,
    /// Ask the DNS to put it.
    Put,
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum NameObservation {
    /// Of [`NameEffect::Delete`].
    Deleted(Result<()>),
    /// Of [`NameEffect::Put`].
    Put(Result<()>),
    /// Of [`NameLook::Wanted`].
    Wanted(Result<bool>),
}

/// Carries published names.
#[derive(Debug)]
pub struct NameResource {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    publishing: Publishing,
    installation: String,
    policy: Policy,
}

impl NameResource {
    /// How long an effect may take: a name is several calls, each of which its adapter bounds.
    pub const DEADLINE: Duration = Duration::from_mins(2);

    /// Publishes for an installation, with the default policy.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        publishing: Publishing,
        installation: String,
    ) -> Self {
        let resource = Self { store, clock, publishing, installation, policy: Policy::default() };
        resource.with_policy(Policy::default())
    }

    /// Sets the spans and bounds of decisions. What the DNS provider claims counts where it is longer.
    #[must_use]
    pub fn with_policy(mut self, mut policy: Policy) -> Self {
        let claimed = self.publishing.dns.capabilities().propagates_within;
        policy.name_settles_within = policy.name_settles_within.max(claimed);
        self.policy = policy;
        self
    }

    async fn wanted(&self, name: &NameRecord) -> Result<bool> {
        let stored = self.store.load(&WorkspaceRecord::key_of(name.workspace)).await?;
        // Both were written at once, so a workspace without a record proves nothing.
        let stored = stored.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{} has no record", name.workspace))
        })?;
        let workspace = decode::<WorkspaceRecord>(&stored)?.record;
        let going = matches!(workspace.state, WorkspaceState::Deleting | WorkspaceState::Deleted);
        Ok(!going && workspace.wish != WorkspaceWish::Deleted)
    }

    async fn put(&self, name: &NameRecord) -> Result<()> {
        let host: RecordName = name.host.parse()?;
        let sets = self.publishing.target.record_sets(&host)?;
        self.publishing.dns.put_exactly(&host, &sets, &name.labels(&self.installation)?).await
    }

    async fn delete(&self, name: &NameRecord) -> Result<()> {
        let host: RecordName = name.host.parse()?;
        self.publishing.dns.delete(&host, &name.labels(&self.installation)?).await
    }

    async fn in_time(&self, work: impl Future<Output = Result<()>> + Send) -> Result<()> {
        let deadline = self.clock.sleep_until(self.clock.monotonic() + Self::DEADLINE);
        match select(std::pin::pin!(work), deadline).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => {
                let seconds = Self::DEADLINE.as_secs();
                let message = format!("the DNS did not answer within {seconds} s");
                Err(Error::new(ErrorKind::Timeout, message).with_effect(Effect::Unknown))
            }
        }
    }
}

#[async_trait]
impl Resource for NameResource {
    type Record = NameRecord;
    type Look = NameLook;
    type Effect = NameEffect;
    type Observation = NameObservation;

    fn decide(
        &self,
        record: &NameRecord,
        observation: Option<&NameObservation>,
        now: Timestamp,
    ) -> Result<NameDecision> {
        Ok(decide(record, observation, now, &self.policy, &self.publishing.target))
    }

    fn intends(&self, record: &NameRecord, effect: &NameEffect) -> bool {
        match effect {
            NameEffect::Delete => record.state == NameState::Deleting,
            NameEffect::Put => record.state == NameState::Putting,
        }
    }

    fn check(&self, from: &NameRecord, to: &NameRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(&self, _record: &NameRecord, asked: Asked<'_, NameLook, NameEffect>) -> Option<Lane> {
        match asked {
            Asked::Look(NameLook::Wanted) => None,
            Asked::Act(NameEffect::Delete | NameEffect::Put) => {
                Some(Lane::new("dns", &self.publishing.base))
            }
        }
    }

    async fn look(&self, record: &NameRecord, look: &NameLook) -> NameObservation {
        match look {
            NameLook::Wanted => NameObservation::Wanted(self.wanted(record).await),
        }
    }

    async fn act(&self, record: &NameRecord, effect: &NameEffect) -> NameObservation {
        match effect {
            NameEffect::Delete => NameObservation::Deleted(self.in_time(self.delete(record)).await),
            NameEffect::Put => NameObservation::Put(self.in_time(self.put(record)).await),
        }
    }
}
