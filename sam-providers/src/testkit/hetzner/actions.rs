//! What takes time.

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::servers::{INITIALIZING, OFF, RUNNING, STARTING};
use super::{HetznerModel, Reply, not_found};

/// What an action does when its time has come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    CreateServer,
    StartServer,
    StopServer,
    /// Sends the signal; the server stops by itself, or not.
    ShutdownServer,
    DeleteServer,
    CreateVolume,
    AttachVolume {
        server: u64,
    },
    DetachVolume,
    ResizeVolume {
        size: u64,
    },
}

impl Deed {
    const fn command(self) -> &'static str {
        match self {
            Self::CreateServer => "create_server",
            Self::StartServer => "start_server",
            Self::StopServer => "stop_server",
            Self::ShutdownServer => "shutdown_server",
            Self::DeleteServer => "delete_server",
            Self::CreateVolume => "create_volume",
            Self::AttachVolume { .. } => "attach_volume",
            Self::DetachVolume => "detach_volume",
            Self::ResizeVolume { .. } => "resize_volume",
        }
    }
}

#[derive(Debug)]
pub(super) struct Action {
    id: u64,
    deed: Deed,
    /// What it is done to.
    on: u64,
    resources: Vec<(u64, &'static str)>,
    started: Timestamp,
    ends: Timestamp,
    error: Option<String>,
    done: bool,
}

impl Action {
    fn show(&self) -> Value {
        let status = match (self.done, &self.error) {
            (false, _) => "running",
            (true, None) => "success",
            (true, Some(_)) => "error",
        };
        let error = self.error.as_ref().filter(|_| self.done);
        let resources = self.resources.iter().map(|(id, kind)| json!({ "id": id, "type": kind }));
        json!({
            "id": self.id,
            "command": self.deed.command(),
            "status": status,
            "progress": if self.done { 100 } else { 0 },
            "started": self.started.to_string(),
            "finished": self.done.then(|| self.ends.to_string()),
            "resources": resources.collect::<Vec<_>>(),
            "error": error.map(|code| json!({ "code": code, "message": "Action failed" })),
        })
    }
}

impl HetznerModel {
    /// Starts an action after `turns` others, and shows it.
    pub(super) fn start(
        &mut self,
        deed: Deed,
        on: u64,
        resources: &[(u64, &'static str)],
        turns: u32,
    ) -> Value {
        let id = self.fresh_id();
        let planned = self.failing.iter().position(|(command, _)| command == deed.command());
        let error = planned.map(|at| self.failing.remove(at).1);
        let ends = self.now.plus(self.action_time * turns);
        let (started, resources) = (self.now, resources.to_vec());
        let action = Action { id, deed, on, resources, started, ends, error, done: false };
        let shown = action.show();
        self.actions.insert(id, action);
        shown
    }

    /// Returns whether an action runs on something.
    pub(super) fn is_locked(&self, id: u64, kind: &str) -> bool {
        let on = |action: &Action| action.resources.iter().any(|(on, of)| *on == id && *of == kind);
        self.actions.values().any(|action| !action.done && on(action))
    }

    /// Does what is due, in the order in which it ends.
    pub(super) fn run_actions(&mut self) {
        let mut due: Vec<_> = self
            .actions
            .values()
            .filter(|action| !action.done && action.ends <= self.now)
            .map(|action| (action.ends, action.id))
            .collect();
        due.sort_unstable();
        for (at, id) in due {
            let Some(action) = self.actions.get_mut(&id) else { continue };
            action.done = true;
            let (deed, on, failed) = (action.deed, action.on, action.error.is_some());
            if !failed {
                self.carry_out(deed, on, at);
            }
        }
        let now = self.now;
        self.servers.change(|server| {
            if server.off_at.is_some_and(|at| at <= now) {
                server.off_at = None;
                server.status = OFF;
            }
        });
    }

    fn carry_out(&mut self, deed: Deed, on: u64, at: Timestamp) {
        let takes = self.action_time;
        let status = match deed {
            Deed::CreateServer => STARTING,
            // One that could not be made cannot be started.
            Deed::StartServer
                if self.servers.get(on).is_some_and(|known| known.status == INITIALIZING) =>
            {
                return;
            }
            Deed::StartServer => RUNNING,
            Deed::StopServer => OFF,
            Deed::ShutdownServer => {
                if !self.ignores_shutdown
                    && let Some(server) = self.servers.get_mut(on)
                {
                    server.off_at = Some(at.plus(takes));
                }
                return;
            }
            Deed::DeleteServer => return self.remove_server(on, at),
            _ => return self.change_volume(deed, on),
        };
        if let Some(server) = self.servers.get_mut(on) {
            server.status = status;
        }
    }

    fn change_volume(&mut self, deed: Deed, on: u64) {
        let Some(volume) = self.volumes.get_mut(&on) else { return };
        match deed {
            Deed::AttachVolume { server } => volume.server = Some(server),
            Deed::DetachVolume => volume.server = None,
            Deed::ResizeVolume { size } => volume.size = size,
            _ => volume.is_made = true,
        }
    }

    /// `GET /actions?id=…`: the ones that are named, and nothing without names.
    pub(super) fn list_actions(&self, ids: &[u64]) -> Reply {
        let known = ids.iter().filter_map(|id| self.actions.get(id));
        (200, json!({ "actions": known.map(Action::show).collect::<Vec<_>>() }))
    }

    pub(super) fn show_action(&self, id: u64) -> Reply {
        self.actions
            .get(&id)
            .map_or_else(not_found, |action| (200, json!({ "action": action.show() })))
    }

    /// Shows the actions of a server, oldest first.
    pub(super) fn actions_of(&self, id: u64) -> Vec<Value> {
        let on = |action: &&Action| action.resources.contains(&(id, "server"));
        self.actions.values().filter(on).map(Action::show).collect()
    }
}
