//! What is next for an orphan. Pure and total.
//!
//! It is looked at again right before it is deleted, and only what the records prove to be nobody's is
//! deleted without a person.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::record::{OrphanRecord, OrphanState};
use super::resource::{OrphanDecision, OrphanEffect, OrphanLook, OrphanObservation};
use crate::engine::{Decision, Transition};
use crate::error::{Error, ErrorRecord};
use crate::hold::Hold;
use crate::policy::Policy;
use crate::store::{Due, Expect, RecordKey};
use crate::sweep::{Reason, Standing};
use crate::time::Timestamp;

/// Between two looks at something that waits for a person.
const HELD_POLL: Duration = Duration::from_hours(24);

/// Decides what is next for an orphan.
pub fn decide(
    orphan: &OrphanRecord,
    observation: Option<&OrphanObservation>,
    now: Timestamp,
    policy: &Policy,
) -> OrphanDecision {
    let step = Step { orphan, now, policy };
    let left = policy.orphan_grace.saturating_sub(now.since(orphan.found_at));
    let waits = orphan.state == OrphanState::Suspected && !left.is_zero();
    match observation {
        None if waits && orphan.reason.is_proof() && !orphan.delete_wished => {
            Decision::rest_for(left)
        }
        None => Decision::Look(OrphanLook),
        Some(OrphanObservation::Seen { standing: Ok(standing), hold }) => {
            step.seen(*standing, *hold)
        }
        Some(OrphanObservation::Deleted(Ok(()))) => {
            // The next look tells whether it is gone.
            Decision::rest_for(policy.patience(orphan.state_at, now))
        }
        Some(
            OrphanObservation::Seen { standing: Err(error), .. }
            | OrphanObservation::Deleted(Err(error)),
        ) => step.failed(error),
    }
}

struct Step<'a> {
    orphan: &'a OrphanRecord,
    now: Timestamp,
    policy: &'a Policy,
}

impl Step<'_> {
    fn seen(&self, standing: Option<Standing>, hold: Hold) -> OrphanDecision {
        let reason = match standing {
            None if self.orphan.state == OrphanState::Deleting => {
                return Decision::Forget { event: "orphan_deleted" };
            }
            None => return Decision::Forget { event: "orphan_gone" },
            // A record answers for it after all, or it was never ours.
            Some(Standing::Known | Standing::Strange) => {
                return Decision::Forget { event: "orphan_claimed" };
            }
            Some(Standing::Recover(_)) => Reason::Unclear,
            Some(Standing::Orphan(reason)) => reason,
        };
        match self.orphan.state {
            OrphanState::Deleting => Decision::Act(None, OrphanEffect::Delete),
            OrphanState::Held | OrphanState::Suspected if self.orphan.delete_wished => {
                self.delete(reason, None)
            }
            OrphanState::Held => Decision::rest_for(HELD_POLL),
            OrphanState::Suspected if !reason.is_proof() => self.held(reason),
            OrphanState::Suspected => match hold.clearance() {
                None => Decision::rest_for(self.policy.hold_poll),
                clearance => self.delete(reason, clearance),
            },
        }
    }

    fn delete(&self, reason: Reason, clearance: Option<(RecordKey, Expect)>) -> OrphanDecision {
        let mut next = self.orphan.moved_to(OrphanState::Deleting, self.now);
        next.reason = reason;
        let mut transition = Transition::new(next, "orphan_deletion_started");
        transition.checks.extend(clearance);
        Decision::Act(Some(Box::new(transition)), OrphanEffect::Delete)
    }

    fn held(&self, reason: Reason) -> OrphanDecision {
        let mut next = self.orphan.moved_to(OrphanState::Held, self.now);
        next.reason = reason;
        let transition = Transition::new(next, "orphan_held").with_due(Due::In(HELD_POLL));
        Decision::Write(Box::new(transition))
    }

    fn failed(&self, error: &Error) -> OrphanDecision {
        let mut next = self.orphan.clone();
        next.attempts = next.attempts.saturating_add(1);
        next.error = Some(ErrorRecord::from(error));
        let pause = self.policy.pause_after(error, next.attempts);
        let transition = Transition::new(next, "orphan_not_settled").with_due(Due::In(pause));
        Decision::Write(Box::new(transition))
    }
}
