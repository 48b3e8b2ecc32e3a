//! The provider's own methods: thin, each goes to the file that is about it.

use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl, Size, SizeOffer,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Page, Result};

use super::FlyCompute;
use super::config::parts;
use super::find::PAGE;
use super::wire::Regions;
use crate::api::Call;

/// Fly answers a creation within a minute or says 408, and the transport gives up after a minute, too:
/// twice that.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

#[async_trait]
impl ComputeProvider for FlyCompute {
    /// The disk survives being switched off where it is the machine's volume: what is outside of it does
    /// not.
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_owned()
            .with_regions()
            .with_create_settles_within(SETTLES_WITHIN)
    }

    /// Offers the regions that are allowed and that Fly has, and our sizes without prices, which the
    /// interface does not tell.
    async fn catalog(&self) -> Result<Catalog> {
        self.config.check()?;
        let answer = self.send(Call::get("catalog", "/platform/regions")).await?;
        let known: Regions = answer.read()?;
        let known: Vec<_> = known.regions.into_iter().flatten().collect();
        let is_open = |code: &&String| {
            known.iter().any(|region| region.code == **code && region.deprecated != Some(true))
        };
        let regions = self.config.regions.iter().filter(is_open).cloned().collect();
        let sizes = [Size::Small, Size::Medium, Size::Large].map(|size| {
            let (cpus, memory_mb) = parts(size);
            let name = format!("{}-cpu-{cpus}x:{memory_mb}MB", self.config.cpu_kind.code());
            SizeOffer::new(size, name, cpus, u64::from(memory_mb))
        });
        Ok(Catalog::new(regions, sizes.to_vec()))
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.app_is_listed("verify_credentials").await.map(drop)
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        self.create(request).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let machine = self.machine_of("machine", key).await?;
        Ok(machine.map(|machine| machine.described(key.clone())))
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let after = query.after.as_deref().unwrap_or_default();
        let all = self.machines("list_machines").await?;
        let ours = all
            .iter()
            .filter(|machine| *machine.id > *after)
            .filter_map(|machine| Some(machine.described(machine.key()?)))
            .filter(|machine| machine.labels.contains(&query.labels));
        Ok(Page::first(ours, PAGE, |last| last.provider_id.clone()))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.delete(key).await
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
