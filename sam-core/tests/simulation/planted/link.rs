//! Agents that say what is not so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::id::{NodeId, WorkspaceId};
use sam_core::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
use sam_core::{ErrorKind, Result};

use super::Planted;

pub(super) fn planted() -> Vec<Planted> {
    vec![
        Planted {
            name: "ready-too-early",
            breaks: "a node is called ready before its agent is up",
            invariant: "early: nd-",
            plant: |simulation| {
                simulation.with_link(|link| Arc::new(Bent { link, bend: Bend::ReadyTooEarly }))
            },
        },
        Planted {
            name: "checked-out-too-early",
            breaks: "a workspace is called running before its repository was checked out",
            invariant: "early: ws-",
            plant: |simulation| {
                simulation.with_link(|link| Arc::new(Bent { link, bend: Bend::CheckedOutTooEarly }))
            },
        },
        Planted {
            name: "work-hidden",
            breaks: "a workspace is stopped as idle in the middle of work",
            invariant: "idle: ws-",
            plant: |simulation| {
                simulation.with_link(|link| Arc::new(Bent { link, bend: Bend::WorkHidden }))
            },
        },
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    CheckedOutTooEarly,
    ReadyTooEarly,
    WorkHidden,
}

#[derive(Debug)]
struct Bent {
    link: Arc<dyn NodeLink>,
    bend: Bend,
}

#[async_trait]
impl NodeLink for Bent {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        match self.link.readiness(node).await? {
            None if self.bend == Bend::ReadyTooEarly => {
                Ok(Some(Readiness::new("soon".to_owned(), "sim".to_owned())))
            }
            answer => Ok(answer),
        }
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        let answer = self.link.prepare(node, request).await;
        match &answer {
            Err(error)
                if self.bend == Bend::CheckedOutTooEarly
                    && error.kind() == ErrorKind::Unavailable =>
            {
                Ok(Preparation::Ready { commit: None, branch: None })
            }
            _ => answer,
        }
    }

    async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
        let seen = self.link.activity(node, workspace).await?;
        if self.bend != Bend::WorkHidden {
            return Ok(seen);
        }
        let long = Duration::from_mins(10);
        Ok(Activity::quiet(long).with_warned_for(Some(Duration::from_mins(1))))
    }

    async fn warn(&self, node: NodeId, workspace: WorkspaceId, notice: &str) -> Result<()> {
        self.link.warn(node, workspace, notice).await
    }

    async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
        self.link.stop_idle(node, workspace).await
    }

    async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.link.stop(node, workspace).await
    }

    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.link.remove(node, workspace).await
    }

    async fn drain(&self, node: NodeId) -> Result<()> {
        self.link.drain(node).await
    }
}
