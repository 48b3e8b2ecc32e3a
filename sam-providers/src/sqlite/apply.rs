//! One commit inside the writer's transaction: load what it mentions, judge, write.
//!
//! The transaction shows each commit what earlier ones of its batch wrote, so nothing has to be kept
//! beside it.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};
use sam_core::store::{
    Commit, Committed, Due, Index, Lease, LeaseUse, RecordKey, Refusal, Rev, SetBy, UniqueChange,
    View, Write, WriteOp, judge,
};
use sam_core::time::Timestamp;

use super::leases::Held;
use super::writer::Batch;
use super::{leases, query};

/// What is known of a record before a commit.
#[derive(Debug, Clone, Copy)]
struct Known {
    number: i64,
    version: u64,
    moved: Moved,
}

/// Which indexed values a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Nothing,
    /// The first alone, as a change of state does.
    First,
    More,
}

/// All that the judge will ask for.
#[derive(Debug)]
struct Loaded<'c> {
    /// First the written records, in the order of the writes.
    records: Vec<(&'c RecordKey, Option<Known>)>,
    names: Vec<(&'c str, &'c str, Option<RecordKey>)>,
    held: Option<Held<'c>>,
    now: Timestamp,
}

impl View for Loaded<'_> {
    fn version(&self, key: &RecordKey) -> Option<u64> {
        let found = self.records.iter().find(|(known, _)| *known == key);
        found.and_then(|(_, known)| known.as_ref()).map(|known| known.version)
    }

    fn holder(&self, space: &str, key: &str) -> Option<RecordKey> {
        let found = self.names.iter().find(|(known, name, _)| (*known, *name) == (space, key));
        found.and_then(|(_, _, holder)| holder.clone())
    }

    fn holds(&self, _lease: &Lease) -> bool {
        self.held.as_ref().is_none_or(|held| held.is_current(self.now))
    }
}

/// Applies a commit, or says why not. A refused one has written nothing.
pub(super) fn commit(
    batch: &mut Batch<'_>,
    commit: &Commit,
) -> rusqlite::Result<Result<Committed, Refusal>> {
    if let Some(done) = query::outcome(batch.connection, commit.id)? {
        return Ok(Ok(done)); // C2
    }
    let mut loaded = load(batch, commit)?;
    if let Err(refusal) = judge(&loaded, commit) {
        return Ok(Err(refusal));
    }
    let mut versions = Vec::with_capacity(commit.writes.len());
    for (write, (_, known)) in commit.writes.iter().zip(&loaded.records) {
        let Some(version) = apply_write(batch, commit, write, *known)? else { continue };
        versions.push((write.key.clone(), version));
        let due = match write.op {
            WriteOp::Put { due, .. } => Some(due),
            _ => None,
        };
        match (loaded.held.as_mut().filter(|held| *held.key() == write.key), due) {
            (Some(held), Some(due)) => held.set(due, SetBy::Holder, batch.now),
            (Some(held), None) => held.clear(),
            (None, Some(due)) => leases::set(batch, &write.key, due, SetBy::Other)?,
            (None, None) => leases::clear(batch, &write.key)?,
        }
    }
    for change in &commit.unique {
        apply_unique(batch.connection, change)?;
    }
    for key in &commit.wakes {
        if known(batch.connection, key, None)?.is_some() {
            match loaded.held.as_mut().filter(|held| held.key() == key) {
                Some(held) => held.set(Due::NOW, SetBy::Other, batch.now),
                None => leases::set(batch, key, Due::NOW, SetBy::Other)?,
            }
        }
    }
    if let Some(held) = &mut loaded.held {
        if matches!(commit.lease, Some(LeaseUse::Release(_))) {
            held.release(batch.now);
        }
        held.save(batch)?;
    }
    if versions.is_empty() {
        batch
            .connection
            .prepare_cached("INSERT INTO quiet_commit (commit_id, rev, at) VALUES (?1, ?2, ?3)")?
            .execute((commit.id.to_bits().to_be_bytes(), batch.head.rev, batch.now.as_micros()))?;
    }
    batch.news = true;
    Ok(Ok(Committed::new(Rev(batch.head.rev), versions)))
}

fn load<'c>(batch: &Batch<'_>, commit: &'c Commit) -> rusqlite::Result<Loaded<'c>> {
    let connection = batch.connection;
    let mut records = Vec::with_capacity(commit.writes.len() + commit.checks.len());
    for write in &commit.writes {
        let index = match &write.op {
            WriteOp::Put { index, .. } => Some(index),
            _ => None,
        };
        records.push((&write.key, known(connection, &write.key, index)?));
    }
    for (key, _) in &commit.checks {
        records.push((key, known(connection, key, None)?));
    }
    let mut names = Vec::with_capacity(commit.unique.len());
    for change in &commit.unique {
        if let UniqueChange::Claim { space, key, .. } | UniqueChange::Release { space, key, .. } =
            change
        {
            names.push((*space, key.as_str(), holder(connection, space, key)?));
        }
    }
    let held = match &commit.lease {
        Some(used) => Some(Held::load(batch, used.lease())?),
        None => None,
    };
    Ok(Loaded { records, names, held, now: batch.now })
}

fn known(
    connection: &Connection,
    key: &RecordKey,
    index: Option<&Index>,
) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT number, version, k1, k2, k3 FROM record WHERE kind = ?1 AND id = ?2";
    connection
        .prepare_cached(sql)?
        .query_row((key.kind.as_str(), &key.id), |row| {
            let mut moved = Moved::Nothing;
            for (position, value) in index.into_iter().flatten().enumerate() {
                let wanted = value.as_ref().map_or(ValueRef::Null, |text| text.as_str().into());
                if row.get_ref(2 + position)? != wanted {
                    moved = if position == 0 { Moved::First } else { Moved::More };
                }
            }
            Ok(Known { number: row.get(0)?, version: row.get(1)?, moved })
        })
        .optional()
}

fn holder(connection: &Connection, space: &str, name: &str) -> rusqlite::Result<Option<RecordKey>> {
    connection
        .prepare_cached("SELECT kind, id FROM uniq WHERE space = ?1 AND name = ?2")?
        .query_row((space, name), |row| query::key(row, 0))
        .optional()
}

/// Makes one write and its change; returns the new version, or `None` when there was nothing to
/// delete.
fn apply_write(
    batch: &mut Batch<'_>,
    commit: &Commit,
    write: &Write,
    known: Option<Known>,
) -> rusqlite::Result<Option<u64>> {
    let version = known.map_or(0, |known| known.version) + 1;
    let rev = batch.head.rev + 1;
    match (&write.op, known) {
        (WriteOp::Put { index, body, .. }, known) => {
            put(batch.connection, (&write.key, index, body), known, (version, rev))?;
            append(batch, commit, write, (rev, version, 1, body))?;
        }
        (_, Some(known)) => {
            let sql = "DELETE FROM record WHERE number = ?1 RETURNING body";
            let mut statement = batch.connection.prepare_cached(sql)?;
            let body: String = statement.query_row([known.number], |row| row.get(0))?;
            append(batch, commit, write, (rev, version, 0, &body))?;
        }
        (_, None) => return Ok(None),
    }
    batch.head.rev = rev;
    Ok(Some(version))
}

fn put(
    connection: &Connection,
    (key, index, body): (&RecordKey, &Index, &str),
    known: Option<Known>,
    (version, rev): (u64, u64),
) -> rusqlite::Result<()> {
    let [k1, k2, k3] = index;
    match known {
        // Naming the indexed columns would rewrite their indexes although nothing changed.
        Some(Known { number, moved: Moved::Nothing, .. }) => connection
            .prepare_cached(
                "UPDATE record SET version = ?2, rev = ?3, body = ?4 WHERE number = ?1",
            )?
            .execute((number, version, rev, body)),
        Some(Known { number, moved: Moved::First, .. }) => connection
            .prepare_cached(
                "UPDATE record SET version = ?2, rev = ?3, body = ?4, k1 = ?5 WHERE number = ?1",
            )?
            .execute((number, version, rev, body, k1)),
        Some(Known { number, moved: Moved::More, .. }) => connection
            .prepare_cached(
                "UPDATE record SET version = ?2, rev = ?3, body = ?4, k1 = ?5, k2 = ?6, k3 = ?7
                 WHERE number = ?1",
            )?
            .execute((number, version, rev, body, k1, k2, k3)),
        None => connection
            .prepare_cached(
                "INSERT INTO record (kind, id, version, rev, k1, k2, k3, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((key.kind.as_str(), &key.id, version, rev, k1, k2, k3, body)),
    }
    .map(drop)
}

fn append(
    batch: &Batch<'_>,
    commit: &Commit,
    write: &Write,
    (rev, version, op, body): (u64, u64, i64, &str),
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO change
        (rev, commit_id, at, actor, request_id, kind, id, version, op, event, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    batch
        .connection
        .prepare_cached(sql)?
        .execute((
            rev,
            commit.id.to_bits().to_be_bytes(),
            batch.now.as_micros(),
            commit.actor.as_str(),
            &commit.request_id,
            write.key.kind.as_str(),
            &write.key.id,
            version,
            op,
            write.event,
            body,
        ))
        .map(drop)
}

fn apply_unique(connection: &Connection, change: &UniqueChange) -> rusqlite::Result<()> {
    let (sql, space, name, holder) = match change {
        // It is there already when its holder takes it again; the judge refused everybody else.
        UniqueChange::Claim { space, key, holder } => {
            let sql = "INSERT INTO uniq (space, name, kind, id) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO NOTHING";
            (sql, space, key, holder)
        }
        UniqueChange::Release { space, key, holder } => {
            let sql = "DELETE FROM uniq WHERE space = ?1 AND name = ?2 AND kind = ?3 AND id = ?4";
            (sql, space, key, holder)
        }
        _ => return Ok(()),
    };
    let parts = (space, name, holder.kind.as_str(), &holder.id);
    connection.prepare_cached(sql)?.execute(parts).map(drop)
}
