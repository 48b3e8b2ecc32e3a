//! Whether everything is where its owner wants it.

use super::Audit;
use super::facts::{Facts, NodeFacts, WorkspaceFacts};
use crate::compute::MachineKey;
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::workspace::{WorkspaceState, WorkspaceWish};

impl Audit {
    /// Tells what is still to come; `None` when everything is settled.
    pub(in super::super) fn unsettled(&self) -> Option<String> {
        if self.world.lock().names_pending > 0 {
            return Some("a name is still on its way into the DNS".to_owned());
        }
        self.records.values().find_map(|seen| match &seen.facts {
            Facts::Workspace(workspace) => self.unsettled_workspace(workspace),
            Facts::Name(name) => self.unsettled_name(name),
            Facts::Node(node) => self.unsettled_node(node),
            Facts::Other => None,
        })
    }

    fn node_of(&self, id: NodeId) -> Option<&NodeFacts> {
        match &self.records.get(&NodeRecord::key_of(id))?.facts {
            Facts::Node(node) => Some(node),
            Facts::Name(_) | Facts::Workspace(_) | Facts::Other => None,
        }
    }

    fn unsettled_workspace(&self, workspace: &WorkspaceFacts) -> Option<String> {
        let node = workspace.node.and_then(|id| self.node_of(id));
        let data_lost = node.is_none_or(|node| {
            matches!(node.state, NodeState::Lost | NodeState::Deleted | NodeState::Failed)
        });
        let settled = match (workspace.wish, workspace.state) {
            (WorkspaceWish::Deleted, state) => state == WorkspaceState::Deleted,
            (_, WorkspaceState::Failed) => workspace.node.is_none(),
            (WorkspaceWish::Running, WorkspaceState::Interrupted) => data_lost,
            (WorkspaceWish::Running, state) => {
                state == WorkspaceState::Running
                    && node.is_some_and(|node| {
                        node.state == NodeState::Ready && node.instance == workspace.instance
                    })
            }
            (WorkspaceWish::Stopped, state) => state == WorkspaceState::Stopped,
        };
        let (id, state, wish) = (workspace.id, workspace.state.code(), workspace.wish);
        (!settled).then(|| format!("{id} is {state} and shall be {wish:?}"))
    }

    fn unsettled_node(&self, node: &NodeFacts) -> Option<String> {
        let exists = self.world.lock().find(&MachineKey::of(node.id)).is_some();
        let settled = match node.state {
            NodeState::Ready => exists && self.is_used(node.id),
            NodeState::Deleted => !exists,
            // Kept for a person to look at, as long as somebody knows of it.
            NodeState::Lost => !exists && self.is_used(node.id),
            _ => false,
        };
        let (id, state) = (node.id, node.state.code());
        (!settled).then(|| {
            let used = if self.is_used(id) { "used" } else { "used by nobody" };
            let there = if exists { "there" } else { "gone" };
            format!("{id} is {state}, {used}, its machine is {there}")
        })
    }

    /// A node that nobody uses would be paid for, for ever.
    fn is_used(&self, node: NodeId) -> bool {
        self.records.values().any(|seen| match &seen.facts {
            Facts::Workspace(workspace) => {
                workspace.node == Some(node) && workspace.state != WorkspaceState::Deleted
            }
            Facts::Name(_) | Facts::Node(_) | Facts::Other => false,
        })
    }

    /// Returns how many workspaces there ever were.
    pub(in super::super) fn workspaces(&self) -> usize {
        self.records.values().filter(|seen| matches!(seen.facts, Facts::Workspace(_))).count()
    }
}
