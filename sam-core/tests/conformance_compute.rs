//! The machines in memory, bare, shared and boxed, held to the suites that every provider is held
//! to; and the suites, held to providers with a planted flaw, which they must catch.

#[cfg(test)]
mod flawed;
#[cfg(test)]
mod shared;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sam_core::compute::{ComputeProvider, CreateMachine, MemoryCompute};
use sam_core::conformance_main;
use sam_core::entropy::SeededEntropy;
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::volume::OfCompute;
use sam_core::testkit::conformance::{
    Failure, Harness, Outcome, Trial, compute, owned, power, volume,
};

use self::flawed::{Flaw, Flawed};

/// Most polls of one case; nothing in memory waits, but a flawed one gives way.
const POLLS_MAX: usize = 10_000;

/// A provider over machines in memory.
#[derive(Debug)]
struct Over<P> {
    provider: P,
    entropy: SeededEntropy,
}

impl<P: ComputeProvider> Over<P> {
    fn new(provider: P) -> Self {
        Self { provider, entropy: SeededEntropy::new(1) }
    }
}

#[async_trait]
impl<P: ComputeProvider> ComputeHarness for Over<P> {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.provider
    }

    fn request(&self) -> CreateMachine {
        shared::request(&self.entropy)
    }

    fn machines_per_page(&self) -> Option<usize> {
        Some(100)
    }

    async fn pause(&self) {}
}

impl<P: fmt::Debug + Send + Sync> Harness for Over<P> {
    fn block_on(&self, mut case: BoxFuture<'_, Outcome>) -> Outcome {
        let polls = std::iter::repeat_with(|| case.as_mut().now_or_never()).take(POLLS_MAX);
        polls.flatten().next().unwrap_or_else(|| Err(Failure::new("it waits in vain")))
    }
}

fn bare() -> Over<MemoryCompute> {
    Over::new(MemoryCompute::new())
}

fn arc() -> Over<Arc<dyn ComputeProvider>> {
    Over::new(Arc::new(MemoryCompute::new()))
}

fn boxed() -> Over<Box<dyn ComputeProvider>> {
    Over::new(Box::new(MemoryCompute::new()))
}

/// Every suite of a provider of machines.
fn suites<P: ComputeProvider>(name: &str, make: fn() -> Over<P>) -> Vec<Trial> {
    let mut all = compute::trials(&format!("{name}::compute"), COMPUTE, make);
    all.extend(power::trials(&format!("{name}::power"), POWER, make));
    all.extend(owned::trials(&format!("{name}::owned"), OWNED, make));
    all.extend(volume::trials(&format!("{name}::volume"), VOLUME, move || OfCompute::new(make())));
    all
}

/// A provider that claims nothing and has nothing, held to what binds it all the same.
fn minimal() -> Vec<Trial> {
    let make = || Over::new(Flawed::new(MemoryCompute::new(), Flaw::ClaimsNothing));
    let mut all = compute::trials("minimal::compute", MINIMAL_COMPUTE, make);
    all.extend(power::trials("minimal::power", MINIMAL_POWER, make));
    all.extend(owned::trials("minimal::owned", MINIMAL_OWNED, make));
    all.extend(volume::trials("minimal::volume", MINIMAL_VOLUME, move || OfCompute::new(make())));
    all
}

const COMPUTE: &str = include_str!("not_applicable/memory.compute.txt");
const POWER: &str = include_str!("not_applicable/memory.power.txt");
const OWNED: &str = include_str!("not_applicable/memory.owned.txt");
const VOLUME: &str = include_str!("not_applicable/memory.volume.txt");
const MINIMAL_COMPUTE: &str = include_str!("not_applicable/minimal.compute.txt");
const MINIMAL_POWER: &str = include_str!("not_applicable/minimal.power.txt");
const MINIMAL_OWNED: &str = include_str!("not_applicable/minimal.owned.txt");
const MINIMAL_VOLUME: &str = include_str!("not_applicable/minimal.volume.txt");

/// The flaws, each with the case that must see it.
fn planted() -> Vec<Trial> {
    let flawed = |flaw| move || Over::new(Flawed::new(MemoryCompute::new(), flaw));
    let mut all = Vec::new();
    for (flaw, case) in flawed::COMPUTE {
        all.push(compute::notices(&format!("{flaw:?}"), case, flawed(flaw)));
    }
    for (flaw, case) in flawed::POWER {
        all.push(power::notices(&format!("{flaw:?}"), case, flawed(flaw)));
    }
    for (flaw, case) in flawed::OWNED {
        all.push(owned::notices(&format!("{flaw:?}"), case, flawed(flaw)));
    }
    for (flaw, case) in flawed::VOLUME {
        let make = flawed(flaw);
        all.push(volume::notices(&format!("{flaw:?}"), case, move || OfCompute::new(make())));
    }
    all
}

conformance_main! {
    suites("memory", bare),
    suites("memory_in_arc", arc),
    suites("memory_in_box", boxed),
    minimal(),
    planted(),
}
