//! Agents that say what is not so.

use std::sync::Arc;

use async_trait::async_trait;
use sam_core::id::{NodeId, WorkspaceId};
use sam_core::node_link::{NodeLink, Preparation, Prepare, Readiness};
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
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    CheckedOutTooEarly,
    ReadyTooEarly,
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
