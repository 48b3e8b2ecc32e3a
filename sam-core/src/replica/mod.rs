//! Several control planes on one store: which there are, which of them holds a node's link, and
//! that all of them belong to one installation.
//!
//! Links and the installation are never due: they are facts that replicas tell each other. A
//! replica's own record is, unless it is renewed, and then the engine of any other ends it.

mod decide;
mod record;
mod resource;

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

pub use self::decide::decide;
pub use self::record::{InstallationRecord, LinkRecord, ReplicaRecord};
pub use self::resource::{
    HeldLink, ReplicaDecision, ReplicaLook, ReplicaObservation, ReplicaResource,
};

/// One process of the control plane, and where the others reach it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replica {
    /// Names the process; another after a restart. At most 64 bytes.
    pub id: String,
    /// `http://…` or `https://…`, without a slash at the end.
    pub url: String,
}

impl Replica {
    /// Most replicas that are told of; more are started in vain.
    pub const COUNT_MAX: usize = 16;

    /// Names a replica.
    pub fn new(id: impl Into<String>, url: impl Into<String>) -> Self {
        Self { id: id.into(), url: url.into().trim_end_matches('/').to_owned() }
    }
}

/// The addresses at which agents reach the control plane, in the order they try them. Cloning shares
/// them: nodes that are created later are told what was set meanwhile.
///
/// ```
/// use sam_core::replica::ControlUrls;
/// let urls = ControlUrls::new(["unix:/run/sam/agents.sock"]);
/// urls.clone().set(["unix:/run/sam/agents.sock".to_owned(), "http://b:7070".to_owned()]);
/// assert_eq!(urls.joined(), "unix:/run/sam/agents.sock,http://b:7070");
/// ```
#[derive(Debug, Clone)]
pub struct ControlUrls(Arc<RwLock<Vec<String>>>);

impl ControlUrls {
    /// Most addresses that are kept.
    pub const COUNT_MAX: usize = Replica::COUNT_MAX + 1;

    /// Starts with these addresses; no address holds a comma.
    pub fn new<T: Into<String>>(urls: impl IntoIterator<Item = T>) -> Self {
        Self(Arc::new(RwLock::new(bounded(urls.into_iter().map(Into::into)))))
    }

    /// Replaces the addresses.
    pub fn set(&self, urls: impl IntoIterator<Item = String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = bounded(urls);
    }

    /// Returns the addresses.
    pub fn list(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns them in one text, with commas between them, as boot data has them.
    pub fn joined(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).join(",")
    }
}

impl From<String> for ControlUrls {
    fn from(url: String) -> Self {
        Self::new([url])
    }
}

fn bounded(urls: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for url in urls {
        if kept.len() < ControlUrls::COUNT_MAX && !kept.contains(&url) {
            kept.push(url);
        }
    }
    kept
}
