//! What is next for a workspace. Pure and total.
//!
//! A node is asked how it is before each effect on it, and by the same commit that gives it up it
//! is told to go: a workspace is only called Deleted after its node is.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::lifetime::life_left;
use super::record::{WorkspaceRecord, WorkspaceState, WorkspaceWish};
use super::resource::{
    IdleObservation, WorkspaceDecision, WorkspaceEffect, WorkspaceLook, WorkspaceObservation,
};
use crate::engine::{Decision, Stamped, Transition, encode};
use crate::error::{ErrorKind, ErrorRecord, Result};
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::node_link::Preparation;
use crate::policy::Policy;
use crate::published_name::NameRecord;
use crate::store::{Due, Expect, RecordKey, Write};
use crate::time::Timestamp;

/// Pause between two questions to an agent that is at work; it answers late by itself.
const PREPARE_POLL: Duration = Duration::from_millis(100);
/// Pause while another record is at work that wakes this one when it is done.
pub(super) const WOKEN: Duration = Duration::from_mins(1);

/// Decides what is next for a workspace.
///
/// # Errors
/// `Bug` when a record cannot be encoded.
pub fn decide(
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
    policy: &Policy,
) -> Result<WorkspaceDecision> {
    let step = Step { workspace, now, policy };
    if let Some(decision) = step.deletion_wished().or_else(|| step.end_of_life(observation)) {
        return Ok(decision);
    }
    match workspace.state {
        WorkspaceState::Requested => Ok(step.write(WorkspaceState::Placing, "placing_started")),
        WorkspaceState::Placing => step.place(observation),
        WorkspaceState::Preparing | WorkspaceState::Starting => Ok(step.prepare(observation)),
        WorkspaceState::Running => Ok(step.running(observation)),
        WorkspaceState::Stopping => Ok(step.stop(observation)),
        WorkspaceState::Stopped => Ok(match workspace.wish {
            WorkspaceWish::Running => step.write(WorkspaceState::Starting, "starting_started"),
            WorkspaceWish::Deleted | WorkspaceWish::Stopped => step.rest(None),
        }),
        WorkspaceState::Interrupted => Ok(step.interrupted(observation)),
        WorkspaceState::Failed | WorkspaceState::Deleting => step.leave(observation),
        WorkspaceState::Deleted => Ok(Decision::Rest(Due::Never)),
    }
}

/// One decision: what it is about, and by which rules.
pub(super) struct Step<'a> {
    pub(super) workspace: &'a WorkspaceRecord,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
}

/// How a node is, as far as a workspace on it cares.
pub(super) enum Standing<'a> {
    /// It can be used.
    Ready(&'a NodeRecord),
    /// Not now; it says when.
    Later(&'a NodeRecord),
    /// Never again.
    Over(Option<&'a NodeRecord>),
}

impl Step<'_> {
    /// A wish to delete comes before everything else.
    fn deletion_wished(&self) -> Option<WorkspaceDecision> {
        let workspace = self.workspace;
        let under_way =
            matches!(workspace.state, WorkspaceState::Deleting | WorkspaceState::Deleted);
        (workspace.wish == WorkspaceWish::Deleted && !under_way).then(|| {
            let next = self.workspace.moved_to(WorkspaceState::Deleting, self.now);
            let transition = Transition::new(next, "deletion_started");
            Decision::Write(Box::new(transition.with_wakes([self.published_name()])))
        })
    }

    /// Nobody asked for the end of a life, so it is subject to the hold: it is asked first, and where
    /// it is in force the workspace goes on as if it still had time.
    fn end_of_life(&self, observation: Option<&WorkspaceObservation>) -> Option<WorkspaceDecision> {
        if self.workspace.wish == WorkspaceWish::Deleted {
            return None;
        }
        let (left, over) = life_left(self.workspace, self.now, self.policy)?;
        if !left.is_zero() {
            return None;
        }
        match observation {
            None => Some(Decision::Look(WorkspaceLook::Hold)),
            Some(WorkspaceObservation::Hold(hold)) => {
                let (key, expect) = hold.clearance()?;
                let mut next = self.workspace.moved_to(WorkspaceState::Deleting, self.now);
                next.wish = WorkspaceWish::Deleted;
                let transition = Transition::new(next, over.event()).with_check(key, expect);
                let transition = transition.with_wakes([self.published_name()]);
                Some(Decision::Write(Box::new(transition)))
            }
            Some(
                WorkspaceObservation::Idle(_)
                | WorkspaceObservation::Node(_)
                | WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            ) => None,
        }
    }

    /// What goes with the workspace, where it is published.
    fn published_name(&self) -> RecordKey {
        NameRecord::key_of(self.workspace.id)
    }

    /// How long it may rest because of its life: until it ends, and where that is past and held,
    /// until the hold is looked at again.
    fn life_rest(&self, workspace: &WorkspaceRecord) -> Option<Duration> {
        // Once it is being deleted its life no longer matters.
        if workspace.wish == WorkspaceWish::Deleted {
            return None;
        }
        let (left, _) = life_left(workspace, self.now, self.policy)?;
        Some(if left.is_zero() { self.policy.hold_poll } else { left })
    }

    /// A node that is away for long interrupts its workspaces, so that their owner learns of it; when
    /// it comes back they are started again.
    fn node_away(&self, node: &NodeRecord) -> WorkspaceDecision {
        let left = self.policy.unreachable_patience.saturating_sub(self.now.since(node.state_at));
        if node.state != NodeState::Unreachable || !left.is_zero() {
            return self.rest(Some(if left.is_zero() { WOKEN } else { left }));
        }
        let mut next = self.workspace.moved_to(WorkspaceState::Interrupted, self.now);
        next.error = Some(
            ErrorRecord::new(ErrorKind::Unavailable, "run", "its node has not answered for long")
                .with_hint("it is started again when the node is back; or delete it"),
        );
        to(next, "node_away")
    }

    pub(super) fn write(&self, state: WorkspaceState, event: &'static str) -> WorkspaceDecision {
        to(self.workspace.moved_to(state, self.now), event)
    }

    /// Rests at most until the end of its life.
    pub(super) fn rest(&self, span: Option<Duration>) -> WorkspaceDecision {
        let life = self.life_rest(self.workspace);
        Decision::Rest(match (span, life) {
            (Some(span), Some(life)) => Due::In(span.min(life)),
            (Some(span), None) | (None, Some(span)) => Due::In(span),
            (None, None) => Due::Never,
        })
    }

    pub(super) fn patience(&self) -> WorkspaceDecision {
        self.rest(Some(self.policy.patience(self.workspace.state_at, self.now)))
    }

    /// Settled in a state: nothing more until woken, or until its life ends.
    pub(super) fn settled(&self, next: WorkspaceRecord, event: &'static str) -> WorkspaceDecision {
        let due = self.life_rest(&next).map_or(Due::Never, Due::In);
        // A wish that came meanwhile is looked at right away.
        let settled = match next.state {
            // Idleness is watched from the first moment.
            WorkspaceState::Running => {
                next.wish == WorkspaceWish::Running && self.idle_settings().is_none()
            }
            WorkspaceState::Stopped => next.wish == WorkspaceWish::Stopped,
            WorkspaceState::Requested
            | WorkspaceState::Placing
            | WorkspaceState::Preparing
            | WorkspaceState::Stopping
            | WorkspaceState::Starting
            | WorkspaceState::Failed
            | WorkspaceState::Interrupted
            | WorkspaceState::Deleting
            | WorkspaceState::Deleted => true,
        };
        let due = if settled { due } else { Due::NOW };
        Decision::Write(Box::new(Transition::new(next, event).with_due(due)))
    }

    pub(super) fn failed(&self, error: ErrorRecord) -> WorkspaceDecision {
        to(self.workspace.failed(error, self.now), "workspace_failed")
    }

    pub(super) fn look(&self) -> WorkspaceDecision {
        match self.workspace.node {
            Some(node) => Decision::Look(WorkspaceLook::Node(node)),
            None => Decision::Look(WorkspaceLook::Placement),
        }
    }

    pub(super) fn due_within(&self, span: Duration) -> Due {
        Due::In(self.life_rest(self.workspace).map_or(span, |life| span.min(life)))
    }

    pub(super) fn make_ready(&self, node: &NodeRecord, state: WorkspaceState) -> WorkspaceDecision {
        let effect = WorkspaceEffect::Prepare(node.id);
        let announced = self.workspace.state == state && self.workspace.instance == node.instance;
        if announced {
            return Decision::Act(None, effect);
        }
        let mut next = if self.workspace.state == state {
            self.workspace.clone()
        } else {
            self.workspace.moved_to(state, self.now)
        };
        next.instance.clone_from(&node.instance);
        let event = if state == WorkspaceState::Preparing {
            "preparation_started"
        } else {
            "start_announced"
        };
        Decision::Act(Some(Box::new(Transition::new(next, event))), effect)
    }

    fn prepare(&self, observation: Option<&WorkspaceObservation>) -> WorkspaceDecision {
        let workspace = self.workspace;
        match observation {
            Some(WorkspaceObservation::Prepared(Ok(preparation))) => self.prepared(preparation),
            Some(WorkspaceObservation::Prepared(Err(error))) => {
                if self.now.since(workspace.state_at) >= self.policy.prepare_deadline {
                    return self.failed(ErrorRecord::from(error).or_operation("prepare"));
                }
                self.patience()
            }
            Some(WorkspaceObservation::Node(Ok(node))) => match standing(node.as_ref()) {
                Standing::Ready(node) => self.make_ready(node, workspace.state),
                Standing::Later(_) => self.patience(),
                Standing::Over(node) => self.failed(node_error(node)),
            },
            Some(WorkspaceObservation::Node(Err(_))) => self.patience(),
            Some(
                WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Idle(_)
                | WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            )
            | None => self.look(),
        }
    }

    fn prepared(&self, preparation: &Preparation) -> WorkspaceDecision {
        match preparation {
            Preparation::Ready { commit, branch } => {
                let mut next = self.workspace.moved_to(WorkspaceState::Running, self.now);
                next.commit.clone_from(commit);
                next.branch.clone_from(branch);
                next.error = None;
                self.settled(next, "workspace_running")
            }
            Preparation::InProgress { step } if self.workspace.detail() == Some(step) => {
                self.rest(Some(PREPARE_POLL))
            }
            Preparation::InProgress { step } => {
                let mut next = self.workspace.clone();
                next.set_detail(step.clone());
                let transition = Transition::new(next, "preparation_progressed");
                Decision::Write(Box::new(transition.with_due(self.due_within(PREPARE_POLL))))
            }
            Preparation::Failed { error } => self.failed(error.clone().or_operation("prepare")),
        }
    }

    fn running(&self, observation: Option<&WorkspaceObservation>) -> WorkspaceDecision {
        let workspace = self.workspace;
        if workspace.wish == WorkspaceWish::Stopped
            && let Some(node) = workspace.node
        {
            let next = workspace.moved_to(WorkspaceState::Stopping, self.now);
            let transition = Transition::new(next, "stop_started");
            return Decision::Act(Some(Box::new(transition)), WorkspaceEffect::Stop(node));
        }
        match observation {
            Some(WorkspaceObservation::Node(Ok(node))) => match standing(node.as_ref()) {
                Standing::Ready(node) if node.instance == workspace.instance => {
                    self.idle_look(node.id)
                }
                Standing::Ready(_) => self.write(WorkspaceState::Interrupted, "processes_lost"),
                Standing::Later(node) => self.node_away(node),
                Standing::Over(node) => {
                    let mut next = workspace.moved_to(WorkspaceState::Interrupted, self.now);
                    next.error = Some(node_error(node));
                    to(next, "node_lost")
                }
            },
            Some(WorkspaceObservation::Idle(observed)) => self.idle_observed(observed),
            Some(WorkspaceObservation::Node(Err(_))) => self.patience(),
            Some(
                WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            )
            | None => self.look(),
        }
    }

    fn stop(&self, observation: Option<&WorkspaceObservation>) -> WorkspaceDecision {
        let stopped = || {
            let next = self.workspace.moved_to(WorkspaceState::Stopped, self.now);
            self.settled(next, "workspace_stopped")
        };
        match observation {
            Some(WorkspaceObservation::Stopped(Ok(()))) => stopped(),
            Some(WorkspaceObservation::Stopped(Err(_)) | WorkspaceObservation::Node(Err(_))) => {
                self.patience()
            }
            Some(WorkspaceObservation::Node(Ok(node))) => match standing(node.as_ref()) {
                Standing::Ready(node) => Decision::Act(None, WorkspaceEffect::Stop(node.id)),
                Standing::Later(_) => self.patience(),
                // Nothing runs on a node that is gone.
                Standing::Over(_) => stopped(),
            },
            Some(WorkspaceObservation::Idle(IdleObservation::InUse)) => self.in_use_after_all(),
            Some(
                WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Idle(
                    IdleObservation::Activity(_) | IdleObservation::Warned(_),
                )
                | WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. },
            )
            | None => self.look(),
        }
    }

    fn interrupted(&self, observation: Option<&WorkspaceObservation>) -> WorkspaceDecision {
        if self.workspace.wish == WorkspaceWish::Stopped {
            let next = self.workspace.moved_to(WorkspaceState::Stopped, self.now);
            return self.settled(next, "workspace_stopped");
        }
        match observation {
            Some(WorkspaceObservation::Node(Ok(node))) => match standing(node.as_ref()) {
                Standing::Ready(node) => self.make_ready(node, WorkspaceState::Starting),
                Standing::Later(_) => self.patience(),
                // Its data went with the node: a person decides.
                Standing::Over(_) => self.rest(None),
            },
            Some(WorkspaceObservation::Node(Err(_))) => self.patience(),
            Some(
                WorkspaceObservation::Placement(_)
                | WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Idle(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            )
            | None => self.look(),
        }
    }

    pub(super) fn deleted(&self) -> WorkspaceDecision {
        Decision::Write(Box::new(self.deletion()))
    }

    pub(super) fn deletion(&self) -> Transition<WorkspaceRecord> {
        let next = self.workspace.moved_to(WorkspaceState::Deleted, self.now);
        Transition::new(next, "workspace_deleted")
            .with_unique(self.workspace.name_released())
            .with_due(Due::Never)
    }
}

pub(super) fn node_write(node: &NodeRecord, expect: Expect, event: &'static str) -> Result<Write> {
    let body = encode(node)?;
    Ok(Write::put(NodeRecord::key_of(node.id), expect, body, event)
        .with_index(crate::engine::Stored::index(node))
        .with_due(Due::NOW))
}

pub(super) fn to(next: WorkspaceRecord, event: &'static str) -> WorkspaceDecision {
    Decision::Write(Box::new(Transition::new(next, event)))
}

pub(super) fn standing(node: Option<&Stamped<NodeRecord>>) -> Standing<'_> {
    let Some(node) = node.map(|stamped| &stamped.record) else { return Standing::Over(None) };
    match node.state {
        NodeState::Ready if node.wish == NodeWish::Kept => Standing::Ready(node),
        NodeState::Requested
        | NodeState::Creating
        | NodeState::Booting
        | NodeState::Unreachable
            if node.wish == NodeWish::Kept =>
        {
            Standing::Later(node)
        }
        NodeState::Requested
        | NodeState::Creating
        | NodeState::Booting
        | NodeState::Ready
        | NodeState::Unreachable
        | NodeState::Draining
        | NodeState::Deleting
        | NodeState::Deleted
        | NodeState::Failed
        | NodeState::Lost
        | NodeState::Recovered => Standing::Over(Some(node)),
    }
}

pub(super) fn node_error(node: Option<&NodeRecord>) -> ErrorRecord {
    node.and_then(|node| node.error.clone()).unwrap_or_else(|| {
        ErrorRecord::new(ErrorKind::Unavailable, "place", "its node is gone")
            .with_hint("delete the workspace and create it again")
    })
}
