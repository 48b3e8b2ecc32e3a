//! Everything that was bought, whatever its sort.

use async_trait::async_trait;
use sam_core::compute::{Labels, ListOwned, OwnedResource, OwnedResources};
use sam_core::{Error, ErrorKind, Page, Result};

use super::HetznerCompute;
use super::find::absent;
use super::volumes::attached;
use super::wire::{Firewall, Listed, OneVolume, PrimaryIp, Server, Volume};
use crate::api::{Call, key_of, labels_of, segment};

const LIST: &str = "list_owned";
const DELETE: &str = "delete_owned";

/// The sort of an address.
const ADDRESS: &str = "address";
/// The sort of a firewall.
const FIREWALL: &str = "firewall";

/// The sorts, in the order in which they are listed: what others need comes behind them.
const SORTS: [&str; 4] = [OwnedResource::MACHINE, OwnedResource::VOLUME, ADDRESS, FIREWALL];

#[async_trait]
impl OwnedResources for HetznerCompute {
    /// Lists one sort after the other; `after` is a sort and a place in its list. A page may be empty
    /// and have a next.
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let (sort, after) = match query.after.as_deref().map(|after| after.split_once('@')) {
            None => (OwnedResource::MACHINE, None),
            Some(Some((sort, after))) => (sort, Some(after).filter(|after| !after.is_empty())),
            Some(None) => ("", None),
        };
        let Some(place) = SORTS.iter().position(|known| *known == sort) else {
            return Err(Error::new(ErrorKind::BadInput, "the listing cannot go on there")
                .with_hint("pass on what the page before named as the next"));
        };
        let labels = &query.labels;
        let page = match sort {
            OwnedResource::MACHINE => self.owned_page::<Server>(sort, labels, after).await?,
            OwnedResource::VOLUME => self.owned_page::<Volume>(sort, labels, after).await?,
            ADDRESS => self.owned_page::<PrimaryIp>(sort, labels, after).await?,
            _ => self.owned_page::<Firewall>(sort, labels, after).await?,
        };
        let next = match page.next {
            Some(after) => Some(format!("{sort}@{after}")),
            None => SORTS.get(place + 1).map(|sort| format!("{sort}@")),
        };
        Ok(Page::new(page.items, next))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let id = &*resource.provider_id;
        match &*resource.sort {
            OwnedResource::MACHINE => match id.parse() {
                Ok(id) => self.delete_server_for_good(id).await,
                // Hetzner's ids are numbers, so it was never here.
                Err(_) => Ok(()),
            },
            OwnedResource::VOLUME => self.delete_owned_volume(id).await,
            ADDRESS => self.delete_thing(DELETE, "/primary_ips", id).await,
            FIREWALL => self.delete_thing(DELETE, "/firewalls", id).await,
            _ => Ok(()),
        }
    }
}

impl HetznerCompute {
    /// Deletes a volume by its id. Hetzner says of an attached one only that the request is wrong.
    async fn delete_owned_volume(&self, id: &str) -> Result<()> {
        let call = Call::get(DELETE, format!("/volumes/{}", segment(id)));
        let Some(answer) = absent(self.api.send(&call).await)? else { return Ok(()) };
        let OneVolume { volume } = answer.read()?;
        if volume.server.is_some() {
            return Err(attached(DELETE, &volume.name));
        }
        self.delete_thing(DELETE, "/volumes", id).await
    }

    async fn owned_page<T: Listed>(
        &self,
        sort: &str,
        labels: &Labels,
        after: Option<&str>,
    ) -> Result<Page<OwnedResource>> {
        let page = self.text_page::<T>(LIST, labels, after).await?;
        Ok(page.map(|item| {
            let (sort, id) = (sort.to_owned(), item.id().to_string());
            let resource = OwnedResource::new(sort, id, labels_of(item.tags()));
            match key_of(item.tags()) {
                Some(key) => resource.with_key(key.to_owned()),
                None => resource,
            }
        }))
    }
}
