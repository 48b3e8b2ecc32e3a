//! Agents in memory: every node is connected and every workspace is ready at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{NodeLink, Preparation, Prepare, Readiness};
use crate::error::Result;
use crate::id::{NodeId, WorkspaceId};

/// A link whose nodes all answer, for tests, examples and measurements.
///
/// ```
/// use sam_core::node_link::{MemoryLink, NodeLink};
/// use sam_core::NodeId;
/// # futures_util::future::FutureExt::now_or_never(async {
/// let link = MemoryLink::new();
/// assert!(link.readiness(NodeId::from_bits(1)).await.unwrap().is_some());
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct MemoryLink {
    prepared: Mutex<BTreeMap<NodeId, BTreeSet<WorkspaceId>>>,
}

impl MemoryLink {
    /// Makes a link without prepared workspaces.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, BTreeSet<WorkspaceId>>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeLink for MemoryLink {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        Ok(Some(Readiness::new(node.label(), env!("CARGO_PKG_VERSION").to_owned())))
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        self.lock().entry(node).or_default().insert(request.workspace);
        Ok(Preparation::Ready { commit: None, branch: None })
    }

    async fn stop(&self, _node: NodeId, _workspace: WorkspaceId) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        let mut prepared = self.lock();
        if let Some(workspaces) = prepared.get_mut(&node) {
            workspaces.remove(&workspace);
            if workspaces.is_empty() {
                prepared.remove(&node);
            }
        }
        drop(prepared);
        Ok(())
    }

    async fn drain(&self, _node: NodeId) -> Result<()> {
        Ok(())
    }
}
