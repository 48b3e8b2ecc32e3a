//! Everything that was made, whatever its sort.

use async_trait::async_trait;
use sam_core::compute::{Deletion, Labels, ListOwned, MachineKey, OwnedResource, OwnedResources};
use sam_core::{Error, ErrorKind, Page, Result, Retry};

use super::FlyCompute;
use super::find::{PAGE, absent};
use super::names::{key_of_secret, key_of_volume};
use super::wire::{Machine, Volume};
use crate::api::{Call, segment, taken};

const LIST: &str = "list_owned";
const DELETE: &str = "delete_owned";

/// The sort of what a machine is told.
const SECRET: &str = "secret";
/// The sort of the app.
const APP: &str = "app";

/// The sorts, in the order in which they are listed: what others need comes behind them.
const SORTS: [&str; 4] = [OwnedResource::MACHINE, OwnedResource::VOLUME, SECRET, APP];

#[async_trait]
impl OwnedResources for FlyCompute {
    /// Lists one sort after the other; `after` is a sort and the id behind which its list goes on. The
    /// app is of all installations and of none: it is listed only where no label is asked for.
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let (sort, after) = match query.after.as_deref().map(|after| after.split_once('@')) {
            None => (OwnedResource::MACHINE, ""),
            Some(Some((sort, after))) => (sort, after),
            Some(None) => ("", ""),
        };
        let Some(place) = SORTS.iter().position(|known| *known == sort) else {
            return Err(Error::new(ErrorKind::BadInput, "the listing cannot go on there")
                .with_hint("pass on what the page before named as the next"));
        };
        let mut all = self.all_of(sort).await?;
        all.retain(|resource| {
            resource.labels.contains(&query.labels) && *resource.provider_id > *after
        });
        all.sort_by(|one, other| one.provider_id.cmp(&other.provider_id));
        let page = Page::first(all, PAGE, |last| format!("{sort}@{}", last.provider_id));
        let next = page.next.or_else(|| SORTS.get(place + 1).map(|sort| format!("{sort}@")));
        Ok(Page::new(page.items, next))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let id = &*resource.provider_id;
        match &*resource.sort {
            OwnedResource::MACHINE => self.delete_owned_machine(id).await,
            OwnedResource::VOLUME => self.delete_owned_volume(id).await,
            SECRET => self.delete_owned_secret(id).await,
            APP if *id == self.config.app => self.delete_app(DELETE).await,
            _ => Ok(()),
        }
    }
}

impl FlyCompute {
    async fn all_of(&self, sort: &str) -> Result<Vec<OwnedResource>> {
        if sort == APP {
            let is_there = self.app_is_listed(LIST).await?;
            let name = self.config.app.clone();
            let app = is_there.then(|| OwnedResource::new(APP, name, Labels::default()));
            return Ok(app.into_iter().collect());
        }
        // Things before machines: what has no machine by then was left by one.
        let things: Vec<(String, MachineKey)> = match sort {
            OwnedResource::VOLUME => {
                let volumes = self.volumes(LIST).await?.into_iter().filter(Volume::is_there);
                volumes
                    .filter_map(|volume| Some((volume.id, key_of_volume(&volume.name)?)))
                    .collect()
            }
            SECRET => {
                let names = self.secrets(LIST).await?.into_iter();
                names.filter_map(|name| key_of_secret(&name).map(|key| (name, key))).collect()
            }
            _ => Vec::new(),
        };
        let machines = self.machines(LIST).await?;
        if sort == OwnedResource::MACHINE {
            let ours = machines.iter().filter_map(|machine| Some((machine.key()?, machine)));
            return Ok(ours
                .map(|(key, machine)| OwnedResource::machine(machine.described(key)))
                .collect());
        }
        let sort: &'static str = if sort == SECRET { SECRET } else { OwnedResource::VOLUME };
        let mut all = Vec::new();
        for (id, key) in things {
            let labels = match machines.iter().find(|machine| machine.name == key.as_str()) {
                Some(machine) if machine.key().as_ref() == Some(&key) => machine.labels(),
                // Somebody else's machine has the name, and what goes with it.
                Some(_) => continue,
                None => Labels::default()
                    .with(Labels::INSTALLATION, &self.config.installation)?
                    .with(Labels::NODE, key.as_str())?,
            };
            all.push(OwnedResource::new(sort, id, labels).with_key(key.to_string()));
        }
        Ok(all)
    }

    /// Deletes a machine by its id, with what was made for it.
    async fn delete_owned_machine(&self, id: &str) -> Result<()> {
        let Some(machine) = self.machine_by_id(DELETE, id).await? else { return Ok(()) };
        let Some(key) = machine.key() else {
            return Err(taken("machine", &machine.name).with_operation(DELETE));
        };
        if self.delete(&key).await? == Deletion::Gone {
            return Ok(());
        }
        let message = format!("the machine {id} is still being deleted");
        Err(Error::new(ErrorKind::Conflict, message)
            .with_operation(DELETE)
            .with_hint("it goes on: ask again"))
    }

    async fn delete_owned_volume(&self, id: &str) -> Result<()> {
        let path = self.app_path(&format!("/volumes/{}", segment(id)));
        let answer = absent(self.send(Call::get(DELETE, path)).await)?;
        let volume: Option<Volume> = answer.map(|answer| answer.read()).transpose()?;
        let Some(volume) = volume.filter(Volume::is_there) else { return Ok(()) };
        let Some(key) = key_of_volume(&volume.name) else {
            return Err(taken("volume", &volume.name).with_operation(DELETE));
        };
        if volume.machine().is_some() {
            return Err(needed("volume", &key));
        }
        self.delete_volume(DELETE, id).await
    }

    async fn delete_owned_secret(&self, name: &str) -> Result<()> {
        let Some(key) = key_of_secret(name) else { return Ok(()) };
        // A machine that is switched on again reads it again.
        let machines: Vec<Machine> = self.machines(DELETE).await?;
        if machines.iter().any(|machine| machine.name == key.as_str()) {
            return Err(needed("secret", &key));
        }
        self.delete_secret(DELETE, name).await
    }
}

fn needed(what: &str, key: &MachineKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("the {what} is that of the machine {key}"))
        .with_operation(DELETE)
        .with_retry(Retry::Never)
        .with_hint("delete the machine: this goes with it")
}
