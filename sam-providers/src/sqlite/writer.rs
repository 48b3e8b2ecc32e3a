//! The writing thread: takes what waits, applies it in one transaction, commits once, answers.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::Connection;
use sam_core::store::{Epoch, Signal, StoreTime};
use sam_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::schema::LOG_BYTES_MAX;

/// Most pieces of work that wait; further callers wait for a place.
pub(super) const QUEUE_MAX: usize = 1_024;
/// Most pieces of work in one transaction.
const BATCH_MAX: usize = 256;
/// A batch takes nothing more once its bodies have so many bytes together.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The size of the log is looked at once in so many batches.
const BATCHES_PER_LOG_CHECK: u32 = 256;

/// What the threads and the store's callers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) epoch: Epoch,
    /// The last revision that is on the disk.
    pub(super) head: AtomicU64,
    pub(super) signal: Signal,
    pub(super) time: StoreTime,
    /// Set once the file failed and must be opened again.
    pub(super) stopped: AtomicBool,
}

impl Shared {
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.signal.raise();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// The head row as a transaction sees and changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) rev: u64,
    pub(super) floor: u64,
    /// The last fencing epoch given out.
    pub(super) fence: u64,
}

/// The transaction a piece of work is applied in.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) now: Timestamp,
    pub(super) head: Head,
    /// Whether waiters have reason to look.
    pub(super) news: bool,
}

/// Something to apply, and somebody to answer.
pub(super) trait Work: Send {
    /// Bytes it brings along.
    fn weight(&self) -> usize;
    /// Applies it. An error undoes the whole batch.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;
    /// Answers, once it is on the disk or has failed.
    fn answer(self: Box<Self>, fault: Option<&Fault>);
}

/// Work done by a closure.
pub(super) struct Task<T, F> {
    pub(super) weight: usize,
    pub(super) act: F,
    pub(super) value: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Batch<'_>) -> rusqlite::Result<T> + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.act)(batch)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fault: Option<&Fault>) {
        let result = match fault {
            Some(fault) => Err(fault.clone()),
            None => self.value.ok_or_else(Fault::vanished),
        };
        // A caller that no longer waits has dropped its future and may ask for the outcome.
        drop(self.reply.send(result));
    }
}

/// What the writing thread is told.
pub(super) enum Command {
    /// Finish what waits, take nothing more.
    Stop,
    /// Apply this.
    Work(Box<dyn Work>),
}

/// The writing thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) log: PathBuf,
    pub(super) batches: u32,
}

impl Writer {
    /// Works until the store is closed or dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut works = Vec::with_capacity(BATCH_MAX);
        while let Some(command) = queue.blocking_recv() {
            let mut next = Some(command);
            let mut bytes = 0;
            while let Some(command) = next.take() {
                match command {
                    // What is queued already is still done; then the queue ends.
                    Command::Stop => queue.close(),
                    Command::Work(work) => {
                        bytes += work.weight();
                        works.push(work);
                    }
                }
                if works.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
                    next = queue.try_recv().ok();
                }
            }
            if !works.is_empty() {
                self.round(&mut works);
            }
        }
        if !self.shared.is_stopped() {
            shorten_log(&self.connection);
        }
    }

    fn round(&mut self, works: &mut Vec<Box<dyn Work>>) {
        let result =
            if self.shared.is_stopped() { Err(Fault::stopped()) } else { self.transact(works) };
        if let Err(fault) = &result
            && fault.stops
        {
            tracing::error!(?fault, "the store stops");
            self.shared.stop();
        }
        let news = matches!(result, Ok(true));
        let fault = result.err();
        for work in works.drain(..) {
            work.answer(fault.as_ref());
        }
        if news {
            self.shared.signal.raise();
        }
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(BATCHES_PER_LOG_CHECK) && !self.shared.is_stopped() {
            self.check_log();
        }
    }

    /// Applies a batch in one transaction; returns whether there is news.
    fn transact(&self, works: &mut [Box<dyn Work>]) -> Result<bool, Fault> {
        execute(&self.connection, "BEGIN IMMEDIATE").map_err(|error| Fault::of(&error))?;
        let (head, news) = match self.apply(works) {
            Ok(applied) => applied,
            Err(mut fault) => {
                // A transaction that cannot be ended leaves a connection that cannot go on.
                fault.stops |= !self.roll_back();
                return Err(fault);
            }
        };
        if let Err(error) = execute(&self.connection, "COMMIT") {
            let rolled_back = self.roll_back();
            return Err(Fault::at_commit(&error, rolled_back));
        }
        self.shared.head.store(head.rev, Ordering::Release);
        Ok(news)
    }

    fn apply(&self, works: &mut [Box<dyn Work>]) -> Result<(Head, bool), Fault> {
        let fault = |error: rusqlite::Error| Fault::of(&error);
        let connection = &self.connection;
        let before = connection
            .prepare_cached("SELECT rev, floor, fence FROM head")
            .and_then(|mut statement| {
                statement.query_row([], |row| {
                    Ok(Head { rev: row.get(0)?, floor: row.get(1)?, fence: row.get(2)? })
                })
            })
            .map_err(fault)?;
        if before.rev != self.shared.head.load(Ordering::Acquire) {
            return Err(Fault::intruder());
        }
        let now = self.shared.time.now();
        let mut batch = Batch { connection, now, head: before, news: false };
        for work in works {
            work.apply(&mut batch).map_err(fault)?;
        }
        let head = batch.head;
        if head != before {
            connection
                .prepare_cached("UPDATE head SET rev = ?1, floor = ?2, fence = ?3, at = ?4")
                .and_then(|mut statement| {
                    statement.execute((head.rev, head.floor, head.fence, now.as_micros()))
                })
                .map_err(fault)?;
        }
        Ok((head, batch.news))
    }

    /// Ends the transaction if SQLite has not done so itself; returns whether it is ended.
    fn roll_back(&self) -> bool {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        self.connection.is_autocommit()
    }

    fn check_log(&self) {
        let length = fs::metadata(&self.log).map_or(0, |found| found.len());
        if length > LOG_BYTES_MAX {
            tracing::warn!(bytes = length, "the store's log has grown large");
            shorten_log(&self.connection);
        }
    }
}

/// Moves the log into the file and cuts it. A failure here loses nothing: the log is still there.
fn shorten_log(connection: &Connection) {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    if let Err(error) = connection.query_row(sql, [], |_| Ok(())) {
        tracing::warn!(%error, "the store's log was not shortened");
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
