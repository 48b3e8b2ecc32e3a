//! The live links by node. A link's entry leaves with the guard that entered it, unless a newer
//! link took its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use sam_core::NodeId;

use super::{OnChange, TUNNELS_PER_NODE_MAX};

/// A live link, as its users see it.
#[derive(Clone)]
pub(super) struct Link {
    epoch: u64,
    pub(super) sender: SendRequest<Body>,
    /// One permit per terminal or command that is open.
    pub(super) tunnels: Arc<Semaphore>,
    cut: CancellationToken,
}

#[derive(Clone)]
pub(super) struct Registry {
    links: Arc<Mutex<Links>>,
    on_change: OnChange,
}

#[derive(Default)]
struct Links {
    by_node: BTreeMap<NodeId, Link>,
    /// Number of links entered so far.
    entered: u64,
}

impl Link {
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

impl Registry {
    pub(super) fn new(on_change: OnChange) -> Self {
        Self { links: Arc::default(), on_change }
    }

    /// Makes a link the live one of its node and cuts the one before it.
    pub(super) fn enter(
        &self,
        node: NodeId,
        sender: SendRequest<Body>,
        cut: CancellationToken,
    ) -> Entry {
        let mut links = self.lock();
        links.entered += 1;
        let epoch = links.entered;
        let tunnels = Arc::new(Semaphore::new(TUNNELS_PER_NODE_MAX));
        let older = links.by_node.insert(node, Link { epoch, sender, tunnels, cut });
        drop(links);
        if let Some(older) = older {
            older.cut.cancel();
        }
        (self.on_change)(node);
        Entry { registry: self.clone(), node, epoch }
    }

    /// Returns the live link of a node.
    pub(super) fn link(&self, node: NodeId) -> Option<Link> {
        self.lock().by_node.get(&node).filter(|link| !link.sender.is_closed()).cloned()
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.lock().by_node.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.nodes()).finish()
    }
}

/// The stay of one link in the registry.
pub(super) struct Entry {
    registry: Registry,
    node: NodeId,
    epoch: u64,
}

impl Entry {
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut links = self.registry.lock();
        let mine = links.by_node.get(&self.node).is_some_and(|link| link.epoch == self.epoch);
        if mine {
            links.by_node.remove(&self.node);
        }
        drop(links);
        if mine {
            (self.registry.on_change)(self.node);
        }
    }
}
