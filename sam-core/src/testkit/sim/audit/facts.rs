//! What the checks need to know of a record, and how it may follow on what was known before.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::world::World;
use crate::id::{NodeId, WorkspaceId};
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::published_name::{NameRecord, NameState};
use crate::store::{Actor, Change, Rev};
use crate::workspace::{WorkspaceRecord, WorkspaceState, WorkspaceWish};

/// The facts of a record, by its kind. A new resource with a life of its own gets a variant.
#[derive(Debug)]
pub(super) enum Facts {
    Name(NameFacts),
    Node(NodeFacts),
    Workspace(WorkspaceFacts),
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct NameFacts {
    pub(super) workspace: WorkspaceId,
    pub(super) state: NameState,
}

#[derive(Debug, Deserialize)]
pub(super) struct NodeFacts {
    pub(super) id: NodeId,
    pub(super) state: NodeState,
    pub(super) wish: NodeWish,
    #[serde(default)]
    pub(super) instance: Option<String>,
    #[serde(default)]
    public_key: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WorkspaceFacts {
    pub(super) id: WorkspaceId,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) state: WorkspaceState,
    pub(super) wish: WorkspaceWish,
    #[serde(default)]
    pub(super) node: Option<NodeId>,
    #[serde(default)]
    pub(super) instance: Option<String>,
}

impl Facts {
    pub(super) fn of(change: &Change) -> Result<Self, String> {
        fn read<T: DeserializeOwned>(change: &Change) -> Result<T, String> {
            serde_json::from_str(&change.body)
                .map_err(|error| format!("revision {} cannot be read: {error}", change.rev))
        }
        if change.key.kind == NodeRecord::KIND {
            read(change).map(Self::Node)
        } else if change.key.kind == WorkspaceRecord::KIND {
            read(change).map(Self::Workspace)
        } else if change.key.kind == NameRecord::KIND {
            read(change).map(Self::Name)
        } else {
            Ok(Self::Other)
        }
    }

    /// Returns the kind and the state, where there is one.
    pub(super) const fn state(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Name(name) => Some(("name", name.state.code())),
            Self::Node(node) => Some(("node", node.state.code())),
            Self::Workspace(workspace) => Some(("workspace", workspace.state.code())),
            Self::Other => None,
        }
    }

    /// Checks that a record may become this.
    pub(super) fn follow(&self, before: Option<&Self>, change: &Change) -> Result<(), String> {
        match (before, self) {
            (Some(Self::Node(before)), Self::Node(node)) => node.follow(before),
            (None, Self::Node(node)) => node.begin(),
            (Some(Self::Workspace(before)), Self::Workspace(workspace)) => {
                workspace.follow(before, change)
            }
            (None, Self::Workspace(workspace)) => workspace.begin(),
            (Some(Self::Name(before)), Self::Name(name)) => name.follow(before),
            (None, Self::Name(name)) => name.begin(),
            (None | Some(Self::Other), Self::Other) => Ok(()),
            (Some(_), _) => Err(format!("I6: {} changes its kind", change.key)),
        }
    }
}

impl NameFacts {
    fn begin(&self) -> Result<(), String> {
        match self.state {
            NameState::Requested => Ok(()),
            state => Err(format!("I1: the name of {} begins as {}", self.workspace, state.code())),
        }
    }

    fn follow(&self, before: &Self) -> Result<(), String> {
        let (from, to) = (before.state, self.state);
        if from == to && !from.is_final() || from.next().contains(&to) {
            return Ok(());
        }
        let (id, from, to) = (self.workspace, from.code(), to.code());
        Err(format!("I5: the name of {id} goes from {from} to {to}"))
    }
}

impl NodeFacts {
    fn begin(&self) -> Result<(), String> {
        match self.state {
            NodeState::Requested | NodeState::Recovered => Ok(()),
            state => Err(format!("I1: {} begins as {}", self.id, state.code())),
        }
    }

    fn follow(&self, before: &Self) -> Result<(), String> {
        let (from, to) = (before.state, self.state);
        if !(from == to && !from.is_final() || from.next().contains(&to)) {
            return Err(format!("I5: {} goes from {} to {}", self.id, from.code(), to.code()));
        }
        if before.wish == NodeWish::Gone && self.wish != NodeWish::Gone {
            return Err(format!("wish: {} was to go, and is to stay", self.id));
        }
        if before.public_key.is_some() && self.public_key != before.public_key {
            return Err(format!("I9: {} changes its identity", self.id));
        }
        Ok(())
    }

    /// A node is called ready only once its agent has answered.
    pub(super) fn as_the_world_is(&self, world: &World, change: &Change) -> Result<(), String> {
        if change.event != "node_ready" {
            return Ok(());
        }
        let up_at = self.instance.as_ref().and_then(|it| world.lock().instances.get(it).copied());
        if up_at.is_some_and(|at| at <= world.now()) {
            Ok(())
        } else {
            Err(format!(
                "early: {} is ready at revision {}, its agent is not up",
                self.id, change.rev
            ))
        }
    }
}

impl WorkspaceFacts {
    fn begin(&self) -> Result<(), String> {
        match self.state {
            WorkspaceState::Requested => Ok(()),
            state => Err(format!("I1: {} begins as {}", self.id, state.code())),
        }
    }

    fn follow(&self, before: &Self, change: &Change) -> Result<(), String> {
        let (from, to) = (before.state, self.state);
        if !(from == to && !from.is_final() || from.next().contains(&to)) {
            return Err(format!("I5: {} goes from {} to {}", self.id, from.code(), to.code()));
        }
        // What its owner wants is the owner's to change; only the end of a life and the idle rule speak
        // for them.
        let own = change.actor == Actor::system();
        let rules = ["idle_stop_given_up", "idle_stopped", "lease_lapsed", "lifetime_over"];
        if own && !rules.contains(&change.event.as_str()) && self.wish != before.wish {
            return Err(format!("wish: the engine changed what the owner of {} wants", self.id));
        }
        Ok(())
    }

    /// A workspace is called running only once it was checked out on its node.
    pub(super) fn as_the_world_is(
        &self,
        before: Option<&Facts>,
        world: &World,
        rev: Rev,
    ) -> Result<(), String> {
        let before = before.and_then(Facts::state).map(|(_, state)| state);
        if self.state != WorkspaceState::Running || before == Some(self.state.code()) {
            return Ok(());
        }
        let there =
            self.node.is_some_and(|node| world.lock().ever_prepared.contains(&(node, self.id)));
        if there {
            Ok(())
        } else {
            Err(format!("early: {} runs at revision {rev}, and was never checked out", self.id))
        }
    }
}
