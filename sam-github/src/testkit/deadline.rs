//! The one place where this crate waits by a runtime's clock: ends for sockets and child processes
//! of the fake.

use std::time::Duration;

use sam_core::{Effect, Error, ErrorKind, Result};

/// Longest time for one exchange.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// Ends what takes too long.
#[expect(clippy::disallowed_methods, reason = "this is the module for it")]
pub(super) async fn bounded<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(EXCHANGE_MAX, work).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, "no answer in 30 s").with_effect(Effect::Unknown)
    })
}
