//! All the engine needs of an agent, whichever way it is reached.

mod activity;
mod forward;
mod memory;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::error::Result;
use crate::id::{NodeId, WorkspaceId};
use crate::workspace::{Checkout, RepoRef};

pub use self::activity::{Activity, IdleEnd, ParseWorkNameError, Work, WorkName, WorkSort};
pub use self::memory::MemoryLink;

/// Reaches the agents of nodes.
///
/// # Contract
/// - **C1** Every call is repeatable: asking twice does it once.
/// - **C2** `prepare` starts the work or reports on it; it does not wait longer than a few
///   seconds. A failure is told, and asking again after that tries again.
/// - **C3** `stop` and `remove` have ended every process of the workspace when they succeed, and
///   no other; `stop` keeps its files, `remove` does not.
/// - **C4** A node that is not connected gives `Unavailable` with effect not applied; its
///   `readiness` is `None`.
/// - **C5** `readiness` names the agent's version and an instance that stays the same as long as
///   no process was lost.
/// - **C6** A node that drains answers `prepare` of anything new with `Unavailable`, and serves
///   what it has.
/// - **C7** `activity` says what the node itself saw, measured by a clock that no one can set. Work
///   in progress is never left out, and whatever counts as activity ends a warning.
/// - **C8** After `warn` succeeded, `activity` tells how long ago that was until something counts.
/// - **C9** `stop_idle` ends all or nothing: nothing where something has counted since the warning,
///   and nothing new is let in while it ends the rest.
#[async_trait]
pub trait NodeLink: fmt::Debug + Send + Sync + 'static {
    /// Returns what the node's agent says of itself, or `None` while it is not connected.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>>;

    /// Makes a workspace ready on a node, or reports how far that is.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`; a repository that cannot be checked out is a
    /// [`Preparation::Failed`].
    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation>;

    /// Returns what goes on in a workspace. Asking is no activity.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`; `NotFound` when it is not on the node.
    async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity>;

    /// Tells people on the terminals of a workspace, now and when they attach, that it is about to
    /// be stopped, until something counts as activity. Repeating it tells them again.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`; `NotFound` when it is not on the node.
    async fn warn(&self, node: NodeId, workspace: WorkspaceId, notice: &str) -> Result<()>;

    /// Ends every process of a workspace and keeps its files.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()>;

    /// Ends every process of a workspace that people were warned of, and keeps its files. Where
    /// something has counted as activity since the warning, nothing is ended. Repeatable: one
    /// without processes is ended.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd>;

    /// Ends every process of a workspace and deletes its files.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()>;

    /// Tells the agent to take nothing new: its machine is about to go.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn drain(&self, node: NodeId) -> Result<()>;
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Changes whenever the processes of the node's workspaces were lost: the holder started anew.
    pub instance: String,
    /// The agent's version.
    pub agent_version: String,
}

impl Readiness {
    /// Describes a ready agent.
    pub const fn new(instance: String, agent_version: String) -> Self {
        Self { instance, agent_version }
    }
}

/// Asks an agent to make a workspace ready.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prepare {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The repository.
    pub repo: RepoRef,
    /// What to check out of it.
    pub checkout: Checkout,
    /// How to read it, where it is not public.
    pub credential: Option<GitCredential>,
}

impl Prepare {
    /// Asks for a public repository's default branch.
    pub const fn new(workspace: WorkspaceId, repo: RepoRef, checkout: Checkout) -> Self {
        Self { workspace, repo, checkout, credential: None }
    }

    /// Adds a credential.
    #[must_use]
    pub fn with_credential(mut self, credential: Option<GitCredential>) -> Self {
        self.credential = credential;
        self
    }
}

/// A short-lived credential that git is given when it asks, never in a URL or an argument.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GitCredential {
    /// The user name, for example `x-access-token`.
    pub username: String,
    /// The password or token.
    pub password: Secret<String>,
}

impl GitCredential {
    /// Puts a credential together.
    pub const fn new(username: String, password: Secret<String>) -> Self {
        Self { username, password }
    }
}

/// How far an agent is with a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preparation {
    /// It cannot be done; the files are as before.
    Failed {
        /// Why.
        error: crate::ErrorRecord,
    },
    /// It goes on.
    InProgress {
        /// The step it is at, for people: `cloning`, `checking out`.
        step: String,
    },
    /// The workspace is ready.
    Ready {
        /// The commit that was checked out, in hex; `None` for an empty repository.
        commit: Option<String>,
        /// The branch that was checked out, where one was.
        branch: Option<String>,
    },
}
