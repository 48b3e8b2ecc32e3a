//! Deleting, leases, and what is owned.

use std::time::Duration;

use sam_core::compute::{Deletion, Labels, ListOwned, OwnedResource, Power};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{ErrorKind, Retry};
use sam_providers::testkit::{Fault, json};

use crate::world::{APP, INSTALLATION, World, left};

fn owned(world: &World, labels: &Labels) -> Vec<OwnedResource> {
    let (mut all, mut query) = (Vec::new(), ListOwned::new(labels.clone()));
    loop {
        let page = world.run(world.compute.owned().unwrap().list_owned(&query)).unwrap();
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        query = query.with_after(Some(next));
    }
}

fn id_of(world: &World) -> String {
    world.fake.with(|fly| fly.machines())[0].id.clone()
}

pub(crate) fn a_lease_that_somebody_holds_is_waited_for_or_named() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let (id, power) = (id_of(&world), world.compute.power().unwrap());
    world.fake.with(|fly| fly.hold_lease(&id, Duration::from_secs(10)));
    world.run(power.set_power(&request.key, Power::Off)).expect("it ends in time");
    world.fake.with(|fly| fly.hold_lease(&id, Duration::from_mins(5)));
    for error in [
        world.run(power.set_power(&request.key, Power::On)).unwrap_err(),
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Conflict, Some("409")));
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(2)));
        assert!(error.to_string().contains("lease"), "{error:?}");
    }
    assert_eq!(world.fake.with(|fly| fly.machines())[0].state, "stopped");
    world.clock.advance(Duration::from_mins(5));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn every_change_is_made_under_a_lease_that_is_given_back() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let power = world.compute.power().unwrap();
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    world.run(power.set_power(&request.key, Power::On)).unwrap();
    world.delete(&request.key);
    let (mut changes, mut leases, mut released) = (0, 0, 0);
    for exchange in world.fake.exchanges() {
        let (method, path) = (exchange.request.method().as_str(), exchange.request.uri().path());
        let has_nonce = exchange.request.headers().contains_key("fly-machine-lease-nonce");
        let of_machine = path.contains("/machines/");
        match (method, path.ends_with("/lease")) {
            ("POST", true) => leases += 1,
            ("DELETE", true) => released += 1,
            ("POST" | "DELETE", _) if of_machine => {
                changes += 1;
                assert!(has_nonce, "{path}");
            }
            _ => {}
        }
    }
    assert_eq!((changes, leases, released), (3, 3, 2), "the last one went with its machine");
    world.check();
}

pub(crate) fn a_change_that_is_refused_gives_its_lease_back() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let path = format!("/v1/apps/{APP}/machines/{}/stop", id_of(&world));
    let refused = json(400, &serde_json::json!({ "error": "invalid_argument: no such signal" }));
    world.fake.fail_next("POST", &path, Fault::Refuse(refused));
    let power = world.compute.power().unwrap();
    let error = world.run(power.set_power(&request.key, Power::Off)).unwrap_err();
    assert_eq!(
        (error.kind(), error.provider_code()),
        (ErrorKind::BadInput, Some("invalid_argument"))
    );
    let before = world.clock.next_deadline_in();
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    assert_eq!(before, None);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_machine_that_is_on_its_way_is_waited_for() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|fly| fly.set_step_time(Duration::from_secs(25)));
    world.create(&request).unwrap();
    let state = || world.fake.with(|fly| fly.machines())[0].state.clone();
    assert_eq!(state(), "created");
    let power = world.compute.power().unwrap();
    world.fake.with(|fly| fly.set_step_time(Duration::from_secs(5)));
    for switched in [Power::Off, Power::On] {
        world.run(power.set_power(&request.key, switched)).unwrap();
    }
    assert_eq!(state(), "started");
    // It answers 412 while it is created, which is no failure.
    let asked = world.fake.exchanges();
    assert!(asked.iter().any(|exchange| exchange.response.status() == 412));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_machine_that_is_slow_to_go_is_not_gone() {
    let world = World::stacked();
    let request = world.request();
    world.create(&request).unwrap();
    world.fake.with(|fly| fly.set_step_time(Duration::from_secs(50)));
    let deleted = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deleted, Deletion::InProgress);
    assert_eq!(left(&world.fake).len(), 3, "{:?}", left(&world.fake));
    let error = world.create(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let switched = world.run(world.compute.power().unwrap().set_power(&request.key, Power::On));
    assert_eq!(switched.unwrap_err().kind(), ErrorKind::NotFound);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_is_left_without_its_machine_is_owned_and_goes() {
    let world = World::bare();
    let request = world.request();
    let labels = Labels::default().with(Labels::INSTALLATION, INSTALLATION).unwrap();
    // The creation ends right before the machine.
    let broken = json(403, &serde_json::json!({ "error": "no" }));
    let path = format!("/v1/apps/{APP}/machines");
    world.fake.fail_next("POST", &path, Fault::Refuse(broken.clone()));
    world.fake.fail_next(
        "DELETE",
        &format!("/v1/apps/{APP}/volumes"),
        Fault::Refuse(broken.clone()),
    );
    world.fake.fail_next("DELETE", &format!("/v1/apps/{APP}/secrets"), Fault::Refuse(broken));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, sam_core::Effect::Unknown));
    let found = owned(&world, &labels);
    let sorts: Vec<_> = found.iter().map(|it| &*it.sort).collect();
    assert_eq!(sorts, ["volume", "secret"]);
    for thing in &found {
        assert_eq!(thing.key.as_deref(), Some(request.key.as_str()));
        assert_eq!(thing.labels.value(Labels::NODE), Some(request.key.as_str()));
    }
    for thing in found.iter().chain(&found) {
        world.run(world.compute.owned().unwrap().delete_owned(thing)).unwrap();
    }
    assert_eq!(owned(&world, &labels), []);
    world.check();
}

pub(crate) fn what_a_machine_needs_is_not_deleted_and_goes_with_it() {
    let world = World::bare();
    let (request, other) = (world.request(), world.request());
    world.create(&request).unwrap();
    world.create(&other).unwrap();
    let resources = world.compute.owned().unwrap();
    let all = owned(&world, &request.labels);
    assert_eq!(all.len(), 6, "{all:?}");
    for thing in all.iter().filter(|it| it.sort != OwnedResource::MACHINE) {
        assert_eq!(thing.labels, request.labels, "{thing:?}");
        let error = world.run(resources.delete_owned(thing)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{thing:?}");
    }
    let machine = all.iter().find(|it| it.key.as_deref() == Some(request.key.as_str())).unwrap();
    world.run(resources.delete_owned(machine)).unwrap();
    assert_eq!(owned(&world, &request.labels).len(), 3);
    world.delete(&other.key);
    world.check();
}

pub(crate) fn the_app_is_owned_by_nobody_and_deleted_only_when_it_is_empty() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let all = owned(&world, &Labels::default());
    let app =
        all.iter().find(|it| it.sort == "app").expect("it is listed where nothing is asked for");
    assert_eq!((&*app.provider_id, &app.labels), (APP, &Labels::default()));
    let resources = world.compute.owned().unwrap();
    let error = world.run(resources.delete_owned(app)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    world.delete(&request.key);
    world.run(resources.delete_owned(app)).unwrap();
    assert_eq!(world.fake.left(), Vec::<String>::new());
    // Without an app there is nothing, and that is sure.
    assert_eq!(owned(&world, &Labels::default()), []);
    world.run(resources.delete_owned(app)).unwrap();
    assert_eq!(world.run(world.compute.machine(&request.key)).unwrap(), None);
    world.delete(&request.key);
    world.check();
}
