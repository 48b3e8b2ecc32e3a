//! The store itself: hands work to the threads and turns their answers into the trait's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use sam_core::Page;
use sam_core::store::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    Record, RecordKey, Signal, Store, StoreTime, WriteOp,
};
use sam_core::time::Clock;
use sam_core::{CommitId, Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::lock::Lock;
use super::query::FeedError;
use super::writer::{Batch, Shared, Task, Writer};
use super::{SqliteOptions, apply, leases, query, reader, schema, writer};

/// Keeps everything in one SQLite file. See the [module](super) for how.
///
/// The file, its log (`-wal`, `-shm`) and its lock (`.lock`) lie side by side. Dropping the store
/// ends its threads and waits for the last transaction, a few milliseconds; [`SqliteStore::close`]
/// does the same without blocking.
///
/// ```
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::store::{Kind, ListQuery, Store};
/// use sam_core::time::{ManualClock, Timestamp};
/// use sam_providers::sqlite::{SqliteOptions, SqliteStore};
/// use std::sync::Arc;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sam.db");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH)); // SystemClock outside tests
/// let options = SqliteOptions::new(Arc::new(SeededEntropy::new(1))); // OsEntropy outside tests
/// let store = SqliteStore::open(path, clock, options)?;
/// assert!(store.list(&ListQuery::new(Kind::new("node"))).await?.items.is_empty());
/// store.close().await;
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) path: PathBuf,
    pub(super) shared: Arc<Shared>,
    writes: mpsc::Sender<writer::Command>,
    reads: mpsc::Sender<reader::Command>,
    threads: Mutex<Vec<Thread>>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    role: Role,
    /// Closed when the thread has let go of the file.
    ended: oneshot::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Reader,
    Writer,
}

impl SqliteStore {
    /// Opens a store, and makes it when there is none. Blocks for as long as recovery of the log
    /// after a crash takes, usually milliseconds.
    ///
    /// # Errors
    /// `Conflict` when another process has it open, or the file is not a store or of a newer
    /// program; `NotFound` or `Denied` when the directory is absent or not writable; `BadInput` on a
    /// network file system; `Corrupt` when the file is damaged; `Unavailable` otherwise.
    #[expect(clippy::needless_pass_by_value, reason = "the store owns its options from here on")]
    pub fn open(
        path: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
        options: SqliteOptions,
    ) -> Result<Self> {
        let path = schema::resolve(path.as_ref())?;
        let lock = Arc::new(Lock::take(&path)?);
        let opened = schema::open(&path, &*clock, &options)?;
        let shared = Arc::new(Shared {
            epoch: opened.epoch,
            head: AtomicU64::new(opened.head.0),
            signal: Signal::new(),
            time: StoreTime::new(clock, opened.at),
            stopped: AtomicBool::new(false),
        });
        let (writes, write_queue) = mpsc::channel(writer::QUEUE_MAX);
        let (reads, read_queue) = mpsc::channel(reader::QUEUE_MAX);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let thread = Writer {
            connection: opened.connection,
            shared: Arc::clone(&shared),
            log: log.into(),
            batches: 0,
        };
        let mut threads = Vec::with_capacity(options.readers + 1);
        let queue: reader::Queue = Arc::new(Mutex::new(read_queue));
        let store = Self { path, shared, writes, reads, threads: Mutex::default() };
        // Should one fail to start, dropping the store ends those that have.
        for _ in 0..options.readers {
            let connection = schema::open_reader(&store.path)?;
            let queue = Arc::clone(&queue);
            let work = move || reader::run(connection, &queue);
            threads.push(Thread::start(Role::Reader, Arc::clone(&lock), work)?);
        }
        threads.push(Thread::start(Role::Writer, lock, move || thread.run(write_queue))?);
        *store.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(store)
    }

    /// Finishes what waits, shortens the log, ends the threads and gives the lock back. Calls after
    /// it fail with `Unavailable`. Closing twice is closing once.
    pub async fn close(&self) {
        let mut threads: Vec<Thread> = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.drain(..).collect()
        };
        // Readers first: the last connection to go is the writer's, which tidies the log away.
        for _ in threads.iter().filter(|thread| thread.role == Role::Reader) {
            drop(self.reads.send(reader::Command::Stop).await);
        }
        for role in [Role::Reader, Role::Writer] {
            if role == Role::Writer {
                drop(self.writes.send(writer::Command::Stop).await);
            }
            for thread in threads.iter_mut().filter(|thread| thread.role == role) {
                // An error is the sign: the sender went with the thread.
                drop((&mut thread.ended).await);
            }
        }
        self.shared.signal.raise();
    }

    /// Applies work in the writing thread.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        act: impl FnMut(&mut Batch<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let task = Task { weight, act, value: None, reply };
        let command = writer::Command::Work(Box::new(task));
        self.writes.send(command).await.map_err(|_| Fault::closed())?;
        answer.await.unwrap_or_else(|_| Err(Fault::vanished()))
    }

    /// Reads in one of the reading threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        if self.shared.is_stopped() {
            return Err(Fault::stopped());
        }
        let (reply, answer) = oneshot::channel();
        let read = move |connection: &mut Connection| drop(reply.send(act(connection)));
        let command = reader::Command::Read(Box::new(read));
        self.reads.send(command).await.map_err(|_| Fault::closed())?;
        answer.await.map_err(|_| Fault::closed())
    }

    /// Reads, and makes the error for the caller.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let result = self.read(act).await.map_err(|fault| fault.to_error(operation))?;
        result.map_err(|error| Fault::of(&error).to_error(operation))
    }
}

impl Thread {
    fn start(role: Role, lock: Arc<Lock>, work: impl FnOnce() + Send + 'static) -> Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let name = match role {
            Role::Reader => "sam-store-read",
            Role::Writer => "sam-store-write",
        };
        let run = move || {
            work();
            // Only now: the connection is closed, somebody else may have the file.
            drop(lock);
            drop(end);
        };
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "a thread of the store cannot be started")
                .with_operation("open_store")
                .with_source(error)
        })?;
        Ok(Self { handle, role, ended })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Dropping the senders is what ends the threads; the fields go only after this body.
        let (nowhere, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.reads, nowhere));
        let threads = std::mem::take(&mut self.threads).into_inner();
        let threads = threads.unwrap_or_else(PoisonError::into_inner);
        let (writers, readers): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(|thread| thread.role == Role::Writer);
        join(readers);
        let (nowhere, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.writes, nowhere));
        join(writers);
    }
}

fn join(threads: Vec<Thread>) {
    for thread in threads {
        // A waker called by a thread of ours may own the last handle to the store.
        if thread.handle.thread().id() != thread::current().id() && thread.handle.join().is_err() {
            tracing::error!("a thread of the store has panicked");
        }
    }
}

/// Bytes of the bodies a commit brings.
fn weight(commit: &Commit) -> usize {
    let body = |write: &sam_core::store::Write| match &write.op {
        WriteOp::Put { body, .. } => body.len(),
        _ => 0,
    };
    commit.writes.iter().map(body).sum()
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
        let key = key.clone();
        self.query("load", move |connection| query::load(connection, &key)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
        let query = query.clone();
        self.query("list", move |connection| query::list(connection, &query)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        commit.validate().map_err(CommitError::Failed)?;
        match self.write(weight(&commit), move |batch| apply::commit(batch, &commit)).await {
            Ok(Ok(committed)) => Ok(committed),
            Ok(Err(refusal)) => Err(CommitError::Refused(refusal)),
            Err(fault) => Err(CommitError::Failed(fault.to_error("commit"))),
        }
    }

    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
        self.query("outcome", move |connection| query::outcome(connection, id)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
        let request = request.clone();
        let claims = self.write(0, move |batch| leases::claim(batch, &request)).await;
        claims.map_err(|fault| fault.to_error("claim_due"))
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
        let lease = lease.clone();
        let held = self.write(0, move |batch| leases::renew(batch, &lease, span)).await;
        held.map_err(|fault| fault.to_error("renew"))
    }

    async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
        let lease = lease.clone();
        let released = self.write(0, move |batch| leases::release(batch, &lease, due)).await;
        released.map_err(|fault| fault.to_error("release"))
    }

    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
        let after = after.cloned();
        let read =
            move |connection: &mut Connection| query::changes(connection, after.as_ref(), limit);
        match self.read(read).await.map_err(|fault| fault.to_error("changes"))? {
            Ok(feed) => Ok(feed),
            Err(FeedError::Sqlite(error)) => Err(Fault::of(&error).to_error("changes")),
            Err(FeedError::Gap) => {
                Err(Error::new(ErrorKind::Corrupt, "a revision is missing from the feed")
                    .with_operation("changes")
                    .with_hint("restore the last backup, and look for a failing disk"))
            }
        }
    }

    async fn wait(&self, after: &Cursor) -> Result<()> {
        let ticket = self.shared.signal.ticket();
        let behind = self.shared.epoch != after.epoch
            || self.shared.head.load(Ordering::Acquire) > after.rev.0;
        if !behind && !self.shared.is_stopped() && !self.writes.is_closed() {
            self.shared.signal.raised_after(ticket).await;
        }
        if self.shared.is_stopped() {
            return Err(Fault::stopped().to_error("wait"));
        }
        if self.writes.is_closed() {
            return Err(Fault::closed().to_error("wait"));
        }
        Ok(())
    }
}
