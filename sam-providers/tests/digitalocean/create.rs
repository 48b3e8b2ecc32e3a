//! Creating: lost replies, crashes, orders that cross, and what is sent.

use std::sync::Arc;
use std::time::Duration;

use sam_core::compute::{Labels, ListOwned, Size};
use sam_core::engine::Stepped;
use sam_core::entropy::SeededEntropy;
use sam_core::store::MemoryStore;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::volume::CreateVolume;
use sam_core::workspace::{NewWorkspace, WorkspaceState};
use sam_core::{Caller, Effect, ErrorKind, Report, Retry, Sam, Secret};
use sam_providers::api::UserData;
use sam_providers::testkit::{Fault, empty, json};

use crate::drive::drop_after;
use crate::world::{API_TOKEN, BOOT_TOKEN, INSTALLATION, World, config, user_data};

const DROPLETS: &str = "/v2/droplets";

fn refused(status: u16, id: &str) -> http::Response<bytes::Bytes> {
    json(status, &serde_json::json!({ "id": id, "message": "it says so" }))
}

/// Creates with a fault, through the layers, and sees that one machine came of it.
fn create_with(fault: Fault) {
    let world = World::stacked();
    let request = world.request();
    world.fake.fail_next("POST", DROPLETS, fault);
    let machine = world.create(&request).expect("it is adopted");
    assert_eq!(world.fake.faults_left(), 0);
    let droplets = world.fake.with(|vendor| vendor.droplets());
    assert_eq!(droplets.len(), 1, "{droplets:?}");
    assert_eq!(machine.provider_id, droplets[0].id.to_string());
    assert_eq!(machine.labels, request.labels);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_reply_that_was_lost_is_made_up_for_by_adopting() {
    create_with(Fault::DoAndCut);
    create_with(Fault::DoAndHang);
    create_with(Fault::Cut);
    create_with(Fault::DoAndAnswer(refused(500, "server_error")));
    let mut page = empty(502);
    *page.body_mut() = "<html><h1>502 Bad Gateway</h1></html>".into();
    create_with(Fault::DoAndAnswer(page));
}

pub(crate) fn of_two_orders_the_older_stays() {
    // Somebody else's order for the same key comes just before ours, or just after.
    for before in [true, false] {
        let world = World::stacked();
        let request = world.request();
        world.fake.with(|vendor| vendor.twin_next_order(before));
        let machine = world.create(&request).unwrap();
        let droplets = world.fake.with(|vendor| vendor.droplets());
        assert_eq!(droplets.len(), 1, "{droplets:?}");
        assert_eq!(machine.provider_id, droplets[0].id.to_string());
        assert_eq!(droplets[0].status, "active");
        assert!(world.fake.count("DELETE", DROPLETS) > 0);
        assert!(!machine.addresses.is_empty(), "{machine:?}");
        world.delete(&request.key);
        world.check();
    }
    // Two calls at once agree on one.
    let world = World::bare();
    let request = world.request();
    let both = async {
        let (one, other) =
            (world.compute.create_machine(&request), world.compute.create_machine(&request));
        futures_util::join!(one, other)
    };
    let (one, other) = world.run(both);
    assert_eq!(one.unwrap().provider_id, other.unwrap().provider_id);
    assert_eq!(world.fake.count("POST", DROPLETS), 2, "both have ordered");
    assert_eq!(world.fake.with(|vendor| vendor.droplets()).len(), 1);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_duplicate_of_another_call_is_deleted_when_the_creation_is_repeated() {
    // The list is late, so neither call sees the other's.
    let world = World::bare();
    let request = world.request();
    world.fake.with(|vendor| vendor.set_list_lag(Duration::from_mins(1)));
    let first = world.create(&request).unwrap();
    world.create(&request).unwrap();
    assert_eq!(world.fake.with(|vendor| vendor.droplets()).len(), 2);
    world.clock.advance(Duration::from_mins(1));
    // Every call means the oldest.
    let shown = world.run(world.compute.machine(&request.key)).unwrap().unwrap();
    assert_eq!(shown.provider_id, first.provider_id);
    assert_eq!(world.create(&request).unwrap().provider_id, first.provider_id);
    assert_eq!(world.fake.with(|vendor| vendor.droplets()).len(), 1);
    // What could not be deleted is in doubt, and not forgotten.
    let world = World::bare();
    let request = world.request();
    world.fake.with(|vendor| vendor.twin_next_order(false));
    world.fake.fail_next("DELETE", DROPLETS, Fault::Refuse(refused(403, "forbidden")));
    let error = world.create(&request).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::Unknown));
    world.create(&request).unwrap();
    assert_eq!(world.fake.with(|vendor| vendor.droplets()).len(), 1);
    // A deletion is of all of them.
    let world = World::bare();
    let request = world.request();
    world.fake.with(|vendor| vendor.twin_next_order(false));
    world.fake.fail_next("POST", DROPLETS, Fault::DoAndCut);
    world.create(&request).unwrap_err();
    assert_eq!(world.fake.left().len(), 2);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn wherever_a_creation_ends_the_next_one_finds_one_machine() {
    for polls in 0.. {
        let world = World::bare();
        let request = world.request();
        if polls % 2 == 1 {
            world.fake.with(|vendor| vendor.twin_next_order(polls % 4 == 1));
        }
        let done = drop_after(&world.clock, polls, world.compute.create_machine(&request));
        // Some time passes before anybody looks again, or none.
        world.clock.advance(Duration::from_secs(polls as u64 % 3 * 5));
        let machine = world.create(&request).unwrap();
        let droplets = world.fake.with(|vendor| vendor.droplets());
        assert_eq!(droplets.len(), 1, "after {polls} polls: {droplets:?}");
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
            assert!(polls > 5, "there are more points than {polls} at which it can end");
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

/// The engine's own retries and its sweep, at a vendor that fails.
pub(crate) fn whatever_fails_no_life_leaves_anything() {
    const SEEDS: u64 = 20;
    let (mut came_up, mut struck) = (0, 0);
    for seed in 0..SEEDS {
        let world = World::bare();
        let clock = Arc::new(world.clock.clone());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let sam = Sam::builder(store, Arc::clone(&world.compute)).clock(clock).build().unwrap();
        let chance = SeededEntropy::new(seed);
        let plan = |count: u64| {
            for _ in 0..count {
                let fault = match chance.below(6) {
                    0 => Fault::DoAndCut,
                    1 => Fault::Cut,
                    2 => Fault::DoAndHang,
                    3 => Fault::DoAndAnswer(empty(502)),
                    4 => Fault::DoAndAnswer(refused(500, "server_error")),
                    _ => Fault::Refuse(refused(429, "too_many_requests")),
                };
                let method = ["GET", "POST", "DELETE"][usize::try_from(chance.below(3)).unwrap()];
                world.fake.fail_next(method, "/v2/", fault);
            }
            usize::try_from(count).unwrap()
        };
        let state = |id| world.run(sam.workspace(id)).unwrap().unwrap().record.state;
        let step = |dies: bool| {
            if dies && chance.below(5) == 0 {
                let polls = usize::try_from(chance.below(30)).unwrap();
                let _died = drop_after(&world.clock, polls, sam.step());
                world.clock.advance(Duration::from_secs(chance.below(20)));
            } else if let Stepped::Idle { next_due_in } = world.run(sam.step()).unwrap() {
                world.clock.advance(next_due_in.unwrap_or(Duration::from_secs(1)));
            }
        };
        let ann = Caller::named("ann");
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let id = world.run(sam.create_workspace(new, &ann)).unwrap().record.id;
        world.fake.with(|vendor| vendor.twin_next_order(seed % 2 == 0));
        let mut planned = plan(chance.below(16));
        while ![WorkspaceState::Running, WorkspaceState::Failed].contains(&state(id)) {
            step(true);
        }
        came_up += u64::from(state(id) == WorkspaceState::Running);
        world.run(sam.delete_workspace(id, &ann)).unwrap();
        planned += plan(chance.below(8));
        for _ in 0..30 {
            step(true);
        }
        struck += planned - world.fake.faults_left();
        // What was planned and never met would meet nobody's expectations now.
        world.fake.forget_faults();
        let mut steps = 0;
        while state(id) != WorkspaceState::Deleted || !world.fake.left().is_empty() {
            step(false);
            steps += 1;
            assert!(steps < 5_000, "seed {seed}: {:?}, left {:?}", state(id), world.fake.left());
        }
        world.check();
    }
    // Neither is everything in vain, nor does nothing go wrong.
    let told = format!("{came_up} of {SEEDS} came up, {struck} faults were met");
    assert!(came_up >= SEEDS / 4 && struck > 60, "{told}");
}

pub(crate) fn a_creation_that_failed_is_taken_back() {
    let world = World::bare();
    let request = world.request();
    world.fake.with(|vendor| vendor.fail_next_action("create"));
    let error = world.create(&request).unwrap_err();
    assert_eq!(error.provider_code(), Some("errored"));
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert_eq!(error.retry(), Retry::After(Duration::from_mins(1)));
    world.check();
    // One that ended before it was heard of is noticed when it is repeated.
    world.fake.with(|vendor| vendor.fail_next_action("create"));
    world.fake.fail_next("POST", DROPLETS, Fault::DoAndCut);
    world.create(&request).unwrap_err();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.create(&request).unwrap_err().provider_code(), Some("errored"));
    world.check();
    world.create(&request).unwrap();
    world.delete(&request.key);
    world.check();
}

pub(crate) fn actions_that_take_long_do_not_hold_a_creation_up() {
    let world = World::stacked();
    let request = world.request();
    world.fake.with(|vendor| vendor.set_action_time(Duration::from_mins(3)));
    let machine = world.create(&request).expect("it is under way");
    assert!(world.fake.exchanges().len() < 20, "it is not asked all the time");
    assert_eq!(world.fake.with(|vendor| vendor.droplets())[0].status, "new");
    assert_eq!(machine.addresses, Vec::<String>::new());
    world.clock.advance(Duration::from_mins(3));
    let machine = world.run(world.compute.machine(&request.key)).unwrap().unwrap();
    assert_eq!(machine.addresses.len(), 2, "public ones of both versions");
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_machine_of_another_installation_is_left_alone() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    // The same key, as a copy of the store has it, in another installation.
    let labels = Labels::default().with(Labels::INSTALLATION, "copy").unwrap();
    let error = world.create(&request.clone().with_labels(labels)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
    assert_eq!(world.fake.with(|vendor| vendor.droplets().len()), 1);
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_cannot_be_sent_is_refused_before_anything_is_bought() {
    let long = UserData::new(|_| Ok(Secret::new("x".repeat((64 << 10) + 1))));
    let with_label = |name: &str, value: &str| Labels::default().with(name, value).unwrap();
    let mut too_long = config();
    too_long.user_data = long;
    let cases = [
        (too_long, Labels::default()),
        (config(), with_label("sam-key", "other")),
        (config().with_regions(Vec::<String>::new()), Labels::default()),
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
    config.user_data = UserData::new(|_| Ok(Secret::new("x".repeat(64 << 10))));
    let world = World::of(config);
    world.create(&world.request()).unwrap();
}

pub(crate) fn a_machine_is_made_as_it_was_configured() {
    let world = World::of(config().with_image("debian-13-x64"));
    // Somebody wrote one of our tags in capitals before.
    world.fake.with(|vendor| vendor.use_tag("SAM-Installation:Tests"));
    let request = world.request().with_size(Size::Large);
    let machine = world.create(&request).unwrap();
    assert_eq!(machine.labels, request.labels);
    let asked = world.fake.exchanges().len();
    assert!(asked <= 10, "a creation takes {asked} requests");
    let droplet = world.fake.with(|vendor| vendor.droplets()).remove(0);
    assert_eq!((&*droplet.image, &*droplet.size), ("debian-13-x64", "s-8vcpu-16gb"));
    assert_eq!((&*droplet.region, &*droplet.name), ("fra1", request.key.as_str()));
    assert_eq!(droplet.tags[1], format!("sam-key:{}", request.key));
    assert_eq!(droplet.tags[2], "SAM-Installation:Tests", "{INSTALLATION}");
    assert!(droplet.user_data.contains(BOOT_TOKEN));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn neither_token_is_shown_anywhere() {
    let world = World::stacked();
    let request = world.request();
    let mut shown = vec![format!("{:?} {} {:?}", world.compute, world.compute, config())];
    for status in [401, 403, 409, 422, 500] {
        let said = format!("token {API_TOKEN} is wrong");
        let body = serde_json::json!({ "id": "unauthorized", "message": said });
        world.fake.fail_next("POST", DROPLETS, Fault::Refuse(json(status, &body)));
        if let Err(error) = world.create(&request) {
            shown.push(format!("{error} {error:?} {} {:?}", Report::new(&error), error.hint()));
        }
    }
    let machine = world.create(&request).unwrap();
    let owned =
        world.run(world.compute.owned().unwrap().list_owned(&ListOwned::default())).unwrap();
    shown.push(format!("{machine:?} {owned:?} {request:?} {:?}", user_data()));
    shown.extend(
        world.fake.with(|vendor| vendor.droplets()).iter().map(|it| format!("{:?}", it.tags)),
    );
    let shown = shown.join("\n");
    assert!(shown.contains("answered 401"), "{shown}");
    for token in [API_TOKEN, BOOT_TOKEN] {
        assert!(!shown.contains(token), "{token} is shown: {shown}");
    }
    // Where they belong they are.
    for exchange in world.fake.exchanges() {
        assert_eq!(exchange.request.headers()["authorization"], format!("Bearer {API_TOKEN}"));
        assert!(!exchange.request.uri().to_string().contains("canary"));
        let body = String::from_utf8_lossy(exchange.request.body()).into_owned();
        let (method, path) = (exchange.request.method(), exchange.request.uri().path());
        assert_eq!(body.contains(BOOT_TOKEN), method == "POST" && path == DROPLETS, "{body}");
        assert!(!body.contains(API_TOKEN));
    }
    world.delete(&request.key);
    world.check();
}
