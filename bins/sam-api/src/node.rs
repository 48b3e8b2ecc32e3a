//! Nodes as the API shows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use sam_core::{ErrorRecord, NodeId, WorkspaceId};

use crate::Time;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Asked for; nothing was bought yet.
    Requested,
    /// The provider is asked for a machine.
    Creating,
    /// The machine exists; its agent has not reported yet.
    Booting,
    /// Its agent is connected.
    Ready,
    /// Its agent was connected and is not now.
    Unreachable,
    /// It takes nothing new; its machine is about to go.
    Draining,
    /// Its machine is being deleted.
    Deleting,
    /// Nothing of it is left.
    Deleted,
    /// It never became ready.
    Failed,
    /// The provider says its machine is gone.
    Lost,
    /// Found at the provider without a record; a person decides.
    Recovered,
}

impl NodeState {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Creating => "creating",
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Unreachable => "unreachable",
            Self::Draining => "draining",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Recovered => "recovered",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A node: `GET /api/nodes/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Where it is in its life.
    pub state: NodeState,
    /// Whose it is: who asked for it, or whom the label of a recovered machine names.
    #[serde(default)]
    pub owner: String,
    /// Who runs its machine.
    pub provider: String,
    /// The provider's own name for the machine, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The machine's size.
    pub size: String,
    /// Where the machine is, for providers with more than one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The workspaces on it.
    #[serde(default)]
    pub workspaces: Vec<WorkspaceId>,
    /// How far its first start is, for people, until that is over; where it failed, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_phase: Option<String>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it was asked for.
    pub created_at: Time,
    /// When its record last changed.
    pub changed_at: Time,
    /// Counts the changes of its record.
    pub version: u64,
}
