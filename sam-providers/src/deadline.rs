//! The one place of this crate that waits for time to pass. Every wait has an end that was fixed
//! before it began.

#[cfg(any(feature = "postgres", feature = "system"))]
use std::time::Instant;

/// Completes at the given moment, at once when it has passed.
#[cfg(any(feature = "postgres", feature = "system"))]
#[expect(clippy::disallowed_methods, reason = "this is the module the rule points to")]
pub(crate) async fn sleep_until(moment: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(moment)).await;
}

/// Waits for something no longer than `span`; `None` when that was too short.
#[cfg(any(feature = "docker", feature = "postgres", feature = "rfc2136", feature = "testkit"))]
#[expect(clippy::disallowed_methods, reason = "this is the module the rule points to")]
pub(crate) async fn within<T>(
    span: std::time::Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::time::timeout(span, work).await.ok()
}

/// The end of a bounded wait that looks again and again.
#[cfg(feature = "process")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

#[cfg(feature = "process")]
impl Deadline {
    /// Lies `span` ahead.
    pub(crate) fn after(span: std::time::Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// Returns whether it has passed.
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }

    /// Waits for `span`, but not beyond the deadline.
    pub(crate) async fn pause(self, span: std::time::Duration) {
        sleep_until(self.0.min(Instant::now() + span)).await;
    }
}
