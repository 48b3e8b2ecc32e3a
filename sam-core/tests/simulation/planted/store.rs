//! Stores that break their contract.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::id::CommitId;
use sam_core::store::{
    Claim, ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Expect, Feed, Lease,
    ListQuery, Record, RecordKey, Rev, Store,
};
use sam_core::testkit::sim::Simulation;
use sam_core::{Page, Result};

use super::Planted;

pub(super) fn planted() -> Vec<Planted> {
    let bug = |name, breaks, invariant, plant| Planted { name, breaks, invariant, plant };
    vec![
        bug(
            "commit-lost",
            "a store says that a commit was made, and has not made it",
            "I6: cm-",
            |simulation| bent(simulation, Bend::CommitLost),
        ),
        bug(
            "half-a-commit",
            "a store makes the first write of a commit and not the others",
            "I6: the write of ",
            |simulation| bent(simulation, Bend::HalfACommit),
        ),
        bug(
            "commit-made-twice",
            "a commit that arrives twice is made twice",
            "I6: ",
            |simulation| bent(simulation, Bend::CommitMadeTwice),
        ),
        bug(
            "outcome-forgotten",
            "a store does not know that it made a commit",
            "I6: cm-",
            |simulation| bent(simulation, Bend::OutcomeForgotten),
        ),
        bug(
            "lease-given-twice",
            "a record is given to a second worker while the first has it",
            "I3: two live leases of ",
            |simulation| bent(simulation, Bend::LeaseGivenTwice),
        ),
        bug(
            "stale-owner-accepted",
            "a worker whose lease has ended may still commit",
            "I3: a commit to ",
            |simulation| bent(simulation, Bend::StaleOwnerAccepted),
        ),
        bug(
            "stale-lease-renewed",
            "a worker is told that it holds a lease which has ended",
            "I3: a lost lease of ",
            |simulation| bent(simulation, Bend::StaleLeaseRenewed),
        ),
        bug("feed-skips", "a reader of the feed misses a change", "I6: ", |simulation| {
            bent(simulation, Bend::FeedSkips)
        }),
        bug(
            "feed-reorders",
            "a reader of the feed sees two changes in the wrong order",
            "I6: ",
            |simulation| bent(simulation, Bend::FeedReorders),
        ),
        bug(
            "wakes-lost",
            "a commit does not wake the records that it names",
            "not settled: ",
            |simulation| bent(simulation, Bend::WakesLost),
        ),
        bug(
            "due-lost",
            "a record that is given back until later is never looked at again",
            "not settled: ",
            |simulation| bent(simulation, Bend::DueLost),
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    CommitLost,
    CommitMadeTwice,
    DueLost,
    FeedReorders,
    FeedSkips,
    HalfACommit,
    LeaseGivenTwice,
    OutcomeForgotten,
    StaleLeaseRenewed,
    StaleOwnerAccepted,
    WakesLost,
}

fn bent(simulation: Simulation, bend: Bend) -> Simulation {
    simulation.with_store(move |inner| {
        let state = Mutex::default();
        Arc::new(Bent { inner, bend, state })
    })
}

/// The store in memory with one thing wrong.
#[derive(Debug)]
struct Bent {
    inner: Arc<dyn Store>,
    bend: Bend,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    commits: u64,
    made: BTreeSet<CommitId>,
    given: Option<Claim>,
}

impl Bent {
    async fn head(&self) -> Result<Rev> {
        match self.inner.changes(None, 0).await? {
            Feed::Changes(changes) => Ok(changes.head.rev),
            other => panic!("the head is always told: {other:?}"),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for Bent {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.inner.load(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        self.inner.list(query).await
    }

    async fn commit(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        let number = self.with(|state| {
            state.commits += 1;
            state.commits
        });
        match self.bend {
            Bend::CommitLost if number.is_multiple_of(6) && !commit.writes.is_empty() => {
                let rev = self.head().await.map_err(CommitError::Failed)?;
                let rev = Rev(rev.0 + commit.writes.len() as u64);
                let versions = commit.writes.iter().map(|write| match write.expect {
                    Expect::Version(version) => (write.key.clone(), version + 1),
                    _ => (write.key.clone(), 1),
                });
                return Ok(Committed::new(rev, versions.collect()));
            }
            Bend::HalfACommit => commit.writes.truncate(1),
            Bend::WakesLost => commit.wakes.clear(),
            Bend::StaleOwnerAccepted => commit.lease = None,
            Bend::CommitMadeTwice => {
                let again = !self.with(|state| state.made.insert(commit.id));
                if again {
                    commit.id = CommitId::from_bits(commit.id.to_bits() ^ 1);
                    commit.writes.iter_mut().for_each(|write| write.expect = Expect::Anything);
                }
            }
            _ => {}
        }
        self.inner.commit(commit).await
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        let outcome = self.inner.outcome(id).await?;
        Ok(outcome.filter(|_| self.bend != Bend::OutcomeForgotten))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        let mut claims = self.inner.claim_due(request).await?;
        if self.bend == Bend::LeaseGivenTwice {
            if claims.claims.is_empty() {
                claims.claims.extend(self.with(|state| state.given.take()));
            } else {
                self.with(|state| state.given = claims.claims.first().cloned());
            }
        }
        Ok(claims)
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        let held = self.inner.renew(lease, span).await?;
        Ok(held || self.bend == Bend::StaleLeaseRenewed)
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        let due = if self.bend == Bend::DueLost { Due::Never } else { due };
        self.inner.release(lease, due).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        let mut feed = self.inner.changes(after, limit).await?;
        if let Feed::Changes(page) = &mut feed {
            match self.bend {
                Bend::FeedSkips => page.changes.retain(|change| change.rev.0 != 9),
                Bend::FeedReorders if page.changes.len() > 1 => page.changes.swap(0, 1),
                _ => {}
            }
        }
        Ok(feed)
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        self.inner.wait(after).await
    }
}
