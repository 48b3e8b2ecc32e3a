//! The second half of a batch's transaction: one statement for each table that changes, the head,
//! and COMMIT, all sent at once.

use futures_util::join;
use sam_core::CommitId;
use sam_core::store::{Change, ChangeOp, DueRow, RecordKey, Rev, WorkerId};
use sam_core::time::Timestamp;
use tokio_postgres::{Client, Statement};

use super::fault::Fault;
use super::load::Head;
use crate::batch::{Known, Written};

pub(super) const PUT_RECORDS: &str = "INSERT INTO record (kind, id, version, rev, k1, k2, k3, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::text[])
    ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, rev = excluded.rev,
        k1 = excluded.k1, k2 = excluded.k2, k3 = excluded.k3, body = excluded.body";
const DELETE_RECORDS: &str = "DELETE FROM record AS r
    USING unnest($1::text[], $2::text[]) AS w (kind, id) WHERE r.kind = w.kind AND r.id = w.id";
pub(super) const PUT_DUE: &str = "INSERT INTO lease (kind, id, at, pending, owner, epoch)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[],
        $6::bigint[])
    ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, pending = excluded.pending,
        owner = excluded.owner, epoch = excluded.epoch";
const DELETE_DUE: &str = "DELETE FROM lease AS l
    USING unnest($1::text[], $2::text[]) AS w (kind, id) WHERE l.kind = w.kind AND l.id = w.id";
pub(super) const PUT_NAMES: &str = "INSERT INTO uniq (space, name, kind, id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    ON CONFLICT (space, name) DO UPDATE SET kind = excluded.kind, id = excluded.id";
const DELETE_NAMES: &str = "DELETE FROM uniq AS u
    USING unnest($1::text[], $2::text[]) AS w (space, name)
    WHERE u.space = w.space AND u.name = w.name";
pub(super) const APPEND: &str = "INSERT INTO change
    (rev, commit_id, at, actor, request_id, kind, id, version, op, event, body)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::smallint[], $10::text[], $11::text[])";
pub(super) const QUIET: &str = "INSERT INTO quiet_commit (commit_id, rev, at)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[])";
const HEAD: &str = "UPDATE head SET rev = $1, at = $2, ahead = $3, news = news + 1";

/// Statements that were prepared on a connection that writes.
#[derive(Debug)]
pub(super) struct Saving {
    put_records: Statement,
    delete_records: Statement,
    put_due: Statement,
    delete_due: Statement,
    put_names: Statement,
    delete_names: Statement,
    append: Statement,
    quiet: Statement,
    head: Statement,
}

type Done = Result<(), tokio_postgres::Error>;

/// Fits a number that counts up from zero into a column.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn id_bytes(id: CommitId) -> Vec<u8> {
    id.to_bits().to_be_bytes().to_vec()
}

impl Saving {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            put_records: client.prepare(PUT_RECORDS).await?,
            delete_records: client.prepare(DELETE_RECORDS).await?,
            put_due: client.prepare(PUT_DUE).await?,
            delete_due: client.prepare(DELETE_DUE).await?,
            put_names: client.prepare(PUT_NAMES).await?,
            delete_names: client.prepare(DELETE_NAMES).await?,
            append: client.prepare(APPEND).await?,
            quiet: client.prepare(QUIET).await?,
            head: client.prepare(HEAD).await?,
        })
    }

    /// Writes what passed, and commits.
    pub(super) async fn save(
        &self,
        client: &Client,
        written: &Written,
        (head, rev): (&Head, Rev),
    ) -> Result<(), Fault> {
        let head_parts = (signed(rev.0), head.now.as_micros(), head.ahead);
        // Polled in this order, so they are sent in this order, in one round trip. After the first
        // that fails the server refuses the others, and answers COMMIT by rolling back.
        let (records, deleted, due, cleared, names, freed, appended, quiet, moved, committed) = join!(
            put_records(client, &self.put_records, &written.records),
            delete(client, &self.delete_records, gone(&written.records)),
            put_due(client, &self.put_due, &written.due),
            delete(client, &self.delete_due, gone(&written.due)),
            put_names(client, &self.put_names, &written.names),
            delete(client, &self.delete_names, free(&written.names)),
            append(client, &self.append, &written.changes),
            self.quiet(client, &written.quiet, head.now),
            async {
                let (rev, at, ahead) = head_parts;
                client.execute(&self.head, &[&rev, &at, &ahead]).await.map(drop)
            },
            client.batch_execute("COMMIT"),
        );
        for done in [records, deleted, due, cleared, names, freed, appended, quiet, moved] {
            done.map_err(|error| Fault::at_commit(&error))?;
        }
        committed.map_err(|error| Fault::of_commit(&error))
    }

    async fn quiet(&self, client: &Client, quiet: &[(CommitId, Rev)], now: Timestamp) -> Done {
        if quiet.is_empty() {
            return Ok(());
        }
        let ids: Vec<Vec<u8>> = quiet.iter().map(|(id, _)| id_bytes(*id)).collect();
        let revs: Vec<i64> = quiet.iter().map(|(_, rev)| signed(rev.0)).collect();
        let ats = vec![now.as_micros(); quiet.len()];
        client.execute(&self.quiet, &[&ids, &revs, &ats]).await.map(drop)
    }
}

fn gone<T>(rows: &[(RecordKey, Option<T>)]) -> (Vec<&str>, Vec<&str>) {
    let gone = rows.iter().filter(|(_, row)| row.is_none());
    gone.map(|(key, _)| (key.kind.as_str(), key.id.as_str())).unzip()
}

fn free(rows: &[((String, String), Option<RecordKey>)]) -> (Vec<&str>, Vec<&str>) {
    let gone = rows.iter().filter(|(_, holder)| holder.is_none());
    gone.map(|((space, name), _)| (space.as_str(), name.as_str())).unzip()
}

async fn delete(
    client: &Client,
    statement: &Statement,
    (first, second): (Vec<&str>, Vec<&str>),
) -> Done {
    if first.is_empty() {
        return Ok(());
    }
    client.execute(statement, &[&first, &second]).await.map(drop)
}

/// Creates or replaces the records that are there.
pub(super) async fn put_records(
    client: &Client,
    statement: &Statement,
    rows: &[(RecordKey, Option<Known>)],
) -> Done {
    let rows: Vec<(&RecordKey, &Known)> =
        rows.iter().filter_map(|(key, known)| Some((key, known.as_ref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = rows.iter().map(|(key, _)| key.kind.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|(key, _)| key.id.as_str()).collect();
    let versions: Vec<i64> = rows.iter().map(|(_, known)| signed(known.version)).collect();
    let revs: Vec<i64> = rows.iter().map(|(_, known)| signed(known.rev.0)).collect();
    let value = |position: usize| -> Vec<Option<&str>> {
        rows.iter().map(|(_, known)| known.index.get(position)?.as_deref()).collect()
    };
    let (k1, k2, k3) = (value(0), value(1), value(2));
    let bodies: Vec<&str> = rows.iter().map(|(_, known)| &*known.body).collect();
    client
        .execute(statement, &[&kinds, &ids, &versions, &revs, &k1, &k2, &k3, &bodies])
        .await
        .map(drop)
}

/// Creates or replaces the due times that are there.
pub(super) async fn put_due(
    client: &Client,
    statement: &Statement,
    rows: &[(RecordKey, Option<DueRow>)],
) -> Done {
    let rows: Vec<(&RecordKey, &DueRow)> =
        rows.iter().filter_map(|(key, row)| Some((key, row.as_ref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = rows.iter().map(|(key, _)| key.kind.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|(key, _)| key.id.as_str()).collect();
    let ats: Vec<i64> = rows.iter().map(|(_, row)| row.at.as_micros()).collect();
    let pending: Vec<Option<i64>> =
        rows.iter().map(|(_, row)| row.pending.map(Timestamp::as_micros)).collect();
    let owners: Vec<Option<&str>> =
        rows.iter().map(|(_, row)| row.owner.as_ref().map(WorkerId::as_str)).collect();
    let epochs: Vec<i64> = rows.iter().map(|(_, row)| signed(row.epoch)).collect();
    client.execute(statement, &[&kinds, &ids, &ats, &pending, &owners, &epochs]).await.map(drop)
}

/// Takes the names that are held.
pub(super) async fn put_names(
    client: &Client,
    statement: &Statement,
    rows: &[((String, String), Option<RecordKey>)],
) -> Done {
    let held = || rows.iter().filter_map(|(name, holder)| Some((name, holder.as_ref()?)));
    let spaces: Vec<&str> = held().map(|((space, _), _)| space.as_str()).collect();
    if spaces.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = held().map(|((_, name), _)| name.as_str()).collect();
    let kinds: Vec<&str> = held().map(|(_, holder)| holder.kind.as_str()).collect();
    let ids: Vec<&str> = held().map(|(_, holder)| holder.id.as_str()).collect();
    client.execute(statement, &[&spaces, &names, &kinds, &ids]).await.map(drop)
}

/// Appends changes to the feed.
pub(super) async fn append(client: &Client, statement: &Statement, changes: &[Change]) -> Done {
    if changes.is_empty() {
        return Ok(());
    }
    let revs: Vec<i64> = changes.iter().map(|change| signed(change.rev.0)).collect();
    let commits: Vec<Vec<u8>> = changes.iter().map(|change| id_bytes(change.commit_id)).collect();
    let ats: Vec<i64> = changes.iter().map(|change| change.at.as_micros()).collect();
    let actors: Vec<&str> = changes.iter().map(|change| change.actor.as_str()).collect();
    let requests: Vec<Option<&str>> =
        changes.iter().map(|change| change.request_id.as_deref()).collect();
    let kinds: Vec<&str> = changes.iter().map(|change| change.key.kind.as_str()).collect();
    let ids: Vec<&str> = changes.iter().map(|change| change.key.id.as_str()).collect();
    let versions: Vec<i64> = changes.iter().map(|change| signed(change.version)).collect();
    let ops: Vec<i16> =
        changes.iter().map(|change| i16::from(change.op != ChangeOp::Delete)).collect();
    let events: Vec<&str> = changes.iter().map(|change| change.event.as_str()).collect();
    let bodies: Vec<&str> = changes.iter().map(|change| &*change.body).collect();
    client
        .execute(
            statement,
            &[
                &revs, &commits, &ats, &actors, &requests, &kinds, &ids, &versions, &ops, &events,
                &bodies,
            ],
        )
        .await
        .map(drop)
}
