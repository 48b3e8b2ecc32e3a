//! What is next for an inbox, and for a delivery. Pure and total.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::record::{DeliveryRecord, DeliveryState, InboxRecord};
use super::resource::{DeliveryResource, InboxDecision, InboxEffect, InboxObservation};
use crate::engine::{Decision, Stamped, Stored as _, Transition, encode};
use crate::error::{Error, ErrorRecord, Result, Retry};
use crate::policy::Policy;
use crate::store::{Due, Expect, Write};
use crate::time::Timestamp;

/// Between two looks at a delivery that waits: its inbox carries it.
const WAITING_POLL: Duration = Duration::from_hours(24);

/// The next one's turn comes with a claim of its own: the engine carries a record only so far under
/// one, and an outcome that it could not write any more would be an effect made twice.
const NEXT: Due = Due::In(Duration::from_micros(1));

/// Decides what is next for an inbox.
///
/// # Errors
/// `Bug` when a delivery cannot be written as JSON.
pub fn decide_inbox(
    inbox: &InboxRecord,
    observation: Option<&InboxObservation>,
    now: Timestamp,
    policy: &Policy,
) -> Result<InboxDecision> {
    let Some(first) = inbox.pending.first() else {
        return Ok(Decision::Forget { event: "inbox_emptied" });
    };
    let handle = || InboxEffect::Handle(first.id.clone());
    let observation = observation.filter(|seen| inbox.handling && seen.id == first.id);
    match observation {
        // Begun before a crash: the same effect again.
        None if inbox.handling => Ok(Decision::Act(None, handle())),
        None => {
            let pause = first.retry_at.map_or(Duration::ZERO, |at| at.since(now));
            if !pause.is_zero() {
                return Ok(Decision::rest_for(pause));
            }
            let next = InboxRecord { handling: true, ..inbox.clone() };
            let begun = Transition::new(next, "delivery_begun");
            Ok(Decision::Act(Some(Box::new(begun)), handle())) // I1
        }
        Some(InboxObservation { delivery, outcome: Ok(()), .. }) => {
            settled(inbox, delivery.as_ref(), now, None)
        }
        Some(InboxObservation { delivery, outcome: Err(error), .. }) => {
            let attempts = first.attempts.saturating_add(1);
            let hopeless = error.retry() == Retry::Never || attempts >= InboxRecord::ATTEMPTS_MAX;
            if hopeless {
                return settled(inbox, delivery.as_ref(), now, Some(error));
            }
            let pause = match error.retry() {
                Retry::After(pause) => pause.min(policy.backoff_max),
                Retry::Backoff | Retry::Never => policy.backoff(attempts),
            };
            Ok(Decision::Write(Box::new(again(inbox, attempts, now, pause))))
        }
    }
}

/// The first one is tried again after a pause. Meanwhile a newer one may replace it.
fn again(
    inbox: &InboxRecord,
    attempts: u32,
    now: Timestamp,
    pause: Duration,
) -> Transition<InboxRecord> {
    let mut next = InboxRecord { handling: false, ..inbox.clone() };
    if let Some(first) = next.pending.first_mut() {
        first.attempts = attempts;
        first.retry_at = Some(now.plus(pause));
    }
    Transition::new(next, "delivery_not_handled").with_due(Due::In(pause))
}

/// The first one is done, or given up on: the next one's turn.
fn settled(
    inbox: &InboxRecord,
    delivery: Option<&Stamped<DeliveryRecord>>,
    now: Timestamp,
    error: Option<&Error>,
) -> Result<InboxDecision> {
    let mut next = InboxRecord { handling: false, ..inbox.clone() };
    if !next.pending.is_empty() {
        next.pending.remove(0);
    }
    let (state, event) = match error {
        None => (DeliveryState::Done, "delivery_handled"),
        Some(_) => (DeliveryState::Failed, "delivery_failed"),
    };
    let mut transition = Transition::new(next, event).with_due(NEXT);
    if let Some(delivery) = delivery {
        let mut record = delivery.record.moved_to(state, now);
        record.error = error.map(ErrorRecord::from);
        let expect = Expect::Version(delivery.version);
        let write = Write::put(record.key(), expect, encode(&record)?, event)
            .with_index(record.index())
            .with_due(Due::In(DeliveryRecord::KEPT));
        transition = transition.with_also(write);
    }
    Ok(Decision::Write(Box::new(transition)))
}

/// Decides what is next for a delivery: it is forgotten when its time is over.
pub fn decide_delivery(delivery: &DeliveryRecord, now: Timestamp) -> Decision<DeliveryResource> {
    match delivery.state {
        DeliveryState::Queued => Decision::rest_for(WAITING_POLL),
        DeliveryState::Done | DeliveryState::Failed | DeliveryState::Superseded => {
            match DeliveryRecord::KEPT.checked_sub(now.since(delivery.state_at)) {
                Some(left) if !left.is_zero() => Decision::rest_for(left),
                _ => Decision::Forget { event: "delivery_forgotten" },
            }
        }
    }
}
