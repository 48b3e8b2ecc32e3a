//! What is next for a sweep. Pure.

use std::time::Duration;

use super::inventory::{Finding, Inventory};
use super::record::SweepRecord;
use super::resource::{SweepDecision, SweepLook, SweepObservation};
use crate::engine::{Decision, Stored, Transition, encode};
use crate::error::{Error, ErrorRecord, Result};
use crate::node::NodeRecord;
use crate::policy::Policy;
use crate::store::{Due, Expect, Write};
use crate::time::Timestamp;

/// Decides what is next for a sweep.
///
/// # Errors
/// `Bug` when a record cannot be encoded.
pub fn decide(
    sweep: &SweepRecord,
    observation: Option<&SweepObservation>,
    now: Timestamp,
    policy: &Policy,
) -> Result<SweepDecision> {
    match observation {
        None => {
            let left = sweep
                .swept_at
                .map_or(Duration::ZERO, |at| policy.sweep_every.saturating_sub(now.since(at)));
            Ok(if left.is_zero() { Decision::Look(SweepLook) } else { Decision::rest_for(left) })
        }
        Some(SweepObservation::Swept(Ok(inventory))) => compared(sweep, inventory, now, policy),
        Some(SweepObservation::Swept(Err(error))) => Ok(failed(sweep, error, policy)),
    }
}

fn compared(
    sweep: &SweepRecord,
    inventory: &Inventory,
    now: Timestamp,
    policy: &Policy,
) -> Result<SweepDecision> {
    // What did not fit into one commit is found again at once; what did is a record by then.
    let (swept_at, due) =
        if inventory.is_cut { (None, Due::NOW) } else { (Some(now), Due::In(policy.sweep_every)) };
    let tally = inventory.tally;
    let next = SweepRecord { swept_at, tally, attempts: 0, error: None, ..sweep.clone() };
    let mut transition = Transition::new(next, "sweep_completed")
        .with_due(due)
        .with_wakes(inventory.vanished.iter().map(|&node| NodeRecord::key_of(node)));
    for finding in &inventory.findings {
        transition = transition.with_also(finding_write(finding)?);
    }
    Ok(Decision::Write(Box::new(transition)))
}

fn finding_write(finding: &Finding) -> Result<Write> {
    match finding {
        Finding::Orphan(orphan) => put(&**orphan, Expect::Absent, "orphan_found", Due::NOW),
        Finding::Recovered(node) => put(&**node, Expect::Absent, "machine_recovered", Due::Never),
        Finding::Corrected { node, version } => {
            put(&**node, Expect::Version(*version), "machine_id_corrected", Due::NOW)
        }
    }
}

fn put<R: Stored>(record: &R, expect: Expect, event: &'static str, due: Due) -> Result<Write> {
    let write = Write::put(record.key(), expect, encode(record)?, event);
    Ok(write.with_index(record.index()).with_due(due))
}

fn failed(sweep: &SweepRecord, error: &Error, policy: &Policy) -> SweepDecision {
    let attempts = sweep.attempts.saturating_add(1);
    let pause = policy.pause_after(error, attempts);
    let error = Some(ErrorRecord::from(error).or_operation("sweep"));
    let next = SweepRecord { attempts, error, ..sweep.clone() };
    Decision::Write(Box::new(Transition::new(next, "sweep_failed").with_due(Due::In(pause))))
}
