//! What takes time.

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::droplets::{ACTIVE, OFF};
use super::{DigitalOceanModel, Reply, not_found};

/// What an action does when its time has come.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Create,
    PowerOn,
    PowerOff,
    /// Sends the signal; it ends in an error where nobody listens.
    Shutdown,
    Attach {
        volume: String,
    },
    Detach {
        volume: String,
    },
    Resize {
        volume: String,
        gib: u64,
    },
}

impl Deed {
    const fn sort(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PowerOn => "power_on",
            Self::PowerOff => "power_off",
            Self::Shutdown => "shutdown",
            Self::Attach { .. } => "attach_volume",
            Self::Detach { .. } => "detach_volume",
            Self::Resize { .. } => "resize_volume",
        }
    }

    fn volume(&self) -> Option<&str> {
        match self {
            Self::Attach { volume } | Self::Detach { volume } | Self::Resize { volume, .. } => {
                Some(volume)
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Action {
    id: u64,
    deed: Deed,
    /// The droplet, if any.
    droplet: Option<u64>,
    started: Timestamp,
    ends: Timestamp,
    failed: bool,
    done: bool,
}

impl Action {
    fn show(&self) -> Value {
        let status = match (self.done, self.failed) {
            (false, _) => "in-progress",
            (true, false) => "completed",
            (true, true) => "errored",
        };
        let of_volume = self.deed.volume().is_some();
        json!({
            "id": self.id, "status": status, "type": self.deed.sort(),
            "started_at": self.started.to_string(),
            "completed_at": self.done.then(|| self.ends.to_string()),
            "resource_id": self.droplet.filter(|_| !of_volume),
            "resource_type": if of_volume { "volume" } else { "droplet" },
            "region_slug": "fra1",
        })
    }
}

impl DigitalOceanModel {
    /// Starts an action, and shows it.
    pub(super) fn start(&mut self, deed: Deed, droplet: Option<u64>) -> Value {
        let id = self.fresh_id();
        let planned = self.failing.iter().position(|sort| sort == deed.sort());
        let ignored = matches!(deed, Deed::Shutdown) && self.ignores_shutdown;
        let failed = planned.map(|at| self.failing.remove(at)).is_some() || ignored;
        let (started, ends) = (self.now, self.now.plus(self.action_time));
        let action = Action { id, deed, droplet, started, ends, failed, done: false };
        let shown = action.show();
        self.actions.insert(id, action);
        shown
    }

    /// Returns whether an action runs on a droplet.
    pub(super) fn is_locked(&self, droplet: u64) -> bool {
        self.actions.values().any(|action| !action.done && action.droplet == Some(droplet))
    }

    /// Returns whether an action runs on a volume.
    pub(super) fn is_volume_locked(&self, id: &str) -> bool {
        self.actions.values().any(|action| !action.done && action.deed.volume() == Some(id))
    }

    /// Does what is due, in the order in which it ends.
    pub(super) fn run_actions(&mut self) {
        let is_due = |action: &&Action| !action.done && action.ends <= self.now;
        let mut due: Vec<_> =
            self.actions.values().filter(is_due).map(|action| (action.ends, action.id)).collect();
        due.sort_unstable();
        for (_, id) in due {
            let Some(action) = self.actions.get_mut(&id) else { continue };
            action.done = true;
            let (deed, droplet, failed) = (action.deed.clone(), action.droplet, action.failed);
            if !failed {
                self.carry_out(deed, droplet);
            }
        }
    }

    fn carry_out(&mut self, deed: Deed, droplet: Option<u64>) {
        let known = droplet.and_then(|id| self.droplets.get_mut(&id));
        match deed {
            Deed::Create | Deed::PowerOn | Deed::PowerOff | Deed::Shutdown => {
                let is_on = matches!(deed, Deed::Create | Deed::PowerOn);
                if let Some(droplet) = known {
                    droplet.status = if is_on { ACTIVE } else { OFF };
                }
            }
            Deed::Attach { volume } => {
                let is_there = known.is_some_and(|droplet| droplet.gone_at.is_none());
                if let Some(volume) = self.volumes.get_mut(&volume).filter(|_| is_there) {
                    volume.droplet = droplet;
                }
            }
            Deed::Detach { volume } => {
                self.volumes.entry(volume).and_modify(|volume| volume.droplet = None);
            }
            Deed::Resize { volume, gib } => {
                self.volumes.entry(volume).and_modify(|volume| volume.gib = gib);
            }
        }
    }

    pub(super) fn show_action(&self, id: u64) -> Reply {
        let action = self.actions.get(&id);
        action.map_or_else(not_found, |action| (200, json!({ "action": action.show() })))
    }

    /// Shows the actions of a droplet, newest first.
    pub(super) fn actions_of(&self, droplet: u64) -> Vec<Value> {
        let on = |action: &&Action| action.droplet == Some(droplet);
        self.actions.values().rev().filter(on).map(Action::show).collect()
    }
}
