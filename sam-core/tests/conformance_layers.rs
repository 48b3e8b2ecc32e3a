//! A provider under layers, held to the suite that every provider is held to: each layer alone,
//! the whole stack, and repeated calls over a provider that fails a third of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Labels, MachineKey, MemoryCompute,
};
use sam_core::entropy::SeededEntropy;
use sam_core::layer::{
    Faulty, Guarded, Layer, Layered, Limited, MemoryMeter, Metered, RetryPolicy, Retrying, Stack,
    TimeLimited, Trace,
};
use sam_core::testkit::conformance::compute::{CASES, Case, ComputeHarness};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{NodeId, Secret};

/// Cases that say nothing about this provider, by name.
const NOT_APPLICABLE: [&str; 4] = [
    "a_claimed_region_is_on_offer",
    "there_is_no_power_where_none_is_claimed",
    "nothing_is_owned_where_no_list_is_claimed",
    "there_are_no_volumes_where_none_are_claimed",
];

/// Most moves of the clock in one case.
const WAITS_MAX: usize = 10_000;

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

#[async_trait]
impl ComputeHarness for Under {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.compute
    }

    fn request(&self) -> CreateMachine {
        let node = NodeId::new(Timestamp::EPOCH, &self.entropy);
        let token = Secret::new("token".to_owned());
        let boot = BootData::new(node, "https://control.example".to_owned(), token);
        let labels = Labels::default().with(Labels::INSTALLATION, "memory").unwrap_or_default();
        CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
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

/// Moves the clock to whatever is waited for, until the case is done.
fn run(case: Case, make: Make) -> Result<(), Failed> {
    let under = make(ManualClock::new(Timestamp::EPOCH));
    let mut outcome = Box::pin(case.run(&under));
    for _ in 0..WAITS_MAX {
        if let Some(done) = outcome.as_mut().now_or_never() {
            return Ok(done?);
        }
        let next = under.clock.next_deadline_in().ok_or("it waits for something but time")?;
        under.clock.advance(next);
    }
    Err(format!("not done after {WAITS_MAX} waits").into())
}

fn main() -> std::process::ExitCode {
    let mut trials = Vec::new();
    for (layer, make) in LAYERS {
        let capabilities = make(ManualClock::new(Timestamp::EPOCH)).compute.capabilities();
        let (bound, rest): (Vec<&Case>, Vec<&Case>) =
            CASES.iter().partition(|case| case.requires.applies_to(&capabilities));
        let rest: Vec<&str> = rest.into_iter().map(|case| case.name).collect();
        for case in bound {
            let trial = Trial::test(format!("{layer}::{}", case.name), move || run(*case, make));
            trials.push(trial.with_kind(case.clause));
        }
        for name in &rest {
            let trial = Trial::test(format!("{layer}::{name}"), || Ok(()));
            trials.push(trial.with_kind("not applicable").with_ignored_flag(true));
        }
        let name = format!("{layer}::what_is_not_applicable_is_as_recorded");
        trials.push(Trial::test(name, move || {
            let as_recorded = rest == NOT_APPLICABLE;
            as_recorded.then_some(()).ok_or_else(|| format!("not applicable: {rest:?}").into())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
