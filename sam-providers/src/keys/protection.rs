//! How the keys in a ring's file are kept: as they are, or wrapped by a key service.

use std::fmt;

use async_trait::async_trait;
use sam_core::keys::SecretOwner;
use sam_core::{Result, Secret};

/// Wraps the keys of a ring's file, so that the file alone opens nothing.
///
/// # Contract
/// - **C1** `open` of what `protect` gave returns the same bytes, for the same owner; for another
///   owner, or changed bytes, it is `Corrupt`.
/// - **C2** The name never changes: it is in the file, and another one's file is refused by it.
#[async_trait]
pub trait RingProtection: fmt::Debug + Send + Sync + 'static {
    /// Returns the name that the file holds.
    fn name(&self) -> &str;

    /// Wraps a key of at most [`RingProtection::key_bytes_max`] bytes. The owner is
    /// `ring/sealing/<id>` or `ring/signing/<id>`.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Denied`, …
    async fn protect(&self, owner: &SecretOwner, key: &Secret<Vec<u8>>) -> Result<Vec<u8>>;

    /// Opens a wrapped key.
    ///
    /// # Errors
    /// `Corrupt` for another owner or changed bytes; `Unavailable`, `Timeout`, `Denied`, …
    async fn open(&self, owner: &SecretOwner, wrapped: &[u8]) -> Result<Secret<Vec<u8>>>;

    /// Returns the largest key that can be wrapped.
    fn key_bytes_max(&self) -> usize;
}

/// Keeps the keys as they are: the rights of the file protect them.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Unprotected;

#[async_trait]
impl RingProtection for Unprotected {
    fn name(&self) -> &'static str {
        "none"
    }

    async fn protect(&self, _: &SecretOwner, key: &Secret<Vec<u8>>) -> Result<Vec<u8>> {
        Ok(key.expose().clone())
    }

    async fn open(&self, _: &SecretOwner, wrapped: &[u8]) -> Result<Secret<Vec<u8>>> {
        Ok(Secret::new(wrapped.to_vec()))
    }

    fn key_bytes_max(&self) -> usize {
        // An RSA key of 8192 bits has about 4.7 KiB.
        8 << 10
    }
}
