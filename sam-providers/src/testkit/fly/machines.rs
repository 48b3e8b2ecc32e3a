//! Machines, and their way from state to state.

use std::collections::BTreeMap;

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::leases::Lease;
use super::things::REGIONS;
use super::{FlyModel, Reply, impossible, not_found, refuse, sold_out};

const CREATED: &str = "created";
const STARTED: &str = "started";
const STOPPED: &str = "stopped";
const DESTROYED: &str = "destroyed";
const FAILED: &str = "failed";

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) app: String,
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) lease: Option<Lease>,
    state: String,
    /// What it is next, and when.
    next: Option<(Timestamp, &'static str)>,
    region: String,
    /// As it was ordered: the interface shows all of it.
    config: Value,
    created: Timestamp,
    updated: Timestamp,
}

impl Machine {
    pub(super) fn is_there(&self) -> bool {
        self.state != DESTROYED
    }
}

/// A machine as a test sees it: what stands in for the machine starts from this.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MachineSeen {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state, in Fly's words.
    pub state: String,
    /// Where it is.
    pub region: String,
    /// What it was ordered with.
    pub config: Value,
}

impl FlyModel {
    /// Returns every machine that there is, in the order of their ids.
    pub fn machines(&self) -> Vec<MachineSeen> {
        let there = self.machines.iter().filter(|(_, machine)| machine.is_there());
        let seen = there.map(|(id, machine)| MachineSeen {
            id: id.clone(),
            name: machine.name.clone(),
            state: machine.state.clone(),
            region: machine.region.clone(),
            config: machine.config.clone(),
        });
        seen.collect()
    }

    /// Puts a machine there that nobody ordered here, in a state that it stays in.
    pub fn add_machine(
        &mut self,
        app: &str,
        [id, name, state]: [&str; 3],
        metadata: &BTreeMap<String, String>,
    ) {
        self.add_app(app);
        let machine = Machine {
            app: app.to_owned(),
            name: name.to_owned(),
            instance: "01J00000000000000000000000".to_owned(),
            lease: None,
            state: state.to_owned(),
            next: None,
            region: "ams".to_owned(),
            config: json!({ "image": "registry.example/x:1", "metadata": metadata }),
            created: self.now,
            updated: self.now,
        };
        self.machines.insert(id.to_owned(), machine);
    }

    /// Does what is due.
    pub(super) fn move_on(&mut self) {
        let now = self.now;
        let mut gone = Vec::new();
        for (id, machine) in &mut self.machines {
            if let Some((at, next)) = machine.next.filter(|(at, _)| *at <= now) {
                machine.next = None;
                machine.updated = at;
                next.clone_into(&mut machine.state);
                if next == DESTROYED {
                    gone.push(id.clone());
                }
            }
        }
        for volume in self.volumes.values_mut() {
            volume.machine.take_if(|machine| gone.contains(machine));
        }
    }

    fn show_machine(id: &str, machine: &Machine) -> Value {
        json!({
            "id": id, "name": machine.name, "state": machine.state, "region": machine.region,
            "instance_id": machine.instance, "private_ip": format!("fdaa:0:1:a7b::{}", machine.created.as_secs_unsigned() % 9_999),
            "config": machine.config, "created_at": machine.created.to_string(),
            "updated_at": machine.updated.to_string(), "events": [], "host_status": "ok",
            "image_ref": { "registry": "registry.fly.io", "repository": "sam-node", "tag": "latest" },
        })
    }

    pub(super) fn list_machines(&self, app: &str) -> Reply {
        let listed = self.machines.iter().filter(|(_, machine)| {
            let is_seen = machine.is_there() && self.now.since(machine.created) >= self.list_lag;
            let is_still_seen = !machine.is_there()
                && !self.list_lag.is_zero()
                && self.now.since(machine.updated) < self.list_lag;
            machine.app == app && (is_seen || is_still_seen)
        });
        let shown: Vec<Value> =
            listed.map(|(id, machine)| Self::show_machine(id, machine)).collect();
        (200, json!(shown))
    }

    pub(super) fn read_machine(&self, id: &str) -> Reply {
        match self.machines.get(id) {
            Some(machine) => (200, Self::show_machine(id, machine)),
            None => not_found("machine"),
        }
    }

    pub(super) fn create_machine(&mut self, app: &str, body: &Value) -> Reply {
        let (name, config) = (body["name"].as_str().unwrap_or_default(), &body["config"]);
        let region = body["region"].as_str().unwrap_or("ams");
        let known = self
            .machines
            .iter()
            .find(|(_, machine)| machine.app == app && machine.name == name && machine.is_there());
        if let Some((id, _)) = known {
            return refuse(
                409,
                &format!(
                    "already_exists: unique machine name violation, machine ID {id} already exists with name {name:?}"
                ),
            );
        }
        if name.is_empty() || config["image"].as_str().is_none_or(str::is_empty) {
            return refuse(422, "invalid_argument: config.image is required");
        }
        if !REGIONS.iter().any(|(code, ..)| *code == region) {
            return refuse(422, &format!("invalid_argument: unknown region {region}"));
        }
        if self.sold_out.iter().any(|known| known == region) {
            return sold_out();
        }
        let secrets = config["files"].as_array().into_iter().flatten();
        for secret in secrets.filter_map(|file| file["secret_name"].as_str()) {
            if self.secret(app, secret).is_none() {
                return refuse(422, &format!("invalid_argument: secret {secret} not found"));
            }
        }
        let mounts = config["mounts"].as_array().into_iter().flatten();
        let mounts: Vec<String> =
            mounts.filter_map(|mount| Some(mount["volume"].as_str()?.to_owned())).collect();
        for id in &mounts {
            let volume = self.volumes.get(id).filter(|volume| volume.is_there);
            match volume {
                None => return not_found("volume"),
                Some(volume) if volume.machine.is_some() => {
                    return impossible("volume is attached to another machine");
                }
                Some(volume) if volume.region != region => {
                    return refuse(422, "invalid_argument: the volume is in another region");
                }
                Some(_) => {}
            }
        }
        let (id, instance) = (format!("{:014x}", self.fresh_id()), self.fresh_instance());
        for volume in &mounts {
            if let Some(volume) = self.volumes.get_mut(volume) {
                volume.machine = Some(id.clone());
            }
        }
        let fails = self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        let then = if fails { FAILED } else { STARTED };
        let machine = Machine {
            app: app.to_owned(),
            name: name.to_owned(),
            instance,
            lease: None,
            state: CREATED.to_owned(),
            next: Some((self.now.plus(self.step_time), then)),
            region: region.to_owned(),
            config: config.clone(),
            created: self.now,
            updated: self.now,
        };
        let shown = Self::show_machine(&id, &machine);
        self.machines.insert(id, machine);
        (200, shown)
    }

    fn fresh_instance(&mut self) -> String {
        format!("01J{:023X}", self.fresh_id())
    }

    pub(super) fn switch_machine(&mut self, id: &str, verb: &str) -> Reply {
        let ends = self.now.plus(self.step_time);
        let Some(machine) = self.machines.get_mut(id) else { return not_found("machine") };
        let (now_it_is, then) = match (verb, &*machine.state) {
            (_, DESTROYED | "destroying") => return not_found("machine"),
            ("start", STARTED) | ("stop", STOPPED | "stopping") => return (200, Value::Null),
            ("start", STOPPED | "suspended") => ("starting", STARTED),
            ("stop", STARTED) => ("stopping", STOPPED),
            (_, state) => {
                let state = state.to_owned();
                return impossible(&format!(
                    "unable to {verb} machine from current state: '{state}'"
                ));
            }
        };
        now_it_is.clone_into(&mut machine.state);
        machine.next = Some((ends, then));
        (200, Value::Null)
    }

    pub(super) fn delete_machine(&mut self, id: &str, force: bool) -> Reply {
        let ends = self.now.plus(self.step_time);
        let Some(machine) = self.machines.get_mut(id) else { return not_found("machine") };
        if !machine.is_there() {
            return not_found("machine");
        }
        if !force && ![STOPPED, "suspended", FAILED].contains(&&*machine.state) {
            return impossible("unable to destroy machine, not currently stopped");
        }
        if machine.state != "destroying" {
            "destroying".clone_into(&mut machine.state);
            machine.next = Some((ends, DESTROYED));
        }
        (200, Value::Null)
    }

    /// Answers at once whether it is so, as if the time had passed without any change.
    pub(super) fn wait_for(&self, id: &str, state: &str, instance: Option<&str>) -> Reply {
        let Some(machine) = self.machines.get(id) else { return not_found("machine") };
        if state == STOPPED && instance.is_none() {
            return refuse(400, "invalid_argument: instance_id is required to wait for stopped");
        }
        if machine.state == state && instance.is_none_or(|asked| asked == machine.instance) {
            return (200, json!({ "ok": true, "state": state, "version": machine.instance }));
        }
        let current = &machine.state;
        refuse(
            408,
            &format!(
                "deadline_exceeded: machine failed to reach desired state, {state}, currently {current}"
            ),
        )
    }
}
