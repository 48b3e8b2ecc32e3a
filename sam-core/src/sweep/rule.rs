//! Whose a thing is that a provider lists. Pure: the one rule that decides what may be deleted
//! although no record asks for it.

use serde::{Deserialize, Serialize};

use crate::compute::{Labels, MachineKey, OwnedResource};
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::store::Epoch;

/// What is known around a listed thing.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// This installation.
    pub installation: &'a str,
    /// The store's epoch.
    pub epoch: &'a Epoch,
    /// The record of the node its labels name.
    pub node: Option<&'a NodeRecord>,
    /// Whether the machine which that record calls its own is listed, too.
    pub own_machine_listed: bool,
}

impl<'a> Facts<'a> {
    /// Puts facts together about a thing whose node has no record.
    pub const fn new(installation: &'a str, epoch: &'a Epoch) -> Self {
        Self { installation, epoch, node: None, own_machine_listed: false }
    }

    /// Adds the node's record.
    #[must_use]
    pub const fn with_node(
        mut self,
        node: Option<&'a NodeRecord>,
        own_machine_listed: bool,
    ) -> Self {
        self.node = node;
        self.own_machine_listed = own_machine_listed;
        self
    }
}

/// Why a thing is an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Its node has another machine of the same key, and that one is there.
    Duplicate,
    /// The records say that its node is deleted.
    NodeDeleted,
    /// It was made in another epoch: the records were restored since, and may not know all of it.
    OtherEpoch,
    /// Its labels are incomplete or contradict the records.
    Unclear,
}

impl Reason {
    /// Every reason, for tables.
    pub const ALL: [Self; 4] =
        [Self::Duplicate, Self::NodeDeleted, Self::OtherEpoch, Self::Unclear];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::NodeDeleted => "node_deleted",
            Self::OtherEpoch => "other_epoch",
            Self::Unclear => "unclear",
        }
    }

    /// Returns whether the records prove that nobody can want it. What is not proven is left to a
    /// person.
    pub const fn is_proof(self) -> bool {
        match self {
            Self::Duplicate | Self::NodeDeleted => true,
            Self::OtherEpoch | Self::Unclear => false,
        }
    }
}

/// Whose a listed thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// A record answers for it.
    Known,
    /// Ours, and nobody's.
    Orphan(Reason),
    /// A machine of ours whose node has no record: a person decides on it as a node.
    Recover(NodeId),
    /// Another installation's, or a stranger's: it is never touched.
    Strange,
}

/// Decides whose a listed thing is.
///
/// A missing record proves nothing: only a record that says Deleted, or one that names another
/// machine as its own, does, and only for things made in the present epoch with exactly our labels.
pub fn standing(resource: &OwnedResource, facts: Facts<'_>) -> Standing {
    let labels = &resource.labels;
    if labels.value(Labels::INSTALLATION) != Some(facts.installation) {
        return Standing::Strange;
    }
    let node = labels.value(Labels::NODE).and_then(|label| label.parse::<NodeId>().ok());
    let Some(id) = node else { return Standing::Orphan(Reason::Unclear) };
    let is_machine = resource.sort == OwnedResource::MACHINE;
    let Some(node) = facts.node.filter(|node| node.id == id) else {
        let named = resource.key.as_deref() == Some(MachineKey::of(id).as_str());
        return if is_machine && named {
            Standing::Recover(id)
        } else {
            Standing::Orphan(Reason::Unclear)
        };
    };
    let reason = if node.state == NodeState::Deleted {
        Reason::NodeDeleted
    } else {
        let another =
            node.provider_id.as_deref().is_some_and(|known| known != resource.provider_id);
        if !(is_machine && another && facts.own_machine_listed) {
            return Standing::Known;
        }
        Reason::Duplicate
    };
    let exact = labels.value(Labels::OWNER) == Some(node.owner.as_str());
    let present = labels.value(Labels::EPOCH) == Some(facts.epoch.as_str());
    Standing::Orphan(match (exact, present) {
        (true, true) => reason,
        (true, false) => Reason::OtherEpoch,
        (false, _) => Reason::Unclear,
    })
}
