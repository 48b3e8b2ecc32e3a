//! Leaving a node: giving it up with the workspace, or handing it back clean for the owner's next
//! one.

use super::decide::{Step, WOKEN, node_write};
use super::record::{WorkspaceRecord, WorkspaceState};
use super::resource::{WorkspaceDecision, WorkspaceEffect, WorkspaceObservation};
use crate::engine::{Decision, Stamped, Transition};
use crate::error::Result;
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::store::{Due, Expect};

impl Step<'_> {
    /// Failed or Deleting: nothing keeps its node any more.
    pub(super) fn leave(
        &self,
        observation: Option<&WorkspaceObservation>,
    ) -> Result<WorkspaceDecision> {
        let workspace = self.workspace;
        let deleting = workspace.state == WorkspaceState::Deleting;
        if workspace.node.is_none() {
            return Ok(if deleting { self.deleted() } else { self.rest(None) });
        }
        match observation {
            Some(WorkspaceObservation::Node(Ok(node))) => match node {
                Some(node) if node.record.state != NodeState::Deleted => {
                    if deleting {
                        self.leave_deleting(node)
                    } else {
                        self.leave_failed(node)
                    }
                }
                Some(_) | None if deleting => Ok(self.deleted()),
                Some(_) | None => {
                    let next = WorkspaceRecord { node: None, ..self.workspace.clone() };
                    Ok(self.settled(next, "node_released"))
                }
            },
            Some(WorkspaceObservation::Removed { result: Ok(()), node: Ok(Some(node)) })
                if deleting && self.may_keep(node) =>
            {
                self.hand_back(node)
            }
            // A node that cannot be made clean is given up, unless it goes already.
            Some(WorkspaceObservation::Removed { node: Ok(Some(node)), .. })
                if deleting && node.record.wish == NodeWish::Kept =>
            {
                self.give_up(node)
            }
            Some(WorkspaceObservation::Node(Err(_))) => Ok(self.patience()),
            Some(
                WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Idle(_)
                | WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            )
            | None => Ok(self.look()),
        }
    }

    /// A deleted workspace's node is kept where the policy says so and it is in good order; else it
    /// goes first, and the workspace is called Deleted after it.
    fn leave_deleting(&self, node: &Stamped<NodeRecord>) -> Result<WorkspaceDecision> {
        if node.record.wish == NodeWish::Gone {
            return Ok(self.rest(Some(WOKEN)));
        }
        if self.may_keep(node) {
            return Ok(Decision::Act(None, WorkspaceEffect::Remove(node.record.id)));
        }
        self.give_up(node)
    }

    fn give_up(&self, node: &Stamped<NodeRecord>) -> Result<WorkspaceDecision> {
        let gone = node.record.wished(NodeWish::Gone);
        let write = node_write(&gone, Expect::Version(node.version), "node_given_up")?;
        let transition = Transition::new(self.workspace.clone(), "node_given_up")
            .with_also(write)
            .with_due(Due::In(WOKEN));
        Ok(Decision::Write(Box::new(transition)))
    }

    fn may_keep(&self, node: &Stamped<NodeRecord>) -> bool {
        let node = &node.record;
        !self.policy.keep_warm.is_zero()
            && node.state == NodeState::Ready
            && node.wish == NodeWish::Kept
            && !node.retired
            && node.workspaces.iter().eq([&self.workspace.id])
    }

    /// Nothing of the workspace is on the node any more: both are written at once.
    fn hand_back(&self, node: &Stamped<NodeRecord>) -> Result<WorkspaceDecision> {
        let left = node.record.left_by(self.workspace.id, self.now);
        let write = node_write(&left, Expect::Version(node.version), "node_kept_warm")?;
        let mut transition = self.deletion();
        transition.record.node = None;
        Ok(Decision::Write(Box::new(transition.with_also(write))))
    }

    /// A failed workspace retires its node. That it is deleted then is the node's own decision,
    /// subject to the hold: no person asked for it.
    fn leave_failed(&self, node: &Stamped<NodeRecord>) -> Result<WorkspaceDecision> {
        if node.record.retired || node.record.wish == NodeWish::Gone {
            return Ok(self.rest(Some(WOKEN)));
        }
        let retired = node.record.retired(self.now);
        let write = node_write(&retired, Expect::Version(node.version), "node_retired")?;
        let transition = Transition::new(self.workspace.clone(), "node_retired")
            .with_also(write)
            .with_due(self.due_within(WOKEN));
        Ok(Decision::Write(Box::new(transition)))
    }
}
