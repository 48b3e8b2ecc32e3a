//! Deadlines of sockets and processes. Nothing else in this crate names tokio's timers, so that
//! every wait can be found in one place.

use std::time::Duration;

use tokio::time::error::Elapsed;

/// Completes after `span`.
#[expect(clippy::disallowed_methods, reason = "this module is the place for it")]
#[cfg(feature = "node")]
pub(crate) async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Waits for the future, but not longer than `span`.
///
/// # Errors
/// When `span` passed first; the future is dropped then.
#[expect(clippy::disallowed_methods, reason = "this module is the place for it")]
pub(crate) async fn within<F: Future>(span: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(span, future).await
}
