//! The shared store: one schema of a PostgreSQL database, for any number of processes at a time.
//!
//! Each process has one writer. It takes everything that waits (up to 256 commits), locks the head
//! row, loads every row they mention, judges them in order, writes what passed with a few statements
//! and commits once: callers at the same time share one flush to the disk, and the lock makes
//! revisions dense and ordered as they were committed, whoever wrote them.
//!
//! Invariants:
//! - The head row is the first lock of every transaction that writes records, changes or names, and
//!   rows are loaded by statements of their own after it: a statement sees what was committed before
//!   it began, not what was committed while it waited.
//! - Rows of leases are locked in the order of their keys. Claims take no head lock and skip rows that
//!   are locked, so nothing waits in a circle.
//! - Secrets are no part of the feed: each act on them is one statement, which takes no head lock.
//! - An error of COMMIT, or a connection lost after it was sent, leaves the outcome unknown. Asking
//!   for the outcome takes the head lock, so it waits for a transaction that is still under way.
//! - Time is the server's: `clock_timestamp()` plus what the head row says it runs ahead, which rises
//!   when the server's clock was put back and never falls.
//! - NOTIFY is a hint, sent beside the commits: what it fails to tell is found by looking once a second.
//! - A schema that this program does not know is never read nor written.
//!
//! Connect directly or through a pooler in session mode: prepared statements and LISTEN do not work
//! through one in transaction mode.

mod archive;
mod config;
mod connect;
mod fault;
mod leases;
mod load;
mod query;
mod save;
mod schema;
mod secrets;
mod store;
mod upkeep;
mod watch;
mod writer;

pub use self::config::PgOptions;
pub use self::schema::SchemaState;
pub use self::store::PgStore;
pub use crate::archive::ArchiveSummary;
pub use crate::retention::Retention;
