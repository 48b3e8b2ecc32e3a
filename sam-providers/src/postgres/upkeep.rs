//! Care for the database: trimming the feed, checking, beginning another epoch.

use sam_core::store::{Epoch, Rev};
use sam_core::{Error, ErrorKind, Result};

use super::fault::Fault;
use super::leases::Lent;
use super::load::{BEGIN, number};
use super::save::signed;
use super::schema;
use super::store::PgStore;
use crate::retention::Retention;

/// Most changes removed in one transaction; a few milliseconds under the head lock.
const TRIM_MAX: u64 = 1_000;

impl PgStore {
    /// Removes old changes from the feed and raises its floor, by at most 1,000 in each transaction;
    /// returns the floor. Records are untouched; a reader below the floor is told that it is stale.
    /// What was removed when it fails or is dropped midway stays removed; repeating it goes on.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    pub async fn trim(&self, keep: Retention) -> Result<Rev> {
        loop {
            let trimmed = self
                .with_pool(async |pool| {
                    let client = Lent::from(pool).await?;
                    let trimmed = trim(&client, keep).await?;
                    client.give_back();
                    Ok(trimmed)
                })
                .await;
            let (floor, more) = trimmed.map_err(|fault| fault.to_error("trim"))?;
            if !more {
                return Ok(Rev(floor));
            }
        }
    }

    /// Begins another epoch: every cursor of the one before is stale, and all leases end. Do so after
    /// a restore that the store cannot recognise by itself, such as of a copy of the cluster's files.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    pub async fn begin_epoch(&self) -> Result<Epoch> {
        let begun = self
            .with_pool(async |pool| {
                let client = Lent::from(pool).await?;
                client.batch_execute(BEGIN).await?;
                client.execute("SELECT FROM head FOR UPDATE", &[]).await?;
                let epoch = schema::begin_epoch(&client, &*self.shared.entropy).await?;
                client.batch_execute("COMMIT").await?;
                client.give_back();
                Ok(epoch)
            })
            .await;
        let epoch = begun.map_err(|fault| fault.to_error("begin_epoch"))?;
        self.shared.saw(&epoch, Rev(0));
        self.shared.tell();
        Ok(epoch)
    }

    /// Compares the parts of the store: the feed's density, and each record with its last change.
    /// Reads every table once; writing goes on.
    ///
    /// # Errors
    /// `Corrupt` naming what does not fit; `Unavailable` or `Timeout` when it cannot be read.
    pub async fn integrity_check(&self) -> Result<()> {
        let failed = |fault: Fault| fault.to_error("integrity_check");
        self.shared.schema().require().map_err(failed)?;
        let client = Lent::from(&self.shared.pool).await.map_err(failed)?;
        let faults = check(&client).await.map_err(failed)?;
        client.give_back();
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, format!("the store is damaged: {}", faults.join("; ")))
            .with_operation("integrity_check")
            .with_hint("restore the last backup, and look for a failing disk"))
    }
}

/// Removes one portion; returns the floor and whether there may be more.
async fn trim(client: &Lent, keep: Retention) -> Result<(u64, bool), Fault> {
    client.batch_execute(BEGIN).await?;
    let sql = "SELECT rev, floor, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ahead
        FROM head FOR UPDATE";
    let head = client.query_one(sql, &[]).await?;
    let (rev, floor) = (number(&head, 0)?, number(&head, 1)?);
    let now: i64 = head.try_get(2).map_err(Fault::unreadable)?;
    let age = i64::try_from(keep.age.as_micros()).unwrap_or(i64::MAX);
    let before = now.saturating_sub(age);
    let sql = "DELETE FROM quiet_commit WHERE commit_id IN
        (SELECT commit_id FROM quiet_commit WHERE at < $1 ORDER BY at LIMIT $2)";
    let quiet = client.execute(sql, &[&before, &signed(TRIM_MAX)]).await?;
    let highest = rev.saturating_sub(keep.count).min(floor.saturating_add(TRIM_MAX));
    let (low, high) = (signed(floor), signed(highest));
    // Times never fall along the feed, so the old ones are its beginning. A commit is kept whole:
    // half an outcome would be a wrong one.
    let sql = "SELECT max(rev), max(rev) FILTER (WHERE commit_id IS DISTINCT FROM following) FROM
            (SELECT rev, at, commit_id, lead(commit_id) OVER (ORDER BY rev) AS following
            FROM change WHERE rev > $1 AND rev <= $2::bigint + 1) AS low
        WHERE rev <= $2::bigint AND at < $3";
    let row = client.query_one(sql, &[&low, &high, &before]).await?;
    let old: Option<i64> = row.try_get(0).map_err(Fault::unreadable)?;
    let whole: Option<i64> = row.try_get(1).map_err(Fault::unreadable)?;
    if let Some(whole) = whole {
        client.execute("DELETE FROM change WHERE rev <= $1", &[&whole]).await?;
        client.execute("UPDATE head SET floor = $1", &[&whole]).await?;
    }
    client.batch_execute("COMMIT").await?;
    let reached = whole.and_then(|whole| u64::try_from(whole).ok()).unwrap_or(floor);
    let full = old.is_some_and(|old| old.saturating_sub(low) == signed(TRIM_MAX));
    Ok((reached, full || quiet == TRIM_MAX))
}

async fn check(client: &Lent) -> Result<Vec<String>, Fault> {
    // Each counts what must not be there.
    let rules = [
        (
            "the feed has gaps",
            "SELECT count(*) FROM head WHERE rev - floor <> (SELECT count(*) FROM change)
                OR floor + 1 <> coalesce((SELECT min(rev) FROM change), floor + 1)
                OR rev <> coalesce((SELECT max(rev) FROM change), rev)",
        ),
        (
            "a record is newer than the feed",
            "SELECT count(*) FROM record WHERE rev > (SELECT rev FROM head)",
        ),
        (
            "a record differs from its last change",
            "SELECT count(*) FROM record AS r WHERE r.rev > (SELECT floor FROM head)
                AND NOT EXISTS (SELECT FROM change AS c WHERE c.rev = r.rev AND c.op = 1
                    AND c.kind = r.kind AND c.id = r.id AND c.version = r.version
                    AND c.body = r.body)",
        ),
        (
            "a fencing epoch was never given out",
            "SELECT count(*) FROM lease WHERE epoch > (SELECT last_value FROM fence)",
        ),
        (
            "a secret is filed under another key than it names",
            "SELECT count(*) FROM secret WHERE get_byte(sealed || '\\x00', 0) <> 1
                OR substring(sealed FROM 2 FOR length(key_id) + 1)
                    <> set_byte('\\x00', 0, length(key_id)) || convert_to(key_id, 'UTF8')",
        ),
    ];
    // One snapshot for all of them, and time to read large tables.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
        SET LOCAL statement_timeout = '10min'";
    client.batch_execute(begin).await?;
    let mut faults = Vec::new();
    for (fault, sql) in rules {
        let row = client.query_one(sql, &[]).await?;
        if number(&row, 0)? != 0 {
            faults.push(fault.to_owned());
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(faults)
}
