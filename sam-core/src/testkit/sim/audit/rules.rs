//! What the rules of a run forbid.

use serde::Deserialize;

use super::Audit;
use super::facts::Facts;
use crate::hold::HoldRecord;
use crate::node::NodeState;
use crate::store::Change;

/// Changes by which something comes to its end that nobody asked for.
const AUTOMATIC: [&str; 4] =
    ["lease_lapsed", "lifetime_over", "orphan_deletion_started", "unused_node_given_up"];

/// What is known of the rules so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) nodes_max: Option<u32>,
    held: bool,
}

#[derive(Deserialize)]
struct HeldFact {
    held: bool,
}

impl Audit {
    /// Nothing ends by itself while a person holds it: whoever decided on it checked the hold in the
    /// very commit, so not even a decision made before may come after.
    pub(super) fn held(&mut self, change: &Change) -> Result<(), String> {
        if change.key.kind == HoldRecord::KIND {
            let hold: HeldFact =
                serde_json::from_str(&change.body).map_err(|error| error.to_string())?;
            self.watch.held = hold.held;
        }
        if self.watch.held && AUTOMATIC.contains(&change.event.as_str()) {
            let (key, rev) = (&change.key, change.rev);
            return Err(format!(
                "hold: {} of {key} at revision {rev}, and it is held",
                change.event
            ));
        }
        Ok(())
    }

    /// There are never more nodes than the cap allows.
    pub(super) fn capped(&self, change: &Change) -> Result<(), String> {
        let Some(most) = self.watch.nodes_max.filter(|_| change.event == "node_requested") else {
            return Ok(());
        };
        let live = self.records.values().filter(|seen| match &seen.facts {
            Facts::Node(node) => node.state != NodeState::Deleted,
            Facts::Name(_) | Facts::Workspace(_) | Facts::Other => false,
        });
        // The one that is being looked at is not among them yet.
        let live = live.count() + 1;
        if live > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(format!("cap: {live} nodes at revision {}, {most} allowed", change.rev));
        }
        Ok(())
    }
}
