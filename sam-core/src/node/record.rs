//! What is stored of a node.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot::BootProgress;
use crate::compute::{MachineKey, OwnedResource, ProviderName, Size};
use crate::engine::{InvalidTransition, Stored};
use crate::error::ErrorRecord;
use crate::id::{NodeId, WorkspaceId};
use crate::store::{Index, IndexField, Kind, RecordKey};
use crate::sweep::{Answer, Reason};
use crate::time::Timestamp;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeState {
    /// Wanted; nothing was bought.
    Requested,
    /// The provider was, or is about to be, asked for a machine.
    Creating,
    /// There is a machine; its agent has not called yet.
    Booting,
    /// Its agent is connected.
    Ready,
    /// Its agent is not connected, for now.
    Unreachable,
    /// It takes nothing new and is about to be deleted.
    Draining,
    /// The provider was, or is about to be, asked to delete the machine.
    Deleting,
    /// The provider is sure that nothing is left. Final.
    Deleted,
    /// It never became ready; what was bought is still owned.
    Failed,
    /// The provider says that the machine is gone, and nobody asked for that.
    Lost,
    /// A machine that no record knew, adopted for a person to decide on.
    Recovered,
}

impl NodeState {
    /// Every state, for tables and documentation.
    pub const ALL: [Self; 11] = [
        Self::Requested,
        Self::Creating,
        Self::Booting,
        Self::Ready,
        Self::Unreachable,
        Self::Draining,
        Self::Deleting,
        Self::Deleted,
        Self::Failed,
        Self::Lost,
        Self::Recovered,
    ];

    /// Returns the stable word for it.
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

    /// Returns the states that may follow, beside the state itself.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Requested => &[Self::Creating, Self::Deleted, Self::Failed],
            Self::Creating => &[Self::Booting, Self::Deleting, Self::Failed],
            Self::Booting => &[Self::Ready, Self::Deleting, Self::Failed],
            Self::Ready => &[Self::Unreachable, Self::Draining, Self::Lost],
            Self::Unreachable => &[Self::Ready, Self::Draining, Self::Lost],
            Self::Draining => &[Self::Deleting, Self::Lost],
            Self::Deleting => &[Self::Deleted],
            Self::Deleted => &[],
            Self::Failed | Self::Lost | Self::Recovered => &[Self::Deleting],
        }
    }

    /// Returns whether nothing follows.
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }
}

/// What is wanted of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeWish {
    /// That it is deleted, with everything bought for it.
    Gone,
    /// That it runs.
    Kept,
}

/// A node as it is stored. Indexed by state, owner and provider; a deleted one by state only, so
/// that it is in nobody's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeRecord {
    /// Format of this record.
    pub format: u32,
    /// Its name.
    pub id: NodeId,
    /// On whose behalf it was bought.
    pub owner: String,
    /// Where it is in its life.
    pub state: NodeState,
    /// What is wanted of it.
    pub wish: NodeWish,
    /// The provider it was bought from.
    pub provider: ProviderName,
    /// How large it is.
    pub size: Size,
    /// Where it is, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The provider's own id of the machine, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The longest that a create there may still take effect after its reply was lost.
    #[serde(default, with = "crate::millis")]
    pub create_settles_within: Duration,
    /// When a machine was last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_at: Option<Timestamp>,
    /// A create may still take effect although a later one was answered: its reply was lost.
    #[serde(default)]
    pub create_unsettled: bool,
    /// The furthest that its machine has reported of its first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootProgress>,
    /// The agent's Ed25519 public key, base64url, once it has traded its token for an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The holder's instance: another one means that the processes were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The workspaces on it.
    #[serde(default)]
    pub workspaces: BTreeSet<WorkspaceId>,
    /// Since when there is none on it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<Timestamp>,
    /// The workspace on it has failed: it takes no other, and goes unless deletion is held.
    #[serde(default)]
    pub retired: bool,
    /// The store epoch it was asked for in; its machine carries it as a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Failures in a row in this state.
    #[serde(default)]
    pub attempts: u32,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
}

impl NodeRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("node");
    /// Indexed by owner.
    pub const BY_OWNER: IndexField = IndexField::Second;
    /// Indexed by provider.
    pub const BY_PROVIDER: IndexField = IndexField::Third;

    /// Describes a node that is wanted for a workspace.
    pub fn requested(id: NodeId, owner: String, provider: ProviderName, now: Timestamp) -> Self {
        Self {
            format: <Self as Stored>::FORMAT,
            id,
            owner,
            state: NodeState::Requested,
            wish: NodeWish::Kept,
            provider,
            size: Size::default(),
            region: None,
            provider_id: None,
            create_settles_within: Duration::ZERO,
            create_at: None,
            create_unsettled: false,
            boot: None,
            public_key: None,
            instance: None,
            workspaces: BTreeSet::new(),
            unused_since: None,
            retired: false,
            epoch: None,
            attempts: 0,
            error: None,
            created_at: now,
            state_at: now,
        }
    }

    /// Returns the key of a node's record.
    pub fn key_of(id: NodeId) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns the key of its machine.
    pub fn machine_key(&self) -> MachineKey {
        MachineKey::of(self.id)
    }

    /// Returns the keys of the workspaces on it.
    pub fn workspace_keys(&self) -> impl Iterator<Item = RecordKey> + '_ {
        self.workspaces.iter().map(|&id| crate::workspace::WorkspaceRecord::key_of(id))
    }

    /// Describes a machine that no record knew, for a person to decide on.
    pub fn recovered(
        id: NodeId,
        owner: String,
        provider: ProviderName,
        provider_id: String,
        now: Timestamp,
    ) -> Self {
        let state = NodeState::Recovered;
        // A create whose reply was lost may be what made it, and another may follow.
        let (create_at, create_unsettled) = (Some(now), true);
        let provider_id = Some(provider_id);
        let requested = Self::requested(id, owner, provider, now);
        Self { state, provider_id, create_at, create_unsettled, ..requested }
    }

    /// Returns what it says of things that name it in their labels.
    pub fn answer(&self) -> Answer<'_> {
        let over = (self.state == NodeState::Deleted).then_some(Reason::NodeDeleted);
        Answer::new(&self.owner, over).with_own(OwnedResource::MACHINE, self.provider_id.as_deref())
    }

    /// Returns it with one more workspace.
    #[must_use]
    pub fn taken_by(&self, workspace: WorkspaceId) -> Self {
        let mut next = self.clone();
        next.workspaces.insert(workspace);
        next.unused_since = None;
        next
    }

    /// Returns it without a workspace.
    #[must_use]
    pub fn left_by(&self, workspace: WorkspaceId, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.workspaces.remove(&workspace);
        next.unused_since = next.workspaces.is_empty().then_some(now);
        next
    }

    /// Returns it of no more use.
    #[must_use]
    pub fn retired(&self, now: Timestamp) -> Self {
        Self { retired: true, unused_since: Some(now), ..self.clone() }
    }

    /// Returns whether a workspace would miss it: one is on it, and has not failed or lost it
    /// already.
    pub fn is_in_use(&self) -> bool {
        let of_use = match self.state {
            NodeState::Requested
            | NodeState::Creating
            | NodeState::Booting
            | NodeState::Ready
            | NodeState::Unreachable => true,
            NodeState::Draining
            | NodeState::Deleting
            | NodeState::Deleted
            | NodeState::Failed
            | NodeState::Lost
            | NodeState::Recovered => false,
        };
        of_use && !self.retired && !self.workspaces.is_empty()
    }

    /// Returns whether a workspace of this owner and size can be put on it at once.
    pub fn is_free_for(&self, owner: &str, provider: &ProviderName, size: Size) -> bool {
        self.state == NodeState::Ready
            && self.wish == NodeWish::Kept
            && !self.retired
            && self.workspaces.is_empty()
            && self.owner == owner
            && self.provider == *provider
            && self.size == size
    }

    /// Returns how far its start is, for people.
    pub fn boot_phase(&self) -> Cow<'static, str> {
        if self.public_key.is_none()
            && let Some(boot) = &self.boot
        {
            return boot.to_string().into();
        }
        Cow::Borrowed(match (self.state, self.public_key.is_some()) {
            (NodeState::Requested, _) => "nothing was asked for yet",
            (NodeState::Creating, _) => "the provider has not confirmed the machine",
            (NodeState::Booting, false) => "the machine is there, its agent has not called",
            (_, false) => "its agent never called",
            (NodeState::Booting, true) => "its agent has called, and opened no link",
            (_, true) => "its agent had called",
        })
    }

    /// Returns it in another state, with no failures counted.
    #[must_use]
    pub fn moved_to(&self, state: NodeState, now: Timestamp) -> Self {
        Self { state, state_at: now, attempts: 0, ..self.clone() }
    }

    /// Returns it with another wish.
    #[must_use]
    pub fn wished(&self, wish: NodeWish) -> Self {
        Self { wish, ..self.clone() }
    }

    /// Checks that it may become another; see [`NodeState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        let legal = self.state == to.state && !self.state.is_final()
            || self.state.next().contains(&to.state);
        if legal {
            Ok(())
        } else {
            Err(InvalidTransition::new("node", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for NodeRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(self.id)
    }

    fn index(&self) -> Index {
        let state = Some(self.state.code().to_owned());
        match self.state {
            NodeState::Deleted => [state, None, None],
            _ => [state, Some(self.owner.clone()), Some(self.provider.to_string())],
        }
    }

    fn format(&self) -> u32 {
        self.format
    }
}
