//! GitHub's habits as sequences of answers, and what must come of them.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use libtest_mimic::{Failed, Trial};
use sam_core::entropy::SeededEntropy;
use sam_core::http::HttpTransport;
use sam_core::time::{Clock as _, ManualClock, Timestamp};
use sam_core::{Error, ErrorKind, Result, Retry, Secret};
use sam_github::sign_in::SignIn;
use sam_github::{GithubApp, InstallationId};
use serde_json::{Value, json};

use crate::folder::contracts;
use crate::keys::{START, signer};

/// Answers as a scenario says, and keeps what it was asked.
#[derive(Debug)]
struct Scripted {
    routes: Vec<Value>,
    clock: ManualClock,
    asked: Mutex<Vec<Asked>>,
}

#[derive(Debug, Clone)]
struct Asked {
    route: Option<usize>,
    at: Duration,
    authorization: String,
}

#[async_trait]
impl HttpTransport for Scripted {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let header = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let path = request.uri().path();
        let fits = |route: &Value| {
            let wanted = &route["match"];
            let pattern = wanted["path"].as_str().unwrap_or_default();
            let headers = wanted["headers"].as_object().into_iter().flatten();
            wanted["method"] == request.method().as_str()
                && pattern.trim_start_matches('^').trim_end_matches('$') == path
                && headers.into_iter().all(|(name, value)| *value == header(name).as_str())
        };
        let route = self.routes.iter().position(fits);
        let authorization = header("authorization");
        let asked = Asked { route, at: self.clock.monotonic(), authorization };
        let before = {
            let mut all = self.asked.lock().expect("nobody panics with it");
            all.push(asked);
            all.iter().filter(|asked| asked.route == route).count() - 1
        };
        let Some(route) = route else {
            // What a scenario does not name is a token to ask with.
            assert!(path.ends_with("/access_tokens"), "nobody answers {path}");
            let token = json!({
                "token": "ghs_b", "expires_at": "2026-01-01T01:00:00Z",
                "permissions": { "metadata": "read" },
            });
            return Ok(Response::new(Bytes::from(token.to_string())));
        };
        let replies = self.routes[route]["replies"].as_array().expect("a list");
        let reply = &replies[before.min(replies.len() - 1)];
        let status = reply["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let mut response = Response::builder().status(status.expect("a status"));
        for (name, value) in reply["headers"].as_object().into_iter().flatten() {
            response = response.header(name, self.filled(value.as_str().unwrap_or_default()));
        }
        let body = self.filled(&reply["body"].to_string());
        response.body(Bytes::from(body)).map_err(|_| Error::new(ErrorKind::Bug, "a bad reply"))
    }
}

impl Scripted {
    /// Fills in times: `{now+2}`, `{iso now+30}`, `{http-date now-120}`.
    fn filled(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (start, sort) in [("{http-date now", 'h'), ("{iso now", 'i'), ("{now", 'n')] {
            while let Some((before, rest)) = out.split_once(start) {
                let (offset, after) = rest.split_once('}').expect("it ends");
                let now = i64::try_from(self.clock.now().as_secs_unsigned()).expect("small");
                let at = now + offset.parse::<i64>().unwrap_or_default();
                let stamp = jiff::Timestamp::from_second(at).expect("a time");
                let shown = match sort {
                    'h' => jiff::fmt::rfc2822::DateTimePrinter::new()
                        .timestamp_to_rfc9110_string(&stamp)
                        .expect("a time"),
                    'i' => stamp.to_string(),
                    _ => at.to_string(),
                };
                out = format!("{before}{shown}{after}");
            }
        }
        out
    }
}

/// Moves the clock to whatever is waited for until the work is done.
fn with_time<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    use futures_util::FutureExt as _;
    let mut work = Box::pin(work);
    for _ in 0..1_000 {
        if let Some(done) = work.as_mut().now_or_never() {
            return done;
        }
        clock.advance(clock.next_deadline_in().unwrap_or(Duration::from_millis(1)));
    }
    panic!("it does not end");
}

fn app(http: &Arc<Scripted>, clock: &ManualClock) -> GithubApp {
    GithubApp::builder("1136541".parse().expect("a number"), signer())
        .build(Arc::clone(http) as Arc<dyn HttpTransport>, Arc::new(clock.clone()))
}

/// Does what a scenario is about; a limit is waited for once.
async fn act(name: &str, http: &Arc<Scripted>, clock: &ManualClock) -> Result<()> {
    let app = app(http, clock);
    match name {
        "github-clock-skew" => app.info().await.map(|_| ()),
        "github-oauth-error-on-200" => {
            let sign_in = SignIn::builder("Iv1", Secret::new("s".to_owned())).build(
                Arc::clone(http) as Arc<dyn HttpTransport>,
                Arc::new(clock.clone()),
                Arc::new(SeededEntropy::new(1)),
            );
            let pending = sign_in.begin("https://app.example.com/callback");
            let code = Secret::new("c".to_owned());
            sign_in.finish(&pending, &code, &pending.state).await.map(|_| ())
        }
        _ => {
            let list = || app.repositories(InstallationId::new(123), None);
            match list().await {
                Err(error) if error.kind() == ErrorKind::RateLimited => {
                    let Retry::After(wait) = error.retry() else { return Err(error) };
                    clock.sleep_until(clock.monotonic() + wait).await;
                    list().await.map(|_| ())
                }
                outcome => outcome.map(|_| ()),
            }
        }
    }
}

fn must(rule: &Value, http: &Scripted, outcome: &Result<()>) -> Result<(), Failed> {
    let all = http.asked.lock().expect("nobody panics with it").clone();
    let of = |rule: &Value| -> Vec<Asked> {
        let route = rule["route"].as_u64().and_then(|route| usize::try_from(route).ok());
        all.iter().filter(|asked| asked.route == route).cloned().collect()
    };
    let check = |holds: bool| {
        if holds {
            Ok(())
        } else {
            Err(Failed::from(format!("{rule} does not hold: {outcome:?} {all:?}")))
        }
    };
    if let Some(expected) = rule["outcome"].as_str() {
        check(outcome.is_ok() == expected.starts_with("ok"))?;
    }
    if let (Some(code), Err(error)) = (rule["code"].as_str(), outcome) {
        check(error.provider_code() == Some(code))?;
    }
    if let Some(count) = rule["requests"]["n"].as_u64() {
        check(of(&rule["requests"]).len() as u64 == count)?;
    }
    if let Some(count) = rule["max_requests"]["n"].as_u64() {
        check(of(&rule["max_requests"]).len() as u64 <= count)?;
    }
    if let Some(millis) = rule["min_interval_ms"]["n"].as_u64() {
        let asked = of(&rule["min_interval_ms"]);
        check(asked.len() > 1)?;
        let apart = Duration::from_millis(millis);
        check(asked.windows(2).all(|pair| pair[1].at.saturating_sub(pair[0].at) >= apart))?;
    }
    if rule["jwt"].is_object() {
        let asked = of(&rule["jwt"]);
        let at = rule["jwt"]["reply"].as_u64().and_then(|at| usize::try_from(at).ok());
        let token = asked[at.unwrap_or_default()].authorization.clone();
        let claims = token.split('.').nth(1).unwrap_or_default().to_owned();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        let (iat, exp) =
            (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
        let latest: i64 = http
            .filled(&format!("{{{}}}", rule["jwt"]["iat_max"].as_str().unwrap_or_default()))
            .parse()?;
        check(iat <= latest && exp - iat <= rule["jwt"]["lifetime_max_s"].as_i64().unwrap_or(0))?;
    }
    Ok(())
}

fn run(name: &str, scenario: &Value) -> Result<(), Failed> {
    let clock = ManualClock::new(Timestamp::from_micros(START.as_micros()));
    let routes = scenario["routes"].as_array().ok_or("no routes")?.clone();
    let http = Arc::new(Scripted { routes, clock: clock.clone(), asked: Mutex::default() });
    let outcome = with_time(&clock, act(name, &http, &clock));
    for rule in scenario["must"].as_array().ok_or("no rules")? {
        must(rule, &http, &outcome)?;
    }
    Ok(())
}

pub(crate) fn trials() -> Result<Vec<Trial>, Failed> {
    let mut trials = Vec::new();
    for entry in fs::read_dir(contracts().join("scenarios"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("github-") {
            continue;
        }
        let scenario: Value = serde_json::from_slice(&fs::read(&path)?)?;
        trials.push(Trial::test(format!("scenarios::{name}"), move || run(&name, &scenario)));
    }
    if trials.len() < 4 { Err("fewer than four scenarios".into()) } else { Ok(trials) }
}
