//! Claiming, renewing and releasing. What each act means is decided by [`DueRow`]; here rows are
//! locked, read and written. None of it takes the head lock or writes to the feed.

use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use futures_util::join;
use sam_core::store::{Claim, ClaimRequest, Claims, Due, DueRow, Kind, Lease, RecordKey, WorkerId};
use sam_core::time::Timestamp;
use tokio_postgres::Row;

use super::fault::Fault;
use super::load::{BEGIN, due_row, key, number};
use super::query;

/// The store's time.
const NOW: &str =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ahead FROM head";
const DUE: &str = "SELECT kind, id, at, pending, owner, epoch FROM lease
    WHERE kind = ANY ($1) AND at <= (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        + ahead FROM head)
    ORDER BY at, kind, id LIMIT $2 FOR UPDATE SKIP LOCKED";
/// The fencing epoch is drawn while the row is locked, so later claims of it have higher ones.
const CLAIM: &str = "UPDATE lease AS l
    SET at = w.at, pending = w.pending, owner = $5, epoch = nextval('fence')
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS w (kind, id, at, pending)
    WHERE l.kind = w.kind AND l.id = w.id RETURNING l.kind, l.id, l.epoch";
const RECORDS: &str = "SELECT r.kind, r.id, r.version, r.rev, r.k1, r.k2, r.k3, r.body
    FROM unnest($1::text[], $2::text[]) AS w (kind, id)
    JOIN record AS r ON r.kind = w.kind AND r.id = w.id";
const NEXT: &str = "SELECT at FROM lease WHERE kind = ANY ($1) ORDER BY at LIMIT 1";
const ONE: &str =
    "SELECT at, pending, owner, epoch FROM lease WHERE kind = $1 AND id = $2 FOR UPDATE";
const SAVE: &str = "UPDATE lease SET at = $3, pending = $4, owner = $5 WHERE kind = $1 AND id = $2";
const CLEAR: &str = "DELETE FROM lease WHERE kind = $1 AND id = $2";

/// A connection lent for a transaction. One that is dropped before it was given back is closed, and
/// the server rolls back: so a caller may drop its future at any moment.
#[derive(Debug)]
pub(super) struct Lent(Option<Object>);

impl Lent {
    pub(super) async fn from(pool: &Pool) -> Result<Self, Fault> {
        pool.get().await.map(|object| Self(Some(object))).map_err(|error| Fault::of_pool(&error))
    }

    /// Gives the connection back; its transaction has ended.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = ClientWrapper;

    #[expect(
        clippy::expect_used,
        reason = "only giving back takes it, and that consumes the value"
    )]
    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("lent until it is given back")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

fn time(row: &Row) -> Result<Timestamp, Fault> {
    row.try_get(0).map(Timestamp::from_micros).map_err(Fault::unreadable)
}

/// Claims what is due, earliest first.
pub(super) async fn claim(pool: &Pool, request: &ClaimRequest) -> Result<Claims, Fault> {
    let client = Lent::from(pool).await?;
    let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
    let limit = request.limit.clamp(1, ClaimRequest::LIMIT_MAX);
    let limit = i64::try_from(limit).unwrap_or(1);
    let due = client.prepare_cached(DUE).await?;
    let now = client.prepare_cached(NOW).await?;
    // The time is told after the rows were found, so each of them is due by it.
    let (begun, due, now) = join!(
        client.batch_execute(BEGIN),
        async { client.query(&due, &[&kinds, &limit]).await },
        client.query_one(&now, &[]),
    );
    begun?;
    let (due, now) = (due?, time(&now?)?);
    let mut rows = Vec::with_capacity(due.len());
    for row in &due {
        let claimed = due_row(row, 2)?.after_claim(request.owner.clone(), 0, request.span, now);
        rows.push((key(row, 0)?, claimed));
    }
    let claims = finish_claim(&client, request, &kinds, &rows, now).await?;
    client.give_back();
    Ok(claims)
}

async fn finish_claim(
    client: &Lent,
    request: &ClaimRequest,
    kinds: &[&str],
    rows: &[(RecordKey, DueRow)],
    now: Timestamp,
) -> Result<Claims, Fault> {
    let next = client.prepare_cached(NEXT).await?;
    let claim = client.prepare_cached(CLAIM).await?;
    let records = client.prepare_cached(RECORDS).await?;
    let of: Vec<&str> = rows.iter().map(|(key, _)| key.kind.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|(key, _)| key.id.as_str()).collect();
    let ats: Vec<i64> = rows.iter().map(|(_, row)| row.at.as_micros()).collect();
    let pending: Vec<Option<i64>> =
        rows.iter().map(|(_, row)| row.pending.map(Timestamp::as_micros)).collect();
    let owner = request.owner.as_str();
    let (claimed, records, next, committed) = join!(
        async {
            match rows {
                [] => Ok(Vec::new()),
                _ => client.query(&claim, &[&of, &ids, &ats, &pending, &owner]).await,
            }
        },
        async {
            if rows.is_empty() {
                Ok(Vec::new())
            } else {
                client.query(&records, &[&of, &ids]).await
            }
        },
        async { client.query_opt(&next, &[&kinds]).await },
        client.batch_execute("COMMIT"),
    );
    let (claimed, records) = (claimed?, records?);
    let next = next?.as_ref().map(time).transpose()?;
    committed?;
    let mut found = Vec::with_capacity(records.len());
    for row in &records {
        found.push(query::record(row)?);
    }
    let mut epochs = Vec::with_capacity(claimed.len());
    for row in &claimed {
        epochs.push((key(row, 0)?, number(row, 2)?));
    }
    let mut claims = Vec::with_capacity(rows.len());
    for (key, _) in rows {
        let epoch = epochs.iter().find(|(other, _)| other == key).map(|(_, epoch)| *epoch);
        let epoch = epoch.ok_or_else(|| Fault::corrupt("a row that was locked has vanished"))?;
        let place = found.iter().position(|record| record.key == *key);
        let record = place.map(|place| found.swap_remove(place));
        claims.push(Claim::new(Lease::new(key.clone(), request.owner.clone(), epoch), record));
    }
    Ok(Claims::new(claims, next.map(|at| at.since(now))))
}

/// Extends a lease; returns whether it was still held.
pub(super) async fn renew(pool: &Pool, lease: &Lease, span: Duration) -> Result<bool, Fault> {
    change(pool, lease, |row, now| Some(row.after_renew(span, now))).await
}

/// Gives a lease back; returns whether it was still held.
pub(super) async fn release(pool: &Pool, lease: &Lease, due: Due) -> Result<bool, Fault> {
    change(pool, lease, |row, now| row.after_release(due, now)).await
}

/// Changes the row of a lease while it is held.
async fn change(
    pool: &Pool,
    lease: &Lease,
    act: impl FnOnce(DueRow, Timestamp) -> Option<DueRow> + Send,
) -> Result<bool, Fault> {
    let client = Lent::from(pool).await?;
    let (kind, id) = (lease.key.kind.as_str(), lease.key.id.as_str());
    let one = client.prepare_cached(ONE).await?;
    let now = client.prepare_cached(NOW).await?;
    let (begun, row, now) = join!(
        client.batch_execute(BEGIN),
        async { client.query_opt(&one, &[&kind, &id]).await },
        client.query_one(&now, &[]),
    );
    begun?;
    let (row, now) = (row?, time(&now?)?);
    let row = row.as_ref().map(|row| due_row(row, 0)).transpose()?;
    let Some(row) = row.filter(|row| row.is_held_under(lease, now)) else {
        client.batch_execute("ROLLBACK").await?;
        client.give_back();
        return Ok(false);
    };
    let (saved, committed) = if let Some(row) = act(row, now) {
        let save = client.prepare_cached(SAVE).await?;
        let (at, pending) = (row.at.as_micros(), row.pending.map(Timestamp::as_micros));
        let owner = row.owner.as_ref().map(WorkerId::as_str);
        join!(
            async { client.execute(&save, &[&kind, &id, &at, &pending, &owner]).await },
            client.batch_execute("COMMIT"),
        )
    } else {
        let clear = client.prepare_cached(CLEAR).await?;
        join!(async { client.execute(&clear, &[&kind, &id]).await }, client.batch_execute("COMMIT"),)
    };
    saved?;
    committed?;
    client.give_back();
    Ok(true)
}
