//! Hetzner Cloud, as far as the adapter uses it: servers, volumes, addresses, firewalls, and the actions
//! that take time. Time is what each request brings along, so nothing moves between requests.
//!
//! It is a model of the documented interface, held to the vendor's description by the tests of this crate.

mod actions;
mod catalog;
mod lists;
mod net;
mod requests;
mod servers;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use sam_core::time::Timestamp;
use serde_json::{Value, json};

use self::actions::Action;
use self::catalog::TypeOffer;
use self::lists::Lagging;
use self::net::{Address, Firewall};
use self::servers::Server;
pub use self::servers::ServerSeen;
use self::volumes::Volume;
use super::Model;

/// Requests in an hour.
const REQUESTS_MAX: u64 = 3_600;

/// A project at Hetzner, empty at first.
#[derive(Debug)]
pub struct HetznerModel {
    token: String,
    now: Timestamp,
    next_id: u64,
    servers: Lagging<Server>,
    volumes: BTreeMap<u64, Volume>,
    addresses: BTreeMap<u64, Address>,
    firewalls: BTreeMap<u64, Firewall>,
    actions: BTreeMap<u64, Action>,
    failing: Vec<(String, String)>,
    types: Vec<TypeOffer>,
    sold_out: Vec<String>,
    action_time: Duration,
    server_limit: usize,
    ignores_shutdown: bool,
    requests_left: u64,
    refilled_at: Timestamp,
}

/// What an answer is made of: a status and a body.
type Reply = (u16, Value);

impl HetznerModel {
    /// What the paths of the interface begin with.
    pub const PREFIX: &'static str = "/v1";

    /// Makes a project with one token.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            now: Timestamp::EPOCH,
            next_id: 1_000,
            servers: Lagging::default(),
            volumes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            actions: BTreeMap::new(),
            failing: Vec::new(),
            types: catalog::types(),
            sold_out: Vec::new(),
            action_time: Duration::from_secs(2),
            server_limit: 200,
            ignores_shutdown: false,
            requests_left: REQUESTS_MAX,
            refilled_at: Timestamp::EPOCH,
        }
    }

    /// Sets how long each action takes.
    pub fn set_action_time(&mut self, span: Duration) {
        self.action_time = span;
    }

    /// Sets how many servers the project may have.
    pub fn set_server_limit(&mut self, servers: usize) {
        self.server_limit = servers;
    }

    /// Sells everything in a location out, or fills it up.
    pub fn set_sold_out(&mut self, location: &str, sold_out: bool) {
        self.sold_out.retain(|known| known != location);
        if sold_out {
            self.sold_out.push(location.to_owned());
        }
    }

    /// Lets the list of servers show the past; what is asked for by its id is as it is.
    pub fn set_list_lag(&mut self, span: Duration) {
        self.servers.set_lag(span);
    }

    /// Lets servers ignore the signal to shut down.
    pub fn set_ignores_shutdown(&mut self, ignores: bool) {
        self.ignores_shutdown = ignores;
    }

    /// Sets how many requests are left; one comes back each second.
    pub fn set_requests_left(&mut self, requests: u64) {
        self.requests_left = requests;
        self.refilled_at = self.now;
    }

    /// Lets the next action of a command end in an error of this code.
    pub fn fail_next_action(&mut self, command: &str, code: &str) {
        self.failing.push((command.to_owned(), code.to_owned()));
    }

    /// Announces the end of a type; nothing new is made of it.
    pub fn retire_type(&mut self, name: &str) {
        for offer in self.types.iter_mut().filter(|offer| offer.name == name) {
            offer.retired = true;
        }
    }

    /// Takes a type off the list altogether.
    pub fn forget_type(&mut self, name: &str) {
        self.types.retain(|offer| offer.name != name);
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes one request off the budget; `false` where nothing is left of it.
    fn is_within_limit(&mut self) -> bool {
        let refilled = self.now.since(self.refilled_at).as_secs();
        self.requests_left = self.requests_left.saturating_add(refilled).min(REQUESTS_MAX);
        self.refilled_at = self.refilled_at.plus(Duration::from_secs(refilled));
        let allowed = self.requests_left > 0;
        self.requests_left = self.requests_left.saturating_sub(1);
        allowed
    }

    fn limit_headers(&self, mut answer: Response<Bytes>) -> Response<Bytes> {
        let full_at = self.now.as_secs_unsigned() + (REQUESTS_MAX - self.requests_left);
        for (name, value) in [
            ("ratelimit-limit", REQUESTS_MAX),
            ("ratelimit-remaining", self.requests_left),
            ("ratelimit-reset", full_at),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
        answer
    }
}

impl Model for HetznerModel {
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.now = self.now.max(now);
        self.run_actions();
        let (status, body) = if self.is_within_limit() {
            self.respond(request)
        } else {
            refuse(429, "rate_limit_exceeded", "Error when sending too many requests")
        };
        let answer = if body.is_null() { super::empty(status) } else { super::json(status, &body) };
        self.limit_headers(answer)
    }

    fn left(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|(_, server)| format!("server {}", server.name));
        let volumes = self.volumes.values().map(|volume| format!("volume {}", volume.name));
        let addresses = self.addresses.values().map(|address| format!("address {}", address.ip));
        let firewalls =
            self.firewalls.values().map(|firewall| format!("firewall {}", firewall.name));
        servers.chain(volumes).chain(addresses).chain(firewalls).collect()
    }
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    (status, json!({ "error": { "code": code, "message": message, "details": null } }))
}

fn not_found() -> Reply {
    refuse(404, "not_found", "Entity not found")
}

fn invalid(field: &str) -> Reply {
    refuse(422, "invalid_input", &format!("invalid input in field '{field}'"))
}

fn taken(field: &str) -> Reply {
    refuse(409, "uniqueness_error", &format!("{field} is already used"))
}

fn locked() -> Reply {
    refuse(423, "locked", "Item is locked (Another action is running)")
}
