//! Backup and restore through the portable archive, each in one transaction.

use std::path::Path;

use sam_core::keys::{Sealed, SecretOwner};
use sam_core::store::{Change, DueRow, Epoch, Kind, Record, RecordKey, Rev, Revise};
use sam_core::time::Timestamp;
use sam_core::{CommitId, Result};
use tokio::fs::File;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter,
};
use tokio_postgres::Row;

use super::fault::Fault;
use super::leases::Lent;
use super::load::{BEGIN, commit_id, due_row, key, number, text};
use super::save::{self, id_bytes, signed};
use super::store::PgStore;
use super::{query, schema, secrets};
use crate::archive::{
    ArchiveSummary, CHUNK, ChangeLine, Decoder, DueLine, Encoder, Entry, Header, LINE_BYTES_MAX,
    RecordLine, Revision, SecretLine, create, file_error, not_empty,
};
use crate::batch::Known;

/// A backup reads, and a restore writes, for as long as the file takes.
const UNHURRIED: &str = "SET LOCAL statement_timeout = '10min';
    SET LOCAL idle_in_transaction_session_timeout = '10min'";
const CLOCK_AND_HEAD: &str = "SELECT epoch, rev, floor, ahead, at,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM head";

/// Makes the entry of a row; the time is that of the backup.
type Read = fn(&Row, Timestamp) -> Result<Entry, Fault>;

/// Every table, in the order of the archive.
const TABLES: [(&str, Read); 6] = [
    ("SELECT kind, id, version, rev, k1, k2, k3, body FROM record ORDER BY kind, id", |row, _| {
        Ok(Entry::Record(RecordLine::new(&query::record(row)?)))
    }),
    ("SELECT space, name, kind, id FROM uniq ORDER BY space, name", |row, _| {
        let (space, name) = (text(row, 0)?, text(row, 1)?);
        Ok(Entry::Name { space, name, kind: text(row, 2)?, id: text(row, 3)? })
    }),
    ("SELECT kind, id, at, pending, owner, epoch FROM lease ORDER BY kind, id", |row, now| {
        Ok(Entry::Due(DueLine::new(&key(row, 0)?, &due_row(row, 2)?, now)))
    }),
    (
        "SELECT NULL, NULL, NULL, rev, commit_id, at, actor, request_id, kind, id, version, op,
            event, body FROM change ORDER BY rev",
        |row, _| Ok(Entry::Change(ChangeLine::new(&query::change(row)?))),
    ),
    ("SELECT commit_id, rev, at FROM quiet_commit ORDER BY rev, commit_id", |row, _| {
        let commit = commit_id(row.try_get(0).map_err(Fault::unreadable)?);
        let at = Timestamp::from_micros(row.try_get(2).map_err(Fault::unreadable)?);
        Ok(Entry::Quiet { commit, rev: number(row, 1)?, at })
    }),
    ("SELECT name, sealed, put_at FROM secret ORDER BY name", |row, now| {
        let put_at = row.try_get(2).map(Timestamp::from_micros).map_err(Fault::unreadable)?;
        let (name, sealed) = (secrets::name(row)?, secrets::sealed(row, 1)?);
        Ok(Entry::Secret(SecretLine::new(name, sealed, now.since(put_at))))
    }),
];

impl PgStore {
    /// Writes everything as of this moment to a file that does not exist yet, in the portable form
    /// that every store restores; writing goes on. `installation` is kept in it for the host.
    ///
    /// # Errors
    /// `AlreadyExists` when the file exists; `NotFound`, `Denied` or `Unavailable` when it cannot be
    /// written; `Unavailable` or `Timeout` when the database cannot be read. No file is left then.
    pub async fn export(
        &self,
        to: impl AsRef<Path> + Send,
        installation: Option<&str>,
    ) -> Result<ArchiveSummary> {
        let failed = |fault: Fault| fault.to_error("export");
        let to = to.as_ref();
        self.shared.schema().require().map_err(failed)?;
        let client = Lent::from(&self.shared.pool).await.map_err(failed)?;
        let mut file = BufWriter::new(File::from_std(create(to)?));
        let written = async {
            let summary = export(&client, &mut file, (to, installation)).await?;
            let wrong = |error| file_error("export", to, error);
            file.flush().await.map_err(wrong)?;
            file.get_ref().sync_all().await.map_err(wrong)?;
            Ok(summary)
        };
        match written.await {
            Ok(summary) => {
                client.give_back();
                Ok(summary)
            }
            Err(error) => {
                // Half a backup is worse than none; the first failure is the one to tell.
                tokio::fs::remove_file(to).await.ok();
                Err(error)
            }
        }
    }

    /// Restores an archive into this store, which must be empty, as `rule` revises it: all of it or
    /// nothing. A new epoch begins and no lease is in force, so nothing of the history that ended at
    /// the backup is mistaken for what comes now.
    ///
    /// # Errors
    /// `Conflict` when the store is not empty or a newer program wrote the archive; `Corrupt` when
    /// it was cut or changed; what `rule` says; `NotFound` or `Denied` when it cannot be read;
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn import(
        &self,
        from: impl AsRef<Path> + Send,
        rule: &dyn Revise,
    ) -> Result<ArchiveSummary> {
        let failed = |fault: Fault| fault.to_error("import");
        let from = from.as_ref();
        self.shared.schema().require().map_err(failed)?;
        let file = File::open(from).await.map_err(|error| file_error("import", from, error))?;
        let mut lines = Lines { file: BufReader::new(file), path: from, line: Vec::new() };
        let client = Lent::from(&self.shared.pool).await.map_err(failed)?;
        let decoder = Decoder::new(lines.next().await?)?;
        let import = Import { client: &client, store: self, rule };
        let (summary, epoch, rev) = import.run(decoder, &mut lines).await?;
        client.give_back();
        self.shared.saw(&epoch, rev);
        self.shared.tell();
        Ok(summary)
    }
}

async fn export(
    client: &Lent,
    file: &mut BufWriter<File>,
    (to, installation): (&Path, Option<&str>),
) -> Result<ArchiveSummary> {
    let failed = |error: tokio_postgres::Error| Fault::of(&error).to_error("export");
    let wrong = |error| file_error("export", to, error);
    // One snapshot for all tables.
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {UNHURRIED}");
    client.batch_execute(&begin).await.map_err(failed)?;
    let header = header(client, installation).await.map_err(|fault| fault.to_error("export"))?;
    let now = header.at;
    let (mut encoder, line) = Encoder::new(header)?;
    file.write_all(&line).await.map_err(wrong)?;
    for (sql, read) in TABLES {
        client
            .batch_execute(&format!("DECLARE entries NO SCROLL CURSOR FOR {sql}"))
            .await
            .map_err(failed)?;
        let fetch = client.prepare(&format!("FETCH {CHUNK} FROM entries")).await.map_err(failed)?;
        loop {
            let rows = client.query(&fetch, &[]).await.map_err(failed)?;
            for row in &rows {
                let entry = read(row, now).map_err(|fault| fault.to_error("export"))?;
                file.write_all(&encoder.entry(&entry)?).await.map_err(wrong)?;
            }
            if rows.len() < CHUNK {
                break;
            }
        }
        client.batch_execute("CLOSE entries").await.map_err(failed)?;
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    let (summary, line) = encoder.end()?;
    file.write_all(&line).await.map_err(wrong)?;
    Ok(summary)
}

async fn header(client: &Lent, installation: Option<&str>) -> Result<Header, Fault> {
    let head = client.query_one(CLOCK_AND_HEAD, &[]).await?;
    let mut header = Header::new(installation.map(str::to_owned), text(&head, 0)?, now(&head)?);
    header.rev = number(&head, 1)?;
    header.floor = number(&head, 2)?;
    // A sequence is not part of the snapshot: it can only be ahead of what is in it.
    let fence = client.query_one("SELECT last_value FROM fence", &[]).await?;
    header.fence = number(&fence, 0)?;
    Ok(header)
}

/// The store's time, never before what was written last.
fn now(head: &Row) -> Result<Timestamp, Fault> {
    let column = |column: usize| head.try_get::<_, i64>(column).map_err(Fault::unreadable);
    let flowed = column(5)?.saturating_add(column(3)?);
    Ok(Timestamp::from_micros(flowed.max(column(4)?)))
}

/// The lines of a file, none longer than a bound.
struct Lines<'a> {
    file: BufReader<File>,
    path: &'a Path,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Reads the next line; one that is cut has no end.
    async fn next(&mut self) -> Result<&[u8]> {
        self.line.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut self.file)
            .take(most)
            .read_until(b'\n', &mut self.line)
            .await
            .map_err(|error| file_error("import", self.path, error))?;
        Ok(&self.line)
    }
}

/// Entries that wait to be written with a few statements.
#[derive(Default)]
struct Chunk {
    count: usize,
    records: Vec<(RecordKey, Option<Known>)>,
    names: Vec<((String, String), Option<RecordKey>)>,
    due: Vec<(RecordKey, Option<DueRow>)>,
    changes: Vec<Change>,
    quiet: Vec<(CommitId, u64, Timestamp)>,
    secrets: Vec<(SecretOwner, Sealed, Timestamp)>,
}

impl Chunk {
    fn add(&mut self, entry: Entry, now: Timestamp) {
        self.count += 1;
        match entry {
            Entry::Record(line) => {
                let Record { key, version, rev, index, body, .. } = line.into_record();
                self.records.push((key, Some(Known { version, rev, index, body })));
            }
            Entry::Name { space, name, kind, id } => {
                let holder = RecordKey::new(Kind::from_stored(kind), id);
                self.names.push(((space, name), Some(holder)));
            }
            Entry::Due(line) => {
                let (key, row) = line.into_row(now);
                self.due.push((key, Some(row)));
            }
            Entry::Change(line) => self.changes.push(line.into_change()),
            Entry::Quiet { commit, rev, at } => self.quiet.push((commit, rev, at)),
            Entry::Secret(line) => self.secrets.push(line.into_parts(now)),
            Entry::End { .. } => {}
        }
    }

    async fn save(&self, client: &Lent) -> Result<(), Fault> {
        let statement = client.prepare_cached(save::PUT_RECORDS).await?;
        save::put_records(client, &statement, &self.records).await?;
        let statement = client.prepare_cached(save::PUT_NAMES).await?;
        save::put_names(client, &statement, &self.names).await?;
        let statement = client.prepare_cached(save::PUT_DUE).await?;
        save::put_due(client, &statement, &self.due).await?;
        let statement = client.prepare_cached(save::APPEND).await?;
        save::append(client, &statement, &self.changes).await?;
        let ids: Vec<Vec<u8>> = self.quiet.iter().map(|(id, ..)| id_bytes(*id)).collect();
        let revs: Vec<i64> = self.quiet.iter().map(|(_, rev, _)| signed(*rev)).collect();
        let ats: Vec<i64> = self.quiet.iter().map(|(.., at)| at.as_micros()).collect();
        let statement = client.prepare_cached(save::QUIET).await?;
        client.execute(&statement, &[&ids, &revs, &ats]).await?;
        secrets::restore(client, &self.secrets).await
    }
}

struct Import<'a> {
    client: &'a Lent,
    store: &'a PgStore,
    rule: &'a dyn Revise,
}

impl Import<'_> {
    async fn run(
        &self,
        mut decoder: Decoder,
        lines: &mut Lines<'_>,
    ) -> Result<(ArchiveSummary, Epoch, Rev)> {
        let failed = |fault: Fault| fault.to_error("import");
        // Whatever fails from here on closes the connection, and nothing was restored.
        let now = self.begin(decoder.header().at).await.map_err(failed)?.ok_or_else(not_empty)?;
        let commit = CommitId::new(now, &*self.store.shared.entropy);
        let mut revision = Revision::new(self.rule, decoder.header(), (commit, now))?;
        let mut chunk = Chunk::default();
        while let Some(entry) = decoder.entry(lines.next().await?)? {
            for entry in revision.pass(entry)?.into_iter().flatten() {
                chunk.add(entry, now);
            }
            if chunk.count >= CHUNK {
                chunk.save(self.client).await.map_err(failed)?;
                chunk = Chunk::default();
            }
        }
        for entry in revision.rest() {
            chunk.add(entry, now);
        }
        chunk.save(self.client).await.map_err(failed)?;
        let rev = Rev(revision.rev());
        let epoch = self.end(decoder.header(), rev, now).await.map_err(failed)?;
        Ok((decoder.summary(), epoch, rev))
    }

    /// Takes the head lock; returns the time, or `None` when the store is not empty.
    async fn begin(&self, at: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let client = self.client;
        client.batch_execute(BEGIN).await?;
        client.batch_execute(UNHURRIED).await?;
        let sql = format!("{CLOCK_AND_HEAD} FOR UPDATE");
        let head = client.query_one(&sql, &[]).await?;
        // Secrets are put without the head lock.
        client.batch_execute("LOCK TABLE secret IN SHARE ROW EXCLUSIVE MODE").await?;
        let sql = "SELECT EXISTS (SELECT FROM record) OR EXISTS (SELECT FROM lease)
            OR EXISTS (SELECT FROM uniq) OR EXISTS (SELECT FROM quiet_commit)
            OR EXISTS (SELECT FROM secret)";
        let row = client.query_one(sql, &[]).await?;
        let full: bool = row.try_get(0).map_err(Fault::unreadable)?;
        let used = full || number(&head, 1)? != 0;
        Ok(if used { None } else { Some(now(&head)?.max(at)) })
    }

    async fn end(&self, header: &Header, rev: Rev, now: Timestamp) -> Result<Epoch, Fault> {
        let client = self.client;
        let sql = "SELECT setval('fence', greatest((SELECT last_value FROM fence), $1))";
        client.execute(sql, &[&signed(header.fence.max(1))]).await?;
        // Nothing is ever dated before this, whatever the clock of this server says.
        let sql = "UPDATE head SET rev = $1, floor = $2, at = $3, ahead = greatest(ahead,
            $3::bigint - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";
        let parts = (signed(rev.0), signed(header.floor), now.as_micros());
        client.execute(sql, &[&parts.0, &parts.1, &parts.2]).await?;
        let epoch = schema::begin_epoch(client, &*self.store.shared.entropy).await?;
        client.batch_execute("COMMIT").await?;
        Ok(epoch)
    }
}
