//! Where state lives: a file of this process alone, or a database that replicas share. The rest of the
//! server sees a [`Store`] and, beside it, the care that each kind of store needs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sam_core::entropy::Entropy;
use sam_core::secrets::SecretStore;
use sam_core::store::Store;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Restore, Result, Secret};
use sam_providers::postgres::{PgOptions, PgStore, SchemaState};
use sam_providers::sqlite::{ArchiveSummary, Retention, SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};

use crate::backup::blocking;

/// How the store's schema relates to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schema {
    /// It is newer: a newer program migrated it.
    Ahead {
        /// The version in the store.
        found: u32,
        /// The version this program knows.
        wanted: u32,
    },
    /// It is older, or not there (zero).
    Behind {
        /// The version in the store.
        found: u32,
        /// The version this program knows.
        wanted: u32,
    },
    /// It is the one this program knows.
    Current,
}

impl Schema {
    /// Refuses to work on a schema that is not the one this program knows.
    ///
    /// # Errors
    /// `Unavailable`, with what to do as a hint.
    pub fn require(self) -> Result<()> {
        let (message, hint) = match self {
            Self::Current => return Ok(()),
            Self::Behind { found, wanted } => (
                format!("the store's schema is {found}, this program needs {wanted}"),
                "run `sam-server migrate` with the same configuration",
            ),
            Self::Ahead { found, wanted } => (
                format!("the store's schema is {found}, this program knows {wanted}"),
                "run the newer program that migrated it",
            ),
        };
        Err(Error::new(ErrorKind::Unavailable, message).with_operation("schema").with_hint(hint))
    }
}

/// What each kind of store needs beside what the lifecycle asks of it.
#[async_trait]
pub trait Upkeep: fmt::Debug + Send + Sync + 'static {
    /// Forgets changes that are older than the retention, so that the feed does not grow for ever.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    async fn trim(&self) -> Result<()>;

    /// Tells how the schema relates to this program, now.
    ///
    /// # Errors
    /// `Unavailable` while the store does not answer.
    async fn schema(&self) -> Result<Schema>;

    /// Brings the schema up to date. Repeatable; any number of replicas may do so at once.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` or `Conflict`.
    async fn migrate(&self) -> Result<()>;
}

/// A store that was opened, and its care.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backing {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its care.
    pub upkeep: Arc<dyn Upkeep>,
    /// Other replicas may use it at the same time.
    pub is_shared: bool,
    /// Where sealed secrets are kept, where the store keeps any.
    pub secrets: Option<Arc<dyn SecretStore>>,
}

impl Backing {
    /// A store that this process has alone.
    pub fn exclusive(store: Arc<dyn Store>, upkeep: Arc<dyn Upkeep>) -> Self {
        Self { store, upkeep, is_shared: false, secrets: None }
    }

    /// A store that replicas share.
    pub fn shared(store: Arc<dyn Store>, upkeep: Arc<dyn Upkeep>) -> Self {
        Self { store, upkeep, is_shared: true, secrets: None }
    }

    /// Keeps sealed secrets, too.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn SecretStore>) -> Self {
        self.secrets = Some(secrets);
        self
    }
}

/// Which store to open.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StorePlan {
    /// The file `sam.db` in the data directory.
    Embedded,
    /// A database that replicas share.
    Database {
        /// `postgresql://…`, with its password.
        url: Secret<String>,
        /// Bring the schema up to date when opening.
        migrate: bool,
    },
}

impl StorePlan {
    /// Opens the store.
    ///
    /// # Errors
    /// `Conflict` when another process has the file, or it is of a newer program; `BadInput`,
    /// `Denied`, `Unavailable`.
    pub(crate) async fn open(
        self,
        data_dir: &Path,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Backing> {
        match self {
            Self::Embedded => {
                let options = SqliteOptions::new(Arc::clone(entropy));
                let path = data_dir.join(EMBEDDED);
                let store = Arc::new(SqliteStore::open(&path, Arc::clone(clock), options)?);
                let backing = Backing::exclusive(Arc::clone(&store) as _, Arc::clone(&store) as _);
                Ok(backing.with_secrets(store))
            }
            Self::Database { url, migrate } => {
                let options = PgOptions::new(Arc::clone(entropy));
                let options = if migrate { options } else { options.without_migrating() };
                let store = Arc::new(PgStore::open(&url, options).await?);
                let backing = Backing::shared(Arc::clone(&store) as _, Arc::clone(&store) as _);
                Ok(backing.with_secrets(store))
            }
        }
    }

    /// Writes everything in the store to a file, while servers may go on working.
    ///
    /// # Errors
    /// `AlreadyExists` when the file exists; `NotFound` when there is no store; `Conflict` when it is
    /// of another version of this program; `Denied`, `Corrupt` or `Unavailable`.
    pub(crate) async fn export(
        &self,
        data_dir: &Path,
        to: &Path,
        installation: &str,
    ) -> Result<ArchiveSummary> {
        match self {
            Self::Embedded => {
                let (path, to) = (data_dir.join(EMBEDDED), to.to_path_buf());
                let installation = installation.to_owned();
                let clock = SystemClock::new();
                blocking(move || SqliteStore::export_from(path, to, &clock, Some(&installation)))
                    .await
            }
            Self::Database { url, .. } => {
                let options = PgOptions::new(Arc::new(OsEntropy::new())).without_migrating();
                let store = PgStore::open(url, options).await?;
                known(store.schema_state())?.require()?;
                store.export(to, Some(installation)).await
            }
        }
    }

    /// Restores an archive into the store, which must not exist yet, or be empty.
    ///
    /// # Errors
    /// `Conflict` when there is something in the store; what `rule` says; `Corrupt`, `NotFound`,
    /// `Denied` or `Unavailable`.
    pub(crate) async fn import(
        &self,
        data_dir: &Path,
        from: &Path,
        rule: Restore,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> Result<ArchiveSummary> {
        match self {
            Self::Embedded => {
                let (path, from) = (data_dir.join(EMBEDDED), from.to_path_buf());
                if path.exists() {
                    return Err(occupied(&path));
                }
                let options = SqliteOptions::new(entropy);
                blocking(move || SqliteStore::import(from, path, &rule, clock, options)).await
            }
            Self::Database { url, .. } => {
                let store = PgStore::open(url, PgOptions::new(entropy)).await?;
                store.import(from, &rule).await
            }
        }
    }
}

fn occupied(path: &Path) -> Error {
    let name = path.display();
    Error::new(ErrorKind::Conflict, format!("there is a store already: {name}"))
        .with_operation("restore")
        .with_hint(format!(
            "end its server and move {name}, {name}-wal and {name}-shm to another place; nothing was \
             restored"
        ))
}

/// The embedded store's name in the data directory.
const EMBEDDED: &str = "sam.db";

#[async_trait]
impl Upkeep for SqliteStore {
    async fn trim(&self) -> Result<()> {
        Self::trim(self, Retention::default()).await.map(drop)
    }

    /// A file is brought up to date when it is opened, by the one process that has it.
    async fn schema(&self) -> Result<Schema> {
        Ok(Schema::Current)
    }

    async fn migrate(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Upkeep for PgStore {
    async fn trim(&self) -> Result<()> {
        Self::trim(self, Retention::default()).await.map(drop)
    }

    async fn schema(&self) -> Result<Schema> {
        known(self.schema_state())
    }

    async fn migrate(&self) -> Result<()> {
        known(Self::migrate(self).await?)?.require()
    }
}

fn known(state: SchemaState) -> Result<Schema> {
    match state {
        SchemaState::Current => Ok(Schema::Current),
        SchemaState::Behind { found, wanted } => Ok(Schema::Behind { found, wanted }),
        SchemaState::Ahead { found, wanted } => Ok(Schema::Ahead { found, wanted }),
        _ => Err(Error::new(ErrorKind::Unsupported, "the state of the schema is not known")),
    }
}
