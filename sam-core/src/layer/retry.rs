//! Tries again what may work the next time, a few times, with growing and scattered pauses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Call, Layer, Repeat};
use crate::entropy::Entropy;
use crate::error::{Effect, Error, Result, Retry};
use crate::time::Clock;

/// How often and with which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, 1 to [`RetryPolicy::ATTEMPTS_MAX`].
    pub attempts: u32,
    /// Upper bound of the first pause; it doubles with each attempt.
    pub pause_first: Duration,
    /// Upper bound of every pause. Where the other side asks for a longer one, the layer gives up
    /// at once: such a wait belongs in a record, not in a call.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// Most attempts of one call.
    pub const ATTEMPTS_MAX: u32 = 10;
}

impl Default for RetryPolicy {
    /// Three attempts within a few seconds: enough for a dropped connection; the engine sees to
    /// everything longer.
    fn default() -> Self {
        Self {
            attempts: 3,
            pause_first: Duration::from_millis(250),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Sets how many attempts there are in all.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.clamp(1, Self::ATTEMPTS_MAX);
        self
    }

    /// Returns the upper bound of the pause after the `attempt`-th attempt, counted from 1.
    fn pause_bound(&self, attempt: u32) -> Duration {
        let doubled = self.pause_first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(self.pause_max)
    }
}

/// Repeats failed calls.
///
/// A call is repeated only when its error says that trying again can help, and the failed attempt
/// has done nothing or the call is repeatable by contract. The last error comes out marked as
/// exhausted, so that a second such layer further out leaves it alone.
#[derive(Debug)]
pub struct Retrying {
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Retrying {
    /// Makes the layer; pauses are waited on `clock` and scattered by `entropy`.
    pub fn new(policy: RetryPolicy, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { policy, clock, entropy }
    }

    /// Returns the pause before another attempt, or `None` when there shall be none.
    fn pause(&self, call: Call, error: &Error, attempt: u32) -> Option<Duration> {
        let repeatable = match error.effect() {
            Effect::NotApplied => true,
            Effect::Unknown => call.repeat != Repeat::Never,
        };
        if !repeatable || error.retries_exhausted() || attempt >= self.policy.attempts {
            return None;
        }
        match error.retry() {
            Retry::Never => None,
            Retry::After(span) => (span <= self.policy.pause_max).then_some(span),
            Retry::Backoff => Some(self.scattered(self.policy.pause_bound(attempt))),
        }
    }

    /// Picks a pause between half the bound and the bound: callers that failed together do not
    /// come back together, and nobody comes back at once.
    fn scattered(&self, bound: Duration) -> Duration {
        let mut byte = [0];
        self.entropy.fill(&mut byte);
        let half = bound / 2;
        half + half * u32::from(byte[0]) / 255
    }
}

impl Layer for Retrying {
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
        let mut made = 0;
        // An earlier attempt that may have acted stays so, whatever the last one says.
        let mut effect = Effect::NotApplied;
        loop {
            made += 1;
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if error.effect() == Effect::Unknown {
                effect = Effect::Unknown;
            }
            let Some(pause) = self.pause(call, &error, made) else {
                let error = error.with_effect(effect);
                // Nothing was repeated where nothing could be: an outer layer may know better.
                return Err(if made > 1 { error.with_exhausted_retries() } else { error });
            };
            tracing::debug!(
                %provider,
                operation = call.operation,
                attempt = made,
                error.kind = error.kind().code(),
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "trying again"
            );
            self.clock.sleep_until(self.clock.monotonic() + pause).await;
        }
    }
}
