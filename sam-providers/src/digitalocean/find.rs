//! Looking things up, and listing them whole.

use std::collections::BTreeMap;

use sam_core::compute::{Labels, MachineKey};
use sam_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

use super::DigitalOceanCompute;
use super::dialect::NOT_FOUND;
use super::labels::{key_tag, listed_by};
use super::wire::{Droplet, Listed, Listing, OneDroplet};
use crate::api::{Call, key_of, labels_of};

/// Things on one page, of theirs and of ours; DigitalOcean gives up to 200.
pub(super) const PAGE: usize = 100;
/// Most pages that are read in one go.
const PAGES_MAX: usize = 1_000;
/// Most times that a list is read which changes meanwhile.
const READINGS_MAX: usize = 5;

impl DigitalOceanCompute {
    /// Returns the droplets of a key, if they are ours, the oldest first. There is one, but for a moment.
    pub(super) async fn droplets_of(
        &self,
        operation: &'static str,
        key: &MachineKey,
    ) -> Result<Vec<Droplet>> {
        let call =
            listing_call(operation, Droplet::NAME).with_query("tag_name", &key_tag(key.as_str()));
        let listing: Listing<Droplet> = self.api.send(&call).await?.read()?;
        let mut droplets = listing.items;
        droplets.retain(|droplet| key_of(&droplet.tags) == Some(key.as_str()));
        droplets.sort_by_key(|droplet| droplet.id);
        Ok(droplets)
    }

    /// Returns a droplet by its id; `None` when it is gone.
    pub(super) async fn droplet(
        &self,
        operation: &'static str,
        id: u64,
    ) -> Result<Option<Droplet>> {
        let answer = self.api.send(&Call::get(operation, format!("/v2/droplets/{id}"))).await;
        match absent(answer)? {
            None => Ok(None),
            Some(answer) => Ok(Some(answer.read::<OneDroplet>()?.droplet)),
        }
    }

    /// Returns everything of ours that carries the labels, by its id.
    ///
    /// DigitalOcean counts pages, so what is deleted while they are read moves the rest up, and a thing
    /// can be passed over. One page is a moment. More are read until two readings show the same, in which
    /// nothing can have been deleted.
    ///
    /// # Errors
    /// `Unavailable` when the list changes all the time; what a page is refused with.
    pub(super) async fn everything<T: Listed>(
        &self,
        operation: &'static str,
        labels: &Labels,
    ) -> Result<BTreeMap<T::Id, T>> {
        // Volumes are listed all or by name.
        let tag = (T::NAME == Droplet::NAME).then(|| listed_by(labels));
        let mut before: Option<Vec<T::Id>> = None;
        for _ in 0..READINGS_MAX {
            let (items, pages) = self.reading::<T>(operation, T::NAME, tag.as_deref()).await?;
            let all: BTreeMap<T::Id, T> = items.into_iter().map(|item| (item.id(), item)).collect();
            let ids: Vec<T::Id> = all.keys().cloned().collect();
            if pages == 1 || before.as_ref() == Some(&ids) {
                let ours = |item: &T| {
                    key_of(item.tags()).is_some() && labels_of(item.tags()).contains(labels)
                };
                return Ok(all.into_iter().filter(|(_, item)| ours(item)).collect());
            }
            before = Some(ids);
        }
        let message = format!("the list of {} at DigitalOcean changes while it is read", T::NAME);
        Err(Error::new(ErrorKind::Unavailable, message).with_operation(operation))
    }

    /// Returns everything of a list that hardly ever changes.
    pub(super) async fn read_all<T: DeserializeOwned>(&self, name: &'static str) -> Result<Vec<T>> {
        Ok(self.reading(name, name, None).await?.0)
    }

    /// Reads a list once, and counts its pages.
    async fn reading<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        name: &str,
        tag: Option<&str>,
    ) -> Result<(Vec<T>, usize)> {
        let mut items = Vec::new();
        for page in 1..=PAGES_MAX {
            let call = listing_call(operation, name).with_query("page", &page.to_string());
            let call = tag.map_or(call.clone(), |tag| call.with_query("tag_name", tag));
            let listing: Listing<T> = self.api.send(&call).await?.read()?;
            // A full page is not believed to be the last.
            let more = listing.links.pages.next.is_some() || listing.items.len() >= PAGE;
            items.extend(listing.items);
            if !more {
                return Ok((items, page));
            }
        }
        let message = format!("the list of {name} at DigitalOcean does not end");
        Err(Error::new(ErrorKind::Corrupt, message).with_operation(operation))
    }
}

fn listing_call(operation: &'static str, name: &str) -> Call {
    Call::get(operation, format!("/v2/{name}")).with_query("per_page", &PAGE.to_string())
}

/// Takes "there is no such thing" for an answer. The interface's own word is needed for that: a gateway's
/// 404, or that of a wrong address, says nothing of the thing.
pub(super) fn absent<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error)
            if error.kind() == ErrorKind::NotFound && error.provider_code() == Some(NOT_FOUND) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
