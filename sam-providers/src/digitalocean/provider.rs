//! The provider's own methods: thin, each goes to the file that is about it.

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl, Size,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Error, ErrorKind, Page, Result};

use super::DigitalOceanCompute;
use super::find::PAGE;
use super::wire::Droplet;
use crate::api::Call;

#[async_trait]
impl ComputeProvider for DigitalOceanCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        // Nothing tells how late an order may still be carried out, or listed. DigitalOcean answers within
        // seconds and the transport gives up after a minute: the two minutes of the default are twice that.
        ComputeCapabilities::minimal().with_power().with_volumes().with_owned().with_regions()
    }

    /// Offers the regions that are allowed, and of each size what the first of them has.
    async fn catalog(&self) -> Result<Catalog> {
        let sold = self.sold().await?;
        let mut sizes = Vec::new();
        for size in [Size::Small, Size::Medium, Size::Large] {
            let mut refused = None;
            for region in self.allowed()? {
                match sold.choose(&self.config, size, region) {
                    Ok(offer) => {
                        sizes.push(offer);
                        refused = None;
                        break;
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            if let Some(error) = refused {
                return Err(error.with_operation("catalog"));
            }
        }
        let regions = self.config.regions.iter().filter(|region| sold.is_open(region));
        Ok(Catalog::new(regions.cloned().collect(), sizes))
    }

    async fn verify_credentials(&self) -> Result<()> {
        let call = Call::get("verify_credentials", "/v2/droplets").with_query("per_page", "1");
        self.api.send(&call).await.map(drop)
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        self.create(request).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let droplets = self.droplets_of("machine", key).await?;
        Ok(droplets.first().map(|droplet| droplet.machine(key.clone())))
    }

    /// Reads the whole list for every page, which begins behind an id.
    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let after: u64 = match query.after.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => return Err(no_place()),
        };
        let all = self.everything::<Droplet>("list_machines", &query.labels).await?;
        // One whose tag is no key of a machine was tagged by a person.
        let behind = all.into_values().filter(|droplet| droplet.id > after);
        let machines = behind.filter_map(|droplet| Some(droplet.machine(droplet.key()?)));
        Ok(Page::first(machines, PAGE, |machine| machine.provider_id.clone()))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.delete(key).await
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

/// Says that a listing is continued at no place of it.
pub(super) fn no_place() -> Error {
    Error::new(ErrorKind::BadInput, "the listing cannot go on there")
        .with_hint("pass on what the page before named as the next")
}
