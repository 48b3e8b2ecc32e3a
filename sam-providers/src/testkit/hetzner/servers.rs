//! Servers.

use std::collections::BTreeMap;
use std::time::Duration;

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::actions::Deed;
use super::lists::{Entry, Labels};
use super::requests::labels;
use super::{HetznerModel, Reply, catalog, invalid, locked, not_found, refuse, taken};

pub(super) const INITIALIZING: &str = "initializing";
pub(super) const STARTING: &str = "starting";
pub(super) const RUNNING: &str = "running";
pub(super) const OFF: &str = "off";
const STOPPING: &str = "stopping";
const DELETING: &str = "deleting";

const USER_DATA_BYTES_MAX: usize = 32 << 10;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) status: &'static str,
    labels: Labels,
    type_name: String,
    image: String,
    location: String,
    user_data: String,
    pub(super) firewalls: Vec<u64>,
    addresses: [Option<u64>; 2],
    is_protected: bool,
    pub(super) off_at: Option<Timestamp>,
    created: String,
}

impl Entry for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// A server as a test sees it: what stands in for the machine starts from this.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSeen {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its status, in Hetzner's words.
    pub status: &'static str,
    /// What it carries.
    pub labels: BTreeMap<String, String>,
    /// Its type.
    pub server_type: String,
    /// The image it was made from.
    pub image: String,
    /// Where it is.
    pub location: String,
    /// What it is told on its first boot.
    pub user_data: String,
    /// How many firewalls stand before it.
    pub firewalls: usize,
    /// Whether it has an address of version 4.
    pub has_ipv4: bool,
}

impl HetznerModel {
    /// Returns every server that there is, oldest first.
    pub fn servers(&self) -> Vec<ServerSeen> {
        let seen = |(id, server): (u64, &Server)| ServerSeen {
            id,
            name: server.name.clone(),
            status: server.status,
            labels: server.labels.clone(),
            server_type: server.type_name.clone(),
            image: server.image.clone(),
            location: server.location.clone(),
            user_data: server.user_data.clone(),
            firewalls: server.firewalls.len(),
            has_ipv4: server.addresses[0].is_some(),
        };
        self.servers.iter().map(seen).collect()
    }

    /// Puts a running server there that nobody ordered here. It has no addresses.
    pub fn add_server(&mut self, id: u64, name: &str, labels: BTreeMap<String, String>) {
        let server = Server {
            name: name.to_owned(),
            status: RUNNING,
            labels,
            type_name: "cx23".to_owned(),
            image: "ubuntu-24.04".to_owned(),
            location: "fsn1".to_owned(),
            user_data: String::new(),
            firewalls: Vec::new(),
            addresses: [None, None],
            is_protected: false,
            off_at: None,
            created: self.now.to_string(),
        };
        self.servers.insert(id, self.now, server);
    }

    /// Switches the delete protection of a server.
    pub fn protect_server(&mut self, id: u64, is_protected: bool) {
        if let Some(server) = self.servers.get_mut(id) {
            server.is_protected = is_protected;
        }
    }

    /// Lets another action run on a server for a while.
    pub fn lock_server(&mut self, id: u64, span: Duration) {
        let usual = std::mem::replace(&mut self.action_time, span);
        let _shown = self.start(Deed::StartServer, id, &[(id, "server")], 1);
        self.action_time = usual;
    }

    pub(super) fn show_server(&self, id: u64, server: &Server) -> Value {
        let address = |number: Option<u64>| {
            let number = number?;
            let address = self.addresses.get(&number)?;
            let dns = if address.ip.contains(':') { json!([]) } else { json!("host.example.com") };
            Some(json!({ "id": number, "ip": address.ip, "blocked": false, "dns_ptr": dns }))
        };
        let [v4, v6] = server.addresses;
        let firewalls = server.firewalls.iter().map(|id| json!({ "id": id, "status": "applied" }));
        let volumes = self.volumes.iter().filter(|(_, volume)| volume.server == Some(id));
        let kind = self.types.iter().find(|offer| offer.name == server.type_name);
        let kind = kind.or_else(|| self.types.first()).map(|offer| self.show_type(offer));
        json!({
            "id": id, "name": server.name, "status": server.status, "created": server.created,
            "public_net": {
                "ipv4": address(v4), "ipv6": address(v6), "floating_ips": [],
                "firewalls": firewalls.collect::<Vec<_>>(),
            },
            "private_net": [], "server_type": kind, "location": catalog::location(&server.location),
            "image": catalog::image(&server.image), "iso": null, "rescue_enabled": false,
            "locked": self.is_locked(id, "server"), "backup_window": null, "outgoing_traffic": null,
            "ingoing_traffic": null, "included_traffic": null,
            "protection": { "delete": server.is_protected, "rebuild": server.is_protected },
            "labels": server.labels, "volumes": volumes.map(|(id, _)| id).collect::<Vec<_>>(),
            "load_balancers": [], "primary_disk_size": 40, "placement_group": null,
        })
    }

    pub(super) fn create_server(&mut self, body: &Value) -> Reply {
        let (server, [wants_v4, wants_v6]) = match self.ordered(body) {
            Ok(ordered) => ordered,
            Err(refused) => return refused,
        };
        if self.servers.iter().any(|(_, known)| known.name == server.name) {
            return taken("name");
        }
        if self.servers.iter().count() >= self.server_limit {
            return refuse(403, "resource_limit_exceeded", "server limit exceeded");
        }
        if self.is_sold_out(&server.location) {
            return refuse(412, "resource_unavailable", "error during placement");
        }
        let (id, location) = (self.fresh_id(), server.location.clone());
        self.servers.insert(id, self.now, server);
        let v4 = wants_v4.then(|| self.give_address(id, "ipv4", &location));
        let v6 = wants_v6.then(|| self.give_address(id, "ipv6", &location));
        if let Some(server) = self.servers.get_mut(id) {
            server.addresses = [v4, v6];
        }
        let action = self.start(Deed::CreateServer, id, &[(id, "server")], 1);
        let next = if body["start_after_create"].as_bool().unwrap_or(true) {
            vec![self.start(Deed::StartServer, id, &[(id, "server")], 2)]
        } else {
            Vec::new()
        };
        let shown = self.servers.get(id).map(|server| self.show_server(id, server));
        (
            201,
            json!({ "server": shown, "action": action, "next_actions": next, "root_password": "fake-root-password" }),
        )
    }

    /// Reads an order, as far as it can be refused without looking at anything else.
    fn ordered(&self, body: &Value) -> Result<(Server, [bool; 2]), Reply> {
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
        let (name, type_name, image) = (text("name"), text("server_type"), text("image"));
        let (location, user_data) = (text("location"), text("user_data"));
        let hostname = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if name.is_empty() || name.len() > 63 || !name.bytes().all(hostname) {
            return Err(invalid("name"));
        }
        if self.sold_type(&type_name, &location).is_none() {
            return Err(invalid("server_type"));
        }
        if !catalog::IMAGES.contains(&&*image) {
            return Err(invalid("image"));
        }
        if user_data.len() > USER_DATA_BYTES_MAX {
            return Err(invalid("user_data"));
        }
        let labels = labels(&body["labels"]).ok_or_else(|| invalid("labels"))?;
        let firewalls = body["firewalls"].as_array().into_iter().flatten();
        let firewalls: Option<Vec<u64>> = firewalls
            .map(|firewall| {
                firewall["firewall"].as_u64().filter(|id| self.firewalls.contains_key(id))
            })
            .collect();
        let wants = |member: &str| body["public_net"][member].as_bool().unwrap_or(true);
        let server = Server {
            name,
            status: INITIALIZING,
            labels,
            type_name,
            image,
            location,
            user_data,
            firewalls: firewalls.ok_or_else(|| invalid("firewalls"))?,
            addresses: [None, None],
            is_protected: false,
            off_at: None,
            created: self.now.to_string(),
        };
        Ok((server, [wants("enable_ipv4"), wants("enable_ipv6")]))
    }

    pub(super) fn read_server(&self, id: u64) -> Reply {
        let shown = self.servers.get(id).map(|server| self.show_server(id, server));
        shown.map_or_else(not_found, |server| (200, json!({ "server": server })))
    }

    pub(super) fn delete_server(&mut self, id: u64) -> Reply {
        let is_locked = self.is_locked(id, "server");
        let Some(server) = self.servers.get_mut(id) else { return not_found() };
        if server.is_protected {
            return refuse(423, "protected", "server is delete protected");
        }
        if is_locked {
            return locked();
        }
        server.status = DELETING;
        (200, json!({ "action": self.start(Deed::DeleteServer, id, &[(id, "server")], 1) }))
    }

    pub(super) fn is_in(server: &Server, location: &str) -> bool {
        server.location == location
    }

    pub(super) fn remove_server(&mut self, id: u64, at: Timestamp) {
        self.servers.remove(id, at);
        self.release_addresses(id);
        for volume in self.volumes.values_mut() {
            volume.server.take_if(|server| *server == id);
        }
    }

    pub(super) fn switch_server(&mut self, id: u64, verb: &str) -> Reply {
        let is_locked = self.is_locked(id, "server");
        let Some(server) = self.servers.get_mut(id) else { return not_found() };
        if is_locked {
            return locked();
        }
        let deed = match verb {
            "poweron" => Deed::StartServer,
            "poweroff" => Deed::StopServer,
            _ => Deed::ShutdownServer,
        };
        if verb == "poweron" {
            server.off_at = None;
            server.status = if server.status == RUNNING { RUNNING } else { STARTING };
        } else if verb == "poweroff" && server.status != OFF {
            server.status = STOPPING;
        }
        (201, json!({ "action": self.start(deed, id, &[(id, "server")], 1) }))
    }
}
