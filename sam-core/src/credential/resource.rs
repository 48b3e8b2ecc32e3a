//! The credential's question and effect.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::record::{CredentialRecord, CredentialState};
use crate::compute::{Labels, ListOwned, Providers};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::Result;
use crate::node::NodeRecord;
use crate::policy::Policy;
use crate::store::{ListQuery, Store};
use crate::time::Timestamp;

/// A decision about a credential.
pub type CredentialDecision = Decision<CredentialResource>;

/// What needs it still?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialLook;

/// What a credential's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialEffect {
    /// Forget its secret.
    Forget,
}

/// What needs a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holdings {
    /// Whether a node that is not deleted was bought with it.
    pub has_node: bool,
    /// Whether its vendor lists something of this installation.
    pub has_listed: bool,
}

impl Holdings {
    /// Says what there is.
    pub const fn new(has_node: bool, has_listed: bool) -> Self {
        Self { has_node, has_listed }
    }
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialObservation {
    /// Of [`CredentialEffect::Forget`].
    Forgotten(Result<()>),
    /// Of [`CredentialLook`].
    Needed(Result<Holdings>),
}

/// Carries credentials that are to be deleted.
#[derive(Debug)]
pub struct CredentialResource {
    store: Arc<dyn Store>,
    providers: Arc<Providers>,
    installation: String,
    policy: Policy,
}

impl CredentialResource {
    /// Works for an installation.
    pub const fn new(
        store: Arc<dyn Store>,
        providers: Arc<Providers>,
        installation: String,
        policy: Policy,
    ) -> Self {
        Self { store, providers, installation, policy }
    }

    /// Nodes first: one that is asked for meanwhile has its record by then, and the version of the
    /// credential that it expects is not the one of a credential on its way out.
    async fn holdings(&self, record: &CredentialRecord) -> Result<Holdings> {
        let name = record.provider_name()?;
        let query = ListQuery::new(NodeRecord::KIND)
            .with_filter(NodeRecord::BY_PROVIDER, name.as_str())
            .with_limit(1);
        if !self.store.list(&query).await?.items.is_empty() {
            return Ok(Holdings::new(true, false));
        }
        let provider = self.providers.provider(&name).await?;
        let Some(owned) = provider.owned() else { return Ok(Holdings::new(false, false)) };
        let labels = Labels::default().with(Labels::INSTALLATION, &self.installation)?;
        let mut query = ListOwned::new(labels);
        for _ in 0..crate::sweep::Inventory::PAGES_MAX {
            let page = owned.list_owned(&query).await?;
            if !page.items.is_empty() {
                return Ok(Holdings::new(false, true));
            }
            match page.next {
                None => return Ok(Holdings::new(false, false)),
                Some(next) => query = query.with_after(Some(next)),
            }
        }
        // So many pages of nothing: nobody knows.
        Ok(Holdings::new(false, true))
    }
}

#[async_trait]
impl Resource for CredentialResource {
    type Record = CredentialRecord;
    type Look = CredentialLook;
    type Effect = CredentialEffect;
    type Observation = CredentialObservation;

    fn decide(
        &self,
        record: &CredentialRecord,
        observation: Option<&CredentialObservation>,
        now: Timestamp,
    ) -> Result<CredentialDecision> {
        Ok(decide(record, observation, now, &self.policy))
    }

    fn intends(&self, record: &CredentialRecord, effect: &CredentialEffect) -> bool {
        match effect {
            CredentialEffect::Forget => record.state == CredentialState::Deleting,
        }
    }

    fn check(
        &self,
        from: &CredentialRecord,
        to: &CredentialRecord,
    ) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(
        &self,
        record: &CredentialRecord,
        asked: Asked<'_, CredentialLook, CredentialEffect>,
    ) -> Option<Lane> {
        match asked {
            Asked::Look(CredentialLook) => Some(Lane::new("credential", record.id)),
            Asked::Act(CredentialEffect::Forget) => None,
        }
    }

    async fn look(
        &self,
        record: &CredentialRecord,
        _look: &CredentialLook,
    ) -> CredentialObservation {
        CredentialObservation::Needed(self.holdings(record).await)
    }

    async fn act(
        &self,
        record: &CredentialRecord,
        effect: &CredentialEffect,
    ) -> CredentialObservation {
        match effect {
            CredentialEffect::Forget => {
                CredentialObservation::Forgotten(self.providers.forget(record).await)
            }
        }
    }
}
