//! Fly's Machines API, as far as the adapter uses it: apps, machines with leases and states that take
//! time, volumes, secrets, regions. Time is what each request brings along, so nothing moves between
//! requests, and a wait answers at once whether it would have been in vain.
//!
//! It is a model of the documented interface, held to the vendor's description by the tests of this crate.

mod leases;
mod machines;
mod requests;
mod things;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use sam_core::time::Timestamp;
use serde_json::{Value, json};

use self::leases::Bucket;
use self::machines::Machine;
pub use self::machines::MachineSeen;
use self::things::{App, Volume};
use super::Model;

/// An organisation at Fly, empty at first.
#[derive(Debug)]
pub struct FlyModel {
    token: String,
    org: String,
    now: Timestamp,
    next_id: u64,
    apps: BTreeMap<String, App>,
    taken_apps: Vec<String>,
    machines: BTreeMap<String, Machine>,
    volumes: BTreeMap<String, Volume>,
    secrets: BTreeMap<(String, String), String>,
    buckets: BTreeMap<(String, String), Bucket>,
    sold_out: Vec<String>,
    failing: u32,
    step_time: Duration,
    list_lag: Duration,
    app_lag: Duration,
    gives_cookies: bool,
}

/// What an answer is made of: a status and a body.
type Reply = (u16, Value);

impl FlyModel {
    /// What the paths of the interface begin with.
    pub const PREFIX: &'static str = "/v1";

    /// Makes an organisation with one token.
    pub fn new(token: impl Into<String>, org_slug: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            org: org_slug.into(),
            now: Timestamp::EPOCH,
            next_id: 0x1000,
            apps: BTreeMap::new(),
            taken_apps: Vec::new(),
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            buckets: BTreeMap::new(),
            sold_out: Vec::new(),
            failing: 0,
            step_time: Duration::from_secs(2),
            list_lag: Duration::ZERO,
            app_lag: Duration::ZERO,
            gives_cookies: true,
        }
    }

    /// Sets how long a machine takes from one state to the next.
    pub fn set_step_time(&mut self, span: Duration) {
        self.step_time = span;
    }

    /// Lets the list of machines show the past; what is asked for by its id is as it is.
    pub fn set_list_lag(&mut self, span: Duration) {
        self.list_lag = span;
    }

    /// Lets a fresh app be unknown for a while to whoever does not bring its cookie, and says whether
    /// there are cookies.
    pub fn set_app_lag(&mut self, span: Duration, gives_cookies: bool) {
        self.app_lag = span;
        self.gives_cookies = gives_cookies;
    }

    /// Sells everything in a region out, or fills it up.
    pub fn set_sold_out(&mut self, region: &str, sold_out: bool) {
        self.sold_out.retain(|known| known != region);
        if sold_out {
            self.sold_out.push(region.to_owned());
        }
    }

    /// Lets so many of the next machines fail to start.
    pub fn fail_next_starts(&mut self, machines: u32) {
        self.failing = machines;
    }

    /// Gives a name of an app to another customer.
    pub fn take_app(&mut self, name: &str) {
        self.taken_apps.push(name.to_owned());
    }

    /// Returns the value of a secret, which the interface itself does not show.
    pub fn secret(&self, app: &str, name: &str) -> Option<&str> {
        self.secrets.get(&(app.to_owned(), name.to_owned())).map(String::as_str)
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Model for FlyModel {
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.now = self.now.max(now);
        self.move_on();
        let (status, body) = self.respond(request);
        let mut answer =
            if body.is_null() { super::empty(status) } else { super::json(status, &body) };
        let id = HeaderValue::from_static("01JNRQ9VVKJ7HZFMJWJB3M3RYN-yyz");
        answer.headers_mut().insert("fly-request-id", id);
        if status == 201 && self.gives_cookies && request.uri().path() == "/v1/apps" {
            let cookie = HeaderValue::from_static("fly_flaps_affinity=node-7; Path=/; HttpOnly");
            answer.headers_mut().insert(http::header::SET_COOKIE, cookie);
        }
        answer
    }

    fn left(&self) -> Vec<String> {
        let machines = self.machines.values().filter(|machine| machine.is_there());
        let machines = machines.map(|machine| format!("machine {}", machine.name));
        let volumes = self.volumes.values().filter(|volume| volume.is_there);
        let volumes = volumes.map(|volume| format!("volume {}", volume.name));
        let secrets = self.secrets.keys().map(|(_, name)| format!("secret {name}"));
        let apps = self.apps.keys().map(|name| format!("app {name}"));
        machines.chain(volumes).chain(secrets).chain(apps).collect()
    }
}

fn refuse(status: u16, text: &str) -> Reply {
    (status, json!({ "error": text }))
}

fn refuse_as(status: u16, code: &str, text: &str) -> Reply {
    (status, json!({ "error": text, "status": code }))
}

fn not_found(what: &str) -> Reply {
    refuse(404, &format!("{what} not found"))
}

fn impossible(text: &str) -> Reply {
    refuse(412, &format!("failed_precondition: {text}"))
}

fn sold_out() -> Reply {
    refuse_as(422, "insufficient_capacity", "insufficient resources available to fulfill request")
}
