//! Backing a store up to a file, and restoring one from it.
//!
//! The file is the portable archive of `sam-providers`: what an embedded store wrote, a database can
//! restore, and the other way round. The keys of the installation are not in it, so that it may lie
//! where they may not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sam_core::entropy::Entropy;
use sam_core::store::Unrevised;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Restore, Result};
use sam_providers::sqlite::{ArchiveSummary, SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};

use crate::config::{RestoreAs, ServerConfig};
use crate::installation::{Installation, make_directory};

/// Writes everything in the store to a file that does not exist yet, and proves that it can be
/// restored before it gets that name. Servers may go on working.
///
/// # Errors
/// `AlreadyExists` when the file exists; `NotFound` when there is no installation here; `Corrupt`
/// when what was written cannot be restored; `Denied` or `Unavailable` when store or file cannot be
/// used. No file of that name is left then.
pub async fn back_up(config: &ServerConfig, file: &Path) -> Result<ArchiveSummary> {
    let Some(installation) = Installation::load(&config.keys_file)? else {
        let message = format!("there are no keys at {}", config.keys_file.display());
        return Err(Error::new(ErrorKind::NotFound, message).with_operation("back_up").with_hint(
            "give the same --data-dir, --keys-file and --database-url as to the server",
        ));
    };
    let file = absolute(file)?;
    if file.exists() {
        return Err(exists(&file));
    }
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    let wrong = |error| trouble("the backup cannot be written", &file, error);
    // Beside the file, so that giving it its name moves nothing; it goes with everything in it.
    let draft =
        tempfile::Builder::new().prefix(".sam-backup-").tempdir_in(directory).map_err(wrong)?;
    let archive = draft.path().join("archive");
    let summary = config.store.export(&config.data_dir, &archive, &installation.id).await?;
    prove(&archive, draft.path(), &summary).await?;
    // A link does not replace what is there, as a rename would.
    std::fs::hard_link(&archive, &file).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(&file),
        _ => wrong(error),
    })?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(wrong)?;
    Ok(summary)
}

/// Restores an archive into a store of its own, and looks at every page and every record of it.
async fn prove(archive: &Path, directory: &Path, expected: &ArchiveSummary) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = || SqliteOptions::new(Arc::new(OsEntropy::new()));
    let (archive, store) = (archive.to_path_buf(), directory.join("restored.db"));
    let (path, ticking) = (store.clone(), Arc::clone(&clock));
    let restored =
        blocking(move || SqliteStore::import(archive, path, &Unrevised, ticking, options()))
            .await?;
    if restored != *expected {
        return Err(Error::new(ErrorKind::Corrupt, "the backup holds less than was written to it")
            .with_operation("back_up")
            .with_hint("look for a failing disk, and back up to another one"));
    }
    let store = SqliteStore::open(store, clock, options())?;
    let checked = store.integrity_check().await;
    store.close().await;
    checked
}

/// Restores a backup into the store of the configuration, which must not exist yet.
///
/// In place of the store that was backed up, the keys must be there, and automatic deletion is held
/// in the same transaction. As a copy, the keys must be others: they are made when the server first
/// starts, and nothing that the original bought belongs to the copy.
///
/// # Errors
/// `Conflict` when there is a store already, a server is running on it, or the keys do not fit;
/// `Corrupt` when the backup was cut or changed; `NotFound`, `Denied` or `Unavailable` when file or
/// store cannot be used.
pub async fn restore(
    config: &ServerConfig,
    file: &Path,
    restore_as: RestoreAs,
) -> Result<ArchiveSummary> {
    let file = absolute(file)?;
    let from = file.clone();
    let summary = blocking(move || ArchiveSummary::read(from)).await?;
    let here = Installation::load(&config.keys_file)?.map(|installation| installation.id);
    check_keys(config, here.as_deref(), &summary, restore_as)?;
    make_directory(&config.data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let rule = match restore_as {
        RestoreAs::Copy => Restore::copy(clock.now()),
        RestoreAs::Replacement => Restore::replace("restore", clock.now()),
    };
    config.store.import(&config.data_dir, &file, rule, (clock, entropy)).await
}

fn check_keys(
    config: &ServerConfig,
    here: Option<&str>,
    summary: &ArchiveSummary,
    restore_as: RestoreAs,
) -> Result<()> {
    let keys = config.keys_file.display();
    let refuse = |message: String, hint: &str| {
        Err(Error::new(ErrorKind::Conflict, message)
            .with_operation("restore")
            .with_hint(hint.to_owned()))
    };
    let backed_up = summary.installation.as_deref();
    match (restore_as, here) {
        (RestoreAs::Copy, Some(here)) if backed_up == Some(here) => refuse(
            format!("the keys at {keys} are those of the original"),
            "a copy has keys of its own: choose another --data-dir or --keys-file, and it gets them \
             when its server first starts",
        ),
        (RestoreAs::Replacement, None) => refuse(
            format!("the keys of the installation are not at {keys}"),
            "put the keys file there that the server had; without it the nodes are cut off. To restore \
             beside the original, use --copy",
        ),
        (RestoreAs::Replacement, Some(here)) if backed_up.is_some_and(|id| id != here) => refuse(
            format!("the backup and the keys at {keys} are of different installations"),
            "put the keys file there that the server had, or use --copy",
        ),
        (RestoreAs::Copy, _) | (RestoreAs::Replacement, Some(_)) => Ok(()),
    }
}

/// Runs what reads and writes files for long in a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Bug, "a backup or a restore panicked").with_source(error)
    })?
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|error| trouble("the backup has no path", file, error))
}

fn exists(file: &Path) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{} exists already", file.display()))
        .with_operation("back_up")
        .with_hint("choose another name; a backup replaces nothing")
}

fn trouble(what: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{what}: {}", path.display()))
        .with_operation("back_up")
        .with_hint("check the directory, its rights and the free space")
        .with_source(error)
}
