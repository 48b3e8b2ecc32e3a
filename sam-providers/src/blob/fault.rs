//! What went wrong in a store of objects, in our words.
//!
//! The text of an S3 answer is never kept: on a wrong signature it repeats the request, session
//! token included. Its code is.

use std::error::Error as StdError;
use std::io;

use object_store::Error as StoreError;
use sam_core::{Effect, Error, ErrorKind};

/// Longest code of a provider that is kept, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// What was asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    pub(super) place: &'a str,
    /// Whether it changes something.
    pub(super) writes: bool,
    /// Whether the store is a server.
    pub(super) remote: bool,
}

/// Returns whether the store is sure that there is no such blob: on a server, a missing bucket or a
/// page of something between us is another 404.
pub(super) fn is_absent(error: &StoreError, remote: bool) -> bool {
    let StoreError::NotFound { .. } = error else { return false };
    !remote || code(error).as_deref() == Some("NoSuchKey")
}

/// Explains a failure.
pub(super) fn of(error: StoreError, asked: Asked<'_>) -> Error {
    let code = if asked.remote { code(&error) } else { None };
    let known = code.as_deref().and_then(of_code).or_else(|| of_variant(&error));
    let kind = known.unwrap_or_else(|| of_cause(&error, asked));
    let (says, hint) = words(kind, asked.remote);
    let explained = Error::new(kind, says.replace("{}", asked.place))
        .with_operation(asked.operation)
        .with_effect(effect(&error, asked, kind))
        .with_hint(hint);
    match (asked.remote, code) {
        (true, Some(code)) => explained.with_provider_code(code),
        (true, None) => explained,
        (false, _) => explained.with_source(error),
    }
}

/// What a code of S3 means; listings come with nothing else.
fn of_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => ErrorKind::Denied,
        "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "ExpiredToken"
        | "InvalidToken"
        | "RequestTimeTooSkewed"
        | "Unauthorized" => ErrorKind::Unauthenticated,
        "NoSuchBucket" | "NoSuchKey" => ErrorKind::NotFound,
        "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" => ErrorKind::RateLimited,
        "QuotaExceeded" | "StorageQuotaExceeded" => ErrorKind::QuotaExceeded,
        "InvalidBucketName" | "AuthorizationHeaderMalformed" | "PermanentRedirect" => {
            ErrorKind::BadInput
        }
        _ => return None,
    })
}

const fn of_variant(error: &StoreError) -> Option<ErrorKind> {
    Some(match error {
        StoreError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        StoreError::NotFound { .. } => ErrorKind::NotFound,
        StoreError::PermissionDenied { .. } => ErrorKind::Denied,
        StoreError::Unauthenticated { .. } => ErrorKind::Unauthenticated,
        StoreError::Precondition { .. } | StoreError::NotModified { .. } => ErrorKind::Conflict,
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => ErrorKind::BadInput,
        _ => return None,
    })
}

/// Says a kind in words, with `{}` for the place, and what to do.
const fn words(kind: ErrorKind, remote: bool) -> (&'static str, &'static str) {
    match (kind, remote) {
        (ErrorKind::AlreadyExists, _) => {
            ("there is such a blob in {} already", "use another key, or read what is there")
        }
        (ErrorKind::NotFound, true) => {
            ("{} is not there", "check the bucket's name, its region and the endpoint")
        }
        (ErrorKind::NotFound, false) => ("{} is not there", "make the directory of blobs again"),
        (ErrorKind::Denied, true) => {
            ("{} may not be used", "check the access key and what its policy allows in this bucket")
        }
        (ErrorKind::Denied, false) => {
            ("{} may not be used", "make the directory of blobs this user's own")
        }
        (ErrorKind::Unauthenticated, _) => (
            "{} does not know this access key",
            "check both halves of the access key, the region, and this computer's clock",
        ),
        (ErrorKind::Conflict, _) => ("a blob in {} was changed meanwhile", "look at it again"),
        (ErrorKind::BadInput, _) => (
            "{} does not take this request",
            "check bucket and region; the store has to know conditional writes (If-None-Match)",
        ),
        (ErrorKind::RateLimited, _) => ("{} takes no more requests now", "ask less often"),
        (ErrorKind::QuotaExceeded, _) => ("the quota of {} is used up", "raise it, or delete"),
        (ErrorKind::CapacityUnavailable, _) => {
            ("the disk of {} is full", "free space there, or configure another directory")
        }
        (ErrorKind::Timeout, _) => {
            ("no answer from {} in time", "raise the deadline, or look at the way to the store")
        }
        (_, true) => {
            ("{} is in trouble or cannot be reached", "check the endpoint and the way to it")
        }
        (_, false) => ("{} cannot be used", "check the directory of blobs and its disk"),
    }
}

fn of_cause(error: &StoreError, asked: Asked<'_>) -> ErrorKind {
    if asked.remote {
        return if timed_out(error) { ErrorKind::Timeout } else { ErrorKind::Unavailable };
    }
    match cause::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            ErrorKind::Denied
        }
        Some(io::ErrorKind::StorageFull) => ErrorKind::CapacityUnavailable,
        Some(io::ErrorKind::QuotaExceeded) => ErrorKind::QuotaExceeded,
        _ => ErrorKind::Unavailable,
    }
}

/// A write may have happened unless it was refused, or nothing was sent.
fn effect(error: &StoreError, asked: Asked<'_>, kind: ErrorKind) -> Effect {
    let refused = matches!(
        kind,
        ErrorKind::AlreadyExists
            | ErrorKind::BadInput
            | ErrorKind::Conflict
            | ErrorKind::Denied
            | ErrorKind::NotFound
            | ErrorKind::RateLimited
            | ErrorKind::Unauthenticated
    );
    if !asked.writes || refused || never_sent(error) { Effect::NotApplied } else { Effect::Unknown }
}

#[cfg(feature = "s3")]
fn never_sent(error: &StoreError) -> bool {
    use object_store::client::{HttpError, HttpErrorKind};
    cause::<HttpError>(error).is_some_and(|error| error.kind() == HttpErrorKind::Connect)
}

#[cfg(feature = "s3")]
fn timed_out(error: &StoreError) -> bool {
    use object_store::client::{HttpError, HttpErrorKind};
    cause::<HttpError>(error).is_some_and(|error| error.kind() == HttpErrorKind::Timeout)
}

#[cfg(not(feature = "s3"))]
const fn never_sent(_: &StoreError) -> bool {
    false
}

#[cfg(not(feature = "s3"))]
const fn timed_out(_: &StoreError) -> bool {
    false
}

/// Finds an error of a type among the causes; chains are short.
fn cause<T: StdError + 'static>(error: &StoreError) -> Option<&T> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Returns the code of an S3 answer, such as `NoSuchKey`. The crate hands it out as text only.
fn code(error: &StoreError) -> Option<String> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let found = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        if let Some((code, _)) = found {
            let fits = (1..=CODE_BYTES_MAX).contains(&code.len());
            let is_word = fits && code.bytes().all(|b| b.is_ascii_alphanumeric());
            return is_word.then(|| code.to_owned());
        }
        next = error.source();
    }
    None
}
