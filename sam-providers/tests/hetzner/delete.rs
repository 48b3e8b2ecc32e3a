//! Deleting: what must go, what must stay, and lists that change while they are read.

use std::collections::BTreeMap;
use std::time::Duration;

use sam_core::compute::{Deletion, ListMachines, ListOwned, OwnedResource, Power, Size};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{ErrorKind, Retry};
use sam_providers::testkit::{Fault, json};

use crate::drive::drop_after;
use crate::world::{World, config};

pub(crate) fn a_machine_that_is_still_listed_is_not_gone() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    world.fake.with(|hetzner| hetzner.set_list_lag(Duration::from_mins(1)));
    world.clock.advance(Duration::from_mins(1));
    let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deletion, Deletion::InProgress, "the list shows it still");
    assert!(world.fake.with(|hetzner| hetzner.servers()).is_empty());
    world.clock.advance(Duration::from_mins(1));
    let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deletion, Deletion::Gone);
    world.check();
}

pub(crate) fn addresses_and_firewalls_do_not_outlive_their_machine() {
    let world = World::bare();
    let request = world.request();
    let machine = world.create(&request).unwrap();
    let owned = world.compute.owned().unwrap();
    let listed = |world: &World| {
        let (mut all, mut query) = (Vec::new(), ListOwned::new(request.labels.clone()));
        loop {
            let page = world.run(owned.list_owned(&query)).unwrap();
            all.extend(page.items);
            match page.next {
                None => return all,
                next => query.after = next,
            }
        }
    };
    let all = listed(&world);
    let sorts: Vec<_> = all.iter().map(|resource| &*resource.sort).collect();
    assert_eq!(sorts, ["machine", "address", "address", "firewall"]);
    for resource in &all {
        assert_eq!(resource.key.as_deref(), Some(request.key.as_str()));
        assert_eq!(resource.labels, request.labels);
    }
    // While the machine needs them, they stay.
    for resource in &all[1..] {
        let error = world.run(owned.delete_owned(resource)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{resource:?}");
    }
    // Somebody lets the addresses outlive it, and deletes it elsewhere.
    let id = machine.provider_id.parse().unwrap();
    world.fake.with(|hetzner| hetzner.keep_addresses_of(id));
    let other =
        OwnedResource::new(OwnedResource::MACHINE, machine.provider_id, request.labels.clone());
    world.run(owned.delete_owned(&other)).unwrap();
    let left = listed(&world);
    assert_eq!(left.len(), 3, "{left:?}");
    world.delete(&request.key);
    assert_eq!(listed(&world), []);
    world.check();
}

pub(crate) fn what_a_creation_left_behind_goes_with_the_key() {
    // The creation ends when there is a firewall and no server yet.
    for polls in 0..100 {
        let world = World::bare();
        let request = world.request();
        let create = world.compute.create_machine(&request);
        assert!(drop_after(&world.clock, polls, create).is_none());
        if !world.fake.left().is_empty() {
            assert_eq!(world.fake.left(), [format!("firewall {}", request.key)]);
            world.delete(&request.key);
            return world.check();
        }
    }
    panic!("nothing was ever bought");
}

pub(crate) fn a_protected_machine_is_not_tried_again() {
    let world = World::stacked();
    let request = world.request();
    let id = world.create(&request).unwrap().provider_id.parse().unwrap();
    world.fake.with(|hetzner| hetzner.protect_server(id, true));
    let before = world.fake.count("DELETE", "/");
    let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Never));
    assert_eq!(error.provider_code(), Some("protected"));
    assert!(error.hint().unwrap().contains("protection"), "{error:?}");
    assert_eq!(world.fake.count("DELETE", "/") - before, 1);
    world.fake.with(|hetzner| hetzner.protect_server(id, false));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn a_locked_machine_is_waited_for() {
    let world = World::bare();
    let request = world.request();
    let id = world.create(&request).unwrap().provider_id.parse().unwrap();
    world.fake.with(|hetzner| hetzner.lock_server(id, Duration::from_secs(8)));
    assert_eq!(world.run(world.compute.delete_machine(&request.key)).unwrap(), Deletion::Gone);
    // One that stays locked is told, and may be tried again.
    let id = world.create(&request).unwrap().provider_id.parse().unwrap();
    world.fake.with(|hetzner| hetzner.lock_server(id, Duration::from_mins(10)));
    let power = world.compute.power().unwrap();
    for error in [
        world.run(world.compute.delete_machine(&request.key)).unwrap_err(),
        world.run(power.set_power(&request.key, Power::Off)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Conflict, Some("locked")));
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(2)));
    }
    world.clock.advance(Duration::from_mins(10));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_is_not_ours_is_never_deleted() {
    let world = World::stacked();
    let request = world.request();
    let name = request.key.as_str();
    let marked = |key: &str| BTreeMap::from([("sam-key".to_owned(), key.to_owned())]);
    // The name without the mark, the mark without the name, and neither.
    world.fake.with(|hetzner| {
        hetzner.add_server(7, name, BTreeMap::new());
        hetzner.add_server(8, "web-1", marked("something"));
        hetzner.add_server(9, "web-2", BTreeMap::new());
    });
    for _ in 0..3 {
        let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
        assert_eq!(deletion, Deletion::Gone, "ours is not there");
    }
    assert_eq!(world.fake.left().len(), 3);
    assert_eq!(world.fake.count("DELETE", "/"), 0);
    world.check_contract();
}

pub(crate) fn a_listing_is_whole_when_things_are_deleted_meanwhile() {
    // After the first page some of it goes, so that the pages move up.
    for gone in [1, 10, 50] {
        let world = World::of(config().without_firewall());
        let requests: Vec<_> = (0..120).map(|_| world.request()).collect();
        for request in &requests {
            world.create(request).unwrap();
        }
        let first = world.run(world.compute.list_machines(&ListMachines::default())).unwrap();
        assert_eq!(first.items.len(), 50);
        for request in &requests[..gone] {
            world.delete(&request.key);
        }
        let (mut rest, mut after) = (Vec::new(), first.next);
        while after.is_some() {
            let query = ListMachines::default().with_after(after);
            let page = world.run(world.compute.list_machines(&query)).unwrap();
            rest.extend(page.items.into_iter().map(|machine| machine.key));
            after = page.next;
        }
        let expected: Vec<_> = requests[50..].iter().map(|request| request.key.clone()).collect();
        assert_eq!(rest, expected, "after {gone} were deleted");
        let unclear = ListMachines::default().with_after(Some("nonsense".to_owned()));
        let error = world.run(world.compute.list_machines(&unclear)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        world.check_contract();
    }
}

pub(crate) fn a_machine_that_does_not_listen_is_switched_off() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let power = world.compute.power().unwrap();
    let status = |world: &World| world.fake.with(|hetzner| hetzner.servers())[0].status;
    // One that listens gets no order to pull the plug.
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    assert_eq!(status(&world), "off");
    let orders = |world: &World, verb: &str| {
        let asked = world.fake.exchanges();
        asked.iter().filter(|exchange| exchange.request.uri().path().ends_with(verb)).count()
    };
    assert_eq!((orders(&world, "/shutdown"), orders(&world, "/poweroff")), (1, 0));
    world.run(power.set_power(&request.key, Power::On)).unwrap();
    world.fake.with(|hetzner| hetzner.set_ignores_shutdown(true));
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    assert_eq!(status(&world), "off");
    assert_eq!((orders(&world, "/shutdown"), orders(&world, "/poweroff")), (2, 1));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn the_check_on_a_real_account_leaves_nothing_and_spends_little() {
    let check =
        |world: &World| world.run(crate::live::check(&*world.compute, &world.clock, &|_| ()));
    let world = World::stacked();
    check(&world).unwrap();
    assert_eq!(world.fake.count("POST", "/v1/servers/"), 2, "switched off and on");
    world.check();
    // What fails in the middle is deleted all the same.
    for (method, path) in
        [("POST", "/v1/volumes"), ("POST", "/v1/servers/"), ("GET", "/v1/volumes")]
    {
        let world = World::bare();
        let refused =
            json(403, &serde_json::json!({ "error": { "code": "forbidden", "message": "" } }));
        world.fake.fail_next(method, path, Fault::Refuse(refused));
        let error = check(&world).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{method} {path}");
        world.check();
    }
    // An account that holds more of it than a run leaves behind is not added to.
    let world = World::stacked();
    let installation = BTreeMap::from([
        ("sam-installation".to_owned(), crate::live::INSTALLATION.to_owned()),
        ("sam-key".to_owned(), "another".to_owned()),
    ]);
    world.fake.with(|hetzner| {
        (1..=5).for_each(|id| hetzner.add_server(id, &format!("s-{id}"), installation.clone()));
    });
    assert_eq!(check(&world).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(world.fake.count("POST", "/"), 0);
    // Nor is more spent than was meant.
    let world = World::stacked_of(config().with_server_type(Size::Small, "ccx23"));
    assert_eq!(check(&world).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    world.check();
}
