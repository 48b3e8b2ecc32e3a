//! The servers that share one store.

use serde::{Deserialize, Serialize};

use crate::Time;

/// A server that shares the store: an item of `GET /api/replicas`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Names its process; another after a restart.
    pub id: String,
    /// Where the others reach it; empty for a server that has the store alone.
    #[serde(default)]
    pub url: String,
    /// Whether it is the one that answers.
    pub answers: bool,
    /// Since when it serves.
    pub since: Time,
    /// When it last said that it lives; absent before the first time, and where nobody else asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Time>,
    /// How often it was looked for since, in vain; it is forgotten soon after the second.
    pub missed: u32,
}
