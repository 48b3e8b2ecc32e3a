//! Bounds how many calls are under way at once.

use std::fmt;

use futures_util::future::BoxFuture;

use super::{Call, Layer};
use crate::error::{Error, ErrorKind, Result};
use crate::permits::Permits;

/// Lets a bounded number of calls through at once; the others wait in the order they came.
#[derive(Debug)]
pub struct Limited(Permits);

impl Limited {
    /// Most callers that wait; one more is refused with `Unavailable`.
    pub const WAITING_MAX: usize = 4_096;

    /// Lets `calls` through at once, at least one.
    pub fn new(calls: usize) -> Self {
        Self(Permits::new(calls, Self::WAITING_MAX))
    }
}

impl Layer for Limited {
    async fn around<'a, T, A>(
        &'a self,
        _provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> Result<T>
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    {
        let permit = self.0.acquire().await.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "too many calls wait for the provider")
                .with_hint("lower the engine's concurrency")
                .with_operation(call.operation)
        })?;
        let result = attempt().await;
        drop(permit);
        result
    }
}
