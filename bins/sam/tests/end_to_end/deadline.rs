//! Every wait of these tests has an end.

use std::time::{Duration, Instant};

/// Longest run of anything that is not expected to take long. Generous: the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for a future, or fails.
pub(crate) async fn within<F: Future>(what: &str, span: Duration, future: F) -> F::Output {
    let Some(output) = at_most(span, future).await else { panic!("waited in vain: {what}") };
    output
}

/// Waits for a future; `None` when it was not done in time.
pub(crate) async fn at_most<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    #[expect(clippy::disallowed_methods, reason = "this is the tests' deadline module")]
    tokio::time::timeout(span, future).await.ok()
}

pub(crate) async fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the tests' deadline module")]
    tokio::time::sleep(span).await;
}

/// Looks until something is there, or fails.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let Some(found) = until(LIMIT, async || look().await).await else {
        panic!("waited in vain: {what}")
    };
    found
}

/// Looks until something is there; `None` when it did not come in time.
pub(crate) async fn until<T>(
    span: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let begun_at = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if begun_at.elapsed() >= span {
            return None;
        }
        pause(LOOK_AGAIN).await;
    }
}
