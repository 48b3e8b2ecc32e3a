//! The traits.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::Page;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl, Size,
    SizeOffer,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Error, Result};

use super::DockerCompute;
use super::client::CHANGE_WITHIN;
use super::map::{self, Limits};

/// How long the engine may still carry out a request whose caller went away: twice as long as it is
/// waited for.
const CREATE_SETTLES_WITHIN: Duration = Duration::from_secs(2 * CHANGE_WITHIN.as_secs());

impl fmt::Display for DockerCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("docker")
    }
}

fn in_operation(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation)
}

#[async_trait]
impl ComputeProvider for DockerCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_owned()
            .with_create_settles_within(CREATE_SETTLES_WITHIN)
    }

    async fn catalog(&self) -> Result<Catalog> {
        let info = self.local.client.info().await.map_err(in_operation("catalog"))?;
        // A limit above what the computer has is no more than what it has.
        let cpus_max = info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(u32::MAX);
        let memory_max = info.mem_total.and_then(|bytes| u64::try_from(bytes).ok());
        let memory_max = memory_max.map_or(u64::MAX, |bytes| bytes >> 20);
        let offer = |size| {
            let Limits { cpus, memory_gib } = Limits::of(size);
            let memory_mib = (u64::from(memory_gib) << 10).min(memory_max);
            let name = format!("{cpus}cpu-{memory_gib}gib");
            SizeOffer::new(size, name, cpus.min(cpus_max), memory_mib)
        };
        Ok(Catalog::new(Vec::new(), [Size::Small, Size::Medium, Size::Large].map(offer).into()))
    }

    async fn verify_credentials(&self) -> Result<()> {
        let image = &self.local.config.image;
        let has_image = self.local.client.has_image(image).await;
        if has_image.map_err(in_operation("verify_credentials"))? {
            return Ok(());
        }
        Err(map::no_image(image).with_operation("verify_credentials"))
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        Box::pin(self.local.create(request)).await.map_err(in_operation("create_machine"))
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let found = self.local.find(key).await.map_err(in_operation("machine"))?;
        Ok(found.map(|found| found.machine))
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        self.local.list(query).await.map_err(in_operation("list_machines"))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.local.delete(key).await.map_err(in_operation("delete_machine"))
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl PowerControl for DockerCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        self.local.switch(key, power).await.map_err(in_operation("set_power"))
    }
}

#[async_trait]
impl OwnedResources for DockerCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        self.local.list_owned(query).await.map_err(in_operation("list_owned"))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        self.local.delete_owned(resource).await.map_err(in_operation("delete_owned"))
    }
}
