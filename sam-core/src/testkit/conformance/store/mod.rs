//! What every [`Store`] must do, clause by clause of its contract.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use sam_core::store::{MemoryStore, Store};
//! use sam_core::testkit::conformance::store::{CASES, Fresh, StoreHarness};
//! use sam_core::time::{ManualClock, Timestamp};
//!
//! #[derive(Debug)]
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl StoreHarness for Memory {
//!     async fn fresh(&self) -> Fresh {
//!         let clock = ManualClock::new(Timestamp::EPOCH);
//!         let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
//!         Fresh::new(store, move |span| clock.advance(span))
//!     }
//! }
//!
//! # futures_util::future::FutureExt::now_or_never(async {
//! for case in CASES {
//!     (case.run)(&Memory).await.unwrap_or_else(|failure| panic!("{}: {failure}", case.name));
//! }
//! # }).unwrap();
//! ```

mod commits;
mod due;
mod leases;
mod reads;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Failure, ensure};
use crate::entropy::SeededEntropy;
use crate::id::CommitId;
use crate::store::{
    Actor, Change, Claim, ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Expect,
    Feed, Kind, RecordKey, Refusal, Store, WorkerId, Write,
};
use crate::time::Timestamp;
use async_trait::async_trait;

/// Makes stores to try.
#[async_trait]
pub trait StoreHarness: fmt::Debug + Send + Sync {
    /// Makes an empty store that nobody else uses.
    async fn fresh(&self) -> Fresh;
}

/// An empty store, and the way to move its time forward.
pub struct Fresh {
    store: Arc<dyn Store>,
    advance: Box<dyn Fn(Duration) + Send + Sync>,
    entropy: SeededEntropy,
    commits: AtomicU64,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("store", &self.store).finish_non_exhaustive()
    }
}

/// One case of the suite. It makes stores of its own, which go with it.
pub type Case = super::Case<dyn StoreHarness>;

macro_rules! cases {
    ($($module:ident: $($clause:ident $name:ident),+;)+) => {
        /// Every case.
        pub static CASES: &[Case] = &[$($(super::Case {
            name: stringify!($name),
            clause: concat!("Store ", stringify!($clause)),
            applies: |_| true,
            run: |harness| Box::pin(async move { $module::$name(&harness.fresh().await).await }),
        }),+),+];

        super::runners!(StoreHarness);
    };
}

cases! {
    commits:
        C1 a_commit_applies_all_its_parts,
        C1 a_refused_commit_applies_none_of_its_parts,
        C2 a_commit_applied_twice_is_applied_once,
        C2 a_commit_without_writes_is_remembered,
        C3 revisions_are_dense_and_rise,
        C4 versions_count_the_writes_of_a_record,
        C4 deleting_the_absent_writes_nothing,
        C5 a_version_that_differs_is_refused,
        C5 a_record_that_exists_is_refused_as_absent,
        C5 a_failed_check_refuses_the_writes,
        C11 the_outcome_of_a_commit_can_be_asked,
        C13 a_commit_over_its_bounds_is_not_applied,
        C14 a_name_is_held_by_one_record_until_released,
        C14 a_name_can_be_handed_over_in_one_commit;
    leases:
        C5 a_commit_under_a_lost_lease_is_refused,
        C6 a_claimed_record_is_not_claimed_again,
        C6 a_lease_ends_by_itself,
        C6 a_renewed_lease_lasts_longer,
        C6 a_released_record_can_be_claimed,
        C7 a_commit_under_an_older_epoch_is_refused,
        C7 epochs_keep_rising_after_a_delete,
        C7 a_lost_lease_cannot_be_renewed_or_released,
        C7 deleting_a_record_ends_its_lease;
    due:
        C6 claims_are_earliest_first_and_of_the_kinds_asked_for,
        C6 the_next_due_time_is_told,
        C6 keep_and_never_mean_what_they_say,
        C8 a_wake_during_a_lease_is_in_force_after_release,
        C8 a_wake_during_a_lease_is_in_force_after_a_releasing_commit,
        C8 a_wake_during_a_lease_is_in_force_after_a_lapse,
        C8 a_later_due_time_survives_a_lapse_and_a_second_claim,
        C8 a_holder_sets_its_own_next_due_time,
        C8 never_by_others_during_a_lease_takes_back_what_was_set,
        C8 a_wake_of_the_absent_is_passed_over;
    reads:
        C9 the_feed_is_read_in_pages_without_a_gap,
        C9 a_change_tells_who_did_what,
        C9 a_cursor_of_another_history_is_stale,
        C9 large_bodies_come_in_several_pages,
        C10 a_list_pages_by_id,
        C10 a_list_filters_by_each_indexed_value,
        C10 a_list_pages_each_record_once_while_others_write;
    wait:
        C12 a_wait_behind_the_head_completes_at_once,
        C12 a_wait_completes_after_a_commit,
        C12 a_wait_completes_after_a_release,
        C12 a_dropped_wait_disturbs_nobody;
}

/// How long the leases of the cases last.
const LEASE: Duration = Duration::from_secs(2);
/// Longer than a lease lasts.
const AFTER_LEASE: Duration = Duration::from_secs(3);
const THING: Kind = Kind::new("thing");
const OTHER: Kind = Kind::new("other");

/// The key of a `thing`.
fn thing(id: &str) -> RecordKey {
    RecordKey::new(THING, id)
}

/// A write of a `thing`.
fn put(id: &str, expect: Expect) -> Write {
    Write::put(thing(id), expect, r#"{"format":1}"#, "thing_put")
}

impl Fresh {
    /// Hands over an empty store; `advance` moves its time forward by at least the span, and blocks
    /// until it has.
    pub fn new(store: Arc<dyn Store>, advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        let entropy = SeededEntropy::new(0x5a4d);
        Self { store, advance: Box::new(advance), entropy, commits: AtomicU64::new(0) }
    }

    fn advance(&self, span: Duration) {
        (self.advance)(span);
    }

    /// An empty commit under an id of its own.
    fn empty(&self) -> Commit {
        let count = self.commits.fetch_add(1, Ordering::Relaxed);
        let made_at = Timestamp::EPOCH.plus(Duration::from_millis(count));
        Commit::new(CommitId::new(made_at, &self.entropy), Actor::named("tester"))
    }

    async fn apply(&self, commit: Commit) -> Result<Committed, Failure> {
        Ok(self.store.commit(commit).await?)
    }

    async fn write(&self, write: Write) -> Result<Committed, Failure> {
        self.apply(self.empty().with_write(write)).await
    }

    /// Writes a `thing` that is due at once.
    async fn due(&self, id: &str) -> Result<(), Failure> {
        let write = put(id, Expect::Anything).with_due(crate::store::Due::NOW);
        self.write(write).await.map(drop)
    }

    /// Makes a record due, as somebody else would.
    async fn wake(&self, id: &str) -> Result<(), Failure> {
        self.apply(self.empty().with_wake(thing(id))).await.map(drop)
    }

    async fn refusal(&self, commit: Commit) -> Result<Refusal, Failure> {
        match self.store.commit(commit).await {
            Err(CommitError::Refused(refusal)) => Ok(refusal),
            Err(CommitError::Failed(error)) => Err(error.into()),
            Ok(_) => Err(Failure::new("a commit passed that must be refused")),
        }
    }

    async fn claims(&self, owner: &str, limit: usize) -> Result<Claims, Failure> {
        let request = ClaimRequest::new(WorkerId::new(owner), vec![THING], limit, LEASE);
        Ok(self.store.claim_due(&request).await?)
    }

    /// Claims the one thing that must be due.
    async fn claim(&self, owner: &str) -> Result<Claim, Failure> {
        let mut claims = self.claims(owner, 2).await?.claims;
        ensure!(claims.len() == 1, "{} records were claimed, expected one", claims.len());
        claims.pop().ok_or_else(|| Failure::new("no claim"))
    }

    async fn ensure_nothing_due(&self, when: &str) -> Result<(), Failure> {
        let claims = self.claims("nobody", 8).await?.claims;
        ensure!(claims.is_empty(), "{when}, {} was due", claims[0].lease.key);
        Ok(())
    }

    async fn version(&self, id: &str) -> Result<Option<u64>, Failure> {
        Ok(self.store.load(&thing(id)).await?.map(|record| record.version))
    }

    async fn head(&self) -> Result<Cursor, Failure> {
        match self.store.changes(None, 1).await? {
            Feed::Changes(changes) => Ok(changes.head),
            Feed::Stale { .. } => Err(Failure::new("no cursor at all is said to be stale")),
        }
    }

    async fn changes(&self, after: &Cursor, limit: usize) -> Result<Vec<Change>, Failure> {
        match self.store.changes(Some(after), limit).await? {
            Feed::Changes(changes) => Ok(changes.changes),
            Feed::Stale { .. } => Err(Failure::new(format!("cursor {after} is said to be stale"))),
        }
    }
}
