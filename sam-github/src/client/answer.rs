//! From GitHub's refusals to errors. What it says in words only is given a code here, once, so that
//! nobody else looks at words.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};
use serde::Deserialize;

use super::Call;

/// Longest part of GitHub's own sentence that is shown, in characters.
const SENTENCE_CHARS_MAX: usize = 200;

/// GitHub's refusals by the names this crate gives them, as [`Error::provider_code`] returns them.
pub(crate) mod code {
    pub(crate) const CLOCK_SKEW: &str = "jwt_clock_skew";
    pub(crate) const SUSPENDED: &str = "installation_suspended";
    pub(crate) const NOT_ACCESSIBLE: &str = "not_accessible";
    pub(crate) const REPOSITORY_OUTSIDE: &str = "repository_outside";
    pub(crate) const PERMISSIONS_NOT_GRANTED: &str = "permissions_not_granted";
    pub(crate) const BAD_CREDENTIALS: &str = "bad_credentials";
    pub(crate) const JWT_UNDECODABLE: &str = "jwt_undecodable";
    pub(crate) const APP_UNKNOWN: &str = "integration_not_found";
    pub(crate) const SECONDARY_LIMIT: &str = "secondary_limit";
    pub(crate) const PRIMARY_LIMIT: &str = "primary_limit";
}

#[derive(Deserialize)]
struct Refusal {
    message: Option<String>,
}

/// Returns GitHub's own sentence.
pub(super) fn message(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body).ok()?.message
}

/// What a sentence of GitHub means: part of it, its code, and the kind where the status says too
/// little.
const SENTENCES: [(&str, &str, Option<ErrorKind>); 9] = [
    ("'Issued at' claim", code::CLOCK_SKEW, None),
    ("'Expiration time' claim", code::CLOCK_SKEW, None),
    ("has been suspended", code::SUSPENDED, None),
    ("not accessible by integration", code::NOT_ACCESSIBLE, None),
    ("not accessible to the parent", code::REPOSITORY_OUTSIDE, Some(ErrorKind::Denied)),
    (
        "permissions requested are not granted",
        code::PERMISSIONS_NOT_GRANTED,
        Some(ErrorKind::Denied),
    ),
    ("Bad credentials", code::BAD_CREDENTIALS, None),
    ("could not be decoded", code::JWT_UNDECODABLE, None),
    ("Integration not found", code::APP_UNKNOWN, Some(ErrorKind::Unauthenticated)),
];

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        code::CLOCK_SKEW => "set this machine's clock",
        code::SUSPENDED => {
            "its owner can take the suspension back in the settings of installed Apps"
        }
        code::NOT_ACCESSIBLE | code::PERMISSIONS_NOT_GRANTED => {
            "add the permission in the App's settings, and have the owner accept it"
        }
        code::REPOSITORY_OUTSIDE => "the owner can add the repository to the App's installation",
        code::JWT_UNDECODABLE | code::APP_UNKNOWN => {
            "check that the App id and the private key belong to the same App"
        }
        _ => return None,
    })
}

/// Makes the error of an answer that is no success.
pub(super) fn refused(
    call: &Call,
    response: &Response<Bytes>,
    secret: Option<&Secret<String>>,
) -> Error {
    let status = response.status();
    let said = message(response.body());
    let known =
        said.as_deref().and_then(|said| SENTENCES.iter().find(|(part, ..)| said.contains(part)));
    let kind = known.and_then(|(_, _, kind)| *kind).unwrap_or_else(|| kind(status));
    let mut error = Error::new(kind, sentence(status, said.as_deref(), secret))
        .with_operation(call.operation)
        .with_effect(effect(call, status));
    if let Some((_, code, _)) = known {
        error = error.with_provider_code(*code);
        if let Some(hint) = hint(code) {
            error = error.with_hint(hint);
        }
    } else {
        error = error.with_provider_code(status.as_str());
    }
    if kind == ErrorKind::Unavailable
        && let Some(after) = super::seconds(response.headers(), "retry-after")
    {
        error = error.with_retry(Retry::After(after));
    }
    error
}

/// Makes the error of an answer that refuses because of a limit.
pub(super) fn limited(call: &Call, response: &Response<Bytes>, wait: Duration) -> Error {
    let headers = response.headers();
    let primary = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    let (code, what) = if primary {
        (code::PRIMARY_LIMIT, "GitHub's limit of requests is reached")
    } else {
        (code::SECONDARY_LIMIT, "GitHub asks for fewer requests at a time")
    };
    Error::new(ErrorKind::RateLimited, what)
        .with_operation(call.operation)
        .with_provider_code(code)
        .with_retry(Retry::After(wait))
}

fn kind(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 | 451 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..500 => ErrorKind::BadInput,
        500..600 => ErrorKind::Unavailable,
        _ => ErrorKind::Corrupt,
    }
}

/// A refusal did nothing. Trouble on the way may have come after it was done.
fn effect(call: &Call, status: StatusCode) -> Effect {
    let in_doubt = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
    if in_doubt && !call.method.is_safe() { Effect::Unknown } else { Effect::NotApplied }
}

/// GitHub's sentence, cut, on one line, and without the credential, should a proxy echo it.
fn sentence(status: StatusCode, said: Option<&str>, secret: Option<&Secret<String>>) -> String {
    let answered = format!("GitHub answered {}", status.as_u16());
    let Some(said) = said.map(str::trim).filter(|said| !said.is_empty()) else { return answered };
    if secret.is_some_and(|secret| said.contains(secret.expose().as_str())) {
        return answered;
    }
    let clean = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = clean.take(SENTENCE_CHARS_MAX).collect();
    format!("{answered}: {cut}")
}

/// Makes the error of an answer that does not belong to the question.
pub(super) fn unexpected(call: &Call, status: u16) -> Error {
    Error::new(ErrorKind::Corrupt, format!("GitHub answered {status}, which was not asked for"))
        .with_operation(call.operation)
}

/// Makes the error of a request that cannot be put into HTTP.
pub(super) fn unsendable(operation: &'static str) -> Error {
    Error::new(ErrorKind::BadInput, "the request holds something that HTTP cannot carry")
        .with_operation(operation)
}
