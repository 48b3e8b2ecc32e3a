//! What every adapter of a vendor's HTTP interface shares: one request with a credential, one answer or
//! one error.
//!
//! An adapter says how its vendor refuses (a dialect); what is the same at all of them is here: the
//! credential that is never shown, effects that are in doubt, limits that are kept, answers that are no
//! JSON. Nothing is tried again here: the layers and the engine do that, who know what an effect allows.
//!
//! Invariants:
//! - An error is `NotApplied` only where that is sure: a refusal, or a call that only looks.
//! - After a limit was announced nothing is sent until it has passed.
//! - Neither a credential nor a body is in an error.

mod base_url;
mod call;
mod looks;
mod refusal;
mod tags;
mod user_data;
mod words;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use sam_core::http::HttpTransport;
use sam_core::time::Clock;
use sam_core::{Effect, Error, ErrorKind, Result, Retry, Secret};
use serde::de::DeserializeOwned;

pub use self::base_url::BaseUrl;
pub(crate) use self::call::{Call, segment};
pub(crate) use self::looks::{Looks, Pace};
pub(crate) use self::refusal::{Refusal, retry_after};
pub(crate) use self::tags::{
    KEY_LABEL, Tags, has_plain_ends, key_of, labels_of, machine_key, tags, taken,
};
pub use self::user_data::UserData;
pub(crate) use self::words::{micros, nearest};

/// Longest time that an announced limit is kept; a vendor that says more is asked again after this.
const HOLD_MAX: Duration = Duration::from_mins(10);

/// Reads an answer as its vendor means it: `None` where it is good, whatever its status.
pub(crate) type Dialect = fn(&Response<Bytes>) -> Option<Refusal>;

/// One vendor's interface, as one account sees it.
pub(crate) struct Api {
    vendor: &'static str,
    base: BaseUrl,
    http: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    credential: Credential,
    dialect: Dialect,
    /// Until when nothing is sent, on the clock's monotonic time.
    held_until: Mutex<Duration>,
}

/// How a request proves whom it is from.
pub(crate) struct Credential {
    header: HeaderName,
    value: Secret<String>,
    secret: Secret<String>,
}

impl Credential {
    /// A token in the usual header.
    pub(crate) fn bearer(token: &Secret<String>) -> Self {
        let value = Secret::new(format!("Bearer {}", token.expose().trim()));
        Self::new(http::header::AUTHORIZATION, value, token)
    }

    fn new(header: HeaderName, value: Secret<String>, token: &Secret<String>) -> Self {
        Self { header, value, secret: Secret::new(token.expose().trim().to_owned()) }
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    vendor: &'static str,
    operation: &'static str,
    effect: Effect,
    /// What came, whole.
    pub(crate) response: Response<Bytes>,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// `Corrupt` when it is something else; what was asked for has happened all the same.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        // The cause is not kept: it quotes the body, and a body may hold a secret.
        serde_json::from_slice(self.response.body()).map_err(|error| {
            let message = format!("the answer of {} cannot be read", self.vendor);
            Error::new(ErrorKind::Corrupt, message)
                .with_operation(self.operation)
                .with_effect(self.effect)
                .with_context("line", error.line())
                .with_context("column", error.column())
        })
    }
}

impl Api {
    pub(crate) fn new(
        vendor: &'static str,
        base: BaseUrl,
        credential: Credential,
        dialect: Dialect,
        outside: Outside,
    ) -> Self {
        let Outside { http, clock } = outside;
        let held_until = Mutex::new(Duration::ZERO);
        Self { vendor, base, http, clock, credential, dialect, held_until }
    }

    /// Returns the clock, for waits between looks.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends a call.
    ///
    /// # Errors
    /// What the dialect makes of a refusal; `RateLimited` without anything sent while a limit lasts;
    /// `Unavailable`, `Timeout` or `Corrupt` of the transport.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer> {
        self.check_hold(call)?;
        let request = self.request(call)?;
        let response = self.http.send(request).await.map_err(|error| {
            // What only looks was not applied, whatever became of the answer.
            let effect = if call.only_looks() { Effect::NotApplied } else { error.effect() };
            error.with_operation(call.operation).with_effect(effect)
        })?;
        match (self.dialect)(&response) {
            None => Ok(Answer {
                vendor: self.vendor,
                operation: call.operation,
                effect: if call.only_looks() { Effect::NotApplied } else { Effect::Unknown },
                response,
            }),
            Some(refusal) => {
                let secret = &self.credential.secret;
                let error = refusal.into_error(self.vendor, call, response.status(), secret);
                if let (ErrorKind::RateLimited, Retry::After(wait)) = (error.kind(), error.retry())
                {
                    self.hold(wait);
                }
                Err(error)
            }
        }
    }

    fn request(&self, call: &Call) -> Result<http::Request<Bytes>> {
        let unsendable = || {
            Error::new(ErrorKind::BadInput, "the request holds something that HTTP cannot carry")
                .with_operation(call.operation)
        };
        let mut value =
            HeaderValue::from_str(self.credential.value.expose()).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.base, call.target))
            .header(ACCEPT, "application/json")
            .header(self.credential.header.clone(), value);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(call.body.clone()).map_err(|_| unsendable())
    }

    fn check_hold(&self, call: &Call) -> Result<()> {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_sub(self.clock.monotonic());
        if left.is_zero() {
            return Ok(());
        }
        let message = format!("{} has asked to wait, so nothing was sent", self.vendor);
        Err(Error::new(ErrorKind::RateLimited, message)
            .with_operation(call.operation)
            .with_retry(Retry::After(left)))
    }

    fn hold(&self, wait: Duration) {
        let until = self.clock.monotonic().saturating_add(wait.min(HOLD_MAX));
        let mut held = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = until.max(*held);
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("vendor", &self.vendor)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// What an adapter needs from outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outside {
    /// Sends its requests.
    pub http: Arc<dyn HttpTransport>,
    /// Tells when a limit has passed, and waits between two looks.
    pub clock: Arc<dyn Clock>,
}

impl Outside {
    /// Hands an adapter a transport and a clock.
    pub const fn new(http: Arc<dyn HttpTransport>, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock }
    }
}

#[cfg(test)]
mod tests;
