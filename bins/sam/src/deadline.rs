//! Every wait of the command line, in one place.

use std::time::Duration;

/// Longest start of a daemon.
pub(crate) const DAEMON_START: Duration = Duration::from_secs(15);
/// How long a daemon that has the directory may take to answer before another start is tried.
pub(crate) const DAEMON_ANSWER: Duration = Duration::from_secs(2);
/// Longest end of a daemon.
pub(crate) const DAEMON_STOP: Duration = Duration::from_secs(30);
/// Longest wait for a workspace to become what was asked for.
pub(crate) const WORKSPACE: Duration = Duration::from_mins(30);
/// Longest wait for a node or an orphan to be gone, or a sweep to be made.
pub(crate) const OPERATION: Duration = Duration::from_mins(30);
/// How often a workspace is read although no event came.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Longest time a terminal may be out of reach before its client gives up.
pub(crate) const REATTACH: Duration = Duration::from_mins(1);
/// Longest run of git on a repository of this machine.
pub(crate) const GIT: Duration = Duration::from_secs(20);
/// Longest wait, after a signal, for the answer to a request that is on its way.
pub(crate) const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Longest wait for a person to agree to a sign-in; servers give less.
pub(crate) const SIGN_IN: Duration = Duration::from_mins(20);

/// Waits.
pub(crate) async fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the crate's deadline module")]
    tokio::time::sleep(span).await;
}

/// Runs a future for at most `span`; `None` when it was not done by then.
pub(crate) async fn within<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    #[expect(clippy::disallowed_methods, reason = "this is the crate's deadline module")]
    tokio::time::timeout(span, future).await.ok()
}
