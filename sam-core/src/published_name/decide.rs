//! What is next for a published name. Pure and total.
//!
//! The one thing never forgotten: a name that may have been put is only called Deleted after the DNS
//! said that nothing is left, and after every put whose reply was lost can no longer take effect.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::publishing::NameTarget;
use super::record::{NameRecord, NameState};
use super::resource::{NameDecision, NameEffect, NameLook, NameObservation};
use crate::engine::{Decision, Transition};
use crate::error::{Effect, Error, ErrorRecord, Result};
use crate::policy::Policy;
use crate::store::Due;
use crate::time::Timestamp;

/// Decides what is next for a published name, which shall point to `target`.
pub fn decide(
    name: &NameRecord,
    observation: Option<&NameObservation>,
    now: Timestamp,
    policy: &Policy,
    target: &NameTarget,
) -> NameDecision {
    let step = Step { name, now, policy, target };
    match name.state {
        NameState::Requested | NameState::Putting | NameState::Published => match observation {
            Some(NameObservation::Put(result)) if name.state == NameState::Putting => {
                step.put_answered(result)
            }
            Some(NameObservation::Wanted(Ok(true))) => step.wanted(),
            Some(NameObservation::Wanted(Ok(false))) => step.unwanted(),
            Some(NameObservation::Wanted(Err(_))) => {
                Decision::rest_for(policy.patience(name.state_at, now))
            }
            Some(NameObservation::Put(_) | NameObservation::Deleted(_)) | None => {
                Decision::Look(NameLook::Wanted)
            }
        },
        NameState::Deleting => match observation {
            Some(NameObservation::Deleted(Ok(()))) => step.deleted(),
            Some(NameObservation::Deleted(Err(error))) => {
                step.retry(name.clone(), error, "name_deletion_failed")
            }
            Some(NameObservation::Put(_) | NameObservation::Wanted(_)) | None => step.delete(),
        },
        NameState::Deleted => Decision::Rest(Due::Never),
    }
}

struct Step<'a> {
    name: &'a NameRecord,
    now: Timestamp,
    policy: &'a Policy,
    target: &'a NameTarget,
}

impl Step<'_> {
    fn wanted(&self) -> NameDecision {
        if self.name.state == NameState::Published && self.name.target == self.target.texts() {
            return Decision::rest_for(self.policy.name_check_every);
        }
        let mut next = if self.name.state == NameState::Putting {
            self.name.clone()
        } else {
            self.name.moved_to(NameState::Putting, self.now)
        };
        // From the second attempt on, the reply of an earlier one is missing or was an error: it may
        // take effect late.
        next.put_unsettled |= self.name.state == NameState::Putting;
        next.put_at = Some(self.now);
        next.target = self.target.texts();
        Decision::Act(Some(Box::new(Transition::new(next, "name_put_started"))), NameEffect::Put)
    }

    fn put_answered(&self, result: &Result<()>) -> NameDecision {
        let mut next = self.name.clone();
        next.put_at = Some(self.now);
        match result {
            Ok(()) => {
                next = next.moved_to(NameState::Published, self.now);
                next.error = None;
                let due = Due::In(self.policy.name_check_every);
                let transition = Transition::new(next, "name_published").with_due(due);
                Decision::Write(Box::new(transition))
            }
            Err(error) => {
                next.put_unsettled |= error.effect() == Effect::Unknown;
                self.retry(next, error, "name_put_failed")
            }
        }
    }

    /// Stays in the state, counts a failure and tries again after a pause.
    fn retry(&self, mut next: NameRecord, error: &Error, event: &'static str) -> NameDecision {
        next.attempts = next.attempts.saturating_add(1);
        next.error = Some(ErrorRecord::from(error));
        let pause = self.policy.pause_after(error, next.attempts);
        Decision::Write(Box::new(Transition::new(next, event).with_due(Due::In(pause))))
    }

    fn unwanted(&self) -> NameDecision {
        if self.name.state == NameState::Requested {
            return self.deleted();
        }
        let mut next = self.name.moved_to(NameState::Deleting, self.now);
        if self.name.state == NameState::Putting {
            // What an engine was at when it ended may be on its way since any moment up to now.
            next.put_unsettled = true;
            next.put_at = Some(self.now);
        }
        let unsettled_for = unsettled_for(&next, self.now, self.policy);
        let transition = Transition::new(next, "name_deletion_started");
        if unsettled_for.is_zero() {
            Decision::Act(Some(Box::new(transition)), NameEffect::Delete)
        } else {
            Decision::Write(Box::new(transition.with_due(Due::In(unsettled_for))))
        }
    }

    /// A late put would come back without its mark, and nobody would know whose it is: the name is
    /// deleted when all of them are settled, and not before.
    fn delete(&self) -> NameDecision {
        let unsettled_for = unsettled_for(self.name, self.now, self.policy);
        if unsettled_for.is_zero() {
            Decision::Act(None, NameEffect::Delete)
        } else {
            Decision::rest_for(unsettled_for)
        }
    }

    fn deleted(&self) -> NameDecision {
        let mut next = self.name.moved_to(NameState::Deleted, self.now);
        next.put_unsettled = false;
        next.error = None;
        let transition = Transition::new(next, "name_deleted").with_due(Due::Never);
        Decision::Write(Box::new(transition))
    }
}

/// How long a put whose reply was lost may still take effect.
fn unsettled_for(name: &NameRecord, now: Timestamp, policy: &Policy) -> Duration {
    match name.put_at {
        Some(at) if name.put_unsettled => at.plus(policy.name_settles_within).since(now),
        Some(_) | None => Duration::ZERO,
    }
}
