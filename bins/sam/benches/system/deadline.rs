//! Every wait of the measurements, in one place.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Waits.
pub(crate) async fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the bench's deadline module")]
    tokio::time::sleep(span).await;
}

/// Runs a future for at most `span`; what it was is named in the error.
pub(crate) async fn within<T>(
    span: Duration,
    what: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the bench's deadline module")]
    let outcome = tokio::time::timeout(span, future).await;
    outcome.with_context(|| format!("{what} took longer than {} s", span.as_secs()))?
}
