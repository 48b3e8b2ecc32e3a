//! Which request means what.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::lists::{Labels, page, paged};
use super::net::show_address;
use super::volumes::show_volume;
use super::{HetznerModel, Reply, not_found, refuse};

/// The members of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let text = |text: &str| percent_decoded(text);
        let pairs = request.uri().query().unwrap_or_default().split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Reads `%2C` and its kind.
fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let hex = (*first == b'%').then(|| more.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads labels; `None` where they are not allowed.
pub(super) fn labels(body: &Value) -> Option<Labels> {
    let legal = |text: &str, may_be_empty: bool| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        (text.is_empty() && may_be_empty)
            || (text.len() <= 63
                && text.bytes().all(inner)
                && end(text.bytes().next())
                && end(text.bytes().next_back()))
    };
    let mut all = BTreeMap::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        let value = value.as_str()?;
        let (prefix, plain) = name.split_once('/').unwrap_or(("", name));
        if !legal(plain, false) || !legal(value, true) || prefix == "hetzner.cloud" {
            return None;
        }
        all.insert(name.clone(), value.to_owned());
    }
    Some(all)
}

impl HetznerModel {
    pub(super) fn respond(&mut self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path().strip_prefix(Self::PREFIX).unwrap_or_default();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let known = [
            "actions",
            "firewalls",
            "locations",
            "primary_ips",
            "server_types",
            "servers",
            "volumes",
        ];
        // An unknown path is answered before the token is looked at.
        if !parts.first().is_some_and(|first| known.contains(first)) {
            return not_found();
        }
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(&*format!("Bearer {}", self.token)) {
            return refuse(401, "unauthorized", "the token you have provided is invalid");
        }
        let body = if request.body().is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(request.body()) {
                Ok(body) => body,
                Err(_) => return refuse(400, "json_error", "Invalid JSON input in your request"),
            }
        };
        let query = Query::of(request);
        match request.method().as_str() {
            "GET" => self.look(&parts, &query),
            "DELETE" => self.delete(&parts),
            "POST" => self.act(&parts, &body),
            "PUT" => match *parts {
                ["primary_ips", id] => self.change_address(number(id), &body),
                _ => not_found(),
            },
            _ => refuse(405, "method_not_allowed", "The request method is not allowed"),
        }
    }

    fn look(&self, parts: &[&str], query: &Query) -> Reply {
        match *parts {
            ["servers"] => page("servers", query, self.servers.listed(self.now), |id, server| {
                self.show_server(id, server)
            }),
            ["servers", id] => self.read_server(number(id)),
            ["servers", id, "actions"] => {
                paged("actions", query, &self.actions_of(number(id)), Value::clone)
            }
            ["volumes"] => page("volumes", query, plain(&self.volumes), show_volume),
            ["volumes", id] => self.read_volume(number(id)),
            ["primary_ips"] => page("primary_ips", query, plain(&self.addresses), show_address),
            ["primary_ips", id] => match self.addresses.get(&number(id)) {
                None => not_found(),
                Some(address) => (200, json!({ "primary_ip": show_address(number(id), address) })),
            },
            ["firewalls"] => page("firewalls", query, plain(&self.firewalls), |id, firewall| {
                self.show_firewall(id, firewall)
            }),
            ["actions"] => self.list_actions(&query.all("id").map(number).collect::<Vec<_>>()),
            ["actions", id] => self.show_action(number(id)),
            ["server_types"] => self.list_types(query),
            ["locations"] => Self::list_locations(query),
            _ => not_found(),
        }
    }

    fn delete(&mut self, parts: &[&str]) -> Reply {
        match *parts {
            ["servers", id] => self.delete_server(number(id)),
            ["volumes", id] => self.delete_volume(number(id)),
            ["primary_ips", id] => self.delete_address(number(id)),
            ["firewalls", id] => self.delete_firewall(number(id)),
            _ => not_found(),
        }
    }

    fn act(&mut self, parts: &[&str], body: &Value) -> Reply {
        match *parts {
            ["servers"] => self.create_server(body),
            ["servers", id, "actions", verb @ ("poweron" | "poweroff" | "shutdown")] => {
                self.switch_server(number(id), verb)
            }
            ["volumes"] => self.create_volume(body),
            ["volumes", id, "actions", verb @ ("attach" | "detach" | "resize")] => {
                self.act_on_volume(number(id), verb, body)
            }
            ["firewalls"] => self.create_firewall(body),
            _ => not_found(),
        }
    }
}

/// Reads a number of a path; nothing has the number 0.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn plain<T>(entries: &BTreeMap<u64, T>) -> impl Iterator<Item = (u64, &T)> {
    entries.iter().map(|(id, entry)| (*id, entry))
}
