//! The hold on automatic deletion.

use serde::{Deserialize, Serialize};

use crate::Time;

/// Whether anything may be deleted that no person asked to delete: `GET /api/deletion-hold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionHold {
    /// Whether the hold is in force.
    pub held: bool,
    /// Why it was set or lifted; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who set or lifted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Sets or lifts the hold: `PUT /api/deletion-hold`. One that is as asked for already is left as it
/// is, with its first reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDeletionHold {
    /// Whether the hold is to be in force.
    pub held: bool,
    /// Why, for people; 1 to 200 characters.
    pub reason: String,
}
