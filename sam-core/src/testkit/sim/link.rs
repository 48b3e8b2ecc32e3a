//! Agents that boot, ask for an identity, answer, and are sometimes not there.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::executor::give_way;
use super::faults::{About, Dice, Fault};
use super::idle;
use super::world::{Agent, NewAgent, SLOW_MAX, World};
use crate::compute::{MachineKey, Power};
use crate::entropy::SeededEntropy;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::id::{NodeId, WorkspaceId};
use crate::node::NodeRecord;
use crate::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
use crate::sam::Sam;
use crate::time::Clock as _;

/// The link of a simulation.
#[derive(Debug, Clone)]
pub struct SimLink {
    world: World,
    dice: Dice,
}

impl SimLink {
    /// A repository whose path ends so is not there.
    pub(super) const MISSING: &'static str = "/missing";

    pub(super) const fn new(world: World, dice: Dice) -> Self {
        Self { world, dice }
    }

    fn strikes(&self, fault: Fault, node: NodeId) -> bool {
        self.dice.strikes(fault, || About::Record(NodeRecord::key_of(node)))
    }

    /// Returns the instance of a node that answers now.
    async fn reach(&self, node: NodeId) -> Option<String> {
        give_way().await;
        if self.strikes(Fault::Slow, node) {
            self.world.take_time(self.dice.span(SLOW_MAX)).await;
        }
        if self.strikes(Fault::LinkDown, node) {
            return None;
        }
        let now = self.world.now();
        let state = self.world.lock();
        let known = state.find(&MachineKey::of(node))?;
        let answers = known.machine.power == Power::On
            && known.boots_at <= now
            && matches!(known.agent, Agent::Identified);
        answers.then(|| known.instance.clone())
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
        if request.repo.as_str().ends_with(Self::MISSING) {
            let error = ErrorRecord::new(ErrorKind::NotFound, "prepare", "no such repository");
            return Ok(Preparation::Failed { error });
        }
        if self.strikes(Fault::ForgeDown, node) {
            return Ok(Preparation::InProgress { step: "waiting for the forge".to_owned() });
        }
        let place = (node, request.workspace);
        let already = self.world.lock().prepared.contains(&place);
        if !already && self.dice.below(3) == 0 {
            return Ok(Preparation::InProgress { step: "cloning".to_owned() });
        }
        {
            let mut state = self.world.lock();
            state.prepared.insert(place);
            state.ever_prepared.insert(place);
        }
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

/// The agents of all machines: each trades its token for an identity once it is up, and then tells
/// the engine that its link is open. A reply that was lost is asked for again with the same key; a
/// stranger with the same token and another key must be turned away (I9).
pub(super) async fn agents(sam: Sam, world: World, choice: SeededEntropy) {
    loop {
        let ticket = world.news.ticket();
        let now = world.now();
        let next = world.lock().new_agent(now);
        match next {
            NewAgent::None => world.news.raised_after(ticket).await,
            NewAgent::At(at) => {
                let clock = sam.clock();
                let up = clock.sleep_until(clock.monotonic() + at.since(now));
                let raised = std::pin::pin!(world.news.raised_after(ticket));
                match select(raised, up).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
            NewAgent::Up(node, token) => {
                if let Err(pause) = introduce(&sam, &world, node, &token).await {
                    let clock = sam.clock();
                    clock.sleep_until(clock.monotonic() + pause).await;
                } else if choice.below(4) == 0
                    && sam.bootstrap_node(node, &token, "the key of a stranger").await.is_ok()
                {
                    let broken = format!("I9: the token of {node} was used twice");
                    world.lock().broken = Some(broken);
                }
            }
        }
    }
}

/// Returns how long to wait before asking again, unless there is an answer for good.
async fn introduce(sam: &Sam, world: &World, node: NodeId, token: &str) -> Result<(), Duration> {
    let agent = match sam.bootstrap_node(node, token, "the agent's own key").await {
        Ok(()) => Agent::Identified,
        Err(error) => match error.kind() {
            ErrorKind::Denied | ErrorKind::Unauthenticated => Agent::Refused,
            // The node is on its way out, or the record kept changing.
            ErrorKind::Conflict => return Err(Duration::from_secs(20)),
            _ => return Err(Duration::from_millis(700)),
        },
    };
    let identified = matches!(agent, Agent::Identified);
    world.lock().set_agent(node, agent);
    if identified {
        // Lost or not: the node's next poll notices all the same.
        drop(sam.node_link_changed(node).await);
    }
    Ok(())
}
