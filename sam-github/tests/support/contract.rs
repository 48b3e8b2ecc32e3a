//! GitHub's own description of its interface, and a transport that holds every exchange to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use jsonschema::Validator;
use sam_core::Result;
use sam_core::http::HttpTransport;
use serde_json::{Value, json};

use super::folder::contracts;

/// The members of a path, by name.
type Members = Vec<(String, String)>;

/// GitHub's description, by operation.
pub(crate) struct Contract {
    document: Value,
    validators: Mutex<BTreeMap<String, Arc<Validator>>>,
}

impl Contract {
    /// Reads it; `None` where the contracts are absent.
    pub(crate) fn read() -> Option<Arc<Self>> {
        let text = std::fs::read_to_string(contracts().join("github/operations.json")).ok()?;
        let mut document: Value = serde_json::from_str(&text).expect("the contract can be read");
        // GitHub's description of this one listing wants an account to be a user *and* an
        // enterprise; everywhere else it is one of them, as it is in its answers.
        let listed = &mut document["operations"]["GET /app/installations"]["responses"]["200"];
        let account = &mut listed["items"]["properties"]["account"]["anyOf"][0];
        let both = account["allOf"].take();
        assert_eq!(both.as_array().map(Vec::len), Some(2), "the description has changed");
        *account = json!({ "anyOf": both });
        Some(Arc::new(Self { document, validators: Mutex::default() }))
    }

    /// Returns the operation of a request, and what its path's members are.
    fn operation(&self, method: &str, path: &str) -> Option<(String, Members)> {
        let path = path.replacen("/repositories/", "/repos/by-number/", 1);
        let parts: Vec<&str> = path.split('/').collect();
        let mut found = Vec::<(usize, String, Members)>::new();
        for name in self.document["operations"].as_object().unwrap().keys() {
            let (its_method, template) = name.split_once(' ').unwrap();
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
                members.push((member.to_owned(), (*part).to_owned()));
                !part.is_empty()
            });
            if fits {
                found.push((members.len(), name.clone(), members));
            }
        }
        found.sort();
        found.into_iter().next().map(|(_, name, members)| (name, members))
    }

    fn check_value(&self, place: &str, schema: &Value, value: &Value) {
        let validator = {
            let mut validators = self.validators.lock().unwrap();
            let made = validators.entry(place.to_owned()).or_insert_with(|| {
                let whole = json!({ "$defs": self.document["$defs"], "allOf": [schema] });
                Arc::new(jsonschema::validator_for(&whole).expect("the schema is one"))
            });
            Arc::clone(made)
        };
        if let Some(error) = validator.iter_errors(value).next() {
            panic!("{place}: {error} at {}", error.instance_path());
        }
    }

    /// Panics unless both fit GitHub's description. What it does not describe is passed over.
    pub(crate) fn check(
        &self,
        method: &str,
        uri: &http::Uri,
        body: &[u8],
        response: &Response<Bytes>,
    ) {
        let Some(path) = uri.path().strip_prefix("/api/v3") else { return };
        let (name, members) = self
            .operation(method, path)
            .unwrap_or_else(|| panic!("GitHub describes no {method} {path}"));
        let operation = &self.document["operations"][&name];
        for (member, text) in members {
            // By number: the path stands for both members.
            if !path.starts_with("/repositories/") {
                let schema = &operation["path"][&member]["schema"];
                self.check_value(&format!("{name} path {member}"), schema, &typed(schema, &text));
            }
        }
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
            let schema = &operation["query"][key]["schema"];
            assert!(schema.is_object(), "{name} has no query member {key}");
            self.check_value(&format!("{name} query {key}"), schema, &typed(schema, text));
        }
        if operation["request"].is_null() {
            assert!(body.is_empty(), "{name} takes no body");
        } else if !body.is_empty() {
            let body = serde_json::from_slice(body).expect("the request's body is JSON");
            self.check_value(&format!("{name} request"), &operation["request"], &body);
        }
        self.check_answer(&name, operation, response);
    }

    fn check_answer(&self, name: &str, operation: &Value, response: &Response<Bytes>) {
        let status = response.status().as_u16();
        if status == 304 {
            assert!(response.body().is_empty(), "{name} 304 has a body");
            return;
        }
        let known = operation["responses"].get(status.to_string());
        // Any operation may meet a limit or trouble, whether its description says so or not.
        let Some(schema) = known else {
            assert!(matches!(status, 301 | 307 | 429 | 500..600), "{name} never answers {status}");
            return;
        };
        if schema.is_null() {
            assert!(response.body().is_empty(), "{name} {status} has no body");
            return;
        }
        let body = serde_json::from_slice(response.body()).expect("the answer is JSON");
        self.check_value(&format!("{name} {status}"), schema, &body);
    }
}

/// A text of a path or a query as its schema means it.
fn typed(schema: &Value, text: &str) -> Value {
    if schema["type"] == "integer" {
        return text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
    }
    json!(text)
}

/// Passes requests on, and holds them and their answers to the contract where it is there.
pub(crate) struct Checked<T> {
    inner: T,
    contract: Option<Arc<Contract>>,
}

impl<T> Checked<T> {
    pub(crate) fn new(inner: T, contract: Option<Arc<Contract>>) -> Self {
        Self { inner, contract }
    }
}

impl<T> std::fmt::Debug for Checked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checked")
    }
}

#[async_trait]
impl<T: HttpTransport> HttpTransport for Checked<T> {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (method, uri, body) =
            (request.method().clone(), request.uri().clone(), request.body().clone());
        let response = self.inner.send(request).await?;
        if let Some(contract) = &self.contract {
            contract.check(method.as_str(), &uri, &body, &response);
        }
        Ok(response)
    }
}
