//! When a limit ends. DigitalOcean says either for how long to wait or, of the limit of an hour, at what
//! time; what shares this interface's answers reads only the former, and has no clock.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use sam_core::Result;
use sam_core::http::HttpTransport;
use sam_core::time::Clock;

use crate::api::Outside;

/// The header of the time, in seconds since 1970.
const RESET: &str = "ratelimit-reset";

/// A transport that turns the time at which a limit ends into a wait.
#[derive(Debug)]
pub(super) struct Resets {
    http: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
}

impl Resets {
    pub(super) fn around(outside: Outside) -> Outside {
        let Outside { http, clock } = outside;
        Outside::new(Arc::new(Self { http, clock: Arc::clone(&clock) }), clock)
    }

    /// Returns the wait, at least a second.
    fn wait(&self, response: &Response<Bytes>) -> Option<u64> {
        let reset: u64 = response.headers().get(RESET)?.to_str().ok()?.trim().parse().ok()?;
        Some(reset.saturating_sub(self.clock.now().as_secs_unsigned()).max(1))
    }
}

#[async_trait]
impl HttpTransport for Resets {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let mut response = self.http.send(request).await?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && !response.headers().contains_key(RETRY_AFTER)
            && let Some(wait) = self.wait(&response)
        {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        Ok(response)
    }
}
