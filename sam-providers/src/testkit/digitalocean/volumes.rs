//! Volumes.

use serde_json::{Value, json};

use super::actions::Deed;
use super::requests::Query;
use super::{DigitalOceanModel, Reply, not_found, pending, refuse, unprocessable};

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) gib: u64,
    pub(super) droplet: Option<u64>,
    region: String,
    tags: Vec<String>,
    created: String,
}

impl DigitalOceanModel {
    fn show_volume(&self, id: &str, volume: &Volume) -> Value {
        json!({
            "id": id, "name": volume.name, "size_gigabytes": volume.gib, "description": "",
            "droplet_ids": volume.droplet.into_iter().collect::<Vec<_>>(),
            "region": self.show_region(&volume.region), "created_at": volume.created,
            "filesystem_type": "", "filesystem_label": "",
            // As it is shown where there are none.
            "tags": if volume.tags.is_empty() { Value::Null } else { json!(volume.tags) },
        })
    }

    pub(super) fn list_volumes(&self, query: &Query) -> Vec<Value> {
        let fits = |volume: &Volume| {
            query.one("name").is_none_or(|name| volume.name == name)
                && query.one("region").is_none_or(|region| volume.region == region)
        };
        let all = self.volumes.iter().filter(|(_, volume)| fits(volume));
        all.map(|(id, volume)| self.show_volume(id, volume)).collect()
    }

    /// Puts a volume there that nobody ordered here.
    pub fn add_volume(&mut self, name: &str, tags: &[&str]) -> String {
        let tags = tags.iter().map(|tag| self.use_tag(tag)).collect();
        let id = format!("506f78a4-e098-11e5-ad9f-{:012x}", self.fresh_id());
        let (name, region, created) = (name.to_owned(), "fra1".to_owned(), self.now.to_string());
        let volume = Volume { name, gib: 10, droplet: None, region, tags, created };
        self.volumes.insert(id.clone(), volume);
        id
    }

    pub(super) fn create_volume(&mut self, body: &Value) -> Reply {
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        let (name, region) = (text("name"), text("region"));
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if !starts || name.len() > 64 || !name.bytes().all(legal) {
            return unprocessable(
                "name must be lower-case letters, numbers and dashes, a letter first",
            );
        }
        let Some(gib @ 1..=16_384) = body["size_gigabytes"].as_u64() else {
            return unprocessable("invalid size_gigabytes");
        };
        if !Self::is_region(&region) {
            return unprocessable("invalid region");
        }
        if self.volumes.values().any(|known| known.name == name && known.region == region) {
            return refuse(
                409,
                "conflict",
                "a volume with this name already exists in this region",
            );
        }
        let tags = match self.tags_of(body) {
            Ok(tags) => tags,
            Err(refused) => return refused,
        };
        let id = format!("506f78a4-e098-11e5-ad9f-{:012x}", self.fresh_id());
        let created = self.now.to_string();
        let volume = Volume { name, gib, droplet: None, region, tags, created };
        let shown = self.show_volume(&id, &volume);
        self.volumes.insert(id, volume);
        (201, json!({ "volume": shown }))
    }

    pub(super) fn read_volume(&self, id: &str) -> Reply {
        self.volumes.get(id).map_or_else(not_found, |volume| {
            (200, json!({ "volume": self.show_volume(id, volume) }))
        })
    }

    pub(super) fn delete_volume(&mut self, id: &str) -> Reply {
        let Some(volume) = self.volumes.get(id) else { return not_found() };
        if volume.droplet.is_some() {
            return refuse(409, "conflict", "the volume is attached to a Droplet");
        }
        if self.is_volume_locked(id) {
            return pending("Volume");
        }
        self.volumes.remove(id);
        (204, Value::Null)
    }

    pub(super) fn act_on_volume(&mut self, id: &str, body: &Value) -> Reply {
        let Some(volume) = self.volumes.get(id) else { return not_found() };
        if self.is_volume_locked(id) {
            return pending("Volume");
        }
        let (attached, region, gib) = (volume.droplet, volume.region.clone(), volume.gib);
        let volume = id.to_owned();
        let (deed, droplet) = match body["type"].as_str() {
            Some("attach") => {
                let wanted = body["droplet_id"].as_u64();
                let known = self.present().find(|(known, _)| Some(*known) == wanted);
                let Some((droplet, known)) = known else { return not_found() };
                if known.region != region {
                    return unprocessable("the Droplet and the volume are in different places");
                }
                if attached.is_some() {
                    return unprocessable("the volume is attached already");
                }
                (Deed::Attach { volume }, Some(droplet))
            }
            Some("detach") if attached.is_none() || attached != body["droplet_id"].as_u64() => {
                return unprocessable("the volume is not attached to this Droplet");
            }
            Some("detach") => (Deed::Detach { volume }, attached),
            Some("resize") => match body["size_gigabytes"].as_u64() {
                Some(wanted) if wanted > gib => (Deed::Resize { volume, gib: wanted }, None),
                _ => return unprocessable("a volume can only be made larger"),
            },
            _ => return unprocessable("invalid type"),
        };
        if droplet.is_some_and(|droplet| self.is_locked(droplet)) {
            return pending("Droplet");
        }
        (202, json!({ "action": self.start(deed, droplet) }))
    }
}
