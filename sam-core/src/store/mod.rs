//! Where state lives: records, one ordered feed of changes, and leases.
//!
//! A store is told what must hold and what shall be written in one [`Commit`]; it applies all of
//! it or nothing. Everything that others learn, they learn from the feed.

mod bounds;
mod commit;
mod due;
mod feed;
mod forward;
mod judge;
mod lease;
mod memory;
mod record;
mod revise;
mod signal;
mod time;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::CommitId;
use crate::page::Page;

pub use self::commit::{
    Actor, Commit, CommitError, Committed, Due, Expect, LeaseUse, Refusal, UniqueChange, Write,
    WriteOp,
};
pub use self::due::{DueRow, SetBy};
pub use self::feed::{Change, ChangeOp, Changes, Cursor, Epoch, Feed, ParseCursorError, Rev, head};
pub use self::judge::{View, judge};
pub use self::lease::{Claim, ClaimRequest, Claims, Lease, WorkerId};
pub use self::memory::MemoryStore;
pub use self::record::{INDEX_COUNT, Index, IndexField, Kind, ListQuery, Record, RecordKey};
pub use self::revise::{Revise, Unrevised};
pub use self::signal::Signal;
pub use self::time::StoreTime;

/// Keeps records, the change feed and leases.
///
/// Time in here is the store's own: callers hand in spans, never points in time.
///
/// # Contract
/// - **C1** `commit` applies all writes, uniques, wakes and due times, or none of them.
/// - **C2** A commit whose id was applied before changes nothing and returns the first result.
/// - **C3** Revisions are dense and rise in the order of commits; each write is one revision.
/// - **C4** A record's version starts at 1 and rises by one with each write.
/// - **C5** A failed expectation, a taken unique key or a lost lease refuses the whole commit.
/// - **C6** A claimed record is not claimed again until its lease ends or is released.
/// - **C7** Each claim of a record has a higher fencing epoch; a commit under an older one is
///   refused.
/// - **C8** A due time set by others during a lease is in force when the lease ends, however it
///   ends.
/// - **C9** `changes` returns revisions without a gap from the cursor on, or says *stale*.
/// - **C10** `list` pages by id, each record once, in order, even while others write.
/// - **C11** A commit future that is dropped may or may not have been applied;
///   `outcome` tells which.
/// - **C12** `wait` completes when the feed has grown past the cursor, or when a due time was set or
///   a lease given back since it was first polled; it may also complete for no reason. So: poll it
///   once, then claim, then wait. That time passes completes nothing: sleep until
///   [`Claims::next_due_in`] beside it.
/// - **C13** An unknown outcome is reported as [`CommitError::Failed`] with effect unknown, never
///   as refused.
/// - **C14** A unique key is held by one record until it is released.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Returns a record, or `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>>;

    /// Returns one page of records of a kind, ordered by id; a page of large bodies may be shorter
    /// than asked for.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    async fn list(&self, query: &ListQuery) -> Result<Page<Record>>;

    /// Applies a commit. Idempotent by the commit's id.
    ///
    /// # Errors
    /// [`CommitError::Refused`] when a precondition did not hold (nothing was written);
    /// [`CommitError::Failed`] otherwise, whose `effect()` tells whether it may have been applied.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError>;

    /// Returns what a commit did, or `None` when it was not applied (or fell below the feed's
    /// retention floor).
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    async fn outcome(&self, id: CommitId) -> Result<Option<Committed>>;

    /// Claims records that are due, earliest first, and tells when the next one will be.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`; the claim may then have happened and simply lapses.
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims>;

    /// Extends a lease by `span` from now. Returns `false` when it was lost.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool>;

    /// Gives a lease back and sets when the record is due next. Releasing a lost lease does
    /// nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`; the lease then lapses by itself.
    async fn release(&self, lease: &Lease, due: Due) -> Result<()>;

    /// Returns up to `limit` changes after a cursor, cut to [`Changes::LIMIT_MAX`], and fewer when
    /// their bodies are large; with `None`, only the head of the feed.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed>;

    /// Completes when there may be something new after the cursor, or something newly due.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn wait(&self, after: &Cursor) -> Result<()>;
}
