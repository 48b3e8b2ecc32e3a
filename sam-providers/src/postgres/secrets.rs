//! Sealed secrets in a table of their own: each act is one statement on a connection of the pool. None
//! takes the head lock, and none is part of the feed.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use sam_core::keys::{Sealed, SecretOwner};
use sam_core::secrets::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};
use sam_core::time::Timestamp;
use sam_core::{Effect, Page, Result};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::leases::Lent;
use super::query;
use super::store::PgStore;

/// The time is told by the statement that writes it.
const PUT: &str = "INSERT INTO secret (name, key_id, sealed, put_at)
    SELECT $1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ahead FROM head
    ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed,
        put_at = excluded.put_at";
/// Of two at once, the second looks at the row again after the first has committed.
const REPLACE: &str = "UPDATE secret SET key_id = $3, sealed = $4 WHERE name = $1 AND sealed = $2";
const READ: &str = "SELECT sealed FROM secret WHERE name = $1";
const DELETE: &str = "DELETE FROM secret WHERE name = $1";
const RESTORE: &str = "INSERT INTO secret (name, key_id, sealed, put_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])";
/// The bounds of a range, instead of a pattern: every character of a prefix stands for itself.
const LIST: &str = "SELECT name, key_id, put_at,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + (SELECT ahead FROM head)
    FROM secret WHERE name > $1 AND name >= $2 AND name < $3 ORDER BY name LIMIT $4";

#[async_trait]
impl SecretStore for PgStore {
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
        let key = sealed.key_id().as_str();
        let put = self.change(PUT, &[&name.as_str(), &key, &sealed.as_bytes()]).await;
        put.map(drop).map_err(|fault| fault.to_error("put_secret"))
    }

    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
        let ReplaceSecret { name, expected, sealed, .. } = request;
        let (name, key) = (name.as_str(), sealed.key_id().as_str());
        let parts: [&(dyn ToSql + Sync); 4] =
            [&name, &expected.as_bytes(), &key, &sealed.as_bytes()];
        let replaced = self.change(REPLACE, &parts).await;
        replaced.map(|rows| rows == 1).map_err(|fault| fault.to_error("replace_secret"))
    }

    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
        let read = self.with_pool(async |pool| {
            let rows = query::rows(pool, READ, &[&name.as_str()]).await?;
            rows.first().map(|row| sealed(row, 0)).transpose()
        });
        read.await.map_err(|fault| fault.to_error("secret"))
    }

    async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
        let deleted = self.change(DELETE, &[&name.as_str()]).await;
        deleted.map(drop).map_err(|fault| fault.to_error("delete_secret"))
    }

    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
        let listed = self.with_pool(async |pool| list(pool, query).await).await;
        listed.map_err(|fault| fault.to_error("list_secrets"))
    }
}

impl PgStore {
    /// Runs one statement that commits by itself; returns how many rows it changed. It is not run
    /// again when the connection is lost: whether it took effect is not known then.
    async fn change(&self, sql: &str, parts: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        let change = async |pool: &Pool| {
            let client = Lent::from(pool).await?;
            let statement = client.prepare_cached(sql).await?;
            let changed = client.execute(&statement, parts).await;
            let changed = changed.map_err(|error| Fault::at_commit(&error))?;
            client.give_back();
            Ok(changed)
        };
        self.with_pool_until(Effect::Unknown, change).await
    }
}

/// Writes secrets into a store that has none of them, in the caller's transaction.
pub(super) async fn restore(
    client: &Lent,
    secrets: &[(SecretOwner, Sealed, Timestamp)],
) -> Result<(), Fault> {
    if secrets.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = secrets.iter().map(|(name, ..)| name.as_str()).collect();
    let keys: Vec<&str> = secrets.iter().map(|(_, sealed, _)| sealed.key_id().as_str()).collect();
    let sealed: Vec<&[u8]> = secrets.iter().map(|(_, sealed, _)| sealed.as_bytes()).collect();
    let put_at: Vec<i64> = secrets.iter().map(|(.., at)| at.as_micros()).collect();
    let statement = client.prepare_cached(RESTORE).await?;
    client.execute(&statement, &[&names, &keys, &sealed, &put_at]).await?;
    Ok(())
}

async fn list(pool: &Pool, query: &ListSecrets) -> Result<Page<SecretEntry>, Fault> {
    let limit = query.page_size();
    let from = query.prefix.as_ref().map_or("", SecretOwner::as_str);
    // A name has no character beyond `~`, so all that begin with the prefix come before this.
    let below = format!("{from}\u{7f}");
    let after = query.after.as_deref().unwrap_or_default();
    let more = i64::try_from(limit + 1).unwrap_or(1);
    let rows = query::rows(pool, LIST, &[&after, &from, &below, &more]).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let at = |column: usize| {
            row.try_get(column).map(Timestamp::from_micros).map_err(Fault::unreadable)
        };
        let (put_at, now) = (at(2)?, at(3)?);
        entries.push(SecretEntry::new(name(row)?, parsed(row, 1)?, now.since(put_at)));
    }
    Ok(Page::first(entries, limit, |entry| entry.name.to_string()))
}

/// Reads the name of a secret from the first column.
pub(super) fn name(row: &Row) -> Result<SecretOwner, Fault> {
    parsed(row, 0)
}

/// Reads sealed bytes.
pub(super) fn sealed(row: &Row, column: usize) -> Result<Sealed, Fault> {
    let bytes: Vec<u8> = row.try_get(column).map_err(Fault::unreadable)?;
    Sealed::from_bytes(bytes).map_err(|_| Fault::corrupt("what is kept is no sealed secret"))
}

fn parsed<T: std::str::FromStr>(row: &Row, column: usize) -> Result<T, Fault> {
    let text: &str = row.try_get(column).map_err(Fault::unreadable)?;
    text.parse().map_err(|_| Fault::corrupt("the name of a secret or of its key cannot be read"))
}
