//! The machines in memory, held to the suite that every provider is held to; and the suite, held
//! to providers with a planted flaw, which it must catch.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_core::Page;
use sam_core::compute::{
    BootData, Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels,
    ListMachines, ListOwned, Machine, MachineKey, MemoryCompute, OwnedResource, OwnedResources,
    Power, PowerControl,
};
use sam_core::entropy::SeededEntropy;
use sam_core::testkit::conformance::compute::{CASES, Case, ComputeHarness};
use sam_core::time::Timestamp;
use sam_core::volume::VolumeProvider;
use sam_core::{NodeId, Result, Secret};

/// Cases that say nothing about this provider, by name.
const NOT_APPLICABLE: [&str; 4] = [
    "a_claimed_region_is_on_offer",
    "there_is_no_power_where_none_is_claimed",
    "nothing_is_owned_where_no_list_is_claimed",
    "there_are_no_volumes_where_none_are_claimed",
];

/// What can be wrong with a provider, and the case that must say so.
const FLAWS: [(Flaw, &str); 9] = [
    (Flaw::DropsPages, "a_listing_holds_every_machine_once"),
    (Flaw::ForgetsLabels, "labels_come_back_as_given"),
    (Flaw::HidesPower, "there_is_no_power_where_none_is_claimed"),
    (Flaw::IgnoresFilter, "a_listing_is_filtered_by_all_labels"),
    (Flaw::KeepsDeleted, "a_deleted_machine_is_nowhere_shown"),
    (Flaw::LosesDisk, "a_machine_that_is_off_is_kept_and_comes_back"),
    (Flaw::MakesTwins, "creating_twice_gives_one_machine"),
    (Flaw::OwnsNothing, "what_was_made_is_owned_until_it_is_gone"),
    (Flaw::TakesAnyRegion, "a_region_is_refused_where_none_is_claimed"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    DropsPages,
    ForgetsLabels,
    HidesPower,
    IgnoresFilter,
    KeepsDeleted,
    LosesDisk,
    MakesTwins,
    OwnsNothing,
    TakesAnyRegion,
}

/// Machines in memory, perhaps with a flaw.
#[derive(Debug)]
struct Memory {
    compute: MemoryCompute,
    flaw: Option<Flaw>,
    creations: AtomicUsize,
    entropy: SeededEntropy,
}

impl Memory {
    fn new(flaw: Option<Flaw>) -> Self {
        Self {
            compute: MemoryCompute::new(),
            flaw,
            creations: AtomicUsize::new(0),
            entropy: SeededEntropy::new(1),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.compute.fmt(f)
    }
}

#[async_trait]
impl ComputeProvider for Memory {
    fn capabilities(&self) -> ComputeCapabilities {
        let hidden = self.has(Flaw::HidesPower);
        if hidden { ComputeCapabilities::minimal() } else { self.compute.capabilities() }
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.compute.catalog().await
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.compute.verify_credentials().await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let mut request = request.clone();
        if self.has(Flaw::TakesAnyRegion) {
            request.region = None;
        }
        if self.has(Flaw::ForgetsLabels) {
            request.labels = Labels::default();
        }
        let mut machine = self.compute.create_machine(&request).await?;
        if self.has(Flaw::MakesTwins) {
            machine.provider_id = self.creations.fetch_add(1, Ordering::Relaxed).to_string();
        }
        Ok(machine)
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.compute.machine(key).await
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let mut query = query.clone();
        if self.has(Flaw::IgnoresFilter) {
            query.labels = Labels::default();
        }
        let mut page = self.compute.list_machines(&query).await?;
        if self.has(Flaw::DropsPages) {
            page.items.truncate(2);
        }
        Ok(page)
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        if self.has(Flaw::KeepsDeleted) {
            return Ok(Deletion::Gone);
        }
        self.compute.delete_machine(key).await
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.compute.volumes()
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl PowerControl for Memory {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        self.compute.set_power(key, power).await?;
        if self.has(Flaw::LosesDisk) && power == Power::Off {
            self.compute.delete_machine(key).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl OwnedResources for Memory {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        if self.has(Flaw::OwnsNothing) {
            return Ok(Page::default());
        }
        self.compute.list_owned(query).await
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        self.compute.delete_owned(resource).await
    }
}

#[async_trait]
impl ComputeHarness for Memory {
    fn compute(&self) -> &dyn ComputeProvider {
        self
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

fn run(case: &Case, flaw: Option<Flaw>) -> Result<(), Failed> {
    let memory = Memory::new(flaw);
    // Nothing in memory waits, so one poll is the whole run.
    let outcome = case.run(&memory).now_or_never().ok_or("a machine in memory waits")?;
    Ok(outcome?)
}

fn catches(flaw: Flaw, name: &str) -> Result<(), Failed> {
    let capabilities = Memory::new(Some(flaw)).capabilities();
    let case = CASES.iter().find(|case| case.name == name).ok_or("there is no such case")?;
    if !case.requires.applies_to(&capabilities) {
        return Err(format!("{name} does not apply to {flaw:?}").into());
    }
    match run(case, Some(flaw)) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{name} did not see {flaw:?}").into()),
    }
}

fn main() -> std::process::ExitCode {
    let capabilities = Memory::new(None).capabilities();
    let (bound, rest): (Vec<&Case>, Vec<&Case>) =
        CASES.iter().partition(|case| case.requires.applies_to(&capabilities));
    let rest: Vec<&str> = rest.into_iter().map(|case| case.name).collect();
    let mut trials: Vec<Trial> = bound
        .into_iter()
        .map(|case| Trial::test(case.name, move || run(case, None)).with_kind(case.clause))
        .collect();
    for name in &rest {
        let trial = Trial::test(*name, || Ok(())).with_kind("not applicable");
        trials.push(trial.with_ignored_flag(true));
    }
    for (flaw, name) in FLAWS {
        trials.push(Trial::test(format!("the_suite_sees_{flaw:?}"), move || catches(flaw, name)));
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
