//! Agents that boot, answer, and are sometimes not there.

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::Dice;
use super::idle;
use super::world::World;
use crate::compute::{MachineKey, Power};
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::id::{NodeId, WorkspaceId};
use crate::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};

/// The link of a simulation.
#[derive(Debug, Clone)]
pub struct SimLink {
    world: World,
    dice: Dice,
}

impl SimLink {
    pub(super) const fn new(world: World, dice: Dice) -> Self {
        Self { world, dice }
    }

    /// Returns the instance of a node that answers now.
    async fn reach(&self, node: NodeId) -> Option<String> {
        give_way().await;
        if self.dice.strikes(self.dice.faults.link_down) {
            return None;
        }
        let now = self.world.now();
        let state = self.world.lock();
        let known = state.find(&MachineKey::of(node))?;
        let answers = known.machine.power == Power::On && known.boots_at <= now;
        answers.then(|| known.instance.to_string())
    }

    async fn reached(&self, node: NodeId) -> Result<String> {
        self.reach(node).await.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the agent is not connected in the simulation")
        })
    }
}

#[async_trait]
impl NodeLink for SimLink {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        Ok(self.reach(node).await.map(|instance| Readiness::new(instance, "sim".to_owned())))
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        self.reached(node).await?;
        if request.repo.as_str().ends_with("/missing") {
            let error = ErrorRecord::new(ErrorKind::NotFound, "prepare", "no such repository");
            return Ok(Preparation::Failed { error });
        }
        let already = self.world.lock().prepared.contains(&(node, request.workspace));
        if !already && self.dice.below(3) == 0 {
            return Ok(Preparation::InProgress { step: "cloning".to_owned() });
        }
        self.world.lock().prepared.insert((node, request.workspace));
        give_way().await;
        Ok(Preparation::Ready { commit: Some("c0ffee".to_owned()), branch: None })
    }

    async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
        let instance = self.reached(node).await?;
        let now = self.world.now();
        let seen = idle::observe(&mut self.world.lock(), &self.dice, workspace, &instance, now);
        give_way().await;
        Ok(seen)
    }

    async fn warn(&self, node: NodeId, workspace: WorkspaceId, _notice: &str) -> Result<()> {
        self.reached(node).await?;
        idle::warn(&mut self.world.lock(), workspace, self.world.now());
        give_way().await;
        Ok(())
    }

    async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.reached(node).await?;
        self.world.lock().activities.remove(&workspace);
        Ok(())
    }

    async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
        self.reached(node).await?;
        let now = self.world.now();
        let end = idle::stop(&mut self.world.lock(), &self.dice, workspace, now);
        give_way().await;
        Ok(end)
    }

    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        self.reached(node).await?;
        self.world.lock().prepared.remove(&(node, workspace));
        Ok(())
    }

    async fn drain(&self, node: NodeId) -> Result<()> {
        self.reached(node).await.map(drop)
    }
}
