//! Counts calls and how long they take, and hands both to whoever exports them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Call, Layer};
use crate::error::{ErrorKind, Result};
use crate::time::Clock;

/// Takes measurements.
///
/// # Contract
/// - **C1** `record` returns at once: it waits for nothing and never fails.
/// - **C2** What it keeps is bounded: names of operations and kinds of errors are few and fixed.
pub trait Meter: fmt::Debug + Send + Sync + 'static {
    /// Takes the measurement of one call.
    fn record(&self, measurement: &Measurement);
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<T: Meter + ?Sized> Meter for $pointer {
            fn record(&self, measurement: &Measurement) {
                (**self).record(measurement);
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);

/// One call, measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measurement {
    /// Who was called.
    pub provider: String,
    /// The method.
    pub operation: &'static str,
    /// How long it took, all attempts and pauses included.
    pub duration: Duration,
    /// What it failed with, or `None`.
    pub failure: Option<ErrorKind>,
}

/// Measures each call.
#[derive(Debug)]
pub struct Metered {
    meter: Arc<dyn Meter>,
    clock: Arc<dyn Clock>,
}

impl Metered {
    /// Makes the layer; durations are those of `clock`.
    pub fn new(meter: Arc<dyn Meter>, clock: Arc<dyn Clock>) -> Self {
        Self { meter, clock }
    }
}

impl Layer for Metered {
    async fn around<'a, T, A>(
        &'a self,
        provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> Result<T>
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    {
        let begun = self.clock.monotonic();
        let result = attempt().await;
        self.meter.record(&Measurement {
            provider: provider.to_string(),
            operation: call.operation,
            duration: self.clock.monotonic().saturating_sub(begun),
            failure: result.as_ref().err().map(crate::Error::kind),
        });
        result
    }
}

/// Sums in memory, for tests and small hosts.
#[derive(Debug, Default)]
pub struct MemoryMeter(Mutex<BTreeMap<&'static str, Tally>>);

/// What was measured of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Failures by kind.
    pub failures: BTreeMap<ErrorKind, u64>,
    /// Time of all calls together.
    pub total: Duration,
    /// Time of the slowest.
    pub slowest: Duration,
}

impl MemoryMeter {
    /// Makes a meter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what was measured of an operation so far.
    pub fn tally(&self, operation: &str) -> Tally {
        self.lock().get(operation).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for MemoryMeter {
    fn record(&self, measurement: &Measurement) {
        let mut tallies = self.lock();
        let tally = tallies.entry(measurement.operation).or_default();
        tally.calls += 1;
        tally.total = tally.total.saturating_add(measurement.duration);
        tally.slowest = tally.slowest.max(measurement.duration);
        if let Some(kind) = measurement.failure {
            *tally.failures.entry(kind).or_default() += 1;
        }
    }
}
