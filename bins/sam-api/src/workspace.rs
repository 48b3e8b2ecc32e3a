//! Workspaces as the API shows them, and how one is asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use sam_core::compute::ProviderName;
use sam_core::workspace::{RefName, RepoRef};
use sam_core::{ErrorRecord, NodeId, WorkspaceId};

use crate::Time;

/// Name of the request header that makes a creating POST repeatable: the same key and body give
/// the same workspace; the same key with another body is a conflict.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Asks for a workspace: `POST /api/workspaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// The repository.
    pub repo: RepoRef,
    /// The branch, tag or commit; what the repository points to when absent.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<RefName>,
    /// A name for people, unique among what its owner has; made from the repository's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The size of its machine; the installation's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Where its machine is bought, such as `hetzner`; the installation's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// Delete it when this lapses; kept until deleted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,
    /// Milliseconds without activity after which it is warned and then stopped, 1,000 to
    /// 2,592,000,000; 0 never; the installation's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop_ms: Option<u64>,
}

impl CreateWorkspace {
    /// Asks for a repository's default branch on a machine of the default size.
    pub const fn new(repo: RepoRef) -> Self {
        Self {
            repo,
            reference: None,
            name: None,
            size: None,
            provider: None,
            lifetime: None,
            idle_stop_ms: None,
        }
    }
}

/// A lifetime that its client renews: `PUT /api/workspaces/{id}/lease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// Milliseconds from now until the workspace is deleted, unless renewed; 5,000 to 86,400,000.
    pub lease_ms: u64,
}

/// Where a workspace is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceState {
    /// Asked for.
    Requested,
    /// A node is found or made for it.
    Placing,
    /// The repository is checked out.
    Preparing,
    /// It can be used.
    Running,
    /// Its processes are being ended.
    Stopping,
    /// It has files and no processes.
    Stopped,
    /// It is brought back.
    Starting,
    /// It could not be placed, prepared or started.
    Failed,
    /// Its node was lost.
    Interrupted,
    /// Everything of it is being taken away.
    Deleting,
    /// Nothing of it is left.
    Deleted,
}

impl WorkspaceState {
    /// Returns the word the API uses.
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
}

impl fmt::Display for WorkspaceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// What the owner wants a workspace to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceWish {
    /// Usable.
    Running,
    /// Kept, without processes.
    Stopped,
    /// Gone.
    Deleted,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It goes on.
    Running,
    /// It is finished.
    Done,
    /// It was given up.
    Failed,
}

/// One step of the newest operation on a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does; stable, unique within its operation.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What it is at, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it began.
    pub started_at: Time,
    /// When it was done or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

/// The piece of work that a workspace is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSummary {
    /// What it does: `create`, `start`, `stop` or `delete`.
    pub verb: String,
}

/// A workspace: `GET /api/workspaces/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its identity.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// What its owner wants it to be.
    pub wish: WorkspaceWish,
    /// The repository.
    pub repo: RepoRef,
    /// The branch, tag or commit that was asked for.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<RefName>,
    /// The commit that was checked out, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch that was checked out, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The size of its machine.
    pub size: String,
    /// Where its machine is bought, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The node it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// The steps of its newest operation, in the order they began.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The operation that runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationSummary>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it will be deleted unless its lease is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Time>,
    /// Milliseconds without activity after which it is warned and then stopped; 0 never; the
    /// installation's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop_ms: Option<u64>,
    /// When people were warned that it is about to be stopped, while that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_warned_at: Option<Time>,
    /// What stopped it, where it was not its owner: `idle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// The name under which it is reached, `ws-….example.com`, while that is published. Changes in the
    /// feed do not carry it: a name changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why its name could not be published or deleted yet; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_error: Option<ErrorRecord>,
    /// When it was asked for.
    pub created_at: Time,
    /// When its record last changed.
    pub changed_at: Time,
    /// Counts the changes of its record.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_with_unknown_fields_are_refused_and_answers_with_them_are_read() {
        let request = r#"{"repo":"octo/hello","ref":"main","lifetime":{"lease_ms":30000}}"#;
        let read: CreateWorkspace = serde_json::from_str(request).unwrap();
        assert_eq!(read.repo.as_str(), "https://github.com/octo/hello.git");
        assert_eq!(read.lifetime, Some(Lifetime { lease_ms: 30_000 }));
        let typo = r#"{"repo":"octo/hello","branch":"main"}"#;
        let error = serde_json::from_str::<CreateWorkspace>(typo).unwrap_err();
        assert!(error.to_string().contains("branch"), "{error}");

        let answer = r#"{"id":"ws-00000000000000000000000001","name":"hello","state":"running",
            "wish":"running","repo":"/srv/hello","size":"small","created_at":"2026-01-01T00:00:00Z",
            "changed_at":"2026-01-01T00:00:01Z","version":3,"from_the_future":{}}"#;
        let read: Workspace = serde_json::from_str(answer).unwrap();
        assert_eq!(read.state, WorkspaceState::Running);
        assert!(read.steps.is_empty());
    }

    #[test]
    fn state_words_are_those_of_the_json() {
        for state in [
            WorkspaceState::Requested,
            WorkspaceState::Placing,
            WorkspaceState::Preparing,
            WorkspaceState::Running,
            WorkspaceState::Stopping,
            WorkspaceState::Stopped,
            WorkspaceState::Starting,
            WorkspaceState::Failed,
            WorkspaceState::Interrupted,
            WorkspaceState::Deleting,
            WorkspaceState::Deleted,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.code());
        }
    }
}
