//! Keys and store together: keep, open, forget, move to another key, tidy up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::{KeyId, KeyManager, SecretOwner};

/// Keeps secrets sealed, and opens them.
///
/// Cheap to clone. Nothing of a secret is in an error or in `Debug`.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::Secret;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::keys::{MemoryKeys, SecretOwner};
/// use sam_core::secrets::{MemorySecrets, Secrets};
/// use sam_core::time::{ManualClock, Timestamp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let keys = Arc::new(MemoryKeys::new(Arc::new(SeededEntropy::new(1))));
/// let store = MemorySecrets::new(Arc::new(ManualClock::new(Timestamp::EPOCH)));
/// let secrets = Secrets::new(keys.clone(), Arc::new(store));
/// let name: SecretOwner = "credential/cr-1/1".parse()?;
/// secrets.keep(&name, &Secret::new(b"hunter2".to_vec())).await?;
/// // A new key seals from now on; what the old one sealed is moved, page by page.
/// keys.add("k2".parse()?, Secret::new([2; 32]))?;
/// let mut after = None;
/// loop {
///     after = secrets.reseal(after).await?.next;
///     if after.is_none() { break }
/// }
/// assert!(secrets.keys_in_use().await?.keys().all(|key| key.as_str() == "k2"));
/// keys.retire(&"k1".parse()?)?;
/// assert_eq!(secrets.open(&name).await?.expect("it is kept").expose(), b"hunter2");
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Secrets {
    keys: Arc<dyn KeyManager>,
    store: Arc<dyn SecretStore>,
}

/// How far moving secrets to the current key has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Resealed {
    /// Secrets of this page that are under the current key now and were not before.
    pub moved: usize,
    /// Secrets of this page that their key does not open, or whose key is gone. They were left as
    /// they are, and do not stop the others.
    pub unopened: Vec<SecretOwner>,
    /// Where the next page begins, or `None` after the last.
    pub next: Option<String>,
}

impl Secrets {
    /// Shortest time that a secret without a record is left alone: so long may the commit of the record
    /// that names it take.
    pub const UNNAMED_FOR_MIN: Duration = Duration::from_hours(1);

    /// Secrets that one call of [`Secrets::reseal`] looks at: two calls of the keys and two of the
    /// store for each.
    const RESEAL_PAGE: usize = 100;

    /// Puts keys and store together.
    pub fn new(keys: Arc<dyn KeyManager>, store: Arc<dyn SecretStore>) -> Self {
        Self { keys, store }
    }

    /// Seals a secret under the current key and keeps it. Repeatable. The record that names it is
    /// committed afterwards; see the [module](super).
    ///
    /// # Errors
    /// `BadInput` when it is larger than [`Sealed::PLAIN_BYTES_MAX`](crate::keys::Sealed::PLAIN_BYTES_MAX);
    /// those of [`KeyManager::wrap`] and [`SecretStore::put_secret`].
    pub async fn keep(&self, name: &SecretOwner, plain: &Secret<Vec<u8>>) -> Result<()> {
        let sealed = self.keys.wrap(plain, name).await?;
        self.store.put_secret(name, &sealed).await
    }

    /// Opens a secret, or returns `None` when none is kept under the name.
    ///
    /// # Errors
    /// `Corrupt` when it was changed or sealed for another owner; `NotFound` when its key is gone;
    /// those of [`SecretStore::secret`].
    pub async fn open(&self, name: &SecretOwner) -> Result<Option<Secret<Vec<u8>>>> {
        match self.store.secret(name).await? {
            Some(sealed) => self.keys.unwrap(&sealed, name).await.map(Some),
            None => Ok(None),
        }
    }

    /// Deletes a secret, which no record names any more. Repeatable; absence is no error.
    ///
    /// # Errors
    /// Those of [`SecretStore::delete_secret`].
    pub async fn forget(&self, name: &SecretOwner) -> Result<()> {
        self.store.delete_secret(name).await
    }

    /// Moves the secrets of one page, at most 100, to the key that seals now; begin with `None` and go
    /// on with [`Resealed::next`]. Others may write meanwhile: what was deleted stays deleted, and what
    /// was put anew stays as it was put. Repeatable; what was moved before a failure stays moved.
    ///
    /// # Errors
    /// Those of the keys and of the store, except for a secret that does not open: it is named in
    /// [`Resealed::unopened`].
    pub async fn reseal(&self, after: Option<String>) -> Result<Resealed> {
        let current = self.keys.current_key().await?;
        let query = ListSecrets::new().with_after(after).with_limit(Self::RESEAL_PAGE);
        let page = self.store.list_secrets(&query).await?;
        let mut done = Resealed { next: page.next, ..Resealed::default() };
        for entry in page.items {
            if entry.key_id == current {
                continue;
            }
            match self.reseal_one(&entry.name).await {
                Ok(moved) => done.moved += usize::from(moved),
                // Trying again helps neither; a person must know, and the others must not wait.
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                    tracing::warn!(secret.name = %entry.name, %error, "a secret does not open");
                    done.unopened.push(entry.name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn reseal_one(&self, name: &SecretOwner) -> Result<bool> {
        let Some(expected) = self.store.secret(name).await? else { return Ok(false) };
        let plain = self.keys.unwrap(&expected, name).await?;
        let sealed = self.keys.wrap(&plain, name).await?;
        let request = ReplaceSecret::new(name.clone(), expected, sealed);
        self.store.replace_secret(&request).await
    }

    /// Returns how many secrets each key opens. A key that is not in it can be retired, once no
    /// process seals under it any more.
    ///
    /// # Errors
    /// Those of [`SecretStore::list_secrets`]; `QuotaExceeded` after 5,000,000 secrets.
    pub async fn keys_in_use(&self) -> Result<BTreeMap<KeyId, u64>> {
        let mut keys = BTreeMap::new();
        let mut walk = Walk::new(&*self.store, None);
        while let Some(entries) = walk.next().await? {
            for entry in entries {
                *keys.entry(entry.key_id).or_default() += 1;
            }
        }
        Ok(keys)
    }

    /// Deletes what a crash left over: secrets whose names begin with `prefix`, that are not `named`,
    /// and that were put longer ago than `older_than`, at least [`Secrets::UNNAMED_FOR_MIN`]; returns
    /// how many. `named` holds what **every** record that names such secrets does, read just before:
    /// what is missing from it is gone for good. Repeatable.
    ///
    /// # Errors
    /// Those of the store, and `QuotaExceeded` after 5,000,000 secrets; what was deleted before stays
    /// deleted.
    pub async fn forget_unnamed(
        &self,
        prefix: &SecretOwner,
        named: &BTreeSet<SecretOwner>,
        older_than: Duration,
    ) -> Result<u64> {
        let least = older_than.max(Self::UNNAMED_FOR_MIN);
        let mut forgotten = 0;
        let mut walk = Walk::new(&*self.store, Some(prefix.clone()));
        while let Some(entries) = walk.next().await? {
            for entry in entries {
                if entry.kept_for > least && !named.contains(&entry.name) {
                    self.store.delete_secret(&entry.name).await?;
                    tracing::warn!(secret.name = %entry.name, "a secret that no record named was deleted");
                    forgotten += 1;
                }
            }
        }
        Ok(forgotten)
    }
}

/// Goes through the pages of a listing.
#[derive(Debug)]
struct Walk<'a> {
    store: &'a dyn SecretStore,
    query: ListSecrets,
    pages_left: u32,
    done: bool,
}

impl<'a> Walk<'a> {
    /// Most pages: 5,000,000 secrets.
    const PAGES_MAX: u32 = 10_000;

    fn new(store: &'a dyn SecretStore, prefix: Option<SecretOwner>) -> Self {
        let query = ListSecrets::new().with_prefix(prefix);
        Self { store, query, pages_left: Self::PAGES_MAX, done: false }
    }

    /// Returns the next page, or `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<SecretEntry>>> {
        if self.done {
            return Ok(None);
        }
        if self.pages_left == 0 {
            return Err(Error::new(ErrorKind::QuotaExceeded, "the store keeps too many secrets")
                .with_operation("list_secrets")
                .with_hint("delete those that nothing needs"));
        }
        self.pages_left -= 1;
        let page = self.store.list_secrets(&self.query).await?;
        self.done = page.next.is_none();
        self.query.after = page.next;
        Ok(Some(page.items))
    }
}
