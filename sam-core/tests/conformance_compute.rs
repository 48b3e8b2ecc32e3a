//! The machines in memory, held to the suite that every provider is held to.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Labels, MachineKey, MemoryCompute, OwnedResources,
};
use sam_core::entropy::SeededEntropy;
use sam_core::testkit::conformance::compute::{CASES, Case, ComputeHarness};
use sam_core::time::Timestamp;
use sam_core::{NodeId, Secret};

/// Cases that say nothing about this provider, by name.
const NOT_APPLICABLE: [&str; 2] =
    ["a_claimed_region_is_on_offer", "there_is_no_power_where_none_is_claimed"];

#[derive(Debug)]
struct Memory {
    compute: MemoryCompute,
    entropy: SeededEntropy,
}

impl Memory {
    fn new() -> Self {
        Self { compute: MemoryCompute::new(), entropy: SeededEntropy::new(1) }
    }
}

#[async_trait]
impl ComputeHarness for Memory {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.compute
    }

    fn owned(&self) -> &dyn OwnedResources {
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

fn run(case: Case) -> Result<(), Failed> {
    let memory = Arc::new(Memory::new());
    // Nothing in memory waits, so one poll is the whole run.
    let outcome = case.run(&*memory).now_or_never().ok_or("a machine in memory waits")?;
    Ok(outcome?)
}

fn main() -> std::process::ExitCode {
    let capabilities = MemoryCompute::new().capabilities();
    let (bound, rest): (Vec<&Case>, Vec<&Case>) =
        CASES.iter().partition(|case| case.requires.applies_to(&capabilities));
    let rest: Vec<&str> = rest.into_iter().map(|case| case.name).collect();
    let mut trials: Vec<Trial> = bound
        .into_iter()
        .map(|case| Trial::test(case.name, move || run(*case)).with_kind(case.clause))
        .collect();
    for name in &rest {
        let trial = Trial::test(*name, || Ok(())).with_kind("not applicable");
        trials.push(trial.with_ignored_flag(true));
    }
    trials.push(Trial::test("what_is_not_applicable_is_as_recorded", move || {
        if rest == NOT_APPLICABLE {
            Ok(())
        } else {
            Err(format!("not applicable: {rest:?}").into())
        }
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
