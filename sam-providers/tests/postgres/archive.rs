//! Backup and restore through the portable archive, from one store to another.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::keys::SecretOwner;
use sam_core::secrets::{ListSecrets, SecretStore};
use sam_core::store::{
    CommitError, Cursor, Due, Feed, LeaseUse, ListQuery, Record, Refusal, Rev, Store, UniqueChange,
    Unrevised,
};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{ErrorKind, Restore};
use sam_providers::postgres::PgStore;
use tempfile::TempDir;

use super::restored::{self, Opened, Stores};
use super::secrets::seal;
use super::support::{Place, THING, commit, feed, head, key, put, request};

const LEASE: Duration = Duration::from_mins(5);
const RECORDS: u128 = 250;
/// More than are written at once.
const SECRETS: usize = 150;

fn name(holder: &str) -> UniqueChange {
    UniqueChange::Claim { space: "thing_name", key: "name \"é\"".to_owned(), holder: key(holder) }
}

/// Fills a store with something of every sort; returns the lease that is held.
async fn fill(store: &(impl Store + SecretStore)) -> sam_core::store::Lease {
    let index = [Some("x".to_owned()), None, Some(String::new())];
    let body = "{ \"odd\":  1, \"text\": \"\\u0000\u{1F600}\" }";
    let leased = put("leased", body).with_index(index).with_due(Due::NOW);
    store.commit(commit(1).with_write(leased).with_unique(name("leased"))).await.unwrap();
    let claim = store.claim_due(&request("worker", 1, LEASE)).await.unwrap().claims.remove(0);
    let later = put("later", "{}").with_due(Due::In(LEASE * 3));
    store.commit(commit(2).with_write(later)).await.unwrap();
    store.commit(commit(3).with_wake(key("later"))).await.unwrap();
    let later = put("later", "{}").with_due(Due::In(LEASE * 3));
    store.commit(commit(4).with_write(later).with_request_id(Some("r".to_owned()))).await.unwrap();
    for number in 0..RECORDS {
        store.commit(commit(10 + number).with_write(put(number, "{}"))).await.unwrap();
    }
    let gone = sam_core::store::Write::delete(key(7), sam_core::store::Expect::Anything, "gone");
    store.commit(commit(5).with_write(gone)).await.unwrap();
    for number in 0..SECRETS {
        let name = secret(number);
        store.put_secret(&name, &seal(&name, 1).await).await.unwrap();
    }
    claim.lease
}

fn secret(number: usize) -> SecretOwner {
    format!("credential/{number}").parse().unwrap()
}

async fn secrets(store: &impl SecretStore) -> usize {
    store.list_secrets(&ListSecrets::new()).await.unwrap().items.len()
}

async fn records(store: &impl Store) -> Vec<Record> {
    let (mut all, mut query) = (Vec::new(), ListQuery::new(THING).with_limit(100));
    loop {
        let page = store.list(&query).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => query = query.with_after(Some(next)),
            None => return all,
        }
    }
}

/// Checks everything that a restored store must keep, and what it must not.
async fn check(
    restored: &(impl Store + SecretStore),
    original: &[Record],
    (cursor, old): (&Cursor, sam_core::store::Lease),
) {
    assert_eq!(records(restored).await, original);
    assert_eq!(secrets(restored).await, SECRETS);
    for number in [0, 99, SECRETS - 1] {
        let name = secret(number);
        assert_eq!(restored.secret(&name).await.unwrap(), Some(seal(&name, 1).await));
    }
    let Feed::Stale { head, .. } = restored.changes(Some(cursor), 10).await.unwrap() else {
        panic!("a cursor of the old epoch is taken for a new one")
    };
    assert_eq!(head.rev, cursor.rev);
    for id in [1, 3, 10] {
        assert!(restored.outcome(commit(id).id).await.unwrap().is_some(), "{id} is forgotten");
    }
    let under = commit(1_000).with_write(put("leased", "{}"));
    let refused = restored.commit(under.with_lease(LeaseUse::Keep(old.clone()))).await;
    assert!(matches!(refused, Err(CommitError::Refused(Refusal::LeaseLost { .. }))), "{refused:?}");
    let taken = restored.commit(commit(1_001).with_unique(name("later"))).await;
    assert!(matches!(taken, Err(CommitError::Refused(Refusal::UniqueTaken { .. }))), "{taken:?}");
    let claims = restored.claim_due(&request("new", 9, LEASE)).await.unwrap();
    let due: Vec<_> = claims.claims.iter().map(|claim| claim.lease.key.id.as_str()).collect();
    assert_eq!(due, ["leased"], "what was leased is due, what is due later is not");
    assert!(claims.claims[0].lease.epoch > old.epoch);
    let next = restored.commit(commit(1_002).with_write(put("next", "{}"))).await.unwrap();
    assert_eq!(next.rev, Rev(cursor.rev.0 + 1));
}

/// Two schemas, and a file between them.
struct Schemas {
    original: Place,
    restored: Place,
    /// Whether there is a second one yet.
    is_restored: AtomicBool,
    clock: ManualClock,
    archive: Archive,
}

impl Schemas {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let (original, restored) = (Place::new(), Place::new());
        let is_restored = AtomicBool::new(false);
        Self { original, restored, is_restored, clock, archive: Archive::new() }
    }
}

#[async_trait]
impl Stores for Schemas {
    async fn original(&self) -> Opened {
        Opened::new(self.original.open().await)
    }

    async fn back_up(&self) {
        let store = self.original.open().await;
        store.export(&self.archive.path, Some("home")).await.unwrap();
        store.close().await;
    }

    async fn restored(&self, rule: &Restore) -> Opened {
        let store = self.restored.open().await;
        self.is_restored.store(true, Ordering::Relaxed);
        store.import(&self.archive.path, rule).await.unwrap();
        store.integrity_check().await.unwrap();
        Opened::new(store)
    }

    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.original.advance(span);
        if self.is_restored.load(Ordering::Relaxed) {
            self.restored.advance(span);
        }
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }
}

pub(crate) async fn a_replacement_forgets_no_machine_bought_since() {
    restored::a_replacement_forgets_no_machine_bought_since(&Schemas::new()).await;
}

pub(crate) async fn a_replacement_keeps_its_secrets() {
    restored::a_replacement_keeps_its_secrets(&Schemas::new()).await;
}

pub(crate) async fn a_copy_has_no_secret_of_the_original() {
    restored::a_copy_has_no_secret_of_the_original(&Schemas::new()).await;
}

pub(crate) async fn a_copy_never_touches_the_machines_of_the_original() {
    restored::a_copy_never_touches_the_machines_of_the_original(&Schemas::new()).await;
}

struct Archive {
    directory: TempDir,
    path: PathBuf,
}

impl Archive {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup.jsonl");
        Self { directory, path }
    }
}

pub(crate) async fn a_backup_is_restored_under_another_epoch_and_without_its_leases() {
    let (place, archive) = (Place::new(), Archive::new());
    let store = place.open().await;
    let lease = fill(&store).await;
    let (original, cursor) = (records(&store).await, head(&store).await);
    let summary = store.export(&archive.path, Some("installation-1")).await.unwrap();
    assert_eq!((summary.rev, summary.changes), (cursor.rev, cursor.rev.0));
    assert_eq!(summary.secrets, SECRETS as u64);
    let twice = store.export(&archive.path, None).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    // What is committed afterwards is not part of it.
    store.commit(commit(999).with_write(put("after", "{}"))).await.unwrap();

    let elsewhere = Place::new();
    let restored = elsewhere.open().await;
    assert_eq!(restored.import(&archive.path, &Unrevised).await.unwrap(), summary);
    assert_eq!(summary.installation.as_deref(), Some("installation-1"));
    let changes = feed(&restored, Rev(0)).await;
    assert_eq!(changes, feed(&store, Rev(0)).await[..changes.len()]);
    check(&restored, &original, (&cursor, lease)).await;
    restored.integrity_check().await.unwrap();
    let error = restored.import(&archive.path, &Unrevised).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "it is not empty any more");
}

pub(crate) async fn a_backup_that_was_cut_or_changed_restores_nothing() {
    let (place, archive) = (Place::new(), Archive::new());
    let store = place.open().await;
    fill(&store).await;
    store.export(&archive.path, None).await.unwrap();
    let whole = fs::read(&archive.path).unwrap();
    let elsewhere = Place::new();
    let restored = elsewhere.open().await;
    let fresh = head(&restored).await;
    let bad = archive.directory.path().join("bad.jsonl");
    let mut changed = whole.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let half = whole[..whole.len() / 2].to_vec();
    let without_end = whole[..whole.len() - 1].to_vec();
    for bytes in [Vec::new(), b"a diary\n".to_vec(), changed, half, without_end] {
        fs::write(&bad, bytes).unwrap();
        let error = restored.import(&bad, &Unrevised).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert_eq!(head(&restored).await, fresh);
        assert!(records(&restored).await.is_empty());
        assert_eq!(secrets(&restored).await, 0);
    }
    restored.import(&archive.path, &Unrevised).await.unwrap();
}

pub(crate) async fn an_archive_from_before_secrets_is_restored() {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/archive_1.jsonl");
    let place = Place::new();
    let store = place.open().await;
    let summary = store.import(archive, &Unrevised).await.unwrap();
    assert_eq!((summary.rev, summary.records, summary.secrets), (Rev(2), 1, 0));
    let record = store.load(&key("a")).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, r#"{"n":2}"#));
    store.integrity_check().await.unwrap();
}

pub(crate) async fn nothing_is_restored_over_a_secret() {
    let (place, archive) = (Place::new(), Archive::new());
    let store = place.open().await;
    store.export(&archive.path, None).await.unwrap();
    let name = secret(1);
    store.put_secret(&name, &seal(&name, 1).await).await.unwrap();
    let error = store.import(&archive.path, &Unrevised).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(secrets(&store).await, 1);
    store.delete_secret(&name).await.unwrap();
    store.import(&archive.path, &Unrevised).await.unwrap();
}

#[cfg(feature = "sqlite")]
pub(crate) async fn a_store_moves_from_sqlite_to_postgresql_and_back() {
    use sam_core::entropy::SeededEntropy;
    use sam_providers::sqlite::{SqliteOptions, SqliteStore};

    async fn end(store: &impl Store) -> Cursor {
        match store.changes(None, 0).await.unwrap() {
            Feed::Changes(changes) => changes.head,
            other => panic!("{other:?}"),
        }
    }
    let (archive, clock) = (Archive::new(), Arc::new(ManualClock::new(Timestamp::EPOCH)));
    let options = |seed| SqliteOptions::new(Arc::new(SeededEntropy::new(seed)));
    let path = |name: &str| -> PathBuf { archive.directory.path().join(name) };
    let small =
        SqliteStore::open(path("a.db"), Arc::<ManualClock>::clone(&clock), options(1)).unwrap();
    let lease = fill(&small).await;
    let (original, cursor) = (records(&small).await, end(&small).await);
    small.export(&archive.path, None).await.unwrap();

    let place = Place::new();
    let large: PgStore = place.open().await;
    large.import(&archive.path, &Unrevised).await.unwrap();
    // Exported before it is used, so that both get the same checks.
    let back: &Path = &path("back.jsonl");
    let middle = head(&large).await;
    large.export(back, None).await.unwrap();
    check(&large, &original, (&cursor, lease.clone())).await;
    large.integrity_check().await.unwrap();

    SqliteStore::import(
        back,
        path("b.db"),
        &Unrevised,
        Arc::<ManualClock>::clone(&clock),
        options(2),
    )
    .unwrap();
    let again = SqliteStore::import(
        back,
        path("b.db"),
        &Unrevised,
        Arc::<ManualClock>::clone(&clock),
        options(3),
    )
    .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let small = SqliteStore::open(path("b.db"), clock, options(4)).unwrap();
    check(&small, &original, (&middle, lease)).await;
    small.integrity_check().await.unwrap();
}
