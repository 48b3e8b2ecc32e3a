//! The controller's half: an answer becomes an error.

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};

use sam_core::{Effect, Error, ErrorKind};

use super::Details;

/// Largest problem that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// Turns the answer of an agent that refused into the error it described.
pub(crate) async fn read_problem(response: http::Response<Body>) -> Error {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), PROBLEM_BYTES_MAX).collect().await;
    let details: Option<Details> =
        body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let error = match details {
        Some(details) => {
            let kind = ErrorKind::from_code(&details.code).unwrap_or_else(|| kind_of(status));
            let error = Error::new(kind, details.detail);
            match details.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        None => Error::new(kind_of(status), format!("the agent answered with status {status}")),
    };
    // A request that was refused changed nothing; one that failed half-way may have.
    let effect = if status >= 500 { Effect::Unknown } else { Effect::NotApplied };
    error.with_effect(effect)
}

fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 | 405 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadInput,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    }
}
