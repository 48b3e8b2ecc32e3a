//! The node's questions and effects, carried to the provider and the agent.

use std::sync::Arc;

use async_trait::async_trait;

use super::decide::decide;
use super::record::{NodeRecord, NodeState};
use crate::auth::BootKey;
use crate::compute::{BootData, CreateMachine, Deletion, Labels, Machine, Power, Providers};
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::{Error, ErrorKind, Result};
use crate::hold::Hold;
use crate::node_link::{NodeLink, Readiness};
use crate::policy::Policy;
use crate::replica::ControlUrls;
use crate::store::Store;
use crate::time::Timestamp;

/// A decision about a node.
pub type NodeDecision = Decision<NodeResource>;

/// What a node's decisions may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeLook {
    /// Is automatic deletion held?
    Hold,
    /// Does the agent answer?
    Readiness,
    /// Does the agent answer, and what does the provider say of the machine?
    Survey,
}

/// What a node's decisions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEffect {
    /// Ask the provider for the machine.
    CreateMachine,
    /// Ask the provider to delete it.
    DeleteMachine,
    /// Tell the agent to take nothing new.
    Drain,
    /// Switch the machine on.
    PowerOn,
}

/// What came back.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeObservation {
    /// Of [`NodeEffect::CreateMachine`].
    Created(Result<Machine>),
    /// Of [`NodeEffect::DeleteMachine`].
    Deleted(Result<Deletion>),
    /// Of [`NodeEffect::Drain`].
    Drained(Result<()>),
    /// Of [`NodeLook::Hold`].
    Hold(Hold),
    /// Of [`NodeEffect::PowerOn`].
    Powered(Result<()>),
    /// Of [`NodeLook::Readiness`].
    Readiness(Result<Option<Readiness>>),
    /// Of [`NodeLook::Survey`].
    Survey {
        /// What the agent says.
        readiness: Result<Option<Readiness>>,
        /// What the provider says.
        machine: Result<Option<Machine>>,
    },
}

/// Carries nodes.
#[derive(Debug)]
pub struct NodeResource {
    store: Arc<dyn Store>,
    compute: Arc<Providers>,
    link: Arc<dyn NodeLink>,
    policy: Policy,
    boot_key: BootKey,
    control_urls: ControlUrls,
    /// Labels of everything this installation buys.
    labels: Labels,
}

impl NodeResource {
    /// Puts the parts together, with the default policy and no labels.
    pub fn new(
        store: Arc<dyn Store>,
        compute: Arc<Providers>,
        link: Arc<dyn NodeLink>,
        boot_key: BootKey,
        control_urls: impl Into<ControlUrls>,
    ) -> Self {
        let control_urls = control_urls.into();
        let (policy, labels) = (Policy::default(), Labels::default());
        Self { store, compute, link, policy, boot_key, control_urls, labels }
    }

    /// Sets the spans and bounds of decisions.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the labels of everything this installation buys.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    fn create_request(&self, node: &NodeRecord) -> Result<CreateMachine> {
        let mut labels = self
            .labels
            .clone()
            .with(Labels::NODE, &node.id.to_string())?
            .with(Labels::OWNER, &node.owner)?;
        if let Some(epoch) = &node.epoch {
            labels = labels.with(Labels::EPOCH, epoch)?;
        }
        let token = self.boot_key.token(node.id, crate::sam::BOOT_GENERATION);
        let boot = BootData::new(node.id, self.control_urls.joined(), token);
        Ok(CreateMachine::new(node.machine_key(), boot)
            .with_size(node.size)
            .with_region(node.region.clone())
            .with_labels(labels))
    }

    async fn create(&self, node: &NodeRecord) -> Result<Machine> {
        let request = self.create_request(node)?;
        self.compute.provider(&node.provider).await?.create_machine(&request).await
    }

    async fn machine(&self, node: &NodeRecord) -> Result<Option<Machine>> {
        self.compute.provider(&node.provider).await?.machine(&node.machine_key()).await
    }

    async fn delete(&self, node: &NodeRecord) -> Result<Deletion> {
        self.compute.provider(&node.provider).await?.delete_machine(&node.machine_key()).await
    }

    async fn power_on(&self, node: &NodeRecord) -> Result<()> {
        let provider = self.compute.provider(&node.provider).await?;
        match provider.power() {
            Some(power) => power.set_power(&node.machine_key(), Power::On).await,
            None => Err(Error::new(ErrorKind::Unsupported, "machines cannot be switched on")),
        }
    }
}

#[async_trait]
impl Resource for NodeResource {
    type Record = NodeRecord;
    type Look = NodeLook;
    type Effect = NodeEffect;
    type Observation = NodeObservation;

    fn decide(
        &self,
        record: &NodeRecord,
        observation: Option<&NodeObservation>,
        now: Timestamp,
    ) -> Result<NodeDecision> {
        Ok(decide(record, observation, now, &self.policy))
    }

    fn intends(&self, record: &NodeRecord, effect: &NodeEffect) -> bool {
        match effect {
            NodeEffect::CreateMachine => record.state == NodeState::Creating,
            NodeEffect::DeleteMachine => record.state == NodeState::Deleting,
            NodeEffect::Drain => record.state == NodeState::Draining,
            NodeEffect::PowerOn => {
                matches!(record.state, NodeState::Booting | NodeState::Unreachable)
            }
        }
    }

    fn check(&self, from: &NodeRecord, to: &NodeRecord) -> Result<(), InvalidTransition> {
        from.check_next(to)
    }

    fn lane(&self, record: &NodeRecord, asked: Asked<'_, NodeLook, NodeEffect>) -> Option<Lane> {
        Some(match asked {
            Asked::Look(NodeLook::Hold) => return None,
            Asked::Look(NodeLook::Readiness) | Asked::Act(NodeEffect::Drain) => {
                Lane::new("agent", record.id)
            }
            Asked::Look(NodeLook::Survey)
            | Asked::Act(
                NodeEffect::CreateMachine | NodeEffect::DeleteMachine | NodeEffect::PowerOn,
            ) => Lane::new("compute", &record.provider),
        })
    }

    async fn look(&self, record: &NodeRecord, look: &NodeLook) -> NodeObservation {
        match look {
            NodeLook::Hold => NodeObservation::Hold(Hold::look(&*self.store).await),
            NodeLook::Readiness => NodeObservation::Readiness(self.link.readiness(record.id).await),
            NodeLook::Survey => {
                let readiness = self.link.readiness(record.id).await;
                // A connected agent needs no question to the provider.
                let machine = match &readiness {
                    Ok(Some(_)) => Err(Error::new(ErrorKind::Unavailable, "not asked")),
                    Ok(None) | Err(_) => self.machine(record).await,
                };
                NodeObservation::Survey { readiness, machine }
            }
        }
    }

    async fn act(&self, record: &NodeRecord, effect: &NodeEffect) -> NodeObservation {
        match effect {
            NodeEffect::CreateMachine => NodeObservation::Created(self.create(record).await),
            NodeEffect::DeleteMachine => NodeObservation::Deleted(self.delete(record).await),
            NodeEffect::Drain => NodeObservation::Drained(self.link.drain(record.id).await),
            NodeEffect::PowerOn => NodeObservation::Powered(self.power_on(record).await),
        }
    }
}
