//! What every [`SecretStore`] must do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use super::{Failure, Outcome, always, cases, ensure, ensure_eq};
use crate::Secret;
use crate::entropy::SeededEntropy;
use crate::keys::{KeyManager as _, MemoryKeys, Sealed, SecretOwner};
use crate::secrets::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};

/// Most pages a listing may have.
const PAGES_MAX: usize = 1_000;

/// Longer than any case takes between two calls.
const SPAN: Duration = Duration::from_mins(90);

/// A store of secrets under test.
#[async_trait]
pub trait SecretsHarness: fmt::Debug + Send + Sync {
    /// Returns the store.
    fn secrets(&self) -> &dyn SecretStore;

    /// Returns what the names of nobody else's secrets begin with; at most 100 bytes.
    fn prefix(&self) -> SecretOwner;

    /// Lets time pass at the store.
    async fn pass(&self, span: Duration);
}

cases! {
    SecretsHarness, Scope;
    "SecretStore C1", always {
        what_was_put_comes_back_to_the_byte,
        a_put_replaces_the_whole_secret,
        a_put_may_be_repeated,
        a_reader_sees_all_of_one_put,
    }
    "SecretStore C2", always { only_what_was_put_under_this_very_name_is_there }
    "SecretStore C3", always {
        deleting_the_absent_succeeds,
        one_is_deleted_and_nothing_beside_it,
    }
    "SecretStore C4", always {
        what_is_expected_is_replaced,
        a_replacement_overwrites_nothing_newer,
        a_replacement_brings_nothing_deleted_back,
        of_concurrent_replacements_one_succeeds,
    }
    "SecretStore C5", always {
        a_listing_is_in_the_order_of_bytes,
        a_listing_names_the_key_that_opens,
        a_prefix_is_taken_character_by_character,
        pages_are_no_larger_than_asked_and_go_on_where_they_ended,
        what_is_kept_all_the_time_is_listed_once_while_others_write,
    }
    "SecretStore C6", always { the_time_since_the_last_put_is_told }
    "SecretStore C7", always {
        the_longest_name_is_taken,
        the_smallest_and_the_largest_secret_are_taken,
        every_legal_character_is_taken,
    }
}

/// The store, the place in it that is the case's own, and keys to seal with.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn SecretsHarness,
    prefix: SecretOwner,
    keys: MemoryKeys,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn SecretsHarness) -> Result<Self, Failure> {
        let keys = MemoryKeys::new(Arc::new(SeededEntropy::new(3)));
        Ok(Self { harness, prefix: harness.prefix(), keys })
    }

    fn store(&self) -> &dyn SecretStore {
        self.harness.secrets()
    }

    fn name(&self, rest: &str) -> Result<SecretOwner, Failure> {
        Ok(format!("{}{rest}", self.prefix).parse()?)
    }

    /// Seals; twice gives different bytes.
    async fn seal(&self, name: &SecretOwner, plain: &[u8]) -> Result<Sealed, Failure> {
        Ok(self.keys.wrap(&Secret::new(plain.to_vec()), name).await?)
    }

    /// Seals and puts.
    async fn put(&self, name: &SecretOwner) -> Result<Sealed, Failure> {
        let sealed = self.seal(name, b"conformance").await?;
        self.store().put_secret(name, &sealed).await?;
        Ok(sealed)
    }

    async fn ensure_kept(
        &self,
        name: &SecretOwner,
        sealed: Option<&Sealed>,
        when: &str,
    ) -> Outcome {
        let found = self.store().secret(name).await?;
        let same = found.as_ref() == sealed;
        ensure!(same, "{when}: {name} holds {found:?}, not the bytes of {sealed:?}");
        Ok(())
    }

    async fn listed(&self, mut query: ListSecrets) -> Result<Vec<SecretEntry>, Failure> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.store().list_secrets(&query).await?;
            let (found, most) = (page.items.len(), query.page_size());
            ensure!(found <= most, "a page of {found}, but at most {most} were asked for");
            all.extend(page.items);
            match page.next {
                None => return Ok(all),
                next => query.after = next,
            }
        }
        Err(Failure::new(format!("the listing has more than {PAGES_MAX} pages")))
    }

    async fn names(&self, query: ListSecrets) -> Result<Vec<SecretOwner>, Failure> {
        Ok(self.listed(query).await?.into_iter().map(|entry| entry.name).collect())
    }

    fn mine(&self) -> ListSecrets {
        ListSecrets::new().with_prefix(Some(self.prefix.clone()))
    }

    async fn close(&self) -> Outcome {
        for name in self.names(self.mine()).await? {
            self.store().delete_secret(&name).await?;
        }
        let left = self.names(self.mine()).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

async fn what_was_put_comes_back_to_the_byte(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    scope.ensure_kept(&name, None, "before the put").await?;
    let sealed = scope.put(&name).await?;
    // Reading takes nothing away.
    for _ in 0..2 {
        scope.ensure_kept(&name, Some(&sealed), "after the put").await?;
    }
    let kept = scope.store().secret(&name).await?;
    let kept = kept.ok_or_else(|| Failure::new("put, but not found"))?;
    let opened = scope.keys.unwrap(&kept, &name).await?;
    ensure!(opened.expose() == b"conformance", "another secret came back");
    Ok(())
}

async fn a_put_replaces_the_whole_secret(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let long = scope.seal(&name, &[7; 1_000]).await?;
    scope.store().put_secret(&name, &long).await?;
    scope.keys.add("k2".parse()?, Secret::new([2; 32]))?;
    let short = scope.seal(&name, b"x").await?;
    scope.store().put_secret(&name, &short).await?;
    scope.ensure_kept(&name, Some(&short), "after the second put").await?;
    let listed = scope.listed(scope.mine()).await?;
    ensure_eq!(listed.len(), 1, "secrets after two puts under one name");
    ensure_eq!(listed[0].key_id, *short.key_id(), "the key after the second put");
    Ok(())
}

async fn a_put_may_be_repeated(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let sealed = scope.put(&name).await?;
    for _ in 0..3 {
        scope.store().put_secret(&name, &sealed).await?;
        scope.ensure_kept(&name, Some(&sealed), "put again").await?;
    }
    ensure_eq!(scope.names(scope.mine()).await?, [name], "after a repeated put");
    Ok(())
}

async fn a_reader_sees_all_of_one_put(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let mut secrets = Vec::new();
    for size in [40_000, 20_000, 1] {
        secrets.push(scope.seal(&name, &vec![7; size]).await?);
    }
    scope.store().put_secret(&name, &secrets[0]).await?;
    let write = async {
        for sealed in secrets.iter().cycle().take(12) {
            scope.store().put_secret(&name, sealed).await?;
        }
        Ok::<(), Failure>(())
    };
    let read = async {
        for _ in 0..12 {
            let found = scope.store().secret(&name).await?;
            let whole = found.as_ref().is_some_and(|found| secrets.contains(found));
            ensure!(whole, "read {found:?}, which nobody put");
        }
        Ok(())
    };
    let (written, read) = join(write, read).await;
    written.and(read)
}

async fn only_what_was_put_under_this_very_name_is_there(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a/B_%")?;
    let sealed = scope.put(&name).await?;
    for other in ["a", "a/", "a/B_", "a/b_%", "A/B_%", "a/B_%%", "a/BX%", "a/B_x", "B_%"] {
        scope.ensure_kept(&scope.name(other)?, None, "never put").await?;
    }
    scope.ensure_kept(&name, Some(&sealed), "beside others").await
}

async fn deleting_the_absent_succeeds(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    scope.store().delete_secret(&name).await?;
    scope.put(&name).await?;
    for _ in 0..2 {
        scope.store().delete_secret(&name).await?;
    }
    scope.ensure_kept(&name, None, "after the deletion").await
}

async fn one_is_deleted_and_nothing_beside_it(scope: &Scope<'_>) -> Outcome {
    let mut kept = Vec::new();
    for rest in ["a", "a/1", "A", "a_1", "ab"] {
        let name = scope.name(rest)?;
        let sealed = scope.put(&name).await?;
        kept.push((name, sealed));
    }
    let (gone, _) = kept.remove(0);
    scope.store().delete_secret(&gone).await?;
    scope.ensure_kept(&gone, None, "deleted").await?;
    let listed = scope.names(scope.mine()).await?;
    ensure!(!listed.contains(&gone), "deleted, but listed: {listed:?}");
    for (name, sealed) in &kept {
        scope.ensure_kept(name, Some(sealed), "beside the deleted one").await?;
    }
    // What is put again is there again.
    let again = scope.put(&gone).await?;
    scope.ensure_kept(&gone, Some(&again), "put again").await
}

async fn what_is_expected_is_replaced(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let first = scope.put(&name).await?;
    scope.keys.add("k2".parse()?, Secret::new([2; 32]))?;
    let second = scope.seal(&name, b"conformance").await?;
    let request = ReplaceSecret::new(name.clone(), first, second.clone());
    ensure!(scope.store().replace_secret(&request).await?, "the expected one was not replaced");
    scope.ensure_kept(&name, Some(&second), "after the replacement").await?;
    let listed = scope.listed(scope.mine()).await?;
    let keys: Vec<_> = listed.iter().map(|entry| entry.key_id.as_str()).collect();
    ensure_eq!(keys, ["k2"], "the keys after the replacement");
    // Repeated, it finds its own work, which is not what it expects.
    ensure!(!scope.store().replace_secret(&request).await?, "replaced twice by one request");
    scope.ensure_kept(&name, Some(&second), "after the repetition").await
}

async fn a_replacement_overwrites_nothing_newer(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let old = scope.put(&name).await?;
    // The same plain text under the same key: only the bytes differ.
    let newer = scope.put(&name).await?;
    let late = scope.seal(&name, b"conformance").await?;
    let request = ReplaceSecret::new(name.clone(), old, late);
    ensure!(!scope.store().replace_secret(&request).await?, "a newer secret was replaced");
    scope.ensure_kept(&name, Some(&newer), "after the refusal").await
}

async fn a_replacement_brings_nothing_deleted_back(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let old = scope.put(&name).await?;
    scope.store().delete_secret(&name).await?;
    let late = scope.seal(&name, b"conformance").await?;
    let request = ReplaceSecret::new(name.clone(), old, late);
    ensure!(!scope.store().replace_secret(&request).await?, "a deleted secret was replaced");
    scope.ensure_kept(&name, None, "after the refusal").await?;
    let listed = scope.names(scope.mine()).await?;
    ensure!(listed.is_empty(), "deleted, but listed: {listed:?}");
    Ok(())
}

async fn of_concurrent_replacements_one_succeeds(scope: &Scope<'_>) -> Outcome {
    let name = scope.name("a")?;
    let first = scope.put(&name).await?;
    let mut requests = Vec::new();
    for _ in 0..8 {
        let sealed = scope.seal(&name, b"conformance").await?;
        requests.push(ReplaceSecret::new(name.clone(), first.clone(), sealed));
    }
    let replaced = requests.iter().map(|request| scope.store().replace_secret(request));
    let mut winners = Vec::new();
    for (request, replaced) in requests.iter().zip(join_all(replaced).await) {
        if replaced? {
            winners.push(&request.sealed);
        }
    }
    ensure!(winners.len() == 1, "{} of 8 replaced the same secret", winners.len());
    scope.ensure_kept(&name, Some(winners[0]), "after the race").await
}

async fn a_listing_is_in_the_order_of_bytes(scope: &Scope<'_>) -> Outcome {
    let mut names = Vec::new();
    for rest in ["b", "a/2", "a/10", "a", "ab/1", "a-b", "A", "a.b/c", "_", "~", "!"] {
        names.push(scope.name(rest)?);
    }
    for name in &names {
        scope.put(name).await?;
    }
    names.sort();
    ensure_eq!(scope.names(scope.mine()).await?, names, "what is listed");
    // Without a prefix the same are there, among others that may be.
    let all = scope.names(ListSecrets::new()).await?;
    ensure!(all.is_sorted_by(|one, other| one < other), "not in order, or twice: {all:?}");
    let missing = names.iter().find(|name| !all.contains(name));
    ensure!(missing.is_none(), "{missing:?} is not listed without a prefix");
    Ok(())
}

async fn a_listing_names_the_key_that_opens(scope: &Scope<'_>) -> Outcome {
    for (rest, key) in [("a", "k1"), ("b", "Key.2_-"), ("c", "k3")] {
        if key != "k1" {
            scope.keys.add(key.parse()?, Secret::new([9; 32]))?;
        }
        scope.put(&scope.name(rest)?).await?;
    }
    let listed = scope.listed(scope.mine()).await?;
    let keys: Vec<_> = listed.iter().map(|entry| entry.key_id.as_str()).collect();
    ensure_eq!(keys, ["k1", "Key.2_-", "k3"], "the keys that are listed");
    Ok(())
}

async fn a_prefix_is_taken_character_by_character(scope: &Scope<'_>) -> Outcome {
    let mut under = Vec::new();
    // Characters that mean something in patterns of databases are themselves here.
    for rest in ["c_%/1", "c_%/~~", "c_%/10/x"] {
        under.push(scope.name(rest)?);
    }
    for rest in ["c_%", "c_%0", "cx%/1", "c_x/1", "C_%/1", "b", "d"] {
        scope.put(&scope.name(rest)?).await?;
    }
    for name in &under {
        scope.put(name).await?;
    }
    under.sort();
    let query = ListSecrets::new().with_prefix(Some(scope.name("c_%/")?));
    ensure_eq!(scope.names(query.clone()).await?, under, "under the prefix");
    ensure_eq!(scope.names(query.with_limit(1)).await?, under, "page by page");
    let one = ListSecrets::new().with_prefix(Some(under[0].clone()));
    ensure_eq!(scope.names(one).await?, under[..2], "a whole name is a prefix, too");
    Ok(())
}

async fn pages_are_no_larger_than_asked_and_go_on_where_they_ended(scope: &Scope<'_>) -> Outcome {
    let mut names = Vec::new();
    for number in 0..7 {
        let name = scope.name(&number.to_string())?;
        scope.put(&name).await?;
        names.push(name);
    }
    // `listed` looks at the size of each page. Zero is cut to one.
    for limit in [0, 1, 2, 3, 6, 7, 8, usize::MAX] {
        let query = scope.mine().with_limit(limit);
        ensure_eq!(scope.names(query.clone()).await?, names, "pages of {limit}");
        let first = scope.store().list_secrets(&query).await?;
        let more = query.page_size() < names.len();
        ensure_eq!(first.next.is_some(), more, "more after a page of {limit}");
    }
    Ok(())
}

async fn what_is_kept_all_the_time_is_listed_once_while_others_write(scope: &Scope<'_>) -> Outcome {
    let mut kept = Vec::new();
    for number in [10, 20, 30, 40, 50] {
        let name = scope.name(&number.to_string())?;
        scope.put(&name).await?;
        kept.push(name);
    }
    let passing = [scope.name("05")?, scope.name("25")?, scope.name("55")?];
    let mut query = scope.mine().with_limit(2);
    let mut seen = Vec::new();
    for round in 0..PAGES_MAX {
        let page = scope.store().list_secrets(&query).await?;
        seen.extend(page.items.into_iter().map(|entry| entry.name));
        for name in &passing {
            if round % 2 == 0 {
                scope.put(name).await?;
            } else {
                scope.store().delete_secret(name).await?;
            }
        }
        // Where the listing stood is deleted, too, and it goes on all the same.
        if let Some(last) = seen.last().filter(|last| passing.contains(last)) {
            scope.store().delete_secret(last).await?;
        }
        match page.next {
            None => break,
            next => query.after = next,
        }
    }
    seen.retain(|name| !passing.contains(name));
    ensure_eq!(seen, kept, "listed while others wrote");
    Ok(())
}

async fn the_time_since_the_last_put_is_told(scope: &Scope<'_>) -> Outcome {
    let (old, replaced, again) = (scope.name("old")?, scope.name("replaced")?, scope.name("x")?);
    let sealed = scope.put(&replaced).await?;
    scope.put(&old).await?;
    scope.put(&again).await?;
    scope.harness.pass(SPAN).await;
    let other = scope.seal(&replaced, b"other").await?;
    let request = ReplaceSecret::new(replaced.clone(), sealed, other);
    ensure!(scope.store().replace_secret(&request).await?, "the expected one was not replaced");
    scope.put(&again).await?;
    for entry in scope.listed(scope.mine()).await? {
        let (name, kept_for) = (&entry.name, entry.kept_for);
        // Twice the span is room for a slow store.
        let right =
            if *name == again { kept_for < SPAN } else { kept_for >= SPAN && kept_for < SPAN * 2 };
        ensure!(right, "{name} is kept for {kept_for:?}, after {SPAN:?}");
    }
    Ok(())
}

async fn the_longest_name_is_taken(scope: &Scope<'_>) -> Outcome {
    let room = SecretOwner::BYTES_MAX - scope.prefix.as_str().len();
    let longest = scope.name(&"n".repeat(room))?;
    let shorter = scope.name(&"n".repeat(room - 1))?;
    let (first, second) = (scope.put(&longest).await?, scope.put(&shorter).await?);
    scope.ensure_kept(&longest, Some(&first), "the longest name").await?;
    scope.ensure_kept(&shorter, Some(&second), "one byte less").await?;
    let query = ListSecrets::new().with_prefix(Some(longest.clone()));
    ensure_eq!(scope.names(query).await?, [longest], "the longest name as a prefix");
    Ok(())
}

async fn the_smallest_and_the_largest_secret_are_taken(scope: &Scope<'_>) -> Outcome {
    let bytes = |count: usize| (0..=255_u8).cycle().take(count).collect::<Vec<u8>>();
    for (rest, size) in [("smallest", 0), ("largest", Sealed::PLAIN_BYTES_MAX)] {
        let name = scope.name(rest)?;
        let sealed = scope.seal(&name, &bytes(size)).await?;
        scope.store().put_secret(&name, &sealed).await?;
        scope.ensure_kept(&name, Some(&sealed), rest).await?;
    }
    Ok(())
}

async fn every_legal_character_is_taken(scope: &Scope<'_>) -> Outcome {
    let legal: String = ('!'..='~').collect();
    let name = scope.name(&legal)?;
    let sealed = scope.put(&name).await?;
    scope.ensure_kept(&name, Some(&sealed), "a name of every character").await?;
    ensure_eq!(scope.names(scope.mine()).await?, [name], "a name of every character");
    Ok(())
}
