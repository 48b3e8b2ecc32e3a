//! The workspace's questions and effects, carried to the store, the forge and the agent.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::idle::{self, StoppedBy};
use super::record::{WorkspaceRecord, WorkspaceState};
use crate::engine::{Decision, InvalidTransition, Resource, Stamped, decode};
use crate::entropy::Entropy;
use crate::error::Result;
use crate::id::NodeId;
use crate::node::NodeRecord;
use crate::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare};
use crate::policy::Policy;
use crate::store::Store;
use crate::time::{Clock, Timestamp};

/// A decision about a workspace.
pub type WorkspaceDecision = Decision<WorkspaceResource>;

/// What a workspace's decisions may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkspaceLook {
    /// What goes on in it, on this node?
    Activity(NodeId),
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
    /// Have the agent end its processes.
    Stop(NodeId),
    /// Have the agent tell people that it is about to be stopped.
    Warn(NodeId),
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, for one decision")]
pub enum WorkspaceObservation {
    /// About being idle.
    Idle(IdleObservation),
    /// Of [`WorkspaceLook::Node`].
    Node(Result<Option<Stamped<NodeRecord>>>),
    /// Of [`WorkspaceLook::Placement`].
    Placement {
        /// The id of the node to create.
        node: NodeId,
        /// The provider to buy it from.
        provider: String,
    },
    /// Of [`WorkspaceEffect::Prepare`].
    Prepared(Result<Preparation>),
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

/// Carries workspaces.
#[derive(Debug)]
pub struct WorkspaceResource {
    store: Arc<dyn Store>,
    link: Arc<dyn NodeLink>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Policy,
    provider: String,
}

impl WorkspaceResource {
    /// Puts the parts together, with the default policy; `provider` is where nodes are bought.
    pub fn new(
        store: Arc<dyn Store>,
        link: Arc<dyn NodeLink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        provider: String,
    ) -> Self {
        Self { store, link, clock, entropy, policy: Policy::default(), provider }
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
            WorkspaceEffect::Stop(node) => {
                record.node == Some(*node) && record.state == WorkspaceState::Stopping
            }
            WorkspaceEffect::Warn(node) => idle::announces_warning(record, *node),
        }
    }

    fn check(&self, from: &WorkspaceRecord, to: &WorkspaceRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    async fn look(&self, record: &WorkspaceRecord, look: &WorkspaceLook) -> WorkspaceObservation {
        match look {
            WorkspaceLook::Activity(node) => {
                let activity = self.link.activity(*node, record.id).await;
                WorkspaceObservation::Idle(IdleObservation::Activity(activity))
            }
            WorkspaceLook::Node(id) => WorkspaceObservation::Node(self.node(*id).await),
            WorkspaceLook::Placement => WorkspaceObservation::Placement {
                node: NodeId::new(self.clock.now(), &*self.entropy),
                provider: self.provider.clone(),
            },
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
