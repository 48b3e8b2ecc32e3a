//! How a credential is stored, and how a provider is made of one.

use std::fmt;
use std::sync::Arc;

use super::record::{CredentialRecord, CredentialState};
use crate::Secret;
use crate::compute::ComputeProvider;
use crate::engine::Stored as _;
use crate::error::{Error, ErrorKind, Result};
use crate::id::CredentialId;
use crate::keys::Sealed;
use crate::time::Timestamp;

/// Makes providers of stored credentials; a host hands it in, who knows the vendors.
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// Returns the vendors whose credentials can be stored, such as `hetzner`.
    fn vendors(&self) -> Vec<&'static str>;

    /// Makes the provider of a vendor with a secret: a token, or what else the vendor takes as text.
    /// Nothing is asked of the vendor yet.
    ///
    /// # Errors
    /// `Unsupported` for a vendor that is not among [`Connect::vendors`]; `BadInput` for a secret that
    /// cannot be one.
    fn connect(&self, vendor: &str, secret: &Secret<String>) -> Result<Arc<dyn ComputeProvider>>;
}

/// Asks for a credential to be stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewCredential {
    /// Where it is accepted.
    pub vendor: String,
    /// What its owner calls it.
    pub name: String,
    /// The token.
    pub secret: Secret<String>,
}

impl NewCredential {
    /// Longest name, in characters.
    pub const NAME_CHARS_MAX: usize = 48;

    /// Asks for a credential; without a name it is called as its vendor.
    ///
    /// # Errors
    /// `BadInput` when the name is not 1 to 48 lower-case letters, digits and hyphens, or the secret is
    /// blank, has several lines or is too long.
    pub fn new(vendor: &str, name: Option<&str>, secret: &Secret<String>) -> Result<Self> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::BadInput, message));
        let name = name.unwrap_or(vendor);
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > Self::NAME_CHARS_MAX || !name.bytes().all(legal) {
            return refuse("a credential's name is 1 to 48 lower-case letters, digits and hyphens");
        }
        Ok(Self { vendor: vendor.to_owned(), name: name.to_owned(), secret: checked(secret)? })
    }

    pub(crate) fn into_record(
        self,
        id: CredentialId,
        owner: String,
        now: Timestamp,
    ) -> CredentialRecord {
        CredentialRecord {
            format: CredentialRecord::FORMAT,
            id,
            owner,
            vendor: self.vendor,
            name: self.name,
            state: CredentialState::Active,
            secret_number: 1,
            accepted_at: now,
            attempts: 0,
            error: None,
            created_at: now,
            state_at: now,
        }
    }
}

/// Returns a token without the blanks around it, which come from copying.
///
/// # Errors
/// `BadInput` when it cannot be one.
pub(crate) fn checked(secret: &Secret<String>) -> Result<Secret<String>> {
    let text = Secret::new(secret.expose().trim().to_owned());
    let bytes = text.expose().as_bytes();
    if bytes.is_empty() || bytes.len() > Sealed::PLAIN_BYTES_MAX {
        let message = format!("a token has 1 to {} bytes", Sealed::PLAIN_BYTES_MAX);
        return Err(Error::new(ErrorKind::BadInput, message));
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Err(Error::new(ErrorKind::BadInput, "a token is one line of text"));
    }
    Ok(text)
}
