//! DigitalOcean, as far as the adapter uses it: droplets, volumes, tags, and the actions that take time.
//! Time is what each request brings along, so nothing moves between requests.
//!
//! It is a model of the documented interface, held to the vendor's description by the tests of this crate.

mod actions;
mod catalog;
mod droplets;
mod requests;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use sam_core::time::Timestamp;
use serde_json::{Value, json};

use self::actions::Action;
use self::catalog::SizeOffer;
use self::droplets::Droplet;
pub use self::droplets::DropletSeen;
use self::volumes::Volume;
use super::Model;

/// Requests in an hour.
const REQUESTS_MAX: u64 = 5_000;

/// A team at DigitalOcean, empty at first.
#[derive(Debug)]
pub struct DigitalOceanModel {
    token: String,
    now: Timestamp,
    next_id: u64,
    /// Every tag that was ever used, by its small letters, as it was written first.
    tags: BTreeMap<String, String>,
    droplets: BTreeMap<u64, Droplet>,
    volumes: BTreeMap<String, Volume>,
    actions: BTreeMap<u64, Action>,
    failing: Vec<String>,
    sizes: Vec<SizeOffer>,
    sold_out: Vec<String>,
    closed: Vec<String>,
    action_time: Duration,
    list_lag: Duration,
    droplet_limit: usize,
    ignores_shutdown: bool,
    twins: Vec<bool>,
    requests_left: u64,
    reset_at: Timestamp,
}

/// What an answer is made of: a status and a body.
type Reply = (u16, Value);

impl DigitalOceanModel {
    /// Makes a team with one token.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            now: Timestamp::EPOCH,
            next_id: 1_000,
            tags: BTreeMap::new(),
            droplets: BTreeMap::new(),
            volumes: BTreeMap::new(),
            actions: BTreeMap::new(),
            failing: Vec::new(),
            sizes: catalog::sizes(),
            sold_out: Vec::new(),
            closed: Vec::new(),
            action_time: Duration::from_secs(2),
            list_lag: Duration::ZERO,
            droplet_limit: 200,
            ignores_shutdown: false,
            twins: Vec::new(),
            requests_left: REQUESTS_MAX,
            reset_at: Timestamp::EPOCH,
        }
    }

    /// Sets how long each action takes.
    pub fn set_action_time(&mut self, span: Duration) {
        self.action_time = span;
    }

    /// Sets how many droplets the team may have.
    pub fn set_droplet_limit(&mut self, droplets: usize) {
        self.droplet_limit = droplets;
    }

    /// Sells everything in a region out, which only an order finds out; or fills it up.
    pub fn set_sold_out(&mut self, region: &str, sold_out: bool) {
        self.sold_out.retain(|known| known != region);
        if sold_out {
            self.sold_out.push(region.to_owned());
        }
    }

    /// Closes a region for what is new, and says so in the list of regions.
    pub fn close_region(&mut self, region: &str) {
        self.closed.push(region.to_owned());
    }

    /// Lets the list of droplets show the past; what is asked for by its id is as it is.
    pub fn set_list_lag(&mut self, span: Duration) {
        self.list_lag = span;
    }

    /// Lets droplets ignore the signal to shut down.
    pub fn set_ignores_shutdown(&mut self, ignores: bool) {
        self.ignores_shutdown = ignores;
    }

    /// Sets how many requests are left until an hour from now.
    pub fn set_requests_left(&mut self, requests: u64) {
        self.requests_left = requests;
        self.reset_at = self.now.plus(Duration::from_hours(1));
    }

    /// Lets the next action of a type end in an error.
    pub fn fail_next_action(&mut self, sort: &str) {
        self.failing.push(sort.to_owned());
    }

    /// Lets somebody else send the next order, too: just before it, or just after.
    pub fn twin_next_order(&mut self, before: bool) {
        self.twins.push(before);
    }

    /// Sells a size no more, or takes it off the list altogether.
    pub fn retire_size(&mut self, slug: &str, forgotten: bool) {
        self.sizes.retain(|offer| !forgotten || offer.slug != slug);
        for offer in self.sizes.iter_mut().filter(|offer| offer.slug == slug) {
            offer.available = false;
        }
    }

    /// Uses a tag, as somebody would write it.
    pub fn use_tag(&mut self, tag: &str) -> String {
        self.tags.entry(tag.to_ascii_lowercase()).or_insert_with(|| tag.to_owned()).clone()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes one request off the budget; `false` where nothing is left of it.
    fn is_within_limit(&mut self) -> bool {
        if self.now >= self.reset_at {
            self.set_requests_left(REQUESTS_MAX);
        }
        let allowed = self.requests_left > 0;
        self.requests_left = self.requests_left.saturating_sub(1);
        allowed
    }

    fn limit_headers(&self, mut answer: Response<Bytes>) -> Response<Bytes> {
        for (name, value) in [
            ("ratelimit-limit", REQUESTS_MAX),
            ("ratelimit-remaining", self.requests_left),
            ("ratelimit-reset", self.reset_at.as_secs_unsigned()),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
        answer
    }
}

impl Model for DigitalOceanModel {
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.now = self.now.max(now);
        self.run_actions();
        let (status, body) = if self.is_within_limit() {
            self.respond(request)
        } else {
            refuse(429, "too_many_requests", "API Rate limit exceeded.")
        };
        let answer = if body.is_null() { super::empty(status) } else { super::json(status, &body) };
        self.limit_headers(answer)
    }

    fn left(&self) -> Vec<String> {
        let droplets = self.present().map(|(_, droplet)| format!("droplet {}", droplet.name));
        let volumes = self.volumes.values().map(|volume| format!("volume {}", volume.name));
        droplets.chain(volumes).collect()
    }
}

fn refuse(status: u16, id: &str, message: &str) -> Reply {
    (status, json!({ "id": id, "message": message, "request_id": "4d9d8375-3c56-4925" }))
}

fn not_found() -> Reply {
    refuse(404, "not_found", "The resource you were accessing could not be found.")
}

fn unprocessable(message: &str) -> Reply {
    refuse(422, "unprocessable_entity", message)
}

fn pending(what: &str) -> Reply {
    unprocessable(&format!("{what} already has a pending event."))
}
