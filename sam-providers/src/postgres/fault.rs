//! What an error of the database means to the caller: which kind, whether the work may have been
//! done, what to do next, and whether the connection can go on.

use deadpool_postgres::PoolError;
use sam_core::{Effect, Error, ErrorKind, Retry};
use tokio_postgres::error::Severity;

/// One failure, told to everybody whose work was part of it.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: ErrorKind,
    message: &'static str,
    hint: Option<&'static str>,
    code: Option<String>,
    cause: Option<String>,
    effect: Effect,
    /// Whether the connection is of no more use.
    pub(super) lost: bool,
    /// Whether one piece of work of several may be to blame.
    pub(super) blames_work: bool,
}

/// For everything before COMMIT; see [`Fault::at_commit`] for the rest.
impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}

type Meaning = (ErrorKind, &'static str, Option<&'static str>);

const MIGRATE: &str = "bring the schema up to date: sam-server migrate";

impl Fault {
    const fn plain(kind: ErrorKind, message: &'static str, hint: Option<&'static str>) -> Self {
        let effect = Effect::NotApplied;
        let (code, cause) = (None, None);
        Self { kind, message, hint, code, cause, effect, lost: false, blames_work: false }
    }

    /// The store was closed.
    pub(super) const fn closed() -> Self {
        Self::plain(ErrorKind::Unavailable, "the store is closed", None)
    }

    /// The task that had the work vanished before it answered.
    pub(super) const fn vanished() -> Self {
        let mut fault =
            Self::plain(ErrorKind::Unavailable, "the store ended before it answered", None);
        fault.effect = Effect::Unknown;
        fault
    }

    /// The server did not answer in time; whether it will is not known.
    pub(super) const fn stalled(effect: Effect) -> Self {
        let message = "the database did not answer in time";
        let mut fault = Self::plain(ErrorKind::Timeout, message, None);
        fault.effect = effect;
        fault.lost = true;
        fault
    }

    /// The connection that listens was lost.
    pub(super) const fn deaf() -> Self {
        let message = "the connection that listens was lost";
        let mut fault = Self::plain(ErrorKind::Unavailable, message, None);
        fault.lost = true;
        fault
    }

    /// Returns whether the work may have been done all the same.
    pub(super) fn may_have_happened(&self) -> bool {
        self.effect == Effect::Unknown
    }

    /// The schema is older than this program, or not there.
    pub(super) const fn behind() -> Self {
        let message = "the schema of the store is older than this program";
        Self::plain(ErrorKind::Unavailable, message, Some(MIGRATE))
    }

    /// The schema is newer than this program.
    pub(super) const fn ahead() -> Self {
        let message = "the schema of the store is newer than this program";
        let hint = "run the version of the program that migrated it";
        Self::plain(ErrorKind::Unavailable, message, Some(hint))
    }

    /// A revision is missing.
    pub(super) const fn gap() -> Self {
        let hint = Some("restore the last backup, and look for a failing disk");
        Self::plain(ErrorKind::Corrupt, "a revision is missing from the feed", hint)
    }

    /// Stored data does not mean anything.
    pub(super) const fn corrupt(message: &'static str) -> Self {
        Self::plain(ErrorKind::Corrupt, message, None)
    }

    /// A row cannot be read as what it should hold.
    #[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
    pub(super) fn unreadable(error: tokio_postgres::Error) -> Self {
        let mut fault = Self::corrupt("stored data cannot be read");
        fault.cause = Some(describe(&error));
        fault
    }

    /// An error of anything before COMMIT: nothing was applied.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        let Some(told) = error.as_db_error() else {
            let message = "the database cannot be reached";
            let hint = Some("check that the server runs and that its address is right");
            let mut fault = Self::plain(ErrorKind::Unavailable, message, hint);
            fault.cause = Some(describe(error));
            fault.lost = true;
            return fault;
        };
        let code = told.code().code();
        let (kind, message, hint) = meaning(code);
        let mut fault = Self::plain(kind, message, hint);
        let fatal = matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        fault.lost = fatal || code == "25006";
        fault.blames_work = kind == ErrorKind::BadInput || kind == ErrorKind::Bug;
        // The detail of an error quotes rows; the message does not.
        fault.cause = Some(told.message().to_owned());
        fault.code = Some(code.to_owned());
        fault
    }

    /// An error once COMMIT was sent. Only when the server said that it refused a statement is it
    /// known that nothing was applied.
    pub(super) fn at_commit(error: &tokio_postgres::Error) -> Self {
        let mut fault = Self::of(error);
        let refused =
            error.as_db_error().is_some_and(|told| told.parsed_severity() == Some(Severity::Error));
        if !refused {
            fault.effect = Effect::Unknown;
            fault.lost = true;
        }
        fault
    }

    /// COMMIT itself was refused: the server may have failed while it made it durable.
    pub(super) fn of_commit(error: &tokio_postgres::Error) -> Self {
        let mut fault = Self::of(error);
        fault.effect = Effect::Unknown;
        fault.lost = true;
        fault
    }

    /// No connection could be had for a read.
    pub(super) fn of_pool(error: &PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::of(error),
            PoolError::Timeout(_) => {
                let message = "no connection to the database became free in time";
                Self::plain(ErrorKind::Timeout, message, None)
            }
            PoolError::Closed => Self::closed(),
            _ => {
                let message = "no connection to the database can be made";
                Self::plain(ErrorKind::Unavailable, message, None)
            }
        }
    }

    /// Makes the error for one caller.
    pub(super) fn to_error(&self, operation: &'static str) -> Error {
        let mut error =
            Error::new(self.kind, self.message).with_operation(operation).with_effect(self.effect);
        if self.kind == ErrorKind::Unavailable {
            error = error.with_retry(Retry::Backoff);
        }
        if let Some(hint) = self.hint {
            error = error.with_hint(hint);
        }
        if let Some(code) = &self.code {
            error = error.with_provider_code(format!("postgres_{code}"));
        }
        if let Some(cause) = &self.cause {
            error = error.with_source(cause.clone());
        }
        error
    }
}

/// The error and its own cause; neither holds a password.
fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Tells what a five-character code of the server means.
fn meaning(code: &str) -> Meaning {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "57014") => (ErrorKind::Timeout, "the database took too long", None),
        (_, "55P03") => (
            ErrorKind::Timeout,
            "another replica held a lock for too long",
            Some("look for a replica or a report that keeps a transaction open"),
        ),
        (_, "53100") => (
            ErrorKind::Unavailable,
            "the database's disk is full",
            Some("free disk space; nothing was lost"),
        ),
        (_, "53300") => (
            ErrorKind::Unavailable,
            "the database has no connection left",
            Some("raise max_connections, or run fewer replicas"),
        ),
        (_, "25006") => (
            ErrorKind::Unavailable,
            "the database only reads: it is a standby",
            Some("connect to the primary, or add target_session_attrs=read-write to the address"),
        ),
        (_, "42501") => (
            ErrorKind::Denied,
            "the database's user may not do this",
            Some("let the user create its schema, or create it and make the user its owner"),
        ),
        (_, "3D000") => {
            (ErrorKind::NotFound, "there is no such database", Some("create the database first"))
        }
        (_, "42P01" | "42703" | "3F000") => {
            (ErrorKind::Unavailable, "the schema of the store is not there", Some(MIGRATE))
        }
        ("28", _) => (
            ErrorKind::Denied,
            "the database refuses this user",
            Some("check the user and its password in the database's address"),
        ),
        ("08" | "53" | "57" | "58" | "40" | "25", _) => {
            (ErrorKind::Unavailable, "the database is in trouble", None)
        }
        ("22", _) => (
            ErrorKind::BadInput,
            "a value cannot be stored in the database",
            Some("text must not hold the character U+0000"),
        ),
        (_, "XX001" | "XX002") => (
            ErrorKind::Corrupt,
            "the database is damaged",
            Some("restore the last backup, and look for a failing disk"),
        ),
        _ => (ErrorKind::Bug, "the store's database refused a statement", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_server_mean_one_kind_each() {
        for (code, kind) in [
            ("57014", ErrorKind::Timeout),
            ("55P03", ErrorKind::Timeout),
            ("57P01", ErrorKind::Unavailable),
            ("53100", ErrorKind::Unavailable),
            ("25006", ErrorKind::Unavailable),
            ("40P01", ErrorKind::Unavailable),
            ("42501", ErrorKind::Denied),
            ("28P01", ErrorKind::Denied),
            ("3D000", ErrorKind::NotFound),
            ("42P01", ErrorKind::Unavailable),
            ("22021", ErrorKind::BadInput),
            ("XX001", ErrorKind::Corrupt),
            ("23505", ErrorKind::Bug),
            ("", ErrorKind::Bug),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_vanished_writer_leaves_the_outcome_unknown() {
        let error = Fault::vanished().to_error("commit");
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        assert_eq!(Fault::closed().to_error("load").effect(), Effect::NotApplied);
    }
}
