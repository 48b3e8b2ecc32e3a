//! C1 to C5, C11, C13 and C14: commits.

use std::sync::Arc;

use super::super::{Failure, ensure, ensure_eq};
use super::{Fresh, put, thing};
use crate::error::ErrorKind;
use crate::store::{
    Actor, Commit, CommitError, Due, Expect, LeaseUse, Record, RecordKey, Refusal, UniqueChange,
    Write,
};

const SPACE: &str = "thing_name";

fn take(name: &str, holder: &str) -> UniqueChange {
    UniqueChange::Claim { space: SPACE, key: name.to_owned(), holder: thing(holder) }
}

fn free(name: &str, holder: &str) -> UniqueChange {
    UniqueChange::Release { space: SPACE, key: name.to_owned(), holder: thing(holder) }
}

pub(super) async fn a_commit_applies_all_its_parts(store: &Fresh) -> Result<(), Failure> {
    store.write(put("woken", Expect::Absent)).await?;
    store.write(put("gone", Expect::Absent)).await?;
    let commit = store
        .empty()
        .with_write(put("a", Expect::Absent))
        .with_write(put("b", Expect::Absent).with_due(Due::NOW))
        .with_write(Write::delete(thing("gone"), Expect::Version(1), "thing_deleted"))
        .with_unique(take("name", "a"))
        .with_wake(thing("woken"))
        .with_check(thing("absent"), Expect::Absent);
    let committed = store.apply(commit).await?;
    ensure_eq!(committed.rev.0, 5, "revision of the last write");
    let expected = vec![(thing("a"), 1), (thing("b"), 1), (thing("gone"), 2)];
    ensure_eq!(committed.versions, expected, "versions in the order of the writes");
    ensure_eq!(store.version("a").await?, Some(1), "version of the first record");
    ensure_eq!(store.version("b").await?, Some(1), "version of the second record");
    ensure_eq!(store.version("gone").await?, None, "version of the deleted record");
    let refused = store.refusal(store.empty().with_unique(take("name", "b"))).await?;
    ensure!(matches!(refused, Refusal::UniqueTaken { .. }), "the name is not held: {refused}");
    let due = store.claims("worker", 8).await?.claims;
    ensure_eq!(due.len(), 2, "records made due");
    Ok(())
}

pub(super) async fn a_refused_commit_applies_none_of_its_parts(
    store: &Fresh,
) -> Result<(), Failure> {
    store.write(put("woken", Expect::Absent)).await?;
    let before = store.head().await?;
    let commit = store
        .empty()
        .with_write(put("a", Expect::Absent).with_due(Due::NOW))
        .with_write(put("b", Expect::Version(7)))
        .with_unique(take("name", "a"))
        .with_wake(thing("woken"));
    let id = commit.id;
    store.refusal(commit).await?;
    ensure_eq!(store.version("a").await?, None, "the write before the failed one");
    ensure_eq!(store.head().await?, before, "head of the feed");
    ensure_eq!(store.store.outcome(id).await?, None, "outcome of a refused commit");
    store.ensure_nothing_due("after a refused commit").await?;
    store.apply(store.empty().with_unique(take("name", "other"))).await?;
    Ok(())
}

pub(super) async fn a_commit_applied_twice_is_applied_once(store: &Fresh) -> Result<(), Failure> {
    let commit = store
        .empty()
        .with_write(put("a", Expect::Absent))
        .with_write(put("b", Expect::Anything).with_due(Due::NOW));
    let first = store.apply(commit.clone()).await?;
    let claim = store.claim("worker").await?;
    store.store.release(&claim.lease, Due::Never).await?;
    store.write(put("a", Expect::Version(1))).await?;
    let head = store.head().await?;
    let again = store.apply(commit).await?;
    ensure_eq!(again, first, "the result of the repeated commit");
    ensure_eq!(store.head().await?, head, "head after the repeated commit");
    ensure_eq!(store.version("a").await?, Some(2), "version after the repeated commit");
    store.ensure_nothing_due("after a repeated commit").await
}

pub(super) async fn a_commit_without_writes_is_remembered(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("worker").await?;
    let commit = store
        .empty()
        .with_unique(take("name", "a"))
        .with_lease(LeaseUse::Release(claim.lease.clone()));
    let first = store.apply(commit.clone()).await?;
    ensure_eq!(first.rev.0, 1, "revision of a commit without writes");
    store.apply(store.empty().with_unique(free("name", "a"))).await?;
    ensure_eq!(store.store.outcome(commit.id).await?, Some(first.clone()), "its outcome");
    // Its lease is gone by now: only the memory of the id keeps it from being refused.
    ensure_eq!(store.apply(commit).await?, first, "the result of the repeated commit");
    store.apply(store.empty().with_unique(take("name", "b"))).await?;
    Ok(())
}

pub(super) async fn revisions_are_dense_and_rise(store: &Fresh) -> Result<(), Failure> {
    let start = store.head().await?;
    ensure_eq!(start.rev.0, 0, "head of an empty store");
    let one = store.write(put("a", Expect::Absent)).await?;
    ensure_eq!(one.rev.0, 1, "first revision");
    store.refusal(store.empty().with_write(put("a", Expect::Absent))).await?;
    let wakes_only = store.apply(store.empty().with_wake(thing("a"))).await?;
    ensure_eq!(wakes_only.rev.0, 1, "revision of a commit without writes");
    let two = store.empty().with_write(put("b", Expect::Absent));
    let two = store.apply(two.with_write(put("c", Expect::Absent))).await?;
    ensure_eq!(two.rev.0, 3, "revision of the last of two writes");
    let revs: Vec<u64> =
        store.changes(&start, 10).await?.iter().map(|change| change.rev.0).collect();
    ensure_eq!(revs, [1, 2, 3], "revisions in the feed");
    let record = store.store.load(&thing("b")).await?;
    ensure_eq!(record.map(|record| record.rev.0), Some(2), "revision of a record");
    Ok(())
}

pub(super) async fn versions_count_the_writes_of_a_record(store: &Fresh) -> Result<(), Failure> {
    let start = store.head().await?;
    for version in 1..=3 {
        let committed = store.write(put("a", Expect::Anything)).await?;
        ensure_eq!(committed.version_of(&thing("a")), Some(version), "version");
        ensure_eq!(store.version("a").await?, Some(version), "loaded version");
    }
    let delete = Write::delete(thing("a"), Expect::Version(3), "thing_deleted");
    let committed = store.write(delete).await?;
    ensure_eq!(committed.version_of(&thing("a")), Some(4), "version of the delete");
    store.write(put("a", Expect::Absent)).await?;
    ensure_eq!(store.version("a").await?, Some(1), "version after it was made again");
    let versions: Vec<u64> =
        store.changes(&start, 10).await?.iter().map(|change| change.version).collect();
    ensure_eq!(versions, [1, 2, 3, 4, 1], "versions in the feed");
    Ok(())
}

pub(super) async fn deleting_the_absent_writes_nothing(store: &Fresh) -> Result<(), Failure> {
    for expect in [Expect::Anything, Expect::Absent] {
        let committed = store.write(Write::delete(thing("a"), expect, "thing_deleted")).await?;
        ensure!(committed.versions.is_empty(), "deleting the absent wrote a version");
    }
    ensure_eq!(store.head().await?.rev.0, 0, "head");
    let exact = Write::delete(thing("a"), Expect::Version(1), "thing_deleted");
    let refused = store.refusal(store.empty().with_write(exact)).await?;
    let expected = Refusal::VersionMismatch { key: thing("a"), actual: None };
    ensure_eq!(refused, expected, "refusal of an exact delete of the absent");
    Ok(())
}

pub(super) async fn a_version_that_differs_is_refused(store: &Fresh) -> Result<(), Failure> {
    store.write(put("a", Expect::Absent)).await?;
    store.write(put("a", Expect::Version(1))).await?;
    let refused = store.refusal(store.empty().with_write(put("a", Expect::Version(1)))).await?;
    let expected = Refusal::VersionMismatch { key: thing("a"), actual: Some(2) };
    ensure_eq!(refused, expected, "refusal");
    let refused = store.refusal(store.empty().with_write(put("b", Expect::Version(1)))).await?;
    let expected = Refusal::VersionMismatch { key: thing("b"), actual: None };
    ensure_eq!(refused, expected, "refusal of a version of the absent");
    Ok(())
}

pub(super) async fn a_record_that_exists_is_refused_as_absent(
    store: &Fresh,
) -> Result<(), Failure> {
    store.write(put("a", Expect::Absent)).await?;
    let refused = store.refusal(store.empty().with_write(put("a", Expect::Absent))).await?;
    let expected = Refusal::VersionMismatch { key: thing("a"), actual: Some(1) };
    ensure_eq!(refused, expected, "refusal");
    Ok(())
}

pub(super) async fn a_failed_check_refuses_the_writes(store: &Fresh) -> Result<(), Failure> {
    store.write(put("parent", Expect::Absent)).await?;
    let commit = store.empty().with_write(put("child", Expect::Absent));
    let passing = commit.clone().with_check(thing("parent"), Expect::Version(1));
    let failing = commit.with_check(thing("parent"), Expect::Version(2));
    let refused = store.refusal(failing).await?;
    let expected = Refusal::VersionMismatch { key: thing("parent"), actual: Some(1) };
    ensure_eq!(refused, expected, "refusal");
    ensure_eq!(store.version("child").await?, None, "the child of a failed check");
    // The refused commit left no trace, so its id is still free.
    store.apply(passing).await?;
    ensure_eq!(store.version("child").await?, Some(1), "the child of a check that holds");
    ensure_eq!(store.version("parent").await?, Some(1), "the checked record");
    Ok(())
}

pub(super) async fn the_outcome_of_a_commit_can_be_asked(store: &Fresh) -> Result<(), Failure> {
    let commit = store.empty().with_write(put("a", Expect::Absent));
    let commit = commit.with_write(put("b", Expect::Absent));
    ensure_eq!(store.store.outcome(commit.id).await?, None, "outcome before");
    let committed = store.apply(commit.clone()).await?;
    store.write(put("c", Expect::Absent)).await?;
    ensure_eq!(store.store.outcome(commit.id).await?, Some(committed), "outcome after");
    // A dropped future: whatever happened, the outcome and the record agree.
    let dropped = store.empty().with_write(put("d", Expect::Absent));
    let mut future = store.store.commit(dropped.clone());
    let polled = super::wait::poll_once(&mut future).await;
    drop(future);
    drop(polled);
    let first = store.apply(dropped.clone()).await?;
    ensure_eq!(store.version("d").await?, Some(1), "a dropped commit that was sent again");
    ensure_eq!(store.store.outcome(dropped.id).await?, Some(first), "its outcome");
    Ok(())
}

/// Commits that break one bound each, with its name.
fn oversized(store: &Fresh) -> Vec<(&'static str, Commit)> {
    let long = |bytes: usize| "x".repeat(bytes);
    let many = Commit::PARTS_MAX + 1;
    let id = RecordKey::ID_BYTES_MAX + 1;
    let body = |bytes: usize| Arc::<str>::from(long(bytes));
    let put_body =
        |id: &str, bytes: usize| Write::put(thing(id), Expect::Anything, body(bytes), "thing_put");
    let mut writes = store.empty();
    let mut bodies = store.empty();
    for index in 0..many {
        writes = writes.with_write(put(&index.to_string(), Expect::Anything));
    }
    for index in 0..=Commit::BODY_BYTES_MAX / Record::BODY_BYTES_MAX {
        bodies = bodies.with_write(put_body(&index.to_string(), Record::BODY_BYTES_MAX));
    }
    let mut wakes = store.empty();
    wakes.wakes = vec![thing("a"); many];
    let twice = store.empty().with_write(put("a", Expect::Anything));
    let mut actor = store.empty();
    actor.actor = Actor::named(long(Actor::BYTES_MAX + 1));
    let request = store.empty().with_request_id(Some(long(Commit::REQUEST_ID_BYTES_MAX + 1)));
    let index = [None, Some(long(Record::INDEX_BYTES_MAX + 1)), None];
    let name = take(&long(Commit::UNIQUE_BYTES_MAX + 1), "a");
    vec![
        ("many writes", writes),
        ("many wakes", wakes),
        ("a record written twice", twice.with_write(put("a", Expect::Anything))),
        ("a long id", store.empty().with_write(put(&long(id), Expect::Anything))),
        ("an empty id", store.empty().with_write(put("", Expect::Anything))),
        ("a large body", store.empty().with_write(put_body("a", Record::BODY_BYTES_MAX + 1))),
        ("large bodies together", bodies),
        ("a long actor", actor.with_write(put("a", Expect::Anything))),
        ("a long request id", request.with_write(put("a", Expect::Anything))),
        ("a long value", store.empty().with_write(put("a", Expect::Anything).with_index(index))),
        ("a long name", store.empty().with_unique(name)),
    ]
}

pub(super) async fn a_commit_over_its_bounds_is_not_applied(store: &Fresh) -> Result<(), Failure> {
    for (bound, commit) in oversized(store) {
        match store.store.commit(commit).await {
            Err(error @ CommitError::Failed(_)) => {
                ensure!(!error.may_have_happened(), "{bound}: the effect must not be unknown");
                let kind = crate::error::Error::from(error).kind();
                ensure_eq!(kind, ErrorKind::BadInput, "{bound}: kind");
            }
            other => return Err(Failure::new(format!("{bound}: {other:?}"))),
        }
    }
    ensure_eq!(store.head().await?.rev.0, 0, "head");
    // The bounds themselves are allowed.
    let body = Arc::<str>::from("x".repeat(Record::BODY_BYTES_MAX));
    let id = "i".repeat(RecordKey::ID_BYTES_MAX);
    let write = Write::put(thing(&id), Expect::Absent, Arc::clone(&body), "thing_put");
    store.write(write).await?;
    let loaded = store.store.load(&thing(&id)).await?.map(|record| record.body);
    ensure!(loaded == Some(body), "the largest body does not read back");
    Ok(())
}

pub(super) async fn a_name_is_held_by_one_record_until_released(
    store: &Fresh,
) -> Result<(), Failure> {
    let refused = |holder: &str| Refusal::UniqueTaken {
        space: SPACE,
        key: "name".to_owned(),
        holder: thing(holder),
    };
    store.apply(store.empty().with_unique(take("name", "a"))).await?;
    store.apply(store.empty().with_unique(take("name", "a"))).await?;
    let commit = store.empty().with_unique(take("name", "b"));
    ensure_eq!(store.refusal(commit.clone()).await?, refused("a"), "refusal");
    store.apply(store.empty().with_unique(free("name", "b"))).await?;
    ensure_eq!(store.refusal(commit.clone()).await?, refused("a"), "after a stranger's release");
    let elsewhere =
        UniqueChange::Claim { space: "other_name", key: "name".to_owned(), holder: thing("b") };
    store.apply(store.empty().with_unique(elsewhere)).await?;
    store.apply(store.empty().with_unique(free("name", "a"))).await?;
    store.apply(commit).await?;
    let again = store.empty().with_unique(take("name", "a"));
    ensure_eq!(store.refusal(again).await?, refused("b"), "after it changed hands");
    Ok(())
}

pub(super) async fn a_name_can_be_handed_over_in_one_commit(store: &Fresh) -> Result<(), Failure> {
    let both = store.empty().with_unique(take("name", "a")).with_unique(take("name", "b"));
    let refused = store.refusal(both).await?;
    ensure!(matches!(refused, Refusal::UniqueTaken { .. }), "one commit took a name twice");
    store.apply(store.empty().with_unique(take("name", "a"))).await?;
    let over = store.empty().with_unique(free("name", "a")).with_unique(take("name", "b"));
    store.apply(over).await?;
    let refused = store.refusal(store.empty().with_unique(take("name", "a"))).await?;
    let held = matches!(&refused, Refusal::UniqueTaken { holder, .. } if *holder == thing("b"));
    ensure!(held, "the name was not handed over: {refused}");
    Ok(())
}
