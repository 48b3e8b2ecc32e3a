//! Gives up on an attempt that takes too long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};

use super::{Call, Layer, Repeat};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::time::Clock;

/// Ends calls after a span. A change that was broken off may have happened: its error has effect
/// *unknown*.
#[derive(Debug)]
pub struct TimeLimited {
    span: Duration,
    clock: Arc<dyn Clock>,
}

impl TimeLimited {
    /// Gives each attempt this long.
    pub fn new(span: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { span, clock }
    }
}

impl Layer for TimeLimited {
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
        let deadline = self.clock.monotonic() + self.span;
        // The attempt is asked first: one that is done at its deadline is done.
        match select(attempt(), self.clock.sleep_until(deadline)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let effect = match call.repeat {
                    Repeat::Reads => Effect::NotApplied,
                    Repeat::Never | Repeat::Safe => Effect::Unknown,
                };
                Err(Error::new(
                    ErrorKind::Timeout,
                    format!("the provider {provider} did not answer within {:?}", self.span),
                )
                .with_operation(call.operation)
                .with_effect(effect)
                .with_hint("look at the provider's status page; SAM tries again by itself"))
            }
        }
    }
}
