//! Sealed secrets in a shared database: the suite, and what only several replicas can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use sam_core::entropy::SeededEntropy;
use sam_core::keys::{KeyManager as _, MemoryKeys, Sealed, SecretOwner};
use sam_core::secrets::{ListSecrets, ReplaceSecret, SecretStore};
use sam_core::store::Store as _;
use sam_core::testkit::conformance::Outcome;
use sam_core::testkit::conformance::secrets::{Case, SecretsHarness};
use sam_core::{Effect, ErrorKind, Secret};
use sam_providers::postgres::{PgStore, SchemaState};

use super::support::{Place, commit, head, key, open, put};

#[derive(Debug)]
struct Schemas {
    store: PgStore,
    place: Place,
}

#[async_trait]
impl SecretsHarness for Schemas {
    fn secrets(&self) -> &dyn SecretStore {
        &self.store
    }

    fn prefix(&self) -> SecretOwner {
        name("conformance/")
    }

    async fn pass(&self, span: Duration) {
        self.place.advance(span);
    }
}

pub(crate) async fn conforms(case: &'static Case) -> Outcome {
    let place = Place::new();
    let schemas = Schemas { store: place.open().await, place };
    let outcome = (case.run)(&schemas).await;
    schemas.store.close().await;
    outcome
}

fn name(text: &str) -> SecretOwner {
    text.parse().unwrap()
}

/// Seals something; what is sealed with another seed differs.
pub(crate) async fn seal(name: &SecretOwner, seed: u64) -> Sealed {
    let keys = MemoryKeys::new(Arc::new(SeededEntropy::new(seed)));
    keys.wrap(&Secret::new(b"canary".to_vec()), name).await.unwrap()
}

pub(crate) async fn every_replica_sees_the_same_secrets_and_the_feed_none() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    one.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    let before = head(&one).await;
    let name = name("credential/1");
    let sealed = seal(&name, 1).await;
    one.put_secret(&name, &sealed).await.unwrap();
    assert_eq!(other.secret(&name).await.unwrap(), Some(sealed));
    other.delete_secret(&name).await.unwrap();
    assert_eq!(one.secret(&name).await.unwrap(), None);
    assert_eq!(head(&other).await, before);
}

pub(crate) async fn of_replacements_by_several_replicas_one_succeeds() {
    let place = Place::new();
    let stores = [place.open().await, place.open().await, place.open().await];
    for round in 0..20_u64 {
        let name = name(&format!("credential/{round}"));
        let first = seal(&name, 1_000).await;
        stores[0].put_secret(&name, &first).await.unwrap();
        let mut requests = Vec::new();
        for seed in 0..9 {
            let sealed = seal(&name, seed).await;
            requests.push(ReplaceSecret::new(name.clone(), first.clone(), sealed));
        }
        let replaced = stores.iter().cycle().zip(&requests);
        let replaced = replaced.map(|(store, request)| store.replace_secret(request));
        let replaced = join_all(replaced).await;
        let mut winners = Vec::new();
        for (request, replaced) in requests.iter().zip(replaced) {
            if replaced.unwrap() {
                winners.push(request.sealed.clone());
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(stores[1].secret(&name).await.unwrap(), Some(winners.remove(0)));
    }
}

/// A schema as it was before there were secrets is in `tests/golden`: SQL that makes it.
pub(crate) async fn a_schema_from_before_secrets_is_brought_up_to_date() {
    let place = Place::new();
    place.execute(&format!("CREATE SCHEMA {}", place.schema)).await;
    place.execute(include_str!("../golden/postgres_1.sql")).await;
    let waiting = open(place.options().without_migrating()).await.unwrap();
    assert_eq!(waiting.schema_state(), SchemaState::Behind { found: 1, wanted: 2 });
    let name = name("credential/1");
    let sealed = seal(&name, 1).await;
    let refused = waiting.put_secret(&name, &sealed).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(refused.hint().unwrap().contains("migrate"), "{refused:?}");
    assert_eq!(waiting.migrate().await.unwrap(), SchemaState::Current);
    waiting.integrity_check().await.unwrap();
    let record = waiting.load(&key("a")).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, r#"{"n":2}"#));
    waiting.put_secret(&name, &sealed).await.unwrap();
    assert_eq!(waiting.secret(&name).await.unwrap(), Some(sealed));
    waiting.commit(commit(9).with_write(put("b", "{}"))).await.unwrap();
    waiting.integrity_check().await.unwrap();
}

pub(crate) async fn a_damaged_secret_is_found() {
    let place = Place::new();
    let store = place.open().await;
    let (bad, good) = (name("bad"), name("good"));
    for name in [&bad, &good] {
        store.put_secret(name, &seal(name, 1).await).await.unwrap();
    }
    store.integrity_check().await.unwrap();
    for damage in ["key_id = 'k2'", "sealed = '\\x02'", "sealed = ''"] {
        place.execute(&format!("UPDATE secret SET {damage} WHERE name = 'bad'")).await;
        let error = store.integrity_check().await.unwrap_err();
        assert!(error.to_string().contains("another key"), "{damage}: {error}");
        assert!(store.secret(&good).await.unwrap().is_some());
        if damage.starts_with("sealed") {
            assert_eq!(store.secret(&bad).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        store.put_secret(&bad, &seal(&bad, 1).await).await.unwrap();
        store.integrity_check().await.unwrap();
    }
}

pub(crate) async fn a_put_whose_connection_is_killed_may_have_happened() {
    let place = Place::new();
    let store = place.open().await;
    let name = name("credential/1");
    store.put_secret(&name, &seal(&name, 1).await).await.unwrap();
    // Somebody holds the row, and the session of the put is killed while it waits for it.
    let mut holder = place.execute("").await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT FROM secret FOR UPDATE", &[]).await.unwrap();
    let sealed = seal(&name, 2).await;
    let kill = async {
        while place.kill("query LIKE 'INSERT INTO secret%' AND wait_event_type = 'Lock'").await == 0
        {
            tokio::task::yield_now().await;
        }
    };
    let (put, ()) = futures_util::join!(store.put_secret(&name, &sealed), kill);
    let error = put.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    held.rollback().await.unwrap();
    // It may be repeated.
    store.put_secret(&name, &sealed).await.unwrap();
    assert_eq!(store.secret(&name).await.unwrap(), Some(sealed));
    let listed = store.list_secrets(&ListSecrets::new()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}
