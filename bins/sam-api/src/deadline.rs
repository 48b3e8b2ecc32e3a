//! Every wait of the client, in one place.

use std::time::Duration;

/// Longest time to connect.
pub const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence while an answer is read, and on the event stream, which speaks every 15
/// seconds.
pub const READ: Duration = Duration::from_secs(45);
/// Longest time of one call with its answer.
pub const TOTAL: Duration = Duration::from_mins(1);
/// Silence after which the kernel asks whether a peer is there.
pub const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
/// Pause between two such questions.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// Questions without an answer that end a connection.
pub const KEEP_ALIVE_PROBES: u32 = 3;
/// Silence on a terminal after which the client asks whether the other side is there.
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// Silence after that question which ends the connection.
pub const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Waits.
pub async fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the crate's deadline module")]
    tokio::time::sleep(span).await;
}

/// Runs a future for at most `span`; `None` when it was not done by then.
pub async fn within<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    #[expect(clippy::disallowed_methods, reason = "this is the crate's deadline module")]
    tokio::time::timeout(span, future).await.ok()
}
