//! What an error of the database means to the caller: which kind, whether the work may have been
//! done, what to do next, and whether the store can go on.

use rusqlite::ErrorCode;
use sam_core::{Effect, Error, ErrorKind, Retry};

/// One failure, told to everybody whose work was part of it.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: ErrorKind,
    message: &'static str,
    hint: Option<&'static str>,
    code: Option<i32>,
    cause: Option<String>,
    effect: Effect,
    /// Whether the store must be opened again before anything else is written.
    pub(super) stops: bool,
}

const REOPEN: &str = "restart the process so that the store is opened again and recovers";

impl Fault {
    const fn plain(kind: ErrorKind, message: &'static str, hint: Option<&'static str>) -> Self {
        let effect = Effect::NotApplied;
        Self { kind, message, hint, code: None, cause: None, effect, stops: false }
    }

    /// The store was closed.
    pub(super) const fn closed() -> Self {
        Self::plain(ErrorKind::Unavailable, "the store is closed", None)
    }

    /// The store stopped after an earlier failure.
    pub(super) const fn stopped() -> Self {
        let message = "the store has stopped after a failure of its file";
        Self::plain(ErrorKind::Unavailable, message, Some(REOPEN))
    }

    /// The thread that had the work vanished before it answered.
    pub(super) const fn vanished() -> Self {
        let message = "the store ended before it answered";
        let mut fault = Self::plain(ErrorKind::Unavailable, message, Some(REOPEN));
        fault.effect = Effect::Unknown;
        fault
    }

    /// Another process wrote to the file.
    pub(super) const fn intruder() -> Self {
        let message = "somebody else has written to the store's file";
        let hint = Some("leave the file to one process alone, then restart it");
        let mut fault = Self::plain(ErrorKind::Corrupt, message, hint);
        fault.stops = true;
        fault
    }

    /// An error of anything before COMMIT: nothing was applied.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let (kind, message, hint, stops) = match error {
            rusqlite::Error::SqliteFailure(failure, _) => meaning(failure.code),
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => {
                (ErrorKind::Corrupt, "stored data cannot be read", None, false)
            }
            _ => (ErrorKind::Bug, "the store's database was used wrongly", None, false),
        };
        let code = error.sqlite_error().map(|failure| failure.extended_code);
        let cause = Some(error.to_string());
        Self { kind, message, hint, code, cause, effect: Effect::NotApplied, stops }
    }

    /// An error of COMMIT itself. Only a full disk, or a lock, that SQLite answered by rolling back
    /// is known to have changed nothing: the log may already hold the batch with its commit mark.
    pub(super) fn at_commit(error: &rusqlite::Error, rolled_back: bool) -> Self {
        let mut fault = Self::of(error);
        let sure = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        );
        if !sure || !rolled_back {
            fault.effect = Effect::Unknown;
            fault.stops = true;
        }
        fault
    }

    /// Makes the error for one caller.
    pub(super) fn to_error(&self, operation: &'static str) -> Error {
        let mut error =
            Error::new(self.kind, self.message).with_operation(operation).with_effect(self.effect);
        if self.stops {
            error = error.with_retry(Retry::Never);
        }
        if let Some(hint) = self.hint {
            error = error.with_hint(hint);
        }
        if let Some(code) = self.code {
            error = error.with_provider_code(format!("sqlite_{code}"));
        }
        if let Some(cause) = &self.cause {
            error = error.with_source(cause.clone());
        }
        error
    }
}

fn meaning(code: ErrorCode) -> (ErrorKind, &'static str, Option<&'static str>, bool) {
    match code {
        ErrorCode::DiskFull => {
            let hint = "free disk space, or raise the size limit; nothing was lost";
            (ErrorKind::Unavailable, "the disk is full, or the store is", Some(hint), false)
        }
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Unavailable, "the store's file is locked", None, false)
        }
        ErrorCode::SystemIoFailure => (
            ErrorKind::Unavailable,
            "the store's file cannot be written or read",
            Some(REOPEN),
            true,
        ),
        ErrorCode::DatabaseCorrupt => {
            let hint = "restore the last backup, and look for a failing disk";
            (ErrorKind::Corrupt, "the store's file is damaged", Some(hint), true)
        }
        ErrorCode::NotADatabase => {
            let hint = "choose another path; the file was left as it is";
            (ErrorKind::Corrupt, "the file is not a database", Some(hint), true)
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            let hint = "make the file and its directory writable for this user";
            (ErrorKind::Denied, "the store's file cannot be opened for writing", Some(hint), false)
        }
        ErrorCode::OutOfMemory => (ErrorKind::Unavailable, "memory ran out", None, false),
        _ => (ErrorKind::Bug, "the store's database refused a statement", None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_flush_leaves_the_outcome_unknown_and_stops_the_store() {
        let fault = Fault::at_commit(&failure(ffi::SQLITE_IOERR_FSYNC), true);
        assert!(fault.stops);
        let error = fault.to_error("commit");
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        assert_eq!(error.provider_code(), Some("sqlite_1034"));
        assert!(error.hint().unwrap().contains("restart"));
    }

    #[test]
    fn a_full_disk_is_known_to_have_changed_nothing_once_rolled_back() {
        let fault = Fault::at_commit(&failure(ffi::SQLITE_FULL), true);
        assert!(!fault.stops);
        assert_eq!(fault.to_error("commit").effect(), Effect::NotApplied);
        let fault = Fault::at_commit(&failure(ffi::SQLITE_FULL), false);
        assert!(fault.stops);
        assert_eq!(fault.to_error("commit").effect(), Effect::Unknown);
    }

    #[test]
    fn before_commit_nothing_was_applied_whatever_went_wrong() {
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_CORRUPT, ffi::SQLITE_FULL, ffi::SQLITE_NOMEM] {
            assert_eq!(Fault::of(&failure(code)).to_error("commit").effect(), Effect::NotApplied);
        }
        assert!(Fault::of(&failure(ffi::SQLITE_IOERR)).stops);
        assert!(!Fault::of(&failure(ffi::SQLITE_NOMEM)).stops);
    }
}
