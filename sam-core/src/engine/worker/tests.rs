//! A peer that hangs holds up its own lane and nothing else; a store that is away for a moment holds up
//! what is in motion no longer than that.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};

use super::*;
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Stored, Transition, decode, encode};
use crate::entropy::SeededEntropy;
use crate::id::CommitId;
use crate::page::Page;
use crate::store::{
    Actor, Claims, Commit, CommitError, Committed, Expect, Feed, Index, ListQuery, MemoryStore,
    Record, RecordKey, Write,
};
use crate::time::{ManualClock, Timestamp};
use crate::{Error, ErrorKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Peer {
    Answers,
    Hangs,
    Nobody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Thing {
    format: u32,
    id: String,
    peer: Peer,
    done: bool,
}

impl Stored for Thing {
    const KIND: Kind = Kind::new("thing");
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        RecordKey::new(Self::KIND, &self.id)
    }

    fn index(&self) -> Index {
        Index::default()
    }

    fn format(&self) -> u32 {
        self.format
    }

    fn upcast(_from: u32, body: serde_json::Value) -> Result<serde_json::Value> {
        Ok(body)
    }
}

/// Counts the calls to the peer that hangs.
#[derive(Debug, Default)]
struct Things(Arc<AtomicUsize>);

#[async_trait]
impl Resource for Things {
    type Record = Thing;
    type Look = ();
    type Effect = ();
    type Observation = ();

    fn decide(&self, thing: &Thing, seen: Option<&()>, _now: Timestamp) -> Result<Decision<Self>> {
        Ok(match (thing.done, seen) {
            (true, _) => Decision::Rest(Due::Never),
            (false, None) => Decision::Look(()),
            (false, Some(())) => {
                let next = Thing { done: true, ..thing.clone() };
                Decision::Write(Box::new(Transition::new(next, "done").with_due(Due::Never)))
            }
        })
    }

    fn intends(&self, _thing: &Thing, _effect: &()) -> bool {
        false
    }

    fn check(&self, _from: &Thing, _to: &Thing) -> Result<(), InvalidTransition> {
        Ok(())
    }

    fn lane(&self, thing: &Thing, _asked: Asked<'_, (), ()>) -> Option<Lane> {
        (thing.peer != Peer::Nobody).then(|| Lane::new("peer", format_args!("{:?}", thing.peer)))
    }

    async fn look(&self, thing: &Thing, (): &()) {
        if thing.peer == Peer::Hangs {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
    }

    async fn act(&self, _thing: &Thing, (): &()) {}
}

struct Rig {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    calls: Arc<AtomicUsize>,
    engine: Engine,
}

fn rig(config: EngineConfig) -> Rig {
    let clock = ManualClock::new(Timestamp::EPOCH);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
    let things = Things::default();
    let calls = Arc::clone(&things.0);
    let entropy = Arc::new(SeededEntropy::new(1));
    let worker = WorkerId::new("w");
    let engine =
        Engine::new(Arc::clone(&store) as _, shared, entropy, worker, config).with_resource(things);
    Rig { store, clock, calls, engine }
}

impl Rig {
    fn add(&self, peer: Peer, count: usize) {
        for number in 0..count {
            let id = format!("{peer:?}-{number}");
            let thing = Thing { format: 1, id, peer, done: false };
            let write = Write::put(thing.key(), Expect::Absent, encode(&thing).unwrap(), "made")
                .with_due(Due::NOW);
            let id = CommitId::new(self.clock.now(), &*self.engine.entropy);
            let commit = Commit::new(id, Actor::system()).with_write(write);
            self.store.commit(commit).now_or_never().unwrap().unwrap();
        }
    }

    fn done(&self, peer: Peer) -> usize {
        let query = ListQuery::new(Thing::KIND);
        let page = self.store.list(&query).now_or_never().unwrap().unwrap();
        let things = page.items.iter().map(|item| decode::<Thing>(item).unwrap().record);
        things.filter(|thing| thing.peer == peer && thing.done).count()
    }
}

#[test]
fn a_peer_that_hangs_holds_up_nobody_else() {
    let config = EngineConfig::default().with_concurrency(4).with_lanes(2, 3);
    let rig = rig(config);
    // What hangs is due first, and there is ten times as much of it as may be worked on at once.
    rig.add(Peer::Hangs, 40);
    rig.add(Peer::Answers, 20);
    rig.add(Peer::Nobody, 20);
    let mut running = std::pin::pin!(rig.engine.run(std::future::pending()));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        assert!(running.as_mut().poll(&mut context).is_pending());
        assert!(rig.engine.lanes.places() <= 5);
    }
    assert_eq!((rig.done(Peer::Answers), rig.done(Peer::Nobody)), (20, 20));
    assert_eq!(rig.calls.load(Ordering::Relaxed), 2);
    // What was put off comes again, finds the lane full, and holds up nobody either.
    rig.clock.advance(Duration::from_secs(3));
    for _ in 0..100 {
        assert!(running.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(rig.calls.load(Ordering::Relaxed), 2);
    assert!(rig.engine.lanes.places() <= 5);
}

#[test]
fn a_lane_that_is_large_enough_takes_all_that_hangs_at_once() {
    // What waits in a lane is not counted among the records that are worked on.
    let rig = rig(EngineConfig::default().with_concurrency(4).with_lanes(40, 0));
    rig.add(Peer::Hangs, 40);
    rig.add(Peer::Answers, 5);
    let mut running = std::pin::pin!(rig.engine.run(std::future::pending()));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        assert!(running.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(rig.calls.load(Ordering::Relaxed), 40);
    assert_eq!(rig.done(Peer::Answers), 5);
}

#[test]
fn a_turn_that_ends_is_given_to_the_next_in_line() {
    let lanes = Lanes::new(1, 1);
    let lane = || Lane::new("peer", 1);
    let (first, second) = (lanes.enter(lane()).unwrap(), lanes.enter(lane()).unwrap());
    assert!(lanes.enter(lane()).is_none());
    assert!(lanes.enter(Lane::new("peer", 2)).is_some());
    let mut working = Box::pin(first.during(std::future::pending::<()>()));
    assert!((&mut working).now_or_never().is_none());
    let mut waiting = Box::pin(second.during(std::future::ready(7)));
    assert!((&mut waiting).now_or_never().is_none());
    drop(working);
    assert_eq!(waiting.now_or_never(), Some(7));
    drop((first, second));
    assert_eq!(lanes.places(), 0);
    assert!(lanes.enter(lane()).is_some());
}

/// A store that can be away: then it takes no commit and no lease back.
#[derive(Debug)]
struct Away {
    store: Arc<MemoryStore>,
    is_away: AtomicBool,
}

impl Away {
    fn answers(&self) -> Result<()> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the store is away"));
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Away {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.store.load(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        self.store.list(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.answers().map_err(CommitError::Failed)?;
        self.store.commit(commit).await
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        self.store.outcome(id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        self.store.claim_due(request).await
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        self.store.renew(lease, span).await
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        self.answers()?;
        self.store.release(lease, due).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        self.store.changes(after, limit).await
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        self.store.wait(after).await
    }
}

#[test]
fn what_a_store_that_was_away_did_not_let_finish_goes_on_when_it_is_back() {
    let mut rig = rig(EngineConfig::default());
    let away = Arc::new(Away { store: Arc::clone(&rig.store), is_away: AtomicBool::new(true) });
    rig.engine.store = Arc::clone(&away) as _;
    rig.add(Peer::Answers, 3);
    let engine = &rig.engine;
    let mut running = Box::pin(engine.run(future::pending()));
    let context = &mut Context::from_waker(Waker::noop());
    let mut pass = |span: Duration| {
        let step = Duration::from_millis(50);
        let mut left = span;
        while !left.is_zero() {
            assert!(running.as_mut().poll(context).is_pending());
            rig.clock.advance(step);
            left = left.saturating_sub(step);
        }
        assert!(running.as_mut().poll(context).is_pending());
    };
    pass(Duration::from_secs(3));
    away.is_away.store(false, Ordering::Relaxed);
    // Within the longest pause and the rest after it, far from the end of the leases.
    pass(UNFINISHED * 2 + Duration::from_millis(200));
    assert_eq!(rig.done(Peer::Answers), 3);
}
