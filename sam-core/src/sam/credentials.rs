//! The verbs on stored credentials.

use std::collections::BTreeSet;

use super::nodes::readable;
use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::Secret;
use crate::compute::{Catalog, ProviderName};
use crate::credential::{CredentialRecord, CredentialState, NewCredential, StoredProviders};
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::{Error, ErrorKind, Report, Result};
use crate::id::CredentialId;
use crate::node::NodeRecord;
use crate::page::Page;
use crate::secrets::Secrets;
use crate::store::{CommitError, Due, Expect, ListQuery, Refusal, Write};
use crate::sweep::{Scope, SweepRecord};

impl Sam {
    /// Returns the vendors whose credentials can be stored; none where nothing keeps them.
    pub fn credential_vendors(&self) -> Vec<&'static str> {
        self.0.providers.stored().map(StoredProviders::vendors).unwrap_or_default()
    }

    /// Asks a vendor whether it accepts a token, and what it offers with it. Nothing is kept.
    ///
    /// # Errors
    /// `Unsupported` for a vendor that is not among [`Sam::credential_vendors`]; `BadInput` for what
    /// cannot be a token, or one that the vendor refuses; `Unavailable`, `Timeout`, `RateLimited`
    /// when it did not say.
    pub async fn check_credential(&self, new: &NewCredential) -> Result<Catalog> {
        let stored = self.0.providers.stored()?;
        let provider = stored.connect(&new.vendor, &new.secret)?;
        provider.verify_credentials().await.map_err(|error| refused(&new.vendor, error))?;
        provider.catalog().await
    }

    /// Stores a credential after its vendor has accepted it. Its account is swept from now on.
    ///
    /// # Errors
    /// Those of [`Sam::check_credential`]; `AlreadyExists` when the owner has one of this name; what
    /// store and keys answered.
    pub async fn add_credential(
        &self,
        new: NewCredential,
        caller: &Caller,
    ) -> Result<Stamped<CredentialRecord>> {
        self.check_credential(&new).await?;
        let secrets = self.0.providers.stored()?.secrets();
        let now = self.0.clock.now();
        let id = CredentialId::new(now, &*self.0.entropy);
        let plain = bytes(&new.secret);
        let record = new.into_record(id, caller.actor().as_str().to_owned(), now);
        let secret = record.secret_name()?;
        // Before the record that names it; a crash in between leaves a secret that nobody names.
        secrets.keep(&secret, &plain).await?;
        let sweep = SweepRecord::new(Scope::name_of(&record.provider_name()?));
        let commit = self
            .commit_for(caller)
            .with_write(
                Write::put(record.key(), Expect::Absent, encode(&record)?, "credential_stored")
                    .with_index(record.index()),
            )
            .with_write(
                Write::put(sweep.key(), Expect::Absent, encode(&sweep)?, "sweep_began")
                    .with_due(Due::NOW),
            )
            .with_unique(record.name_claimed());
        match self.commit(commit).await {
            Ok(committed) => {
                let version = committed.version_of(&record.key()).unwrap_or(1);
                Ok(Stamped::new(record, version))
            }
            Err(error) => {
                if !error.may_have_happened()
                    && let Err(trouble) = secrets.forget(&secret).await
                {
                    tracing::warn!(error = %Report::new(&trouble), "a secret without a record is left");
                }
                Err(taken(error, &record.name))
            }
        }
    }

    /// Gives a credential another token, after its vendor has accepted it and shown with it a machine
    /// that was bought with the old one, where there is one.
    ///
    /// # Errors
    /// Those of [`Sam::check_credential`]; `NotFound`; `Conflict` while it is being deleted, or when
    /// the new token is of another account; what store and keys answered.
    pub async fn replace_secret(
        &self,
        id: CredentialId,
        secret: &Secret<String>,
        caller: &Caller,
    ) -> Result<Stamped<CredentialRecord>> {
        let secret = crate::credential::checked(secret)?;
        let stored = self.0.providers.stored()?;
        for _ in 0..CONFLICTS_MAX {
            let current = self.credential(id).await?.ok_or_else(|| unknown(id))?;
            if current.record.state != CredentialState::Active {
                let message = format!("the credential {id} is being deleted");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let provider = stored.connect(&current.record.vendor, &secret)?;
            let accepted = provider.verify_credentials().await;
            accepted.map_err(|error| refused(&current.record.vendor, error))?;
            if let Some(node) = self.node_of(&current.record.provider_name()?).await?
                && node.provider_id.is_some()
                && provider.machine(&node.machine_key()).await?.is_none()
            {
                let message = format!("with the new token the machine of {} is not there", node.id);
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_hint("a token of the same account is needed, or delete the node first"));
            }
            let mut next = current.record.clone();
            next.secret_number = next.secret_number.saturating_add(1);
            next.accepted_at = self.0.clock.now();
            next.error = None;
            stored.secrets().keep(&next.secret_name()?, &bytes(&secret)).await?;
            let expect = Expect::Version(current.version);
            let write = Write::put(next.key(), expect, encode(&next)?, "credential_replaced")
                .with_index(next.index());
            match self.commit(self.commit_for(caller).with_write(write)).await {
                Ok(committed) => {
                    // Nobody names it any more; what a crash leaves is forgotten later.
                    stored.secrets().forget(&current.record.secret_name()?).await?;
                    let version = committed.version_of(&next.key()).unwrap_or(current.version + 1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Returns a credential, or `None` when there never was one of this id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn credential(&self, id: CredentialId) -> Result<Option<Stamped<CredentialRecord>>> {
        let stored = self.0.store.load(&CredentialRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<CredentialRecord>).transpose()
    }

    /// Returns one page of an owner's credentials that are not deleted.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_credentials(
        &self,
        owner: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<CredentialRecord>>> {
        let query = ListQuery::new(CredentialRecord::KIND)
            .with_filter(CredentialRecord::BY_OWNER, owner)
            .with_after(after)
            .with_limit(limit);
        Ok(readable(&self.0.store.list(&query).await?))
    }

    /// Asks for a credential to be deleted. Repeatable. From now on nothing is bought with it; its
    /// secret is forgotten once its vendor lists nothing of this installation. Where something turns
    /// up, it is active again and its record says why.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while a node that was bought with it is not deleted; what the store
    /// answered.
    pub async fn delete_credential(
        &self,
        id: CredentialId,
        caller: &Caller,
    ) -> Result<Stamped<CredentialRecord>> {
        let current = self.credential(id).await?.ok_or_else(|| unknown(id))?;
        if current.record.state == CredentialState::Active
            && let Some(node) = self.node_of(&current.record.provider_name()?).await?
        {
            let message =
                format!("the credential {id} is needed: the node {} is not deleted", node.id);
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_hint("delete the workspaces on it, or the node with `sam node rm`, first"));
        }
        let now = self.0.clock.now();
        let retired = |record: &CredentialRecord| {
            let next = record.moved_to(CredentialState::Retiring, now);
            (record.state == CredentialState::Active).then_some(next)
        };
        let key = CredentialRecord::key_of(id);
        self.update(key, "credential_deletion_requested", caller, retired).await
    }

    /// Forgets tokens that no record names: what a crash left between keeping one and writing its
    /// record, or between the two of a replacement. They are left alone for an hour, so that none goes
    /// whose record is just being written. Returns how many; repeatable.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when a record cannot be read, and then nothing is forgotten.
    pub async fn forget_unnamed_tokens(&self) -> Result<u64> {
        let Some(secrets) = &self.0.secrets else { return Ok(0) };
        let mut named = BTreeSet::new();
        let mut after = None;
        loop {
            let query = ListQuery::new(CredentialRecord::KIND)
                .with_after(after)
                .with_limit(ListQuery::LIMIT_MAX);
            let page = self.0.store.list(&query).await?;
            for stored in &page.items {
                let record = decode::<CredentialRecord>(stored)?.record;
                if record.state != CredentialState::Deleted {
                    named.insert(record.secret_name()?);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let prefix = CredentialRecord::SECRETS.parse()?;
        secrets.forget_unnamed(&prefix, &named, Secrets::UNNAMED_FOR_MIN).await
    }

    /// Returns the provider that a caller means: of its own credential where it has one for that
    /// vendor, else the installation's.
    pub(super) async fn provider_meant(
        &self,
        name: &ProviderName,
        caller: &Caller,
    ) -> Result<ProviderName> {
        let owner = caller.actor().as_str();
        if let Some(id) = name.credential() {
            let found = self.credential(id).await?.map(|found| found.record);
            // What belongs to others does not exist.
            let mine = found.filter(|it| it.owner == owner && it.state == CredentialState::Active);
            return match mine {
                Some(record) if record.provider_name()? == *name => Ok(name.clone()),
                _ => Err(unknown_provider(name)),
            };
        }
        let page = self.list_credentials(owner, None, ListQuery::LIMIT_MAX).await?;
        let mut own = page.items.iter().map(|found| &found.record);
        let mut own = own
            .by_ref()
            .filter(|it| it.vendor == name.vendor() && it.state == CredentialState::Active);
        match (own.next(), own.next()) {
            (Some(one), None) => one.provider_name(),
            (Some(one), Some(other)) => {
                let message = format!("there are several credentials for {name}");
                let (one, other) = (one.provider_name()?, other.provider_name()?);
                Err(Error::new(ErrorKind::BadInput, message)
                    .with_hint(format!("say which one: {one} or {other}")))
            }
            (None, _) => match self.0.providers.provider(name).await {
                Ok(_) => Ok(name.clone()),
                Err(error) => Err(match error.hint() {
                    Some(hint) => unknown_provider(name).with_hint(hint),
                    None => unknown_provider(name),
                }),
            },
        }
    }

    /// Returns a node that was bought from a provider and is not deleted.
    async fn node_of(&self, provider: &ProviderName) -> Result<Option<NodeRecord>> {
        let query = ListQuery::new(NodeRecord::KIND)
            .with_filter(NodeRecord::BY_PROVIDER, provider.as_str())
            .with_limit(1);
        let page = self.0.store.list(&query).await?;
        let found = page.items.first().map(decode::<NodeRecord>).transpose()?;
        Ok(found.map(|found| found.record))
    }
}

fn bytes(secret: &Secret<String>) -> Secret<Vec<u8>> {
    Secret::new(secret.expose().as_bytes().to_vec())
}

fn unknown(id: CredentialId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no credential {id}"))
        .with_hint("`sam credential ls` lists them")
}

fn unknown_provider(name: &ProviderName) -> Error {
    Error::new(ErrorKind::BadInput, format!("no provider {name} is configured"))
        .with_hint("`sam providers` and `sam credential ls` list them")
}

/// What whoever gave a token is told when its vendor refuses it: that is no refusal of the caller.
fn refused(vendor: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Denied => {
            let message = format!("{vendor} does not accept the token");
            Error::new(ErrorKind::BadInput, message)
                .with_hint("make one that may read and write, and give that")
                .with_source(error)
        }
        _ => error,
    }
}

fn taken(error: CommitError, name: &str) -> Error {
    match error {
        CommitError::Refused(Refusal::UniqueTaken { .. }) => {
            Error::new(ErrorKind::AlreadyExists, format!("there is a credential called {name:?}"))
                .with_hint("choose another name, or delete that one first")
        }
        error => error.into(),
    }
}
