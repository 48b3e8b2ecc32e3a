//! The flat list of failures and what each means to HTTP, to a shell and to a retry loop.

use serde::{Deserialize, Serialize};

use super::Retry;

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something with this name or key is there already.
    AlreadyExists,
    /// The request can never work as it is.
    BadInput,
    /// A defect of this software.
    Bug,
    /// The provider has no machine of this size left there.
    CapacityUnavailable,
    /// Somebody else changed it first, or its state forbids the request.
    Conflict,
    /// Stored or received data cannot be read.
    Corrupt,
    /// The caller may not do this.
    Denied,
    /// There is no such thing.
    NotFound,
    /// A limit of the account is reached.
    QuotaExceeded,
    /// Too many requests in too short a time.
    RateLimited,
    /// No answer in time.
    Timeout,
    /// The caller is not known.
    Unauthenticated,
    /// The other side cannot be reached or is in trouble.
    Unavailable,
    /// The provider does not claim this capability; only the guard layer says so.
    Unsupported,
}

impl ErrorKind {
    /// Every kind, for tables and documentation.
    pub const ALL: [Self; 14] = [
        Self::AlreadyExists,
        Self::BadInput,
        Self::Bug,
        Self::CapacityUnavailable,
        Self::Conflict,
        Self::Corrupt,
        Self::Denied,
        Self::NotFound,
        Self::QuotaExceeded,
        Self::RateLimited,
        Self::Timeout,
        Self::Unauthenticated,
        Self::Unavailable,
        Self::Unsupported,
    ];

    /// Returns the stable word for JSON, logs and documentation.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::BadInput => "bad_input",
            Self::Bug => "bug",
            Self::CapacityUnavailable => "capacity_unavailable",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::QuotaExceeded => "quota_exceeded",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Unauthenticated => "unauthenticated",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        }
    }

    /// Returns the kind that [`ErrorKind::code`] names.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Returns the HTTP status a server answers with.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadInput | Self::Unsupported => 400,
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::QuotaExceeded | Self::RateLimited => 429,
            Self::Bug | Self::Corrupt => 500,
            Self::CapacityUnavailable | Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// Returns the status a command-line program exits with.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::BadInput | Self::Unsupported => 2,
            Self::NotFound => 3,
            Self::Denied | Self::Unauthenticated => 4,
            Self::AlreadyExists | Self::Conflict => 5,
            Self::CapacityUnavailable | Self::QuotaExceeded | Self::RateLimited => 6,
            Self::Timeout | Self::Unavailable => 7,
            Self::Bug | Self::Corrupt => 70,
        }
    }

    /// Returns whether trying again usually helps for this kind.
    pub const fn usual_retry(self) -> Retry {
        match self {
            Self::CapacityUnavailable
            | Self::Conflict
            | Self::RateLimited
            | Self::Timeout
            | Self::Unavailable => Retry::Backoff,
            Self::AlreadyExists
            | Self::BadInput
            | Self::Bug
            | Self::Corrupt
            | Self::Denied
            | Self::NotFound
            | Self::QuotaExceeded
            | Self::Unauthenticated
            | Self::Unsupported => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind.code()), Some(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.code()));
            assert!((400..600).contains(&kind.http_status()));
            assert_ne!(kind.exit_code(), 0);
        }
    }

    /// What the enum's own documentation says of a kind.
    fn meaning(kind: ErrorKind) -> &'static str {
        let source = include_str!("kind.rs");
        let variant = format!("\n    {kind:?},\n");
        let before = source.split_once(&variant).expect("it is a variant").0;
        let comment = before.lines().last().expect("it is documented");
        comment.trim().strip_prefix("/// ").expect("in one line")
    }

    fn document() -> String {
        use std::fmt::Write as _;
        let mut out = String::from(
            "# Kinds of errors\n\nGenerated by `cargo test -p sam-core error_kinds` from the code itself: \
             what each kind means, the HTTP status a server answers with, the status `sam` exits with, and \
             whether trying again usually helps.\n\n| kind | means | HTTP | exit | again |\n|---|---|---|---|---|\n",
        );
        for kind in ErrorKind::ALL {
            let (code, http, exit) = (kind.code(), kind.http_status(), kind.exit_code());
            let again = if kind.usual_retry() == Retry::Never { "no" } else { "later" };
            writeln!(out, "| `{code}` | {} | {http} | {exit} | {again} |", meaning(kind)).unwrap();
        }
        out
    }

    #[test]
    fn error_kinds_are_documented_as_they_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        // The packaged crate has no docs folder; in the repository it is there.
        if !std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).exists() {
            return;
        }
        let document = document();
        if std::fs::read_to_string(path).ok().as_ref() != Some(&document) {
            std::fs::write(path, &document).unwrap();
            panic!("docs/errors.md was outdated and is written anew: commit it");
        }
    }
}
