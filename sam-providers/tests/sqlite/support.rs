//! What the tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::entropy::SeededEntropy;
use sam_core::store::{
    Actor, Change, Commit, Cursor, Epoch, Expect, Feed, Kind, RecordKey, Rev, Store, Write,
};
use sam_core::testkit::conformance::store::{Fresh, StoreHarness};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{CommitId, Result};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// Longer than any test takes, for those that would hang.
const DEADLINE: Duration = Duration::from_mins(1);

/// Runs a test on two threads, under a deadline.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let within = async { tokio::time::timeout(DEADLINE, test).await };
    runtime.block_on(within).expect("the test took longer than its deadline")
}

pub(crate) const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
pub(crate) const THING: Kind = Kind::new("thing");

/// A directory with a store's path in it, removed at the end.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) clock: ManualClock,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sam.db");
        Self { directory, path, clock: ManualClock::new(START) }
    }

    pub(crate) fn open(&self) -> SqliteStore {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<SqliteStore> {
        open(&self.path, self.clock.clone())
    }
}

pub(crate) fn open(path: &Path, clock: ManualClock) -> Result<SqliteStore> {
    SqliteStore::open(path, Arc::new(clock), options())
}

pub(crate) fn options() -> SqliteOptions {
    SqliteOptions::new(Arc::new(SeededEntropy::new(11)))
}

/// Makes stores in directories of their own.
#[derive(Debug)]
pub(crate) struct Files;

#[async_trait]
impl StoreHarness for Files {
    async fn fresh(&self) -> Fresh {
        let place = Place::new();
        let store: Arc<dyn Store> = Arc::new(place.open());
        // The closure keeps the directory until the case is over.
        Fresh::new(store, move |span| place.clock.advance(span))
    }
}

pub(crate) fn key(id: impl std::fmt::Display) -> RecordKey {
    RecordKey::new(THING, id)
}

pub(crate) fn commit(bits: u128) -> Commit {
    Commit::new(CommitId::from_bits(bits), Actor::system())
}

pub(crate) fn put(id: impl std::fmt::Display, body: &str) -> Write {
    Write::put(key(id), Expect::Anything, body, "thing_put")
}

pub(crate) async fn head(store: &SqliteStore) -> Cursor {
    match store.changes(None, 0).await.unwrap() {
        Feed::Changes(changes) => changes.head,
        other => panic!("{other:?}"),
    }
}

/// Reads the whole feed after a revision; panics unless it is dense up to the head.
pub(crate) async fn feed(store: &SqliteStore, after: Rev) -> Vec<Change> {
    let head = head(store).await;
    let mut all: Vec<Change> = Vec::new();
    loop {
        let rev = all.last().map_or(after, |change| change.rev);
        if rev == head.rev {
            return all;
        }
        let cursor = Cursor::new(Epoch::new(head.epoch.as_str()), rev);
        let Feed::Changes(page) = store.changes(Some(&cursor), 500).await.unwrap() else {
            panic!("{cursor} is stale")
        };
        assert_eq!(page.changes.first().map(|change| change.rev), Some(Rev(rev.0 + 1)));
        all.extend(page.changes);
        assert!(all.is_sorted_by(|a, b| a.rev.0 + 1 == b.rev.0), "the feed has a gap");
    }
}
