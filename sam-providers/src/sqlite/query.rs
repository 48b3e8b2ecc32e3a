//! Reads. Each steps through its rows at once and keeps no transaction afterwards.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};
use sam_core::CommitId;
use sam_core::Page;
use sam_core::store::{
    Actor, Change, ChangeOp, Changes, Committed, Cursor, Epoch, Feed, IndexField, Kind, ListQuery,
    Record, RecordKey, Rev,
};
use sam_core::time::Timestamp;

/// A page ends early once its bodies have so many bytes together.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads a key from two columns.
pub(super) fn key(row: &Row<'_>, first: usize) -> rusqlite::Result<RecordKey> {
    let kind = Kind::from_stored(row.get::<_, String>(first)?);
    Ok(RecordKey::new(kind, row.get_ref(first + 1)?.as_str()?))
}

/// Reads one record.
pub(super) fn load(connection: &Connection, key: &RecordKey) -> rusqlite::Result<Option<Record>> {
    let sql = "SELECT version, rev, k1, k2, k3, body, id FROM record WHERE kind = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row((key.kind.as_str(), &key.id), |row| record(row, &key.kind)).optional()
}

pub(super) fn record(row: &Row<'_>, kind: &Kind) -> rusqlite::Result<Record> {
    let index = [row.get(2)?, row.get(3)?, row.get(4)?];
    let key = RecordKey::new(kind.clone(), row.get_ref(6)?.as_str()?);
    Ok(Record::new(key, row.get(0)?, Rev(row.get(1)?), index, row.get(5)?))
}

/// Reads one page.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Page<Record>> {
    const COLUMNS: &str = "SELECT version, rev, k1, k2, k3, body, id FROM record WHERE kind = ?1 ";
    const ORDER: &str = "AND id > ?2 ORDER BY id LIMIT ?3";
    let filter = match query.filter {
        None => "",
        Some((IndexField::First, _)) => "AND k1 = ?4 ",
        Some((IndexField::Second, _)) => "AND k2 = ?4 ",
        Some((_, _)) => "AND k3 = ?4 ",
    };
    let mut statement = connection.prepare_cached(&format!("{COLUMNS}{filter}{ORDER}"))?;
    let limit = query.limit.clamp(1, ListQuery::LIMIT_MAX);
    // No id is empty, so every id comes after the empty text.
    let after = query.after.as_deref().unwrap_or_default();
    let kind = query.kind.as_str();
    let mut rows = match &query.filter {
        None => statement.query((kind, after, limit + 1))?,
        Some((_, value)) => statement.query((kind, after, limit + 1, value))?,
    };
    let mut records: Vec<Record> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if records.len() == limit || bytes >= PAGE_BYTES_MAX {
            let next = records.last().map(|record| record.key.id.clone());
            return Ok(Page::new(records, next));
        }
        let record = record(row, &query.kind)?;
        bytes += record.body.len();
        records.push(record);
    }
    Ok(Page::new(records, None))
}

/// Reads what a commit did.
pub(super) fn outcome(
    connection: &Connection,
    id: CommitId,
) -> rusqlite::Result<Option<Committed>> {
    let bytes = id.to_bits().to_be_bytes();
    let sql = "SELECT rev, kind, id, version FROM change WHERE commit_id = ?1 ORDER BY rev";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([bytes])?;
    let mut committed: Option<Committed> = None;
    while let Some(row) = rows.next()? {
        let committed = committed.get_or_insert_with(|| Committed::new(Rev(0), Vec::new()));
        committed.rev = Rev(row.get(0)?);
        committed.versions.push((key(row, 1)?, row.get(3)?));
    }
    if committed.is_some() {
        return Ok(committed);
    }
    connection
        .prepare_cached("SELECT rev FROM quiet_commit WHERE commit_id = ?1")?
        .query_row([bytes], |row| Ok(Committed::new(Rev(row.get(0)?), Vec::new())))
        .optional()
}

/// Why the feed could not be read.
#[derive(Debug)]
pub(super) enum FeedError {
    /// A revision is missing.
    Gap,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for FeedError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Reads changes, the head and the floor as of one moment: a trim in between would be a silent gap.
pub(super) fn changes(
    connection: &mut Connection,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Feed, FeedError> {
    let transaction = connection.transaction()?;
    let (head, floor) =
        transaction.prepare_cached("SELECT epoch, rev, floor FROM head")?.query_row([], |row| {
            let epoch = Epoch::new(row.get::<_, Arc<str>>(0)?);
            Ok((Cursor::new(epoch, Rev(row.get(1)?)), Rev(row.get(2)?)))
        })?;
    let Some(after) = after else {
        return Ok(Feed::Changes(Changes::new(Vec::new(), head, floor)));
    };
    if after.epoch != head.epoch || after.rev < floor || after.rev > head.rev {
        return Ok(Feed::Stale { head, floor });
    }
    let sql = "SELECT rev, commit_id, at, actor, request_id, kind, id, version, op, event, body
        FROM change WHERE rev > ?1 ORDER BY rev LIMIT ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query((after.rev.0, limit.min(Changes::LIMIT_MAX)))?;
    let mut changes: Vec<Change> = Vec::new();
    let mut bytes = 0;
    let mut last = after.rev.0;
    while let Some(row) = rows.next()? {
        let change = change(row)?;
        if change.rev.0 != last + 1 {
            return Err(FeedError::Gap);
        }
        last = change.rev.0;
        bytes += change.body.len();
        changes.push(change);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    if changes.is_empty() && limit > 0 && last != head.rev.0 {
        return Err(FeedError::Gap);
    }
    Ok(Feed::Changes(Changes::new(changes, head, floor)))
}

pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let commit_id = CommitId::from_bits(u128::from_be_bytes(row.get(1)?));
    let at = Timestamp::from_micros(row.get(2)?);
    let mut change = Change::new(Rev(row.get(0)?), commit_id, at, key(row, 5)?);
    change.actor = Actor::named(row.get::<_, Arc<str>>(3)?);
    change.request_id = row.get(4)?;
    change.version = row.get(7)?;
    change.op = if row.get::<_, i64>(8)? == 0 { ChangeOp::Delete } else { ChangeOp::Put };
    change.event = row.get(9)?;
    change.body = row.get(10)?;
    Ok(change)
}
