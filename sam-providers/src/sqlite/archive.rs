//! Backup and restore through the portable archive, each in one transaction.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction, params};
use sam_core::store::{ChangeOp, Revise};
use sam_core::time::{Clock, Timestamp};
use sam_core::{CommitId, Result};

use super::fault::Fault;
use super::lock::Lock;
use super::store::SqliteStore;
use super::{SqliteOptions, leases, query, schema, secrets};
use crate::archive::{
    ArchiveSummary, ChangeLine, Decoder, DueLine, Encoder, Entry, Header, Lines, RecordLine,
    Revision, SecretLine, create, file_error, not_empty,
};

/// Makes the entry of a row; the time is that of the backup.
type Read = fn(&Row<'_>, Timestamp) -> rusqlite::Result<Entry>;

/// Every table, in the order of the archive.
const TABLES: [(&str, Read); 6] = [
    ("SELECT version, rev, k1, k2, k3, body, id, kind FROM record ORDER BY kind, id", |row, _| {
        let kind = sam_core::store::Kind::from_stored(row.get::<_, String>(7)?);
        Ok(Entry::Record(RecordLine::new(&query::record(row, &kind)?)))
    }),
    ("SELECT space, name, kind, id FROM uniq ORDER BY space, name", |row, _| {
        let (space, name) = (row.get(0)?, row.get(1)?);
        Ok(Entry::Name { space, name, kind: row.get(2)?, id: row.get(3)? })
    }),
    ("SELECT kind, id, at, pending, owner, epoch FROM lease ORDER BY kind, id", |row, now| {
        Ok(Entry::Due(DueLine::new(&query::key(row, 0)?, &leases::row_from(row, 2)?, now)))
    }),
    (
        "SELECT rev, commit_id, at, actor, request_id, kind, id, version, op, event, body
            FROM change ORDER BY rev",
        |row, _| Ok(Entry::Change(ChangeLine::new(&query::change(row)?))),
    ),
    ("SELECT commit_id, rev, at FROM quiet_commit ORDER BY rev, commit_id", |row, _| {
        let commit = CommitId::from_bits(u128::from_be_bytes(row.get(0)?));
        Ok(Entry::Quiet { commit, rev: row.get(1)?, at: Timestamp::from_micros(row.get(2)?) })
    }),
    ("SELECT name, sealed, put_at FROM secret ORDER BY name", |row, now| {
        let kept_for = now.since(Timestamp::from_micros(row.get(2)?));
        let (name, sealed) = (secrets::name(row)?, secrets::sealed(row, 1)?);
        Ok(Entry::Secret(SecretLine::new(name, sealed, kept_for)))
    }),
];

impl SqliteStore {
    /// Writes everything as of this moment to a file that does not exist yet, in the portable form
    /// that every store restores; writing goes on. `installation` is kept in it for the host.
    ///
    /// # Errors
    /// `AlreadyExists` when the file exists; `NotFound`, `Denied` or `Unavailable` when it cannot be
    /// written; `Unavailable` or `Corrupt` when the store cannot be read. No file is left then.
    pub async fn export(
        &self,
        to: impl AsRef<Path> + Send,
        installation: Option<&str>,
    ) -> Result<ArchiveSummary> {
        let (to, installation) = (to.as_ref().to_path_buf(), installation.map(str::to_owned));
        let now = self.shared.time.now();
        let write =
            move |connection: &mut Connection| export_to(connection, &to, (installation, now));
        self.read(write).await.map_err(|fault| fault.to_error("export"))?
    }

    /// Writes everything in the store at `path` to a file, as [`SqliteStore::export`] does, while
    /// another process may have it open and go on writing. Blocks for as long as that takes.
    ///
    /// # Errors
    /// As [`SqliteStore::export`]; `NotFound` when there is no store at `path`; `Conflict` when it is
    /// none, or of another version of this program.
    pub fn export_from(
        path: impl AsRef<Path>,
        to: impl AsRef<Path>,
        clock: &dyn Clock,
        installation: Option<&str>,
    ) -> Result<ArchiveSummary> {
        let mut connection = schema::open_other(path.as_ref())?;
        let installation = installation.map(str::to_owned);
        export_to(&mut connection, to.as_ref(), (installation, clock.now()))
    }

    /// Restores an archive into a new store at `path`, as `rule` revises it: all of it or nothing. A
    /// new epoch begins and no lease is in force, so nothing of the history that ended at the backup
    /// is mistaken for what comes now. Blocks for as long as the file takes; open the store
    /// afterwards.
    ///
    /// # Errors
    /// `Conflict` when the store is not empty or open, or a newer program wrote the archive;
    /// `Corrupt` when it was cut or changed; what `rule` says; those of [`SqliteStore::open`].
    #[expect(clippy::needless_pass_by_value, reason = "as opening the store takes them")]
    pub fn import(
        from: impl AsRef<Path>,
        path: impl AsRef<Path>,
        rule: &dyn Revise,
        clock: Arc<dyn Clock>,
        options: SqliteOptions,
    ) -> Result<ArchiveSummary> {
        let mut lines = Lines::open(from.as_ref())?;
        let decoder = Decoder::new(lines.next()?)?;
        let path = schema::resolve(path.as_ref())?;
        let _lock = Lock::take(&path)?;
        let mut opened = schema::open(&path, &*clock, &options)?;
        let now = clock.now().max(opened.at).max(decoder.header().at);
        let transaction = opened.connection.transaction().map_err(import_error)?;
        let empty = "SELECT (SELECT rev FROM head) = 0 AND NOT EXISTS (SELECT 1 FROM record)
            AND NOT EXISTS (SELECT 1 FROM lease) AND NOT EXISTS (SELECT 1 FROM uniq)
            AND NOT EXISTS (SELECT 1 FROM quiet_commit) AND NOT EXISTS (SELECT 1 FROM secret)";
        if !transaction.query_row(empty, [], |row| row.get(0)).map_err(import_error)? {
            return Err(not_empty());
        }
        let commit = CommitId::new(now, &*options.entropy);
        let revision = Revision::new(rule, decoder.header(), (commit, now))?;
        // Dropped on a failure, the transaction is rolled back.
        let (summary, rev) = import(&transaction, (decoder, revision), &mut lines, now)?;
        let epoch = CommitId::new(now, &*options.entropy).label();
        let sql = "UPDATE head SET epoch = ?1, rev = ?2";
        transaction.execute(sql, params![epoch, rev]).map_err(import_error)?;
        transaction.commit().map_err(import_error)?;
        Ok(summary)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn import_error(error: rusqlite::Error) -> sam_core::Error {
    Fault::of(&error).to_error("import")
}

fn export_to(
    connection: &mut Connection,
    to: &Path,
    told: (Option<String>, Timestamp),
) -> Result<ArchiveSummary> {
    let file = create(to)?;
    let written = export(connection, (file, to), told);
    if written.is_err() {
        // Half a backup is worse than none; the first failure is the one to tell.
        std::fs::remove_file(to).ok();
    }
    written
}

fn export(
    connection: &mut Connection,
    (file, to): (File, &Path),
    (installation, now): (Option<String>, Timestamp),
) -> Result<ArchiveSummary> {
    let failed = |error: rusqlite::Error| Fault::of(&error).to_error("export");
    let wrong = |error| file_error("export", to, error);
    // One snapshot for all tables; the log cannot be shortened until it ends.
    let transaction = connection.transaction().map_err(failed)?;
    let sql = "SELECT epoch, rev, floor, fence, at FROM head";
    let header = transaction.query_row(sql, [], |row| {
        let at = now.max(Timestamp::from_micros(row.get(4)?));
        let mut header = Header::new(installation, row.get(0)?, at);
        (header.rev, header.floor, header.fence) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(header)
    });
    let header = header.map_err(failed)?;
    let now = header.at;
    let mut file = BufWriter::new(file);
    let (mut encoder, line) = Encoder::new(header)?;
    file.write_all(&line).map_err(wrong)?;
    for (sql, read) in TABLES {
        let mut statement = transaction.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let entry = read(row, now).map_err(failed)?;
            file.write_all(&encoder.entry(&entry)?).map_err(wrong)?;
        }
    }
    let (summary, line) = encoder.end()?;
    file.write_all(&line).map_err(wrong)?;
    let file = file.into_inner().map_err(|error| wrong(error.into_error()))?;
    file.sync_all().map_err(wrong)?;
    Ok(summary)
}

fn import(
    transaction: &Transaction<'_>,
    (mut decoder, mut revision): (Decoder, Revision<'_>),
    lines: &mut Lines<'_>,
    now: Timestamp,
) -> Result<(ArchiveSummary, u64)> {
    while let Some(entry) = decoder.entry(lines.next()?)? {
        for entry in revision.pass(entry)?.into_iter().flatten() {
            insert(transaction, entry, now).map_err(import_error)?;
        }
    }
    for entry in revision.rest() {
        insert(transaction, entry, now).map_err(import_error)?;
    }
    let header = decoder.header();
    let sql = "UPDATE head SET floor = ?1, fence = ?2, at = ?3";
    let parts = params![header.floor, header.fence, now.as_micros()];
    transaction.execute(sql, parts).map_err(import_error)?;
    Ok((decoder.summary(), revision.rev()))
}

fn insert(transaction: &Transaction<'_>, entry: Entry, now: Timestamp) -> rusqlite::Result<()> {
    let add = |sql: &str, parts: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(parts).map(drop)
    };
    match entry {
        Entry::Record(line) => {
            let record = line.into_record();
            let (kind, id, [k1, k2, k3]) = (record.key.kind.as_str(), record.key.id, record.index);
            add(
                "INSERT INTO record (kind, id, version, rev, k1, k2, k3, body)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![kind, id, record.version, record.rev.0, k1, k2, k3, &*record.body],
            )
        }
        Entry::Name { space, name, kind, id } => {
            let sql = "INSERT INTO uniq (space, name, kind, id) VALUES (?1, ?2, ?3, ?4)";
            add(sql, params![space, name, kind, id])
        }
        Entry::Due(line) => {
            let (key, row) = line.into_row(now);
            let (kind, pending) = (key.kind.as_str(), row.pending.map(Timestamp::as_micros));
            add(
                "INSERT INTO lease (kind, id, at, pending, owner, epoch)
                    VALUES (?1, ?2, ?3, ?4, NULL, ?5)",
                params![kind, key.id, row.at.as_micros(), pending, row.epoch],
            )
        }
        Entry::Change(line) => {
            let change = line.into_change();
            let op = i64::from(change.op != ChangeOp::Delete);
            let (id, at) = (change.commit_id.to_bits().to_be_bytes(), change.at.as_micros());
            let (actor, kind) = (change.actor.as_str(), change.key.kind.as_str());
            add(
                "INSERT INTO change
                    (rev, commit_id, at, actor, request_id, kind, id, version, op, event, body)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    change.rev.0,
                    id,
                    at,
                    actor,
                    change.request_id,
                    kind,
                    change.key.id,
                    change.version,
                    op,
                    change.event,
                    &*change.body
                ],
            )
        }
        Entry::Quiet { commit, rev, at } => {
            let sql = "INSERT INTO quiet_commit (commit_id, rev, at) VALUES (?1, ?2, ?3)";
            add(sql, params![commit.to_bits().to_be_bytes(), rev, at.as_micros()])
        }
        Entry::Secret(line) => {
            let (name, sealed, put_at) = line.into_parts(now);
            let sql = "INSERT INTO secret (name, key_id, sealed, put_at) VALUES (?1, ?2, ?3, ?4)";
            let key = sealed.key_id().as_str();
            add(sql, params![name.as_str(), key, sealed.as_bytes(), put_at.as_micros()])
        }
        Entry::End { .. } => Ok(()),
    }
}
