//! The engine's own description of its interface, and requests and answers held to it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::engine;

/// The description, by operation.
pub(crate) struct Contract(Value);

impl Contract {
    /// Reads it; `None` where the contracts are absent.
    pub(crate) fn read() -> Option<Self> {
        let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
        let shared = engine::named("SAM_SHARED").map_or(beside, PathBuf::from);
        let text = std::fs::read_to_string(shared.join("contracts/docker/operations.json")).ok()?;
        Some(Self(serde_json::from_str(&text).expect("the contract can be read")))
    }

    fn operation(&self, method: &str, path: &str) -> (&str, &Value) {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |name: &&String| {
            let Some((its_method, template)) = name.split_once(' ') else { return false };
            let wanted: Vec<&str> = template.split('/').collect();
            its_method == method
                && wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(wanted, part)| {
                    wanted == part || (wanted.starts_with('{') && !part.is_empty())
                })
        };
        let operations = self.0["operations"].as_object().expect("operations");
        // One without a member in its path is meant before one with.
        let name = operations.keys().filter(fits).min_by_key(|name| name.matches('{').count());
        let name = name.unwrap_or_else(|| panic!("the engine describes no {method} {path}"));
        (name, &operations[name])
    }

    fn check(&self, place: &str, schema: &Value, value: &Value) {
        let whole = json!({ "$defs": self.0["$defs"], "allOf": [schema] });
        let validator = jsonschema::validator_for(&whole).expect("the schema is one");
        if let Some(error) = validator.iter_errors(value).next() {
            panic!("{place}: {error} at {}", error.instance_path());
        }
    }

    /// Panics unless a request fits; returns the operation's name.
    pub(crate) fn request(&self, method: &str, target: &str, body: &[u8]) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (name, operation) = self.operation(method, path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let member = pair.split_once('=').map_or(pair, |(member, _)| member);
            // Left out of this description, and read by every engine before it.
            let is_old = name == "DELETE /containers/{id}" && member == "link";
            assert!(is_old || operation["query"][member].is_object(), "{name} has no {member}");
        }
        if operation["request"].is_null() || name.ends_with("/archive") || body.is_empty() {
            return name.to_owned();
        }
        let body = serde_json::from_slice(body).expect("the request's body is JSON");
        self.check(&format!("{name} request"), &operation["request"], &body);
        name.to_owned()
    }

    /// Panics unless an answer fits.
    pub(crate) fn answer(&self, method: &str, target: &str, status: u16, body: &[u8]) {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let (name, operation) = self.operation(method, path);
        let schema = &operation["responses"][status.to_string()];
        if schema.is_object() {
            let body = serde_json::from_slice(body).expect("the answer is JSON");
            self.check(&format!("{name} {status}"), schema, &body);
        }
    }
}
