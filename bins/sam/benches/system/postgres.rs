//! A schema of a PostgreSQL server, and what the server can do without us.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use sam_core::Secret;
use sam_providers::postgres::{PgOptions, PgStore};
use sam_providers::system::OsEntropy;
use tokio_postgres::{Client, NoTls};

use crate::figures::rate;
use crate::peer::BODY_BYTES;

/// Where the server is: it must be told, or be on this machine at the usual port.
fn url() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the peer of the measurements is")]
    let told = std::env::var("SAM_TEST_POSTGRES_URL");
    told.unwrap_or_else(|_| "postgresql://postgres@127.0.0.1:5432/test".to_owned())
}

/// A connection of our own, or why there is none.
pub(crate) async fn connect() -> Result<Client> {
    let connected = tokio_postgres::connect(&url(), NoTls).await;
    let (client, connection) = connected.context("no PostgreSQL at SAM_TEST_POSTGRES_URL")?;
    tokio::spawn(connection);
    Ok(client)
}

/// A schema, removed when [`Schema::remove`] is called.
#[derive(Debug)]
pub(crate) struct Schema(String);

impl Schema {
    pub(crate) fn new(name: &str) -> Self {
        Self(format!("sam_bench_{}_{name}", std::process::id()))
    }

    pub(crate) async fn open(&self) -> Result<PgStore> {
        let options = PgOptions::new(Arc::new(OsEntropy::new())).with_schema(&self.0);
        Ok(PgStore::open(&Secret::new(url()), options).await?)
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        let client = connect().await?;
        Ok(client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0)).await?)
    }

    /// Bare transactions per second of so many connections at a time, each of which rewrites one row of
    /// the size of a record, prepared and committed by itself.
    pub(crate) async fn bare_transactions(&self, writers: i64, span: Duration) -> Result<f64> {
        let name = &self.0;
        let client = connect().await?;
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {name}; DROP TABLE IF EXISTS {name}.bare;
             CREATE TABLE {name}.bare (number bigint PRIMARY KEY, version bigint, body text)"
        );
        client.batch_execute(&sql).await?;
        let body = "x".repeat(BODY_BYTES);
        let insert =
            format!("INSERT INTO {name}.bare SELECT n, 1, $1 FROM generate_series(1, 64) n");
        client.execute(&insert, &[&body]).await?;
        let update =
            format!("UPDATE {name}.bare SET version = version + 1, body = $2 WHERE number = $1");
        let mut clients = Vec::new();
        for number in 1..=writers {
            let client = connect().await?;
            let statement = client.prepare(&update).await?;
            clients.push((number, client, statement));
        }
        let started = Instant::now();
        let writers = clients.into_iter().map(|(number, client, statement)| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut made = 0;
                while started.elapsed() < span {
                    client.execute(&statement, &[&number, &body]).await?;
                    made += 1;
                }
                Ok::<u64, anyhow::Error>(made)
            })
        });
        let mut made = 0;
        for writer in try_join_all(writers).await? {
            made += writer?;
        }
        Ok(rate(made, started.elapsed()))
    }
}
