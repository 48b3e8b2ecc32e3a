//! The file: kept, locked, private, refused, full, copied.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sam_core::store::{
    ClaimRequest, CommitError, Cursor, Due, Expect, Feed, LeaseUse, ListQuery, Refusal, Rev,
    Store as _, UniqueChange, WorkerId, Write,
};
use sam_core::time::ManualClock;
use sam_core::{Effect, ErrorKind};
use sam_providers::sqlite::SqliteStore;

use super::support::{Place, START, THING, commit, feed, head, key, open, options, put};

const LEASE: Duration = Duration::from_mins(1);

fn claim_one() -> ClaimRequest {
    ClaimRequest::new(WorkerId::new("worker"), vec![THING], 1, LEASE)
}

fn name(holder: &str) -> UniqueChange {
    UniqueChange::Claim { space: "thing_name", key: "name".to_owned(), holder: key(holder) }
}

pub(crate) async fn opening_again_finds_everything() {
    let place = Place::new();
    let store = place.open();
    let index = [Some("x".to_owned()), None, None];
    let write = put("a", r#"{"n":1}"#).with_due(Due::NOW).with_index(index);
    let first = store.commit(commit(1).with_write(write).with_unique(name("a"))).await.unwrap();
    let quiet = store.commit(commit(2).with_wake(key("a"))).await.unwrap();
    let claim = store.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    let before = head(&store).await;
    drop(store);

    let store = place.open();
    assert_eq!(head(&store).await, before);
    let record = store.load(&key("a")).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (1, r#"{"n":1}"#));
    let page = store.list(&ListQuery::new(THING)).await.unwrap();
    assert_eq!(page.items, [record]);
    assert_eq!(store.outcome(commit(1).id).await.unwrap(), Some(first));
    assert_eq!(store.outcome(commit(2).id).await.unwrap(), Some(quiet));
    let taken = store.commit(commit(3).with_unique(name("b"))).await;
    assert!(matches!(taken, Err(CommitError::Refused(Refusal::UniqueTaken { .. }))), "{taken:?}");
    // The lease ended with its process, but its epoch is never given out again.
    let under = commit(4).with_write(put("a", "{}"));
    let late = store.commit(under.with_lease(LeaseUse::Keep(claim.lease.clone()))).await;
    assert!(matches!(late, Err(CommitError::Refused(Refusal::LeaseLost { .. }))), "{late:?}");
    let again = store.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    assert!(again.lease.epoch > claim.lease.epoch);
    store.integrity_check().await.unwrap();
}

pub(crate) async fn a_second_opener_is_refused_until_the_first_closes() {
    let place = Place::new();
    let store = place.open();
    let error = place.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(error.hint().is_some());
    let link = place.directory.path().join("link.db");
    std::os::unix::fs::symlink(&place.path, &link).unwrap();
    let error = open(&link, place.clock.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "by another name it is the same store");
    store.close().await;
    drop(place.open());
    drop(store);
}

pub(crate) async fn a_missing_directory_is_named() {
    let place = Place::new();
    for path in [place.directory.path().join("absent/sam.db"), place.path.join("sam.db")] {
        fs::write(&place.path, "").unwrap();
        let error = open(&path, place.clock.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().is_some() && error.to_string().contains("open"), "{error:?}");
    }
}

pub(crate) async fn a_foreign_file_is_refused_and_left_alone() {
    let place = Place::new();
    fs::write(&place.path, "a diary, and quite a long one at that ".repeat(50)).unwrap();
    let database = place.directory.path().join("other.db");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("CREATE TABLE t (x); PRAGMA application_id = 7;").unwrap();
    drop(other);
    for path in [&place.path, &database] {
        let before = fs::read(path).unwrap();
        let error = open(path, place.clock.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("not a SAM store"), "{error}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
}

pub(crate) async fn a_newer_file_is_refused() {
    let place = Place::new();
    place.open().close().await;
    let connection = Connection::open(&place.path).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = place.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("schema 99"), "{error}");
    assert!(error.hint().unwrap().contains("newer"));
}

pub(crate) async fn a_full_store_says_so_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let store = place.open();
    let body = format!("\"{}\"", "x".repeat(60_000));
    store.commit(commit(1).with_write(put("first", &body))).await.unwrap();
    store.limit_size(Some(1_000_000)).await.unwrap();
    let mut applied = 1_u64;
    let error = loop {
        let number = u128::from(applied) + 1;
        match store.commit(commit(number).with_write(put(number, &body))).await {
            Ok(committed) => {
                applied += 1;
                assert_eq!(committed.rev, Rev(applied));
                assert!(applied < 1_000, "the limit does not limit");
            }
            Err(error) => break error,
        }
    };
    let CommitError::Failed(error) = error else { panic!("{error:?}") };
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(error.hint().unwrap().contains("free disk space"));
    let failed = commit(u128::from(applied) + 1);
    assert_eq!(store.outcome(failed.id).await.unwrap(), None);
    assert!(store.load(&key("first")).await.unwrap().is_some(), "reads go on");
    assert_eq!(head(&store).await.rev, Rev(applied));
    store.limit_size(None).await.unwrap();
    let committed = store.commit(failed.with_write(put("after", &body))).await.unwrap();
    assert_eq!(committed.rev, Rev(applied + 1));
    assert_eq!(feed(&store, Rev(0)).await.len(), usize::try_from(applied + 1).unwrap());
    store.integrity_check().await.unwrap();
}

pub(crate) async fn time_does_not_go_back_when_opened_again() {
    let place = Place::new();
    let store = place.open();
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    drop(store);
    let slow = ManualClock::new(sam_core::time::Timestamp::EPOCH);
    let store = open(&place.path, slow.clone()).unwrap();
    slow.advance(LEASE);
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    let at: Vec<_> = feed(&store, Rev(0)).await.into_iter().map(|change| change.at).collect();
    assert_eq!(at, [START, START.plus(LEASE)]);
}

pub(crate) async fn what_is_stored_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let store = place.open();
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(place.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "the file, its log and index, and the lock");
}

pub(crate) async fn a_copy_is_opened_under_another_epoch() {
    let place = Place::new();
    let store = place.open();
    store.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    let claim = store.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    let copy = place.directory.path().join("copy.db");
    store.back_up(&copy).await.unwrap();
    let twice = store.back_up(&copy).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    let cursor = head(&store).await;

    let later = ManualClock::new(START.plus(Duration::from_secs(1)));
    let restored = SqliteStore::open(&copy, Arc::new(later), options().as_restored()).unwrap();
    restored.integrity_check().await.unwrap();
    assert_eq!(restored.load(&key("a")).await.unwrap().map(|record| record.version), Some(1));
    let begin = head(&restored).await;
    assert_ne!(begin.epoch, cursor.epoch);
    restored.commit(commit(3).with_write(put("b", "{}"))).await.unwrap();
    let old = restored.changes(Some(&cursor), 10).await.unwrap();
    assert!(matches!(old, Feed::Stale { .. }), "{old:?}");
    let followed = Cursor::new(begin.epoch, Rev(1));
    assert!(matches!(restored.changes(Some(&followed), 10).await.unwrap(), Feed::Changes(_)));
    let again = restored.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    assert!(again.lease.epoch > claim.lease.epoch, "its leases have ended");
}

pub(crate) async fn a_damaged_feed_is_found() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=5 {
        let write = Write::put(key(number), Expect::Absent, "{}", "thing_put");
        store.commit(commit(number).with_write(write)).await.unwrap();
    }
    store.integrity_check().await.unwrap();
    let start = Cursor::new(head(&store).await.epoch, Rev(0));
    store.close().await;
    drop(store);
    let connection = Connection::open(&place.path).unwrap();
    connection.execute("DELETE FROM change WHERE rev = 3", []).unwrap();
    drop(connection);
    let store = place.open();
    let error = store.integrity_check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("gaps"), "{error}");
    assert_eq!(store.changes(Some(&start), 10).await.unwrap_err().kind(), ErrorKind::Corrupt);
}
