//! How Cloudflare refuses. Its codes say what is meant; the sentences beside them change over the
//! years, and a status alone says too little.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use sam_core::{ErrorKind, Retry};
use serde::Deserialize;

use crate::api::{Refusal, retry_after};

/// Cloudflare's codes that mean more than their status.
pub(super) mod code {
    pub(crate) const TOKEN_UNKNOWN: u32 = 1_000;
    pub(crate) const NOT_VALID: u32 = 1_004;
    pub(crate) const BAD_HEADERS: u32 = 6_003;
    pub(crate) const NO_ROUTE: u32 = 7_003;
    pub(crate) const NO_SUCH_URI: u32 = 7_000;
    pub(crate) const NOT_PERMITTED: u32 = 9_109;
    pub(crate) const NOT_AUTHENTICATED: u32 = 10_000;
    pub(crate) const THROTTLED: u32 = 971;
    pub(crate) const RECORD_ABSENT: u32 = 81_044;
    pub(crate) const TOO_MANY_RECORDS: u32 = 81_045;
    pub(crate) const HOST_TAKEN: u32 = 81_053;
    pub(crate) const ALIAS_TAKEN: u32 = 81_054;
    pub(crate) const RECORD_EXISTS: u32 = 81_057;
    pub(crate) const RECORD_IDENTICAL: u32 = 81_058;
}

/// How long everything is refused once the limit is met, where the answer does not say.
const THROTTLED_FOR: Duration = Duration::from_mins(5);
/// Most reasons behind a code that are told.
const REASONS_MAX: usize = 5;

#[derive(Deserialize)]
struct Refused {
    success: Option<bool>,
    #[serde(default)]
    errors: Vec<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    code: Option<u32>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_chain: Vec<Self>,
}

/// Reads an answer as Cloudflare means it: `success` decides, whatever the status.
pub(super) fn dialect(response: &Response<Bytes>) -> Option<Refusal> {
    let refused: Option<Refused> = serde_json::from_slice(response.body()).ok();
    let of_status = Refusal::of_status(response.status(), response.headers());
    let Some(refused) = refused else { return of_status };
    if of_status.is_none() && refused.success != Some(false) {
        return None;
    }
    // A refusal in a good answer whose code says nothing: something of theirs went wrong.
    let refusal = of_status.unwrap_or_else(|| Refusal::new(ErrorKind::Unavailable));
    let Some(first) = refused.errors.first() else { return Some(refusal) };
    let refusal = refusal.with_sentence(sentence(first));
    let Some(code) = first.code else { return Some(refusal) };
    let mut refusal = refusal.with_code(code.to_string());
    if let Some(kind) = kind(code) {
        refusal = refusal.with_kind(kind);
        if kind == ErrorKind::RateLimited {
            refusal = refusal.with_retry(Retry::After(throttled_for(response.headers())));
        }
    }
    Some(match hint(first) {
        Some(hint) => refusal.with_hint(hint),
        None => refusal,
    })
}

/// What a code means; `None` where the status says it.
fn kind(code: u32) -> Option<ErrorKind> {
    Some(match code {
        code::RECORD_EXISTS | code::RECORD_IDENTICAL => ErrorKind::AlreadyExists,
        code::HOST_TAKEN | code::ALIAS_TAKEN => ErrorKind::Conflict,
        code::RECORD_ABSENT | code::NO_ROUTE | code::NO_SUCH_URI => ErrorKind::NotFound,
        code::TOO_MANY_RECORDS => ErrorKind::QuotaExceeded,
        code::NOT_VALID => ErrorKind::BadInput,
        code::BAD_HEADERS | code::TOKEN_UNKNOWN => ErrorKind::Unauthenticated,
        code::NOT_PERMITTED | code::NOT_AUTHENTICATED => ErrorKind::Denied,
        code::THROTTLED => ErrorKind::RateLimited,
        _ => return None,
    })
}

fn hint(error: &WireError) -> Option<&'static str> {
    Some(match error.code? {
        code::BAD_HEADERS => {
            "check CF_API_TOKEN: it is an API token, whole, and not the global key"
        }
        code::TOKEN_UNKNOWN => {
            "check CF_API_TOKEN; a token that belongs to an account needs the account's id, too"
        }
        code::NOT_PERMITTED | code::NOT_AUTHENTICATED => {
            "give the token Zone / DNS / Edit and Zone / Zone / Read for this zone"
        }
        code::NO_ROUTE | code::NO_SUCH_URI => "check the zone's id (CF_ZONE_ID)",
        code::TOO_MANY_RECORDS => "delete records of this zone, or take a larger plan",
        code::HOST_TAKEN | code::ALIAS_TAKEN => {
            "delete the other record first: a CNAME stands alone"
        }
        _ => return None,
    })
}

/// The sentence of an error with the reasons behind it, where the real one often stands.
fn sentence(error: &WireError) -> String {
    let mut sentence = error.message.clone();
    for reason in error.error_chain.iter().take(REASONS_MAX) {
        // Writing to a text never fails.
        let _written = match reason.code {
            Some(code) => write!(sentence, "; {code} {}", reason.message),
            None => write!(sentence, "; {}", reason.message),
        };
    }
    sentence
}

/// The wait that an answer asks for, in either of its headers.
fn throttled_for(headers: &HeaderMap) -> Duration {
    let draft = || {
        let text = headers.get("ratelimit")?.to_str().ok()?;
        let seconds = text.split(';').find_map(|part| part.trim().strip_prefix("t="))?;
        seconds.parse().ok().map(Duration::from_secs)
    };
    retry_after(headers).or_else(draft).unwrap_or(THROTTLED_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_read_from_either_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(throttled_for(&headers), THROTTLED_FOR);
        headers.insert("ratelimit", "\"default\";r=0;t=271".parse().unwrap());
        assert_eq!(throttled_for(&headers), Duration::from_secs(271));
        headers.insert("retry-after", "7".parse().unwrap());
        assert_eq!(throttled_for(&headers), Duration::from_secs(7));
    }

    #[test]
    fn an_answer_without_success_is_good_when_its_status_is() {
        let answer = |status: u16, body: &'static str| {
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            dialect(&response).is_some()
        };
        assert!(!answer(200, "{\"result\":{\"id\":\"1\"}}"));
        assert!(!answer(200, "{\"success\":true,\"result\":null}"));
        assert!(answer(200, "{\"success\":false,\"errors\":[],\"result\":null}"));
        assert!(answer(200, "{\"success\":false,\"errors\":[{\"message\":\"no code\"}]}"));
        assert!(answer(502, "<html>"));
    }
}
