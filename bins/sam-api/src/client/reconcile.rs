//! What is there beside what was asked for: nodes, sweeps, orphans, and the hold on deleting them; and
//! the servers that look after it.

use reqwest::Method;

use sam_core::Result;

use super::Client;
use super::api::add;
use super::send::Call;
use crate::{DeletionHold, Node, Orphan, Page, Provider, Replica, SetDeletionHold, Sweep};

/// Which nodes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListNodes {
    /// Go on after this, from [`Page::next`].
    pub after: Option<String>,
    /// Also those that are deleted.
    pub all: bool,
}

/// Errors of every method: as of every call.
impl Client {
    /// Returns one page of nodes.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn nodes(&self, query: &ListNodes) -> Result<Page<Node>> {
        let mut url = self.url(&["api", "nodes"])?;
        add(&mut url, "after", query.after.as_deref());
        add(&mut url, "all", query.all.then_some("true"));
        self.call(Call::new(Method::GET, url, "list_nodes")).await
    }

    /// Returns one node.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn node(&self, node: &str) -> Result<Node> {
        self.get(&["api", "nodes", node], "node").await
    }

    /// Asks for a node that no workspace uses to be deleted, with everything bought for it.
    /// Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when a workspace uses it, and those of every call.
    pub async fn delete_node(&self, node: &str) -> Result<Node> {
        let url = self.url(&["api", "nodes", node])?;
        self.call(Call::new(Method::DELETE, url, "delete_node")).await
    }

    /// Returns one page of sweeps, by name, after the one named `after`.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn sweeps(&self, after: Option<&str>) -> Result<Page<Sweep>> {
        let mut url = self.url(&["api", "sweeps"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_sweeps")).await
    }

    /// Asks for a sweep to be made at once. Repeatable. It is over when [`Sweep::is_over`] says so.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn run_sweep(&self, sweep: &str) -> Result<Sweep> {
        self.post(&["api", "sweeps", sweep, "run"], "run_sweep").await
    }

    /// Returns one page of orphans, by id, after the one named `after`.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn orphans(&self, after: Option<&str>) -> Result<Page<Orphan>> {
        let mut url = self.url(&["api", "orphans"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_orphans")).await
    }

    /// Returns one orphan.
    ///
    /// # Errors
    /// `NotFound`, also once it is gone, and those of every call.
    pub async fn orphan(&self, orphan: &str) -> Result<Orphan> {
        self.get(&["api", "orphans", orphan], "orphan").await
    }

    /// Asks for an orphan to be deleted, whether or not automatic deletion is held. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, also once it is gone, and those of every call.
    pub async fn delete_orphan(&self, orphan: &str) -> Result<Orphan> {
        let url = self.url(&["api", "orphans", orphan])?;
        self.call(Call::new(Method::DELETE, url, "delete_orphan")).await
    }

    /// Returns where machines are bought, each asked whether it answers. Not for a loop: every call
    /// asks all of them.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn providers(&self) -> Result<Page<Provider>> {
        self.get(&["api", "providers"], "list_providers").await
    }

    /// Returns the servers that share the store.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn replicas(&self) -> Result<Page<Replica>> {
        self.get(&["api", "replicas"], "list_replicas").await
    }

    /// Returns whether automatic deletion is held.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn deletion_hold(&self) -> Result<DeletionHold> {
        self.get(&["api", "deletion-hold"], "deletion_hold").await
    }

    /// Sets or lifts the hold on automatic deletion. Repeatable.
    ///
    /// # Errors
    /// `BadInput` for a reason that is empty or too long, and those of every call.
    pub async fn set_deletion_hold(&self, request: &SetDeletionHold) -> Result<DeletionHold> {
        let url = self.url(&["api", "deletion-hold"])?;
        self.call(Call::new(Method::PUT, url, "set_deletion_hold").with_body(request)?).await
    }
}
