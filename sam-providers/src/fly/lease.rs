//! Leases: a machine is changed by one side at a time.

use http::Method;
use sam_core::{Effect, Error, ErrorKind, Result};
use serde_json::json;

use super::FlyCompute;
use super::wire::Lease;
use crate::api::{Answer, Call};

/// How long a lease lasts that nobody gives back: a call that is cut off leaves one behind, and the
/// next one waits for its end, within its own 20 s.
const LEASE_SECONDS: u32 = 15;

/// The header that shows a lease.
const NONCE: &str = "fly-machine-lease-nonce";

/// What becomes of a lease when the change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The machine is gone, and its lease with it.
    Gone,
    Release,
}

impl FlyCompute {
    /// Makes one change of a machine under its lease.
    ///
    /// # Errors
    /// One that [`is_busy`] while somebody else changes it, or it is on its way between two states: look
    /// again, for the change may be made by then. What the change itself is refused with.
    pub(super) async fn change(&self, machine: &str, call: Call, after: After) -> Result<Answer> {
        let operation = call.operation;
        let path = self.machine_path(machine, "/lease");
        let body = json!({ "description": "sam", "ttl": LEASE_SECONDS });
        let take = Call::new(operation, Method::POST, path.clone()).with_body(&body);
        // A lease whose answer is lost ends by itself, and nothing else has happened.
        let harmless = |error: Error| error.with_effect(Effect::NotApplied);
        let lease: Lease = self.send(take).await.map_err(harmless)?.read().map_err(harmless)?;
        let nonce = lease.into_nonce();
        let done = self.send(call.with_header(NONCE, nonce.clone())).await;
        if after == After::Release || done.is_err() {
            let release = Call::new(operation, Method::DELETE, path).with_header(NONCE, nonce);
            // One that cannot be given back ends by itself.
            let _released = self.send(release).await;
        }
        done
    }
}

/// Returns whether a change was refused for the moment only.
pub(super) fn is_busy(error: &Error) -> bool {
    [ErrorKind::Conflict, ErrorKind::RateLimited].contains(&error.kind())
        && error.effect() == Effect::NotApplied
}
