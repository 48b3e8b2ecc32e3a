//! A shared or boxed link is a link.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
use crate::error::Result;
use crate::id::{NodeId, WorkspaceId};

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: NodeLink + ?Sized> NodeLink for $pointer {
            async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
                (**self).readiness(node).await
            }
            async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
                (**self).prepare(node, request).await
            }
            async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
                (**self).activity(node, workspace).await
            }
            async fn warn(
                &self,
                node: NodeId,
                workspace: WorkspaceId,
                notice: &str,
            ) -> Result<()> {
                (**self).warn(node, workspace, notice).await
            }
            async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
                (**self).stop(node, workspace).await
            }
            async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
                (**self).stop_idle(node, workspace).await
            }
            async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
                (**self).remove(node, workspace).await
            }
            async fn drain(&self, node: NodeId) -> Result<()> {
                (**self).drain(node).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
