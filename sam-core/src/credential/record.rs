//! What is stored of a credential.

use serde::{Deserialize, Serialize};

use crate::compute::ProviderName;
use crate::engine::{InvalidTransition, Stored};
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::id::CredentialId;
use crate::keys::SecretOwner;
use crate::store::{Index, IndexField, Kind, RecordKey, UniqueChange};
use crate::time::Timestamp;

/// Where a credential is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CredentialState {
    /// Nodes can be bought with it.
    Active,
    /// It is to be deleted, once it is known that nothing needs it.
    Retiring,
    /// Nothing needs it, and its secret is being forgotten.
    Deleting,
    /// Its secret is forgotten. Final.
    Deleted,
}

impl CredentialState {
    /// Every state, for tables and documentation.
    pub const ALL: [Self; 4] = [Self::Active, Self::Retiring, Self::Deleting, Self::Deleted];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Returns the states that may follow, beside the state itself.
    ///
    /// One that something still needs becomes active again: it cannot be deleted.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Active => &[Self::Retiring],
            Self::Retiring => &[Self::Active, Self::Deleting],
            Self::Deleting => &[Self::Deleted],
            Self::Deleted => &[],
        }
    }

    /// Returns whether nothing follows.
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }
}

/// A credential as it is stored. Indexed by state and owner; a deleted one by state only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CredentialRecord {
    /// Format of this record.
    pub format: u32,
    /// Its name for machines.
    pub id: CredentialId,
    /// Whose it is.
    pub owner: String,
    /// Where it is accepted, such as `hetzner`.
    pub vendor: String,
    /// What its owner calls it; unique among what the owner has.
    pub name: String,
    /// Where it is in its life.
    pub state: CredentialState,
    /// The number of its secret; a new secret has a new one.
    pub secret_number: u32,
    /// When its vendor last accepted it.
    pub accepted_at: Timestamp,
    /// Failures in a row in this state.
    #[serde(default)]
    pub attempts: u32,
    /// The last failure, or why it could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it got its state.
    pub state_at: Timestamp,
}

impl CredentialRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("credential");
    /// Indexed by owner.
    pub const BY_OWNER: IndexField = IndexField::Second;
    /// Where names are unique.
    const NAMES: &'static str = "credential_name";
    /// What the names of all their secrets begin with.
    pub const SECRETS: &'static str = "credential/";

    /// Returns the key of a credential's record.
    pub fn key_of(id: CredentialId) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns the name its secret is kept under.
    ///
    /// # Errors
    /// `Bug` when that is no name.
    pub fn secret_name(&self) -> Result<SecretOwner> {
        let text = format!("{}{}/{}", Self::SECRETS, self.id, self.secret_number);
        text.parse().map_err(|error| {
            Error::new(ErrorKind::Bug, "a credential's secret has no name").with_source(error)
        })
    }

    /// Returns what its provider is called.
    ///
    /// # Errors
    /// `Corrupt` when the vendor is no name.
    pub fn provider_name(&self) -> Result<ProviderName> {
        ProviderName::of_credential(&self.vendor, self.id).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a credential's vendor is no name").with_source(error)
        })
    }

    pub(crate) fn name_claimed(&self) -> UniqueChange {
        UniqueChange::Claim { space: Self::NAMES, key: self.unique_name(), holder: self.key() }
    }

    pub(crate) fn name_released(&self) -> UniqueChange {
        UniqueChange::Release { space: Self::NAMES, key: self.unique_name(), holder: self.key() }
    }

    fn unique_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Returns it in another state, with no failures counted.
    #[must_use]
    pub fn moved_to(&self, state: CredentialState, now: Timestamp) -> Self {
        Self { state, state_at: now, attempts: 0, error: None, ..self.clone() }
    }

    /// Checks that it may become another; see [`CredentialState::next`].
    ///
    /// # Errors
    /// When the step is not in the table.
    pub fn check_next(&self, to: &Self) -> Result<(), InvalidTransition> {
        let legal = self.state == to.state && !self.state.is_final()
            || self.state.next().contains(&to.state);
        if legal {
            Ok(())
        } else {
            Err(InvalidTransition::new("credential", self.state.code(), to.state.code())) // I5
        }
    }
}

impl Stored for CredentialRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(self.id)
    }

    fn index(&self) -> Index {
        let state = Some(self.state.code().to_owned());
        match self.state {
            CredentialState::Deleted => [state, None, None],
            CredentialState::Active | CredentialState::Retiring | CredentialState::Deleting => {
                [state, Some(self.owner.clone()), None]
            }
        }
    }

    fn format(&self) -> u32 {
        self.format
    }
}
