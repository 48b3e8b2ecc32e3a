//! The verbs on nodes, and what agents ask.

use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::auth::BootReportKey;
use crate::boot::{BootReport, PhaseState};
use crate::engine::{Stamped, Stored, decode, encode};
use crate::error::{Error, ErrorKind, Report, Result};
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::page::Page;
use crate::store::{CommitError, Due, Expect, ListQuery, Record, Refusal, Write};

/// Every node has one generation of boot data: a machine that must boot anew is another node.
pub(crate) const BOOT_GENERATION: u32 = 1;

/// Decodes listed records; one that cannot be read is logged and passed over, so that it does not
/// hide the others.
pub(super) fn readable<R: Stored>(page: &Page<Record>) -> Page<Stamped<R>> {
    let read = |stored: &Record| match decode::<R>(stored) {
        Ok(stamped) => Some(stamped),
        Err(error) => {
            tracing::error!(record = %stored.key, error = %Report::new(&error), "record passed over");
            None
        }
    };
    Page::new(page.items.iter().filter_map(read).collect(), page.next.clone())
}

impl Sam {
    /// Returns a node, or `None` when there never was one of this id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn node(&self, id: NodeId) -> Result<Option<Stamped<NodeRecord>>> {
        let stored = self.0.store.load(&NodeRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<NodeRecord>).transpose()
    }

    /// Returns one page of nodes, deleted ones included. A record that cannot be read is passed over
    /// and logged.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_nodes(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<NodeRecord>>> {
        let query = ListQuery::new(NodeRecord::KIND).with_after(after).with_limit(limit);
        let page = self.0.store.list(&query).await?;
        Ok(readable(&page))
    }

    /// Trades a node's bootstrap token for an identity: the Ed25519 public key its agent made.
    /// The same token with the same key succeeds again; with another key it is refused
    /// (invariant 9).
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong token; `Denied` for a used one; `Conflict` when the node
    /// is not being set up; what the store answered.
    pub async fn bootstrap_node(&self, id: NodeId, token: &str, public_key: &str) -> Result<()> {
        let denied = || Error::new(ErrorKind::Denied, "the bootstrap token is not accepted");
        self.0.boot_key.verify(id, BOOT_GENERATION, token)?;
        let caller = Caller::named(&id.to_string());
        for _ in 0..CONFLICTS_MAX {
            let current = self.node(id).await?.ok_or_else(denied)?;
            let Some(next) = current.record.identified(public_key)? else { return Ok(()) };
            let expect = Expect::Version(current.version);
            let write = Write::put(next.key(), expect, encode(&next)?, "node_identified")
                .with_index(next.index());
            match self.commit(self.commit_for(&caller).with_write(write)).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Takes what a booting machine reports, with the proof that it was given the node's boot token.
    /// The token is not used up. Repeatable: what leads no further is passed over.
    ///
    /// # Errors
    /// `BadInput` when it is no report; `Unauthenticated` for a wrong proof; `Denied` for a node that
    /// is not there; `Conflict` when nothing is awaited of it; what the store answered.
    pub async fn boot_reported(&self, body: &[u8], proof: &str) -> Result<()> {
        let report = BootReport::read(body)?;
        let id = report.node_id;
        let token = self.0.boot_key.token(id, BOOT_GENERATION);
        BootReportKey::of(&token, id).verify(body, proof)?;
        let report = report.scrubbed(&token);
        let caller = Caller::named(&id.to_string());
        let unknown = || Error::new(ErrorKind::Denied, format!("there is no node {id}"));
        for _ in 0..CONFLICTS_MAX {
            let current = self.node(id).await?.ok_or_else(unknown)?;
            let now = self.clock().now();
            let Some(next) = current.record.boot_reported(&report, now)? else { return Ok(()) };
            let expect = Expect::Version(current.version);
            let mut write = Write::put(next.key(), expect, encode(&next)?, "node_boot_reported")
                .with_index(next.index());
            if report.state == PhaseState::Failed {
                // Nobody needs to wait for this machine any longer.
                write = write.with_due(Due::NOW);
            }
            match self.commit(self.commit_for(&caller).with_write(write)).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Returns the public key of a node that may open a link.
    ///
    /// # Errors
    /// `Denied` when it may not: unknown, without identity, or on its way out.
    pub async fn node_public_key(&self, id: NodeId) -> Result<String> {
        let node = self.node(id).await?.map(|stamped| stamped.record);
        node.filter(NodeRecord::may_link)
            .and_then(|node| node.public_key)
            .ok_or_else(|| Error::new(ErrorKind::Denied, format!("{id} may not open a link")))
    }

    /// Tells the engine that a node's link opened or closed: it looks at the node at once.
    ///
    /// # Errors
    /// What the store answered; the node's next poll notices all the same.
    pub async fn node_link_changed(&self, id: NodeId) -> Result<()> {
        let caller = Caller::named(&id.to_string());
        let commit = self.commit_for(&caller).with_wake(NodeRecord::key_of(id));
        self.commit(commit).await.map(drop).map_err(Error::from)
    }

    /// Asks for a node to be deleted with everything bought for it. Repeatable. Its workspaces
    /// are interrupted.
    ///
    /// # Errors
    /// `NotFound`; what the store answered.
    pub async fn delete_node(&self, id: NodeId, caller: &Caller) -> Result<Stamped<NodeRecord>> {
        self.delete_node_if(id, caller, |_| Ok(())).await
    }

    /// As [`Sam::delete_node`], but refuses a node that a workspace uses. It is decided together
    /// with the deletion, so a workspace that takes the node meanwhile is safe.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a workspace uses it; what the store answered.
    pub async fn delete_unused_node(
        &self,
        id: NodeId,
        caller: &Caller,
    ) -> Result<Stamped<NodeRecord>> {
        let unused = |node: &NodeRecord| match node.workspaces.first() {
            Some(workspace) if node.is_in_use() => {
                Err(Error::new(ErrorKind::Conflict, format!("{id} is used by {workspace}"))
                    .with_hint("delete the workspace: its node goes with it"))
            }
            _ => Ok(()),
        };
        self.delete_node_if(id, caller, unused).await
    }

    async fn delete_node_if(
        &self,
        id: NodeId,
        caller: &Caller,
        check: impl Fn(&NodeRecord) -> Result<()> + Send,
    ) -> Result<Stamped<NodeRecord>> {
        for _ in 0..CONFLICTS_MAX {
            let current = self
                .node(id)
                .await?
                .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no node {id}")))?;
            let done = current.record.state == NodeState::Deleted;
            if done || current.record.wish == NodeWish::Gone {
                return Ok(current);
            }
            check(&current.record)?;
            let next = current.record.wished(NodeWish::Gone);
            let expect = Expect::Version(current.version);
            let write = Write::put(next.key(), expect, encode(&next)?, "node_deletion_requested")
                .with_index(next.index())
                .with_due(Due::NOW);
            let mut commit = self.commit_for(caller).with_write(write);
            commit.wakes.extend(next.workspace_keys());
            match self.commit(commit).await {
                Ok(committed) => {
                    let version = committed.version_of(&next.key()).unwrap_or(current.version + 1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }
}
