//! Apps, volumes, secrets and regions.

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::{FlyModel, Reply, impossible, not_found, refuse, refuse_as, sold_out};

/// Regions: code, name, whether it is closing.
pub(super) const REGIONS: &[(&str, &str, bool)] = &[
    ("ams", "Amsterdam, Netherlands", false),
    ("fra", "Frankfurt, Germany", false),
    ("iad", "Ashburn, Virginia (US)", false),
    ("waw", "Warsaw, Poland", true),
];

#[derive(Debug)]
pub(super) struct App {
    created: Timestamp,
}

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) app: String,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) machine: Option<String>,
    /// A deleted one is shown all the same, for a day.
    pub(super) is_there: bool,
    size: u64,
    created: Timestamp,
}

impl FlyModel {
    /// Puts an app there that everybody knows already.
    pub fn add_app(&mut self, name: &str) {
        self.apps.entry(name.to_owned()).or_insert(App { created: Timestamp::EPOCH });
    }

    /// Returns whether a request that brings a cookie or none is seen by a node that knows the app.
    pub(super) fn knows(&self, app: &str, has_cookie: bool) -> bool {
        let known = |app: &App| has_cookie || self.now.since(app.created) >= self.app_lag;
        self.apps.get(app).is_some_and(known)
    }

    fn show_app(&self, name: &str) -> Value {
        let in_it = |app: &str| app == name;
        let machines = self.machines.values().filter(|machine| in_it(&machine.app)).count();
        let volumes = self.volumes.values().filter(|volume| in_it(&volume.app)).count();
        json!({
            "id": format!("app-{name}"), "name": name, "machine_count": machines,
            "volume_count": volumes, "network": "default", "status": "deployed",
            "organization": { "name": self.org, "slug": self.org },
        })
    }

    pub(super) fn list_apps(&self, org: &str) -> Reply {
        if org != self.org {
            return not_found("organization");
        }
        let apps: Vec<Value> = self.apps.keys().map(|name| self.show_app(name)).collect();
        (200, json!({ "total_apps": apps.len(), "apps": apps }))
    }

    pub(super) fn read_app(&self, name: &str) -> Reply {
        (200, self.show_app(name))
    }

    pub(super) fn create_app(&mut self, body: &Value) -> Reply {
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        if body["org_slug"].as_str() != Some(&self.org) {
            return not_found("organization");
        }
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(legal) {
            return refuse(
                422,
                "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes",
            );
        }
        if self.apps.contains_key(&name) || self.taken_apps.contains(&name) {
            return refuse_as(422, "name_taken", "Name has already been taken");
        }
        self.apps.insert(name, App { created: self.now });
        (201, Value::Null)
    }

    /// Deletes an app with everything in it.
    pub(super) fn delete_app(&mut self, name: &str) -> Reply {
        self.apps.remove(name);
        self.machines.retain(|_, machine| machine.app != name);
        self.volumes.retain(|_, volume| volume.app != name);
        self.secrets.retain(|(app, _), _| app != name);
        (202, Value::Null)
    }

    fn show_volume(id: &str, volume: &Volume) -> Value {
        json!({
            "id": id, "name": volume.name, "region": volume.region, "size_gb": volume.size,
            "state": if volume.is_there { "created" } else { "pending_destroy" },
            "encrypted": true, "attached_machine_id": volume.machine.clone().unwrap_or_default(),
            "created_at": volume.created.to_string(), "host_status": "ok", "zone": "09cd",
        })
    }

    pub(super) fn list_volumes(&self, app: &str) -> Reply {
        let ours = self.volumes.iter().filter(|(_, volume)| volume.app == app);
        let shown: Vec<Value> = ours.map(|(id, volume)| Self::show_volume(id, volume)).collect();
        (200, json!(shown))
    }

    pub(super) fn read_volume(&self, id: &str) -> Reply {
        let volume = self.volumes.get(id);
        volume.map_or_else(|| not_found("volume"), |volume| (200, Self::show_volume(id, volume)))
    }

    pub(super) fn create_volume(&mut self, app: &str, body: &Value) -> Reply {
        let (name, region) = (&body["name"], body["region"].as_str().unwrap_or_default());
        let name = name.as_str().unwrap_or_default();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let size = body["size_gb"].as_u64().unwrap_or(3);
        if name.is_empty() || name.len() > 30 || !name.bytes().all(legal) || size > 500 {
            return refuse(422, "invalid_argument: the volume's name or size is not allowed");
        }
        if !REGIONS.iter().any(|(code, ..)| *code == region) {
            return refuse(422, "invalid_argument: unknown region");
        }
        if self.sold_out.iter().any(|known| *known == format!("volumes of {region}")) {
            return sold_out();
        }
        let id = format!("vol_{:016x}", self.fresh_id());
        let volume = Volume {
            app: app.to_owned(),
            name: name.to_owned(),
            region: region.to_owned(),
            machine: None,
            is_there: true,
            size,
            created: self.now,
        };
        let shown = Self::show_volume(&id, &volume);
        self.volumes.insert(id, volume);
        (200, shown)
    }

    pub(super) fn delete_volume(&mut self, id: &str) -> Reply {
        let Some(volume) = self.volumes.get_mut(id).filter(|volume| volume.is_there) else {
            return not_found("volume");
        };
        if volume.machine.is_some() {
            return impossible("volume is attached to a machine");
        }
        volume.is_there = false;
        (200, Self::show_volume(id, volume))
    }

    /// Shows everything of a secret but its value.
    fn show_secret(&self, name: &str) -> Value {
        json!({ "name": name, "digest": "0123456789abcdef", "created_at": self.now.to_string() })
    }

    pub(super) fn list_secrets(&self, app: &str) -> Reply {
        let ours = self.secrets.keys().filter(|(known, _)| known == app);
        let shown: Vec<Value> = ours.map(|(_, name)| self.show_secret(name)).collect();
        (200, json!({ "secrets": shown }))
    }

    pub(super) fn put_secret(&mut self, app: &str, name: &str, body: &Value) -> Reply {
        let Some(value) = body["value"].as_str() else {
            return refuse(400, "invalid_argument: a secret has a value");
        };
        self.secrets.insert((app.to_owned(), name.to_owned()), value.to_owned());
        let mut shown = self.show_secret(name);
        shown["version"] = json!(self.fresh_id());
        (201, shown)
    }

    pub(super) fn delete_secret(&mut self, app: &str, name: &str) -> Reply {
        match self.secrets.remove(&(app.to_owned(), name.to_owned())) {
            Some(_) => (200, json!({ "version": self.fresh_id() })),
            None => not_found("secret"),
        }
    }

    pub(super) fn list_regions() -> Reply {
        let regions: Vec<Value> = REGIONS
            .iter()
            .map(|(code, name, is_closing)| {
                json!({
                    "code": code, "name": name, "deprecated": is_closing, "gateway_available": true,
                    "geo_region": "europe", "latitude": 50.5, "longitude": 5.5,
                    "requires_paid_plan": false,
                })
            })
            .collect();
        (200, json!({ "nearest": "ams", "regions": regions }))
    }
}
