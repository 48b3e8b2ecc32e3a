//! Names that are published wrongly.

use std::sync::Arc;
use std::time::Duration;

use sam_core::Result;
use sam_core::engine::{Decision, Resource as _, Transition};
use sam_core::published_name::{NameEffect, NameObservation, NameRecord, NameResource, NameState};
use sam_core::testkit::sim::{Parts, Simulation};
use sam_core::time::Timestamp;

use super::Planted;
use super::decide::of_names;

pub(super) fn planted() -> Vec<Planted> {
    let bug = |name, breaks, invariant, plant| Planted { name, breaks, invariant, plant };
    vec![
        bug(
            "name-unsettled",
            "a name is deleted although a put of it may still take effect",
            "I4: the name ",
            unsettled,
        ),
        bug(
            "name-deletion-unasked",
            "a name is called deleted without asking the DNS",
            "I4: the name ",
            |simulation| of_names(simulation, deletion_unasked),
        ),
    ]
}

/// Every run publishes names: a late put that is followed by a deletion at once is rare enough.
fn unsettled(simulation: Simulation) -> Simulation {
    let mut plan = *simulation.plan();
    plan.rules.names = true;
    simulation.with_plan(plan).with_engine(|mut parts: Parts| {
        Box::pin(async move {
            parts.policy.name_settles_within = Duration::ZERO;
            let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) else { return };
            while sam.run(std::future::pending()).await.is_err() {}
        })
    })
}

fn deletion_unasked(
    inner: &NameResource,
    name: &NameRecord,
    observation: Option<&NameObservation>,
    now: Timestamp,
) -> Result<Decision<NameResource>> {
    Ok(match inner.decide(name, observation, now)? {
        Decision::Act(Some(announced), NameEffect::Delete) => Decision::Write(announced),
        Decision::Act(None, NameEffect::Delete) => {
            let next = name.moved_to(NameState::Deleted, now);
            Decision::Write(Box::new(Transition::new(next, "name_deleted")))
        }
        other => other,
    })
}
