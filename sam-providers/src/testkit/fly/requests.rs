//! Which request means what.

use bytes::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{FlyModel, Reply, not_found, refuse};

/// What of a request is not its path.
struct Asked<'a> {
    method: &'a str,
    query: Vec<(String, String)>,
    nonce: Option<&'a str>,
    body: Value,
}

impl Asked<'_> {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn header<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

impl FlyModel {
    pub(super) fn respond(&mut self, request: &Request<Bytes>) -> Reply {
        if header(request, "authorization") != Some(&*format!("Bearer {}", self.token)) {
            return refuse(401, "Authenticate: token validation error");
        }
        let body = if request.body().is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(request.body()) {
                Ok(body) => body,
                Err(_) => return refuse(400, "invalid_argument: the body is no JSON"),
            }
        };
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let asked = Asked {
            method: request.method().as_str(),
            query: pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
            nonce: header(request, "fly-machine-lease-nonce"),
            body,
        };
        let path = request.uri().path().strip_prefix(Self::PREFIX).unwrap_or_default();
        let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (asked.method, &*parts) {
            ("GET", ["apps"]) => self.list_apps(asked.query("org_slug").unwrap_or_default()),
            ("POST", ["apps"]) => self.create_app(&asked.body),
            ("GET", ["platform", "regions"]) => Self::list_regions(),
            (_, ["apps", app, rest @ ..]) => {
                let cookie = header(request, "cookie").unwrap_or_default();
                if !self.knows(app, cookie.contains("fly_flaps_affinity=node-7")) {
                    return not_found("app");
                }
                self.respond_in(app, rest, &asked)
            }
            _ => not_found("page"),
        }
    }

    fn respond_in(&mut self, app: &str, parts: &[&str], asked: &Asked<'_>) -> Reply {
        match (asked.method, parts) {
            ("GET", []) => self.read_app(app),
            ("DELETE", []) => self.delete_app(app),
            ("GET", ["machines"]) => self.list_machines(app),
            ("POST", ["machines"]) => self.create_machine(app, &asked.body),
            (_, ["machines", id, rest @ ..]) => {
                let is_here = self.machines.get(*id).is_some_and(|machine| machine.app == app);
                if !is_here {
                    return not_found("machine");
                }
                let action = format!("{} {}", asked.method, rest.join("/"));
                if !self.is_within_limit(action.trim_end(), id) {
                    return refuse(429, "rate limit exceeded");
                }
                self.respond_of(id, rest, asked)
            }
            ("GET", ["volumes"]) => self.list_volumes(app),
            ("POST", ["volumes"]) => self.create_volume(app, &asked.body),
            ("GET", ["volumes", id]) => self.read_volume(id),
            ("DELETE", ["volumes", id]) => self.delete_volume(id),
            ("GET", ["secrets"]) => self.list_secrets(app),
            ("POST", ["secrets", name]) => self.put_secret(app, name, &asked.body),
            ("DELETE", ["secrets", name]) => self.delete_secret(app, name),
            _ => not_found("page"),
        }
    }

    fn respond_of(&mut self, id: &str, parts: &[&str], asked: &Asked<'_>) -> Reply {
        match (asked.method, parts) {
            ("GET", []) => return self.read_machine(id),
            ("GET", ["wait"]) => {
                let state = asked.query("state").unwrap_or("started");
                return self.wait_for(id, state, asked.query("instance_id"));
            }
            ("POST", ["lease"]) => return self.take_lease(id, asked.nonce, &asked.body),
            ("DELETE", ["lease"]) => return self.release_lease(id, asked.nonce),
            _ => {}
        }
        // What is left are changes.
        if let Err(refused) = self.check_lease(id, asked.nonce) {
            return refused;
        }
        match (asked.method, parts) {
            ("POST", [verb @ ("start" | "stop")]) => self.switch_machine(id, verb),
            ("DELETE", []) => self.delete_machine(id, asked.query("force") == Some("true")),
            _ => not_found("page"),
        }
    }
}
