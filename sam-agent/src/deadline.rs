//! The one place where the agent waits for time to pass: deadlines of sockets and pauses between
//! attempts. What is stored or decided uses `sam_core::time::Clock` instead.

use std::time::Duration;

use tokio::time::error::Elapsed;

/// Completes after a span.
#[expect(clippy::disallowed_methods, reason = "this is the module that wraps it")]
pub(crate) async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Gives a future a span to complete in, and drops it when that is over.
#[expect(clippy::disallowed_methods, reason = "this is the module that wraps it")]
pub(crate) async fn within<T>(
    span: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::time::timeout(span, future).await
}
