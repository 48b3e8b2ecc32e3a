//! Running a future to its end, and the signals that ask for it.

use sam_core::{Error, ErrorKind, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a future on a runtime of its own with two worker threads: the work waits for the store
/// and for sockets, not for processors.
///
/// # Errors
/// Those of the future; `Unavailable` when no runtime can be had.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the runtime cannot be started").with_source(error)
        })?;
    runtime.block_on(work)
}

/// Completes at SIGTERM or SIGINT.
pub async fn ended() {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
