//! The schema: which version is there, bringing it up to date, and telling a copy from the original.

use std::sync::Arc;

use sam_core::entropy::Entropy;
use sam_core::store::Epoch;
use sam_core::time::Timestamp;
use sam_core::{CommitId, Error, ErrorKind, Result};
use tokio_postgres::Client;

use super::config::Target;
use super::connect::Session;
use super::fault::Fault;

/// Each step brings the schema from the version of its position to the next; only ever appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_records_feed_leases.sql"),
    include_str!("migrations/0002_secrets.sql"),
];
/// The version this program reads and writes.
pub(super) const WANTED: u32 = 2;
const _: () = assert!(MIGRATIONS.len() == WANTED as usize, "one migration for each version");

/// A step may rewrite a table, and waits for the step of another replica that starts as well.
const MIGRATING: &str = "SET statement_timeout = '10min'; SET lock_timeout = '10min';
    SET idle_in_transaction_session_timeout = '1min'";

/// The server's clock.
pub(super) const CLOCK: &str =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock";

/// How the schema of a database relates to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaState {
    /// It is newer: run a newer program.
    Ahead {
        /// The version in the database.
        found: u32,
        /// The version this program knows.
        wanted: u32,
    },
    /// It is older, or not there (zero): migrate it.
    Behind {
        /// The version in the database.
        found: u32,
        /// The version this program knows.
        wanted: u32,
    },
    /// It is the one this program knows.
    Current,
}

impl SchemaState {
    /// Compares the version that was found with the one this program knows.
    pub(super) const fn of(found: u32) -> Self {
        let wanted = WANTED;
        if found == wanted {
            Self::Current
        } else if found < wanted {
            Self::Behind { found, wanted }
        } else {
            Self::Ahead { found, wanted }
        }
    }

    /// Refuses to go on unless the schema is current.
    pub(super) const fn require(self) -> Result<(), Fault> {
        match self {
            Self::Current => Ok(()),
            Self::Behind { .. } => Err(Fault::behind()),
            Self::Ahead { .. } => Err(Fault::ahead()),
        }
    }
}

fn open_error(fault: &Fault) -> Error {
    fault.to_error("open_store")
}

fn of(error: &tokio_postgres::Error) -> Error {
    open_error(&Fault::of(error))
}

/// Returns the version of the schema, zero when there is none. Changes nothing.
///
/// # Errors
/// `Conflict` when the tables there are not ours.
pub(super) async fn version(client: &Client, schema: &str) -> Result<u32> {
    let name = format!("{schema}.head");
    let there: bool = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| of(&error))?;
    if !there {
        return Ok(0);
    }
    let sql = format!("SELECT schema FROM {schema}.head");
    let found: Option<i32> = match client.query_opt(&sql, &[]).await {
        Ok(row) => row.and_then(|row| row.try_get(0).ok()),
        Err(error) if error.code().is_some_and(|code| code.code() == "42703") => None,
        Err(error) => return Err(of(&error)),
    };
    found.and_then(|version| u32::try_from(version).ok()).ok_or_else(|| {
        let message = format!("the schema {schema} holds tables of something else");
        Error::new(ErrorKind::Conflict, message)
            .with_operation("open_store")
            .with_hint("choose another schema; this one was left as it is")
    })
}

/// Names a new epoch. The bits of an id are time and entropy, its label is letters and digits: all
/// an epoch needs.
fn fresh_epoch(clock: i64, entropy: &dyn Entropy) -> Epoch {
    Epoch::new(CommitId::new(Timestamp::from_micros(clock), entropy).label())
}

async fn clock(client: &Client) -> Result<i64> {
    let row = client.query_one(CLOCK, &[]).await.map_err(|error| of(&error))?;
    row.try_get(0).map_err(|error| open_error(&Fault::unreadable(error)))
}

/// Brings the schema up to date, all steps or none; a newer one is left alone. Any number of
/// replicas may do so at once: they take turns, and the first does the work.
pub(super) async fn migrate(target: &Target, entropy: &Arc<dyn Entropy>) -> Result<SchemaState> {
    let session = Session::open(target, MIGRATING).await.map_err(|fault| open_error(&fault))?;
    let (client, schema) = (&session.client, target.schema.as_str());
    let encoding: String = client
        .query_one("SHOW server_encoding", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| of(&error))?;
    if encoding != "UTF8" {
        let message = format!("the database is encoded in {encoding}");
        return Err(Error::new(ErrorKind::BadInput, message)
            .with_operation("open_store")
            .with_hint("create it with encoding UTF8"));
    }
    let found = version(client, schema).await?;
    if SchemaState::of(found) != (SchemaState::Behind { found, wanted: WANTED }) {
        return Ok(SchemaState::of(found));
    }
    // Whatever fails from here on ends the session, and with it the transaction.
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(|e| of(&e))?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('sam migrate ' || $1, 0))";
    client.execute(lock, &[&schema]).await.map_err(|error| of(&error))?;
    create_schema(client, schema).await?;
    // Somebody else may have been quicker.
    let found = version(client, schema).await?;
    let steps = usize::try_from(found).unwrap_or(usize::MAX);
    for (from, sql) in MIGRATIONS.iter().enumerate().skip(steps) {
        client.batch_execute(sql).await.map_err(|error| of(&error))?;
        if from == 0 {
            let now = clock(client).await?;
            let epoch = fresh_epoch(now, &**entropy);
            let insert = "INSERT INTO head (one, schema, epoch, rev, floor, at, ahead, news)
                VALUES (1, 0, $1, 0, 0, $2, 0, 0)";
            client.execute(insert, &[&epoch.as_str(), &now]).await.map_err(|error| of(&error))?;
        }
        let reached = i32::try_from(from + 1).unwrap_or(i32::MAX);
        let update = "UPDATE head SET schema = $1, news = news + 1";
        client.execute(update, &[&reached]).await.map_err(|error| of(&error))?;
        tracing::info!(schema, version = reached, "the store's schema was migrated");
    }
    client.batch_execute("COMMIT").await.map_err(|error| of(&error))?;
    Ok(SchemaState::of(version(client, schema).await?))
}

/// Creates the schema where it is not there; a user that may not create one can be given it.
async fn create_schema(client: &Client, schema: &str) -> Result<()> {
    let there = client
        .query_opt("SELECT FROM pg_namespace WHERE nspname = $1", &[&schema])
        .await
        .map_err(|error| of(&error))?;
    if there.is_none() {
        let sql = format!("CREATE SCHEMA {schema}");
        client.batch_execute(&sql).await.map_err(|error| of(&error))?;
    }
    Ok(())
}

/// Returns what tells this database from a copy: the cluster, its timeline, the database and the
/// table; `None` where the server does not tell. A restored dump, a restore to a point in time and
/// a standby that took over all differ; a clone of the cluster's files does not.
async fn identity(client: &Client) -> Option<String> {
    let sql = "SELECT (SELECT system_identifier FROM pg_control_system())::text
        || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
        || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text
        || '/' || 'head'::regclass::oid::text";
    match client.query_one(sql, &[]).await {
        Ok(row) => row.try_get(0).ok(),
        Err(error) => {
            tracing::debug!(%error, "the server does not tell which database this is");
            None
        }
    }
}

/// Begins another epoch when this is not the database that the head row was written in.
pub(super) async fn recognise(client: &Client, entropy: &dyn Entropy) -> Result<(), Fault> {
    let Some(here) = identity(client).await else { return Ok(()) };
    let read = "SELECT identity FROM head";
    let row = client.query_one(read, &[]).await?;
    let known: Option<String> = row.try_get(0).map_err(Fault::unreadable)?;
    if known.as_ref() == Some(&here) {
        return Ok(());
    }
    client.batch_execute(super::load::BEGIN).await?;
    let read = "SELECT identity FROM head FOR UPDATE";
    let row = client.query_one(read, &[]).await?;
    let known: Option<String> = row.try_get(0).map_err(Fault::unreadable)?;
    if known.as_ref().is_some_and(|known| *known != here) {
        let epoch = begin_epoch(client, entropy).await?;
        tracing::warn!(%epoch, "the database is another one than before: a new epoch begins");
    }
    client.execute("UPDATE head SET identity = $1", &[&here]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Begins another epoch inside a transaction: ends all leases, and leaves a gap in the fencing epochs
/// for those that were given out in a history that is gone.
pub(super) async fn begin_epoch(client: &Client, entropy: &dyn Entropy) -> Result<Epoch, Fault> {
    let row = client.query_one(CLOCK, &[]).await?;
    let clock: i64 = row.try_get(0).map_err(Fault::unreadable)?;
    let epoch = fresh_epoch(clock, entropy);
    let sql = "UPDATE head SET epoch = $1, news = news + 1";
    client.execute(sql, &[&epoch.as_str()]).await?;
    let sql = "UPDATE lease SET at = least(at, $1 + (SELECT ahead FROM head)), owner = NULL
        WHERE owner IS NOT NULL";
    client.execute(sql, &[&clock]).await?;
    let sql = "SELECT setval('fence', nextval('fence') + 1000000)";
    client.execute(sql, &[]).await?;
    Ok(epoch)
}
