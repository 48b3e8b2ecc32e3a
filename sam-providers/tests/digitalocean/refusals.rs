//! What refusals mean, and answers that are none.

use std::sync::Arc;
use std::time::Duration;

use sam_core::compute::Labels;
use sam_core::http::ScriptedHttp;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::volume::CreateVolume;
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};
use sam_providers::digitalocean::DigitalOceanConfig;
use sam_providers::testkit::{Fault, empty};

use crate::world::{World, adapter, config, user_data};

/// Returns what looking and creating make of an answer.
fn errors_of(status: u16, body: &str) -> [Error; 2] {
    let world = World::bare();
    let looks = Arc::new(ScriptedHttp::new().answer(status, body.to_owned()));
    let looks = adapter(config(), looks, &world.clock);
    let makes = ScriptedHttp::new().answer(200, r#"{"volumes":[]}"#.to_owned());
    let makes = adapter(config(), Arc::new(makes.answer(status, body.to_owned())), &world.clock);
    let volume = CreateVolume::new("data".to_owned(), 10, Labels::default());
    let created = world.run(makes.volumes().unwrap().create_volume(&volume));
    [world.run(looks.verify_credentials()).unwrap_err(), created.unwrap_err()]
}

pub(crate) fn refusals_are_told_apart() {
    use ErrorKind as K;
    for (status, id, message, kind) in [
        (401, "unauthorized", "Unable to authenticate you", K::Unauthenticated),
        (403, "forbidden", "You do not have access for the attempted action.", K::Denied),
        (404, "not_found", "The resource you were accessing could not be found.", K::NotFound),
        (
            422,
            "unprocessable_entity",
            "creating this/these droplet(s) will exceed your droplet limit",
            K::QuotaExceeded,
        ),
        (422, "unprocessable_entity", "Droplet already has a pending event.", K::Conflict),
        (
            422,
            "unprocessable_entity",
            "Size is not available in this region.",
            K::CapacityUnavailable,
        ),
        // What only resembles them.
        (
            422,
            "unprocessable_entity",
            "The image you specified is not available in the selected region",
            K::BadInput,
        ),
        (422, "unprocessable_entity", "Region can't be blank", K::BadInput),
        (
            422,
            "unprocessable_entity",
            "You specified an invalid size for Droplet creation.",
            K::BadInput,
        ),
        (429, "too_many_requests", "API Rate limit exceeded.", K::RateLimited),
        (500, "server_error", "Unexpected server-side error", K::Unavailable),
        (503, "service_unavailable", "size unavailable in region", K::Unavailable),
    ] {
        let body = serde_json::json!({ "id": id, "message": message, "request_id": "1" });
        for (error, changes) in errors_of(status, &body.to_string()).into_iter().zip([false, true])
        {
            // What is in conflict is looked up, which this script has no line for.
            if kind != K::Conflict || !changes {
                assert_eq!((error.kind(), error.provider_code()), (kind, Some(id)), "{message}");
                let in_doubt = changes && status >= 500;
                assert_eq!(error.effect() == Effect::Unknown, in_doubt, "{message}");
            }
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
    world.fake.fail_next("DELETE", "/v2/droplets", Fault::Refuse(page));
    let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(world.fake.with(|vendor| vendor.droplets().len()), 1);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_wrong_token_says_so() {
    let wrong = DigitalOceanConfig::new(Secret::new("wrong".to_owned()), user_data());
    let world = World::stacked_of(wrong);
    let request = world.request();
    for error in [
        world.run(world.compute.verify_credentials()).unwrap_err(),
        world.create(&request).unwrap_err(),
        world.run(world.compute.machine(&request.key)).unwrap_err(),
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
    ] {
        let said = (error.kind(), error.effect(), error.retry());
        assert_eq!(said, (ErrorKind::Unauthenticated, Effect::NotApplied, Retry::Never));
        assert!(error.hint().unwrap().contains("token"), "{error:?}");
    }
    world.check();
    // At an address that is another's, absence is not believed.
    let world =
        World::stacked_of(config().with_base_url("https://api.example/else".parse().unwrap()));
    for error in [
        world.run(world.compute.machine(&request.key)).unwrap_err(),
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

pub(crate) fn a_team_that_is_full_says_so_and_keeps_nothing() {
    let world = World::stacked();
    world.fake.with(|vendor| vendor.set_droplet_limit(0));
    let error = world.create(&world.request()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::QuotaExceeded, Retry::Never));
    assert_eq!(error.effect(), Effect::NotApplied);
    assert!(error.hint().unwrap().contains("limit"), "{error:?}");
    assert_eq!(world.fake.count("POST", "/"), 1);
    world.check();
}

pub(crate) fn a_limit_is_kept_until_it_ends() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    // No more before the hour is over, which the answer says as a time.
    world.fake.with(|vendor| vendor.set_requests_left(0));
    let look = || world.run(world.compute.machine(&request.key));
    let error = look().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::RateLimited, Effect::NotApplied));
    let Retry::After(wait) = error.retry() else { panic!("{error:?}") };
    assert!(wait > Duration::from_secs(3_500) && wait <= Duration::from_hours(1), "{wait:?}");
    // Nothing is sent meanwhile, for as long as anything is kept.
    let before = world.fake.exchanges().len();
    assert_eq!(look().unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(world.fake.exchanges().len(), before);
    world.clock.advance(wait);
    world.delete(&request.key);
    world.check();
    // A burst ends sooner, and says for how long it lasts; and one that says nothing lasts a little.
    for (header, seconds) in [(Some("7"), 7), (None, 5)] {
        let world = World::bare();
        let mut burst = empty(429);
        if let Some(value) = header {
            burst.headers_mut().insert("retry-after", value.parse().unwrap());
        }
        world.fake.fail_next("GET", "/", Fault::Refuse(burst));
        let error = world.run(world.compute.verify_credentials()).unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(seconds)));
    }
}

pub(crate) fn an_answer_that_breaks_off_is_in_doubt() {
    let mut page = empty(202);
    *page.body_mut() = "<html>welcome</html>".into();
    for (fault, kind) in
        [(Fault::DoAndCut, ErrorKind::Unavailable), (Fault::DoAndAnswer(page), ErrorKind::Corrupt)]
    {
        let world = World::bare();
        let request = world.request();
        world.fake.fail_next("POST", "/v2/droplets", fault);
        let error = world.create(&request).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown));
        // What is looked for after an order does not undo it.
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|vendor| vendor.droplets().len()), 1);
        // Looking is in no doubt.
        world.fake.fail_next("GET", "/v2/droplets", Fault::DoAndCut);
        let error = world.run(world.compute.machine(&request.key)).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        world.delete(&request.key);
        world.check();
    }
}
