//! A vendor's own description of its interface, and what every exchange with a fake is held to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{Request, Response};
use jsonschema::Validator;
use sam_providers::testkit::Exchange;
use serde_json::{Value, json};

/// Where the contracts are, if they are: beside the checkout, or below `SAM_SHARED`.
#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
pub(crate) fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("SAM_SHARED").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = shared.unwrap_or_else(beside).join("contracts");
    folder.is_dir().then_some(folder)
}

/// Reads a file of the contracts.
pub(crate) fn read(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(folder()?.join(path)).ok()?;
    Some(serde_json::from_str(&text).expect("the contract can be read"))
}

/// A vendor's description, by operation.
pub(crate) struct Contract {
    document: Value,
    /// What its paths lack in front.
    prefix: &'static str,
    validators: BTreeMap<String, Validator>,
}

impl Contract {
    /// Reads the description of a vendor, whose paths are sent behind `prefix`; `None` where the
    /// contracts are absent.
    pub(crate) fn of(vendor: &str, prefix: &'static str) -> Option<Self> {
        let document = read(&format!("{vendor}/operations.json"))?;
        Some(Self { document, prefix, validators: BTreeMap::new() })
    }

    /// Returns a sentence for each exchange that does not fit. Answers of faults are passed over.
    pub(crate) fn complaints(&mut self, exchanges: &[Exchange]) -> Vec<String> {
        let mut all = Vec::new();
        for exchange in exchanges {
            let at = format!("{} {}", exchange.request.method(), exchange.request.uri());
            let answer = (!exchange.is_fault).then_some(&exchange.response);
            let found = self.check(&exchange.request, answer);
            all.extend(found.into_iter().map(|complaint| format!("{at}: {complaint}")));
        }
        all
    }

    fn check(
        &mut self,
        request: &Request<bytes::Bytes>,
        answer: Option<&Response<bytes::Bytes>>,
    ) -> Vec<String> {
        let uri = request.uri();
        let Some(path) = uri.path().strip_prefix(self.prefix) else {
            return vec![format!("the path does not begin with {}", self.prefix)];
        };
        let Some((name, members)) = self.operation(request.method().as_str(), path) else {
            return vec!["nothing of it is described".to_owned()];
        };
        let operation = self.document["operations"][&name].clone();
        let mut all = Vec::new();
        for (member, text) in members {
            let schema = &operation["path"][&member]["schema"];
            if schema.is_object() {
                let place = format!("{name} path {member}");
                let value = typed(self.resolved(schema), &text);
                all.extend(self.fits(&place, schema, &value));
            }
        }
        all.extend(self.check_query(&name, &operation, uri.query().unwrap_or_default()));
        all.extend(self.check_body(&name, &operation, request));
        if let Some(answer) = answer {
            all.extend(self.check_answer(&name, &operation, answer));
        }
        all
    }

    /// Returns the operation of a request, and what its path's members are.
    fn operation(&self, method: &str, path: &str) -> Option<(String, Vec<(String, String)>)> {
        let parts: Vec<&str> = path.split('/').collect();
        let mut found = Vec::new();
        for name in self.document["operations"].as_object()?.keys() {
            let (its_method, template) = name.split_once(' ')?;
            let wanted: Vec<&str> = template.split('/').collect();
            if its_method != method || wanted.len() != parts.len() {
                continue;
            }
            let mut members = Vec::new();
            let fits = wanted.iter().zip(&parts).all(|(wanted, part)| {
                let Some(member) = wanted.strip_prefix('{').and_then(|m| m.strip_suffix('}'))
                else {
                    return wanted == part;
                };
                members.push((member.to_owned(), decoded(part)));
                !part.is_empty()
            });
            if fits {
                found.push((members.len(), name.clone(), members));
            }
        }
        found.sort();
        found.into_iter().next().map(|(_, name, members)| (name, members))
    }

    fn check_query(&mut self, name: &str, operation: &Value, query: &str) -> Vec<String> {
        let mut all = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key);
            let schema = &operation["query"][&key]["schema"];
            if schema.is_object() {
                let place = format!("{name} query {key}");
                let value = typed(self.resolved(schema), &decoded(text));
                all.extend(self.fits(&place, schema, &value));
            } else {
                all.push(format!("{name} has no query member {key}"));
            }
        }
        all
    }

    fn check_body(
        &mut self,
        name: &str,
        operation: &Value,
        request: &Request<bytes::Bytes>,
    ) -> Vec<String> {
        let (schema, body) = (&operation["request"], request.body());
        if body.is_empty() {
            return Vec::new();
        }
        if schema.is_null() {
            return vec![format!("{name} takes no body")];
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(body) => {
                let mut all = self.fits(&format!("{name} request"), schema, &body);
                all.extend(self.strange_members(schema, &body));
                all
            }
            Err(error) => vec![format!("the request's body is no JSON: {error}")],
        }
    }

    fn check_answer(
        &mut self,
        name: &str,
        operation: &Value,
        answer: &Response<bytes::Bytes>,
    ) -> Vec<String> {
        let status = answer.status().as_u16();
        // A refusal that has no line of its own is described once for all of them, by some vendors.
        let refused = operation["responses"].get("default").filter(|_| status >= 400);
        let Some(schema) = operation["responses"].get(status.to_string()).or(refused) else {
            return vec![format!("{name} never answers {status}")];
        };
        if schema.is_null() {
            let empty = answer.body().is_empty();
            return if empty { Vec::new() } else { vec![format!("{name} {status} has no body")] };
        }
        match serde_json::from_slice(answer.body()) {
            Ok(body) => self.fits(&format!("{name} {status}"), schema, &body),
            Err(error) => vec![format!("the answer is no JSON: {error}")],
        }
    }

    /// The schema that another one only names.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let named = schema["$ref"].as_str().and_then(|at| at.strip_prefix('#'));
        named.and_then(|at| self.document.pointer(at)).unwrap_or(schema)
    }

    /// Finds what vendors ignore in silence, and descriptions allow: a member with a mistake in its name,
    /// however deep.
    fn strange_members(&self, schema: &Value, body: &Value) -> Vec<String> {
        let schema = self.resolved(schema);
        let whole = schema["allOf"].as_array().and_then(|parts| match &**parts {
            [only] => Some(self.resolved(only)),
            _ => None,
        });
        let schema = whole.unwrap_or(schema);
        if let Some(items) = body.as_array() {
            let each = items.iter().flat_map(|item| self.strange_members(&schema["items"], item));
            return each.collect();
        }
        let (Some(known), Some(sent)) = (schema["properties"].as_object(), body.as_object()) else {
            return Vec::new();
        };
        let strange = sent.iter().map(|(name, value)| match known.get(name) {
            Some(described) => self.strange_members(described, value),
            None => vec![format!("the request has a member {name} that is not described")],
        });
        strange.flatten().collect()
    }

    fn fits(&mut self, place: &str, schema: &Value, value: &Value) -> Vec<String> {
        let document = &self.document;
        let validator = self.validators.entry(place.to_owned()).or_insert_with(|| {
            let whole = json!({ "$defs": document["$defs"], "allOf": [schema] });
            jsonschema::validator_for(&whole).expect("the schema is one")
        });
        let first = validator.iter_errors(value).next();
        first
            .map(|error| format!("{place}: {error} at {}", error.instance_path()))
            .into_iter()
            .collect()
    }
}

/// A text of a path or a query as its schema means it.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| json!(text), |it| json!(it)),
        Some("number") => text.parse::<f64>().map_or_else(|_| json!(text), |it| json!(it)),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| json!(text), |it| json!(it)),
        Some("array") => json!([typed(&schema["items"], text)]),
        _ => json!(text),
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
