//! Sealed secrets in memory, for tests, examples and simulations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};
use crate::error::Result;
use crate::keys::{Sealed, SecretOwner};
use crate::page::Page;
use crate::store::StoreTime;
use crate::time::{Clock, Timestamp};

/// Sealed secrets that live in this process.
#[derive(Debug)]
pub struct MemorySecrets {
    time: StoreTime,
    secrets: Mutex<BTreeMap<SecretOwner, Kept>>,
}

#[derive(Debug)]
struct Kept {
    sealed: Sealed,
    put_at: Timestamp,
}

impl MemorySecrets {
    /// Makes an empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let time = StoreTime::new(clock, Timestamp::EPOCH);
        Self { time, secrets: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SecretOwner, Kept>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
        let kept = Kept { sealed: sealed.clone(), put_at: self.time.now() };
        self.lock().insert(name.clone(), kept);
        Ok(())
    }

    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
        let mut secrets = self.lock();
        let kept = secrets.get_mut(&request.name);
        let Some(kept) = kept.filter(|kept| kept.sealed == request.expected) else {
            return Ok(false);
        };
        kept.sealed = request.sealed.clone();
        Ok(true)
    }

    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
        Ok(self.lock().get(name).map(|kept| kept.sealed.clone()))
    }

    async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
        self.lock().remove(name);
        Ok(())
    }

    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
        let now = self.time.now();
        let prefix = query.prefix.as_ref().map_or("", SecretOwner::as_str);
        let secrets = self.lock();
        let left = secrets
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix))
            .filter(|(name, _)| query.after.as_deref().is_none_or(|after| name.as_str() > after))
            .map(|(name, kept)| {
                let key_id = kept.sealed.key_id().clone();
                SecretEntry::new(name.clone(), key_id, now.since(kept.put_at))
            });
        Ok(Page::first(left, query.page_size(), |entry| entry.name.to_string()))
    }
}
