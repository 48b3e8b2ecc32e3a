//! Records, the rules between them, and changes that are made together or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::answers::Refusal;

/// What records say that were planted.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

#[derive(Debug, Clone)]
pub(super) struct Record {
    id: String,
    sort: String,
    name: String,
    content: String,
    proxied: bool,
    ttl: u64,
    comment: Option<String>,
    tags: Vec<String>,
    created_on: String,
    modified_on: String,
}

impl Record {
    /// Reads a record that is there already: `{type, name, content, ttl?, proxied?, comment?}`.
    pub(super) fn planted(serial: u64, record: &Value) -> Self {
        let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
        Self {
            id: id(serial),
            sort: text("type"),
            name: text("name"),
            content: text("content"),
            proxied: record["proxied"].as_bool().unwrap_or_default(),
            ttl: record["ttl"].as_u64().unwrap_or(1),
            comment: record["comment"].as_str().map(str::to_owned),
            tags: Vec::new(),
            created_on: LONG_AGO.to_owned(),
            modified_on: LONG_AGO.to_owned(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn can_be_proxied(&self) -> bool {
        matches!(&*self.sort, "A" | "AAAA" | "CNAME")
    }

    pub(super) fn show(&self, bare_texts: bool, floats: bool) -> Value {
        let content = if self.sort == "TXT" && bare_texts {
            let text = self.content.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            text.unwrap_or(&self.content).replace("\\\"", "\"").replace("\\\\", "\\")
        } else {
            self.content.clone()
        };
        // Times are far below the numbers that a float no longer tells apart.
        let ttl = if floats { format!("{}.0", self.ttl) } else { self.ttl.to_string() };
        json!({
            "id": self.id,
            "type": self.sort,
            "name": self.name,
            "content": content,
            "proxiable": self.can_be_proxied(),
            "proxied": self.proxied,
            "ttl": serde_json::from_str::<Value>(&ttl).unwrap_or(Value::Null),
            "settings": {},
            "meta": {},
            "comment": self.comment,
            "tags": self.tags,
            "created_on": self.created_on,
            "modified_on": self.modified_on,
        })
    }

    pub(super) fn fits(&self, query: &BTreeMap<String, String>) -> bool {
        query.iter().all(|(member, value)| match member.as_str() {
            "name" | "name.exact" => self.name == *value,
            "name.endswith" => self.name.ends_with(value),
            "type" => self.sort == *value,
            _ => true,
        })
    }

    /// Returns whether two records may not be there together, and why.
    fn excludes(&self, other: &Self) -> Option<Refusal> {
        if self.name != other.name {
            return None;
        }
        if self.sort == other.sort && self.content == other.content {
            return Some(Refusal::RecordIdentical);
        }
        // Texts and the like may stand beside an alias here.
        let both = self.can_be_proxied() && other.can_be_proxied();
        let alias = self.sort == "CNAME" || other.sort == "CNAME";
        (both && alias).then_some(Refusal::HostTaken)
    }

    fn check(&self) -> Result<(), Refusal> {
        let fits = match &*self.sort {
            "A" => self.content.parse::<Ipv4Addr>().is_ok(),
            "AAAA" => self.content.parse::<Ipv6Addr>().is_ok(),
            "CNAME" => !self.content.is_empty() && self.content != self.name,
            "TXT" => !self.content.is_empty() && self.content.len() <= 2_048,
            _ => return Err(Refusal::NotValid(9007, "Invalid type")),
        };
        if !fits {
            return Err(Refusal::NotValid(9005, "Content of the record is invalid"));
        }
        if self.ttl != 1 && !(60..=86_400).contains(&self.ttl) {
            return Err(Refusal::NotValid(9021, "Invalid TTL"));
        }
        let labels = self.name.split('.').all(|label| (1..=63).contains(&label.len()));
        if !labels || self.name.len() > 253 {
            return Err(Refusal::NotValid(9000, "DNS name is invalid"));
        }
        if self.proxied && !self.can_be_proxied() {
            return Err(Refusal::NotValid(9004, "This record type cannot be proxied"));
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} {} {}", self.sort, self.name, self.content)
    }
}

/// Changes to the records of a zone.
pub(super) struct Edit<'a> {
    pub(super) zone: &'a str,
    pub(super) records: Vec<Record>,
    pub(super) records_max: usize,
    pub(super) serial: u64,
    pub(super) now: Timestamp,
}

impl Edit<'_> {
    pub(super) fn create(&mut self, body: &Value) -> Result<Record, Refusal> {
        if self.records.len() >= self.records_max {
            return Err(Refusal::TooManyRecords);
        }
        self.serial += 1;
        let mut record = Record::planted(self.serial, &Value::Null);
        record.created_on = self.now.to_string();
        self.change(&mut record, body)?;
        self.records.push(record.clone());
        Ok(record)
    }

    pub(super) fn patch(&mut self, id: &str, body: &Value) -> Result<Record, Refusal> {
        let at = self.position(id)?;
        let mut record = self.records[at].clone();
        self.change(&mut record, body)?;
        self.records[at] = record.clone();
        Ok(record)
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Record, Refusal> {
        let at = self.position(id)?;
        Ok(self.records.remove(at))
    }

    /// Deletions, patches, puts, creations: always in this order.
    pub(super) fn batch(&mut self, body: &Value) -> Result<Vec<(String, Vec<Record>)>, Refusal> {
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        let mut all = Vec::new();
        for name in ["deletes", "patches", "puts", "posts"] {
            let mut done = Vec::new();
            for part in list(name) {
                let id = part["id"].as_str().unwrap_or_default();
                done.push(match name {
                    "deletes" => self.delete(id)?,
                    "posts" => self.create(&part)?,
                    _ => self.patch(id, &part)?,
                });
            }
            all.push((name.to_owned(), done));
        }
        Ok(all)
    }

    fn position(&self, id: &str) -> Result<usize, Refusal> {
        self.records.iter().position(|record| record.id == id).ok_or(Refusal::RecordAbsent)
    }

    /// Sets the members that a body has, and holds the record against the rules and the others.
    fn change(&self, record: &mut Record, body: &Value) -> Result<(), Refusal> {
        let text = |member: &str| body[member].as_str().map(str::to_owned);
        record.sort = text("type").unwrap_or(std::mem::take(&mut record.sort));
        if let Some(name) = text("name") {
            // A name outside the zone is taken for one below it, as the real one does.
            let name = name.to_ascii_lowercase();
            let within = name == self.zone || name.ends_with(&format!(".{}", self.zone));
            record.name = if within { name } else { format!("{name}.{}", self.zone) };
        }
        if let Some(content) = text("content") {
            let bare = record.sort == "TXT" && !content.starts_with('"');
            record.content = if bare {
                format!("\"{}\"", content.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                content
            };
        }
        match &body["proxied"] {
            Value::Null => {}
            Value::Bool(proxied) => record.proxied = *proxied,
            _ => return Err(Refusal::NotValid(9003, "Invalid 'proxied' value, must be a boolean")),
        }
        record.ttl = body["ttl"].as_u64().unwrap_or(record.ttl);
        if record.proxied {
            record.ttl = 1;
        }
        if let Some(comment) = body.get("comment") {
            record.comment = comment.as_str().map(str::to_owned);
        }
        if let Some(tags) = body["tags"].as_array() {
            record.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        record.modified_on = self.now.to_string();
        record.check()?;
        let mut others = self.records.iter().filter(|other| other.id != record.id);
        others.find_map(|other| record.excludes(other)).map_or(Ok(()), Err)
    }
}

/// An id of the real length.
fn id(serial: u64) -> String {
    format!("{serial:032x}")
}
