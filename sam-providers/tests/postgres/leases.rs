//! Leases between replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sam_core::store::{CommitError, Due, LeaseUse, RecordKey, Refusal, Store as _};
use sam_providers::postgres::PgStore;

use super::support::{Place, commit, key, put, request};

const LEASE: Duration = Duration::from_mins(5);

/// Claims until nothing is due any more.
async fn claim_all(store: Arc<PgStore>, owner: u64) -> Vec<(RecordKey, u64)> {
    let asked = request(&format!("worker-{owner}"), 7, LEASE);
    let mut claimed: Vec<(RecordKey, u64)> = Vec::new();
    loop {
        let claims = store.claim_due(&asked).await.unwrap();
        // Skipped rows may be locked by a claim that has not ended: look once more then.
        if claims.claims.is_empty() && claims.next_due_in.is_some_and(|next| !next.is_zero()) {
            return claimed;
        }
        for claim in claims.claims {
            assert!(claim.record.is_some());
            claimed.push((claim.lease.key, claim.lease.epoch));
        }
    }
}

pub(crate) async fn two_replicas_never_claim_the_same_record() {
    const RECORDS: u128 = 400;
    let place = Place::new();
    let (one, two) = (Arc::new(place.open().await), Arc::new(place.open().await));
    for first in (0..RECORDS).step_by(50) {
        let due = (first..first + 50)
            .fold(commit(first + 1), |made, id| made.with_write(put(id, "{}").with_due(Due::NOW)));
        one.commit(due).await.unwrap();
    }
    let store = |owner: u64| Arc::clone(if owner.is_multiple_of(2) { &one } else { &two });
    let tasks: Vec<_> = (0..8).map(|owner| tokio::spawn(claim_all(store(owner), owner))).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let records: BTreeSet<_> = all.iter().map(|(key, _)| key).collect();
    let epochs: BTreeSet<_> = all.iter().map(|(_, epoch)| epoch).collect();
    let expected = usize::try_from(RECORDS).unwrap();
    assert_eq!((all.len(), records.len(), epochs.len()), (expected, expected, expected));
}

pub(crate) async fn a_stale_owner_is_fenced_off_by_another_replica() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    one.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    // The same name on purpose: only the epoch tells them apart.
    let old = one.claim_due(&request("same", 1, LEASE)).await.unwrap().claims.remove(0);
    place.advance(LEASE * 2);
    let new = two.claim_due(&request("same", 1, LEASE)).await.unwrap().claims.remove(0);
    assert!(new.lease.epoch > old.lease.epoch);
    let under = |bits, lease| {
        commit(bits).with_write(put("a", "{\"by\":1}")).with_lease(LeaseUse::Keep(lease))
    };
    let refused = one.commit(under(2, old.lease.clone())).await;
    let lost = Refusal::LeaseLost { key: key("a") };
    assert!(matches!(&refused, Err(CommitError::Refused(why)) if *why == lost), "{refused:?}");
    assert!(!one.renew(&old.lease, LEASE).await.unwrap());
    one.release(&old.lease, Due::NOW).await.unwrap();
    two.commit(under(3, new.lease.clone())).await.unwrap();
    assert_eq!(one.load(&key("a")).await.unwrap().map(|record| record.version), Some(2));
    assert!(one.renew(&new.lease, LEASE).await.unwrap(), "a lease is good on every replica");
}

pub(crate) async fn leases_outlive_the_process_that_opened_the_store() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(commit(1).with_write(put("a", "{}").with_due(Due::NOW))).await.unwrap();
    let claim = store.claim_due(&request("one", 1, LEASE)).await.unwrap().claims.remove(0);
    store.close().await;
    let store = place.open().await;
    let claims = store.claim_due(&request("two", 1, LEASE)).await.unwrap();
    assert!(claims.claims.is_empty(), "another replica may still work under it");
    let under = commit(2).with_write(put("a", "{}")).with_lease(LeaseUse::Release(claim.lease));
    store.commit(under).await.unwrap();
}
