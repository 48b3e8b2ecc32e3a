//! What is next for a credential. Pure and total.
#![deny(clippy::wildcard_enum_match_arm)]

use super::record::{CredentialRecord, CredentialState};
use super::resource::{
    CredentialDecision, CredentialEffect, CredentialLook, CredentialObservation, Holdings,
};
use crate::engine::{Decision, Transition};
use crate::error::{Error, ErrorKind, ErrorRecord};
use crate::policy::Policy;
use crate::store::{Due, Expect, Write};
use crate::sweep::{Scope, SweepRecord};
use crate::time::Timestamp;

/// Decides what is next for a credential.
pub fn decide(
    credential: &CredentialRecord,
    observation: Option<&CredentialObservation>,
    now: Timestamp,
    policy: &Policy,
) -> CredentialDecision {
    match (credential.state, observation) {
        (CredentialState::Active | CredentialState::Deleted, _) => Decision::Rest(Due::Never),
        (CredentialState::Retiring, Some(CredentialObservation::Needed(Ok(needed)))) => {
            weighed(credential, *needed, now)
        }
        (CredentialState::Retiring, Some(CredentialObservation::Forgotten(_)) | None) => {
            Decision::Look(CredentialLook)
        }
        (CredentialState::Deleting, Some(CredentialObservation::Forgotten(Ok(())))) => {
            let next = credential.moved_to(CredentialState::Deleted, now);
            let released = next.name_released();
            let transition = Transition::new(next, "credential_deleted").with_unique(released);
            Decision::Write(Box::new(without_sweep(credential, transition).with_due(Due::Never)))
        }
        (CredentialState::Retiring, Some(CredentialObservation::Needed(Err(error))))
        | (CredentialState::Deleting, Some(CredentialObservation::Forgotten(Err(error)))) => {
            failed(credential, error, policy)
        }
        (CredentialState::Deleting, Some(CredentialObservation::Needed(_)) | None) => {
            Decision::Act(None, CredentialEffect::Forget)
        }
    }
}

/// Nothing needs it: its secret goes. Something does: it is as it was, and says why.
fn weighed(credential: &CredentialRecord, needed: Holdings, now: Timestamp) -> CredentialDecision {
    let why = match needed {
        Holdings { has_node: true, .. } => "nodes that were bought with it are not deleted",
        Holdings { has_listed: true, .. } => "its vendor lists things of this installation",
        Holdings { .. } => {
            let next = credential.moved_to(CredentialState::Deleting, now);
            let transition = Transition::new(next, "credential_given_up");
            return Decision::Act(Some(Box::new(transition)), CredentialEffect::Forget);
        }
    };
    let mut next = credential.moved_to(CredentialState::Active, now);
    let record = ErrorRecord::new(ErrorKind::Conflict, "delete", format!("it is needed: {why}"));
    next.error =
        Some(record.with_hint("delete them first; `sam node ls` and `sam orphan ls` tell"));
    let transition = Transition::new(next, "credential_needed");
    Decision::Write(Box::new(transition.with_due(Due::Never)))
}

/// Its account is swept no more.
fn without_sweep(
    credential: &CredentialRecord,
    transition: Transition<CredentialRecord>,
) -> Transition<CredentialRecord> {
    match credential.provider_name() {
        Ok(name) => {
            let key = SweepRecord::key_of(&Scope::name_of(&name));
            transition.with_also(Write::delete(key, Expect::Anything, "sweep_ended"))
        }
        // It never had one.
        Err(_) => transition,
    }
}

fn failed(credential: &CredentialRecord, error: &Error, policy: &Policy) -> CredentialDecision {
    let attempts = credential.attempts.saturating_add(1);
    let pause = policy.pause_after(error, attempts);
    let error = Some(ErrorRecord::from(error).or_operation("delete"));
    let next = CredentialRecord { attempts, error, ..credential.clone() };
    let transition = Transition::new(next, "credential_deletion_failed");
    Decision::Write(Box::new(transition.with_due(Due::In(pause))))
}
