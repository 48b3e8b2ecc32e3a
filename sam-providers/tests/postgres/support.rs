//! What the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::entropy::SeededEntropy;
use sam_core::store::{
    Actor, Change, ClaimRequest, Commit, Cursor, Expect, Feed, Kind, RecordKey, Rev, Store,
    WorkerId, Write,
};
use sam_core::testkit::conformance::store::{Fresh, StoreHarness};
use sam_core::{CommitId, Secret};
use sam_providers::postgres::{PgOptions, PgStore};
use tokio_postgres::{Client, NoTls};

/// Longer than any test takes, for those that would hang.
const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) const THING: Kind = Kind::new("thing");

/// Runs a test on two threads, under a deadline.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let within = async { tokio::time::timeout(DEADLINE, test).await };
    runtime.block_on(within).expect("the test took longer than its deadline")
}

#[expect(clippy::disallowed_methods, reason = "where the peer of the tests is")]
pub(crate) fn url() -> String {
    let local = || "postgresql://postgres@127.0.0.1:5432/test".to_owned();
    std::env::var("SAM_TEST_POSTGRES_URL").unwrap_or_else(|_| local())
}

#[expect(clippy::disallowed_methods, reason = "whether a missing peer is an error")]
pub(crate) fn must_have_peers() -> bool {
    std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// Tells whether a server answers.
pub(crate) fn server() -> Result<(), String> {
    apart(async {
        match tokio_postgres::connect(&url(), NoTls).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("no PostgreSQL answers (SAM_TEST_POSTGRES_URL): {error}")),
        }
    })
}

/// Runs something on a thread and a runtime of its own, and waits for it: for what must not depend
/// on the runtime of a test.
pub(crate) fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work)
        };
        scope.spawn(run).join().unwrap()
    })
}

/// A connection of a test's own, beside the store.
pub(crate) async fn connect() -> Client {
    let (client, connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A schema of a test's own, removed at the end.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) schema: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        Self { schema: format!("sam_test_{}_{since}_{number}", std::process::id()) }
    }

    pub(crate) fn options(&self) -> PgOptions {
        // Seeds differ, as the entropy of replicas does.
        static SEED: AtomicU64 = AtomicU64::new(1);
        let entropy = SeededEntropy::new(SEED.fetch_add(1, Ordering::Relaxed));
        PgOptions::new(Arc::new(entropy)).with_schema(&self.schema).with_readers(2)
    }

    pub(crate) async fn open(&self) -> PgStore {
        open(self.options()).await.unwrap()
    }

    /// Runs statements in the schema.
    pub(crate) async fn execute(&self, sql: &str) -> Client {
        let client = connect().await;
        let path = format!("SET search_path = {}", self.schema);
        client.batch_execute(&path).await.unwrap();
        client.batch_execute(sql).await.unwrap();
        client
    }

    /// Moves the store's time forward.
    pub(crate) fn advance(&self, span: Duration) {
        let micros = span.as_micros();
        let sql = format!("UPDATE head SET ahead = ahead + {micros}");
        apart(async { drop(self.execute(&sql).await) });
    }

    /// Ends connections of stores in this schema; returns how many.
    pub(crate) async fn kill(&self, which: &str) -> i64 {
        let client = connect().await;
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = '{}' AND {which}",
            self.schema
        );
        client.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        apart(async { drop(connect().await.batch_execute(&sql).await) });
    }
}

/// Opens a store whose sessions bear the name of its schema.
pub(crate) async fn open(options: PgOptions) -> sam_core::Result<PgStore> {
    let url = named(&url(), options.schema());
    PgStore::open(&Secret::new(url), options).await
}

fn named(url: &str, name: &str) -> String {
    if url.starts_with("postgres") {
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}application_name={name}")
    } else {
        format!("{url} application_name={name}")
    }
}

/// Makes stores in schemas of their own.
#[derive(Debug)]
pub(crate) struct Schemas;

#[async_trait]
impl StoreHarness for Schemas {
    async fn fresh(&self) -> Fresh {
        let place = Place::new();
        let store: Arc<dyn Store> = Arc::new(place.open().await);
        // The closure keeps the schema until the case is over.
        Fresh::new(store, move |span| place.advance(span))
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

pub(crate) fn request(owner: &str, limit: usize, lease: Duration) -> ClaimRequest {
    ClaimRequest::new(WorkerId::new(owner), vec![THING], limit, lease)
}

pub(crate) async fn head(store: &PgStore) -> Cursor {
    match store.changes(None, 0).await.unwrap() {
        Feed::Changes(changes) => changes.head,
        other => panic!("{other:?}"),
    }
}

/// Reads the whole feed after a revision; panics unless it is dense up to the head.
pub(crate) async fn feed(store: &PgStore, after: Rev) -> Vec<Change> {
    let head = head(store).await;
    let mut all: Vec<Change> = Vec::new();
    loop {
        let rev = all.last().map_or(after, |change| change.rev);
        if rev >= head.rev {
            return all;
        }
        let cursor = Cursor::new(head.epoch.clone(), rev);
        let Feed::Changes(page) = store.changes(Some(&cursor), 500).await.unwrap() else {
            panic!("{cursor} is stale")
        };
        assert_eq!(page.changes.first().map(|change| change.rev), Some(Rev(rev.0 + 1)));
        all.extend(page.changes);
        assert!(all.is_sorted_by(|a, b| a.rev.0 + 1 == b.rev.0), "the feed has a gap");
    }
}
