//! How DigitalOcean refuses: a status, a word for it, and a sentence. The word says no more than the
//! status, so a few sentences are told apart; what is not known for sure stays what its status says.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use sam_core::{Error, ErrorKind, Retry};
use serde::Deserialize;

use crate::api::Refusal;

/// The word for what is not there.
pub(super) const NOT_FOUND: &str = "not_found";
/// The word for nearly everything else.
const UNPROCESSABLE: &str = "unprocessable_entity";

/// Actions take a few seconds.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Where a limit does not say when it ends.
const LIMIT_WAIT: Duration = Duration::from_secs(5);
/// Asking again for what is sold out does not help soon: longer than any layer waits, so that the engine
/// or a person decides.
const STOCK_WAIT: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Refused {
    id: String,
    #[serde(default)]
    message: String,
}

/// Reads an answer.
pub(super) fn dialect(response: &Response<Bytes>) -> Option<Refusal> {
    let plain = Refusal::of_status(response.status(), response.headers())?;
    let plain = match response.status().as_u16() {
        429 if crate::api::retry_after(response.headers()).is_none() => {
            plain.with_retry(Retry::After(LIMIT_WAIT))
        }
        _ => plain,
    };
    // A gateway's answer is a page for people.
    let Ok(Refused { id, message }) = serde_json::from_slice(response.body()) else {
        return Some(plain);
    };
    let refusal = match response.status().as_u16() {
        401 => plain
            .with_retry(Retry::Never)
            .with_hint("the token is unknown or expired: make a new one in the control panel"),
        403 => plain.with_retry(Retry::Never).with_hint(
            "the token may not do this: make one that may read and write droplets, volumes and tags",
        ),
        409 | 422 => of_sentence(plain, &message),
        _ => plain,
    };
    Some(refusal.with_code(id).with_sentence(message))
}

/// What a sentence says of an order that was understood and not taken.
fn of_sentence(refusal: Refusal, message: &str) -> Refusal {
    let message = message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    if says("pending event") {
        return refusal
            .with_kind(ErrorKind::Conflict)
            .with_retry(Retry::After(LOCK_WAIT))
            .with_hint("another action runs on it: it is tried again");
    }
    if says("exceed") && says("limit") {
        return refusal
            .with_kind(ErrorKind::QuotaExceeded)
            .with_retry(Retry::Never)
            .with_hint("delete something, or ask for a higher limit in the control panel");
    }
    if says("already exists") {
        return refusal.with_kind(ErrorKind::AlreadyExists).with_retry(Retry::Never);
    }
    // Of an image it is said, too, and no other region helps a mistake.
    let gone = says("not available") || says("unavailable");
    if gone && (says("region") || says("size")) && !says("image") {
        return refusal
            .with_kind(ErrorKind::CapacityUnavailable)
            .with_retry(Retry::After(STOCK_WAIT))
            .with_hint("it is sold out there: allow another region, or wait");
    }
    refusal
}

/// Returns whether another action runs on what was to be changed.
pub(super) fn is_locked(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.provider_code() == Some(UNPROCESSABLE)
}
