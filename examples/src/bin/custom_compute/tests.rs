//! The provider, held to the suites that every provider is held to.

use async_trait::async_trait;
use sam_core::compute::{BootData, ComputeProvider, CreateMachine, Labels, MachineKey};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::{
    BoxFuture, Harness, Outcome, at_once, check, compute, owned, power,
};
use sam_core::time::Clock as _;
use sam_core::{NodeId, Secret};
use sam_providers::system::{OsEntropy, SystemClock};

use super::provider::{DirCompute, PAGE};

/// The provider over a directory that goes with it.
#[derive(Debug)]
struct Dir {
    compute: DirCompute,
    place: tempfile::TempDir,
}

impl Dir {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        Self { compute: DirCompute::new(place.path().join("machines")), place }
    }
}

#[async_trait]
impl ComputeHarness for Dir {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.compute
    }

    fn request(&self) -> CreateMachine {
        let node = NodeId::new(SystemClock::new().now(), &OsEntropy::new());
        let token = Secret::new("single-use".to_owned());
        let boot = BootData::new(node, "https://control.example".to_owned(), token);
        let labels = Labels::default().with(Labels::INSTALLATION, "test").expect("a legal label");
        CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
    }

    fn machines_per_page(&self) -> Option<usize> {
        Some(PAGE)
    }

    async fn pause(&self) {}
}

impl Harness for Dir {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[test]
fn the_provider_keeps_the_contracts() {
    let mut trials = compute::trials("directory", COMPUTE, Dir::new);
    trials.extend(power::trials("directory", POWER, Dir::new));
    trials.extend(owned::trials("directory", OWNED, Dir::new));
    check(trials).unwrap();
}

/// The cases that need what is not claimed: regions and volumes.
const COMPUTE: &str = "a_claimed_region_is_on_offer\na_region_that_is_not_on_offer_is_refused";
const POWER: &str = "there_is_no_power_where_none_is_claimed";
const OWNED: &str = "a_volume_is_owned_until_it_is_gone\n\
                     what_something_else_needs_is_not_deleted\n\
                     nothing_is_owned_where_no_list_is_claimed";

#[test]
fn what_is_left_beside_a_file_is_not_a_machine() {
    let dir = Dir::new();
    let machines = dir.place.path().join("machines");
    std::fs::create_dir(&machines).unwrap();
    std::fs::write(machines.join("half.new"), "{").unwrap();
    let listing = async {
        let page = dir.compute.list_machines(&sam_core::compute::ListMachines::default()).await?;
        assert!(page.items.is_empty());
        Ok(())
    };
    at_once(Box::pin(listing)).unwrap();
}
