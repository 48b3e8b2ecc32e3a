//! What is stored of a workspace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::idle::{IdleStop, StoppedBy};
use super::name::WorkspaceName;
use super::repo::{Checkout, ForgeRepository, RepoRef};
use crate::compute::{ProviderName, Size};
use crate::engine::{InvalidTransition, Stored};
use crate::error::ErrorRecord;
use crate::id::{NodeId, WorkspaceId};
use crate::store::{Index, IndexField, Kind, RecordKey, UniqueChange};
use crate::time::Timestamp;

/// Where a workspace is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkspaceState {
    /// Wanted; nothing was done.
    Requested,
    /// It waits for a node.
    Placing,
    /// Its repository is being checked out.
    Preparing,
    /// People and coding agents can use it.
    Running,
    /// Its processes are being ended.
    Stopping,
    /// Its files are kept, nothing runs.
    Stopped,
    /// It is being made ready again.
    Starting,
    /// It could not be made ready.
    Failed,
    /// Its processes were lost although it was to run.
    Interrupted,
    /// It is being taken away.
    Deleting,
    /// Nothing is left of it. Final.
    Deleted,
}

impl WorkspaceState {
    /// Every state, for tables and documentation.
    pub const ALL: [Self; 11] = [
        Self::Requested,
        Self::Placing,
        Self::Preparing,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Starting,
        Self::Failed,
        Self::Interrupted,
        Self::Deleting,
        Self::Deleted,
    ];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Placing => "placing",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Returns the states that may follow, beside the state itself.
    ///
    /// An interrupted workspace that is to be stopped is stopped: its processes are gone already.
    /// One that is being stopped runs on where it was for being idle and somebody came back first.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Requested => &[Self::Placing, Self::Deleting],
            Self::Placing => &[Self::Preparing, Self::Failed, Self::Deleting],
            Self::Preparing | Self::Starting => &[Self::Running, Self::Failed, Self::Deleting],
            Self::Running => &[Self::Stopping, Self::Interrupted, Self::Deleting],
            Self::Stopping => &[Self::Running, Self::Stopped, Self::Deleting],
            Self::Stopped => &[Self::Starting, Self::Deleting],
            Self::Failed => &[Self::Deleting],
            Self::Interrupted => &[Self::Starting, Self::Stopped, Self::Deleting],
            Self::Deleting => &[Self::Deleted],
            Self::Deleted => &[],
        }
    }

    /// Returns whether nothing follows.
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }
}

/// What its owner wants of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkspaceWish {
    /// That nothing is left of it.
    Deleted,
    /// That it can be used.
    Running,
    /// That its files are kept and nothing runs.
    Stopped,
}

/// How long a workspace lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lifetime {
    /// Until somebody deletes it.
    Kept,
    /// Until a lease lapses that its client renews: a killed client takes it along.
    Leased {
        /// When the lease ends unless renewed.
        until: Timestamp,
    },
}

impl Lifetime {
    /// Shortest lease.
    pub const LEASE_MIN: Duration = Duration::from_secs(5);
    /// Longest lease.
    pub const LEASE_MAX: Duration = Duration::from_hours(24);

    /// Returns how long it still lives, or `None` when it is kept.
    pub fn remaining(self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Kept => None,
            Self::Leased { until } => Some(until.since(now)),
        }
    }
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verb {
    /// Making it for the first time.
    Create,
    /// Taking it away.
    Delete,
    /// Making it usable again.
    Start,
    /// Ending its processes.
    Stop,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepState {
    /// It is over and worked.
    Done,
    /// It is over and did not work.
    Failed,
    /// It goes on.
    Running,
}

/// One step of the operation under way, or of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// What is done: `place`, `prepare`, `start`, `stop`, `delete`.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What it is at, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A workspace as it is stored. Indexed by state, `owner/name` and node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkspaceRecord {
    /// Format of this record.
    pub format: u32,
    /// Its name for machines.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: WorkspaceName,
    /// Whose it is.
    pub owner: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// What its owner wants.
    pub wish: WorkspaceWish,
    /// Its repository.
    pub repo: RepoRef,
    /// What is checked out of it.
    pub checkout: Checkout,
    /// Which repository of its forge that is, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeRepository>,
    /// How large its node is.
    pub size: Size,
    /// Where its node is bought; where the installation usually does when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Its node, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The holder's instance it was made ready on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What the operation under way, or the last one, is for.
    pub verb: Verb,
    /// Its steps, oldest first; at most [`WorkspaceRecord::STEPS_MAX`].
    pub steps: Vec<Step>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
    /// Whether it is stopped when nobody uses it.
    #[serde(default, skip_serializing_if = "IdleStop::is_default")]
    pub idle_stop: IdleStop,
    /// When people were warned that it is about to be stopped, while that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_warned_at: Option<Timestamp>,
    /// What stopped it, where it was not its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
}

impl WorkspaceRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("workspace");
    /// Most steps kept.
    pub const STEPS_MAX: usize = 16;
    /// Indexed by `owner/name`.
    pub const BY_NAME: IndexField = IndexField::Second;
    /// Indexed by node.
    pub const BY_NODE: IndexField = IndexField::Third;
    pub(crate) const NAMES: &'static str = "workspace_name";

    /// Returns the key of a workspace's record.
    pub fn key_of(id: WorkspaceId) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns `owner/name`, unique among the workspaces that are not deleted.
    pub fn full_name(owner: &str, name: &WorkspaceName) -> String {
        format!("{owner}/{name}")
    }

    pub(crate) fn name_claimed(&self) -> UniqueChange {
        let key = Self::full_name(&self.owner, &self.name);
        UniqueChange::Claim { space: Self::NAMES, key, holder: Self::key_of(self.id) }
    }

    pub(crate) fn name_released(&self) -> UniqueChange {
        let key = Self::full_name(&self.owner, &self.name);
        UniqueChange::Release { space: Self::NAMES, key, holder: Self::key_of(self.id) }
    }

    /// Returns it in another state, the step under way done and the next one begun.
    #[must_use]
    pub fn moved_to(&self, state: WorkspaceState, now: Timestamp) -> Self {
        let mut next = Self { state, state_at: now, idle_warned_at: None, ..self.clone() };
        next.end_step(StepState::Done, now);
        let begins = match state {
            WorkspaceState::Placing => Some((Verb::Create, "place")),
            WorkspaceState::Preparing => Some((Verb::Create, "prepare")),
            WorkspaceState::Starting => Some((Verb::Start, "start")),
            WorkspaceState::Stopping => Some((Verb::Stop, "stop")),
            WorkspaceState::Deleting => Some((Verb::Delete, "delete")),
            WorkspaceState::Requested
            | WorkspaceState::Running
            | WorkspaceState::Stopped
            | WorkspaceState::Failed
            | WorkspaceState::Interrupted
            | WorkspaceState::Deleted => None,
        };
        if let Some((verb, name)) = begins {
            next.begin_step(verb, name, now);
        }
        next
    }

    /// Returns it failed, with the step under way failed.
    #[must_use]
    pub fn failed(&self, error: ErrorRecord, now: Timestamp) -> Self {
        let mut next = Self {
            state: WorkspaceState::Failed,
            state_at: now,
            error: Some(error),
            ..self.clone()
        };
        next.end_step(StepState::Failed, now);
        next
    }

    fn begin_step(&mut self, verb: Verb, name: &str, now: Timestamp) {
        if self.verb != verb || self.steps.len() >= Self::STEPS_MAX {
            self.steps.clear();
        }
        self.verb = verb;
        self.steps.push(Step {
            name: name.to_owned(),
            state: StepState::Running,
            detail: None,
            started_at: now,
            ended_at: None,
        });
    }

    fn end_step(&mut self, state: StepState, now: Timestamp) {
        if let Some(step) = self.steps.last_mut()
            && step.state == StepState::Running
        {
            step.state = state;
            step.ended_at = Some(now);
        }
    }

    /// Returns what the step under way is at.
    pub fn detail(&self) -> Option<&str> {
        self.steps.last().and_then(|step| step.detail.as_deref())
    }

    pub(crate) fn set_detail(&mut self, detail: String) {
        if let Some(step) = self.steps.last_mut() {
            step.detail = Some(detail);
        }
    }

    /// Checks that it may become another; see [`WorkspaceState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        let legal = self.state == to.state && !self.state.is_final()
            || self.state.next().contains(&to.state);
        if legal {
            Ok(())
        } else {
            Err(InvalidTransition::new("workspace", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for WorkspaceRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(self.id)
    }

    fn index(&self) -> Index {
        [
            Some(self.state.code().to_owned()),
            Some(Self::full_name(&self.owner, &self.name)),
            self.node.map(|node| node.to_string()),
        ]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
