//! How Fly refuses: an HTTP status, sometimes a code beside the text, sometimes a code before it.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sam_core::{ErrorKind, Retry};
use serde::Deserialize;

use crate::api::Refusal;

/// The code of something that is not there. Fly has none of its own: this is its 404 with its own body,
/// which a gateway's page lacks.
pub(super) const NOT_FOUND: &str = "not_found";
/// The code of an app's name that is taken.
pub(super) const NAME_TAKEN: &str = "name_taken";

/// One request comes back each second.
const LIMIT_WAIT: Duration = Duration::from_secs(1);
/// Changes are short, and so are leases for them.
const LEASE_WAIT: Duration = Duration::from_secs(2);
/// Asking again for what is sold out does not help soon: longer than any layer waits, so that the engine
/// or a person decides.
const STOCK_WAIT: Duration = Duration::from_mins(1);
/// Longest code before a text.
const CODE_BYTES_MAX: usize = 40;

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    status: Option<String>,
}

/// Reads an answer.
pub(super) fn dialect(response: &Response<Bytes>) -> Option<Refusal> {
    let plain = Refusal::of_status(response.status(), response.headers())?;
    let status = response.status();
    // A gateway's answer is a page for people.
    let Ok(said) = serde_json::from_slice::<Refused>(response.body()) else {
        return Some(of_status(plain, status));
    };
    let code = said.status.filter(|code| !code.is_empty()).or_else(|| leading_code(&said.error));
    let refusal = of_status(plain, status);
    let refusal = match code {
        Some(code) => of_code(refusal, &code).with_code(code),
        None if status == StatusCode::NOT_FOUND => refusal.with_code(NOT_FOUND),
        None => refusal,
    };
    Some(refusal.with_sentence(said.error))
}

/// Returns the code before a text, `deadline_exceeded: …`.
fn leading_code(text: &str) -> Option<String> {
    let (code, _) = text.split_once(": ")?;
    let is_code = code.len() <= CODE_BYTES_MAX
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_code && !code.is_empty()).then(|| code.to_owned())
}

/// What a status says at Fly.
fn of_status(refusal: Refusal, status: StatusCode) -> Refusal {
    match status.as_u16() {
        401 => refusal
            .with_hint("the token is unknown or expired: make a new one for the organisation"),
        // Somebody else holds the lease.
        409 => refusal
            .with_retry(Retry::After(LEASE_WAIT))
            .with_hint("somebody else changes it: it is tried again when the lease has ended"),
        // It is on its way from one state to another.
        412 => refusal.with_retry(Retry::After(LEASE_WAIT)),
        429 => refusal.with_retry(Retry::After(LIMIT_WAIT)),
        _ => refusal,
    }
}

/// What a code says; the status stands where it says nothing more.
fn of_code(refusal: Refusal, code: &str) -> Refusal {
    match code {
        "already_exists" => refusal.with_kind(ErrorKind::AlreadyExists).with_retry(Retry::Never),
        NAME_TAKEN => refusal
            .with_kind(ErrorKind::Conflict)
            .with_retry(Retry::Never)
            .with_hint("names of apps are taken from one namespace of all of Fly: choose another"),
        "insufficient_capacity" => refusal
            .with_kind(ErrorKind::CapacityUnavailable)
            .with_retry(Retry::After(STOCK_WAIT))
            .with_hint("it is sold out there: allow another region, or wait"),
        _ => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_before_a_text_is_read() {
        assert_eq!(leading_code("deadline_exceeded: x").as_deref(), Some("deadline_exceeded"));
        assert_eq!(leading_code("Authenticate: token validation error"), None);
        assert_eq!(leading_code("machine ID 1 lease currently held by a: b"), None);
        assert_eq!(leading_code(": x"), None);
    }
}
