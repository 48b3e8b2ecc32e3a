//! The workspace's questions and effects, carried to the store, the forge and the agent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::decide::decide;
use super::idle::{self, StoppedBy};
use super::record::{WorkspaceRecord, WorkspaceState};
use crate::compute::{ComputeProvider, ProviderName, Providers, Size};
use crate::credential::{CredentialRecord, CredentialState};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource, Stamped, decode};
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result};
use crate::hold::Hold;
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare};
use crate::policy::Policy;
use crate::spend::{SpendRecord, Spending};
use crate::store::{Epoch, Expect, ListQuery, RecordKey, Store};
use crate::time::{Clock, Timestamp};

/// A decision about a workspace.
pub type WorkspaceDecision = Decision<WorkspaceResource>;

/// What a workspace's decisions may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkspaceLook {
    /// What goes on in it, on this node?
    Activity(NodeId),
    /// Is automatic deletion held?
    Hold,
    /// How is this node?
    Node(NodeId),
    /// Which node shall it be placed on?
    Placement,
}

/// What a workspace's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkspaceEffect {
    /// Have the agent check the repository out.
    Prepare(NodeId),
    /// Have the agent delete everything of it.
    Remove(NodeId),
    /// Have the agent end its processes.
    Stop(NodeId),
    /// Have the agent tell people that it is about to be stopped.
    Warn(NodeId),
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkspaceObservation {
    /// About being idle.
    Idle(IdleObservation),
    /// Of [`WorkspaceLook::Hold`].
    Hold(Hold),
    /// Of [`WorkspaceLook::Node`].
    Node(Result<Option<Stamped<NodeRecord>>>),
    /// Of [`WorkspaceLook::Placement`].
    Placement(Result<Box<Placement>>),
    /// Of [`WorkspaceEffect::Prepare`].
    Prepared(Result<Preparation>),
    /// Of [`WorkspaceEffect::Remove`].
    Removed {
        /// What the agent says.
        result: Result<()>,
        /// The node afterwards.
        node: Result<Option<Stamped<NodeRecord>>>,
    },
    /// Of [`WorkspaceEffect::Stop`].
    Stopped(Result<()>),
}

/// What came back about being idle.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdleObservation {
    /// Of [`WorkspaceLook::Activity`].
    Activity(Result<Activity>),
    /// Of [`WorkspaceEffect::Stop`] for being idle: somebody came back first, nothing was ended.
    InUse,
    /// Of [`WorkspaceEffect::Warn`].
    Warned(Result<()>),
}

/// Where a workspace can be placed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Placement {
    /// A node that is kept warm and fits.
    pub warm: Option<Stamped<NodeRecord>>,
    /// The id of the node to create otherwise.
    pub node: NodeId,
    /// The provider to buy it from.
    pub provider: ProviderName,
    /// What must hold of the stored credential that it is bought with, where it is one.
    pub credential: Option<(RecordKey, Expect)>,
    /// The longest that a create there may still take effect after its reply was lost.
    pub create_settles_within: Duration,
    /// The store's epoch, which the machine is labelled with.
    pub epoch: Epoch,
    /// The owner's ledger, where a cap is set; version 0 when there is none yet.
    pub ledger: Option<Stamped<SpendRecord>>,
    /// What a new node costs in an hour, in millionths; zero where the provider names no price.
    pub micros_per_hour: u64,
}

/// Carries workspaces.
#[derive(Debug)]
pub struct WorkspaceResource {
    store: Arc<dyn Store>,
    link: Arc<dyn NodeLink>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Policy,
    compute: Arc<Providers>,
}

impl WorkspaceResource {
    /// Puts the parts together, with the default policy; `compute` is where nodes are bought.
    pub fn new(
        store: Arc<dyn Store>,
        link: Arc<dyn NodeLink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        compute: Arc<Providers>,
    ) -> Self {
        Self { store, link, clock, entropy, policy: Policy::default(), compute }
    }

    /// Sets the spans and bounds of decisions.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    async fn node(&self, id: NodeId) -> Result<Option<Stamped<NodeRecord>>> {
        let stored = self.store.load(&NodeRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<NodeRecord>).transpose()
    }

    async fn placement(&self, workspace: &WorkspaceRecord) -> Result<Placement> {
        let epoch = crate::store::head(&*self.store).await?.epoch;
        let capped = self.policy.spend.is_set();
        let warm = !self.policy.keep_warm.is_zero();
        let mut placement = Placement {
            warm: None,
            node: NodeId::new(self.clock.now(), &*self.entropy),
            provider: self.provider_of(workspace).clone(),
            credential: self.credential_of(workspace).await?,
            create_settles_within: Duration::ZERO,
            epoch,
            ledger: None,
            micros_per_hour: 0,
        };
        let provider = self.compute.provider(&placement.provider).await?;
        placement.create_settles_within = provider.capabilities().create_settles_within;
        if !warm && !capped {
            return Ok(placement);
        }
        let owned = self.nodes_of(&workspace.owner).await?;
        let free = |node: &&Stamped<NodeRecord>| {
            node.record.is_free_for(&workspace.owner, &placement.provider, workspace.size)
        };
        placement.warm = owned.iter().filter(|_| warm).find(free).cloned();
        if capped && placement.warm.is_none() {
            placement.micros_per_hour = price(&*provider, workspace.size).await?;
            let nodes = owned.iter().filter(|node| node.record.state != NodeState::Recovered);
            let spending = nodes.map(|node| {
                let since = node.record.create_at.unwrap_or(node.record.created_at);
                (node.record.id, Spending::new(placement.micros_per_hour, since))
            });
            let key = SpendRecord::key_of(&workspace.owner);
            placement.ledger = Some(match self.store.load(&key).await? {
                Some(stored) => decode(&stored)?,
                None => Stamped::new(
                    SpendRecord::opened(workspace.owner.clone(), spending, self.clock.now()),
                    0,
                ),
            });
        }
        Ok(placement)
    }

    /// The nodes of an owner, at most as many as a ledger holds.
    async fn nodes_of(&self, owner: &str) -> Result<Vec<Stamped<NodeRecord>>> {
        let mut nodes = Vec::new();
        let mut after = None;
        while nodes.len() < usize::try_from(SpendRecord::NODES_MAX).unwrap_or(usize::MAX) {
            let query = ListQuery::new(NodeRecord::KIND)
                .with_filter(NodeRecord::BY_OWNER, owner)
                .with_after(after)
                .with_limit(ListQuery::LIMIT_MAX);
            let page = self.store.list(&query).await?;
            for record in &page.items {
                nodes.push(decode::<NodeRecord>(record)?);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(nodes)
    }

    /// Returns what must hold of the credential when a node is bought with it.
    async fn credential_of(
        &self,
        workspace: &WorkspaceRecord,
    ) -> Result<Option<(RecordKey, Expect)>> {
        let Some(id) = self.provider_of(workspace).credential() else { return Ok(None) };
        let key = CredentialRecord::key_of(id);
        let stored = self.store.load(&key).await?;
        let found = stored.as_ref().map(decode::<CredentialRecord>).transpose()?;
        let active = found.filter(|found| found.record.state == CredentialState::Active);
        let Some(active) = active else {
            let message = format!("the credential {id} is deleted, or on its way out");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("create the workspace again with another one"));
        };
        Ok(Some((key, Expect::Version(active.version))))
    }

    /// Returns where its node is bought.
    fn provider_of<'a>(&'a self, workspace: &'a WorkspaceRecord) -> &'a ProviderName {
        workspace.provider.as_ref().unwrap_or_else(|| self.compute.usual())
    }
}

async fn price(provider: &dyn ComputeProvider, size: Size) -> Result<u64> {
    let catalog = provider.catalog().await?;
    let offer = catalog.sizes.iter().find(|offer| offer.size == size);
    Ok(offer.and_then(|offer| offer.price_micros_per_hour).unwrap_or(0))
}

#[async_trait]
impl Resource for WorkspaceResource {
    type Record = WorkspaceRecord;
    type Look = WorkspaceLook;
    type Effect = WorkspaceEffect;
    type Observation = WorkspaceObservation;

    fn decide(
        &self,
        record: &WorkspaceRecord,
        observation: Option<&WorkspaceObservation>,
        now: Timestamp,
    ) -> Result<WorkspaceDecision> {
        decide(record, observation, now, &self.policy)
    }

    fn intends(&self, record: &WorkspaceRecord, effect: &WorkspaceEffect) -> bool {
        match effect {
            WorkspaceEffect::Prepare(node) => {
                record.node == Some(*node)
                    && matches!(record.state, WorkspaceState::Preparing | WorkspaceState::Starting)
            }
            WorkspaceEffect::Remove(node) => {
                record.node == Some(*node) && record.state == WorkspaceState::Deleting
            }
            WorkspaceEffect::Stop(node) => {
                record.node == Some(*node) && record.state == WorkspaceState::Stopping
            }
            WorkspaceEffect::Warn(node) => idle::announces_warning(record, *node),
        }
    }

    fn check(&self, from: &WorkspaceRecord, to: &WorkspaceRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(
        &self,
        record: &WorkspaceRecord,
        asked: Asked<'_, WorkspaceLook, WorkspaceEffect>,
    ) -> Option<Lane> {
        match asked {
            Asked::Look(WorkspaceLook::Hold | WorkspaceLook::Node(_)) => None,
            // With a cap the provider is asked for its prices.
            Asked::Look(WorkspaceLook::Placement) => {
                let provider = self.provider_of(record);
                self.policy.spend.is_set().then(|| Lane::new("compute", provider))
            }
            Asked::Look(WorkspaceLook::Activity(node))
            | Asked::Act(
                WorkspaceEffect::Prepare(node)
                | WorkspaceEffect::Remove(node)
                | WorkspaceEffect::Stop(node)
                | WorkspaceEffect::Warn(node),
            ) => Some(Lane::new("agent", node)),
        }
    }

    async fn look(&self, record: &WorkspaceRecord, look: &WorkspaceLook) -> WorkspaceObservation {
        match look {
            WorkspaceLook::Activity(node) => {
                let activity = self.link.activity(*node, record.id).await;
                WorkspaceObservation::Idle(IdleObservation::Activity(activity))
            }
            WorkspaceLook::Hold => WorkspaceObservation::Hold(Hold::look(&*self.store).await),
            WorkspaceLook::Node(id) => WorkspaceObservation::Node(self.node(*id).await),
            WorkspaceLook::Placement => {
                WorkspaceObservation::Placement(self.placement(record).await.map(Box::new))
            }
        }
    }

    async fn act(
        &self,
        record: &WorkspaceRecord,
        effect: &WorkspaceEffect,
    ) -> WorkspaceObservation {
        match effect {
            WorkspaceEffect::Prepare(node) => {
                let request = Prepare::new(record.id, record.repo.clone(), record.checkout.clone());
                WorkspaceObservation::Prepared(self.link.prepare(*node, &request).await)
            }
            WorkspaceEffect::Stop(node) if record.stopped_by == Some(StoppedBy::Idle) => {
                match self.link.stop_idle(*node, record.id).await {
                    Ok(IdleEnd::Ended) => WorkspaceObservation::Stopped(Ok(())),
                    Ok(IdleEnd::InUse) => WorkspaceObservation::Idle(IdleObservation::InUse),
                    Err(error) => WorkspaceObservation::Stopped(Err(error)),
                }
            }
            WorkspaceEffect::Remove(node) => {
                let result = self.link.remove(*node, record.id).await;
                WorkspaceObservation::Removed { result, node: self.node(*node).await }
            }
            WorkspaceEffect::Stop(node) => {
                WorkspaceObservation::Stopped(self.link.stop(*node, record.id).await)
            }
            WorkspaceEffect::Warn(node) => {
                let notice = idle::notice(record, &self.policy);
                let warned = self.link.warn(*node, record.id, &notice).await;
                WorkspaceObservation::Idle(IdleObservation::Warned(warned))
            }
        }
    }
}
