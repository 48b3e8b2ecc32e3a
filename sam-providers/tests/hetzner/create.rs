//! Creating: lost replies, crashes, names that are taken, and what is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use sam_core::compute::{Labels, ListMachines, ListOwned, Size};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::volume::CreateVolume;
use sam_core::{Effect, ErrorKind, Report, Retry, Secret};
use sam_providers::api::UserData;
use sam_providers::hetzner::InboundRule;
use sam_providers::testkit::{Fault, json};

use crate::drive::drop_after;
use crate::world::{API_TOKEN, BOOT_TOKEN, INSTALLATION, Wired, World, config, user_data};

/// Creates with a fault, through the layers, and sees that one machine came of it.
fn create_with(fault: Fault) {
    let world = World::stacked();
    let request = world.request();
    world.fake.fail_next("POST", "/v1/servers", fault);
    let machine = world.create(&request).expect("it is adopted");
    assert_eq!(world.fake.faults_left(), 0);
    let servers = world.fake.with(|hetzner| hetzner.servers());
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(machine.provider_id, servers[0].id.to_string());
    assert_eq!(machine.labels, request.labels);
    assert_eq!(
        world.fake.left().len(),
        4,
        "server, two addresses, firewall: {:?}",
        world.fake.left()
    );
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_reply_that_was_lost_is_made_up_for_by_adopting() {
    create_with(Fault::DoAndCut);
    create_with(Fault::DoAndHang);
    create_with(Fault::Cut);
}

pub(crate) fn a_reply_that_breaks_off_on_the_wire_is_made_up_for() {
    let world = Wired::new();
    let (request, compute) = (world.request(), world.compute());
    let create = || world.runtime.block_on(compute.create_machine(&request));
    world.fake.fail_next("POST", "/v1/servers", Fault::DoAndCut);
    let error = create().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    world.fake.fail_next("GET", "/v1/servers", Fault::DoAndCut);
    let error = create().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    create().unwrap();
    assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 1);
    world.runtime.block_on(compute.delete_machine(&request.key)).unwrap();
    assert_eq!(world.fake.left(), Vec::<String>::new());
}

pub(crate) fn a_failed_reply_to_what_was_done_is_made_up_for_by_adopting() {
    let body = serde_json::json!({ "error": {
        "code": "server_error", "message": "Error within the API backend", "details": null,
    }});
    create_with(Fault::DoAndAnswer(json(500, &body)));
    let mut page = sam_providers::testkit::empty(502);
    *page.body_mut() = "<html><h1>502 Bad Gateway</h1></html>".into();
    create_with(Fault::DoAndAnswer(page));
    // The firewall's own reply is no other matter.
    let world = World::stacked();
    let request = world.request();
    world.fake.fail_next("POST", "/v1/firewalls", Fault::DoAndCut);
    world.create(&request).unwrap();
    assert_eq!(world.fake.left().len(), 4, "{:?}", world.fake.left());
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_fails_after_the_order_is_in_doubt_and_made_up_for() {
    for (method, path) in
        [("GET", "/v1/actions"), ("GET", "/v1/primary_ips"), ("PUT", "/v1/primary_ips")]
    {
        let world = World::bare();
        let request = world.request();
        let body = serde_json::json!({ "error": { "code": "forbidden", "message": "no" } });
        world.fake.fail_next(method, path, Fault::Refuse(json(403, &body)));
        let error = world.create(&request).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::Unknown), "{path}");
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 1);
        // Both addresses are marked by now, so they are found when they outlive the server.
        let id = world.fake.with(|hetzner| hetzner.servers())[0].id;
        world.fake.with(|hetzner| hetzner.keep_addresses_of(id));
        world.delete(&request.key);
        world.check();
    }
    // Trouble that may pass does not end the waiting.
    let world = World::bare();
    let request = world.request();
    for _ in 0..3 {
        world.fake.fail_next("GET", "/v1/actions", Fault::Cut);
    }
    world.create(&request).unwrap();
    assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].status, "running");
    world.delete(&request.key);
    world.check();
}

pub(crate) fn wherever_a_creation_ends_the_next_one_finds_one_machine() {
    for polls in 0.. {
        let world = World::bare();
        let request = world.request();
        let done = drop_after(&world.clock, polls, world.compute.create_machine(&request));
        // Some time passes before anybody looks again, or none.
        world.clock.advance(Duration::from_secs(polls as u64 % 3 * 5));
        let machine = world.create(&request).unwrap();
        let servers = world.fake.with(|hetzner| hetzner.servers());
        assert_eq!(servers.len(), 1, "after {polls} polls: {servers:?}");
        let owned = world.run(world.compute.owned().unwrap().list_owned(&ListOwned::default()));
        assert!(owned.unwrap().items.iter().any(|owned| owned.provider_id == machine.provider_id));
        world.delete(&request.key);
        world.check();
        if done.is_some() {
            assert!(polls > 10, "there are more points than {polls} at which it can end");
            return;
        }
    }
}

pub(crate) fn wherever_a_deletion_ends_the_next_one_finishes_it() {
    for polls in 0.. {
        let world = World::bare();
        let request = world.request();
        world.create(&request).unwrap();
        let done = drop_after(&world.clock, polls, world.compute.delete_machine(&request.key));
        world.delete(&request.key);
        world.check();
        if done.is_some() {
            assert!(polls > 10, "there are more points than {polls} at which it can end");
            return;
        }
    }
}

pub(crate) fn wherever_a_change_of_a_volume_ends_the_next_one_finishes_it() {
    for polls in 0.. {
        let world = World::bare();
        let machine = world.request();
        world.create(&machine).unwrap();
        let volumes = world.compute.volumes().unwrap();
        let asked = CreateVolume::new("data".to_owned(), 10, machine.labels.clone());
        let mut done = drop_after(&world.clock, polls, volumes.create_volume(&asked)).is_some();
        world.run(volumes.create_volume(&asked)).unwrap();
        done &= drop_after(&world.clock, polls, volumes.attach("data", &machine.key)).is_some();
        world.run(volumes.attach("data", &machine.key)).unwrap();
        done &= drop_after(&world.clock, polls, volumes.detach("data")).is_some();
        world.run(volumes.detach("data")).unwrap();
        done &= drop_after(&world.clock, polls, volumes.grow("data", 20)).is_some();
        assert_eq!(world.run(volumes.grow("data", 20)).unwrap().size_gib, 20);
        let listed = world.run(volumes.list_volumes(&machine.labels)).unwrap();
        assert_eq!(listed.len(), 1, "after {polls} polls: {listed:?}");
        done &= drop_after(&world.clock, polls, volumes.delete_volume("data")).is_some();
        world.run(volumes.delete_volume("data")).unwrap();
        world.delete(&machine.key);
        world.check();
        if done {
            assert!(polls > 5, "there are more points than {polls} at which it can end");
            return;
        }
    }
}

pub(crate) fn a_machine_that_is_not_listed_yet_is_not_made_twice() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|hetzner| hetzner.set_list_lag(Duration::from_secs(30)));
    let made = world.create(&request).unwrap();
    // It is there and not listed: the name is taken, and nobody knows by what.
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::Unknown));
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.create(&request).unwrap().provider_id, made.provider_id);
    world.clock.advance(Duration::from_secs(30));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn actions_that_take_long_do_not_hold_a_creation_up() {
    let world = World::stacked();
    let request = world.request();
    world.fake.with(|hetzner| hetzner.set_action_time(Duration::from_mins(3)));
    let before = world.clock.next_deadline_in();
    let started = world.fake.exchanges().len();
    let machine = world.create(&request).expect("it is under way");
    assert_eq!(before, None);
    assert!(world.fake.exchanges().len() - started < 25, "it is not asked all the time");
    assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].status, "initializing");
    assert_eq!(machine.provider_id, world.fake.with(|hetzner| hetzner.servers())[0].id.to_string());
    // A deletion has to wait for it, and says so.
    let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Conflict, Some("locked")));
    world.clock.advance(Duration::from_mins(6));
    world.fake.with(|hetzner| hetzner.set_action_time(Duration::from_secs(1)));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_creation_that_failed_meanwhile_is_noticed_when_it_is_repeated() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|hetzner| hetzner.fail_next_action("create_server", "server_error"));
    // The first call ends right after the order.
    let ordered = |world: &World| !world.fake.with(|hetzner| hetzner.servers()).is_empty();
    let mut polls = 0;
    while !ordered(&world) {
        polls += 1;
        assert!(drop_after(&world.clock, polls, world.compute.create_machine(&request)).is_none());
        assert!(polls < 100, "nothing is ordered");
    }
    world.clock.advance(Duration::from_secs(10));
    let error = world.create(&request).unwrap_err();
    assert_eq!(error.provider_code(), Some("action_failed"));
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert_eq!(error.retry(), Retry::After(Duration::from_mins(1)), "each attempt costs an hour");
    world.check();
    // The next one is a new one.
    world.create(&request).unwrap();
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_limit_within_a_creation_is_waited_for() {
    let world = World::stacked();
    let request = world.request();
    world.create(&world.request()).unwrap();
    for left in 0..8 {
        world.fake.with(|hetzner| hetzner.set_requests_left(left));
        // The layers wait a few times; the engine asks again after that.
        let mut tries = 0;
        while let Err(error) = world.create(&request) {
            tries += 1;
            assert_eq!(error.kind(), ErrorKind::RateLimited, "{left} left: {error:?}");
            assert!(tries < 5, "{left} left: {error:?}");
            world.clock.advance(Duration::from_secs(10));
        }
        assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 2);
        world.clock.advance(Duration::from_mins(1));
        world.delete(&request.key);
    }
    let refused = world.fake.exchanges();
    let refused = refused.iter().filter(|exchange| exchange.response.status() == 429).count();
    assert!(refused > 8, "the limit was met {refused} times");
}

pub(crate) fn a_name_that_somebody_else_has_is_left_alone() {
    let world = World::stacked();
    let request = world.request();
    let name = request.key.as_str();
    world.fake.with(|hetzner| hetzner.add_server(7, name, BTreeMap::new()));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    assert!(error.hint().unwrap().contains("sam-key"), "{error:?}");
    assert_eq!(world.run(world.compute.machine(&request.key)).unwrap(), None);
    let power = world.compute.power().unwrap();
    let switched = world.run(power.set_power(&request.key, sam_core::compute::Power::Off));
    assert_eq!(switched.unwrap_err().kind(), ErrorKind::NotFound);
    let listed = world.run(world.compute.list_machines(&ListMachines::default())).unwrap();
    assert_eq!(listed.items, []);
    assert_eq!(world.fake.left(), [format!("server {name}")]);
    assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].status, "running");
    // A volume of a name that is taken is no other matter.
    let other = World::bare();
    let volumes = other.compute.volumes().unwrap();
    let asked = |installation: &str| {
        let labels = Labels::default().with(Labels::INSTALLATION, installation).unwrap();
        CreateVolume::new("data".to_owned(), 10, labels)
    };
    other.run(volumes.create_volume(&asked("one"))).unwrap();
    let error = other.run(volumes.create_volume(&asked("two"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    world.check_contract();
}

pub(crate) fn a_machine_of_another_installation_is_left_alone() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    // The same key, as a copy of the store has it, in another installation.
    let labels = Labels::default().with(Labels::INSTALLATION, "copy").unwrap();
    let error = world.create(&request.clone().with_labels(labels)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    assert_eq!(world.fake.with(|hetzner| hetzner.servers().len()), 1);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_cannot_be_sent_is_refused_before_anything_is_bought() {
    let long = UserData::new(|_| Ok(Secret::new("x".repeat((32 << 10) + 1))));
    let refusing = UserData::new(|_| Err(sam_core::Error::new(ErrorKind::BadInput, "no script")));
    let with_label = |name: &str, value: &str| Labels::default().with(name, value).unwrap();
    let mut too_long = config();
    too_long.user_data = long;
    let mut no_script = config();
    no_script.user_data = refusing;
    let cases = [
        (too_long, Labels::default()),
        (no_script, Labels::default()),
        (config(), with_label("sam-key", "other")),
        (config(), with_label("-a", "b")),
        (config().with_locations(Vec::<String>::new()), Labels::default()),
    ];
    for (config, labels) in cases {
        let world = World::stacked_of(config);
        let error = world.create(&world.request().with_labels(labels)).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
        assert_eq!(world.fake.count("POST", "/"), 0, "{error:?}");
        world.check();
    }
    // Exactly as much as is allowed.
    let mut config = config();
    config.user_data = UserData::new(|_| Ok(Secret::new("x".repeat(32 << 10))));
    let world = World::of(config);
    world.create(&world.request()).unwrap();
}

pub(crate) fn a_machine_is_made_as_it_was_configured() {
    let world = World::of(
        config()
            .with_image("debian-13")
            .with_inbound([
                InboundRule::tcp("22").with_sources(["192.0.2.0/24"]),
                InboundRule::icmp(),
            ])
            .without_ipv4(),
    );
    let request = world.request().with_size(Size::Large);
    let machine = world.create(&request).unwrap();
    let server = world.fake.with(|hetzner| hetzner.servers()).remove(0);
    assert_eq!((&*server.image, &*server.server_type), ("debian-13", "cx43"));
    assert_eq!((server.firewalls, server.has_ipv4, &*server.location), (1, false, "fsn1"));
    assert_eq!(server.labels["sam-key"], request.key.as_str());
    let asked = world.fake.exchanges().len();
    assert!(asked <= 12, "a creation takes {asked} requests");
    assert_eq!(server.labels[Labels::INSTALLATION], INSTALLATION);
    assert!(server.user_data.contains(BOOT_TOKEN) && server.user_data.contains("control.example"));
    assert!(machine.addresses.iter().all(|address| address.ends_with("::1")), "{machine:?}");
    assert_eq!(machine.addresses.len(), 1);
    world.delete(&request.key);
    let asked = world.fake.exchanges().len() - asked;
    assert!(asked <= 10, "a deletion takes {asked} requests");
    world.check();
    let world = World::of(config().without_firewall());
    let request = world.request();
    let machine = world.create(&request).unwrap();
    assert_eq!(machine.addresses.len(), 2);
    assert_eq!(world.fake.count("POST", "/v1/firewalls"), 0);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn neither_token_is_shown_anywhere() {
    let world = World::stacked();
    let request = world.request();
    let mut shown = vec![format!("{:?} {} {:?}", world.compute, world.compute, config())];
    let said = format!("token {API_TOKEN} and {BOOT_TOKEN} are wrong");
    for status in [401, 403, 409, 422, 500] {
        let body = serde_json::json!({ "error": {
            "code": "unauthorized", "message": format!("token {API_TOKEN} is wrong"),
        }});
        world.fake.fail_next("POST", "/v1/servers", Fault::Refuse(json(status, &body)));
        let error = world.create(&request).unwrap_err();
        shown.push(format!("{error} {error:?} {} {:?}", Report::new(&error), error.hint()));
    }
    let machine = world.create(&request).unwrap();
    let owned =
        world.run(world.compute.owned().unwrap().list_owned(&ListOwned::default())).unwrap();
    shown.push(format!("{machine:?} {owned:?} {request:?} {:?}", user_data()));
    for (id, server) in world.fake.with(|hetzner| hetzner.servers()).iter().enumerate() {
        shown.push(format!("{id} {} {:?}", server.name, server.labels));
    }
    let shown = shown.join("\n");
    for token in [API_TOKEN, BOOT_TOKEN] {
        assert!(said.contains(token) && !shown.contains(token), "{token} is shown: {shown}");
    }
    // Where they belong they are.
    for exchange in world.fake.exchanges() {
        assert_eq!(exchange.request.headers()["authorization"], format!("Bearer {API_TOKEN}"));
        assert!(!exchange.request.uri().to_string().contains("canary"));
        let body = String::from_utf8_lossy(exchange.request.body()).into_owned();
        let is_order =
            exchange.request.method() == "POST" && exchange.request.uri().path() == "/v1/servers";
        assert_eq!(body.contains(BOOT_TOKEN), is_order, "{body}");
        assert!(!body.contains(API_TOKEN));
    }
    world.delete(&request.key);
    world.check();
}
