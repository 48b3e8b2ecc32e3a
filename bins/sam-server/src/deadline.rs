//! Waiting by the runtime's clock: for sockets and shutdown, never for anything stored.

use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "the one place of this crate that waits")]
pub(crate) async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Runs `work` for at most `span`; `None` when the time was over first.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that waits")]
pub(crate) async fn within<T>(span: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(span, work).await.ok()
}
