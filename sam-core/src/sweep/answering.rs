//! Records that answer for what is listed, whatever their kind.

use std::collections::BTreeMap;

use super::resource::Reach;
use super::rule::{Answer, Named};
use crate::compute::OwnedResource;
use crate::engine::{Stamped, decode};
use crate::error::Result;
use crate::node::NodeRecord;
use crate::published_name::NameRecord;

/// By sort and provider id.
pub(super) type Listed = BTreeMap<(String, String), OwnedResource>;

/// The record that answers for a thing.
#[derive(Debug)]
pub(crate) enum Answering {
    Name(Box<NameRecord>),
    Node(Box<Stamped<NodeRecord>>),
}

impl Answering {
    /// Returns what it says.
    pub(super) fn answer(&self) -> Answer<'_> {
        match self {
            Self::Name(name) => name.answer(),
            Self::Node(node) => node.record.answer(),
        }
    }

    /// Returns it where it is a node's.
    pub(super) fn node(&self) -> Option<&Stamped<NodeRecord>> {
        match self {
            Self::Name(_) => None,
            Self::Node(node) => Some(node),
        }
    }

    /// Returns whether the one thing that it calls its own is listed.
    pub(super) fn own_is_listed(&self, listed: &Listed) -> bool {
        let answer = self.answer();
        answer
            .own_id
            .is_some_and(|id| listed.contains_key(&(answer.own_sort.to_owned(), id.to_owned())))
    }
}

impl Reach {
    /// Returns the record that a thing's labels name.
    pub(super) async fn answering(&self, resource: &OwnedResource) -> Result<Option<Answering>> {
        let Some(named) = Named::of(&resource.labels) else { return Ok(None) };
        let Some(stored) = self.store.load(&named.key()).await? else { return Ok(None) };
        Ok(Some(match named {
            Named::Name(_) => Answering::Name(Box::new(decode::<NameRecord>(&stored)?.record)),
            Named::Node(_) => Answering::Node(Box::new(decode::<NodeRecord>(&stored)?)),
        }))
    }
}
