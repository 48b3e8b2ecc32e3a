//! Sweeps and orphans as the API shows them: what a credential owns, compared with the records.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use sam_core::ErrorRecord;

use crate::Time;

/// What a sweep counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepTally {
    /// Things listed.
    pub listed: u64,
    /// Things that a record answers for.
    pub known: u64,
    /// Things that are orphans, known as such before or found then.
    pub orphans: u64,
    /// Machines that became recovered nodes.
    pub recovered: u64,
    /// Nodes whose machine was not listed although it should be.
    pub vanished: u64,
    /// Things listed that are not ours.
    pub strange: u64,
}

/// The sweep of one credential: an item of `GET /api/sweeps`, and the answer to
/// `POST /api/sweeps/{name}/run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// What is swept, such as `compute.process`.
    pub name: String,
    /// When everything was last compared; absent while that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<Time>,
    /// What was counted then.
    pub tally: SweepTally,
    /// Failures in a row.
    pub attempts: u32,
    /// The last failure, while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// Counts the changes of its record.
    pub version: u64,
}

impl Sweep {
    /// Returns whether what was last asked for has come to an end, good or bad.
    pub const fn is_over(&self) -> bool {
        self.swept_at.is_some() || self.attempts > 0
    }
}

/// Where an orphan is in its life. What is gone is not listed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanState {
    /// It was listed; the grace time runs.
    Suspected,
    /// A person must decide on it.
    Held,
    /// The provider is asked to delete it.
    Deleting,
}

impl OrphanState {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Held => "held",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for OrphanState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// Why nobody's record answers for a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanReason {
    /// Its record calls another of its sort its own, and that one is there.
    Duplicate,
    /// The records say that this published name is deleted.
    NameDeleted,
    /// The records say that its node is deleted.
    NodeDeleted,
    /// It was made before the records were restored, which may not know all of it.
    OtherEpoch,
    /// Its labels are incomplete or contradict the records.
    Unclear,
}

impl OrphanReason {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::NameDeleted => "name_deleted",
            Self::NodeDeleted => "node_deleted",
            Self::OtherEpoch => "other_epoch",
            Self::Unclear => "unclear",
        }
    }
}

impl fmt::Display for OrphanReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A thing that a provider lists as ours and no record answers for: `GET /api/orphans/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Its name here.
    pub id: String,
    /// The sweep that found it.
    pub sweep: String,
    /// What it is: `machine`, `volume`, `dns_record` and the like.
    pub sort: String,
    /// The provider's own name for it.
    pub provider_id: String,
    /// The labels it carries.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Why nobody's record answers for it.
    pub reason: OrphanReason,
    /// Where it is in its life.
    pub state: OrphanState,
    /// A person asked to delete it.
    pub delete_wished: bool,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it was found.
    pub found_at: Time,
    /// When its record last changed its state.
    pub changed_at: Time,
    /// Counts the changes of its record.
    pub version: u64,
}
