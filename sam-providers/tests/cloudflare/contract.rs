//! Cloudflare's own descriptions: of the interface, of newer shapes that its clients know, and of
//! refusals that people quoted.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use http::{Request, Uri};
use jsonschema::Validator;
use sam_core::dns::DnsProvider as _;
use sam_core::http::ScriptedHttp;
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};
use sam_providers::api::Outside;
use sam_providers::cloudflare::{Cloudflare, CloudflareConfig, ZoneChoice};
use sam_providers::testkit::Exchange;
use serde_json::{Map, Value, json};

use crate::harness::{Oddity, TOKEN, ZONE_ID, Zone, name, set, v4};
use crate::support::{Contract, read};

/// Read and compiled once for all tests: that takes longer than any of them.
static CONTRACT: LazyLock<Mutex<Option<Contract>>> =
    LazyLock::new(|| Mutex::new(Contract::of("cloudflare", "/client/v4")));
static SHAPES: LazyLock<Mutex<BTreeMap<String, Validator>>> = LazyLock::new(Mutex::default);

/// Returns a sentence for each exchange that does not fit; none where there are no contracts.
pub(crate) fn complaints(exchanges: &[Exchange]) -> Vec<String> {
    let mut contract = CONTRACT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(contract) = &mut *contract else { return Vec::new() };
    let mut all = Vec::new();
    for exchange in exchanges {
        let path = exchange.request.uri().path();
        if path.ends_with("/dns_records/batch") {
            all.extend(newer("RecordBatchParams.request", &body(exchange.request.body())));
            all.extend(answered(exchange, "RecordBatchResponse.result"));
        } else if path.contains("/accounts/") && path.ends_with("/tokens/verify") {
            all.extend(answered(exchange, "AccountsTokenVerifyResponse.result"));
        } else {
            let (older, suffix) = without_suffix(exchange);
            if let Some(suffix) = suffix {
                let query = json!({ "name": { "endswith": suffix } });
                all.extend(newer("RecordListParams.request", &query));
            }
            all.extend(contract.complaints(&[older]));
        }
    }
    all
}

/// An exchange without the filter that the interface's description is too old to know.
fn without_suffix(exchange: &Exchange) -> (Exchange, Option<String>) {
    let mut exchange = exchange.clone();
    let uri = exchange.request.uri().clone();
    let members = || uri.query().unwrap_or_default().split('&');
    let suffix = members().find_map(|member| member.strip_prefix("name.endswith="));
    if suffix.is_some() {
        let kept: Vec<&str> =
            members().filter(|member| !member.starts_with("name.endswith=")).collect();
        let older: Uri = format!("{}?{}", uri.path(), kept.join("&")).parse().unwrap();
        let (mut parts, body) = exchange.request.into_parts();
        parts.uri = older;
        exchange.request = Request::from_parts(parts, body);
    }
    (exchange, suffix.map(str::to_owned))
}

fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

/// Holds a value against a shape of Cloudflare's own client.
fn newer(shape: &str, value: &Value) -> Option<String> {
    let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = shapes.entry(shape.to_owned()).or_insert_with(|| {
        let schema = read(&format!("cloudflare/sdk-schemas/{shape}.json")).expect("the shape");
        jsonschema::validator_for(&schema).expect("a schema")
    });
    let first = validator.iter_errors(value).next();
    first.map(|error| format!("{shape}: {error} at {}", error.instance_path()))
}

fn answered(exchange: &Exchange, shape: &str) -> Option<String> {
    if exchange.is_fault || exchange.response.status() != 200 {
        return None;
    }
    let envelope = body(exchange.response.body());
    if envelope["success"] != true {
        return Some(format!("{shape}: no success in {envelope}"));
    }
    newer(shape, &envelope["result"])
}

pub(crate) fn every_exchange_is_as_cloudflare_describes_it() {
    let zone = Zone::new(Oddity::None);
    let dns = &zone.dns;
    for values in [vec![v4(1)], vec![v4(2)], vec![v4(2), v4(3), v4(4)], vec![v4(5), v4(6)]] {
        zone.run(dns.put_record(&set("a.sam.example.com", values))).unwrap();
    }
    zone.run(dns.delete_record(set("a.sam.example.com", [v4(5)]).key())).unwrap();
    zone.run(dns.put_record(&set("b.sam.example.com", [v4(1)]))).unwrap();
    assert_eq!(zone.listed("sam.example.com").len(), 1);
    zone.run(dns.delete_record(set("b.sam.example.com", [v4(1)]).key())).unwrap();
    zone.fake.with(|model| model.token_is_of_account = true);
    assert!(zone.run(dns.check()).len() >= 4);
    assert_eq!(zone.run(dns.zones()).unwrap().len(), 2);
    let asked = |method, path: &str| zone.fake.count(method, &format!("/client/v4{path}"));
    let records = format!("/zones/{ZONE_ID}/dns_records");
    for (method, path) in [
        ("POST", format!("{records}/batch")),
        ("PATCH", format!("{records}/")),
        ("DELETE", format!("{records}/")),
        ("GET", "/user/tokens/verify".to_owned()),
        ("GET", "/accounts/".to_owned()),
    ] {
        assert!(asked(method, &path) > 0, "{method} {path} was never asked for");
    }
    assert_eq!(complaints(&zone.fake.exchanges()), Vec::<String>::new());
    // That what does not fit is noticed.
    let mut wrong = zone.fake.exchanges();
    let batch = wrong.iter_mut().find(|exchange| exchange.request.uri().path().ends_with("/batch"));
    *batch.unwrap().request.body_mut() = "{\"deletes\":[{}]}".into();
    assert_eq!(complaints(&wrong).len(), 1);
}

fn scripted(http: ScriptedHttp) -> (Cloudflare, Arc<ScriptedHttp>) {
    let http = Arc::new(http);
    let id = ZONE_ID.parse().unwrap();
    let zone = ZoneChoice::Known { id, name: name("example.com") };
    let config = CloudflareConfig::new(Secret::new(TOKEN.to_owned()), zone);
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    (Cloudflare::new(config, Outside::new(Arc::clone(&http) as _, clock)), http)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    Zone::break_off(work, 1).expect("nothing here waits")
}

pub(crate) fn every_known_refusal_has_its_kind() {
    let errors = read("cloudflare/errors.json").expect("the refusals");
    let mut seen = Vec::new();
    for known in errors["errors"].as_array().unwrap() {
        let mut answer = http::Response::new(known["body"].to_string().into());
        *answer.status_mut() =
            u16::try_from(known["status"].as_u64().unwrap()).unwrap().try_into().unwrap();
        for (header, value) in known["headers"].as_object().unwrap_or(&Map::new()) {
            let header: http::HeaderName = header.parse().unwrap();
            answer.headers_mut().insert(header, value.as_str().unwrap().parse().unwrap());
        }
        let list = "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":[]}";
        let (dns, _) = scripted(ScriptedHttp::new().answer(200, list).line(Ok(answer)));
        // The first look finds nothing, and the change meets the refusal; what is there already is
        // looked at again, which nothing is left in the script for.
        let error = now(dns.put_record(&set("a.example.com", [v4(1)]))).unwrap_err();
        seen.push((known["code"].as_u64().unwrap(), error));
    }
    let kind = |code: u64| {
        let of_code: Vec<&Error> =
            seen.iter().filter(|(seen, _)| *seen == code).map(|(_, error)| error).collect();
        assert!(!of_code.is_empty(), "{code} is not in the list");
        for error in &of_code {
            assert_eq!(error.provider_code(), Some(code.to_string().as_str()));
            assert_eq!(error.effect(), Effect::NotApplied, "{code}");
        }
        of_code[0].kind()
    };
    assert_eq!(kind(81_053), ErrorKind::Conflict);
    assert_eq!(kind(1_004), ErrorKind::BadInput);
    assert_eq!(kind(6_003), ErrorKind::Unauthenticated);
    assert_eq!(kind(1_000), ErrorKind::Unauthenticated);
    assert_eq!(kind(9_109), ErrorKind::Denied);
    assert_eq!(kind(10_000), ErrorKind::Denied);
    assert_eq!(kind(7_003), ErrorKind::NotFound);
    assert_eq!(kind(971), ErrorKind::RateLimited);
    let limited = &seen.iter().find(|(code, _)| *code == 971).unwrap().1;
    assert_eq!(limited.retry(), Retry::After(std::time::Duration::from_secs(271)));
    let reason = &seen.iter().find(|(code, _)| *code == 1_004).unwrap().1;
    assert!(reason.to_string().contains("9003"), "{reason}");
    // These three are no refusals of a put: it looks again, and the script has ended by then.
    for (code, error) in seen.iter().filter(|(code, _)| [81_044, 81_057, 81_058].contains(code)) {
        assert_ne!(error.provider_code(), Some(code.to_string().as_str()));
    }
    assert_eq!(seen.len(), errors["errors"].as_array().unwrap().len());
    assert!(seen.iter().all(|(code, _)| KNOWN.contains(code)), "a code that is new: {seen:?}");
}

const KNOWN: [u64; 11] =
    [81_057, 81_058, 81_053, 81_044, 1_004, 6_003, 1_000, 9_109, 10_000, 7_003, 971];

pub(crate) fn a_record_that_is_there_already_is_no_error() {
    let scenario = read("scenarios/cloudflare-identical-record.json").expect("the scenario");
    let reply = |route: usize| scenario["routes"][route]["replies"][0].clone();
    let (refusal, list) = (reply(0), reply(1));
    let refused = u16::try_from(refusal["status"].as_u64().unwrap()).unwrap();
    // Whether the first look shows it or not: one attempt at most, and no error.
    let empty = "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":[]}";
    let shown = list["body"].to_string();
    let a = set("a.example.com", [v4(1)]);
    let (dns, http) = scripted(ScriptedHttp::new().answer(200, shown.clone()));
    now(dns.put_record(&a)).unwrap();
    assert_eq!(http.asked().len(), 1);
    let script = ScriptedHttp::new().answer(200, empty);
    let script = script.answer(refused, refusal["body"].to_string()).answer(200, shown);
    let (dns, http) = scripted(script);
    now(dns.put_record(&a)).unwrap();
    let posts = http.asked().iter().filter(|asked| asked.method() == http::Method::POST).count();
    assert_eq!((http.asked().len(), posts), (3, 1));
}

pub(crate) fn a_refusal_with_a_good_status_is_an_error() {
    let scenario = read("scenarios/cloudflare-success-false-on-200.json").expect("the scenario");
    let body = scenario["routes"][0]["replies"][0]["body"].to_string();
    let (dns, _) = scripted(ScriptedHttp::new().answer(200, body));
    let error = now(dns.record(set("a.example.com", [v4(1)]).key())).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::BadInput, Some("1004")));
    assert!(error.to_string().contains("9003"), "{error}");
}
