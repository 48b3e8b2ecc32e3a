//! Waiting for things that have no stream of events of their own.

use std::time::Duration;

use sam_core::{Error, ErrorKind, Result};

use crate::deadline;
use crate::failure::Failure;
use crate::signals::Signals;

/// First pause between two looks; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How waiting ended.
pub(super) enum Waited<T> {
    /// By a signal.
    Interrupted(u8),
    /// With what was waited for.
    Over(T),
}

/// Looks until there is what is waited for. A server that cannot be reached for a moment is asked
/// again.
///
/// # Errors
/// `Timeout` after 30 minutes; what a look says.
pub(super) async fn until<T>(
    look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<Waited<T>, Failure> {
    let mut signals = Signals::listen()?;
    let waiting = deadline::within(deadline::OPERATION, looking(look));
    tokio::select! {
        biased;
        signal = signals.next() => Ok(Waited::Interrupted(signal)),
        found = waiting => {
            let late = || {
                Error::new(ErrorKind::Timeout, "it is not done after 30 minutes; it goes on without us")
            };
            Ok(Waited::Over(found.ok_or_else(late)??))
        }
    }
}

async fn looking<T>(mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {}
            Err(error) => return Err(error),
        }
        deadline::pause(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
