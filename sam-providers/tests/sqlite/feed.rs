//! Many callers at once, trimming, waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sam_core::store::{CommitError, Cursor, Expect, Feed, Rev, Store as _, Write};
use sam_core::{Effect, ErrorKind};
use sam_providers::sqlite::Retention;

use super::support::{Place, commit, feed, head, key, put};

pub(crate) async fn many_committers_leave_no_gap() {
    const TASKS: u128 = 64;
    const COMMITS: u128 = 20;
    let place = Place::new();
    let store = Arc::new(place.open());
    let work = |task: u128| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut revs = Vec::new();
            for round in 1..=COMMITS {
                let expect = match u64::try_from(round - 1).unwrap() {
                    0 => Expect::Absent,
                    version => Expect::Version(version),
                };
                let write = Write::put(key(task), expect, format!("{{\"n\":{round}}}"), "counted");
                let committed =
                    store.commit(commit(task << 64 | round).with_write(write)).await.unwrap();
                revs.push(committed.rev);
                let loaded = store.load(&key(task)).await.unwrap().unwrap();
                assert_eq!(u128::from(loaded.version), round, "a load sees what was committed");
                // A stale one beside it: refused alone, whoever shares its transaction.
                let stale = Write::put(key(task), Expect::Absent, "{}", "counted");
                let refused =
                    store.commit(commit(task << 64 | round << 32).with_write(stale)).await;
                assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
            }
            revs
        })
    };
    let tasks: Vec<_> = (1..=TASKS).map(work).collect();
    let mut acknowledged = BTreeSet::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    let total = u64::try_from(TASKS * COMMITS).unwrap();
    assert_eq!(acknowledged, (1..=total).map(Rev).collect());
    let changes = feed(&store, Rev(0)).await;
    assert_eq!(changes.len(), usize::try_from(total).unwrap());
    store.integrity_check().await.unwrap();
}

pub(crate) async fn trimming_keeps_commits_whole_and_makes_old_cursors_stale() {
    let place = Place::new();
    let store = place.open();
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
    place.clock.advance(Duration::from_hours(2));
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
    store.commit(commit(901).with_write(put("a", "{}"))).await.unwrap();
    let count = store.trim(Retention::new(Duration::ZERO, 1_000)).await.unwrap();
    assert_eq!(count, floor, "the newest are kept whatever their age");
    store.integrity_check().await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(feed(&store, floor).await.len(), 103);
}

pub(crate) async fn waiting_ends_when_the_store_is_closed() {
    let place = Place::new();
    let store = Arc::new(place.open());
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
    drop(place.open());
}
