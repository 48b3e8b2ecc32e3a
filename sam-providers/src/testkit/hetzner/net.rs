//! Addresses and firewalls.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lists::{Entry, Labels};
use super::requests::labels;
use super::{HetznerModel, Reply, catalog, invalid, not_found, refuse, taken};

#[derive(Debug)]
pub(super) struct Address {
    name: String,
    pub(super) ip: String,
    kind: &'static str,
    pub(super) server: Option<u64>,
    pub(super) auto_delete: bool,
    labels: Labels,
    location: String,
    created: String,
}

impl Entry for Address {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

pub(super) fn show_address(id: u64, address: &Address) -> Value {
    json!({
        "id": id, "name": address.name, "labels": address.labels, "created": address.created,
        "blocked": false, "location": catalog::location(&address.location), "ip": address.ip,
        "dns_ptr": [], "protection": { "delete": false }, "type": address.kind,
        "auto_delete": address.auto_delete,
        "assignee_type": if address.server.is_some() { "server" } else { "unassigned" },
        "assignee_id": address.server,
    })
}

#[derive(Debug)]
pub(super) struct Firewall {
    pub(super) name: String,
    labels: Labels,
    rules: Vec<Value>,
    created: String,
}

impl Entry for Firewall {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

impl HetznerModel {
    /// Makes an address that goes with its server.
    pub(super) fn give_address(&mut self, server: u64, kind: &'static str, location: &str) -> u64 {
        let id = self.fresh_id();
        let ip = if kind == "ipv4" {
            format!("192.0.{}.{}", (id / 250) % 250 + 1, id % 250 + 1)
        } else {
            format!("2001:db8:{id:x}::/64")
        };
        let (name, location) = (format!("primary_ip-{id}"), location.to_owned());
        let (server, created) = (Some(server), self.now.to_string());
        let labels = BTreeMap::new();
        let address =
            Address { name, ip, kind, server, auto_delete: true, labels, location, created };
        self.addresses.insert(id, address);
        id
    }

    /// Lets the addresses of a server outlive it, as a person can.
    pub fn keep_addresses_of(&mut self, server: u64) {
        for address in self.addresses.values_mut().filter(|known| known.server == Some(server)) {
            address.auto_delete = false;
        }
    }

    pub(super) fn release_addresses(&mut self, server: u64) {
        self.addresses.retain(|_, known| known.server != Some(server) || !known.auto_delete);
        for address in self.addresses.values_mut().filter(|known| known.server == Some(server)) {
            address.server = None;
        }
    }

    pub(super) fn change_address(&mut self, id: u64, body: &Value) -> Reply {
        let Some(labels) = labels(&body["labels"]) else { return invalid("labels") };
        let Some(address) = self.addresses.get_mut(&id) else { return not_found() };
        if !body["labels"].is_null() {
            address.labels = labels;
        }
        if let Some(auto_delete) = body["auto_delete"].as_bool() {
            address.auto_delete = auto_delete;
        }
        (200, json!({ "primary_ip": show_address(id, address) }))
    }

    pub(super) fn delete_address(&mut self, id: u64) -> Reply {
        match self.addresses.get(&id) {
            None => not_found(),
            Some(address) if address.server.is_some() => {
                refuse(422, "must_be_unassigned", "Primary IP must be unassigned")
            }
            Some(_) => {
                self.addresses.remove(&id);
                (204, Value::Null)
            }
        }
    }

    pub(super) fn show_firewall(&self, id: u64, firewall: &Firewall) -> Value {
        let on = self.servers.iter().filter(|(_, server)| server.firewalls.contains(&id));
        let applied = on.map(|(server, _)| json!({ "type": "server", "server": { "id": server } }));
        json!({
            "id": id, "name": firewall.name, "labels": firewall.labels, "created": firewall.created,
            "rules": firewall.rules, "applied_to": applied.collect::<Vec<_>>(),
        })
    }

    pub(super) fn create_firewall(&mut self, body: &Value) -> Reply {
        let (Some(name), Some(labels)) = (body["name"].as_str(), labels(&body["labels"])) else {
            return invalid("name");
        };
        if self.firewalls.values().any(|known| known.name == name) {
            return taken("name");
        }
        let mut rules = Vec::new();
        for rule in body["rules"].as_array().into_iter().flatten() {
            let ported = matches!(rule["protocol"].as_str(), Some("tcp" | "udp"));
            let has_sources = rule["source_ips"].as_array().is_some_and(|ips| !ips.is_empty());
            if ported != rule["port"].is_string() || !has_sources {
                return invalid("rules");
            }
            rules.push(json!({
                "direction": rule["direction"], "protocol": rule["protocol"], "port": rule["port"],
                "source_ips": rule["source_ips"], "destination_ips": [], "description": null,
            }));
        }
        let id = self.fresh_id();
        let created = self.now.to_string();
        self.firewalls.insert(id, Firewall { name: name.to_owned(), labels, rules, created });
        (201, json!({ "firewall": self.show_firewall(id, &self.firewalls[&id]), "actions": [] }))
    }

    pub(super) fn delete_firewall(&mut self, id: u64) -> Reply {
        if !self.firewalls.contains_key(&id) {
            return not_found();
        }
        if self.servers.iter().any(|(_, server)| server.firewalls.contains(&id)) {
            return refuse(422, "resource_in_use", "firewall is still in use");
        }
        self.firewalls.remove(&id);
        (204, Value::Null)
    }
}
