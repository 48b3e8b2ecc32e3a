//! Volumes.

use serde_json::{Value, json};

use super::actions::Deed;
use super::lists::{Entry, Labels};
use super::requests::labels;
use super::{HetznerModel, Reply, catalog, invalid, locked, not_found, refuse, taken};

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) server: Option<u64>,
    pub(super) is_made: bool,
    labels: Labels,
    location: String,
    created: String,
}

impl Entry for Volume {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

pub(super) fn show_volume(id: u64, volume: &Volume) -> Value {
    json!({
        "id": id, "created": volume.created, "name": volume.name, "server": volume.server,
        "location": catalog::location(&volume.location), "size": volume.size,
        "linux_device": format!("/dev/disk/by-id/scsi-0HC_Volume_{id}"),
        "protection": { "delete": false }, "labels": volume.labels,
        "status": if volume.is_made { "available" } else { "creating" }, "format": null,
    })
}

impl HetznerModel {
    pub(super) fn create_volume(&mut self, body: &Value) -> Reply {
        let (Some(name), Some(size @ 10..=10_240)) = (body["name"].as_str(), body["size"].as_u64())
        else {
            return invalid("size");
        };
        let location = body["location"].as_str().unwrap_or_default();
        let Some(labels) = labels(&body["labels"]) else { return invalid("labels") };
        if catalog::location(location).is_none() {
            return invalid("location");
        }
        if self.volumes.values().any(|known| known.name == name) {
            return taken("name");
        }
        let (name, location) = (name.to_owned(), location.to_owned());
        let (id, created) = (self.fresh_id(), self.now.to_string());
        let volume = Volume { name, size, server: None, is_made: false, labels, location, created };
        let shown = show_volume(id, &volume);
        self.volumes.insert(id, volume);
        let action = self.start(Deed::CreateVolume, id, &[(id, "volume")], 1);
        (201, json!({ "volume": shown, "action": action, "next_actions": [] }))
    }

    pub(super) fn read_volume(&self, id: u64) -> Reply {
        let volume = self.volumes.get(&id);
        volume.map_or_else(not_found, |volume| (200, json!({ "volume": show_volume(id, volume) })))
    }

    pub(super) fn delete_volume(&mut self, id: u64) -> Reply {
        let Some(volume) = self.volumes.get(&id) else { return not_found() };
        if volume.server.is_some() {
            return refuse(422, "service_error", "volume is still attached");
        }
        if self.is_locked(id, "volume") {
            return locked();
        }
        self.volumes.remove(&id);
        (204, Value::Null)
    }

    pub(super) fn act_on_volume(&mut self, id: u64, verb: &str, body: &Value) -> Reply {
        let Some(volume) = self.volumes.get(&id) else { return not_found() };
        if self.is_locked(id, "volume") {
            return locked();
        }
        let attached = volume.server;
        let (deed, server) = match verb {
            "attach" => {
                let server = body["server"].as_u64().unwrap_or_default();
                let Some(known) = self.servers.get(server) else { return not_found() };
                if attached.is_some() {
                    return refuse(422, "volume_already_attached", "volume is already attached");
                }
                if !Self::is_in(known, &volume.location) {
                    return invalid("server");
                }
                (Deed::AttachVolume { server }, Some(server))
            }
            "detach" if attached.is_none() => return invalid("server"),
            "detach" => (Deed::DetachVolume, attached),
            _ => match body["size"].as_u64() {
                Some(size) if size > volume.size => (Deed::ResizeVolume { size }, None),
                _ => return invalid("size"),
            },
        };
        if server.is_some_and(|server| self.is_locked(server, "server")) {
            return locked();
        }
        let mut resources = vec![(id, "volume")];
        resources.extend(server.map(|server| (server, "server")));
        (201, json!({ "action": self.start(deed, id, &resources, 1) }))
    }
}
