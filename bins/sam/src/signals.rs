//! The signals a person or a system sends to end things.

use tokio::signal::unix::{Signal, SignalKind, signal};

use sam_core::Result;

use crate::failure::system;

/// Listens for SIGHUP, SIGINT, SIGQUIT and SIGTERM. From then on they end nothing by themselves:
/// every wait has to look here.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let open = |kind| signal(kind).map_err(|cause| system("signals cannot be received", cause));
        Ok(Self {
            hangup: open(SignalKind::hangup())?,
            interrupt: open(SignalKind::interrupt())?,
            quit: open(SignalKind::quit())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// Returns the number of the next signal. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => 15,
            Some(()) = self.hangup.recv() => 1,
            Some(()) = self.quit.recv() => 3,
            Some(()) = self.interrupt.recv() => 2,
            // The runtime ends: nothing will be received any more.
            else => std::future::pending().await,
        }
    }
}

/// Returns the exit status that tells of a signal.
pub(crate) const fn status(signal: u8) -> u8 {
    signal.saturating_add(128)
}
