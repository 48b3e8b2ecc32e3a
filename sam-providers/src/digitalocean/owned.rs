//! Everything that was bought, whatever its sort.

use async_trait::async_trait;
use sam_core::compute::{Labels, ListOwned, OwnedResource, OwnedResources};
use sam_core::{Page, Result};

use super::DigitalOceanCompute;
use super::find::PAGE;
use super::provider::no_place;
use super::wire::{Droplet, Listed, Volume};
use crate::api::{key_of, labels_of};

const LIST: &str = "list_owned";

#[async_trait]
impl OwnedResources for DigitalOceanCompute {
    /// Lists machines, then volumes; `after` is a sort and an id. A page may be empty and have a next.
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let (sort, after) = match query.after.as_deref() {
            None => (OwnedResource::MACHINE, ""),
            Some(after) => after.split_once('@').ok_or_else(no_place)?,
        };
        match sort {
            OwnedResource::MACHINE => {
                let after =
                    if after.is_empty() { 0 } else { after.parse().map_err(|_| no_place())? };
                let page = self.owned_page::<Droplet>(sort, &query.labels, after).await?;
                let next = page.next.or_else(|| Some(format!("{}@", OwnedResource::VOLUME)));
                Ok(Page::new(page.items, next))
            }
            OwnedResource::VOLUME => {
                self.owned_page::<Volume>(sort, &query.labels, after.to_owned()).await
            }
            _ => Err(no_place()),
        }
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let id = &*resource.provider_id;
        match &*resource.sort {
            OwnedResource::MACHINE => match id.parse() {
                Ok(id) => self.delete_droplet_for_good(id).await,
                // Ids of droplets are numbers, so it was never here.
                Err(_) => Ok(()),
            },
            OwnedResource::VOLUME => self.delete_owned_volume(id).await,
            _ => Ok(()),
        }
    }
}

impl DigitalOceanCompute {
    async fn owned_page<T: Listed>(
        &self,
        sort: &str,
        labels: &Labels,
        after: T::Id,
    ) -> Result<Page<OwnedResource>> {
        let all = self.everything::<T>(LIST, labels).await?;
        let behind = all.into_iter().filter(|(id, _)| *id > after);
        let resources = behind.map(|(id, item)| {
            let resource =
                OwnedResource::new(sort.to_owned(), id.to_string(), labels_of(item.tags()));
            match key_of(item.tags()) {
                Some(key) => resource.with_key(key.to_owned()),
                None => resource,
            }
        });
        let place = |resource: &OwnedResource| format!("{sort}@{}", resource.provider_id);
        Ok(Page::first(resources, PAGE, place))
    }
}
