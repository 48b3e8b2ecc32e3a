//! Opening the file: is it ours, is it not newer than this program, and bringing it up to date.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use sam_core::store::{Epoch, Rev};
use sam_core::time::{Clock, Timestamp};
use sam_core::{CommitId, Error, ErrorKind, Result};

use super::SqliteOptions;
use super::fault::Fault;
use super::lock::{cannot_open, private};

/// Marks the file as a SAM store: `SAM1` in ASCII.
const APPLICATION_ID: i32 = 0x5341_4d31;

/// Each step brings the schema from the version of its position to the next; only ever appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_records_feed_leases.sql"),
    include_str!("migrations/0002_secrets.sql"),
];

/// How long SQLite itself waits for a lock; only our own threads can hold one, and briefly.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// Prepared statements kept by a connection; more than there are.
const STATEMENTS_MAX: usize = 64;

/// The log is cut back to this size whenever it starts over, in bytes.
pub(super) const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the file said when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) epoch: Epoch,
    pub(super) head: Rev,
    /// The store's time when it was last written.
    pub(super) at: Timestamp,
}

/// Resolves links, so that one file has one lock whatever name it is opened by.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    if let Ok(resolved) = fs::canonicalize(path) {
        return Ok(resolved);
    }
    let name = path.file_name().ok_or_else(|| {
        Error::new(ErrorKind::BadInput, format!("{} names no file", path.display()))
            .with_operation("open_store")
    })?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = fs::canonicalize(directory).map_err(|error| cannot_open(directory, error))?;
    refuse_network(&directory)?;
    Ok(directory.join(name))
}

/// Locks over a network do not hold what SQLite needs of them.
#[cfg(target_os = "linux")]
fn refuse_network(directory: &Path) -> Result<()> {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517b;
    const CIFS: u64 = 0xff53_4d42;
    const SMB2: u64 = 0xfe53_4d42;
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    let magic = u64::try_from(found.f_type).unwrap_or(0) & 0xffff_ffff;
    if [NFS, SMB, CIFS, SMB2].contains(&magic) {
        let message = format!("{} lies on a network file system", directory.display());
        return Err(Error::new(ErrorKind::BadInput, message)
            .with_operation("open_store")
            .with_hint("keep the store on a local disk"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_directory: &Path) -> Result<()> {
    Ok(())
}

/// Opens the file for writing, once the lock is held.
///
/// # Errors
/// `Conflict` for a foreign file or one of a newer schema, `Corrupt` for a damaged one, `Denied` or
/// `Unavailable` when it cannot be opened.
pub(super) fn open(path: &Path, clock: &dyn Clock, options: &SqliteOptions) -> Result<Opened> {
    // Created here so that only its owner can read it; SQLite gives the log the same rights.
    drop(private().open(path).map_err(|error| cannot_open(path, error))?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(open_error)?;
    connection.busy_timeout(BUSY_DEADLINE).map_err(open_error)?;
    let version = verify(&connection, path)?;
    configure_writer(&connection).map_err(open_error)?;
    migrate(&mut connection, version, clock, options).map_err(open_error)?;
    let (epoch, head, at) = connection
        .query_row("SELECT epoch, rev, at FROM head", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(open_error)?;
    Ok(Opened {
        connection,
        epoch: Epoch::new(epoch),
        head: Rev(head),
        at: Timestamp::from_micros(at),
    })
}

/// Opens one read-only connection.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect_reader(path)?;
    configure_reader(&connection)?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open_error)?;
    connection.busy_timeout(BUSY_DEADLINE).map_err(open_error)?;
    Ok(connection)
}

fn configure_reader(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let settings = "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-1024;";
    connection.execute_batch(settings).map_err(open_error)
}

/// Opens a read-only connection to a store that another process may have.
///
/// # Errors
/// `NotFound` when there is none; `Conflict` when it is none, or not of this program's schema;
/// `Denied`, `Corrupt` or `Unavailable` when it cannot be opened.
pub(super) fn open_other(path: &Path) -> Result<Connection> {
    fs::metadata(path).map_err(|error| cannot_open(path, error))?;
    let connection = connect_reader(path)?;
    // Before anything else is read: a foreign file is not called a damaged store.
    let version = verify(&connection, path)?;
    configure_reader(&connection)?;
    if version < MIGRATIONS.len() {
        let message = format!("{} is of an older program, or empty", path.display());
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_operation("open_store")
            .with_hint("start this program on it once, which brings it up to date"));
    }
    Ok(connection)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn open_error(error: rusqlite::Error) -> Error {
    Fault::of(&error).to_error("open_store")
}

/// Returns the schema version of a file that is ours, zero for an empty one. Changes nothing.
fn verify(connection: &Connection, path: &Path) -> Result<usize> {
    let foreign = |source: Option<rusqlite::Error>| {
        let message = format!("{} is not a SAM store", path.display());
        let error = Error::new(ErrorKind::Conflict, message)
            .with_operation("open_store")
            .with_hint("choose another path; the file was left as it is");
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    };
    let read = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = match read("SELECT count(*) FROM sqlite_schema") {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(foreign(Some(error)));
        }
        other => other.map_err(open_error)?,
    };
    let application = read("PRAGMA application_id").map_err(open_error)?;
    let version = read("PRAGMA user_version").map_err(open_error)?;
    if application == 0 && tables == 0 && version == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(foreign(None));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        let message =
            format!("{} has schema {version}, this program knows {known}", path.display());
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_operation("open_store")
            .with_hint("run the newer program that wrote it, or restore a backup made before"));
    }
    Ok(version)
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL;
         PRAGMA wal_autocheckpoint=4000;
         PRAGMA cache_size=-8192;
         PRAGMA temp_store=MEMORY;
         PRAGMA foreign_keys=ON;
         PRAGMA trusted_schema=OFF;",
    )?;
    let limit = i64::try_from(LOG_BYTES_MAX).unwrap_or(i64::MAX);
    connection.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))
}

fn migrate(
    connection: &mut Connection,
    version: usize,
    clock: &dyn Clock,
    options: &SqliteOptions,
) -> rusqlite::Result<()> {
    // The bits of an id are time and entropy, its label is letters and digits: all an epoch needs.
    let fresh = || CommitId::new(clock.now(), &*options.entropy).label();
    for (from, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        if from == 0 {
            let insert =
                "INSERT INTO head (one, epoch, rev, floor, fence, at) VALUES (1, ?1, 0, 0, 0, ?2)";
            transaction.execute(insert, params![fresh(), clock.now().as_micros()])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        transaction.pragma_update(None, "user_version", i64::try_from(from + 1).unwrap_or(0))?;
        transaction.commit()?;
    }
    let transaction = connection.transaction()?;
    if options.restored {
        transaction.execute("UPDATE head SET epoch = ?1", [fresh()])?;
    }
    // The lock is held, so whoever had a lease is gone: what it was at is due at once, instead of
    // when the lease would have ended.
    let end = "UPDATE lease SET at = min(at, ?1), owner = NULL WHERE owner IS NOT NULL";
    transaction.execute(end, [clock.now().as_micros()])?;
    transaction.commit()
}
