//! A model of Cloudflare's interface as far as DNS goes: tokens, zones, records and batches, with the
//! refusals that the real one gives, and the oddities that clients stumble over.

mod answers;
mod records;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response};
use percent_encoding::percent_decode_str;
use sam_core::time::Timestamp;
use serde_json::{Value, json};

use self::answers::{Refusal, listed, refused, result};
use self::records::Record;
use super::Model;

/// What every path begins with.
const PREFIX: &str = "/client/v4";
/// Most records on a page, where a test asks for no fewer.
const RECORDS_PER_PAGE_MAX: usize = 5_000_000;
/// Most zones on a page.
const ZONES_PER_PAGE_MAX: usize = 50;

/// A model of Cloudflare.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a test switches, one by one")]
#[non_exhaustive]
pub struct CloudflareModel {
    /// The one token that is known.
    pub token: String,
    /// `active`, `disabled` or `expired`.
    pub token_status: &'static str,
    /// The token belongs to an account, whose door alone knows it.
    pub token_is_of_account: bool,
    /// The token may read zones.
    pub can_read_zones: bool,
    /// The token may read records.
    pub can_read: bool,
    /// The token may change records.
    pub can_edit: bool,
    /// Most records on a page, whatever is asked for.
    pub records_per_page_max: usize,
    /// Most records of a zone.
    pub records_max: usize,
    /// Texts are shown without quotes, as until 2024.
    pub shows_bare_texts: bool,
    /// Times to live are shown as floats.
    pub shows_floats: bool,
    /// So many lists of records are answered as before the last change.
    pub stale_lists: usize,
    /// A record is deleted by somebody else between two pages of so many listings.
    pub shifting_lists: usize,
    zones: Vec<Zone>,
    serial: u64,
}

#[derive(Debug)]
struct Zone {
    id: String,
    name: String,
    status: &'static str,
    records: Vec<Record>,
    before: Vec<Record>,
}

impl CloudflareModel {
    /// The account of every zone.
    pub const ACCOUNT: &'static str = "0123456789abcdef0123456789abcdef";
    /// The name servers of every zone.
    pub const NAME_SERVERS: [&'static str; 2] = ["ada.ns.example.net", "bob.ns.example.net"];

    /// Knows one token, which may do everything, and no zone.
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            token_status: "active",
            token_is_of_account: false,
            can_read_zones: true,
            can_read: true,
            can_edit: true,
            records_per_page_max: RECORDS_PER_PAGE_MAX,
            records_max: 1_000,
            shows_bare_texts: false,
            shows_floats: false,
            stale_lists: 0,
            shifting_lists: 0,
            zones: Vec::new(),
            serial: 0,
        }
    }

    /// Adds a zone that is served.
    #[must_use]
    pub fn with_zone(mut self, id: &str, name: &str) -> Self {
        let (id, name) = (id.to_owned(), name.to_owned());
        let (records, before) = (Vec::new(), Vec::new());
        self.zones.push(Zone { id, name, status: "active", records, before });
        self
    }

    /// Says how far a zone has come: `active`, `pending`, …
    pub fn set_status(&mut self, zone: &str, status: &'static str) {
        for known in self.zones.iter_mut().filter(|known| known.id == zone) {
            known.status = status;
        }
    }

    /// Gives a zone another id, as if it had been deleted and added again.
    pub fn renew(&mut self, zone: &str, id: &str) {
        for known in self.zones.iter_mut().filter(|known| known.id == zone) {
            id.clone_into(&mut known.id);
        }
    }

    /// Puts a record into the first zone past all checks, as if it had been there before.
    pub fn plant(&mut self, record: &Value) {
        let serial = self.next_serial();
        if let Some(zone) = self.zones.first_mut() {
            zone.records.push(Record::planted(serial, record));
        }
    }

    /// Shows the records of the first zone as the interface does.
    pub fn records(&self) -> Vec<Value> {
        let records = self.zones.first().map(|zone| &*zone.records).unwrap_or_default();
        records.iter().map(|record| self.show(record)).collect()
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn show(&self, record: &Record) -> Value {
        record.show(self.shows_bare_texts, self.shows_floats)
    }

    fn route(&mut self, request: &Request<Bytes>, now: Timestamp) -> Result<Answered, Refusal> {
        let path = request.uri().path().strip_prefix(PREFIX).ok_or(Refusal::NoRoute)?;
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        self.check_token(request, &parts)?;
        let query = query(request);
        let method = request.method();
        match &*parts {
            ["user", "tokens", "verify"] | ["accounts", _, "tokens", "verify"]
                if method == Method::GET =>
            {
                Ok(result(
                    &json!({ "id": "ed17574386854bf78a67040be0a770b0", "status": self.token_status }),
                ))
            }
            ["zones"] if method == Method::GET => self.list_zones(&query),
            ["zones", id] if method == Method::GET => {
                check(self.can_read_zones)?;
                let zone = self.zones.iter().find(|zone| zone.id == *id);
                Ok(result(&zone.ok_or(Refusal::NoRoute)?.show()))
            }
            ["zones", id, "dns_records", rest @ ..] => {
                let at = self.zones.iter().position(|zone| zone.id == *id);
                let at = at.ok_or(Refusal::NoRoute)?;
                self.of_records(at, (method, rest), &query, (request.body(), now))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    fn check_token(&self, request: &Request<Bytes>, parts: &[&str]) -> Result<(), Refusal> {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer "));
        let given = given.ok_or(Refusal::NotAuthenticated)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if given.is_empty() || !given.bytes().all(legal) {
            return Err(Refusal::BadHeaders);
        }
        let at_users_door = parts.first() == Some(&"user");
        if at_users_door && (given != self.token || self.token_is_of_account) {
            return Err(Refusal::TokenUnknown);
        }
        if given != self.token || (self.token_status != "active" && parts.last() != Some(&"verify"))
        {
            return Err(Refusal::NotPermitted);
        }
        Ok(())
    }

    fn list_zones(&self, query: &BTreeMap<String, String>) -> Result<Answered, Refusal> {
        check(self.can_read_zones)?;
        let zones = self.zones.iter();
        let zones = zones.filter(|zone| query.get("name").is_none_or(|name| *name == zone.name));
        Ok(listed(zones.map(Zone::show).collect(), query, ZONES_PER_PAGE_MAX))
    }

    fn of_records(
        &mut self,
        at: usize,
        (method, rest): (&Method, &[&str]),
        query: &BTreeMap<String, String>,
        (body, now): (&Bytes, Timestamp),
    ) -> Result<Answered, Refusal> {
        if method == Method::GET {
            check(self.can_read)?;
            return self.look(at, rest, query);
        }
        check(self.can_edit)?;
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut edit = records::Edit {
            zone: &self.zones[at].name,
            records: self.zones[at].records.clone(),
            records_max: self.records_max,
            serial: self.serial,
            now,
        };
        // Nothing of a batch is kept when a part of it is refused.
        let done = match (method.as_str(), rest) {
            ("POST", []) => edit.create(&body).map(|record| self.show(&record)),
            ("PATCH" | "PUT", [id]) => edit.patch(id, &body).map(|record| self.show(&record)),
            ("DELETE", [id]) => edit.delete(id).map(|record| json!({ "id": record.id() })),
            ("POST", ["batch"]) => edit.batch(&body).map(|done| {
                let done = done.into_iter().map(|(list, records)| {
                    (list, records.iter().map(|record| self.show(record)).collect())
                });
                Value::Object(done.collect())
            }),
            _ => Err(Refusal::NoRoute),
        }?;
        let (records, serial) = (edit.records, edit.serial);
        self.serial = serial;
        let zone = &mut self.zones[at];
        zone.before = std::mem::replace(&mut zone.records, records);
        if method == Method::DELETE {
            // Documented so: no `success`.
            return Ok(Answered(json!({ "result": done })));
        }
        Ok(result(&done))
    }

    fn look(
        &mut self,
        at: usize,
        rest: &[&str],
        query: &BTreeMap<String, String>,
    ) -> Result<Answered, Refusal> {
        if let [id] = rest {
            let found = self.zones[at].records.iter().find(|record| record.id() == *id);
            return Ok(result(&self.show(found.ok_or(Refusal::RecordAbsent)?)));
        }
        if !rest.is_empty() {
            return Err(Refusal::NoRoute);
        }
        if self.shifting_lists > 0 && query.get("page").is_some_and(|page| page == "2") {
            self.shifting_lists -= 1;
            self.zones[at].records.pop();
        }
        let stale = self.stale_lists > 0;
        self.stale_lists = self.stale_lists.saturating_sub(1);
        let zone = &self.zones[at];
        let records = if stale { &zone.before } else { &zone.records };
        let mut found: Vec<&Record> = records.iter().filter(|record| record.fits(query)).collect();
        if query.get("order").is_some_and(|order| order == "name") {
            found.sort_by(|one, other| one.name().cmp(other.name()));
        }
        let shown = found.into_iter().map(|record| self.show(record)).collect();
        Ok(listed(shown, query, self.records_per_page_max))
    }
}

impl Model for CloudflareModel {
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        match self.route(request, now) {
            Ok(Answered(body)) => super::json(200, &body),
            Err(refusal) => refused(&refusal),
        }
    }

    fn left(&self) -> Vec<String> {
        self.zones.iter().flat_map(|zone| &zone.records).map(Record::to_string).collect()
    }
}

impl Zone {
    fn show(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "paused": false,
            "type": "full",
            "development_mode": 0,
            "owner": { "id": CloudflareModel::ACCOUNT, "type": "user", "name": "somebody" },
            "account": { "id": CloudflareModel::ACCOUNT, "name": "home" },
            "meta": { "step": 2, "page_rule_quota": 3 },
            "name_servers": CloudflareModel::NAME_SERVERS,
            "original_name_servers": null,
            "original_registrar": null,
            "original_dnshost": null,
            "plan": {},
            "created_on": "2026-01-01T00:00:00Z",
            "modified_on": "2026-01-01T00:00:00Z",
            "activated_on": "2026-01-01T00:00:00Z",
        })
    }
}

/// The body of a good answer.
struct Answered(Value);

fn check(may: bool) -> Result<(), Refusal> {
    if may { Ok(()) } else { Err(Refusal::NotPermitted) }
}

/// The members of a query, each once.
fn query(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}
