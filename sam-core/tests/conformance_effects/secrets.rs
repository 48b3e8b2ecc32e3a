//! Sealed secrets in memory, and flawed stores of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::keys::{Sealed, SecretOwner};
use sam_core::secrets::{ListSecrets, MemorySecrets, ReplaceSecret, SecretEntry, SecretStore};
use sam_core::testkit::conformance::secrets::{self, SecretsHarness};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{ErrorKind, Page, Result};

use super::refuse;

/// A store, seen through something that wraps it.
#[derive(Debug)]
struct Over<S> {
    secrets: S,
    clock: ManualClock,
}

impl<S: SecretStore> Over<S> {
    fn new(wrap: impl Fn(MemorySecrets) -> S) -> Self {
        let clock = ManualClock::new(Timestamp::EPOCH);
        Self { secrets: wrap(MemorySecrets::new(Arc::new(clock.clone()))), clock }
    }
}

#[async_trait]
impl<S: SecretStore> SecretsHarness for Over<S> {
    fn secrets(&self) -> &dyn SecretStore {
        &self.secrets
    }

    fn prefix(&self) -> SecretOwner {
        "conformance/1/".parse().unwrap()
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

impl<S: SecretStore> Harness for Over<S> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    BringsBack,
    DeletesBelow,
    DropsThePage,
    FirstPutWins,
    FoldsCase,
    IgnoresTheExpected,
    IgnoresTheLimit,
    IgnoresThePrefix,
    KeepsTheTail,
    ListsBackwards,
    MissesTheAbsent,
    NamesTheFirstKey,
    PrefixOfSegments,
    PutsOnce,
    ReplacesTwice,
    ReplacingIsPutting,
    ShortensNames,
    ShowsDeleted,
    TakesLittle,
    TellsNoTime,
}

const FLAWS: [(Flaw, &str); 21] = [
    (Flaw::FirstPutWins, "a_put_replaces_the_whole_secret"),
    (Flaw::KeepsTheTail, "a_reader_sees_all_of_one_put"),
    (Flaw::PutsOnce, "a_put_may_be_repeated"),
    (Flaw::FoldsCase, "only_what_was_put_under_this_very_name_is_there"),
    (Flaw::FoldsCase, "one_is_deleted_and_nothing_beside_it"),
    (Flaw::MissesTheAbsent, "deleting_the_absent_succeeds"),
    (Flaw::DeletesBelow, "one_is_deleted_and_nothing_beside_it"),
    (Flaw::ShowsDeleted, "one_is_deleted_and_nothing_beside_it"),
    (Flaw::ReplacesTwice, "what_is_expected_is_replaced"),
    (Flaw::IgnoresTheExpected, "a_replacement_overwrites_nothing_newer"),
    (Flaw::BringsBack, "a_replacement_brings_nothing_deleted_back"),
    (Flaw::IgnoresTheExpected, "of_concurrent_replacements_one_succeeds"),
    (Flaw::ListsBackwards, "a_listing_is_in_the_order_of_bytes"),
    (Flaw::NamesTheFirstKey, "a_listing_names_the_key_that_opens"),
    (Flaw::IgnoresThePrefix, "a_prefix_is_taken_character_by_character"),
    (Flaw::PrefixOfSegments, "a_prefix_is_taken_character_by_character"),
    (Flaw::DropsThePage, "pages_are_no_larger_than_asked_and_go_on_where_they_ended"),
    (Flaw::IgnoresTheLimit, "pages_are_no_larger_than_asked_and_go_on_where_they_ended"),
    (Flaw::DropsThePage, "what_is_kept_all_the_time_is_listed_once_while_others_write"),
    (Flaw::TellsNoTime, "the_time_since_the_last_put_is_told"),
    (Flaw::ReplacingIsPutting, "the_time_since_the_last_put_is_told"),
];

/// Those that lose what they were given.
const LOSSES: [(Flaw, &str); 2] = [
    (Flaw::ShortensNames, "the_longest_name_is_taken"),
    (Flaw::TakesLittle, "the_smallest_and_the_largest_secret_are_taken"),
];

#[derive(Debug)]
struct Flawed {
    inner: MemorySecrets,
    flaw: Flaw,
    deleted: Mutex<BTreeMap<SecretOwner, Sealed>>,
}

impl Flawed {
    fn over(flaw: Flaw) -> Over<Self> {
        Over::new(|inner| Self { inner, flaw, deleted: Mutex::default() })
    }

    fn name(&self, name: &SecretOwner) -> SecretOwner {
        match self.flaw {
            Flaw::FoldsCase => name.as_str().to_lowercase().parse().unwrap(),
            Flaw::ShortensNames => {
                name.as_str().chars().take(128).collect::<String>().parse().unwrap()
            }
            _ => name.clone(),
        }
    }

    async fn all(&self) -> Result<Vec<SecretEntry>> {
        Ok(self.inner.list_secrets(&ListSecrets::new()).await?.items)
    }
}

#[async_trait]
impl SecretStore for Flawed {
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
        let name = self.name(name);
        match (self.flaw, self.inner.secret(&name).await?) {
            (Flaw::FirstPutWins, Some(_)) => Ok(()),
            (Flaw::KeepsTheTail, Some(there)) => {
                let mut bytes = sealed.as_bytes().to_vec();
                bytes.extend(there.as_bytes().iter().skip(bytes.len()));
                self.inner.put_secret(&name, &Sealed::from_bytes(bytes)?).await
            }
            (Flaw::PutsOnce, Some(_)) => Err(refuse(ErrorKind::AlreadyExists)),
            (Flaw::TakesLittle, _) if sealed.as_bytes().len() > 60_000 => {
                Err(refuse(ErrorKind::BadInput))
            }
            _ => self.inner.put_secret(&name, sealed).await,
        }
    }

    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
        let (name, kept) = (&request.name, self.inner.secret(&request.name).await?);
        let put = match self.flaw {
            Flaw::IgnoresTheExpected => kept.is_some(),
            Flaw::BringsBack => kept.is_none_or(|kept| kept == request.expected),
            Flaw::ReplacesTwice => {
                kept.is_some_and(|kept| kept == request.expected || kept == request.sealed)
            }
            Flaw::ReplacingIsPutting => kept.is_some_and(|kept| kept == request.expected),
            _ => return self.inner.replace_secret(request).await,
        };
        if put {
            self.inner.put_secret(name, &request.sealed).await?;
        }
        Ok(put)
    }

    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
        let name = self.name(name);
        if self.flaw == Flaw::ShowsDeleted
            && let Some(sealed) = self.deleted.lock().unwrap().get(&name)
        {
            return Ok(Some(sealed.clone()));
        }
        self.inner.secret(&name).await
    }

    async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
        let name = self.name(name);
        match (self.flaw, self.inner.secret(&name).await?) {
            (Flaw::MissesTheAbsent, None) => return Err(refuse(ErrorKind::NotFound)),
            (Flaw::ShowsDeleted, Some(sealed)) => {
                self.deleted.lock().unwrap().insert(name.clone(), sealed);
            }
            (Flaw::DeletesBelow, _) => {
                for entry in self.all().await? {
                    if entry.name.as_str().starts_with(name.as_str()) {
                        self.inner.delete_secret(&entry.name).await?;
                    }
                }
            }
            _ => {}
        }
        self.inner.delete_secret(&name).await
    }

    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
        let mut query = query.clone();
        match self.flaw {
            Flaw::IgnoresTheLimit => query.limit = ListSecrets::LIMIT_MAX,
            Flaw::IgnoresThePrefix => query.prefix = None,
            Flaw::PrefixOfSegments => {
                let prefix = query.prefix.map(|prefix| prefix.as_str().replace('_', "c"));
                query.prefix = prefix.map(|prefix| prefix.parse().unwrap());
            }
            _ => {}
        }
        let mut page = self.inner.list_secrets(&query).await?;
        match self.flaw {
            Flaw::DropsThePage => page.next = None,
            Flaw::ListsBackwards => page.items.reverse(),
            Flaw::NamesTheFirstKey => {
                page.items.iter_mut().for_each(|entry| entry.key_id = "k1".parse().unwrap());
            }
            Flaw::TellsNoTime => {
                page.items.iter_mut().for_each(|entry| entry.kept_for = Duration::ZERO);
            }
            _ => {}
        }
        Ok(page)
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let mut all = secrets::trials("secrets::memory", "", || Over::new(|inner| inner));
    all.extend(secrets::trials("secrets::memory_in_arc", "", || {
        Over::new(|inner| -> Arc<dyn SecretStore> { Arc::new(inner) })
    }));
    all.extend(secrets::trials("secrets::memory_in_box", "", || {
        Over::new(|inner| -> Box<dyn SecretStore> { Box::new(inner) })
    }));
    all.extend(FLAWS.into_iter().chain(LOSSES).map(|(flaw, case)| {
        secrets::notices(&format!("{flaw:?}"), case, move || Flawed::over(flaw))
    }));
    all
}
