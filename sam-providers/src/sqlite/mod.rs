//! The embedded store: one SQLite file, for a single process at a time.
//!
//! One thread writes. It takes everything that waits (up to 256 commits, claims and releases), judges
//! and applies each in turn inside one transaction, and commits once: callers at the same time share
//! one flush to the disk. A few threads with read-only connections answer the reads.
//!
//! Invariants:
//! - What a call returned is on the disk: write-ahead log, `synchronous=FULL`.
//! - A commit is judged before its first write, so a refused one leaves nothing to undo.
//! - An I/O error while committing leaves the outcome unknown: the store says so, and then refuses
//!   everything until it is opened again and the log has been recovered.
//! - Opening ends every lease: one process at a time has the store, so their holders are gone.
//! - No read transaction outlives the call that began it, or the log could never be shortened.

mod apply;
mod archive;
mod fault;
mod leases;
mod lock;
mod query;
mod reader;
mod schema;
mod secrets;
mod store;
mod upkeep;
mod writer;

use std::sync::Arc;

use sam_core::entropy::Entropy;

pub use self::store::SqliteStore;
pub use crate::archive::ArchiveSummary;
pub use crate::retention::Retention;

/// How to open a [`SqliteStore`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    entropy: Arc<dyn Entropy>,
    readers: usize,
    restored: bool,
}

impl SqliteOptions {
    /// Most reading threads.
    pub const READERS_MAX: usize = 8;

    /// Opens with two reading threads. The entropy goes into the name of the feed's epoch, by which
    /// a cursor of one history is told from that of another.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, readers: 2, restored: false }
    }

    /// Reads with so many threads, cut to 1 to [`SqliteOptions::READERS_MAX`]. Each has a connection
    /// with a cache of one MiB at most.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> Self {
        self.readers = readers.clamp(1, Self::READERS_MAX);
        self
    }

    /// Begins another epoch, because the file was restored from a backup: revisions that were given
    /// out after the backup are given out again, and old cursors must not be mistaken for new ones.
    #[must_use]
    pub fn as_restored(mut self) -> Self {
        self.restored = true;
        self
    }
}
