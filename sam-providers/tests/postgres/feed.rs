//! Many replicas on one feed: nothing is skipped, nothing is reordered, and everybody is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sam_core::entropy::SeededEntropy;
use sam_core::store::{Change, CommitError, Cursor, Due, Expect, Feed, Rev, Store as _, Write};
use sam_core::{Effect, ErrorKind};
use sam_providers::postgres::{PgStore, Retention};

use super::support::{Place, commit, connect, feed, head, key, put, request};

const REPLICAS: u64 = 3;
const WRITERS: u64 = 24;
const COMMITS: u64 = 20;
const RECORDS: u64 = 6;

/// Commits again and again to a few records that everybody writes; returns what was acknowledged.
async fn write(store: Arc<PgStore>, writer: u64) -> Vec<(Rev, u128)> {
    let dice = SeededEntropy::new(writer);
    let mut acknowledged = Vec::new();
    for round in 0..COMMITS {
        let bits = u128::from(writer) << 64 | u128::from(round + 1);
        let mut made = commit(bits).with_write(put(dice.below(RECORDS), "{\"n\":1}"));
        let own = key(format!("own-{writer}"));
        if dice.below(3) == 0 {
            made = made.with_write(Write::put(own.clone(), Expect::Anything, "{}", "thing_put"));
        }
        let committed = store.commit(made).await.unwrap();
        acknowledged.push((committed.rev, bits));
        // A stale one beside it: refused alone, whoever shares its transaction.
        let stale = Write::put(own, Expect::Version(99_999), "{}", "never");
        let refused = store.commit(commit(bits | 1 << 100).with_write(stale)).await;
        assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    }
    acknowledged
}

/// Follows the feed from its beginning, as the trait says to, until told to stop and at its end.
async fn follow(store: Arc<PgStore>, stop: Arc<AtomicBool>, limit: usize) -> Vec<Change> {
    let mut cursor = Cursor::new(head(&store).await.epoch, Rev(0));
    let mut seen: Vec<Change> = Vec::new();
    loop {
        let ended = stop.load(Ordering::Acquire);
        let Feed::Changes(page) = store.changes(Some(&cursor), limit).await.unwrap() else {
            panic!("{cursor} is stale")
        };
        if page.changes.is_empty() {
            if ended {
                return seen;
            }
            store.wait(&cursor).await.unwrap();
        }
        for change in page.changes {
            assert_eq!(change.rev.0, cursor.rev.0 + 1, "a reader skipped or reordered");
            cursor.rev = change.rev;
            seen.push(change);
        }
    }
}

/// Another connection that holds rows of the batches, or the head itself, for a while, again and
/// again: the commits behind it are slow, and end in another order than they began.
async fn delay(place: &Place, stop: &AtomicBool) -> u64 {
    let mut client = connect().await;
    client.batch_execute(&format!("SET search_path = {}", place.schema)).await.unwrap();
    let (dice, mut delays) = (SeededEntropy::new(77), 0);
    while !stop.load(Ordering::Acquire) {
        let transaction = client.transaction().await.unwrap();
        let lock = match dice.below(3) {
            0 => "SELECT FROM head FOR UPDATE",
            1 => "SELECT FROM record WHERE id = '1' FOR UPDATE",
            _ => "LOCK TABLE change IN SHARE MODE",
        };
        transaction.batch_execute(lock).await.unwrap();
        let span = 1 + dice.below(20);
        transaction.batch_execute(&format!("SELECT pg_sleep(0.0{span:02})")).await.unwrap();
        transaction.commit().await.unwrap();
        delays += 1;
    }
    delays
}

pub(crate) async fn no_reader_skips_or_reorders_while_many_replicas_write() {
    let place = Place::new();
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Arc::new(place.open().await));
    }
    let (stop, finished) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let replica = |number: u64| Arc::clone(&replicas[usize::try_from(number % REPLICAS).unwrap()]);
    let readers: Vec<_> = (0_u64..)
        .zip([7, 1_000, 13])
        .map(|(number, limit)| tokio::spawn(follow(replica(number), Arc::clone(&stop), limit)))
        .collect();
    let writers: Vec<_> =
        (1..=WRITERS).map(|number| tokio::spawn(write(replica(number), number))).collect();
    let (delays, acknowledged) = tokio::join!(delay(&place, &finished), async {
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        finished.store(true, Ordering::Release);
        all
    });
    assert!(delays > 0);
    stop.store(true, Ordering::Release);
    // The last change wakes readers that wait at the end.
    replicas[0].commit(commit(1 << 120).with_write(put("last", "{}"))).await.unwrap();
    let whole = feed(&replicas[0], Rev(0)).await;
    for reader in readers {
        let seen = reader.await.unwrap();
        // A reader may have stopped just before the last change.
        assert!(seen.len() + 1 >= whole.len(), "a reader stopped early");
        assert_eq!(seen, whole[..seen.len()]);
    }
    assert_eq!(acknowledged.len(), usize::try_from(WRITERS * COMMITS).unwrap());
    for (rev, bits) in acknowledged {
        let change = &whole[usize::try_from(rev.0 - 1).unwrap()];
        assert_eq!(change.commit_id, commit(bits).id, "revision {rev} is somebody else's");
    }
    // Each record's versions rise by one along the feed: the order of revisions is that of commits.
    for record in 0..RECORDS {
        let versions = whole.iter().filter(|change| change.key == key(record));
        assert!(versions.zip(1..).all(|(change, version)| change.version == version));
    }
    assert!(whole.is_sorted_by_key(|change| change.at), "time went back along the feed");
    replicas[0].integrity_check().await.unwrap();
}

pub(crate) async fn trimming_keeps_commits_whole_and_makes_old_cursors_stale() {
    let place = Place::new();
    let store = place.open().await;
    let start = head(&store).await;
    for number in 1..=900_u128 {
        let three = commit(number)
            .with_write(put("a", "{}"))
            .with_write(put("b", "{}"))
            .with_write(put(format!("c{number}"), "{}"));
        store.commit(three).await.unwrap();
    }
    let young = store.trim(Retention::new(Duration::from_hours(1), 10)).await.unwrap();
    assert_eq!(young, Rev(0), "what is young is kept");
    let quiet = commit(1_000).with_wake(key("a"));
    store.commit(quiet.clone()).await.unwrap();
    place.advance(Duration::from_hours(2));
    let floor = store.trim(Retention::new(Duration::from_hours(1), 100)).await.unwrap();
    // 2700 changes, the newest hundred stay, and the commit that this would cut stays whole.
    assert_eq!(floor, Rev(2598));
    assert_eq!(feed(&store, floor).await.len(), 102);
    for stale in [start, Cursor::new(head(&store).await.epoch, Rev(2597))] {
        let answer = store.changes(Some(&stale), 10).await.unwrap();
        assert!(matches!(answer, Feed::Stale { floor: Rev(2598), .. }), "{answer:?}");
    }
    assert_eq!(store.outcome(commit(866).id).await.unwrap(), None);
    assert_eq!(store.outcome(quiet.id).await.unwrap(), None);
    let kept = store.outcome(commit(867).id).await.unwrap().unwrap();
    assert_eq!((kept.rev, kept.versions.len()), (Rev(2601), 3));
    assert_eq!(store.load(&key("a")).await.unwrap().map(|record| record.version), Some(900));
    let count = store.trim(Retention::new(Duration::ZERO, 1_000)).await.unwrap();
    assert_eq!(count, floor, "the newest are kept whatever their age");
    store.integrity_check().await.unwrap();
}

pub(crate) async fn another_replica_is_woken() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    for round in 0..6_u128 {
        let cursor = head(&two).await;
        // Each way of giving reason to look, done by the other replica.
        match round % 3 {
            0 => drop(one.commit(commit(round + 1).with_write(put("a", "{}"))).await.unwrap()),
            1 => drop(one.commit(commit(round + 1).with_wake(key("a"))).await.unwrap()),
            _ => {
                let asked = request("one", 1, Duration::from_mins(5));
                let claim = one.claim_due(&asked).await.unwrap().claims.remove(0);
                one.release(&claim.lease, Due::NOW).await.unwrap();
            }
        }
        two.wait(&cursor).await.unwrap();
    }
}

pub(crate) async fn what_a_lost_notification_would_have_told_is_found_by_looking() {
    let place = Place::new();
    let store = place.open().await;
    let cursor = head(&store).await;
    // As another replica would that dies before it has told anybody.
    place
        .execute(
            "INSERT INTO record (kind, id, version, rev, body) VALUES ('thing', 'a', 1, 1, '{}');
            INSERT INTO change (rev, commit_id, at, actor, kind, id, version, op, event, body)
                SELECT 1, '\\x00', at, 'other', 'thing', 'a', 1, 1, 'made', '{}' FROM head;
            UPDATE head SET rev = 1, news = news + 1",
        )
        .await;
    store.wait(&cursor).await.unwrap();
    let Feed::Changes(page) = store.changes(Some(&cursor), 10).await.unwrap() else { panic!() };
    assert_eq!(page.changes.len(), 1);
    let cursor = head(&store).await;
    let due = "INSERT INTO lease (kind, id, at, epoch) VALUES ('thing', 'a', 0, 0)";
    place.execute(due).await;
    store.wait(&cursor).await.unwrap();
    let claims = store.claim_due(&request("me", 1, Duration::from_mins(1))).await.unwrap();
    assert_eq!(claims.claims.len(), 1);
}

pub(crate) async fn waiting_ends_when_the_store_is_closed() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let cursor = head(&store).await;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.wait(&cursor).await }
    });
    tokio::task::yield_now().await;
    store.close().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let refused = store.commit(commit(1).with_write(put("a", "{}"))).await.unwrap_err();
    assert!(!refused.may_have_happened());
    let error = store.load(&key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    store.close().await;
}

pub(crate) async fn time_flows_on_when_the_clock_of_the_server_was_put_back() {
    let place = Place::new();
    let store = place.open().await;
    let lease = Duration::from_secs(2);
    store.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    // What was written last bears a time an hour ahead of the clock as it is now.
    place.execute("UPDATE head SET at = at + 3600000000").await;
    store.commit(commit(2).with_write(put("a", "{}"))).await.unwrap();
    store.commit(commit(3).with_write(put("a", "{}"))).await.unwrap();
    let at: Vec<_> = feed(&store, Rev(0)).await.into_iter().map(|change| change.at).collect();
    assert!(at[1].since(at[0]) >= Duration::from_mins(59) && at[2] > at[1], "{at:?}");
    let claims = store.claim_due(&request("one", 1, lease)).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    place.advance(lease * 2);
    let again = store.claim_due(&request("two", 1, lease)).await.unwrap().claims;
    assert_eq!(again.len(), 1, "leases still end");
}
