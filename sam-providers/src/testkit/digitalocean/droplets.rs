//! Droplets.

use std::net::Ipv4Addr;

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::actions::Deed;
use super::requests::Query;
use super::{DigitalOceanModel, Reply, catalog, not_found, pending, unprocessable};

const NEW: &str = "new";
pub(super) const ACTIVE: &str = "active";
pub(super) const OFF: &str = "off";

const USER_DATA_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Clone)]
pub(super) struct Droplet {
    pub(super) name: String,
    pub(super) status: &'static str,
    tags: Vec<String>,
    size: String,
    image: String,
    pub(super) region: String,
    user_data: String,
    ipv6: bool,
    made_at: Timestamp,
    /// It is gone, and lists may show it still.
    pub(super) gone_at: Option<Timestamp>,
}

/// A droplet as a test sees it: what stands in for the machine starts from this.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropletSeen {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its status, in DigitalOcean's words.
    pub status: &'static str,
    /// What it carries.
    pub tags: Vec<String>,
    /// Its size.
    pub size: String,
    /// The image it was made from.
    pub image: String,
    /// Where it is.
    pub region: String,
    /// What it is told on its first boot.
    pub user_data: String,
}

impl DigitalOceanModel {
    /// Everything that there is.
    pub(super) fn present(&self) -> impl Iterator<Item = (u64, &Droplet)> {
        let present = self.droplets.iter().filter(|(_, droplet)| droplet.gone_at.is_none());
        present.map(|(id, droplet)| (*id, droplet))
    }

    /// Returns every droplet that there is, oldest first.
    pub fn droplets(&self) -> Vec<DropletSeen> {
        let seen = |(id, droplet): (u64, &Droplet)| DropletSeen {
            id,
            name: droplet.name.clone(),
            status: droplet.status,
            tags: droplet.tags.clone(),
            size: droplet.size.clone(),
            image: droplet.image.clone(),
            region: droplet.region.clone(),
            user_data: droplet.user_data.clone(),
        };
        self.present().map(seen).collect()
    }

    /// Puts a running droplet there that nobody ordered here.
    pub fn add_droplet(&mut self, id: u64, name: &str, tags: &[&str]) {
        let tags = tags.iter().map(|tag| self.use_tag(tag)).collect();
        let droplet = Droplet {
            name: name.to_owned(),
            status: ACTIVE,
            tags,
            size: "s-2vcpu-4gb".to_owned(),
            image: "ubuntu-24-04-x64".to_owned(),
            region: "fra1".to_owned(),
            user_data: String::new(),
            ipv6: false,
            made_at: self.now,
            gone_at: None,
        };
        self.droplets.insert(id, droplet);
    }

    fn show_droplet(&self, id: u64, droplet: &Droplet) -> Value {
        let number = u32::try_from(id % 65_536).unwrap_or_default();
        let (v4, own) =
            (Ipv4Addr::from(0xC612_0000 + number), Ipv4Addr::from(0x0A72_0000 + number));
        let is_made = droplet.status != NEW;
        let v4 = json!([
            { "ip_address": own, "netmask": "255.255.0.0", "gateway": "10.114.0.1", "type": "private" },
            { "ip_address": v4, "netmask": "255.254.0.0", "gateway": "198.18.0.1", "type": "public" },
        ]);
        let v6 = json!([{
            "ip_address": format!("2001:db8::{number:x}"), "netmask": 64, "gateway": "2001:db8::1",
            "type": "public",
        }]);
        let offer = self.size(&droplet.size).or_else(|| self.sizes.first());
        let volumes = self.volumes.iter().filter(|(_, volume)| volume.droplet == Some(id));
        json!({
            "id": id, "name": droplet.name, "status": droplet.status, "locked": self.is_locked(id),
            "memory": offer.map(|it| it.memory), "vcpus": offer.map(|it| it.vcpus), "disk": 80,
            "created_at": droplet.made_at.to_string(), "features": ["ipv6"], "backup_ids": [],
            "next_backup_window": null, "snapshot_ids": [], "image": catalog::image(&droplet.image),
            "volume_ids": volumes.map(|(id, _)| id).collect::<Vec<_>>(),
            "size": offer.map(Self::show_size), "size_slug": droplet.size,
            "networks": {
                "v4": if is_made { v4 } else { json!([]) },
                "v6": if is_made && droplet.ipv6 { v6 } else { json!([]) },
            },
            "region": self.show_region(&droplet.region), "tags": droplet.tags,
        })
    }

    /// Lists what is shown at this time, newest first.
    pub(super) fn list_droplets(&self, query: &Query) -> Vec<Value> {
        let shown = |droplet: &Droplet| match droplet.gone_at {
            Some(at) => self.now.since(at) < self.list_lag,
            None => self.now.since(droplet.made_at) >= self.list_lag,
        };
        let fits = |droplet: &Droplet| {
            let same = |wanted: &str, has: &str| wanted.eq_ignore_ascii_case(has);
            query
                .one("tag_name")
                .is_none_or(|wanted| droplet.tags.iter().any(|tag| same(wanted, tag)))
                && query.one("name").is_none_or(|wanted| same(wanted, &droplet.name))
        };
        let all = self.droplets.iter().rev();
        let all = all.filter(|(_, droplet)| shown(droplet) && fits(droplet));
        all.map(|(id, droplet)| self.show_droplet(*id, droplet)).collect()
    }

    pub(super) fn create_droplet(&mut self, body: &Value) -> Reply {
        let tags = match self.tags_of(body) {
            Ok(tags) => tags,
            Err(refused) => return refused,
        };
        let droplet = match self.ordered(body, tags) {
            Ok(droplet) => droplet,
            Err(refused) => return refused,
        };
        if self.present().count() >= self.droplet_limit {
            return unprocessable("creating this/these droplet(s) will exceed your droplet limit");
        }
        let twin = if self.twins.is_empty() { None } else { Some(self.twins.remove(0)) };
        if twin == Some(true) {
            self.made(droplet.clone());
        }
        let (id, action) = self.made(droplet.clone());
        if twin == Some(false) {
            self.made(droplet);
        }
        let shown = self.droplets.get(&id).map(|droplet| self.show_droplet(id, droplet));
        let href = format!("https://api.digitalocean.com/v2/actions/{}", action["id"]);
        let link = json!({ "id": action["id"], "rel": "create", "href": href });
        (202, json!({ "droplet": shown, "links": { "actions": [link] } }))
    }

    fn made(&mut self, droplet: Droplet) -> (u64, Value) {
        let id = self.fresh_id();
        self.droplets.insert(id, droplet);
        (id, self.start(Deed::Create, Some(id)))
    }

    /// Reads an order, as far as it can be refused without looking at other droplets.
    fn ordered(&self, body: &Value, tags: Vec<String>) -> Result<Droplet, Reply> {
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        let (name, size, image) = (text("name"), text("size"), text("image"));
        let (region, user_data) = (text("region"), text("user_data"));
        let hostname = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(hostname) {
            return Err(unprocessable(
                "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
            ));
        }
        if !catalog::is_image(&image) {
            return Err(unprocessable("You specified an invalid image for Droplet creation."));
        }
        if !Self::is_region(&region) {
            return Err(unprocessable("You specified an invalid region for Droplet creation."));
        }
        let Some(offer) = self.size(&size) else {
            return Err(unprocessable("You specified an invalid size for Droplet creation."));
        };
        if !self.is_sold(offer, &region) {
            return Err(unprocessable("Size is not available in this region."));
        }
        if user_data.len() > USER_DATA_BYTES_MAX {
            return Err(unprocessable("User data is too long"));
        }
        let (ipv6, made_at) = (body["ipv6"].as_bool().unwrap_or(false), self.now);
        Ok(Droplet {
            name,
            status: NEW,
            tags,
            size,
            image,
            region,
            user_data,
            ipv6,
            made_at,
            gone_at: None,
        })
    }

    pub(super) fn read_droplet(&self, id: u64) -> Reply {
        let known = self.present().find(|(known, _)| *known == id);
        known.map_or_else(not_found, |(id, droplet)| {
            (200, json!({ "droplet": self.show_droplet(id, droplet) }))
        })
    }

    pub(super) fn delete_droplet(&mut self, id: u64) -> Reply {
        let (is_locked, now) = (self.is_locked(id), self.now);
        let known = self.droplets.get_mut(&id).filter(|droplet| droplet.gone_at.is_none());
        let Some(droplet) = known else { return not_found() };
        if is_locked {
            return pending("Droplet");
        }
        droplet.gone_at = Some(now);
        for volume in self.volumes.values_mut() {
            volume.droplet.take_if(|droplet| *droplet == id);
        }
        (204, Value::Null)
    }

    pub(super) fn switch_droplet(&mut self, id: u64, body: &Value) -> Reply {
        if self.present().all(|(known, _)| known != id) {
            return not_found();
        }
        if self.is_locked(id) {
            return pending("Droplet");
        }
        let deed = match body["type"].as_str() {
            Some("power_on") => Deed::PowerOn,
            Some("power_off") => Deed::PowerOff,
            Some("shutdown") => Deed::Shutdown,
            _ => return unprocessable("You specified an invalid action type."),
        };
        (201, json!({ "action": self.start(deed, Some(id)) }))
    }

    /// Lets another action run on a droplet for a while.
    pub fn lock_droplet(&mut self, id: u64, span: std::time::Duration) {
        let usual = std::mem::replace(&mut self.action_time, span);
        let _shown = self.start(Deed::PowerOn, Some(id));
        self.action_time = usual;
    }
}
