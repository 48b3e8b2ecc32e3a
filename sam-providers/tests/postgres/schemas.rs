//! Migrations, schemas that are not ours or not of our version, and copies.

use std::time::Duration;

use sam_core::store::{ClaimRequest, Due, Feed, LeaseUse, Rev, Store as _};
use sam_core::{Effect, Error, ErrorKind, Secret};
use sam_providers::postgres::{PgStore, SchemaState};

use super::support::{Place, commit, feed, head, key, open, put, request};

const LEASE: Duration = Duration::from_mins(5);

fn claim_one() -> ClaimRequest {
    request("worker", 1, LEASE)
}

pub(crate) async fn eight_replicas_that_start_at_once_migrate_once() {
    let place = Place::new();
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(open(place.options()))).collect();
    let mut stores = Vec::new();
    for store in opening {
        stores.push(store.await.unwrap().unwrap());
    }
    let epoch = head(&stores[0]).await.epoch;
    for (store, bits) in stores.iter().zip(1_u128..) {
        assert_eq!(store.schema_state(), SchemaState::Current);
        assert_eq!(head(store).await.epoch, epoch, "the same store");
        store.commit(commit(bits).with_write(put(bits, "{}"))).await.unwrap();
    }
    assert_eq!(feed(&stores[7], Rev(0)).await.len(), 8);
}

fn assert_refused(error: &Error, word: &str) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(error.hint().unwrap_or_default().contains(word), "{error:?}");
}

async fn assert_all_refused(store: &PgStore, word: &str) {
    let claims = store.claim_due(&claim_one()).await.unwrap();
    assert!(claims.claims.is_empty() && claims.next_due_in.is_none());
    let refused = store.commit(commit(99).with_write(put("x", "{}"))).await.unwrap_err();
    assert_refused(&refused.into(), word);
    assert_refused(&store.load(&key("a")).await.unwrap_err(), word);
    assert_refused(&store.changes(None, 0).await.unwrap_err(), word);
}

pub(crate) async fn a_schema_that_is_behind_is_opened_and_refused_until_it_is_migrated() {
    let place = Place::new();
    let waiting = open(place.options().without_migrating()).await.unwrap();
    let other = open(place.options().without_migrating()).await.unwrap();
    assert_eq!(waiting.schema_state(), SchemaState::Behind { found: 0, wanted: 2 });
    assert_all_refused(&waiting, "sam-server migrate").await;
    assert_eq!(other.migrate().await.unwrap(), SchemaState::Current);
    assert_eq!(other.migrate().await.unwrap(), SchemaState::Current, "again");
    other.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    // The one that waited finds out by itself.
    while waiting.schema_state() != SchemaState::Current {
        tokio::task::yield_now().await;
    }
    assert!(waiting.load(&key("a")).await.unwrap().is_some());
    waiting.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    assert_eq!(waiting.claim_due(&claim_one()).await.unwrap().claims.len(), 1);
}

pub(crate) async fn a_newer_schema_is_never_touched() {
    let place = Place::new();
    place.open().await.close().await;
    let client = place.execute("UPDATE head SET schema = 99").await;
    let read = "SELECT head::text FROM head";
    let before: String = client.query_one(read, &[]).await.unwrap().get(0);
    for options in [place.options(), place.options().without_migrating()] {
        let store = open(options).await.unwrap();
        assert_eq!(store.schema_state(), SchemaState::Ahead { found: 99, wanted: 2 });
        assert_all_refused(&store, "version of the program").await;
        assert_eq!(store.migrate().await.unwrap(), store.schema_state());
        let restored = open(place.options().as_restored()).await.unwrap_err();
        assert_refused(&restored, "version of the program");
    }
    let after: String = client.query_one(read, &[]).await.unwrap().get(0);
    assert_eq!(after, before);
}

pub(crate) async fn a_replica_stops_writing_when_the_schema_is_raised_under_it() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    place.execute("UPDATE head SET schema = 3").await;
    let refused = store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap_err();
    assert_refused(&refused.into(), "version of the program");
    place.execute("UPDATE head SET schema = 2").await;
    while store.schema_state() != SchemaState::Current {
        tokio::task::yield_now().await;
    }
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
}

pub(crate) async fn tables_of_something_else_are_refused_and_left_alone() {
    let place = Place::new();
    let client = place.execute(&format!("CREATE SCHEMA {}", place.schema)).await;
    client.batch_execute("CREATE TABLE head (x int); INSERT INTO head VALUES (7)").await.unwrap();
    for options in [place.options(), place.options().without_migrating()] {
        let error = open(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("something else"), "{error}");
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = $1";
    let tables: i64 = client.query_one(tables, &[&place.schema]).await.unwrap().get(0);
    assert_eq!(tables, 1);
}

pub(crate) async fn a_copy_of_the_database_is_recognised_and_begins_another_epoch() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    let cursor = head(&store).await;
    let claim = store.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    store.close().await;
    let same = place.open().await;
    assert_eq!(head(&same).await, cursor, "opened again it is the same");
    same.close().await;
    // What a restored dump, or a standby that took over, finds in its head row.
    place.execute("UPDATE head SET identity = '7/00000001/1/1'").await;
    let store = place.open().await;
    let begun = head(&store).await;
    assert_ne!(begun.epoch, cursor.epoch);
    assert_eq!(begun.rev, cursor.rev);
    let stale = store.changes(Some(&cursor), 10).await.unwrap();
    assert!(matches!(stale, Feed::Stale { .. }), "{stale:?}");
    let old = LeaseUse::Keep(claim.lease.clone());
    let under = commit(2).with_write(put("a", "{}")).with_lease(old);
    assert!(store.commit(under).await.is_err(), "leases of the other history are void");
    let again = store.claim_due(&claim_one()).await.unwrap().claims.remove(0);
    assert!(again.lease.epoch > claim.lease.epoch);
    // Noticed by a store that runs, too: when its writer has to connect again.
    place.execute("UPDATE head SET identity = '7/00000002/1/1'").await;
    place.kill("true").await;
    store.commit(commit(3).with_write(put("a", "{}"))).await.unwrap();
    assert_ne!(head(&store).await.epoch, begun.epoch);
}

pub(crate) async fn an_epoch_can_be_begun_by_hand() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    let first = head(&store).await;
    let begun = store.begin_epoch().await.unwrap();
    assert_eq!(head(&store).await.epoch, begun);
    assert_ne!(begun, first.epoch);
    store.wait(&first).await.unwrap();
    let restored = open(place.options().as_restored()).await.unwrap();
    let second = head(&restored).await;
    assert_ne!(second.epoch, begun);
    // The other replica answers of the new epoch from then on.
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    assert_eq!(head(&store).await.epoch, second.epoch);
}

pub(crate) async fn damage_is_found() {
    let place = Place::new();
    let store = place.open().await;
    let start = head(&store).await;
    for number in 1..=5 {
        store.commit(commit(number).with_write(put(number, "{}"))).await.unwrap();
    }
    store.integrity_check().await.unwrap();
    let damage = "DELETE FROM change WHERE rev = 3; UPDATE record SET body = '1' WHERE id = '5'";
    place.execute(damage).await;
    let error = store.integrity_check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    for fault in ["gaps", "last change"] {
        assert!(error.to_string().contains(fault), "{error}");
    }
    assert_eq!(store.changes(Some(&start), 10).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

pub(crate) async fn a_database_that_is_not_there_is_explained() {
    let place = Place::new();
    let refused = Secret::new("postgresql://nobody:canary@127.0.0.1:1/none".to_owned());
    let error = PgStore::open(&refused, place.options()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(error.hint().is_some());
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}
