//! The one order of layers.

use std::sync::Arc;
use std::time::Duration;

use super::{Guarded, Layered, Limited, Meter, Metered, RetryPolicy, Retrying, TimeLimited, Trace};
use crate::compute::ComputeProvider;
use crate::entropy::Entropy;
use crate::time::Clock;

/// Which layers a provider gets. Tracing, guarding and a deadline are always there; the others are
/// added by name, and the order is always that of [`crate::layer`].
///
/// ```
/// use std::sync::Arc;
/// use sam_core::compute::{ComputeProvider, MemoryCompute};
/// use sam_core::layer::{MemoryMeter, Stack};
/// use sam_core::time::{ManualClock, Timestamp};
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
/// let stack = Stack::new(clock).with_limit(8).with_meter(Arc::new(MemoryMeter::new()));
/// let compute = stack.compute(Arc::new(MemoryCompute::new()));
/// assert_eq!(compute.to_string(), "memory");
/// ```
#[derive(Debug, Clone)]
pub struct Stack {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    limit: Option<usize>,
    meter: Option<Arc<dyn Meter>>,
    retry: Option<(RetryPolicy, Arc<dyn Entropy>)>,
}

impl Stack {
    /// How long one attempt may take unless said otherwise. Cloud calls answer within a few
    /// seconds; the engine renews its lease at a third of it meanwhile, so a longer one is safe.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// Starts with tracing, guarding and a deadline of [`Stack::DEADLINE`] on this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, deadline: Self::DEADLINE, limit: None, meter: None, retry: None }
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub fn with_deadline(mut self, span: Duration) -> Self {
        self.deadline = span;
        self
    }

    /// Bounds how many attempts are under way at once.
    #[must_use]
    pub fn with_limit(mut self, calls: usize) -> Self {
        self.limit = Some(calls);
        self
    }

    /// Measures calls.
    #[must_use]
    pub fn with_meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Repeats failed calls. Needs a clock that moves: a pause is waited for.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy, entropy: Arc<dyn Entropy>) -> Self {
        self.retry = Some((policy, entropy));
        self
    }

    /// Puts the layers around a provider of machines.
    pub fn compute(&self, provider: Arc<dyn ComputeProvider>) -> Arc<dyn ComputeProvider> {
        let clock = || Arc::clone(&self.clock);
        let mut provider: Arc<dyn ComputeProvider> =
            Arc::new(Layered::new(TimeLimited::new(self.deadline, clock()), provider));
        if let Some(calls) = self.limit {
            provider = Arc::new(Layered::new(Limited::new(calls), provider));
        }
        if let Some((policy, entropy)) = &self.retry {
            let retrying = Retrying::new(*policy, clock(), Arc::clone(entropy));
            provider = Arc::new(Layered::new(retrying, provider));
        }
        provider = Arc::new(Guarded::new(provider));
        if let Some(meter) = &self.meter {
            provider = Arc::new(Layered::new(Metered::new(Arc::clone(meter), clock()), provider));
        }
        Arc::new(Layered::new(Trace::new(clock()), provider))
    }
}
