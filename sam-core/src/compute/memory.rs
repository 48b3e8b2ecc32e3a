//! Machines in memory: created at once, for tests, examples and measurements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl, Size,
    SizeOffer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::volume::{CreateVolume, MemoryVolumes, Volume, VolumeProvider};

/// A provider whose machines and volumes exist as soon as they are asked for.
///
/// ```
/// use sam_core::compute::{ComputeProvider, ListMachines, MemoryCompute};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let compute = MemoryCompute::new();
/// assert!(compute.list_machines(&ListMachines::default()).await.unwrap().items.is_empty());
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct MemoryCompute {
    machines: Mutex<BTreeMap<MachineKey, Machine>>,
    volumes: MemoryVolumes,
}

impl MemoryCompute {
    /// Makes a provider without machines.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MachineKey, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

/// Machines, or resources, per page.
const PAGE: usize = 100;

#[async_trait]
impl ComputeProvider for MemoryCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_volumes()
            .with_owned()
            .with_create_settles_within(std::time::Duration::ZERO)
    }

    async fn catalog(&self) -> Result<Catalog> {
        let offer = |size, cpus| {
            SizeOffer::new(size, size.code().to_owned(), cpus, u64::from(cpus) * 2_048)
        };
        Ok(Catalog::new(
            Vec::new(),
            vec![offer(Size::Small, 2), offer(Size::Medium, 4), offer(Size::Large, 8)],
        ))
    }

    async fn verify_credentials(&self) -> Result<()> {
        Ok(())
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        if let Some(region) = &request.region {
            return Err(Error::new(ErrorKind::BadInput, format!("there is no region {region:?}"))
                .with_hint("leave the region out: memory has only one place"));
        }
        let mut machines = self.lock();
        let machine = machines.entry(request.key.clone()).or_insert_with(|| {
            Machine::new(request.key.clone(), request.key.to_string(), request.labels.clone())
        });
        Ok(machine.clone())
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        Ok(self.lock().get(key).cloned())
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let machines = self.lock();
        let left = machines
            .values()
            .filter(|m| query.after.as_deref().is_none_or(|after| m.key.as_str() > after))
            .filter(|m| m.labels.contains(&query.labels))
            .cloned();
        Ok(Page::first(left, PAGE, |machine| machine.key.to_string()))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.lock().remove(key);
        // Volumes outlive the machine they are attached to.
        self.volumes.detach_all(key);
        Ok(Deletion::Gone)
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        Some(self)
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl PowerControl for MemoryCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        match self.lock().get_mut(key) {
            Some(machine) => {
                machine.power = power;
                Ok(())
            }
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))),
        }
    }
}

#[async_trait]
impl VolumeProvider for MemoryCompute {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        self.volumes.create_volume(request).await
    }

    async fn volume(&self, key: &str) -> Result<Option<Volume>> {
        self.volumes.volume(key).await
    }

    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
        self.volumes.list_volumes(labels).await
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        // Held until it is attached, so that the machine is not deleted meanwhile; nothing in
        // memory waits.
        let machines = self.lock();
        if !machines.contains_key(machine) {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no machine {machine}")));
        }
        self.volumes.attach_now(key, machine)
    }

    async fn detach(&self, key: &str) -> Result<()> {
        self.volumes.detach(key).await
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        self.volumes.grow(key, size_gib).await
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        self.volumes.delete_volume(key).await
    }
}

#[async_trait]
impl OwnedResources for MemoryCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let machines: Vec<Machine> = self.lock().values().cloned().collect();
        let volumes = self.volumes.list_volumes(&query.labels).await?;
        let left = machines
            .into_iter()
            .filter(|machine| machine.labels.contains(&query.labels))
            .map(OwnedResource::machine)
            .chain(volumes.into_iter().map(OwnedResource::volume))
            .filter(|resource| query.after.as_ref().is_none_or(|after| place(resource) > *after));
        Ok(Page::first(left, PAGE, place))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        match &*resource.sort {
            OwnedResource::MACHINE => {
                let found = self
                    .lock()
                    .values()
                    .find(|m| m.provider_id == resource.provider_id)
                    .map(|m| m.key.clone());
                if let Some(key) = found {
                    self.delete_machine(&key).await?;
                }
                Ok(())
            }
            OwnedResource::VOLUME => self.volumes.delete_volume(&resource.provider_id).await,
            // Nothing else is made here, so nothing else is left.
            _ => Ok(()),
        }
    }
}

/// Where a resource stands in the listing: sorts come in order of their names.
fn place(resource: &OwnedResource) -> String {
    format!("{}/{}", resource.sort, resource.provider_id)
}
