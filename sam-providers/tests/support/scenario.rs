//! A vendor's behaviour as a list of routes and replies (`contracts/scenarios`), played to an adapter, and
//! what must hold of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use sam_core::http::HttpTransport;
use sam_core::time::{Clock as _, ManualClock};
use sam_core::{Error, Result};
use serde_json::Value;

/// Plays a scenario; what no route is about is asked of another vendor behind it.
pub(crate) struct Scenario {
    document: Value,
    clock: ManualClock,
    behind: Arc<dyn HttpTransport>,
    asked: Mutex<Vec<Asked>>,
}

/// A request that a route was about.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) route: usize,
    pub(crate) at: Duration,
    pub(crate) target: String,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scenario({})", self.document["name"])
    }
}

impl Scenario {
    /// Reads a scenario of the contracts, which are known to be there.
    pub(crate) fn new(name: &str, clock: &ManualClock, behind: Arc<dyn HttpTransport>) -> Self {
        let document = crate::contract::read(&format!("scenarios/{name}.json"));
        let document = document.expect("the scenario is there");
        Self { document, clock: clock.clone(), behind, asked: Mutex::default() }
    }

    /// Returns what routes were about, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn asked_of(&self, route: usize) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.route == route).collect()
    }

    /// Checks everything that must hold, but for what the test looks at itself, which it names.
    pub(crate) fn judge(&self, outcome: Result<(), &Error>, by_hand: &[&str]) {
        for must in self.document["must"].as_array().expect("something must hold") {
            let members = must.as_object().expect("a rule has members");
            for (member, rule) in members {
                if !by_hand.contains(&member.as_str()) {
                    self.check(member, rule, must, outcome);
                }
            }
        }
    }

    fn check(&self, member: &str, rule: &Value, must: &Value, outcome: Result<(), &Error>) {
        let name = &self.document["name"];
        let route = usize::try_from(rule["route"].as_u64().unwrap_or_default()).unwrap();
        let count = self.asked_of(route).len() as u64;
        let n = rule["n"].as_u64().unwrap_or_default();
        match member {
            "why" => {}
            "code" => {
                if let Err(error) = outcome {
                    assert_eq!(error.provider_code(), must["code"].as_str(), "{name}: {error:?}");
                }
            }
            "outcome" => match rule.as_str().expect("an outcome is a text") {
                "ok" => assert!(outcome.is_ok(), "{name}: {outcome:?}"),
                "error" => assert!(outcome.is_err(), "{name}: it must fail"),
                "ok or error" => {}
                other => panic!("{name}: the test has to look at {other:?} by hand"),
            },
            "requests" => assert_eq!(count, n, "{name}: requests of route {route}"),
            "max_requests" => assert!(count <= n, "{name}: {count} requests of route {route}"),
            "min_interval_ms" => {
                for pair in self.asked_of(route).windows(2) {
                    let millis = pair[1].at.saturating_sub(pair[0].at).as_millis();
                    assert!(millis >= u128::from(n), "{name}: {millis} ms between two requests");
                }
            }
            other => panic!("{name}: nobody looks at {other:?}"),
        }
    }

    fn route_of(&self, request: &Request<Bytes>) -> Option<usize> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        self.document["routes"].as_array()?.iter().position(|route| {
            let wanted = &route["match"];
            let same = |part: &str, found: &dyn Fn(&str) -> Value| {
                let members = wanted[part].as_object();
                members.into_iter().flatten().all(|(name, value)| found(name) == *value)
            };
            wanted["method"].as_str() == Some(request.method().as_str())
                && fits(wanted["path"].as_str().expect("a path"), request.uri().path())
                && same("body", &|name| body[name].clone())
                && same("headers", &|name| {
                    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
                    value.map_or(Value::Null, Value::from)
                })
                && same("query", &|name| {
                    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                    pairs.find(|(known, _)| *known == name).map_or(Value::Null, |(_, v)| v.into())
                })
        })
    }

    /// Fills in what depends on the time: `{now+2}`.
    fn filled(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("{now") else { return text.to_owned() };
        let (shift, after) = rest.split_once('}').expect("it is closed");
        let now = i64::try_from(self.clock.now().as_secs_unsigned()).expect("a time");
        let shift: i64 = if shift.is_empty() { 0 } else { shift.parse().expect("a number") };
        format!("{before}{}{after}", now + shift)
    }
}

#[async_trait]
impl HttpTransport for Scenario {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let Some(route) = self.route_of(&request) else { return self.behind.send(request).await };
        let at = self.clock.monotonic();
        let target = request.uri().to_string();
        let before = self.asked_of(route).len();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { route, at, target });
        let replies = self.document["routes"][route]["replies"].as_array().expect("replies");
        let reply = &replies[before.min(replies.len() - 1)];
        if let Some(delay) = reply["delay_ms"].as_u64() {
            self.clock.sleep_until(at + Duration::from_millis(delay)).await;
        }
        let body = if reply["body"].is_null() { String::new() } else { reply["body"].to_string() };
        let mut response = Response::new(Bytes::from(body));
        let status = u16::try_from(reply["status"].as_u64().expect("a status")).unwrap();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in reply["headers"].as_object().into_iter().flatten() {
            let value = self.filled(value.as_str().expect("a header is a text"));
            let name: http::HeaderName = name.parse().expect("a name");
            response.headers_mut().insert(name, value.parse().expect("a value"));
        }
        Ok(response)
    }
}

/// Compares a path with a pattern: letters, and a number that may follow, `^/v1/actions(/\d+)?$`.
fn fits(pattern: &str, path: &str) -> bool {
    const NUMBER: &str = r"(/\d+)?";
    let plain = pattern.strip_prefix('^').and_then(|p| p.strip_suffix('$')).expect("a whole path");
    let (start, is_open) = plain.strip_suffix(NUMBER).map_or((plain, false), |p| (p, true));
    assert!(!start.contains(['(', '\\', '[', '*', '+', '?']), "{pattern} is beyond this reader");
    let is_number = |rest: &str| {
        rest.strip_prefix('/')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || (is_open && is_number(rest)))
}
