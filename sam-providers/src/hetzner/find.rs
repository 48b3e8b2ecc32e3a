//! Looking things up, and listing them whole.

use std::collections::BTreeMap;

use sam_core::compute::{Labels, MachineKey};
use sam_core::{Error, ErrorKind, Page, Result};

use super::HetznerCompute;
use super::dialect::NOT_FOUND;
use super::wire::{Listed, Listing, OneServer, Server};
use crate::api::{Call, key_of};

/// Things on one page; Hetzner gives no more.
pub(super) const PAGE: usize = 50;
/// Most pages that are read in one go.
pub(super) const PAGES_MAX: u64 = 1_000;

/// The label that everything of ours has, as a selector.
const OURS: &str = crate::api::KEY_LABEL;

/// A selector for what is ours and carries these labels.
fn selector(labels: &Labels, key: Option<&str>) -> String {
    let ours = key.map_or_else(|| OURS.to_owned(), |key| format!("{OURS}=={key}"));
    labels.iter().fold(ours, |all, (name, value)| format!("{all},{name}=={value}"))
}

/// Where a listing goes on: behind an id, which stood at the end of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    page: u64,
    last: u64,
}

impl Place {
    pub(super) const START: Self = Self { page: 1, last: 0 };

    pub(super) fn read(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::START) };
        let place = text.split_once('.').and_then(|(page, last)| {
            Some(Self { page: page.parse().ok()?, last: last.parse().ok()? })
        });
        place.filter(|place| (1..=PAGES_MAX).contains(&place.page)).ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "the listing cannot go on there")
                .with_hint("pass on what the page before named as the next")
        })
    }

    pub(super) fn text(self) -> String {
        format!("{}.{}", self.page, self.last)
    }
}

impl HetznerCompute {
    /// Returns the one thing of a name, whosever it is.
    pub(super) async fn named<T: Listed>(
        &self,
        operation: &'static str,
        name: &str,
    ) -> Result<Option<T>> {
        let call = Call::get(operation, T::PATH).with_query("name", name);
        let listing: Listing<T> = self.api.send(&call).await?.read()?;
        Ok(listing.items.into_iter().find(|item| item.name() == name))
    }

    /// Returns the server of a key, if it is ours.
    pub(super) async fn server_of(
        &self,
        operation: &'static str,
        key: &MachineKey,
    ) -> Result<Option<Server>> {
        let server: Option<Server> = self.named(operation, key.as_str()).await?;
        Ok(server.filter(|server| key_of(&server.labels) == Some(key.as_str())))
    }

    /// Returns a server by its id; `None` when it is gone.
    pub(super) async fn server(&self, operation: &'static str, id: u64) -> Result<Option<Server>> {
        let answer = self.api.send(&Call::get(operation, format!("/servers/{id}"))).await;
        match absent(answer)? {
            None => Ok(None),
            Some(answer) => Ok(Some(answer.read::<OneServer>()?.server)),
        }
    }

    /// Returns what was made under a key; a handful at most.
    pub(super) async fn made_under<T: Listed>(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<Vec<T>> {
        let call = Call::get(operation, T::PATH)
            .with_query("label_selector", &selector(&Labels::default(), Some(key)))
            .with_query("per_page", &PAGE.to_string());
        let listing: Listing<T> = self.api.send(&call).await?.read()?;
        Ok(listing.items.into_iter().filter(|item| key_of(item.tags()) == Some(key)).collect())
    }

    /// Returns one page of what is ours and carries the labels, and where the next begins.
    ///
    /// Hetzner counts pages, so when something that was listed is deleted, the rest moves up, and the
    /// next page would leave some of it out. Things are listed by their ids, which only grow. A page is
    /// whole when it, or one before it that is read after it, reaches back to the last id that was seen:
    /// things move towards the front only, so none of them can have been passed over in between.
    pub(super) async fn page<T: Listed>(
        &self,
        operation: &'static str,
        labels: &Labels,
        place: Place,
    ) -> Result<(Vec<T>, Option<Place>)> {
        let mut found = BTreeMap::new();
        let mut number = place.page;
        let mut more = false;
        loop {
            let call = Call::get(operation, T::PATH)
                .with_query("label_selector", &selector(labels, None))
                .with_query("sort", "id:asc")
                .with_query("page", &number.to_string())
                .with_query("per_page", &PAGE.to_string());
            let listing: Listing<T> = self.api.send(&call).await?.read()?;
            if number == place.page {
                // A full page is not believed to be the last: what tells that may be null.
                more = listing.items.len() >= PAGE || listing.meta.pagination.next_page.is_some();
            }
            let reaches_back = listing.items.iter().any(|item| item.id() <= place.last);
            for item in listing.items {
                if item.id() > place.last {
                    found.entry(item.id()).or_insert(item);
                }
            }
            if number == 1 || reaches_back {
                break;
            }
            number -= 1;
        }
        let last = found.last_key_value().map_or(place.last, |(id, _)| *id);
        let next = Place { page: place.page + 1, last };
        Ok((found.into_values().collect(), more.then_some(next)))
    }

    /// Returns everything that is ours and carries the labels.
    ///
    /// # Errors
    /// `Corrupt` when the list does not end.
    pub(super) async fn all<T: Listed>(
        &self,
        operation: &'static str,
        labels: &Labels,
    ) -> Result<Vec<T>> {
        let (mut all, mut place) = (Vec::new(), Some(Place::START));
        while let Some(at) = place {
            if at.page > PAGES_MAX {
                let message = format!("the list at Hetzner has more than {PAGES_MAX} pages");
                return Err(Error::new(ErrorKind::Corrupt, message).with_operation(operation));
            }
            let (items, next) = self.page(operation, labels, at).await?;
            all.extend(items);
            place = next;
        }
        Ok(all)
    }

    /// Returns one page, with the next place as text.
    pub(super) async fn text_page<T: Listed>(
        &self,
        operation: &'static str,
        labels: &Labels,
        after: Option<&str>,
    ) -> Result<Page<T>> {
        let (items, next) = self.page(operation, labels, Place::read(after)?).await?;
        Ok(Page::new(items, next.map(Place::text)))
    }
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
