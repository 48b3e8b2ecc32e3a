//! From a credential's record to a provider that buys with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::new::Connect;
use super::record::{CredentialRecord, CredentialState};
use crate::Secret;
use crate::compute::{ComputeProvider, ProviderName};
use crate::engine::decode;
use crate::error::{Error, ErrorKind, Result};
use crate::id::CredentialId;
use crate::layer::Stack;
use crate::secrets::Secrets;
use crate::store::Store;

/// Providers that are kept ready; another one is made again when it is asked for.
const READY_MAX: usize = 256;

/// By credential, with the number of the secret it was made of.
type Ready = BTreeMap<CredentialId, (u32, Arc<dyn ComputeProvider>)>;

/// Makes the providers of stored credentials, and keeps those that were asked for.
#[derive(Debug)]
pub(crate) struct StoredProviders {
    store: Arc<dyn Store>,
    secrets: Secrets,
    connect: Arc<dyn Connect>,
    stack: Stack,
    ready: Mutex<Ready>,
}

impl StoredProviders {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        secrets: Secrets,
        connect: Arc<dyn Connect>,
        stack: &Stack,
    ) -> Self {
        Self { store, secrets, connect, stack: stack.clone(), ready: Mutex::default() }
    }

    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn vendors(&self) -> Vec<&'static str> {
        self.connect.vendors()
    }

    /// Makes a provider that nobody keeps, with every layer around it.
    pub(crate) fn connect(
        &self,
        vendor: &str,
        secret: &Secret<String>,
    ) -> Result<Arc<dyn ComputeProvider>> {
        Ok(self.stack.compute(self.connect.connect(vendor, secret)?))
    }

    /// Returns the provider of a credential.
    ///
    /// # Errors
    /// `Unsupported` when there is no such credential any more; `Corrupt` when its secret is gone;
    /// what store, keys and vendor's adapter say.
    pub(crate) async fn provider(
        &self,
        name: &ProviderName,
        id: CredentialId,
    ) -> Result<Arc<dyn ComputeProvider>> {
        let stored = self.store.load(&CredentialRecord::key_of(id)).await?;
        let record = stored.as_ref().map(decode::<CredentialRecord>).transpose()?;
        let known = record.map(|found| found.record);
        let Some(record) = known.filter(|record| record.state != CredentialState::Deleted) else {
            self.ready().remove(&id);
            let message = format!("there is no credential {id}");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("what it bought must be deleted by hand"));
        };
        if record.provider_name()? != *name {
            let message = format!("the credential {id} is not one of {}", name.vendor());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let kept = self.ready().get(&id).cloned();
        if let Some((number, provider)) = kept
            && number == record.secret_number
        {
            return Ok(provider);
        }
        let secret = self.secrets.open(&record.secret_name()?).await?.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("the secret of the credential {id} is gone"))
                .with_hint("store its token anew")
        })?;
        let text = String::from_utf8(secret.expose().clone()).map_err(|_| {
            Error::new(ErrorKind::Corrupt, format!("the secret of {id} is no text"))
        })?;
        let provider = self.connect(&record.vendor, &Secret::new(text))?;
        let mut ready = self.ready();
        if ready.len() >= READY_MAX {
            ready.pop_first();
        }
        ready.insert(id, (record.secret_number, Arc::clone(&provider)));
        Ok(provider)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
