//! One span per call, with what came of it. No argument is in it, so no secret can be.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::{Call, Layer};
use crate::error::Result;
use crate::time::Clock;

/// Opens a span `effect` around each call, with the fields `provider`, `operation`, `duration_ms`,
/// `outcome` (`ok` or the error's kind) and, on failure, `effect` and `provider_code`. An error's
/// text is logged once, by who handles it.
#[derive(Debug)]
pub struct Trace {
    clock: Arc<dyn Clock>,
}

impl Trace {
    /// Makes the layer; durations are those of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Layer for Trace {
    async fn around<'a, T, A>(
        &'a self,
        provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> Result<T>
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    {
        let span = tracing::debug_span!(
            "effect",
            %provider,
            operation = call.operation,
            duration_ms = Empty,
            outcome = Empty,
            effect = Empty,
            provider_code = Empty,
        );
        let begun = self.clock.monotonic();
        let result = attempt().instrument(span.clone()).await;
        let duration = self.clock.monotonic().saturating_sub(begun);
        span.record("duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        match &result {
            Ok(_) => span.record("outcome", "ok"),
            Err(error) => {
                span.record("outcome", error.kind().code());
                span.record("effect", tracing::field::debug(error.effect()));
                span.record("provider_code", error.provider_code())
            }
        };
        span.in_scope(|| tracing::debug!("called"));
        result
    }
}
