//! Agents in memory: every node is connected, until it is said to be gone, and every workspace is ready
//! at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
use crate::error::Result;
use crate::id::{NodeId, WorkspaceId};

/// A link whose nodes all answer until they are disconnected, for tests, examples and measurements.
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
    activities: Mutex<BTreeMap<WorkspaceId, Activity>>,
    gone: Mutex<BTreeSet<NodeId>>,
}

impl MemoryLink {
    /// Makes a link without prepared workspaces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what goes on in a workspace from now on. Without it, every workspace is in use.
    pub fn set_activity(&self, workspace: WorkspaceId, activity: Activity) {
        self.activities().insert(workspace, activity);
    }

    /// Ends a node's connection for good, as that of a machine that is gone.
    pub fn disconnect(&self, node: NodeId) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
    }

    fn activities(&self) -> MutexGuard<'_, BTreeMap<WorkspaceId, Activity>> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, BTreeSet<WorkspaceId>>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeLink for MemoryLink {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        let is_gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&node);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok((!is_gone).then(|| Readiness::new(node.label(), version)))
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        self.lock().entry(node).or_default().insert(request.workspace);
        Ok(Preparation::Ready { commit: None, branch: None })
    }

    async fn activity(&self, _node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
        let known = self.activities().get(&workspace).cloned();
        Ok(known.unwrap_or_else(|| Activity::quiet(Duration::ZERO)))
    }

    async fn warn(&self, _node: NodeId, workspace: WorkspaceId, _notice: &str) -> Result<()> {
        let mut activities = self.activities();
        let activity =
            activities.entry(workspace).or_insert_with(|| Activity::quiet(Duration::ZERO));
        activity.warned_for = Some(Duration::ZERO);
        drop(activities);
        Ok(())
    }

    async fn stop(&self, _node: NodeId, _workspace: WorkspaceId) -> Result<()> {
        Ok(())
    }

    async fn stop_idle(&self, _node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
        let in_use = |activity: &Activity| activity.warned_for.is_none() || activity.is_working();
        if self.activities().get(&workspace).is_some_and(in_use) {
            return Ok(IdleEnd::InUse);
        }
        self.activities().remove(&workspace);
        Ok(IdleEnd::Ended)
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
        self.activities().remove(&workspace);
        Ok(())
    }

    async fn drain(&self, _node: NodeId) -> Result<()> {
        Ok(())
    }
}
