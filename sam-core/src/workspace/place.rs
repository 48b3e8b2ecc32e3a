//! Finding a node for a workspace: one that is kept warm, or a new one that its owner may still
//! afford.

use super::decide::{Standing, Step, WOKEN, node_error, node_write, standing};
use super::record::WorkspaceState;
use super::resource::{Placement, WorkspaceDecision, WorkspaceObservation};
use crate::engine::{Decision, Stamped, Stored as _, Transition, encode};
use crate::error::{ErrorKind, ErrorRecord, Result};
use crate::node::NodeRecord;
use crate::spend::{Refused, SpendRecord, Spending};
use crate::store::{Expect, Write};

impl Step<'_> {
    pub(super) fn place(
        &self,
        observation: Option<&WorkspaceObservation>,
    ) -> Result<WorkspaceDecision> {
        match observation {
            Some(WorkspaceObservation::Placement(Ok(placement))) => match &placement.warm {
                Some(node) => self.placed_on(node),
                None => self.placed(placement),
            },
            Some(WorkspaceObservation::Node(Ok(node))) => match standing(node.as_ref()) {
                Standing::Ready(node) => Ok(self.make_ready(node, WorkspaceState::Preparing)),
                Standing::Later(_) => Ok(self.rest(Some(WOKEN))),
                Standing::Over(node) => Ok(self.failed(node_error(node))),
            },
            // Nobody will sell here: waiting does not help.
            Some(WorkspaceObservation::Placement(Err(error)))
                if error.kind() == ErrorKind::Unsupported =>
            {
                Ok(self.failed(ErrorRecord::from(error).or_operation("place")))
            }
            Some(WorkspaceObservation::Node(Err(_)) | WorkspaceObservation::Placement(Err(_))) => {
                Ok(self.patience())
            }
            Some(
                WorkspaceObservation::Hold(_)
                | WorkspaceObservation::Idle(_)
                | WorkspaceObservation::Prepared(_)
                | WorkspaceObservation::Removed { .. }
                | WorkspaceObservation::Stopped(_),
            )
            | None => Ok(self.look()),
        }
    }

    /// Takes a new node; its record is written by the same commit, so neither is without the
    /// other, and so is the ledger where a cap is set.
    fn placed(&self, placement: &Placement) -> Result<WorkspaceDecision> {
        let (workspace, now) = (self.workspace, self.now);
        let owner = workspace.owner.clone();
        let mut record =
            NodeRecord::requested(placement.node, owner, placement.provider.clone(), now);
        record.size = workspace.size;
        record.create_settles_within = placement.create_settles_within;
        record.epoch = Some(placement.epoch.to_string());
        record.workspaces.insert(workspace.id);
        let write = node_write(&record, Expect::Absent, "node_requested")?;
        let mut next = workspace.clone();
        next.node = Some(placement.node);
        let mut transition = Transition::new(next, "node_assigned")
            .with_also(write)
            .with_due(self.due_within(WOKEN));
        // One that is on its way out since is another version: nothing more is bought with it.
        if let Some((key, expect)) = placement.credential.clone() {
            transition = transition.with_check(key, expect);
        }
        let Some(ledger) = &placement.ledger else {
            return Ok(Decision::Write(Box::new(transition)));
        };
        let spending = Spending::new(placement.micros_per_hour, now);
        let cap = &self.policy.spend;
        match ledger.record.admitting(placement.node, spending, cap) {
            Ok(ledger_next) => {
                let write = ledger_write(&ledger_next, ledger)?;
                Ok(Decision::Write(Box::new(transition.with_also(write))))
            }
            Err(refused) => Ok(self.failed(cap_reached(refused))),
        }
    }

    /// Takes a node that is kept warm. Two workspaces that want the same one expect the same version
    /// of its record, and the store lets one of them have it.
    fn placed_on(&self, node: &Stamped<NodeRecord>) -> Result<WorkspaceDecision> {
        let taken = node.record.taken_by(self.workspace.id);
        let write = node_write(&taken, Expect::Version(node.version), "node_reused")?;
        let mut next = self.workspace.clone();
        next.node = Some(taken.id);
        let transition = Transition::new(next, "node_assigned").with_also(write);
        Ok(Decision::Write(Box::new(transition)))
    }
}

fn ledger_write(next: &SpendRecord, before: &Stamped<SpendRecord>) -> Result<Write> {
    // Version 0 stands for a ledger that is only being opened.
    let expect = match before.version {
        0 => Expect::Absent,
        version => Expect::Version(version),
    };
    Ok(Write::put(next.key(), expect, encode(next)?, "spending_began").with_due(SpendRecord::due()))
}

fn cap_reached(refused: Refused) -> ErrorRecord {
    let (message, hint) = match refused {
        Refused::Cost { spent_micros, micros_max } => (
            format!(
                "the month's spending is {}, and another node would pass the cap of {}",
                Money(spent_micros),
                Money(micros_max)
            ),
            "delete workspaces that are not needed, or have the cap raised",
        ),
        Refused::Nodes { nodes_max } => (
            format!("there are {nodes_max} nodes already, as many as the cap allows"),
            "delete a workspace that is not needed, or have the cap raised",
        ),
    };
    ErrorRecord::new(ErrorKind::QuotaExceeded, "place", message).with_hint(hint)
}

/// Millionths, shown as hundredths.
struct Money(u64);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = self.0.div_ceil(10_000);
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}
