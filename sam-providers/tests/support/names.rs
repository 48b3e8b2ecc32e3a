//! Owned names, shown to the suite of owned resources as the machines that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::{
    BootData, Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels,
    ListMachines, ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, PowerControl,
};
use sam_core::dns::{
    DnsProvider, InstallationNames, OwnedNames, RecordName, RecordSet, RecordValue, Ttl,
};
use sam_core::volume::VolumeProvider;
use sam_core::{NodeId, Page, Result, Secret};

/// Each machine is the name of its node.
#[derive(Debug)]
pub(crate) struct NamesAsMachines {
    names: OwnedNames,
    of: InstallationNames,
}

impl NamesAsMachines {
    pub(crate) fn new(dns: Arc<dyn DnsProvider>, base: RecordName) -> Self {
        let of = InstallationNames::new(base.clone()).expect("a base");
        Self { names: OwnedNames::new(dns, base), of }
    }

    fn name(&self, key: &MachineKey) -> RecordName {
        self.of.node(key.as_str().parse().expect("the id of a node"))
    }

    async fn named(&self, labels: &Labels, after: Option<String>) -> Result<Page<Machine>> {
        let query = ListOwned::new(labels.clone()).with_after(after);
        Ok(self.names.list_owned(&query).await?.map(|name| {
            let node = self.of.node_of(&name.provider_id).expect("the name of a node");
            Machine::new(MachineKey::of(node), name.provider_id, name.labels)
        }))
    }
}

impl std::fmt::Display for NamesAsMachines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("names")
    }
}

#[async_trait]
impl ComputeProvider for NamesAsMachines {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal().with_owned().with_create_settles_within(Duration::ZERO)
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::new(Vec::new(), Vec::new()))
    }

    async fn verify_credentials(&self) -> Result<()> {
        Ok(())
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let name = self.name(&request.key);
        let value = RecordValue::A([192, 0, 2, 1].into());
        let set = RecordSet::new(name.clone(), [value], Ttl::DEFAULT)?;
        self.names.put(&set, &request.labels).await?;
        Ok(Machine::new(request.key.clone(), name.to_string(), request.labels.clone()))
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let mut after = None;
        loop {
            let page = self.named(&Labels::default(), after).await?;
            if let Some(found) = page.items.into_iter().find(|machine| machine.key == *key) {
                return Ok(Some(found));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(None),
            }
        }
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        self.named(&query.labels, query.after.clone()).await
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        if let Some(machine) = self.machine(key).await? {
            self.names.delete(&self.name(key), &machine.labels).await?;
        }
        Ok(Deletion::Gone)
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        None
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl OwnedResources for NamesAsMachines {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        Ok(self.named(&query.labels, query.after.clone()).await?.map(OwnedResource::machine))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        if resource.sort != OwnedResource::MACHINE {
            return Ok(());
        }
        let (name, labels) = (resource.provider_id.clone(), resource.labels.clone());
        self.names.delete_owned(&OwnedResource::new(OwnedNames::SORT, name, labels)).await
    }
}

/// Returns a request for a name that was never asked for.
pub(crate) fn request() -> CreateMachine {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let node = NodeId::from_bits(u128::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    let labels = Labels::default().with(Labels::INSTALLATION, "conformance").expect("a label");
    let boot =
        BootData::new(node, "https://control.example".to_owned(), Secret::new(String::new()));
    CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
}
