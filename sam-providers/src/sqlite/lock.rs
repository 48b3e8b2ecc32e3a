//! The sidecar lock: one process at a time has the store.
//!
//! SQLite's own locks would let a second process write too. The kernel drops this one with the
//! process, so nothing is left to clean up after a crash; the file stays, only the lock counts. The
//! database file itself is never opened and closed here while it is in use: closing any descriptor of
//! it would drop SQLite's locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use sam_core::{Error, ErrorKind, Result};

/// Longest text read out of a lock file, in bytes.
const HOLDER_BYTES_MAX: u64 = 64;

/// Held while the store is open.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock beside a database file.
    ///
    /// # Errors
    /// `Conflict` when another process, or another store of this one, has it; `Denied` when the
    /// directory cannot be written; `NotFound` when there is no such directory.
    pub(super) fn take(database: &Path) -> Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut file = private().open(&path).map_err(|error| cannot_open(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(database, &mut file)),
            Err(TryLockError::Error(error)) => return Err(cannot_open(&path, error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(|error| cannot_open(&path, error))?;
        Ok(Self { _file: file })
    }
}

/// Options for files that only their owner may read: what the store holds is private.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn held(database: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let by = match file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    };
    Error::new(ErrorKind::Conflict, format!("the store {} is open in {by}", database.display()))
        .with_operation("open_store")
        .with_hint("stop that process, or talk to it instead: a store belongs to one process")
}

/// Explains why a file of the store cannot be opened.
pub(super) fn cannot_open(path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let (kind, hint) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (ErrorKind::NotFound, "create the data directory first")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "make the data directory writable for this user")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Unavailable, "free disk space")
        }
        _ => (ErrorKind::Unavailable, "check the data directory and its disk"),
    };
    Error::new(kind, format!("cannot open {shown}"))
        .with_operation("open_store")
        .with_hint(hint)
        .with_source(error)
}
