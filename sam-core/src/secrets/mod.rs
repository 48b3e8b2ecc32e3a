//! Where sealed secrets are kept: outside the records and the feed, which only ever name them.
//!
//! A secret is kept under the owner it was sealed for, so its name is bound to its bytes: a row that
//! was put under another name opens nothing. [`Secrets`] joins the store with the keys; what a
//! [`SecretStore`] holds is of no use without them.
//!
//! # What a crash leaves
//! Secrets and records are not written together, so order makes up for it:
//! - A secret is put under a fresh name **before** the record that names it is committed, and within
//!   [`Secrets::UNNAMED_FOR_MIN`]. A record therefore never names what is not there.
//! - It is deleted **after** the record stopped naming it. No name is ever used a second time.
//!
//! A crash in between leaves a secret that no record names, and nothing else;
//! [`Secrets::forget_unnamed`] deletes those.

mod facade;
mod forward;
mod memory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::facade::{Resealed, Secrets};
pub use self::memory::MemorySecrets;
use crate::error::Result;
use crate::keys::{KeyId, Sealed, SecretOwner};
use crate::page::Page;

/// Keeps sealed secrets, each under the owner it was sealed for.
///
/// It opens nothing and holds no key. Time in here is the store's own.
///
/// # Contract
/// - **C1** `put_secret` creates or replaces the whole secret: a reader sees the one before it or the
///   one after it, to the byte. It may be repeated.
/// - **C2** `secret` returns `None` only when the store is sure that nothing is kept under exactly
///   this name.
/// - **C3** `delete_secret` deletes the one and nothing beside it; the absent is deleted already.
/// - **C4** `replace_secret` replaces what is kept only where that is the expected one, to the byte,
///   and says whether it did: it brings nothing deleted back and overwrites nothing newer. Of
///   concurrent ones with the same expectation exactly one succeeds.
/// - **C5** `list_secrets` returns whole pages in the order of the names' bytes, of the names that
///   begin with the prefix, none larger than asked for, each with the key that opens it; while others
///   write, what is kept all the time is listed once.
/// - **C6** `kept_for` is the time since the last `put_secret` of the name; `replace_secret` does not
///   begin it anew.
/// - **C7** Every name and every sealed secret is taken, the longest and the largest, too.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::Secret;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::keys::{KeyManager, MemoryKeys, SecretOwner};
/// use sam_core::secrets::{ListSecrets, MemorySecrets, SecretStore};
/// use sam_core::time::{ManualClock, Timestamp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let keys = MemoryKeys::new(Arc::new(SeededEntropy::new(1)));
/// let store = MemorySecrets::new(Arc::new(ManualClock::new(Timestamp::EPOCH)));
/// let name: SecretOwner = "credential/cr-1/1".parse()?;
/// store.put_secret(&name, &keys.wrap(&Secret::new(b"hunter2".to_vec()), &name).await?).await?;
/// let listed = store.list_secrets(&ListSecrets::new()).await?.items;
/// assert_eq!((&listed[0].name, listed[0].key_id.as_str()), (&name, "k1"));
/// let sealed = store.secret(&name).await?.expect("it was put");
/// assert_eq!(keys.unwrap(&sealed, &name).await?.expose(), b"hunter2");
/// store.delete_secret(&name).await?;
/// assert_eq!(store.secret(&name).await?, None);
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Creates or replaces a secret. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; check `effect()`.
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()>;

    /// Replaces a secret that is still the expected one; returns whether it did. A repeated call after
    /// one that took effect finds another than expected and returns `false`.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; check `effect()`.
    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool>;

    /// Returns a secret, or `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when what is kept is no sealed secret; `Unavailable`, `Timeout`, …
    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>>;

    /// Deletes a secret. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn delete_secret(&self, name: &SecretOwner) -> Result<()>;

    /// Returns one page of what is kept, without the secrets themselves.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>>;
}

/// Asks to replace a secret that is still the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplaceSecret {
    /// Which.
    pub name: SecretOwner,
    /// What must be kept there.
    pub expected: Sealed,
    /// What is kept there afterwards.
    pub sealed: Sealed,
}

impl ReplaceSecret {
    /// Asks to put `sealed` where `expected` is.
    pub const fn new(name: SecretOwner, expected: Sealed, sealed: Sealed) -> Self {
        Self { name, expected, sealed }
    }
}

/// Asks for one page of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListSecrets {
    /// What the names begin with, character by character; absent for all.
    pub prefix: Option<SecretOwner>,
    /// Continues a listing, from [`Page::next`].
    pub after: Option<String>,
    /// Most secrets on the page, cut to 1 to [`ListSecrets::LIMIT_MAX`].
    pub limit: usize,
}

impl ListSecrets {
    /// Most secrets on a page.
    pub const LIMIT_MAX: usize = 500;

    /// Asks for the first and largest page of all.
    pub const fn new() -> Self {
        Self { prefix: None, after: None, limit: Self::LIMIT_MAX }
    }

    /// Lists only names that begin with a text.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Option<SecretOwner>) -> Self {
        self.prefix = prefix;
        self
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }

    /// Asks for at most so many.
    #[must_use]
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns how many a page has at most.
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, Self::LIMIT_MAX)
    }
}

impl Default for ListSecrets {
    fn default() -> Self {
        Self::new()
    }
}

/// A secret that is kept, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretEntry {
    /// Its name: the owner it was sealed for.
    pub name: SecretOwner,
    /// The key that opens it.
    pub key_id: KeyId,
    /// How long ago it was last put, by the store's clock.
    pub kept_for: Duration,
}

impl SecretEntry {
    /// Describes a secret.
    pub const fn new(name: SecretOwner, key_id: KeyId, kept_for: Duration) -> Self {
        Self { name, key_id, kept_for }
    }
}
