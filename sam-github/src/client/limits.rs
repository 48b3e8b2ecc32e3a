//! GitHub's limits: read from its answers, and kept until they have passed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Retry};

use super::seconds;

/// How long to wait after a secondary limit that names no time, and after each further one twice as
/// long: GitHub asks for a minute at least.
const SECONDARY_PAUSE: Duration = Duration::from_mins(1);
/// Longest wait: limits of an hour are GitHub's longest.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// Most credentials whose limits are remembered at once.
const CREDENTIALS_MAX: usize = 4_096;

/// How long an answer asks to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// This long.
    For(Duration),
    /// It does not say: a minute, then longer.
    Growing,
}

/// Returns the pause an answer asks for, when it refuses because of a limit. A 403 alone says
/// nothing.
pub(super) fn pause(response: &Response<Bytes>, github_now: Timestamp) -> Option<Pause> {
    let status = response.status();
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let headers = response.headers();
    if let Some(after) = seconds(headers, "retry-after") {
        return Some(Pause::For(after.clamp(Duration::from_secs(1), PAUSE_MAX)));
    }
    if let Some(wait) = exhausted(headers, github_now) {
        return Some(Pause::For(wait));
    }
    let secondary = status == StatusCode::TOO_MANY_REQUESTS
        || super::answer::message(response.body()).is_some_and(|text| text.contains("rate limit"));
    secondary.then_some(Pause::Growing)
}

/// Returns how long nothing is left, when an answer says that this was the last of so many. It may
/// say so of one that passed, too.
pub(super) fn exhausted(headers: &http::HeaderMap, github_now: Timestamp) -> Option<Duration> {
    let remaining = headers.get("x-ratelimit-remaining").map(http::HeaderValue::as_bytes);
    if remaining != Some(b"0") {
        return None;
    }
    let reset = seconds(headers, "x-ratelimit-reset").unwrap_or_default();
    let wait = Timestamp::EPOCH.plus(reset).since(github_now);
    // The second that has begun is part of it.
    Some(wait.saturating_add(Duration::from_secs(1)).min(PAUSE_MAX))
}

/// Whose calls have to wait, and until when.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Arc<str>, Limit>);

#[derive(Debug)]
struct Limit {
    until: Duration,
    strikes: u32,
}

impl Limits {
    /// Refuses a call that has to wait.
    pub(super) fn check(
        &self,
        who: &Arc<str>,
        now: Duration,
        operation: &'static str,
    ) -> Result<()> {
        let left = self.0.get(who).map_or(Duration::ZERO, |limit| limit.until.saturating_sub(now));
        if left.is_zero() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::RateLimited, "GitHub has asked to wait, so nothing was sent")
            .with_operation(operation)
            .with_retry(Retry::After(left)))
    }

    /// Notes a pause and returns how long it is.
    pub(super) fn hit(&mut self, who: &Arc<str>, pause: Pause, now: Duration) -> Duration {
        if self.0.len() >= CREDENTIALS_MAX {
            self.0.retain(|_, limit| limit.until > now);
        }
        if self.0.len() >= CREDENTIALS_MAX {
            self.0.pop_first();
        }
        let limit = self.0.entry(Arc::clone(who)).or_insert(Limit { until: now, strikes: 0 });
        let wait = match pause {
            Pause::For(wait) => wait,
            Pause::Growing => {
                let factor = 1_u32.checked_shl(limit.strikes.min(16)).unwrap_or(u32::MAX);
                SECONDARY_PAUSE.saturating_mul(factor).min(PAUSE_MAX)
            }
        };
        limit.strikes = limit.strikes.saturating_add(1);
        limit.until = limit.until.max(now.saturating_add(wait));
        limit.until.saturating_sub(now)
    }

    /// Forgets the pauses of a credential whose call passed, unless one is under way: then the call
    /// was sent before it.
    pub(super) fn passed(&mut self, who: &Arc<str>, now: Duration) {
        if self.0.get(who).is_some_and(|limit| limit.until <= now) {
            self.0.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &str)], message: &str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::from(format!("{{\"message\":\"{message}\"}}"))).unwrap()
    }

    #[test]
    fn each_form_of_limit_is_told_from_a_refusal() {
        let now = Timestamp::from_micros(1_000_000_000);
        let secs = |secs| Some(Pause::For(Duration::from_secs(secs)));
        for (status, headers, message, expected) in [
            (403, &[("retry-after", "7")][..], "", secs(7)),
            (429, &[("retry-after", "7")], "", secs(7)),
            (403, &[("retry-after", "0")], "", secs(1)),
            (403, &[("retry-after", "999999")], "", secs(3_600)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1060")], "", secs(61)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "", secs(1)),
            (
                403,
                &[("x-ratelimit-remaining", "9")],
                "a secondary rate limit",
                Some(Pause::Growing),
            ),
            (429, &[], "", Some(Pause::Growing)),
            (403, &[("x-ratelimit-remaining", "9")], "Resource not accessible", None),
            (404, &[("retry-after", "7")], "", None),
        ] {
            let found = pause(&response(status, headers, message), now);
            assert_eq!(found, expected, "{status} {headers:?} {message}");
        }
    }

    #[test]
    fn unnamed_pauses_double_and_a_call_that_passes_ends_them() {
        let who: Arc<str> = "app".into();
        let mut limits = Limits::default();
        let mut now = Duration::ZERO;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = limits.hit(&who, Pause::Growing, now);
            assert_eq!(wait, Duration::from_mins(minutes));
            let error = limits.check(&who, now, "x").unwrap_err();
            assert_eq!(error.retry(), Retry::After(wait));
            limits.check(&"other".into(), now, "x").unwrap();
            now += wait;
            limits.check(&who, now, "x").unwrap();
        }
        limits.passed(&who, now);
        assert_eq!(limits.hit(&who, Pause::Growing, now), Duration::from_mins(1));
        // One that was sent before the limit and passes after it changes nothing.
        limits.passed(&who, now);
        limits.check(&who, now, "x").unwrap_err();
    }
}
