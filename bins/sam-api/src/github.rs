//! What is seen of a GitHub App, and of the deliveries of its webhook.

use std::fmt;

use sam_core::ErrorRecord;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It was acknowledged, and waits for its turn.
    Received,
    /// It is worked on, or waits after a failure.
    Queued,
    /// Nothing is left to do.
    Done,
    /// It was given up; a person may have it tried again.
    Failed,
}

impl DeliveryState {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// How a delivery came to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// It had failed, and nobody looked at it for 30 days.
    Abandoned,
    /// It was handled.
    Handled,
    /// There was nothing to do.
    Nothing,
    /// A newer one says all that it did.
    Superseded,
}

/// A webhook that was received: `GET /api/github/deliveries`. What it said is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// GitHub's id of it, which a redelivery repeats.
    pub id: String,
    /// Its event, such as `push`.
    pub event: String,
    /// The number of the repository it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The number of the installation it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// The branch or tag that was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// How it came to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DeliveryOutcome>,
    /// The newer delivery that says all that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// How often it was tried since a person last asked for it.
    pub attempts: u32,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// SHA-256 over the bytes that came, in hex.
    pub body_sha256: String,
    /// How many bytes came.
    pub body_bytes: u64,
    /// Whether all of it was kept, or only its essentials.
    pub is_whole: bool,
    /// When it was received.
    pub received_at: Time,
    /// When its record last changed its state.
    pub changed_at: Time,
    /// Counts the changes of its record.
    pub version: u64,
}

/// Says that a delivery is kept: `POST /api/github/webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReceipt {
    /// GitHub's id of it.
    pub id: String,
}

/// An installation of the App: `GET /api/github/installations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubInstallation {
    /// Its number.
    pub id: u64,
    /// The name of the user or organisation it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// `all` or `selected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_selection: Option<String>,
    /// Whether its owner suspended it.
    pub is_suspended: bool,
}

/// A repository: `GET /api/github/installations/{id}/repositories`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubRepository {
    /// Its number, which stays when it is renamed.
    pub id: u64,
    /// Its owner's name and its own: `owner/name`.
    pub full_name: String,
    /// Whether it is not public.
    pub is_private: bool,
    /// Whether it is read-only for everybody.
    pub is_archived: bool,
    /// Whether GitHub has shut it.
    pub is_disabled: bool,
    /// The branch that is checked out by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
}

/// A branch: `GET /api/github/repositories/{id}/branches?installation=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubBranch {
    /// Its name.
    pub name: String,
    /// The hash of its newest commit.
    pub commit: String,
    /// Whether rules protect it.
    pub is_protected: bool,
}

/// Where the App is installed: `GET /api/github/install-url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubInstallUrl {
    /// A page of GitHub.
    pub url: String,
}
