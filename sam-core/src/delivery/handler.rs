//! What a host does with deliveries.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::record::DeliveryRecord;
use crate::error::{Error, ErrorKind, Result};

/// Does what a delivery asks for.
///
/// # Contract
/// - **C1** Handling can be repeated: after a crash, or where an answer was lost, the same delivery is
///   handed over once more.
/// - **C2** A payload that is not whole has the essentials only.
/// - **C3** An error whose retry is `Never` ends it: the delivery has failed for good. Every other one is
///   tried again, at most [`DeliveryRecord::ATTEMPTS_MAX`] times in all.
#[async_trait]
pub trait DeliveryHandler: fmt::Debug + Send + Sync + 'static {
    /// Handles a delivery.
    ///
    /// # Errors
    /// Why it could not be handled.
    async fn handle(&self, delivery: &ReceivedDelivery) -> Result<()>;
}

/// A delivery as the handler is given it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedDelivery {
    /// What is known of it.
    pub record: DeliveryRecord,
    /// What it says: all of it, or its essentials; see [`DeliveryRecord::is_whole`].
    pub payload: String,
}

impl ReceivedDelivery {
    /// Puts one together.
    pub const fn new(record: DeliveryRecord, payload: String) -> Self {
        Self { record, payload }
    }
}

/// Payloads hold names and messages of private repositories: only the length is shown.
impl fmt::Debug for ReceivedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedDelivery")
            .field("id", &self.record.id)
            .field("event", &self.record.event)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Remembers what it was handed, and fails when told to: for tests and trying things out.
#[derive(Debug, Default)]
pub struct MemoryDeliveries {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    handled: Vec<ReceivedDelivery>,
    failures: Vec<ErrorKind>,
}

impl MemoryDeliveries {
    /// Makes one that handles everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the next handlings fail so, one after the other.
    pub fn fail_next(&self, failures: impl IntoIterator<Item = ErrorKind>) {
        let mut state = self.lock();
        state.failures.extend(failures);
    }

    /// Returns what it was handed, oldest first, those that failed included.
    pub fn handled(&self) -> Vec<ReceivedDelivery> {
        self.lock().handled.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl DeliveryHandler for MemoryDeliveries {
    async fn handle(&self, delivery: &ReceivedDelivery) -> Result<()> {
        let mut state = self.lock();
        state.handled.push(delivery.clone());
        if state.failures.is_empty() {
            return Ok(());
        }
        Err(Error::new(state.failures.remove(0), "it was told to fail"))
    }
}
