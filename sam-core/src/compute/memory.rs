//! Machines in memory: created at once, for tests, examples and measurements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl, Size,
    SizeOffer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::volume::VolumeProvider;

/// A provider whose machines exist as soon as they are asked for.
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

/// Machines per page.
const PAGE: usize = 100;

#[async_trait]
impl ComputeProvider for MemoryCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
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
        Ok(Deletion::Gone)
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
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
impl OwnedResources for MemoryCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let listing = ListMachines::new(query.labels.clone()).with_after(query.after.clone());
        let page = self.list_machines(&listing).await?;
        Ok(page.map(|m| OwnedResource::new("machine", m.provider_id, m.labels)))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        self.lock().retain(|_, machine| machine.provider_id != resource.provider_id);
        Ok(())
    }
}
