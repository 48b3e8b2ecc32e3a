//! What is next for a node. Pure and total.
//!
//! The one thing never forgotten: a node that may have bought something is only called Deleted
//! after the provider said that nothing is left, and after every create whose reply was lost can
//! no longer take effect.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::record::{NodeRecord, NodeState, NodeWish};
use super::resource::{NodeDecision, NodeEffect, NodeLook, NodeObservation};
use crate::compute::{Deletion, Machine, Power};
use crate::engine::{Decision, Transition};
use crate::error::{Effect, Error, ErrorKind, ErrorRecord, Result, Retry};
use crate::node_link::Readiness;
use crate::policy::Policy;
use crate::spend::SpendRecord;
use crate::store::Due;
use crate::time::Timestamp;

/// Decides what is next for a node.
pub fn decide(
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
    policy: &Policy,
) -> NodeDecision {
    let step = Step { node, now, policy };
    let gone = node.wish == NodeWish::Gone;
    if !gone && let Some(decision) = step.unused(observation) {
        return decision;
    }
    match node.state {
        NodeState::Requested if gone => step.deleted(),
        NodeState::Requested => step.create(),
        NodeState::Creating => match observation {
            Some(NodeObservation::Created(result)) => step.created(result),
            _ if gone => step.delete("deletion_started"),
            _ if step.late(policy.provision_deadline) => step.failed(step.timeout("create")),
            _ => step.create(),
        },
        NodeState::Booting if gone => step.delete("deletion_started"),
        NodeState::Booting if let Some(error) = step.boot_failure() => step.failed(error),
        NodeState::Booting => match observation {
            Some(NodeObservation::Survey { readiness: Ok(Some(readiness)), .. }) => {
                step.ready(readiness)
            }
            _ if step.late(policy.provision_deadline) => step.failed(step.timeout("boot")),
            Some(NodeObservation::Survey { machine, .. }) => step.not_booted(machine),
            Some(NodeObservation::Powered(_)) => Decision::rest_for(policy.boot_poll),
            _ => Decision::Look(NodeLook::Survey),
        },
        NodeState::Ready | NodeState::Unreachable if gone => {
            let next = node.moved_to(NodeState::Draining, now);
            Decision::Act(Some(step.wake(next, "drain_started")), NodeEffect::Drain)
        }
        NodeState::Ready => match observation {
            Some(NodeObservation::Readiness(Ok(Some(readiness)))) => step.still_ready(readiness),
            Some(NodeObservation::Readiness(_)) => {
                let next = node.moved_to(NodeState::Unreachable, now);
                Decision::Write(step.wake(next, "node_unreachable"))
            }
            _ => Decision::Look(NodeLook::Readiness),
        },
        NodeState::Unreachable => match observation {
            Some(NodeObservation::Survey { readiness, machine }) => step.survey(readiness, machine),
            Some(NodeObservation::Powered(_)) => {
                Decision::rest_for(policy.patience(node.state_at, now))
            }
            _ => Decision::Look(NodeLook::Survey),
        },
        NodeState::Draining => step.delete("deletion_started"),
        NodeState::Deleting => match observation {
            Some(NodeObservation::Deleted(result)) => step.deletion(result),
            _ => Decision::Act(None, NodeEffect::DeleteMachine),
        },
        NodeState::Failed | NodeState::Lost | NodeState::Recovered if gone => {
            step.delete("deletion_started")
        }
        NodeState::Deleted | NodeState::Failed | NodeState::Lost | NodeState::Recovered => {
            Decision::Rest(Due::Never)
        }
    }
}

struct Step<'a> {
    node: &'a NodeRecord,
    now: Timestamp,
    policy: &'a Policy,
}

impl Step<'_> {
    /// A transition that the workspaces on the node shall look at.
    fn wake(&self, next: NodeRecord, event: &'static str) -> Box<Transition<NodeRecord>> {
        Box::new(Transition::new(next, event).with_wakes(self.node.workspace_keys()))
    }

    /// A node that nobody uses goes when it was kept long enough. Nobody asked for that, so it is
    /// subject to the hold.
    fn unused(&self, observation: Option<&NodeObservation>) -> Option<NodeDecision> {
        let unused = self.node.workspaces.is_empty() || self.node.retired;
        let since = self.node.unused_since.filter(|_| unused)?;
        let kept = match self.node.state {
            NodeState::Ready | NodeState::Unreachable if !self.node.retired => {
                self.policy.keep_warm
            }
            NodeState::Requested
            | NodeState::Creating
            | NodeState::Booting
            | NodeState::Ready
            | NodeState::Unreachable
            | NodeState::Failed
            | NodeState::Lost => Duration::ZERO,
            NodeState::Draining
            | NodeState::Deleting
            | NodeState::Deleted
            | NodeState::Recovered => return None,
        };
        if self.now.since(since) < kept {
            return None;
        }
        Some(match observation {
            Some(NodeObservation::Hold(hold)) => match hold.clearance() {
                Some((key, expect)) => {
                    let next = self.node.wished(NodeWish::Gone);
                    let transition = Transition::new(next, "unused_node_given_up");
                    Decision::Write(Box::new(transition.with_check(key, expect)))
                }
                None => Decision::rest_for(self.policy.hold_poll),
            },
            _ => Decision::Look(NodeLook::Hold),
        })
    }

    /// How long a ready node may rest that nobody wakes.
    fn ready_rest(&self) -> Duration {
        let left = match self.node.unused_since {
            Some(since) if self.node.workspaces.is_empty() => {
                self.policy.keep_warm.saturating_sub(self.now.since(since))
            }
            _ => self.policy.ready_poll,
        };
        self.policy.ready_poll.min(left)
    }

    fn late(&self, deadline: Duration) -> bool {
        self.now.since(self.node.created_at) >= deadline
    }

    fn timeout(&self, step: &str) -> ErrorRecord {
        let spent = self.policy.provision_deadline.as_secs();
        let last = self.node.error.as_ref().map(|error| format!(": {}", error.message));
        let phase = self.node.boot_phase();
        let last = last.unwrap_or_default();
        let message = format!("it was not ready within {spent} s: {phase}{last}");
        ErrorRecord::new(ErrorKind::Timeout, step, message)
            .with_hint("look at the node's log, then delete the workspace and create it again")
    }

    /// A machine that says that its start failed will not become a node: it ended there.
    fn boot_failure(&self) -> Option<ErrorRecord> {
        let boot = self.node.boot.as_ref().filter(|boot| boot.has_failed())?;
        let message = format!("its machine did not start: {boot}");
        Some(ErrorRecord::new(ErrorKind::Unavailable, "boot", message).with_hint(
            "correct what it names, then delete the workspace and create it again; \
             /var/log/cloud-init-output.log on the machine says more",
        ))
    }

    fn create(&self) -> NodeDecision {
        // From the second attempt on, the reply of an earlier one is missing or was an error:
        // it may take effect late.
        let mut next = if self.node.state == NodeState::Creating {
            self.node.clone()
        } else {
            self.node.moved_to(NodeState::Creating, self.now)
        };
        next.create_unsettled = self.node.create_at.is_some();
        next.create_at = Some(self.now);
        let transition = Transition::new(next, "create_started");
        Decision::Act(Some(Box::new(transition)), NodeEffect::CreateMachine)
    }

    fn created(&self, result: &Result<Machine>) -> NodeDecision {
        let error = match result {
            Ok(machine) => {
                let mut next = self.node.moved_to(NodeState::Booting, self.now);
                next.provider_id = Some(machine.provider_id.clone());
                next.error = None;
                return Decision::Write(Box::new(Transition::new(next, "machine_created")));
            }
            Err(error) => error,
        };
        let hopeless = error.retry() == Retry::Never && error.effect() == Effect::NotApplied;
        if hopeless || self.late(self.policy.provision_deadline) {
            return self.failed(ErrorRecord::from(error).or_operation("create"));
        }
        let mut next = self.node.clone();
        next.create_unsettled |= error.effect() == Effect::Unknown;
        self.retry(next, error, "create_failed")
    }

    /// Stays in the state, counts a failure and tries again after a pause.
    fn retry(&self, mut next: NodeRecord, error: &Error, event: &'static str) -> NodeDecision {
        next.attempts = next.attempts.saturating_add(1);
        next.error = Some(ErrorRecord::from(error));
        let pause = self.policy.pause_after(error, next.attempts);
        Decision::Write(Box::new(Transition::new(next, event).with_due(Due::In(pause))))
    }

    fn ready(&self, readiness: &Readiness) -> NodeDecision {
        let mut next = self.node.moved_to(NodeState::Ready, self.now);
        next.instance = Some(readiness.instance.clone());
        next.error = None;
        let transition = self.wake(next, "node_ready").with_due(Due::In(self.ready_rest()));
        Decision::Write(Box::new(transition))
    }

    fn still_ready(&self, readiness: &Readiness) -> NodeDecision {
        if self.node.instance.as_ref() == Some(&readiness.instance) {
            return Decision::rest_for(self.ready_rest());
        }
        let mut next = self.node.clone();
        next.instance = Some(readiness.instance.clone());
        let transition = self.wake(next, "processes_lost");
        Decision::Write(Box::new(transition.with_due(Due::In(self.ready_rest()))))
    }

    /// A machine that is off by accident is switched on; one that is gone will never call.
    fn not_booted(&self, machine: &Result<Option<Machine>>) -> NodeDecision {
        match machine {
            Ok(None) => self.failed(
                ErrorRecord::new(ErrorKind::NotFound, "boot", "the machine is gone")
                    .with_hint("delete the workspace and create it again"),
            ),
            Ok(Some(machine)) if machine.power == Power::Off => self.power_on(),
            Ok(Some(_)) | Err(_) => Decision::rest_for(self.policy.boot_poll),
        }
    }

    fn power_on(&self) -> NodeDecision {
        let mut next = self.node.clone();
        next.attempts = next.attempts.saturating_add(1);
        let transition = Transition::new(next, "power_on_started");
        Decision::Act(Some(Box::new(transition)), NodeEffect::PowerOn)
    }

    fn survey(
        &self,
        readiness: &Result<Option<Readiness>>,
        machine: &Result<Option<Machine>>,
    ) -> NodeDecision {
        if let Ok(Some(readiness)) = readiness {
            return self.ready(readiness);
        }
        match machine {
            Ok(None) => {
                let mut next = self.node.moved_to(NodeState::Lost, self.now);
                next.error = Some(
                    ErrorRecord::new(ErrorKind::NotFound, "survey", "the machine is gone")
                        .with_hint("its data went with it: delete the workspace"),
                );
                Decision::Write(self.wake(next, "machine_lost"))
            }
            Ok(Some(machine)) if machine.power == Power::Off => self.power_on(),
            Ok(Some(_)) | Err(_) => {
                Decision::rest_for(self.policy.patience(self.node.state_at, self.now))
            }
        }
    }

    fn failed(&self, error: ErrorRecord) -> NodeDecision {
        let mut next = self.node.moved_to(NodeState::Failed, self.now);
        next.error = Some(error);
        Decision::Write(self.wake(next, "node_failed"))
    }

    fn delete(&self, event: &'static str) -> NodeDecision {
        let mut next = self.node.moved_to(NodeState::Deleting, self.now);
        // An unanswered create may still be on its way.
        next.create_unsettled |= self.node.state == NodeState::Creating;
        Decision::Act(Some(Box::new(Transition::new(next, event))), NodeEffect::DeleteMachine)
    }

    fn deletion(&self, result: &Result<Deletion>) -> NodeDecision {
        match result {
            Ok(Deletion::Gone) => {
                let settled_in = match self.node.create_at {
                    Some(at) if self.node.create_unsettled => {
                        let within = self.node.create_settles_within;
                        let end = at.plus(within.max(self.policy.create_settles_within));
                        end.since(self.now)
                    }
                    _ => Duration::ZERO,
                };
                if settled_in.is_zero() { self.deleted() } else { Decision::rest_for(settled_in) }
            }
            Ok(Deletion::InProgress) => {
                Decision::rest_for(self.policy.patience(self.node.state_at, self.now))
            }
            Err(error) => self.retry(self.node.clone(), error, "deletion_failed"),
        }
    }

    fn deleted(&self) -> NodeDecision {
        let mut next = self.node.moved_to(NodeState::Deleted, self.now);
        next.create_unsettled = false;
        let spend = SpendRecord::key_of(&self.node.owner);
        let transition = self.wake(next, "node_deleted").with_wakes([spend]);
        Decision::Write(Box::new(transition.with_due(Due::Never)))
    }
}
