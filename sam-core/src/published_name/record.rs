//! What is stored of a published name.

use serde::{Deserialize, Serialize};

use crate::compute::Labels;
use crate::dns::OwnedNames;
use crate::engine::{InvalidTransition, Stored};
use crate::error::{ErrorRecord, Result};
use crate::id::WorkspaceId;
use crate::store::{Index, Kind, RecordKey};
use crate::sweep::{Answer, Reason};
use crate::time::Timestamp;

/// Where a published name is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NameState {
    /// Wanted; the DNS was not asked.
    Requested,
    /// The DNS was, or is about to be, asked to put it.
    Putting,
    /// It is in the DNS.
    Published,
    /// The DNS was, or is about to be, asked to delete it.
    Deleting,
    /// The DNS is sure that nothing is left. Final.
    Deleted,
}

impl NameState {
    /// Every state, for tables and documentation.
    pub const ALL: [Self; 5] =
        [Self::Requested, Self::Putting, Self::Published, Self::Deleting, Self::Deleted];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Putting => "putting",
            Self::Published => "published",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Returns the states that may follow, beside the state itself. A published name is put anew when
    /// the control plane is reached elsewhere.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Requested => &[Self::Putting, Self::Deleted],
            Self::Putting => &[Self::Published, Self::Deleting],
            Self::Published => &[Self::Putting, Self::Deleting],
            Self::Deleting => &[Self::Deleted],
            Self::Deleted => &[],
        }
    }

    /// Returns whether nothing follows.
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }
}

/// A published name as it is stored, under the id of its workspace. Indexed by state and owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NameRecord {
    /// Format of this record.
    pub format: u32,
    /// Whose name it is.
    pub workspace: WorkspaceId,
    /// On whose behalf it is published.
    pub owner: String,
    /// The name itself, with its base.
    pub host: String,
    /// The store epoch it was asked for in; its mark in the DNS carries it as a label.
    pub epoch: String,
    /// Where it is in its life.
    pub state: NameState,
    /// What the DNS was last asked to let it point to.
    #[serde(default)]
    pub target: Vec<String>,
    /// When a put was last under way, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_at: Option<Timestamp>,
    /// A put may still take effect although a later one was answered: its reply was lost.
    #[serde(default)]
    pub put_unsettled: bool,
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

impl NameRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("name");

    /// Describes a name that is wanted for a workspace.
    pub fn requested(
        workspace: WorkspaceId,
        owner: String,
        host: String,
        epoch: String,
        now: Timestamp,
    ) -> Self {
        Self {
            format: <Self as Stored>::FORMAT,
            workspace,
            owner,
            host,
            epoch,
            state: NameState::Requested,
            target: Vec::new(),
            put_at: None,
            put_unsettled: false,
            attempts: 0,
            error: None,
            created_at: now,
            state_at: now,
        }
    }

    /// Returns the key of the record of a workspace's name.
    pub fn key_of(workspace: WorkspaceId) -> RecordKey {
        RecordKey::new(Self::KIND, workspace)
    }

    /// Returns the labels of its mark, which are the same for all its life.
    ///
    /// # Errors
    /// `BadInput` when the owner's name cannot be a label.
    pub fn labels(&self, installation: &str) -> Result<Labels> {
        Labels::default()
            .with(Labels::INSTALLATION, installation)?
            .with(Labels::EPOCH, &self.epoch)?
            .with(Labels::OWNER, &self.owner)?
            .with(Labels::WORKSPACE, &self.workspace.to_string())
    }

    /// Returns what it says of things that name it in their labels.
    pub fn answer(&self) -> Answer<'_> {
        let over = (self.state == NameState::Deleted).then_some(Reason::NameDeleted);
        Answer::new(&self.owner, over).with_own(OwnedNames::SORT, Some(&self.host))
    }

    /// Returns it in another state, with no failures counted.
    #[must_use]
    pub fn moved_to(&self, state: NameState, now: Timestamp) -> Self {
        Self { state, state_at: now, attempts: 0, ..self.clone() }
    }

    /// Checks that it may become another; see [`NameState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        let legal = self.state == to.state && !self.state.is_final()
            || self.state.next().contains(&to.state);
        if legal {
            Ok(())
        } else {
            Err(InvalidTransition::new("name", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for NameRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(self.workspace)
    }

    fn index(&self) -> Index {
        [Some(self.state.code().to_owned()), Some(self.owner.clone()), None]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
