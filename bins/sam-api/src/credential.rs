//! Credentials of one's own at a provider.

use std::fmt;

use sam_core::{CredentialId, ErrorRecord};
use serde::{Deserialize, Serialize};

use crate::{Catalog, Time};

/// Asks for a credential to be stored: `POST /api/credentials`, or only to be tried:
/// `POST /api/credentials/validate`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCredential {
    /// Where it is accepted, such as `hetzner`.
    pub provider: String,
    /// What it is called; as its provider when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The token.
    pub token: String,
}

/// Gives a credential another token of the same account: `PUT /api/credentials/{credential}/token`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceToken {
    /// The new token.
    pub token: String,
}

// Neither shows its token.
impl fmt::Debug for CreateCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateCredential")
            .field("provider", &self.provider)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplaceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplaceToken").finish_non_exhaustive()
    }
}

/// A stored credential, without its token: an item of `GET /api/credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// What it is called.
    pub name: String,
    /// What workspaces that are bought with it name: `hetzner/cr-…`.
    pub provider: String,
    /// `active`, `retiring`, `deleting` or `deleted`.
    pub state: String,
    /// When its provider last accepted it.
    pub accepted_at: Time,
    /// When it was stored.
    pub created_at: Time,
    /// Why it was not deleted, or what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// What a token that was accepted buys: the answer of `POST /api/credentials/validate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCredential {
    /// What its provider offers.
    pub catalog: Catalog,
}
