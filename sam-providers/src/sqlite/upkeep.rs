//! Care for the file: trimming the feed, checking, backing up, limiting its size.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use sam_core::store::Rev;
use sam_core::{Error, ErrorKind, Result};

use super::fault::Fault;
use super::lock::{cannot_open, private};
use super::store::SqliteStore;
use super::writer::Batch;
use crate::retention::Retention;

/// Most changes removed in one transaction; a few milliseconds.
const TRIM_MAX: u64 = 1_000;
/// Most faults a check reports.
const FAULTS_MAX: usize = 16;
/// Bytes of a page of the file; the size this build of SQLite begins files with.
const PAGE_BYTES: u64 = 4_096;
/// Most pages a file of SQLite can have.
const PAGES_MAX: u64 = 4_294_967_294;

impl SqliteStore {
    /// Removes old changes from the feed and raises its floor, by at most 1,000 in each transaction;
    /// returns the floor. Records are untouched; a reader below the floor is told that it is stale.
    /// What was removed when it fails or is dropped midway stays removed; repeating it goes on.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    pub async fn trim(&self, keep: Retention) -> Result<Rev> {
        loop {
            let (floor, more) = self
                .write(0, move |batch| trim(batch, keep))
                .await
                .map_err(|fault| fault.to_error("trim"))?;
            if !more {
                return Ok(Rev(floor));
            }
        }
    }

    /// Reads the whole file and compares its parts: pages, indexes, the feed's density, and each
    /// record with its last change. Takes about a second for each few hundred MiB, in a reading
    /// thread; writing goes on.
    ///
    /// # Errors
    /// `Corrupt` naming what does not fit; `Unavailable` when it cannot be read.
    pub async fn integrity_check(&self) -> Result<()> {
        let faults = self
            .read(check)
            .await
            .map_err(|fault| fault.to_error("integrity_check"))?
            .map_err(|error| Fault::of(&error).to_error("integrity_check"))?;
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, format!("the store is damaged: {}", faults.join("; ")))
            .with_operation("integrity_check")
            .with_hint("restore the last backup, and look for a failing disk"))
    }

    /// Writes a copy as of this moment to a file that does not exist yet; writing goes on. Open the
    /// copy with [`SqliteOptions::as_restored`](super::SqliteOptions::as_restored).
    ///
    /// # Errors
    /// `AlreadyExists` when the file exists; `NotFound`, `Denied` or `Unavailable` when it cannot be
    /// written.
    pub async fn back_up(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref().to_path_buf();
        let copy = move |connection: &mut Connection| {
            let file =
                private().create_new(true).open(&to).map_err(|error| match error.kind() {
                    std::io::ErrorKind::AlreadyExists => {
                        let message = format!("{} exists already", to.display());
                        Error::new(ErrorKind::AlreadyExists, message)
                            .with_hint("choose another name")
                    }
                    _ => cannot_open(&to, error),
                })?;
            let name = to.to_string_lossy();
            connection
                .execute("VACUUM INTO ?1", [name.as_ref()])
                .map_err(|error| Fault::of(&error).to_error("back_up"))?;
            file.sync_all().and_then(|()| sync_directory(&to)).map_err(|e| cannot_open(&to, e))
        };
        let copied = self.read(copy).await.map_err(|fault| fault.to_error("back_up"))?;
        copied.map_err(|error| error.with_operation("back_up"))
    }

    /// Lets the file grow to so many bytes and no further, or lifts the limit. A commit beyond it
    /// fails with `Unavailable` and changes nothing. The limit lasts until the store is closed.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn limit_size(&self, bytes: Option<u64>) -> Result<()> {
        let pages = bytes.map_or(PAGES_MAX, |bytes| (bytes / PAGE_BYTES).clamp(1, PAGES_MAX));
        let limit = move |batch: &mut Batch<'_>| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            batch.connection.query_row(&sql, [], |_| Ok(()))
        };
        self.write(0, limit).await.map_err(|fault| fault.to_error("limit_size"))
    }
}

fn sync_directory(of: &Path) -> std::io::Result<()> {
    match of.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Removes one portion; returns the floor and whether there may be more.
fn trim(batch: &mut Batch<'_>, keep: Retention) -> rusqlite::Result<(u64, bool)> {
    let age = i64::try_from(keep.age.as_micros()).unwrap_or(i64::MAX);
    let before = batch.now.as_micros().saturating_sub(age);
    let quiet = batch.connection.execute(
        "DELETE FROM quiet_commit WHERE commit_id IN
            (SELECT commit_id FROM quiet_commit WHERE at < ?1 ORDER BY at LIMIT ?2)",
        (before, TRIM_MAX),
    )?;
    let floor = batch.head.floor;
    let highest = batch.head.rev.saturating_sub(keep.count).min(floor.saturating_add(TRIM_MAX));
    // Times never fall along the feed, so the old ones are its beginning.
    let old: Option<u64> = batch.connection.query_row(
        "SELECT max(rev) FROM change WHERE rev > ?1 AND rev <= ?2 AND at < ?3",
        (floor, highest, before),
        |row| row.get(0),
    )?;
    // A commit is kept whole: half an outcome would be a wrong one.
    let whole: Option<u64> = batch.connection.query_row(
        "SELECT max(rev) FROM change AS low WHERE rev > ?1 AND rev <= ?2 AND commit_id <>
            coalesce((SELECT commit_id FROM change WHERE rev = low.rev + 1), x'')",
        (floor, old),
        |row| row.get(0),
    )?;
    if let Some(whole) = whole {
        batch.connection.execute("DELETE FROM change WHERE rev <= ?1", [whole])?;
        batch.head.floor = whole;
    }
    let full = |count: u64| count == TRIM_MAX;
    let more = full(old.map_or(0, |old| old - floor)) || full(u64::try_from(quiet).unwrap_or(0));
    Ok((batch.head.floor, more))
}

fn check(connection: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let transaction = connection.transaction()?;
    let mut faults = Vec::new();
    {
        let mut statement =
            transaction.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                faults.push(line);
            }
        }
    }
    // Each counts what must not be there.
    let rules = [
        (
            "the feed has gaps",
            "SELECT (SELECT rev - floor FROM head) <> (SELECT count(*) FROM change)
                OR coalesce((SELECT min(rev) FROM change) <> (SELECT floor + 1 FROM head), 0)
                OR coalesce((SELECT max(rev) FROM change) <> (SELECT rev FROM head), 0)",
        ),
        (
            "a record is newer than the feed",
            "SELECT count(*) FROM record WHERE rev > (SELECT rev FROM head)",
        ),
        (
            "a record differs from its last change",
            "SELECT count(*) FROM record AS r WHERE r.rev > (SELECT floor FROM head)
                AND NOT EXISTS (SELECT 1 FROM change AS c WHERE c.rev = r.rev AND c.op = 1
                    AND c.kind = r.kind AND c.id = r.id AND c.version = r.version
                    AND c.body = r.body)",
        ),
        (
            "a fencing epoch was never given out",
            "SELECT count(*) FROM lease WHERE epoch > (SELECT fence FROM head)",
        ),
        (
            "a secret is filed under another key than it names",
            "SELECT count(*) FROM secret WHERE hex(substr(sealed, 1, 1)) <> '01'
                OR hex(substr(sealed, 2, length(key_id) + 1))
                    <> printf('%02X', length(key_id)) || hex(key_id)",
        ),
    ];
    for (fault, sql) in rules {
        if transaction.query_row(sql, [], |row| row.get::<_, i64>(0))? != 0 {
            faults.push(fault.to_owned());
        }
    }
    Ok(faults)
}
