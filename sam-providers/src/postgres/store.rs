//! The store itself: hands commits to the writing task, reads and leases to the pool, and turns
//! their answers into the trait's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Pool;
use sam_core::store::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    Record, RecordKey, Store,
};
use sam_core::{CommitId, Effect, Page, Result, Secret};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::config::{PgOptions, Target};
use super::fault::Fault;
use super::schema::{self, SchemaState};
use super::watch::{self, Shared};
use super::writer::{self, Command, Writer};
use super::{leases, query};
use crate::batch::QUEUE_MAX;
use crate::deadline;

/// Longer than the server itself lets a read or a claim take.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Keeps everything in one schema of a PostgreSQL database. See the [module](super) for how.
///
/// Two tasks on the tokio runtime it was opened on belong to it. Dropping the store ends them after
/// the commits that wait; [`PgStore::close`] also waits for that.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use sam_core::Secret;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::store::{Kind, ListQuery, Store};
/// use sam_providers::postgres::{PgOptions, PgStore};
///
/// # async fn example() -> sam_core::Result<()> {
/// let url = Secret::new("postgresql://sam@localhost/sam".to_owned());
/// let options = PgOptions::new(Arc::new(SeededEntropy::new(1))); // OsEntropy outside tests
/// let store = PgStore::open(&url, options).await?;
/// assert!(store.list(&ListQuery::new(Kind::new("node"))).await?.items.is_empty());
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PgStore {
    pub(super) shared: Arc<Shared>,
    writes: mpsc::Sender<Command>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl PgStore {
    /// Opens a store, and unless the options say otherwise makes its schema or brings it up to date.
    /// Any number of processes may have it open.
    ///
    /// # Errors
    /// `BadInput` when the address or an option cannot be used; `Denied`, `NotFound`, `Unavailable`
    /// or `Timeout` when the database cannot; `Conflict` when the schema holds tables of something
    /// else. A schema of another version is no error: see [`PgStore::schema_state`].
    pub async fn open(url: &Secret<String>, options: PgOptions) -> Result<Self> {
        let target = Arc::new(Target::new(url, &options)?);
        let pool = target.pool(options.readers)?;
        let state = if options.migrate {
            schema::migrate(&target, &options.entropy).await?
        } else {
            let client = pool.get().await;
            let client = client.map_err(|error| Fault::of_pool(&error).to_error("open_store"))?;
            SchemaState::of(schema::version(&client, &target.schema).await?)
        };
        let shared = Arc::new(Shared::new(target, options.entropy, pool, state));
        if state == SchemaState::Current {
            let client = shared.pool.get().await;
            let client = client.map_err(|error| Fault::of_pool(&error).to_error("open_store"))?;
            // Before anything is read: a cursor of a restored copy must not be answered as ours.
            let known = schema::recognise(&client, &*shared.entropy).await;
            known.map_err(|fault| fault.to_error("open_store"))?;
        }
        let (writes, queue) = mpsc::channel(QUEUE_MAX);
        let writing = tokio::spawn(Writer::new(Arc::clone(&shared)).run(queue));
        let watching = tokio::spawn(watch::run(Arc::clone(&shared)));
        let store = Self { shared, writes, tasks: Mutex::new(vec![writing, watching]) };
        if options.restored {
            store.begin_epoch().await?;
        }
        if state == SchemaState::Current {
            // The first wait must know where the feed ends.
            store.changes(None, 0).await?;
        }
        Ok(store)
    }

    /// Returns how the schema was last seen to relate to this program. A store that was opened
    /// without migrating looks again each second while it is not current.
    pub fn schema_state(&self) -> SchemaState {
        self.shared.schema()
    }

    /// Brings the schema up to date and returns what it is then. A newer schema is left alone.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// `Denied`, `Unavailable` or `Timeout`; nothing was changed then.
    pub async fn migrate(&self) -> Result<SchemaState> {
        let state = schema::migrate(&self.shared.target, &self.shared.entropy)
            .await
            .map_err(|error| error.with_operation("migrate"))?;
        self.shared.found(state);
        Ok(state)
    }

    /// Finishes what waits, and ends the tasks and connections. Calls after it fail with
    /// `Unavailable`. Closing twice is closing once.
    pub async fn close(&self) {
        drop(self.writes.send(Command::Stop).await);
        self.shared.close();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the store has panicked");
            }
        }
        self.shared.pool.close();
    }

    /// Does something with the pool, unless the schema is not the one this program knows.
    pub(super) async fn with_pool<T>(
        &self,
        work: impl AsyncFnOnce(&Pool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.with_pool_until(Effect::NotApplied, work).await
    }

    /// Does something with the pool that has this effect when it takes too long.
    pub(super) async fn with_pool_until<T>(
        &self,
        effect: Effect,
        work: impl AsyncFnOnce(&Pool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.shared.is_closed() {
            return Err(Fault::closed());
        }
        self.shared.schema().require()?;
        let late = Fault::stalled(effect);
        deadline::within(CALL_DEADLINE, work(&self.shared.pool)).await.unwrap_or(Err(late))
    }

    async fn apply(&self, commit: Commit) -> writer::Answer {
        if self.shared.is_closed() {
            return Err(Fault::closed());
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Apply(Box::new(commit), reply);
        self.writes.send(command).await.map_err(|_| Fault::closed())?;
        answer.await.unwrap_or_else(|_| Err(Fault::vanished()))
    }
}

impl Drop for PgStore {
    fn drop(&mut self) {
        // The writer ends with its queue, whose sender goes with this value.
        self.shared.close();
    }
}

#[async_trait]
impl Store for PgStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        let loaded = self.with_pool(async |pool| query::load(pool, key).await).await;
        loaded.map_err(|fault| fault.to_error("load"))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        let listed = self.with_pool(async |pool| query::list(pool, query).await).await;
        listed.map_err(|fault| fault.to_error("list"))
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        commit.validate().map_err(CommitError::Failed)?;
        match self.apply(commit).await {
            Ok(Ok(committed)) => Ok(committed),
            Ok(Err(refusal)) => Err(CommitError::Refused(refusal)),
            Err(fault) => Err(CommitError::Failed(fault.to_error("commit"))),
        }
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        let outcome = self.with_pool(async |pool| query::outcome(pool, id).await).await;
        outcome.map_err(|fault| fault.to_error("outcome"))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        if self.shared.schema() != SchemaState::Current {
            return Ok(Claims::default());
        }
        let claims = self.with_pool(async |pool| leases::claim(pool, request).await).await;
        claims.map_err(|fault| fault.to_error("claim_due"))
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        let held = self.with_pool(async |pool| leases::renew(pool, lease, span).await).await;
        held.map_err(|fault| fault.to_error("renew"))
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        let held = self.with_pool(async |pool| leases::release(pool, lease, due).await).await;
        if held.map_err(|fault| fault.to_error("release"))? {
            self.shared.tell();
        }
        Ok(())
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        let read = self.with_pool(async |pool| query::changes(pool, after, limit).await).await;
        let feed = read.map_err(|fault| fault.to_error("changes"))?;
        if let Feed::Changes(sam_core::store::Changes { head, .. }) | Feed::Stale { head, .. } =
            &feed
        {
            self.shared.saw(&head.epoch, head.rev);
        }
        Ok(feed)
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        let ticket = self.shared.signal.ticket();
        if !self.shared.is_past(&after.epoch, after.rev) && !self.shared.is_closed() {
            self.shared.signal.raised_after(ticket).await;
        }
        if self.shared.is_closed() {
            return Err(Fault::closed().to_error("wait"));
        }
        Ok(())
    }
}
