//! What is stored of an orphan.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::compute::{Labels, OwnedResource};
use crate::engine::{InvalidTransition, Stored};
use crate::error::ErrorRecord;
use crate::store::{Index, IndexField, Kind, RecordKey};
use crate::sweep::Reason;
use crate::time::Timestamp;

/// Where an orphan is in its life. There is no last state: what is gone has no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrphanState {
    /// It was listed; the grace time runs.
    Suspected,
    /// A person must decide on it.
    Held,
    /// The provider was, or is about to be, asked to delete it.
    Deleting,
}

impl OrphanState {
    /// Every state, for tables.
    pub const ALL: [Self; 3] = [Self::Suspected, Self::Held, Self::Deleting];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Held => "held",
            Self::Deleting => "deleting",
        }
    }

    /// Returns the states that may follow, beside the state itself.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Suspected => &[Self::Held, Self::Deleting],
            Self::Held => &[Self::Deleting],
            Self::Deleting => &[],
        }
    }
}

/// An orphan as it is stored. Indexed by state, owner and scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OrphanRecord {
    /// Format of this record.
    pub format: u32,
    /// Where it was listed.
    pub scope: String,
    /// What it is.
    pub resource: OwnedResource,
    /// Why nobody's record answers for it.
    pub reason: Reason,
    /// Where it is in its life.
    pub state: OrphanState,
    /// A person asked to delete it.
    #[serde(default)]
    pub delete_wished: bool,
    /// When it was found.
    pub found_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
    /// Failures in a row.
    #[serde(default)]
    pub attempts: u32,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

impl OrphanRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("orphan");
    /// Indexed by state.
    pub const BY_STATE: IndexField = IndexField::First;

    /// Describes something that was just listed.
    pub const fn found(
        scope: String,
        resource: OwnedResource,
        reason: Reason,
        now: Timestamp,
    ) -> Self {
        Self {
            format: <Self as Stored>::FORMAT,
            scope,
            resource,
            reason,
            state: OrphanState::Suspected,
            delete_wished: false,
            found_at: now,
            state_at: now,
            attempts: 0,
            error: None,
        }
    }

    /// Returns its name: the scope and a digest of sort and provider id, which may be of any length
    /// and have any characters.
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.resource.sort.as_bytes());
        digest.update([0]);
        digest.update(self.resource.provider_id.as_bytes());
        let digest = digest.finalize();
        let hex = digest.iter().take(10).map(|byte| format!("{byte:02x}"));
        format!("{}.{}", self.scope, hex.collect::<String>())
    }

    /// Returns the key of an orphan's record.
    pub fn key_of(id: &str) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns it in another state, with no failures counted.
    #[must_use]
    pub fn moved_to(&self, state: OrphanState, now: Timestamp) -> Self {
        Self { state, state_at: now, attempts: 0, ..self.clone() }
    }

    /// Checks that it may become another; see [`OrphanState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        if self.state == to.state || self.state.next().contains(&to.state) {
            Ok(())
        } else {
            Err(InvalidTransition::new("orphan", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for OrphanRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.id())
    }

    fn index(&self) -> Index {
        let owner = self.resource.labels.value(Labels::OWNER).map(str::to_owned);
        [Some(self.state.code().to_owned()), owner, Some(self.scope.clone())]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
