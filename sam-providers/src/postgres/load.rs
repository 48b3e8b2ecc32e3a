//! The first half of a batch's transaction: the head lock, then every row the batch mentions, each
//! by a statement of its own, all sent at once.

use std::sync::Arc;

use futures_util::join;
use sam_core::CommitId;
use sam_core::store::{DueRow, Epoch, Kind, RecordKey, Rev, WorkerId};
use sam_core::time::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::fault::Fault;
use super::schema::{CLOCK, SchemaState};
use crate::batch::{Known, Mentions, Picture};

/// Each statement sees what was committed before it began. An administrator's default of another
/// isolation would show the state from before the head lock was won.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

const HEAD: &str = "SELECT schema, epoch, rev, at, ahead, news FROM head FOR UPDATE";
const DONE: &str = "SELECT commit_id, rev, kind, id, version FROM change WHERE commit_id = ANY ($1)
    UNION ALL SELECT commit_id, rev, NULL, NULL, NULL FROM quiet_commit WHERE commit_id = ANY ($1)
    ORDER BY 2";
const RECORDS: &str = "SELECT r.kind, r.id, r.version, r.rev, CASE WHEN w.body THEN r.body END
    FROM unnest($1::text[], $2::text[], $3::bool[]) AS w (kind, id, body)
    JOIN record AS r ON r.kind = w.kind AND r.id = w.id";
const DUE: &str = "SELECT l.kind, l.id, l.at, l.pending, l.owner, l.epoch
    FROM unnest($1::text[], $2::text[]) AS w (kind, id)
    JOIN lease AS l ON l.kind = w.kind AND l.id = w.id
    ORDER BY l.kind, l.id FOR UPDATE OF l";
const NAMES: &str = "SELECT u.space, u.name, u.kind, u.id
    FROM unnest($1::text[], $2::text[]) AS w (space, name)
    JOIN uniq AS u ON u.space = w.space AND u.name = w.name";

/// Where the feed stands, as the transaction that has the lock sees it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    pub(super) rev: Rev,
    pub(super) news: i64,
    /// How far the store's time runs ahead of the server's clock from now on.
    pub(super) ahead: i64,
    /// The store's time, never before the last change.
    pub(super) now: Timestamp,
}

/// Statements that were prepared on the writer's connection.
#[derive(Debug)]
pub(super) struct Loading {
    head: Statement,
    clock: Statement,
    done: Statement,
    records: Statement,
    due: Statement,
    names: Statement,
}

impl Loading {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            head: client.prepare(HEAD).await?,
            clock: client.prepare(CLOCK).await?,
            done: client.prepare(DONE).await?,
            records: client.prepare(RECORDS).await?,
            due: client.prepare(DUE).await?,
            names: client.prepare(NAMES).await?,
        })
    }

    /// Begins a transaction, takes the head lock, and loads what the batch mentions.
    pub(super) async fn load(
        &self,
        client: &Client,
        mentions: &Mentions<'_>,
    ) -> Result<(Head, Picture), Fault> {
        let commits: Vec<Vec<u8>> =
            mentions.commits.iter().map(|id| id.to_bits().to_be_bytes().to_vec()).collect();
        let (kinds, ids) = columns(mentions.records.keys().copied());
        let bodies: Vec<bool> = mentions.records.values().copied().collect();
        let (due_kinds, due_ids) = columns(mentions.due.iter().copied());
        let (spaces, names): (Vec<&str>, Vec<&str>) = mentions.names.iter().copied().unzip();
        // Polled in this order, so they are sent in this order, in one round trip.
        let (begun, head, clock, done, records, due, names) = join!(
            client.batch_execute(BEGIN),
            client.query_one(&self.head, &[]),
            client.query_one(&self.clock, &[]),
            async { client.query(&self.done, &[&commits]).await },
            async { rows(client, &self.records, kinds.len(), &[&kinds, &ids, &bodies]).await },
            async { rows(client, &self.due, due_kinds.len(), &[&due_kinds, &due_ids]).await },
            async { rows(client, &self.names, spaces.len(), &[&spaces, &names]).await },
        );
        begun?;
        let head = self::head(&head?, &clock?)?;
        let mut picture = Picture::new(head.now, head.rev);
        let rows = [done, records, due, names].into_iter().collect::<Result<Vec<_>, _>>();
        let rows = rows?;
        let [done, records, due, names] = rows.as_slice() else {
            return Err(Fault::corrupt("a batch was loaded in part"));
        };
        fill(&mut picture, done, records).map_err(Fault::unreadable)?;
        for row in due {
            picture.load_due(key(row, 0)?, due_row(row, 2)?);
        }
        for row in names {
            let name = (text(row, 0)?, text(row, 1)?);
            picture.load_name(name, key(row, 2)?);
        }
        Ok((head, picture))
    }
}

fn columns<'k>(keys: impl Iterator<Item = &'k RecordKey>) -> (Vec<&'k str>, Vec<&'k str>) {
    keys.map(|key| (key.kind.as_str(), key.id.as_str())).unzip()
}

/// Asks only where there is something to ask for.
async fn rows(
    client: &Client,
    statement: &Statement,
    count: usize,
    parts: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if count == 0 { Ok(Vec::new()) } else { client.query(statement, parts).await }
}

fn head(row: &Row, clock: &Row) -> Result<Head, Fault> {
    let schema: i32 = row.try_get(0).map_err(Fault::unreadable)?;
    SchemaState::of(u32::try_from(schema).unwrap_or(u32::MAX)).require()?;
    let clock: i64 = clock.try_get(0).map_err(Fault::unreadable)?;
    let (at, ahead): (i64, i64) =
        (row.try_get(3).map_err(Fault::unreadable)?, row.try_get(4).map_err(Fault::unreadable)?);
    // The server's clock was put back, or this is another server: time flows on from what was
    // written last, instead of standing still until the clock has caught up.
    let ahead = ahead.max(at.saturating_sub(clock));
    Ok(Head {
        epoch: Epoch::new(text(row, 1)?),
        rev: Rev(number(row, 2)?),
        news: row.try_get(5).map_err(Fault::unreadable)?,
        ahead,
        now: Timestamp::from_micros(clock.saturating_add(ahead)),
    })
}

fn fill(picture: &mut Picture, done: &[Row], records: &[Row]) -> Result<(), tokio_postgres::Error> {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    for row in done {
        let kind: Option<String> = row.try_get(2)?;
        let version = match kind {
            Some(kind) => {
                let key = RecordKey::new(Kind::from_stored(kind), row.try_get::<_, &str>(3)?);
                Some((key, unsigned(row.try_get(4)?)))
            }
            None => None,
        };
        let id = commit_id(row.try_get(0)?);
        picture.load_done(id, Rev(unsigned(row.try_get(1)?)), version);
    }
    for row in records {
        let kind = Kind::from_stored(row.try_get::<_, String>(0)?);
        let body: Option<&str> = row.try_get(4)?;
        let known = Known {
            version: unsigned(row.try_get(2)?),
            rev: Rev(unsigned(row.try_get(3)?)),
            // Only what is written again is ever saved, and then with its new values.
            index: sam_core::store::Index::default(),
            body: Arc::from(body.unwrap_or_default()),
        };
        picture.load_record(RecordKey::new(kind, row.try_get::<_, &str>(1)?), known);
    }
    Ok(())
}

/// Reads a commit id; anything but sixteen bytes is the id of no commit.
pub(super) fn commit_id(bytes: &[u8]) -> CommitId {
    CommitId::from_bits(u128::from_be_bytes(bytes.try_into().unwrap_or_default()))
}

/// Reads a key from two columns.
pub(super) fn key(row: &Row, first: usize) -> Result<RecordKey, Fault> {
    let kind = Kind::from_stored(text(row, first)?);
    let id: &str = row.try_get(first + 1).map_err(Fault::unreadable)?;
    Ok(RecordKey::new(kind, id))
}

pub(super) fn text(row: &Row, column: usize) -> Result<String, Fault> {
    row.try_get(column).map_err(Fault::unreadable)
}

/// Reads a number that is never negative.
pub(super) fn number(row: &Row, column: usize) -> Result<u64, Fault> {
    let number: i64 = row.try_get(column).map_err(Fault::unreadable)?;
    u64::try_from(number).map_err(|_| Fault::corrupt("a stored number is negative"))
}

/// Reads a due time and its lease from four columns.
pub(super) fn due_row(row: &Row, first: usize) -> Result<DueRow, Fault> {
    let pending: Option<i64> = row.try_get(first + 1).map_err(Fault::unreadable)?;
    let owner: Option<String> = row.try_get(first + 2).map_err(Fault::unreadable)?;
    Ok(DueRow::new(
        Timestamp::from_micros(row.try_get(first).map_err(Fault::unreadable)?),
        pending.map(Timestamp::from_micros),
        owner.map(WorkerId::new),
        number(row, first + 3)?,
    ))
}
