//! What is stored of a sweep.

use serde::{Deserialize, Serialize};

use crate::engine::Stored;
use crate::error::ErrorRecord;
use crate::store::{Index, Kind, RecordKey};
use crate::time::Timestamp;

/// What a sweep counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// Things listed.
    pub listed: u64,
    /// Things that a record answers for.
    pub known: u64,
    /// Things that are orphans, known as such before or found now.
    pub orphans: u64,
    /// Machines that became nodes that are Recovered.
    pub recovered: u64,
    /// Nodes whose machine was not listed although it should be.
    pub vanished: u64,
    /// Things listed that are not ours: a listing that obeys its contract has none.
    pub strange: u64,
}

/// The sweep of one credential; its id is the scope's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SweepRecord {
    /// Format of this record.
    pub format: u32,
    /// What is swept.
    pub scope: String,
    /// When everything was last compared; absent asks for it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<Timestamp>,
    /// What was counted then.
    #[serde(default)]
    pub tally: Tally,
    /// Failures in a row.
    #[serde(default)]
    pub attempts: u32,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

impl SweepRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("sweep");

    /// Describes a sweep that was never made.
    pub fn new(scope: String) -> Self {
        Self {
            format: Self::FORMAT,
            scope,
            swept_at: None,
            tally: Tally::default(),
            attempts: 0,
            error: None,
        }
    }

    /// Returns the key of a scope's sweep.
    pub fn key_of(scope: &str) -> RecordKey {
        RecordKey::new(Self::KIND, scope)
    }
}

impl Stored for SweepRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.scope)
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }
}
