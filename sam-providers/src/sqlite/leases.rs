//! Due times and leases inside the writer's transaction. What each act means is decided by
//! [`DueRow`]; here rows are only read and written.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, Row};
use sam_core::store::{
    Claim, ClaimRequest, Claims, Due, DueRow, Kind, Lease, RecordKey, SetBy, WorkerId,
};
use sam_core::time::Timestamp;

use super::query;
use super::writer::Batch;

/// Reads a due time and its lease from four columns.
pub(super) fn row_from(row: &Row<'_>, first: usize) -> rusqlite::Result<DueRow> {
    let pending: Option<i64> = row.get(first + 1)?;
    let owner: Option<String> = row.get(first + 2)?;
    Ok(DueRow::new(
        Timestamp::from_micros(row.get(first)?),
        pending.map(Timestamp::from_micros),
        owner.map(WorkerId::new),
        row.get(first + 3)?,
    ))
}

fn load(batch: &Batch<'_>, key: &RecordKey) -> rusqlite::Result<Option<DueRow>> {
    let sql = "SELECT at, pending, owner, epoch FROM lease WHERE kind = ?1 AND id = ?2";
    let mut statement = batch.connection.prepare_cached(sql)?;
    statement.query_row((key.kind.as_str(), &key.id), |row| row_from(row, 0)).optional()
}

fn save(batch: &Batch<'_>, key: &RecordKey, row: &DueRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO lease (kind, id, at, pending, owner, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, pending = excluded.pending,
            owner = excluded.owner, epoch = excluded.epoch";
    let owner = row.owner.as_ref().map(WorkerId::as_str);
    let pending = row.pending.map(Timestamp::as_micros);
    let parts = (key.kind.as_str(), &key.id, row.at.as_micros(), pending, owner, row.epoch);
    batch.connection.prepare_cached(sql)?.execute(parts).map(drop)
}

/// Removes a due time and a lease.
pub(super) fn clear(batch: &Batch<'_>, key: &RecordKey) -> rusqlite::Result<()> {
    let sql = "DELETE FROM lease WHERE kind = ?1 AND id = ?2";
    batch.connection.prepare_cached(sql)?.execute((key.kind.as_str(), &key.id)).map(drop)
}

fn replace(
    batch: &Batch<'_>,
    key: &RecordKey,
    old: Option<&DueRow>,
    new: Option<&DueRow>,
) -> rusqlite::Result<()> {
    match new {
        _ if old == new => Ok(()),
        Some(row) => save(batch, key, row),
        None => clear(batch, key),
    }
}

/// Sets when a record is due.
pub(super) fn set(batch: &Batch<'_>, key: &RecordKey, due: Due, by: SetBy) -> rusqlite::Result<()> {
    if due == Due::Keep {
        return Ok(());
    }
    let old = load(batch, key)?;
    let new = DueRow::after_set(old.clone(), due, by, batch.now);
    replace(batch, key, old.as_ref(), new.as_ref())
}

/// The row of the record whose lease a commit is made under: read once, written once.
#[derive(Debug)]
pub(super) struct Held<'c> {
    lease: &'c Lease,
    old: Option<DueRow>,
    new: Option<DueRow>,
}

impl<'c> Held<'c> {
    pub(super) fn load(batch: &Batch<'_>, lease: &'c Lease) -> rusqlite::Result<Self> {
        let old = load(batch, &lease.key)?;
        Ok(Self { lease, new: old.clone(), old })
    }

    pub(super) const fn key(&self) -> &'c RecordKey {
        &self.lease.key
    }

    /// Returns whether the lease is the current one and has not ended.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        self.new.as_ref().is_some_and(|row| row.is_held_under(self.lease, now))
    }

    pub(super) fn set(&mut self, due: Due, by: SetBy, now: Timestamp) {
        self.new = DueRow::after_set(self.new.take(), due, by, now);
    }

    pub(super) fn clear(&mut self) {
        self.new = None;
    }

    pub(super) fn release(&mut self, now: Timestamp) {
        if self.is_current(now) {
            self.new = self.new.take().and_then(|row| row.after_release(Due::Never, now));
        }
    }

    pub(super) fn save(&self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        replace(batch, self.key(), self.old.as_ref(), self.new.as_ref())
    }
}

/// Gives a lease back; does nothing when it was lost.
pub(super) fn release(batch: &mut Batch<'_>, lease: &Lease, due: Due) -> rusqlite::Result<()> {
    let Some(row) = load(batch, &lease.key)?.filter(|row| row.is_held_under(lease, batch.now))
    else {
        return Ok(());
    };
    batch.news = true;
    let new = row.clone().after_release(due, batch.now);
    replace(batch, &lease.key, Some(&row), new.as_ref())
}

/// Extends a lease; returns whether it was still held.
pub(super) fn renew(batch: &Batch<'_>, lease: &Lease, span: Duration) -> rusqlite::Result<bool> {
    let held = load(batch, &lease.key)?.filter(|row| row.is_held_under(lease, batch.now));
    let Some(row) = held else { return Ok(false) };
    save(batch, &lease.key, &row.after_renew(span, batch.now))?;
    Ok(true)
}

/// Claims what is due, earliest first.
pub(super) fn claim(batch: &mut Batch<'_>, request: &ClaimRequest) -> rusqlite::Result<Claims> {
    let limit = request.limit.clamp(1, ClaimRequest::LIMIT_MAX);
    let mut due = Vec::new();
    for (position, kind) in request.kinds.iter().enumerate() {
        if !request.kinds.iter().take(position).any(|other| other == kind) {
            due_of(batch, kind, limit, &mut due)?;
        }
    }
    due.sort_by(|(key, row), (other_key, other)| (row.at, key).cmp(&(other.at, other_key)));
    let mut claims = Vec::with_capacity(due.len().min(limit));
    for (key, row) in due.into_iter().take(limit) {
        batch.head.fence += 1;
        let epoch = batch.head.fence; // C7
        let row = row.after_claim(request.owner.clone(), epoch, request.span, batch.now);
        save(batch, &key, &row)?;
        let record = query::load(batch.connection, &key)?;
        claims.push(Claim::new(Lease::new(key, request.owner.clone(), epoch), record));
    }
    Ok(Claims::new(claims, next_due_in(batch, &request.kinds)?))
}

fn due_of(
    batch: &Batch<'_>,
    kind: &Kind,
    limit: usize,
    due: &mut Vec<(RecordKey, DueRow)>,
) -> rusqlite::Result<()> {
    let sql = "SELECT id, at, pending, owner, epoch FROM lease
        WHERE kind = ?1 AND at <= ?2 ORDER BY at, id LIMIT ?3";
    let mut statement = batch.connection.prepare_cached(sql)?;
    let mut rows = statement.query((kind.as_str(), batch.now.as_micros(), limit))?;
    while let Some(row) = rows.next()? {
        let key = RecordKey::new(kind.clone(), row.get_ref(0)?.as_str()?);
        due.push((key, row_from(row, 1)?));
    }
    Ok(())
}

fn next_due_in(batch: &Batch<'_>, kinds: &[Kind]) -> rusqlite::Result<Option<Duration>> {
    let mut next: Option<Timestamp> = None;
    let mut statement =
        batch.connection.prepare_cached("SELECT min(at) FROM lease WHERE kind = ?1")?;
    for kind in kinds {
        let at: Option<i64> = statement.query_row([kind.as_str()], |row| row.get(0))?;
        if let Some(at) = at.map(Timestamp::from_micros) {
            next = Some(next.map_or(at, |earlier| earlier.min(at)));
        }
    }
    Ok(next.map(|at| at.since(batch.now)))
}
