//! What refusals mean, and answers that are none.

use std::sync::Arc;
use std::time::Duration;

use sam_core::http::ScriptedHttp;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::time::Clock as _;
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};
use sam_providers::fly::FlyConfig;
use sam_providers::testkit::{Fault, empty, json};

use crate::contract;
use crate::world::{APP, IMAGE, ORG, World, adapter, boot, config};

/// Returns what looking and changing make of an answer.
fn errors_of(status: u16, body: &str) -> [Error; 2] {
    let world = World::bare();
    let mut script = ScriptedHttp::new();
    // More often than the adapter itself tries again.
    for _ in 0..5 {
        script = script.answer(status, body.to_owned());
    }
    let looks = adapter(config(), Arc::new(script), &world.clock);
    let looked = world.run(looks.verify_credentials()).unwrap_err();
    // The change is that of the app's secret, after the app, no machine and a volume.
    let request = world.request();
    world.fake.with(|fly| fly.add_app(APP));
    for _ in 0..5 {
        let mut answer = json(status, &serde_json::Value::Null);
        *answer.body_mut() = body.to_owned().into();
        world.fake.fail_next("POST", "/v1/apps/sam-tests/secrets", Fault::Refuse(answer));
    }
    [looked, world.create(&request).unwrap_err()]
}

pub(crate) fn every_documented_refusal_is_understood() {
    use ErrorKind as K;
    let document = contract::read("fly/errors.json").unwrap();
    let all = document["errors"].as_array().unwrap();
    assert_eq!(all.len(), 9);
    for refusal in all {
        let name = refusal["name"].as_str().unwrap();
        let status = u16::try_from(refusal["status"].as_u64().unwrap()).unwrap();
        let (kind, code) = match name {
            "unauthenticated" => (K::Unauthenticated, "401"),
            "not_found" => (K::NotFound, "not_found"),
            "wait_timeout" => (K::Timeout, "deadline_exceeded"),
            "lease_held" => (K::Conflict, "409"),
            "failed_precondition" => (K::Conflict, "failed_precondition"),
            "name_taken" => (K::Conflict, "name_taken"),
            "insufficient_capacity" => (K::CapacityUnavailable, "insufficient_capacity"),
            "rate_limited" => (K::RateLimited, "429"),
            "internal" => (K::Unavailable, "500"),
            other => panic!("{other} is documented, and nobody knows what it means"),
        };
        let [looked, changed] = errors_of(status, &refusal["body"].to_string());
        assert_eq!((looked.kind(), looked.provider_code()), (kind, Some(code)), "{name}");
        assert_eq!(looked.effect(), Effect::NotApplied, "{name}");
        let said = refusal["body"]["error"].as_str().unwrap();
        assert!(looked.to_string().contains(said), "{looked:?}");
        // What is sold out is tried again when somebody says so: later than any layer waits.
        let expected = refusal["retryable"].as_bool().unwrap() || name == "insufficient_capacity";
        assert_eq!(looked.retry() != Retry::Never, expected, "{name}: {:?}", looked.retry());
        let in_doubt = status >= 500 || status == 408
            // Whether it is being made by somebody else is looked up, and may show any moment.
            || ["lease_held", "failed_precondition", "not_found"].contains(&name);
        let found = changed.effect() == Effect::Unknown;
        assert!(found == in_doubt || name == "not_found", "{name}: {changed:?}");
        if name != "not_found" {
            assert_eq!(changed.kind(), kind, "{name}");
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
        let [looked, changed] = errors_of(status, "<html><body><h1>Gateway</h1></body></html>");
        assert_eq!((looked.kind(), changed.kind()), (kind, kind), "{status}");
        assert_eq!(looked.provider_code(), Some(&*status.to_string()));
        assert_eq!(changed.effect() == Effect::Unknown, status >= 500, "{status}");
        assert!(!format!("{looked:?}").contains("html"));
    }
    // What such a page says of a machine is nothing at all.
    let world = World::stacked();
    let request = world.request();
    world.create(&request).unwrap();
    for path in ["/v1/apps/sam-tests/machines", "/v1/apps/sam-tests/volumes"] {
        let mut page = empty(404);
        *page.body_mut() = "<html>not found</html>".into();
        world.fake.fail_next("GET", path, Fault::Refuse(page));
        let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_wrong_token_is_told_from_a_wrong_address() {
    let wrong = FlyConfig::new(Secret::new("wrong".to_owned()), ORG, APP, IMAGE, boot())
        .with_installation("tests");
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
        assert!(error.hint().unwrap().contains("token"), "{error:?}");
    }
    world.check();
    // An address that is another's, or an organisation that is none: absence is not believed.
    let mut nobody = config();
    nobody.org_slug = "nobody".to_owned();
    for config in [config().with_base_url("https://api.example/else".parse().unwrap()), nobody] {
        let world = World::stacked_of(config);
        for error in [
            world.run(world.compute.machine(&request.key)).unwrap_err(),
            world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

pub(crate) fn a_limit_is_waited_for_a_little() {
    let world = World::bare();
    let body = serde_json::json!({ "error": "rate limit exceeded" });
    let limit = || Fault::Refuse(json(429, &body));
    world.fake.fail_next("GET", "/v1/apps", limit());
    let before = world.clock.monotonic();
    world.run(world.compute.verify_credentials()).unwrap();
    assert_eq!(world.clock.monotonic(), before + Duration::from_secs(1));
    for _ in 0..5 {
        world.fake.fail_next("GET", "/v1/apps", limit());
    }
    let error = world.run(world.compute.verify_credentials()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
    assert_eq!(world.fake.faults_left(), 0);
}

pub(crate) fn an_answer_that_breaks_off_is_in_doubt() {
    let mut page = empty(200);
    *page.body_mut() = "<html>welcome</html>".into();
    for (fault, kind) in
        [(Fault::DoAndCut, ErrorKind::Unavailable), (Fault::DoAndAnswer(page), ErrorKind::Corrupt)]
    {
        let world = World::bare();
        let request = world.request();
        world.fake.fail_next("POST", "/v1/apps/sam-tests/machines", fault);
        let error = world.create(&request).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown));
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|fly| fly.machines().len()), 1);
        // Looking is in no doubt.
        world.fake.fail_next("GET", "/v1/apps/sam-tests/machines", Fault::DoAndCut);
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
        world.fake.fail_next("GET", "/v1/apps", Fault::DoAndHang);
    }
    let error = world.run(world.compute.machine(&request.key)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(world.fake.faults_left(), 0);
    let waited = world.clock.monotonic();
    assert!(waited >= Duration::from_secs(90) && waited < Duration::from_secs(110), "{waited:?}");
}

pub(crate) fn what_is_new_at_fly_is_passed_over() {
    let machines = serde_json::json!([
        { "id": "1", "name": "web", "state": "hibernating", "config": null },
        { "id": "2", "state": "started", "config": { "metadata": null, "mounts": null, "new": 1 } },
        { "id": "3", "name": "x", "config": { "metadata": { "sam-key": "x" } } },
    ]);
    let world = World::bare();
    let http = Arc::new(ScriptedHttp::new().answer(200, machines.to_string()));
    let compute = adapter(config(), http, &world.clock);
    let listed = world.run(compute.list_machines(&sam_core::compute::ListMachines::default()));
    assert_eq!(listed.unwrap().items, []);
}
