//! Reads. Each is one statement, so it sees one moment, and keeps no transaction afterwards.

use std::sync::Arc;

use deadpool_postgres::Pool;
use futures_util::join;
use sam_core::store::{
    Actor, Change, ChangeOp, Changes, Committed, Cursor, Epoch, Feed, IndexField, ListQuery,
    Record, RecordKey, Rev,
};
use sam_core::time::Timestamp;
use sam_core::{CommitId, Page};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::leases::Lent;
use super::load::{BEGIN, commit_id, key, number, text};
use super::save::id_bytes;

/// A page ends early once its bodies have so many bytes together.
const PAGE_BYTES_MAX: i64 = 4 * 1024 * 1024;

const LOAD: &str = "SELECT kind, id, version, rev, k1, k2, k3, body FROM record
    WHERE kind = $1 AND id = $2";

/// Runs one statement on a connection of the pool; again on another when that one turns out lost, as
/// all are after the server was restarted.
pub(super) async fn rows(
    pool: &Pool,
    sql: &str,
    parts: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Fault> {
    let mut attempts = pool.status().max_size + 1;
    loop {
        let client = pool.get().await.map_err(|error| Fault::of_pool(&error))?;
        let read = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parts).await
        };
        match read.await {
            Ok(rows) => return Ok(rows),
            Err(error) => {
                let fault = Fault::of(&error);
                attempts -= 1;
                if !fault.lost || attempts == 0 {
                    return Err(fault);
                }
                drop(deadpool_postgres::Object::take(client));
            }
        }
    }
}

/// Reads a record from eight columns.
pub(super) fn record(row: &Row) -> Result<Record, Fault> {
    let value = |column: usize| row.try_get(column).map_err(Fault::unreadable);
    let index = [value(4)?, value(5)?, value(6)?];
    let body: &str = row.try_get(7).map_err(Fault::unreadable)?;
    Ok(Record::new(key(row, 0)?, number(row, 2)?, Rev(number(row, 3)?), index, Arc::from(body)))
}

/// Reads one record.
pub(super) async fn load(pool: &Pool, key: &RecordKey) -> Result<Option<Record>, Fault> {
    let rows = rows(pool, LOAD, &[&key.kind.as_str(), &key.id.as_str()]).await?;
    rows.first().map(record).transpose()
}

/// Reads one page. The server cuts it where its bodies grow large, and counts how many there were.
pub(super) async fn list(pool: &Pool, query: &ListQuery) -> Result<Page<Record>, Fault> {
    let filter = match query.filter {
        None => "",
        Some((IndexField::First, _)) => "AND k1 = $5",
        Some((IndexField::Second, _)) => "AND k2 = $5",
        Some((_, _)) => "AND k3 = $5",
    };
    let sql = format!(
        "SELECT kind, id, version, rev, k1, k2, k3, body, found FROM
            (SELECT *, count(*) OVER () AS found,
                sum(octet_length(body)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING)
                    - octet_length(body) AS bytes_before
            FROM (SELECT * FROM record WHERE kind = $1 AND id > $2 {filter}
                ORDER BY id LIMIT $3) AS page) AS counted
        WHERE bytes_before < $4 ORDER BY id"
    );
    let limit = query.limit.clamp(1, ListQuery::LIMIT_MAX);
    let more = i64::try_from(limit + 1).unwrap_or(1);
    // No id is empty, so every id comes after the empty text.
    let (kind, after) = (query.kind.as_str(), query.after.as_deref().unwrap_or_default());
    let rows = match &query.filter {
        None => rows(pool, &sql, &[&kind, &after, &more, &PAGE_BYTES_MAX]).await?,
        Some((_, value)) => {
            rows(pool, &sql, &[&kind, &after, &more, &PAGE_BYTES_MAX, value]).await?
        }
    };
    let mut records = Vec::with_capacity(rows.len().min(limit));
    for row in rows.iter().take(limit) {
        records.push(record(row)?);
    }
    let found = rows.first().map_or(Ok(0), |row| number(row, 8))?;
    let all = u64::try_from(records.len()).is_ok_and(|count| count == found);
    let next = records.last().filter(|_| !all).map(|record: &Record| record.key.id.clone());
    Ok(Page::new(records, next))
}

/// Reads what a commit did. The head lock is taken first: a transaction that was sent COMMIT and
/// then lost its connection still has it, and its end decides the answer.
pub(super) async fn outcome(pool: &Pool, id: CommitId) -> Result<Option<Committed>, Fault> {
    const SQL: &str = "SELECT rev, kind, id, version FROM change WHERE commit_id = $1
        UNION ALL SELECT rev, NULL, NULL, NULL FROM quiet_commit WHERE commit_id = $1 ORDER BY 1";
    const LOCK: &str = "SELECT FROM head FOR SHARE";
    let client = Lent::from(pool).await?;
    let lock = client.prepare_cached(LOCK).await?;
    let sql = client.prepare_cached(SQL).await?;
    let bytes = id_bytes(id);
    let (begun, locked, rows, committed) = join!(
        client.batch_execute(BEGIN),
        client.query_one(&lock, &[]),
        async { client.query(&sql, &[&bytes]).await },
        client.batch_execute("COMMIT"),
    );
    begun?;
    locked?;
    let rows = rows?;
    committed?;
    client.give_back();
    let mut outcome: Option<Committed> = None;
    for row in &rows {
        let rev = Rev(number(row, 0)?);
        let committed = outcome.get_or_insert_with(|| Committed::new(rev, Vec::new()));
        committed.rev = rev;
        let kind: Option<&str> = row.try_get(1).map_err(Fault::unreadable)?;
        if kind.is_some() {
            committed.versions.push((key(row, 1)?, number(row, 3)?));
        }
    }
    Ok(outcome)
}

/// Reads changes, the head and the floor as of one moment: a trim in between would be a silent gap.
pub(super) async fn changes(
    pool: &Pool,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Feed, Fault> {
    const SQL: &str = "SELECT h.epoch, h.rev, h.floor, c.rev, c.commit_id, c.at, c.actor,
            c.request_id, c.kind, c.id, c.version, c.op, c.event, c.body
        FROM head AS h LEFT JOIN LATERAL
            (SELECT * FROM
                (SELECT *, sum(octet_length(body)) OVER (ORDER BY rev ROWS UNBOUNDED PRECEDING)
                        - octet_length(body) AS bytes_before
                FROM (SELECT * FROM change WHERE rev > $2 AND h.epoch = $1
                    ORDER BY rev LIMIT $3) AS page) AS counted
            WHERE bytes_before < $4) AS c ON true
        ORDER BY c.rev";
    const HEAD: &str = "SELECT epoch, rev, floor FROM head";
    let from = after.map_or(0, |cursor| i64::try_from(cursor.rev.0).unwrap_or(i64::MAX));
    let most = i64::try_from(limit.min(Changes::LIMIT_MAX)).unwrap_or(0);
    let rows = match after {
        None => rows(pool, HEAD, &[]).await?,
        Some(cursor) => {
            rows(pool, SQL, &[&cursor.epoch.as_str(), &from, &most, &PAGE_BYTES_MAX]).await?
        }
    };
    let first = rows.first().ok_or_else(|| Fault::corrupt("the head row is missing"))?;
    let head = Cursor::new(Epoch::new(text(first, 0)?), Rev(number(first, 1)?));
    let floor = Rev(number(first, 2)?);
    let Some(after) = after else {
        return Ok(Feed::Changes(Changes::new(Vec::new(), head, floor)));
    };
    if after.epoch != head.epoch || after.rev < floor || after.rev > head.rev {
        return Ok(Feed::Stale { head, floor });
    }
    let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
    let mut last = after.rev.0;
    for row in &rows {
        let there: Option<i64> = row.try_get(3).map_err(Fault::unreadable)?;
        if there.is_none() {
            break;
        }
        let change = change(row)?;
        if change.rev.0 != last + 1 {
            return Err(Fault::gap()); // I6
        }
        last = change.rev.0;
        changes.push(change);
    }
    if changes.is_empty() && limit > 0 && last != head.rev.0 {
        return Err(Fault::gap());
    }
    Ok(Feed::Changes(Changes::new(changes, head, floor)))
}

/// Reads a change from eleven columns, the fourth and those after it.
pub(super) fn change(row: &Row) -> Result<Change, Fault> {
    let id = commit_id(row.try_get(4).map_err(Fault::unreadable)?);
    let at = Timestamp::from_micros(row.try_get(5).map_err(Fault::unreadable)?);
    let mut change = Change::new(Rev(number(row, 3)?), id, at, key(row, 8)?);
    change.actor = Actor::named(text(row, 6)?);
    change.request_id = row.try_get(7).map_err(Fault::unreadable)?;
    change.version = number(row, 10)?;
    let op: i16 = row.try_get(11).map_err(Fault::unreadable)?;
    change.op = if op == 0 { ChangeOp::Delete } else { ChangeOp::Put };
    change.event = text(row, 12)?;
    let body: &str = row.try_get(13).map_err(Fault::unreadable)?;
    change.body = Arc::from(body);
    Ok(change)
}
