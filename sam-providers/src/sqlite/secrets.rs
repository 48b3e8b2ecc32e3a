//! Sealed secrets in a table of their own: written by the writing thread like everything, and no
//! part of the feed.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row};
use sam_core::keys::{Sealed, SecretOwner};
use sam_core::secrets::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};
use sam_core::time::Timestamp;
use sam_core::{Page, Result};

use super::store::SqliteStore;

const PUT: &str = "INSERT INTO secret (name, key_id, sealed, put_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed,
        put_at = excluded.put_at";
const REPLACE: &str = "UPDATE secret SET key_id = ?3, sealed = ?4 WHERE name = ?1 AND sealed = ?2";
/// The bounds of a range, instead of a pattern: every character of a prefix stands for itself.
const LIST: &str = "SELECT name, key_id, put_at FROM secret
    WHERE name > ?1 AND name >= ?2 AND name < ?3 ORDER BY name LIMIT ?4";

#[async_trait]
impl SecretStore for SqliteStore {
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
        let (name, sealed) = (name.clone(), sealed.clone());
        let put = self.write(sealed.as_bytes().len(), move |batch| {
            let (key, at) = (sealed.key_id().as_str(), batch.now.as_micros());
            let mut statement = batch.connection.prepare_cached(PUT)?;
            statement.execute((name.as_str(), key, sealed.as_bytes(), at)).map(drop)
        });
        put.await.map_err(|fault| fault.to_error("put_secret"))
    }

    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
        let ReplaceSecret { name, expected, sealed, .. } = request.clone();
        let replaced = self.write(sealed.as_bytes().len(), move |batch| {
            let mut statement = batch.connection.prepare_cached(REPLACE)?;
            let key = sealed.key_id().as_str();
            let parts = (name.as_str(), expected.as_bytes(), key, sealed.as_bytes());
            Ok(statement.execute(parts)? == 1)
        });
        replaced.await.map_err(|fault| fault.to_error("replace_secret"))
    }

    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
        let name = name.clone();
        let read = self.query("secret", move |connection| {
            let sql = "SELECT sealed FROM secret WHERE name = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row([name.as_str()], |row| sealed(row, 0)).optional()
        });
        read.await
    }

    async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
        let name = name.clone();
        let deleted = self.write(0, move |batch| {
            let mut statement =
                batch.connection.prepare_cached("DELETE FROM secret WHERE name = ?1")?;
            statement.execute([name.as_str()]).map(drop)
        });
        deleted.await.map_err(|fault| fault.to_error("delete_secret"))
    }

    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
        let (query, shared) = (query.clone(), Arc::clone(&self.shared));
        let listed = self.query("list_secrets", move |connection| {
            let limit = query.page_size();
            let (from, below) = range(query.prefix.as_ref());
            let after = query.after.as_deref().unwrap_or_default();
            let mut statement = connection.prepare_cached(LIST)?;
            let mut rows = statement.query((after, from, below, limit + 1))?;
            let now = shared.time.now();
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let put_at = Timestamp::from_micros(row.get(2)?);
                entries.push(SecretEntry::new(name(row)?, parsed(row, 1)?, now.since(put_at)));
            }
            Ok(Page::first(entries, limit, |entry| entry.name.to_string()))
        });
        listed.await
    }
}

/// Returns the first name that may begin with a prefix, and what all of them come before: a name has
/// no character beyond `~`.
fn range(prefix: Option<&SecretOwner>) -> (String, String) {
    let from = prefix.map(SecretOwner::to_string).unwrap_or_default();
    let below = format!("{from}\u{7f}");
    (from, below)
}

/// Reads the name of a secret from the first column.
pub(super) fn name(row: &Row<'_>) -> rusqlite::Result<SecretOwner> {
    parsed(row, 0)
}

/// Reads sealed bytes.
pub(super) fn sealed(row: &Row<'_>, column: usize) -> rusqlite::Result<Sealed> {
    Sealed::from_bytes(row.get(column)?).map_err(|error| unreadable(column, Type::Blob, error))
}

fn parsed<T: std::str::FromStr<Err = sam_core::Error>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| unreadable(column, Type::Text, error))
}

fn unreadable(column: usize, of: Type, error: sam_core::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, of, Box::new(error))
}
