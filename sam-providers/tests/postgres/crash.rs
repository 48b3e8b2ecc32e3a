//! Lost connections, stalled replicas and values that cannot be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sam_core::store::{CommitError, Rev, Store as _};
use sam_core::{Effect, ErrorKind};
use sam_providers::postgres::PgStore;

use super::support::{Place, commit, connect, feed, head, key, put};

const WRITERS: u128 = 8;
const KILLS: u32 = 40;

/// What a writer was told about one commit.
enum Told {
    Applied(Rev),
    NotApplied,
    Unknown,
}

async fn write_while_killed(
    store: Arc<PgStore>,
    writer: u128,
    stop: Arc<AtomicBool>,
) -> Vec<(u128, Told)> {
    let mut told = Vec::new();
    for round in 1_u128.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let bits = writer << 64 | round;
        let made = commit(bits).with_write(put(writer, "{}")).with_write(put("shared", "{}"));
        let answer = match store.commit(made).await {
            Ok(committed) => Told::Applied(committed.rev),
            Err(CommitError::Failed(error)) => {
                let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                if error.effect() == Effect::Unknown { Told::Unknown } else { Told::NotApplied }
            }
            Err(refused) => panic!("{refused}"),
        };
        told.push((bits, answer));
    }
    told
}

pub(crate) async fn a_commit_whose_connection_is_killed_is_found_or_not_and_never_twice() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let stop = Arc::new(AtomicBool::new(false));
    let start =
        |writer| tokio::spawn(write_while_killed(Arc::clone(&store), writer, Arc::clone(&stop)));
    let writers: Vec<_> = (1..=WRITERS).map(start).collect();
    let mut killed = 0;
    for _ in 0..KILLS {
        // In the middle of a transaction, at whatever statement it is at.
        killed += place.kill("state <> 'idle'").await;
        let before = head(&store).await.rev;
        // The next kill only once there is something new to kill.
        while head(&store).await.rev == before {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Release);
    assert!(killed > 0, "nothing was killed");
    let mut told = Vec::new();
    for writer in writers {
        told.extend(writer.await.unwrap());
    }
    let changes = feed(&store, Rev(0)).await;
    for (bits, answer) in &told {
        let id = commit(*bits).id;
        let there: Vec<Rev> = changes
            .iter()
            .filter(|change| change.commit_id == id)
            .map(|change| change.rev)
            .collect();
        assert!(there.is_empty() || there.len() == 2, "half or twice: {there:?}");
        match answer {
            Told::Applied(rev) => assert_eq!(there.last(), Some(rev)),
            Told::NotApplied => assert!(there.is_empty(), "it was said not to have happened"),
            Told::Unknown => {
                let outcome = store.outcome(id).await.unwrap();
                assert_eq!(outcome.map(|committed| committed.rev), there.last().copied());
                // Sending it again is safe, whatever had become of it.
                let again = commit(*bits).with_write(put(bits >> 64, "{}"));
                let again = store.commit(again.with_write(put("shared", "{}"))).await.unwrap();
                assert!(there.last().is_none_or(|rev| *rev == again.rev), "applied twice");
            }
        }
    }
    store.integrity_check().await.unwrap();
}

/// Returns once a session of the place waits for a lock.
async fn wait_for_a_lock(place: &Place) {
    let client = connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = $1 AND wait_event_type = 'Lock'";
    while client.query_one(sql, &[&place.schema]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn a_lost_commit_is_waited_for_before_its_outcome_is_told() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    // A transaction of a replica that was cut off after it had sent COMMIT, and that the server has
    // not finished: it holds the head, as every writer does.
    let mut client = connect().await;
    client.batch_execute(&format!("SET search_path = {}", place.schema)).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("SELECT FROM head FOR UPDATE").await.unwrap();
    let id = commit(7).id;
    let asking = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.outcome(id).await }
    });
    wait_for_a_lock(&place).await;
    let bytes = 7_u128.to_be_bytes().to_vec();
    let quiet = "INSERT INTO quiet_commit (commit_id, rev, at) VALUES ($1, 0, 0)";
    transaction.execute(quiet, &[&bytes]).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(asking.await.unwrap().unwrap().is_some(), "it was told before it was decided");
}

pub(crate) async fn everything_goes_on_after_all_connections_were_killed() {
    let place = Place::new();
    let store = place.open().await;
    let other = place.open().await;
    for round in 1..=3_u128 {
        store.commit(commit(round).with_write(put("a", "{}"))).await.unwrap();
        let cursor = head(&store).await;
        assert!(place.kill("true").await >= 3, "writer, listener and reader");
        // Nothing was under way, so nobody has to notice.
        let record = store.load(&key("a")).await.unwrap();
        assert_eq!(record.map(|record| u128::from(record.version)), Some(round));
        store.commit(commit(round | 1 << 64).with_wake(key("a"))).await.unwrap();
        store.wait(&cursor).await.unwrap();
        let cursor = head(&store).await;
        other.commit(commit(round | 1 << 65).with_write(put("b", "{}"))).await.unwrap();
        store.wait(&cursor).await.unwrap();
    }
}

pub(crate) async fn one_commit_that_cannot_be_stored_does_not_harm_the_others() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let commits: Vec<_> = (1..=40_u128)
        .map(|number| {
            let store = Arc::clone(&store);
            let body = if number.is_multiple_of(10) { "\0" } else { "{}" };
            let made = commit(number).with_write(put(number, body));
            tokio::spawn(async move { store.commit(made).await })
        })
        .collect();
    for (number, made) in (1..=40_u128).zip(commits) {
        match made.await.unwrap() {
            Ok(_) => assert_ne!(number % 10, 0, "{number}"),
            Err(CommitError::Failed(error)) => {
                assert_eq!(number % 10, 0, "{number}: {error:?}");
                let told = (error.kind(), error.effect());
                assert_eq!(told, (ErrorKind::BadInput, Effect::NotApplied));
                assert!(error.hint().is_some());
            }
            Err(refused) => panic!("{refused}"),
        }
    }
    assert_eq!(head(&store).await.rev, Rev(36));
    store.integrity_check().await.unwrap();
}

pub(crate) async fn a_stalled_replica_does_not_stop_the_others_for_long() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap();
    // A replica whose process is stopped with the head locked: a session with the bound that every
    // session of a store has, and which says nothing any more.
    let stalled = connect().await;
    let stall = format!(
        "SET search_path = {}; SET idle_in_transaction_session_timeout = '1s';
        BEGIN; SELECT FROM head FOR UPDATE",
        place.schema
    );
    stalled.batch_execute(&stall).await.unwrap();
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    assert!(stalled.batch_execute("COMMIT").await.is_err(), "the server ended its session");
}
