//! Sealed secrets in the file: the suite, and what only a file can do.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use sam_core::entropy::SeededEntropy;
use sam_core::keys::{KeyManager as _, MemoryKeys, Sealed, SecretOwner};
use sam_core::secrets::{ListSecrets, SecretStore, Secrets};
use sam_core::store::Store as _;
use sam_core::testkit::conformance::Outcome;
use sam_core::testkit::conformance::secrets::{Case, SecretsHarness};
use sam_core::{ErrorKind, Secret};
use sam_providers::sqlite::SqliteStore;

use super::support::{Place, commit, feed, head, put};

#[derive(Debug)]
struct Files {
    store: SqliteStore,
    place: Place,
}

#[async_trait]
impl SecretsHarness for Files {
    fn secrets(&self) -> &dyn SecretStore {
        &self.store
    }

    fn prefix(&self) -> SecretOwner {
        name("conformance/")
    }

    async fn pass(&self, span: Duration) {
        self.place.clock.advance(span);
    }
}

pub(crate) async fn conforms(case: &'static Case) -> Outcome {
    let place = Place::new();
    let files = Files { store: place.open(), place };
    (case.run)(&files).await
}

fn name(text: &str) -> SecretOwner {
    text.parse().unwrap()
}

fn keys() -> MemoryKeys {
    MemoryKeys::new(Arc::new(SeededEntropy::new(5)))
}

pub(crate) async fn seal(name: &SecretOwner) -> Sealed {
    keys().wrap(&Secret::new(b"canary".to_vec()), name).await.unwrap()
}

pub(crate) async fn secrets_outlive_the_process_and_are_no_part_of_the_feed() {
    let place = Place::new();
    let store = place.open();
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    let before = head(&store).await;
    let (kept, gone) = (name("credential/1"), name("credential/2"));
    let sealed = seal(&kept).await;
    for name in [&kept, &gone] {
        store.put_secret(name, &sealed).await.unwrap();
    }
    store.delete_secret(&gone).await.unwrap();
    assert_eq!(head(&store).await, before);
    drop(store);

    place.clock.advance(Duration::from_hours(1));
    let store = place.open();
    assert_eq!(store.secret(&kept).await.unwrap(), Some(sealed));
    let listed = store.list_secrets(&ListSecrets::new()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].kept_for, Duration::from_hours(1));
    assert_eq!(feed(&store, sam_core::store::Rev(0)).await.len(), 1);
    store.integrity_check().await.unwrap();
}

/// A file as it was before there were secrets is in `tests/golden`: SQL that makes it.
pub(crate) async fn a_store_from_before_secrets_is_brought_up_to_date() {
    let place = Place::new();
    let old = include_str!("../golden/sqlite_1.sql");
    Connection::open(&place.path).unwrap().execute_batch(old).unwrap();
    let refused = SqliteStore::export_from(
        &place.path,
        place.directory.path().join("backup"),
        &place.clock,
        None,
    );
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict, "nothing is changed by a backup");
    let store = place.open();
    store.integrity_check().await.unwrap();
    let record = store.load(&super::support::key("a")).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, r#"{"n":2}"#));
    let listed = store.list_secrets(&ListSecrets::new()).await.unwrap();
    assert!(listed.items.is_empty());
    let name = name("credential/1");
    let sealed = seal(&name).await;
    store.put_secret(&name, &sealed).await.unwrap();
    assert_eq!(store.secret(&name).await.unwrap(), Some(sealed));
    store.commit(commit(9).with_write(put("b", "{}"))).await.unwrap();
    store.integrity_check().await.unwrap();
}

pub(crate) async fn the_file_holds_no_plain_text() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let secrets = Secrets::new(Arc::new(keys()), Arc::clone(&store) as _);
    let name = name("credential/1");
    secrets.keep(&name, &Secret::new(b"a-canary-in-a-mine".to_vec())).await.unwrap();
    let opened = secrets.open(&name).await.unwrap().unwrap();
    assert_eq!(opened.expose(), b"a-canary-in-a-mine");
    store.close().await;
    let mut seen = 0;
    for entry in fs::read_dir(place.directory.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"a-canary"));
        seen += usize::from(bytes.windows(12).any(|window| window == b"credential/1"));
    }
    assert_eq!(seen, 1, "one file has the name of the secret");
}

pub(crate) async fn a_damaged_secret_is_found() {
    let place = Place::new();
    let store = place.open();
    let (bad, good) = (name("bad"), name("good"));
    for name in [&bad, &good] {
        store.put_secret(name, &seal(name).await).await.unwrap();
    }
    store.integrity_check().await.unwrap();
    store.close().await;
    for damage in ["key_id = 'k2'", "sealed = x'02'", "sealed = x''"] {
        let connection = Connection::open(&place.path).unwrap();
        connection.execute(&format!("UPDATE secret SET {damage} WHERE name = 'bad'"), []).unwrap();
        drop(connection);
        let store = place.open();
        let error = store.integrity_check().await.unwrap_err();
        assert!(error.to_string().contains("another key"), "{damage}: {error}");
        assert!(store.secret(&good).await.unwrap().is_some());
        if damage.starts_with("sealed") {
            assert_eq!(store.secret(&bad).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        store.put_secret(&bad, &seal(&bad).await).await.unwrap();
        store.integrity_check().await.unwrap();
        store.close().await;
    }
}

pub(crate) async fn a_closed_store_says_so_of_secrets_too() {
    let place = Place::new();
    let store = place.open();
    let name = name("a");
    let sealed = seal(&name).await;
    store.close().await;
    for error in [
        store.put_secret(&name, &sealed).await.unwrap_err(),
        store.secret(&name).await.unwrap_err(),
        store.delete_secret(&name).await.unwrap_err(),
        store.list_secrets(&ListSecrets::new()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}
