//! The provider's own methods: thin, each goes to the file that is about it.

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl, Size,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Page, Result};

use super::HetznerCompute;
use super::wire::Server;
use crate::api::Call;

#[async_trait]
impl ComputeProvider for HetznerCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        // Nothing tells how late an order may still be carried out. Hetzner answers within seconds and the
        // transport gives up after a minute: the two minutes of the default are twice that.
        ComputeCapabilities::minimal().with_power().with_volumes().with_owned().with_regions()
    }

    /// Offers the locations that are allowed, and of each size what the first of them has.
    async fn catalog(&self) -> Result<Catalog> {
        let types = self.types().await?;
        let mut sizes = Vec::new();
        for size in [Size::Small, Size::Medium, Size::Large] {
            let mut refused = None;
            for location in self.allowed()? {
                match types.choose(&self.config, size, location) {
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
        let sells = |location: &&String| types.locations().any(|known| known == location.as_str());
        let regions = self.config.locations.iter().filter(sells).cloned().collect();
        Ok(Catalog::new(regions, sizes))
    }

    async fn verify_credentials(&self) -> Result<()> {
        let call = Call::get("verify_credentials", "/servers").with_query("per_page", "1");
        self.api.send(&call).await.map(drop)
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        self.create(request).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let server = self.server_of("machine", key).await?;
        Ok(server.map(|server| server.machine(key.clone())))
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let after = query.after.as_deref();
        let page = self.text_page::<Server>("list_machines", &query.labels, after).await?;
        // One whose label is no key of a machine was labelled by a person.
        let machines = page.items.iter().filter_map(|server| Some(server.machine(server.key()?)));
        Ok(Page::new(machines.collect(), page.next))
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
