//! What is next for a delivery. Pure and total.
//!
//! One that a newer one supersedes is done wherever it stands; every other waits for its turn, and is
//! counted before the handler is asked, so that one that ends the process is given up, too.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::line::Line;
use super::record::{DeliveryOutcome, DeliveryPayload, DeliveryRecord, DeliveryState};
use super::resource::{DeliveryDecision, DeliveryEffect, DeliveryLook, DeliveryObservation};
use crate::engine::{Decision, Transition};
use crate::error::{Error, ErrorKind, ErrorRecord, Retry};
use crate::policy::Policy;
use crate::store::{Due, Expect, Write};
use crate::time::Timestamp;

/// Between two looks of one whose turn has not come. Those before it wake it when they end, whatever
/// crashes, so this only makes good what nobody thought of; a look reads the whole line.
const TURN_POLL: Duration = Duration::from_mins(15);

/// Decides what is next for a delivery.
pub fn decide(
    delivery: &DeliveryRecord,
    observation: Option<&DeliveryObservation>,
    now: Timestamp,
    policy: &Policy,
) -> DeliveryDecision {
    let step = Step { delivery, now, policy };
    let left = match delivery.state {
        DeliveryState::Received | DeliveryState::Queued => return step.open(observation),
        DeliveryState::Done => DeliveryRecord::DONE_KEPT,
        DeliveryState::Failed => DeliveryRecord::FAILED_KEPT,
    };
    let left = left.saturating_sub(now.since(delivery.state_at));
    match (observation, delivery.state) {
        (None | Some(_), DeliveryState::Done) if left.is_zero() => {
            Decision::Forget { event: "delivery_forgotten" }
        }
        (None | Some(_), DeliveryState::Failed) if left.is_zero() => {
            step.done(DeliveryOutcome::Abandoned, delivery.place, None)
        }
        (None, _) if delivery.line().is_none() => Decision::rest_for(left),
        // Only now that this one is written out of the line is it known who is next.
        (None | Some(DeliveryObservation::Handled(_)), _) => Decision::Look(DeliveryLook),
        (Some(DeliveryObservation::Line(Err(_))), _) => Decision::rest_for(policy.backoff(1)),
        (Some(DeliveryObservation::Line(Ok(line))), _) => match &line.next {
            None => Decision::rest_for(left),
            Some(next) => {
                let wakes = [DeliveryRecord::key_of(next)];
                let transition = Transition::new(delivery.clone(), "delivery_line_moved");
                Decision::Write(Box::new(transition.with_due(Due::In(left)).with_wakes(wakes)))
            }
        },
    }
}

struct Step<'a> {
    delivery: &'a DeliveryRecord,
    now: Timestamp,
    policy: &'a Policy,
}

impl Step<'_> {
    fn open(&self, observation: Option<&DeliveryObservation>) -> DeliveryDecision {
        match observation {
            None => Decision::Look(DeliveryLook),
            Some(DeliveryObservation::Line(Ok(line))) => self.seen(line),
            Some(DeliveryObservation::Line(Err(_))) => Decision::rest_for(self.policy.backoff(1)),
            Some(DeliveryObservation::Handled(Ok(()))) => {
                self.done(DeliveryOutcome::Handled, self.delivery.place, None)
            }
            Some(DeliveryObservation::Handled(Err(error))) => self.failed(error),
        }
    }

    fn seen(&self, line: &Line) -> DeliveryDecision {
        if let Some(newer) = &line.superseded_by {
            return self.done(DeliveryOutcome::Superseded, line.place, Some(newer.clone()));
        }
        if line.is_blocked {
            return Decision::rest_for(TURN_POLL);
        }
        if let Some(retry_at) = self.delivery.retry_at.filter(|at| *at > self.now) {
            return Decision::rest_for(retry_at.since(self.now));
        }
        if self.delivery.attempts >= DeliveryRecord::ATTEMPTS_MAX {
            // No failure was written of the last attempt: it ended the process each time.
            let message = "the process ended, or lost its lease, whenever this was handled";
            let error = ErrorRecord::new(ErrorKind::Unavailable, "handle_delivery", message);
            return self.given_up(self.delivery.error.clone().unwrap_or(error));
        }
        let next = DeliveryRecord {
            place: line.place.or(self.delivery.place),
            attempts: self.delivery.attempts + 1,
            retry_at: None,
            ..self.delivery.moved_to(DeliveryState::Queued, self.now)
        };
        let transition = Transition::new(next, "delivery_queued");
        Decision::Act(Some(Box::new(transition)), DeliveryEffect::Handle)
    }

    fn done(
        &self,
        outcome: DeliveryOutcome,
        place: Option<u64>,
        superseded_by: Option<String>,
    ) -> DeliveryDecision {
        let event = match outcome {
            DeliveryOutcome::Abandoned => "delivery_abandoned",
            DeliveryOutcome::Handled | DeliveryOutcome::Nothing => "delivery_handled",
            DeliveryOutcome::Superseded => "delivery_superseded",
        };
        let done = self.delivery.done(outcome, self.now);
        let done = DeliveryRecord { place: place.or(done.place), superseded_by, ..done };
        let payload = DeliveryPayload::key_of(&done.id);
        let dropped = Write::delete(payload, Expect::Anything, "delivery_payload_dropped");
        Decision::Write(Box::new(Transition::new(done, event).with_also(dropped)))
    }

    fn failed(&self, error: &Error) -> DeliveryDecision {
        let told = ErrorRecord::from(error).or_operation("handle_delivery");
        let attempts = self.delivery.attempts;
        if error.retry() == Retry::Never || attempts >= DeliveryRecord::ATTEMPTS_MAX {
            return self.given_up(told);
        }
        let pause = self.policy.pause_after(error, attempts);
        let next = DeliveryRecord {
            retry_at: Some(self.now.plus(pause)),
            error: Some(told),
            ..self.delivery.clone()
        };
        let transition = Transition::new(next, "delivery_not_handled").with_due(Due::In(pause));
        Decision::Write(Box::new(transition))
    }

    fn given_up(&self, error: ErrorRecord) -> DeliveryDecision {
        let failed = self.delivery.moved_to(DeliveryState::Failed, self.now);
        let failed = DeliveryRecord { error: Some(error), retry_at: None, ..failed };
        Decision::Write(Box::new(Transition::new(failed, "delivery_failed")))
    }
}
