//! The store suite: passed by the store in memory, and failed by stores with one defect each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::Page;
use sam_core::error::{Effect, Result};
use sam_core::id::CommitId;
use sam_core::store::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    MemoryStore, Record, RecordKey, Store,
};
use sam_core::testkit::conformance::store::{self, CASES, Case, Fresh, StoreHarness};
use sam_core::testkit::conformance::{Harness, Outcome, at_once};
use sam_core::time::{ManualClock, Timestamp};

/// Makes stores in memory, sound or with a defect.
#[derive(Debug, Clone, Copy)]
struct Memory(Option<Defect>);

#[async_trait]
impl StoreHarness for Memory {
    async fn fresh(&self) -> Fresh {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let memory = MemoryStore::new(Arc::new(clock.clone()));
        let store: Arc<dyn Store> = match self.0 {
            None => Arc::new(memory),
            Some(defect) => Arc::new(Faulty { memory, defect, commits: AtomicU64::new(1) }),
        };
        Fresh::new(store, move |span| clock.advance(span))
    }
}

impl Harness for Memory {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

/// Makes stores in memory that are shared twice.
#[derive(Debug, Clone, Copy)]
struct Shared;

#[async_trait]
impl StoreHarness for Shared {
    async fn fresh(&self) -> Fresh {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let store: Box<dyn Store> = Box::new(MemoryStore::new(Arc::new(clock.clone())));
        let store: Arc<dyn Store> = Arc::new(store);
        Fresh::new(Arc::new(store), move |span| clock.advance(span))
    }
}

impl Harness for Shared {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

/// What can be wrong with a store, and the clause that is broken by it.
#[derive(Debug, Clone, Copy)]
enum Defect {
    AppliesWritesOneByOne,
    ForgetsCommitIds,
    ForgetsWakes,
    GivesLeasesOfNoLength,
    HasOneVersion,
    IgnoresChecks,
    IgnoresLeases,
    KnowsNoOutcome,
    ListsFromTheStart,
    LosesTheFirstChange,
    NeverEndsAWait,
    SharesNames,
    SkipsARevision,
    UsesOneEpoch,
    DoubtsItsBounds,
}

const DEFECTS: &[(Defect, &str)] = &[
    (Defect::AppliesWritesOneByOne, "C1"),
    (Defect::ForgetsCommitIds, "C2"),
    (Defect::SkipsARevision, "C3"),
    (Defect::HasOneVersion, "C4"),
    (Defect::IgnoresChecks, "C5"),
    (Defect::IgnoresLeases, "C5"),
    (Defect::GivesLeasesOfNoLength, "C6"),
    (Defect::UsesOneEpoch, "C7"),
    (Defect::ForgetsWakes, "C8"),
    (Defect::LosesTheFirstChange, "C9"),
    (Defect::ListsFromTheStart, "C10"),
    (Defect::KnowsNoOutcome, "C11"),
    (Defect::NeverEndsAWait, "C12"),
    (Defect::DoubtsItsBounds, "C13"),
    (Defect::SharesNames, "C14"),
];

#[derive(Debug)]
struct Faulty {
    memory: MemoryStore,
    defect: Defect,
    commits: AtomicU64,
}

impl Faulty {
    fn fresh_id(&self) -> CommitId {
        CommitId::from_bits(self.commits.fetch_add(1, Ordering::Relaxed).into())
    }

    async fn one_by_one(&self, commit: Commit) -> Result<Committed, CommitError> {
        for write in &commit.writes {
            let alone = Commit::new(self.fresh_id(), commit.actor.clone());
            self.memory.commit(alone.with_write(write.clone())).await?;
        }
        let mut rest = commit;
        rest.writes.clear();
        self.memory.commit(rest).await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        let mut record = self.memory.load(key).await?;
        if let (Defect::HasOneVersion, Some(record)) = (self.defect, &mut record) {
            record.version = 1;
        }
        Ok(record)
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        let mut query = query.clone();
        if matches!(self.defect, Defect::ListsFromTheStart) {
            query.after = None;
        }
        self.memory.list(&query).await
    }

    async fn commit(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        match self.defect {
            Defect::AppliesWritesOneByOne => return self.one_by_one(commit).await,
            Defect::ForgetsCommitIds => commit.id = self.fresh_id(),
            Defect::ForgetsWakes => commit.wakes.clear(),
            Defect::IgnoresChecks => commit.checks.clear(),
            Defect::IgnoresLeases => commit.lease = None,
            Defect::SharesNames => commit.unique.clear(),
            _ => {}
        }
        let mut committed = self.memory.commit(commit).await;
        match (self.defect, &mut committed) {
            (Defect::SkipsARevision, Ok(committed)) => committed.rev.0 += 1,
            (Defect::DoubtsItsBounds, Err(_)) => {
                committed = committed.map_err(|error| {
                    CommitError::Failed(sam_core::Error::from(error).with_effect(Effect::Unknown))
                });
            }
            _ => {}
        }
        committed
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        match self.defect {
            Defect::KnowsNoOutcome => Ok(None),
            _ => self.memory.outcome(id).await,
        }
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        let mut request = request.clone();
        if matches!(self.defect, Defect::GivesLeasesOfNoLength) {
            request.span = Duration::ZERO;
        }
        let mut claims = self.memory.claim_due(&request).await?;
        if matches!(self.defect, Defect::UsesOneEpoch) {
            claims.claims.iter_mut().for_each(|claim| claim.lease.epoch = 1);
        }
        Ok(claims)
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        self.memory.renew(lease, span).await
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        self.memory.release(lease, due).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        let mut feed = self.memory.changes(after, limit).await?;
        if let (Defect::LosesTheFirstChange, Feed::Changes(changes)) = (self.defect, &mut feed) {
            changes.changes = changes.changes.split_off(changes.changes.len().min(1));
        }
        Ok(feed)
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        match self.defect {
            Defect::NeverEndsAWait => std::future::pending().await,
            _ => self.memory.wait(after).await,
        }
    }
}

/// Nothing in memory waits for anything outside, so a case that does not complete at once never
/// would.
fn run(case: &Case, memory: Memory) -> Result<(), Failed> {
    (case.run)(&memory)
        .now_or_never()
        .ok_or("the case waits for something that never comes")?
        .map_err(|failure| failure.to_string().into())
}

/// A suite that passes a broken store is worth nothing.
fn notices(defect: Defect, clause: &str) -> Result<(), Failed> {
    let failed = |case: &&Case| run(case, Memory(Some(defect))).is_err();
    let clauses: Vec<&str> = CASES.iter().filter(failed).map(|case| case.clause).collect();
    if clauses.contains(&format!("Store {clause}").as_str()) {
        return Ok(());
    }
    Err(format!("no case of {clause} fails, only {clauses:?}").into())
}

fn main() -> ExitCode {
    let mut trials = sam_core::conformance_trials! {
        store::trials("memory", "", || Memory(None)),
        store::trials("memory_in_arc", "", || Shared),
    };
    trials.extend(DEFECTS.iter().map(|&(defect, clause)| {
        Trial::test(format!("notices::{clause}::{defect:?}"), move || notices(defect, clause))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
