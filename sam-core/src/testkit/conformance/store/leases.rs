//! C5 to C7: claims and leases.

use std::time::Duration;

use super::super::{Failure, ensure, ensure_eq};
use super::{AFTER_LEASE, Fresh, LEASE, put, thing};
use crate::store::{Due, Expect, Lease, LeaseUse, Refusal, WorkerId, Write};

fn lost(id: &str) -> Refusal {
    Refusal::LeaseLost { key: thing(id) }
}

pub(super) async fn a_commit_under_a_lost_lease_is_refused(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("worker").await?;
    ensure_eq!(claim.record.map(|record| record.version), Some(1), "the claimed record");
    let under = |lease: &Lease| {
        let commit = store.empty().with_write(put("a", Expect::Anything));
        commit.with_lease(LeaseUse::Keep(lease.clone()))
    };
    store.apply(under(&claim.lease)).await?;
    let mut forged = claim.lease.clone();
    forged.owner = WorkerId::new("thief");
    ensure_eq!(store.refusal(under(&forged)).await?, lost("a"), "another's lease");
    store.store.release(&claim.lease, Due::Never).await?;
    ensure_eq!(store.refusal(under(&claim.lease)).await?, lost("a"), "a released lease");
    store.wake("a").await?;
    let claim = store.claim("worker").await?;
    store.advance(AFTER_LEASE);
    // Nobody has claimed it since, yet it is over: its holder cannot know that nobody has.
    ensure_eq!(store.refusal(under(&claim.lease)).await?, lost("a"), "a lapsed lease");
    ensure_eq!(store.version("a").await?, Some(2), "version");
    Ok(())
}

pub(super) async fn a_claimed_record_is_not_claimed_again(store: &Fresh) -> Result<(), Failure> {
    for id in ["a", "b", "c"] {
        store.due(id).await?;
    }
    let mut keys = Vec::new();
    for (worker, expected) in [("one", 2), ("two", 1), ("three", 0)] {
        let claims = store.claims(worker, 2).await?.claims;
        ensure_eq!(claims.len(), expected, "claims of worker {worker}");
        keys.extend(claims.into_iter().map(|claim| claim.lease.key));
    }
    keys.sort();
    ensure_eq!(keys, [thing("a"), thing("b"), thing("c")], "claimed records");
    store.wake("a").await?;
    store.ensure_nothing_due("after a wake during a lease").await
}

pub(super) async fn a_lease_ends_by_itself(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let first = store.claim("one").await?;
    store.ensure_nothing_due("during a lease").await?;
    store.advance(AFTER_LEASE);
    let second = store.claim("two").await?;
    ensure_eq!(second.lease.key, first.lease.key, "the record");
    ensure!(second.lease.epoch > first.lease.epoch, "the epoch did not rise");
    Ok(())
}

pub(super) async fn a_renewed_lease_lasts_longer(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("one").await?;
    let renewed = store.store.renew(&claim.lease, LEASE * 8).await?;
    ensure!(renewed, "a held lease was not renewed");
    store.advance(AFTER_LEASE);
    store.ensure_nothing_due("during a renewed lease").await?;
    let commit = store.empty().with_write(put("a", Expect::Anything));
    store.apply(commit.with_lease(LeaseUse::Keep(claim.lease))).await?;
    Ok(())
}

pub(super) async fn a_released_record_can_be_claimed(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let first = store.claim("one").await?;
    store.store.release(&first.lease, Due::NOW).await?;
    let second = store.claim("two").await?;
    ensure!(second.lease.epoch > first.lease.epoch, "the epoch did not rise");
    store.store.release(&second.lease, Due::In(AFTER_LEASE)).await?;
    store.ensure_nothing_due("before the time that release set").await?;
    store.advance(AFTER_LEASE + Duration::from_secs(1));
    store.claim("three").await?;
    Ok(())
}

pub(super) async fn a_commit_under_an_older_epoch_is_refused(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let old = store.claim("same").await?;
    store.advance(AFTER_LEASE);
    let new = store.claim("same").await?;
    let under = |lease: Lease| {
        let commit = store.empty().with_write(put("a", Expect::Anything));
        commit.with_lease(LeaseUse::Release(lease))
    };
    ensure_eq!(store.refusal(under(old.lease)).await?, lost("a"), "the older lease");
    store.apply(under(new.lease)).await?;
    ensure_eq!(store.version("a").await?, Some(2), "version");
    Ok(())
}

pub(super) async fn epochs_keep_rising_after_a_delete(store: &Fresh) -> Result<(), Failure> {
    let mut last = 0;
    for round in 0..3 {
        store.due("a").await?;
        let claim = store.claim("worker").await?;
        ensure!(claim.lease.epoch > last, "round {round}: the epoch did not rise");
        last = claim.lease.epoch;
        store.write(Write::delete(thing("a"), Expect::Anything, "thing_deleted")).await?;
        let feed_end = store.head().await?;
        ensure_eq!(feed_end.rev.0, (round + 1) * 2, "the delete is a change");
    }
    Ok(())
}

pub(super) async fn a_lost_lease_cannot_be_renewed_or_released(
    store: &Fresh,
) -> Result<(), Failure> {
    store.due("a").await?;
    let old = store.claim("one").await?;
    store.advance(AFTER_LEASE);
    ensure!(!store.store.renew(&old.lease, LEASE).await?, "a lapsed lease was renewed");
    let new = store.claim("two").await?;
    ensure!(!store.store.renew(&old.lease, LEASE).await?, "a lost lease was renewed");
    store.store.release(&old.lease, Due::NOW).await?;
    store.ensure_nothing_due("after releasing a lost lease").await?;
    ensure!(store.store.renew(&new.lease, LEASE).await?, "the current lease was lost");
    Ok(())
}

pub(super) async fn deleting_a_record_ends_its_lease(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("worker").await?;
    store.wake("a").await?;
    store.write(Write::delete(thing("a"), Expect::Anything, "thing_deleted")).await?;
    let commit = store.empty().with_write(put("b", Expect::Anything));
    let commit = commit.with_lease(LeaseUse::Keep(claim.lease.clone()));
    ensure_eq!(store.refusal(commit).await?, lost("a"), "the lease of a deleted record");
    ensure!(!store.store.renew(&claim.lease, LEASE).await?, "it was renewed");
    store.advance(AFTER_LEASE);
    store.ensure_nothing_due("after the delete").await
}
