//! Everything made here, in the order in which it can be deleted: machines, volumes, the network.

use sam_core::Page;
use sam_core::compute::{Deletion, ListMachines, ListOwned, Machine, MachineKey, OwnedResource};
use sam_core::{Error, ErrorKind, Result};

use super::Local;
use super::client::Done;
use super::map::{self, Found};
use super::wire::{Mark, marked};

/// The sort of the network.
const NETWORK: &str = "network";

/// Things on a page.
const PAGE: usize = 100;

impl Local {
    /// Lists machines, ordered by key.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn list(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let left = |machine: &Machine| {
            machine.labels.contains(&query.labels)
                && query.after.as_deref().is_none_or(|after| machine.key.as_str() > after)
        };
        let containers = self.client.containers(marked(&query.labels)).await?;
        let found = containers.into_iter().filter_map(Found::listed);
        let mut machines: Vec<_> = found.map(|found| found.machine).filter(left).collect();
        machines.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Page::first(machines, PAGE, |machine| machine.key.to_string()))
    }

    /// Lists everything that carries labels.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let filters = marked(&query.labels);
        let containers = self.client.containers(filters.clone()).await?;
        let mut machines: Vec<_> = containers.into_iter().filter_map(Found::listed).collect();
        machines.retain(|found| found.machine.labels.contains(&query.labels));
        machines.sort_by(|one, other| one.machine.key.cmp(&other.machine.key));
        let volumes = self.client.volumes(filters).await?.into_iter().filter_map(|volume| {
            let (key, labels) = Mark::of_machine(&volume.name, Some(&volume.labels))?;
            let volume = OwnedResource::new(OwnedResource::VOLUME, volume.name, labels);
            Some(volume.with_key(key))
        });
        let mut owned: Vec<_> = volumes.filter(|v| v.labels.contains(&query.labels)).collect();
        for (network, mark) in self.own_networks().await? {
            let Some(id) = network.id else { continue };
            let needs_it = |found: &&Found| {
                found.networks.contains(&id) || found.networks.contains(&self.config.network)
            };
            // It is of whoever uses it, so that nobody takes it for left over while it is needed; when
            // nobody does, it is of those it was made for.
            let labels = match machines.iter().find(needs_it) {
                Some(user) => user.machine.labels.clone(),
                None if self.is_network_used(&id).await? => continue,
                None => mark.labels,
            };
            if labels.contains(&query.labels) {
                owned.push(OwnedResource::new(NETWORK, id, labels));
            }
        }
        owned.extend(machines.into_iter().map(|found| OwnedResource::machine(found.machine)));
        owned.sort_by_cached_key(place);
        owned.retain(|resource| query.after.as_ref().is_none_or(|after| place(resource) > *after));
        Ok(Page::first(owned, PAGE, place))
    }

    /// Deletes one thing.
    ///
    /// # Errors
    /// `Conflict` while something needs it; those of the engine.
    pub(super) async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let id = resource.provider_id.as_str();
        match &*resource.sort {
            OwnedResource::MACHINE => {
                let Some(container) = self.client.container(id).await? else { return Ok(()) };
                let Some(found) = Found::inspected(container) else { return Ok(()) };
                match self.delete(&found.machine.key).await? {
                    Deletion::Gone => Ok(()),
                    _ => Err(still_removing(&found.machine.key)),
                }
            }
            OwnedResource::VOLUME => match self.delete_volume(id).await? {
                Done::Absent | Done::Yes => Ok(()),
                Done::Conflict => Err(Error::new(
                    ErrorKind::Conflict,
                    format!("a container uses the volume {id}"),
                )
                .with_hint("delete its machine, which takes the volume along")),
            },
            NETWORK => self.delete_network(id).await,
            _ => Ok(()),
        }
    }
}

/// Where a thing stands in the listing.
fn place(resource: &OwnedResource) -> String {
    let rank = match &*resource.sort {
        OwnedResource::MACHINE => 0,
        OwnedResource::VOLUME => 1,
        _ => 2,
    };
    let name = resource.key.as_deref().unwrap_or(&resource.provider_id);
    format!("{rank}-{name}")
}

fn still_removing(key: &MachineKey) -> Error {
    map::removing(key.as_str()).with_effect(sam_core::Effect::Unknown)
}
