//! C6 and C8: due times.

use std::time::Duration;

use super::super::{Failure, ensure, ensure_eq};
use super::{AFTER_LEASE, Fresh, LEASE, OTHER, put, thing};
use crate::store::{Claim, ClaimRequest, Due, Expect, LeaseUse, RecordKey, WorkerId, Write};

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn claims_are_earliest_first_and_of_the_kinds_asked_for(
    store: &Fresh,
) -> Result<(), Failure> {
    let other = RecordKey::new(OTHER, "o");
    for (id, seconds) in [("late", 3), ("early", 1), ("middle", 2), ("later", 60)] {
        let due = Due::In(Duration::from_secs(seconds));
        store.write(put(id, Expect::Absent).with_due(due)).await?;
    }
    let write = Write::put(other.clone(), Expect::Absent, "{}", "other_put").with_due(Due::NOW);
    store.write(write).await?;
    store.ensure_nothing_due("before the first due time").await?;
    store.advance(Duration::from_secs(5));
    let claims = store.claims("worker", 2).await?;
    let keys: Vec<_> = claims.claims.into_iter().map(|claim| claim.lease.key).collect();
    ensure_eq!(keys, [thing("early"), thing("middle")], "claims");
    ensure_eq!(claims.next_due_in, Some(Duration::ZERO), "more are due now");
    let kinds = vec![OTHER, super::THING];
    let request = ClaimRequest::new(WorkerId::new("worker"), kinds, 8, LEASE);
    let claims = store.store.claim_due(&request).await?.claims;
    let keys: Vec<_> = claims.into_iter().map(|claim| claim.lease.key).collect();
    ensure_eq!(keys, [other, thing("late")], "claims of both kinds");
    let none = ClaimRequest::new(WorkerId::new("worker"), Vec::new(), 8, LEASE);
    let claims = store.store.claim_due(&none).await?;
    ensure!(claims.claims.is_empty() && claims.next_due_in.is_none(), "claims of no kind");
    Ok(())
}

pub(super) async fn the_next_due_time_is_told(store: &Fresh) -> Result<(), Failure> {
    ensure_eq!(store.claims("worker", 1).await?.next_due_in, None, "an empty store");
    store.write(put("a", Expect::Absent).with_due(Due::In(SECOND * 30))).await?;
    let next = store.claims("worker", 1).await?.next_due_in;
    let told = next.is_some_and(|next| next > SECOND * 20 && next <= SECOND * 30);
    ensure!(told, "30 seconds ahead: {next:?}");
    store.due("b").await?;
    // The lease of what was just claimed may count: it becomes due if its holder dies.
    let next = store.claims("worker", 1).await?.next_due_in;
    ensure!(next.is_some_and(|next| next <= SECOND * 30), "beside a claim: {next:?}");
    Ok(())
}

pub(super) async fn keep_and_never_mean_what_they_say(store: &Fresh) -> Result<(), Failure> {
    store.write(put("a", Expect::Absent)).await?;
    store.ensure_nothing_due("a new record with its due time kept").await?;
    store.due("a").await?;
    store.write(put("a", Expect::Anything).with_due(Due::Keep)).await?;
    let claim = store.claim("worker").await?;
    store.store.release(&claim.lease, Due::Keep).await?;
    store.ensure_nothing_due("a claim answers the due time").await?;
    store.due("a").await?;
    store.write(put("a", Expect::Anything).with_due(Due::Never)).await?;
    store.ensure_nothing_due("after never").await?;
    store.write(put("a", Expect::Anything).with_due(Due::In(SECOND * 60))).await?;
    store.due("a").await?;
    store.claim("worker").await?;
    Ok(())
}

async fn claimed_and_woken(store: &Fresh) -> Result<Claim, Failure> {
    store.due("a").await?;
    let claim = store.claim("one").await?;
    store.wake("a").await?;
    store.ensure_nothing_due("during the lease").await?;
    Ok(claim)
}

pub(super) async fn a_wake_during_a_lease_is_in_force_after_release(
    store: &Fresh,
) -> Result<(), Failure> {
    for due in [Due::Never, Due::Keep, Due::In(SECOND * 60)] {
        let claim = claimed_and_woken(store).await?;
        store.store.release(&claim.lease, due).await?;
        let claim = store.claim("two").await?;
        store.store.release(&claim.lease, Due::Never).await?;
        store.ensure_nothing_due("after the wake was answered").await?;
    }
    Ok(())
}

pub(super) async fn a_wake_during_a_lease_is_in_force_after_a_releasing_commit(
    store: &Fresh,
) -> Result<(), Failure> {
    for due in [Due::Never, Due::Keep, Due::In(SECOND * 60)] {
        let claim = claimed_and_woken(store).await?;
        let commit = store.empty().with_write(put("a", Expect::Anything).with_due(due));
        store.apply(commit.with_lease(LeaseUse::Release(claim.lease))).await?;
        let claim = store.claim("two").await?;
        store.store.release(&claim.lease, Due::Never).await?;
        store.ensure_nothing_due("after the wake was answered").await?;
    }
    Ok(())
}

pub(super) async fn a_wake_during_a_lease_is_in_force_after_a_lapse(
    store: &Fresh,
) -> Result<(), Failure> {
    claimed_and_woken(store).await?;
    store.advance(AFTER_LEASE);
    let claim = store.claim("two").await?;
    store.store.release(&claim.lease, Due::Never).await?;
    store.ensure_nothing_due("after the wake was answered").await
}

pub(super) async fn a_later_due_time_survives_a_lapse_and_a_second_claim(
    store: &Fresh,
) -> Result<(), Failure> {
    store.due("a").await?;
    store.claim("one").await?;
    store.write(put("a", Expect::Anything).with_due(Due::In(LEASE * 4))).await?;
    store.advance(AFTER_LEASE);
    // The lapse itself made it due; that must not use up what was set for later.
    let claim = store.claim("two").await?;
    store.store.release(&claim.lease, Due::Never).await?;
    store.ensure_nothing_due("before the due time that was set").await?;
    store.advance(LEASE * 4);
    store.claim("three").await?;
    Ok(())
}

pub(super) async fn a_holder_sets_its_own_next_due_time(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("one").await?;
    let later = put("a", Expect::Anything).with_due(Due::In(SECOND * 4));
    let commit = store.empty().with_write(later);
    store.apply(commit.with_lease(LeaseUse::Release(claim.lease))).await?;
    store.ensure_nothing_due("before the time the holder set").await?;
    store.advance(SECOND * 5);
    let claim = store.claim("one").await?;
    let at_once = put("a", Expect::Anything).with_due(Due::NOW);
    let commit = store.empty().with_write(at_once);
    store.apply(commit.with_lease(LeaseUse::Keep(claim.lease.clone()))).await?;
    store.ensure_nothing_due("while the holder keeps its lease").await?;
    store.store.release(&claim.lease, Due::Never).await?;
    store.claim("two").await?;
    Ok(())
}

pub(super) async fn never_by_others_during_a_lease_takes_back_what_was_set(
    store: &Fresh,
) -> Result<(), Failure> {
    let claim = claimed_and_woken(store).await?;
    store.write(put("a", Expect::Anything).with_due(Due::Never)).await?;
    store.store.release(&claim.lease, Due::Never).await?;
    store.ensure_nothing_due("after it was taken back").await
}

pub(super) async fn a_wake_of_the_absent_is_passed_over(store: &Fresh) -> Result<(), Failure> {
    store.wake("absent").await?;
    store.ensure_nothing_due("after a wake of the absent").await?;
    store.write(put("absent", Expect::Absent)).await?;
    store.ensure_nothing_due("once it was made").await?;
    // A record made in the same commit is there to be woken.
    let commit = store.empty().with_write(put("new", Expect::Absent)).with_wake(thing("new"));
    store.apply(commit).await?;
    store.claim("worker").await?;
    Ok(())
}
