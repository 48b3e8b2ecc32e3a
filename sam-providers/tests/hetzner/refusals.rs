//! What refusals mean, and answers that are none.

use std::sync::Arc;
use std::time::Duration;

use sam_core::compute::Labels;
use sam_core::http::ScriptedHttp;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::time::Clock as _;
use sam_core::volume::CreateVolume;
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};
use sam_providers::hetzner::HetznerConfig;
use sam_providers::testkit::{Fault, empty, json};

use crate::contract;
use crate::world::{World, adapter, config, user_data};

/// Returns what looking and creating make of an answer.
fn errors_of(status: u16, body: &str) -> [Error; 2] {
    let world = World::bare();
    let asked = || {
        let http = Arc::new(ScriptedHttp::new().answer(status, body.to_owned()));
        adapter(config(), http, &world.clock)
    };
    let volume = CreateVolume::new("data".to_owned(), 10, Labels::default());
    let (looks, makes) = (asked(), asked());
    let created = world.run(makes.volumes().unwrap().create_volume(&volume));
    [world.run(looks.verify_credentials()).unwrap_err(), created.unwrap_err()]
}

/// What a code means; every code that is documented is here.
fn meaning(code: &str, status: u16) -> ErrorKind {
    use ErrorKind as K;
    match code {
        "unauthorized" => K::Unauthenticated,
        "token_readonly" | "forbidden" | "protected" | "resource_locked" => K::Denied,
        "resource_limit_exceeded" => K::QuotaExceeded,
        "not_found" => K::NotFound,
        "firewall_resource_not_found" if status == 404 => K::NotFound,
        "deprecated_api_endpoint" => K::Bug,
        "uniqueness_error" => K::AlreadyExists,
        "rate_limit_exceeded" => K::RateLimited,
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            K::CapacityUnavailable
        }
        "timeout" => K::Timeout,
        "maintenance" | "robot_unavailable" | "service_error" | "server_error" | "unavailable"
        | "bad_gateway" => K::Unavailable,
        "conflict"
        | "locked"
        | "resource_in_use"
        | "must_be_unassigned"
        | "already_in_placement_group"
        | "firewall_already_applied"
        | "ip_not_available"
        | "primary_ip_already_assigned"
        | "primary_ip_assigned"
        | "server_already_added"
        | "server_already_attached"
        | "server_has_ipv4"
        | "server_has_ipv6"
        | "server_is_load_balancer_target"
        | "server_not_stopped"
        | "volume_already_attached"
        | "vswitch_id_already_used" => K::Conflict,
        "json_error"
        | "method_not_allowed"
        | "invalid_input"
        | "unsupported_error"
        | "incompatible_network_type"
        | "firewall_resource_not_found"
        | "private_net_only_server"
        | "firewall_managed_by_label_selector"
        | "primary_ip_version_mismatch"
        | "primary_ip_datacenter_mismatch"
        | "no_subnet_available"
        | "networks_overlap"
        | "invalid_server_type"
        | "incorrect_zone_mode"
        | "firewall_already_removed"
        | "unknown_error" => K::BadInput,
        other => panic!("{other} is documented, and nobody knows what it means"),
    }
}

/// Codes that the vendor's own client gives up on at once, because it has nothing to wait with. We have:
/// the trouble is Hetzner's, or passes with an action, or with somebody else's machines.
const WORTH_WAITING: &[&str] = &[
    "locked",
    "maintenance",
    "must_be_unassigned",
    "no_space_left_in_location",
    "placement_error",
    "resource_in_use",
    "resource_unavailable",
    "robot_unavailable",
    "server_error",
    "service_error",
    "unavailable",
];

pub(crate) fn every_documented_refusal_is_understood() {
    let document = contract::read("hetzner/errors.json").unwrap();
    let all = document["errors"].as_array().unwrap();
    assert_eq!(all.len(), 79);
    for refusal in all {
        let code = refusal["code"].as_str().unwrap();
        let status = refusal["status"].as_u64().map(|status| u16::try_from(status).unwrap());
        let status = status.unwrap_or(match code {
            "bad_gateway" => 502,
            "robot_unavailable" => 503,
            "resource_locked" => 423,
            _ => 422,
        });
        let body = if refusal["body"].is_null() {
            serde_json::json!({ "error": { "code": code, "message": "it says so" } })
        } else {
            refusal["body"].clone()
        };
        let [looked, created] = errors_of(status, &body.to_string());
        let expected = meaning(code, status);
        for error in [&looked, &created] {
            // A name that is taken is looked up, which this script has no line for.
            if expected != ErrorKind::AlreadyExists || std::ptr::eq(error, &raw const looked) {
                assert_eq!(error.provider_code(), Some(code), "{status} {error:?}");
                assert_eq!(error.kind(), expected, "{status} {code}");
            }
        }
        let may_be_tried_again = looked.retry() != Retry::Never;
        let vendor_tries_again = refusal["retryable"].as_bool().unwrap();
        let expected = vendor_tries_again || WORTH_WAITING.contains(&code);
        assert_eq!(may_be_tried_again, expected, "{status} {code}: {:?}", looked.retry());
        assert_eq!(looked.effect(), Effect::NotApplied, "{code}");
        if status < 500 && !["uniqueness_error", "service_error"].contains(&code) {
            assert_eq!(created.effect(), Effect::NotApplied, "{status} {code}");
        } else {
            assert_eq!(created.effect(), Effect::Unknown, "{status} {code}");
        }
    }
}

pub(crate) fn pages_for_people_are_understood_by_their_status() {
    for (status, kind) in [
        (502, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
        (504, ErrorKind::Timeout),
        (429, ErrorKind::RateLimited),
        (403, ErrorKind::Denied),
    ] {
        let [looked, created] = errors_of(status, "<html><body><h1>Gateway</h1></body></html>");
        assert_eq!((looked.kind(), created.kind()), (kind, kind), "{status}");
        assert_eq!(looked.provider_code(), Some(&*status.to_string()));
        assert_eq!(created.effect() == Effect::Unknown, status >= 500, "{status}");
        assert!(!format!("{looked:?}").contains("html"));
    }
    // What such a page says of a machine is nothing at all.
    let world = World::stacked();
    let request = world.request();
    world.create(&request).unwrap();
    let mut page = empty(404);
    *page.body_mut() = "<html>not found</html>".into();
    world.fake.fail_next("DELETE", "/v1/servers", Fault::Refuse(page));
    let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 1);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_wrong_token_is_told_from_a_wrong_address() {
    let wrong = HetznerConfig::new(Secret::new("wrong".to_owned()), user_data());
    let world = World::stacked_of(wrong);
    let request = world.request();
    for error in [
        world.run(world.compute.verify_credentials()).unwrap_err(),
        world.create(&request).unwrap_err(),
        world.run(world.compute.machine(&request.key)).unwrap_err(),
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unauthenticated, Effect::NotApplied)
        );
        assert_eq!(error.provider_code(), Some("unauthorized"));
        assert!(error.hint().unwrap().contains("token"), "{error:?}");
    }
    world.check();
    // An address that is another's: absence is not believed.
    let elsewhere = config().with_base_url("https://api.example/else".parse().unwrap());
    let world = World::stacked_of(elsewhere);
    for error in [
        world.run(world.compute.machine(&request.key)).unwrap_err(),
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

pub(crate) fn an_account_that_is_full_says_so_and_keeps_nothing() {
    let world = World::stacked();
    world.fake.with(|hetzner| hetzner.set_server_limit(0));
    let error = world.create(&world.request()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::QuotaExceeded, Retry::Never));
    assert_eq!(error.provider_code(), Some("resource_limit_exceeded"));
    assert_eq!(error.effect(), Effect::NotApplied);
    assert!(error.hint().unwrap().contains("limit"), "{error:?}");
    world.check();
    // Where the firewall cannot be taken back, it is not said that nothing happened.
    let refused =
        json(503, &serde_json::json!({ "error": { "code": "unavailable", "message": "" } }));
    world.fake.fail_next("DELETE", "/v1/firewalls", Fault::Refuse(refused));
    let request = world.request();
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::QuotaExceeded, Effect::Unknown));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn an_answer_that_breaks_off_is_in_doubt() {
    let mut page = empty(201);
    *page.body_mut() = "<html>welcome</html>".into();
    for (fault, kind) in
        [(Fault::DoAndCut, ErrorKind::Unavailable), (Fault::DoAndAnswer(page), ErrorKind::Corrupt)]
    {
        let world = World::bare();
        let request = world.request();
        world.fake.fail_next("POST", "/v1/servers", fault);
        let error = world.create(&request).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown));
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 1);
        // Looking is in no doubt.
        world.fake.fail_next("GET", "/v1/servers", Fault::DoAndCut);
        let error = world.run(world.compute.machine(&request.key)).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        world.delete(&request.key);
        world.check();
    }
}

pub(crate) fn an_answer_that_never_comes_ends_at_the_deadline() {
    let world = World::stacked();
    let request = world.request();
    for _ in 0..3 {
        world.fake.fail_next("GET", "/v1/servers", Fault::DoAndHang);
    }
    let error = world.run(world.compute.machine(&request.key)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(world.fake.faults_left(), 0);
    let waited = world.clock.monotonic();
    assert!(waited >= Duration::from_secs(90) && waited < Duration::from_secs(110), "{waited:?}");
}
