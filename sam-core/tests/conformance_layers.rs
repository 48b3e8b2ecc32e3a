//! A provider under layers, held to the suite that every provider is held to: each layer alone,
//! the whole stack, and repeated calls over a provider that fails a third of them.

#[cfg(test)]
mod shared;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sam_core::compute::{ComputeProvider, CreateMachine, MemoryCompute};
use sam_core::conformance_main;
use sam_core::entropy::SeededEntropy;
use sam_core::layer::{
    Faulty, Guarded, Layer, Layered, Limited, MemoryMeter, Metered, RetryPolicy, Retrying, Stack,
    TimeLimited, Trace,
};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::volume::OfCompute;
use sam_core::testkit::conformance::{
    Harness, Outcome, Trial, compute, owned, power, volume, with_clock,
};
use sam_core::time::{ManualClock, Timestamp};

struct Under {
    compute: Arc<dyn ComputeProvider>,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl fmt::Debug for Under {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Under").field("compute", &self.compute).finish_non_exhaustive()
    }
}

impl Under {
    fn new(provider: impl ComputeProvider, clock: ManualClock) -> Self {
        Self { compute: Arc::new(provider), clock, entropy: SeededEntropy::new(1) }
    }

    fn layer(layer: impl Layer, clock: ManualClock) -> Self {
        Self::new(Layered::new(layer, MemoryCompute::new()), clock)
    }
}

impl Harness for Under {
    /// Moves the clock to whatever is waited for, until the case is done.
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        with_clock(&self.clock, case)
    }
}

#[async_trait]
impl ComputeHarness for Under {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.compute
    }

    fn request(&self) -> CreateMachine {
        shared::request(&self.entropy)
    }

    fn machines_per_page(&self) -> Option<usize> {
        Some(100)
    }

    async fn pause(&self) {}
}

fn dice() -> Arc<SeededEntropy> {
    Arc::new(SeededEntropy::new(2))
}

fn stack(clock: ManualClock) -> Under {
    let shared = Arc::new(clock.clone());
    let compute = Stack::new(shared)
        .with_limit(4)
        .with_meter(Arc::new(MemoryMeter::new()))
        .with_retry(RetryPolicy::default(), dice())
        .compute(Arc::new(MemoryCompute::new()));
    Under { compute, clock, entropy: SeededEntropy::new(1) }
}

type Make = fn(ManualClock) -> Under;

const LAYERS: [(&str, Make); 9] = [
    ("fault_of_none", |clock| Under::layer(Faulty::new(1, 0), clock)),
    ("guard", |clock| Under::new(Guarded::new(MemoryCompute::new()), clock)),
    ("limit", |clock| Under::layer(Limited::new(2), clock)),
    ("meter", |clock| {
        let shared = Arc::new(clock.clone());
        Under::layer(Metered::new(Arc::new(MemoryMeter::new()), shared), clock)
    }),
    ("retry", |clock| {
        let shared = Arc::new(clock.clone());
        Under::layer(Retrying::new(RetryPolicy::default(), shared, dice()), clock)
    }),
    ("retry_over_faults", |clock| {
        let shared = Arc::new(clock.clone());
        let policy = RetryPolicy::default().with_attempts(RetryPolicy::ATTEMPTS_MAX);
        let faulty = Layered::new(Faulty::new(7, 33), MemoryCompute::new());
        Under::new(Layered::new(Retrying::new(policy, shared, dice()), faulty), clock)
    }),
    ("stack", stack),
    ("timeout", |clock| {
        let shared = Arc::new(clock.clone());
        Under::layer(TimeLimited::new(Duration::from_secs(30), shared), clock)
    }),
    ("trace", |clock| {
        let shared = Arc::new(clock.clone());
        Under::layer(Trace::new(shared), clock)
    }),
];

/// Every suite of a provider of machines, through one layer.
fn suites((layer, make): (&str, Make)) -> Vec<Trial> {
    let make = move || make(ManualClock::new(Timestamp::EPOCH));
    let mut all = compute::trials(&format!("{layer}::compute"), COMPUTE, make);
    all.extend(power::trials(&format!("{layer}::power"), POWER, make));
    all.extend(owned::trials(&format!("{layer}::owned"), OWNED, make));
    all.extend(volume::trials(&format!("{layer}::volume"), VOLUME, move || OfCompute::new(make())));
    all
}

// A layer takes nothing away and adds nothing: what is not applicable is that of the machines in
// memory.
const COMPUTE: &str = include_str!("not_applicable/memory.compute.txt");
const POWER: &str = include_str!("not_applicable/memory.power.txt");
const OWNED: &str = include_str!("not_applicable/memory.owned.txt");
const VOLUME: &str = include_str!("not_applicable/memory.volume.txt");

conformance_main! {
    LAYERS.into_iter().flat_map(suites),
}
