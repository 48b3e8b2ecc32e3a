//! The hold on automatic deletion: one record that stops everything from being deleted that no
//! person asked to delete, on every replica at once.
//!
//! It is set by a person, and by a restore: records of a backup may call something unwanted that
//! was wanted again afterwards. A deletion that nobody asked for is committed together with a check
//! that the hold is as it was seen, so none slips past one that is being set.

use serde::{Deserialize, Serialize};

use crate::engine::{Stored, decode};
use crate::error::Report;
use crate::store::{Expect, Index, Kind, RecordKey, Store};
use crate::time::Timestamp;

/// The hold as it is stored: a single record, absent until it is first set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HoldRecord {
    /// Format of this record.
    pub format: u32,
    /// Whether it is in force.
    pub held: bool,
    /// Why it was set, for people; at most [`HoldRecord::REASON_CHARS_MAX`] characters.
    pub reason: String,
    /// Who set or lifted it.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

impl HoldRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("hold");
    /// Longest reason, in characters; a longer one is cut.
    pub const REASON_CHARS_MAX: usize = 200;
    const ID: &'static str = "automatic_deletion";

    /// Describes a hold that is set or lifted.
    pub fn new(held: bool, reason: &str, by: String, now: Timestamp) -> Self {
        let reason = reason.chars().take(Self::REASON_CHARS_MAX).collect();
        Self { format: Self::FORMAT, held, reason, by, since: now }
    }

    /// Returns the key of the one record.
    pub fn the_key() -> RecordKey {
        RecordKey::new(Self::KIND, Self::ID)
    }
}

impl Stored for HoldRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::the_key()
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }
}

/// What a decision knows of the hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// Nothing is held; the record had this version, or was absent.
    Clear {
        /// Its version.
        version: Option<u64>,
    },
    /// Nothing may be deleted that no person asked to delete, or nobody knows: the store did not
    /// answer.
    Held,
    /// It was not asked: nothing was about to be deleted.
    NotAsked,
}

impl Hold {
    /// Asks the store. A store that does not answer counts as a hold.
    pub async fn look(store: &dyn Store) -> Self {
        let read = store.load(&HoldRecord::the_key()).await;
        let read = read.and_then(|stored| stored.as_ref().map(decode::<HoldRecord>).transpose());
        match read {
            Ok(None) => Self::Clear { version: None },
            Ok(Some(hold)) if hold.record.held => Self::Held,
            Ok(Some(hold)) => Self::Clear { version: Some(hold.version) },
            Err(error) => {
                tracing::warn!(error = %Report::new(&error), "the hold on deletion cannot be read");
                Self::Held
            }
        }
    }

    /// Returns what a commit that deletes must check, or `None` when nothing may be deleted.
    pub fn clearance(self) -> Option<(RecordKey, Expect)> {
        match self {
            Self::Clear { version } => {
                let expect = version.map_or(Expect::Absent, Expect::Version);
                Some((HoldRecord::the_key(), expect))
            }
            Self::Held | Self::NotAsked => None,
        }
    }
}
