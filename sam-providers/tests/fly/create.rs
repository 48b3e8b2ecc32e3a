//! Creating: lost replies, crashes, names that are taken, regions that are sold out, and what is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use sam_core::compute::{Labels, ListMachines, ListOwned, OwnedResource, Power, Size};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, ErrorKind, Report, Retry, Secret};
use sam_providers::api::UserData;
use sam_providers::fly::CpuKind;
use sam_providers::testkit::{Fault, empty, json};

use crate::drive::drop_after;
use crate::world::{API_TOKEN, APP, BOOT_TOKEN, IMAGE, INSTALLATION, Wired, World, config, left};

const MACHINES: &str = "/v1/apps/sam-tests/machines";
const VOLUMES: &str = "/v1/apps/sam-tests/volumes";
const SECRETS: &str = "/v1/apps/sam-tests/secrets";

/// Sees that a key has one machine with one volume and one secret.
fn one_of_each(world: &World) {
    let left = left(&world.fake);
    let count = |sort: &str| left.iter().filter(|thing| thing.starts_with(sort)).count();
    assert_eq!([count("machine"), count("volume"), count("secret")], [1, 1, 1], "{left:?}");
}

/// Creates with a fault, through the layers, and sees that one machine came of it.
fn create_with(path: &str, fault: Fault) {
    let world = World::stacked();
    let request = world.request();
    world.fake.fail_next("POST", path, fault);
    let mut tries = 0;
    let machine = loop {
        match world.create(&request) {
            Ok(machine) => break machine,
            Err(error) => assert!(error.retry() != Retry::Never, "{error:?}"),
        }
        tries += 1;
        assert!(tries < 5, "it is not adopted");
        world.clock.advance(Duration::from_secs(2));
    };
    assert_eq!(world.fake.faults_left(), 0);
    one_of_each(&world);
    assert_eq!(machine.provider_id, world.fake.with(|fly| fly.machines())[0].id);
    assert_eq!(machine.labels, request.labels);
    world.delete(&request.key);
    world.check();
}

fn ambiguous() -> Fault {
    let body = serde_json::json!({ "error": "deadline_exceeded: machine creation took too long" });
    Fault::DoAndAnswer(json(408, &body))
}

pub(crate) fn a_reply_that_was_lost_is_made_up_for_by_adopting() {
    for path in [MACHINES, VOLUMES, SECRETS, "/v1/apps"] {
        create_with(path, Fault::DoAndCut);
        create_with(path, Fault::DoAndHang);
        create_with(path, Fault::Cut);
        create_with(path, ambiguous());
        let mut page = empty(502);
        *page.body_mut() = "<html><h1>502 Bad Gateway</h1></html>".into();
        create_with(path, Fault::DoAndAnswer(page));
        let body = serde_json::json!({ "error": "internal server error" });
        create_with(path, Fault::DoAndAnswer(json(500, &body)));
    }
}

pub(crate) fn an_ambiguous_answer_is_in_doubt_and_looked_up_before_it_is_repeated() {
    let world = World::bare();
    let request = world.request();
    world.create(&world.request()).unwrap();
    world.fake.fail_next("POST", MACHINES, ambiguous());
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert_eq!(error.provider_code(), Some("deadline_exceeded"));
    let posts = world.fake.count("POST", MACHINES);
    let machine = world.create(&request).unwrap();
    assert_eq!(world.fake.count("POST", MACHINES), posts, "it was looked up");
    assert!(world.fake.with(|fly| fly.machines()).iter().any(|it| it.id == machine.provider_id));
    assert_eq!(world.fake.with(|fly| fly.machines().len()), 2);
}

pub(crate) fn a_reply_that_breaks_off_on_the_wire_is_made_up_for() {
    let world = Wired::new();
    let (request, compute) = (world.request(), world.compute());
    let create = || world.runtime.block_on(compute.create_machine(&request));
    world.fake.fail_next("POST", MACHINES, Fault::DoAndCut);
    let error = create().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    world.fake.fail_next("GET", MACHINES, Fault::DoAndCut);
    let error = create().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    create().unwrap();
    assert_eq!(world.fake.with(|fly| fly.machines().len()), 1);
    world.runtime.block_on(compute.delete_machine(&request.key)).unwrap();
    assert_eq!(left(&world.fake), Vec::<String>::new());
}

pub(crate) fn wherever_a_creation_ends_the_next_one_finds_one_machine() {
    for polls in 0.. {
        let world = World::bare();
        let request = world.request();
        let done = drop_after(&world.clock, polls, world.compute.create_machine(&request));
        // Some time passes before anybody looks again, or none.
        world.clock.advance(Duration::from_secs(polls as u64 % 3 * 5));
        // Whatever is there by now is owned.
        let labels = Labels::default().with(Labels::INSTALLATION, INSTALLATION).unwrap();
        let things = left(&world.fake).len();
        let (mut listed, mut query) = (0, ListOwned::new(labels));
        loop {
            let page = world.run(world.compute.owned().unwrap().list_owned(&query)).unwrap();
            listed += page.items.len();
            assert!(page.items.iter().all(|it| it.key.as_deref() == Some(request.key.as_str())));
            let Some(next) = page.next else { break };
            query = query.with_after(Some(next));
        }
        assert_eq!(listed, things, "after {polls} polls");
        let machine = world.create(&request).unwrap();
        one_of_each(&world);
        assert_eq!(machine.labels, request.labels);
        world.delete(&request.key);
        world.check();
        if done.is_some() {
            assert!(polls > 10, "there are more points than {polls} at which it can end");
            return;
        }
    }
}

pub(crate) fn wherever_a_change_ends_the_next_one_finishes_it() {
    for polls in 0.. {
        let world = World::bare();
        let request = world.request();
        world.create(&request).unwrap();
        let power = world.compute.power().unwrap();
        let mut done = true;
        for state in [Power::Off, Power::On] {
            let switched = power.set_power(&request.key, state);
            done &= drop_after(&world.clock, polls, switched).is_some();
            // A lease that was left behind is waited for.
            world.run(power.set_power(&request.key, state)).unwrap();
            let machine = world.run(world.compute.machine(&request.key)).unwrap().unwrap();
            assert_eq!(machine.power, state, "after {polls} polls");
        }
        let deleted = world.compute.delete_machine(&request.key);
        done &= drop_after(&world.clock, polls, deleted).is_some();
        world.delete(&request.key);
        world.check();
        if done {
            assert!(polls > 10, "there are more points than {polls} at which it can end");
            return;
        }
    }
}

pub(crate) fn a_machine_that_is_not_listed_yet_is_not_made_twice() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|fly| fly.set_list_lag(Duration::from_secs(30)));
    let made = world.create(&request).unwrap();
    // It is there and not listed: the name is taken, and nobody knows by what.
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::Unknown));
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.create(&request).unwrap().provider_id, made.provider_id);
    one_of_each(&world);
    world.clock.advance(Duration::from_secs(30));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_name_that_somebody_else_has_is_left_alone() {
    let world = World::stacked();
    let request = world.request();
    let name = request.key.as_str();
    // Even one with our installation's label, which people may copy: it lacks the key.
    let theirs = BTreeMap::from([(Labels::INSTALLATION.to_owned(), INSTALLATION.to_owned())]);
    world.fake.with(|fly| fly.add_machine(APP, ["m7", name, "started"], &theirs));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    assert!(error.hint().unwrap().contains("sam-key"), "{error:?}");
    assert_eq!(world.run(world.compute.machine(&request.key)).unwrap(), None);
    let switched = world.run(world.compute.power().unwrap().set_power(&request.key, Power::Off));
    assert_eq!(switched.unwrap_err().kind(), ErrorKind::NotFound);
    world.delete(&request.key);
    let owned = world.compute.owned().unwrap();
    let theirs = OwnedResource::new("machine", "m7".to_owned(), Labels::default());
    let error = world.run(owned.delete_owned(&theirs)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let listed = world.run(world.compute.list_machines(&ListMachines::default())).unwrap();
    assert_eq!(listed.items, []);
    assert_eq!(left(&world.fake), [format!("machine {name}")]);
    assert_eq!(world.fake.with(|fly| fly.machines())[0].state, "started");
    world.check_contract();
}

pub(crate) fn an_app_is_of_one_installation() {
    let world = World::bare();
    let request = world.request();
    let labels =
        |installation: &str| Labels::default().with(Labels::INSTALLATION, installation).unwrap();
    let error = world.create(&request.clone().with_labels(labels("copy"))).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
    assert_eq!(world.fake.exchanges().len(), 0);
    // A machine that came from elsewhere is not adopted.
    let key = request.key.as_str();
    let theirs = BTreeMap::from([
        ("sam-key".to_owned(), key.to_owned()),
        (Labels::INSTALLATION.to_owned(), "copy".to_owned()),
    ]);
    world.fake.with(|fly| fly.add_machine(APP, ["m7", key, "started"], &theirs));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
}

pub(crate) fn an_app_of_another_customer_is_left_alone() {
    let world = World::stacked();
    world.fake.with(|fly| fly.take_app(APP));
    let error = world.create(&world.request()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    assert_eq!((error.provider_code(), error.effect()), (Some("name_taken"), Effect::NotApplied));
    assert!(error.hint().unwrap().contains("choose another"), "{error:?}");
    assert_eq!(world.fake.left(), Vec::<String>::new());
    // One that our token may use, but that is another organisation's.
    let world = World::stacked();
    let app = serde_json::json!({ "name": APP, "organization": { "slug": "else" } });
    world.fake.with(|fly| fly.add_app(APP));
    world.fake.fail_next("GET", "/v1/apps/sam-tests", Fault::Refuse(json(200, &app)));
    let error = world.create(&world.request()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    world.check();
}

pub(crate) fn a_fresh_app_is_found_by_its_cookie_and_waited_for_without() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|fly| fly.set_app_lag(Duration::from_hours(1), true));
    world.create(&request).unwrap();
    world.delete(&request.key);
    world.check();
    let world = World::bare();
    let request = world.request();
    world.fake.with(|fly| fly.set_app_lag(Duration::from_secs(10), false));
    // The list of machines is asked for until it is there.
    world.create(&request).unwrap();
    world.delete(&request.key);
    world.check();
    let world = World::bare();
    world.fake.with(|fly| fly.set_app_lag(Duration::from_hours(1), false));
    let error = world.create(&world.request()).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(error.retry() != Retry::Never, "{error:?}");
    world.check();
}

pub(crate) fn what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed() {
    for sold_out in ["ams", "volumes of ams"] {
        let world = World::stacked();
        world.fake.with(|fly| fly.set_sold_out(sold_out, true));
        let request = world.request();
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|fly| fly.machines())[0].region, "fra");
        one_of_each(&world);
        // Somebody who asks for a region gets that one, or nothing.
        let picky = world.request().with_region(Some("ams".to_owned()));
        let error = world.create(&picky).unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::CapacityUnavailable, Effect::NotApplied)
        );
        assert_eq!(error.provider_code(), Some("insufficient_capacity"));
        assert!(error.context().iter().any(|(name, value)| *name == "region" && value == "ams"));
        one_of_each(&world);
        world.delete(&request.key);
        // Each region is asked once.
        world.fake.with(|fly| fly.set_sold_out("fra", true));
        let before = world.fake.count("POST", MACHINES);
        let error = world.create(&world.request()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
        let asked = world.fake.count("POST", MACHINES) - before;
        assert_eq!(asked, if sold_out == "ams" { 2 } else { 1 });
        world.check();
    }
}

pub(crate) fn a_machine_that_cannot_be_started_is_taken_away() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|fly| fly.fail_next_starts(1));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Unavailable, Some("failed")));
    assert_eq!(
        (error.effect(), error.retry()),
        (Effect::NotApplied, Retry::After(Duration::from_mins(1)))
    );
    assert!(error.hint().unwrap().contains("image"), "{error:?}");
    world.check();
    world.create(&request).unwrap();
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_machine_that_takes_long_does_not_hold_a_creation_up() {
    let world = World::stacked();
    let request = world.request();
    world.fake.with(|fly| fly.set_step_time(Duration::from_mins(3)));
    world.create(&request).expect("it is under way");
    assert_eq!(world.fake.with(|fly| fly.machines())[0].state, "created");
    let waits = world.fake.exchanges();
    let waits = waits.iter().filter(|exchange| exchange.request.uri().path().ends_with("/wait"));
    assert!((1..12).contains(&waits.count()), "it is not asked all the time");
    world.fake.with(|fly| fly.set_step_time(Duration::from_secs(1)));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_cannot_be_sent_is_refused_before_anything_is_bought() {
    let with_label = |name: &str, value: &str| {
        let labels = Labels::default().with(Labels::INSTALLATION, INSTALLATION).unwrap();
        labels.with(name, value).unwrap()
    };
    let plain = with_label("a", "b");
    let mut too_long = config();
    too_long.boot = UserData::new(|_| Ok(Secret::new("x".repeat((32 << 10) + 1))));
    let mut no_file = config();
    no_file.boot = UserData::new(|_| Err(sam_core::Error::new(ErrorKind::BadInput, "no")));
    let cases = [
        (too_long, plain.clone()),
        (no_file, plain.clone()),
        (config(), with_label("sam-key", "other")),
        (config(), with_label("-a", "b")),
        (config().with_regions(Vec::<String>::new()), plain.clone()),
        (config().with_disk(0, "/data"), plain.clone()),
        (config().with_disk(501, "/data"), plain.clone()),
        (config().with_disk(1, "data"), plain),
    ];
    for (config, labels) in cases {
        let world = World::stacked_of(config);
        let error = world.create(&world.request().with_labels(labels)).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
        assert_eq!(world.fake.count("POST", "/"), 0, "{error:?}");
    }
}

pub(crate) fn a_machine_is_made_as_it_was_configured() {
    let config = config()
        .with_command(["/bin/agent", "run"])
        .with_disk(33, "/data")
        .with_cpu_kind(CpuKind::Performance);
    let world = World::of(config);
    let catalog = world.run(world.compute.catalog()).unwrap();
    assert_eq!(catalog.regions, ["ams", "fra"]);
    for (size, cpus, memory) in
        [(Size::Small, 2, 4_096), (Size::Medium, 4, 8_192), (Size::Large, 8, 16_384)]
    {
        let request = world.request().with_size(size);
        world.create(&request).unwrap();
        let machine = world.fake.with(|fly| fly.machines()).remove(0);
        let guest =
            serde_json::json!({ "cpu_kind": "performance", "cpus": cpus, "memory_mb": memory });
        assert_eq!(machine.config["guest"], guest);
        assert_eq!(machine.config["image"], IMAGE);
        assert_eq!(machine.config["mounts"][0]["path"], "/data");
        let process =
            serde_json::json!([{ "exec": ["/bin/agent", "run"], "ignore_app_secrets": true }]);
        assert_eq!(machine.config["processes"], process);
        let offer = catalog.sizes.iter().find(|offer| offer.size == size).unwrap();
        assert_eq!(
            (offer.cpus, offer.memory_mib, offer.price_micros_per_hour),
            (cpus, memory, None)
        );
        world.delete(&request.key);
    }
    let asked: Vec<_> = world.fake.exchanges();
    let volumes = asked
        .iter()
        .filter(|it| it.request.method() == "POST" && it.request.uri().path() == VOLUMES);
    for volume in volumes {
        let body: serde_json::Value = serde_json::from_slice(volume.request.body()).unwrap();
        assert_eq!(body["size_gb"], 33);
    }
    world.check();
}

/// Whether a text holds the token of the first boot, plain or as it is sent: its encoding depends on
/// where in the file it stands, so all three are looked for.
fn shows(text: &str) -> bool {
    [BOOT_TOKEN, "Y2FuYXJ5", "NhbmFye", "jYW5hcn"].iter().any(|form| text.contains(form))
}

pub(crate) fn neither_token_is_shown_anywhere() {
    let world = World::stacked();
    let request = world.request();
    let made = world.create(&request).unwrap();
    let owned = world.run(world.compute.owned().unwrap().list_owned(&ListOwned::default()));
    let listed = world.run(world.compute.list_machines(&ListMachines::default()));
    world.fake.fail_next(
        "POST",
        MACHINES,
        Fault::Refuse(json(
            403,
            &serde_json::json!({
                "error": format!("the token {API_TOKEN} was no good"),
            }),
        )),
    );
    let error = world.create(&world.request()).unwrap_err();
    let said = format!(
        "{made:?} {owned:?} {listed:?} {error:?} {} {:?} {:?}",
        Report::new(&error),
        world.compute,
        config()
    );
    assert!(!said.contains(API_TOKEN) && !shows(&said), "{said}");
    // Fly itself shows it to nobody: it is in one request, and in no answer.
    let mut told = 0;
    for exchange in world.fake.exchanges() {
        let text = String::from_utf8_lossy(exchange.request.body()).into_owned();
        let answer = String::from_utf8_lossy(exchange.response.body()).into_owned();
        assert!(exchange.is_fault || !shows(&answer), "{answer}");
        if shows(&text) {
            told += 1;
            assert!(exchange.request.uri().path().starts_with(SECRETS), "{exchange:?}");
        }
    }
    assert_eq!(told, 2, "once for each machine");
    // And it is what the machine is told, in the form of Fly's files.
    let name =
        left(&world.fake).into_iter().find_map(|it| it.strip_prefix("secret ").map(str::to_owned));
    let value = world.fake.with(|fly| fly.secret(APP, &name.unwrap()).map(str::to_owned)).unwrap();
    assert!(shows(&value) && !value.contains(BOOT_TOKEN), "{value}");
}
