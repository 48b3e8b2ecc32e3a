//! Rules of a host that are not kept: the hold on automatic deletion, and the cap on nodes.

use std::sync::Arc;

use sam_core::Result;
use sam_core::engine::{Decision, Resource as _};
use sam_core::hold::Hold;
use sam_core::spend::SpendCap;
use sam_core::testkit::sim::{Parts, Simulation};
use sam_core::time::Timestamp;
use sam_core::workspace::{WorkspaceObservation, WorkspaceRecord, WorkspaceResource};

use super::Planted;
use super::decide::of_workspaces;

pub(super) fn planted() -> Vec<Planted> {
    let bug = |name, breaks, invariant, plant| Planted { name, breaks, invariant, plant };
    vec![
        bug(
            "hold-ignored",
            "a life ends although a person holds all automatic deletion",
            "hold: ",
            |simulation| of_workspaces(simulation, hold_ignored),
        ),
        bug(
            "hold-unchecked",
            "the hold is looked at, and may be set before what was decided is written",
            "hold: ",
            |simulation| of_workspaces(simulation, hold_unchecked),
        ),
        bug(
            "cap-ignored",
            "one process of several was not told how many nodes an owner may have",
            "cap: ",
            uncapped,
        ),
    ]
}

fn hold_ignored(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let clear = WorkspaceObservation::Hold(Hold::Clear { version: None });
    match observation {
        Some(WorkspaceObservation::Hold(_)) => hold_unchecked(inner, workspace, Some(&clear), now),
        observed => inner.decide(workspace, observed, now),
    }
}

fn hold_unchecked(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let mut decision = inner.decide(workspace, observation, now)?;
    if let Decision::Write(transition) = &mut decision {
        transition.checks.clear();
    }
    Ok(decision)
}

fn uncapped(simulation: Simulation) -> Simulation {
    simulation.with_engine(|mut parts: Parts| {
        Box::pin(async move {
            parts.policy.spend = SpendCap::default();
            let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) else { return };
            while sam.run(std::future::pending()).await.is_err() {}
        })
    })
}
