//! Deleting: what must go, what must stay, and lists that change while they are read.

use std::time::Duration;

use sam_core::compute::{Deletion, ListMachines, ListOwned, OwnedResource, Power};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{ErrorKind, Retry};

use crate::world::World;

pub(crate) fn a_machine_that_is_still_listed_is_not_gone() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    world.fake.with(|vendor| vendor.set_list_lag(Duration::from_mins(1)));
    world.clock.advance(Duration::from_mins(1));
    let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deletion, Deletion::InProgress, "the list shows it still");
    assert!(world.fake.with(|vendor| vendor.droplets()).is_empty());
    // What is only listed is not adopted.
    let made = world.create(&request).unwrap();
    let droplets = world.fake.with(|vendor| vendor.droplets());
    assert_eq!((droplets.len(), made.provider_id), (1, droplets[0].id.to_string()));
    world.clock.advance(Duration::from_mins(1));
    let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deletion, Deletion::InProgress);
    world.clock.advance(Duration::from_mins(1));
    let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
    assert_eq!(deletion, Deletion::Gone);
    world.check();
}

pub(crate) fn a_locked_machine_is_waited_for() {
    let world = World::bare();
    let request = world.request();
    let id = world.create(&request).unwrap().provider_id.parse().unwrap();
    world.fake.with(|vendor| vendor.lock_droplet(id, Duration::from_secs(8)));
    assert_eq!(world.run(world.compute.delete_machine(&request.key)).unwrap(), Deletion::Gone);
    // One that stays locked is told, and may be tried again.
    let id = world.create(&request).unwrap().provider_id.parse().unwrap();
    world.fake.with(|vendor| vendor.lock_droplet(id, Duration::from_mins(10)));
    let error = world.run(world.compute.delete_machine(&request.key)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.provider_code(), Some("unprocessable_entity"));
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(2)));
    let power = world.compute.power().unwrap();
    let error = world.run(power.set_power(&request.key, Power::Off)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    world.clock.advance(Duration::from_mins(10));
    world.delete(&request.key);
    world.check();
}

pub(crate) fn what_is_not_ours_is_never_touched() {
    let world = World::stacked();
    let request = world.request();
    let name = request.key.as_str();
    // The name without the tag, tags that are none of ours, and a tag that only looks like one.
    world.fake.with(|vendor| {
        vendor.add_droplet(7, name, &["sam-made", "web"]);
        vendor.add_droplet(8, "web-1", &["sam-key", "env:prod"]);
        vendor.add_droplet(9, "web-2", &[]);
        vendor.add_volume(&format!("sam-{name}"), &["web"]);
    });
    let owned = world.compute.owned().unwrap();
    for _ in 0..2 {
        let deletion = world.run(world.compute.delete_machine(&request.key)).unwrap();
        assert_eq!(deletion, Deletion::Gone, "ours is not there");
        assert_eq!(world.run(world.compute.machine(&request.key)).unwrap(), None);
        let listed = world.run(world.compute.list_machines(&ListMachines::default())).unwrap();
        assert_eq!(listed.items, []);
        let query = ListOwned::default().with_after(Some("volume@".to_owned()));
        assert_eq!(world.run(owned.list_owned(&query)).unwrap().items, []);
        let volumes = world.compute.volumes().unwrap();
        world.run(volumes.delete_volume(name)).unwrap();
        let power = world.run(world.compute.power().unwrap().set_power(&request.key, Power::Off));
        assert_eq!(power.unwrap_err().kind(), ErrorKind::NotFound);
    }
    // Nor by its id, whoever says that it is ours.
    for id in ["7", "8", "9", "no number"] {
        let sort = OwnedResource::MACHINE;
        let resource = OwnedResource::new(sort, id.to_owned(), request.labels.clone());
        world.run(owned.delete_owned(&resource)).unwrap();
    }
    assert_eq!(world.fake.left().len(), 4);
    assert_eq!(world.fake.count("DELETE", "/") + world.fake.count("POST", "/"), 0);
    // Its name is free for ours, and theirs stays.
    let machine = world.create(&request).unwrap();
    assert_ne!(machine.provider_id, "7");
    world.delete(&request.key);
    assert_eq!(world.fake.left().len(), 4);
    world.check_contract();
}

pub(crate) fn a_listing_is_whole_when_things_are_deleted_meanwhile() {
    let world = World::bare();
    let labels = world.request().labels;
    world.fake.with(|vendor| {
        for number in 1..=250_u64 {
            let key = format!("sam-key:{}", sam_core::NodeId::from_bits(u128::from(number)));
            vendor.add_droplet(number, "it", &["sam-made", "sam-installation:tests", &key]);
        }
    });
    let mut query = ListMachines::new(labels);
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let page = world.run(world.compute.list_machines(&query)).unwrap();
        assert!(page.items.len() <= 100);
        seen.extend(page.items.iter().map(|machine| machine.provider_id.parse::<u64>().unwrap()));
        // Some of those that were seen go.
        let owned = world.compute.owned().unwrap();
        for machine in page.items.iter().take(30) {
            let (sort, id) = (OwnedResource::MACHINE, machine.provider_id.clone());
            let resource = OwnedResource::new(sort, id, machine.labels.clone());
            world.run(owned.delete_owned(&resource)).unwrap();
        }
        match page.next {
            None => break,
            next => query.after = next,
        }
    }
    assert_eq!(seen, (1..=250).collect::<Vec<u64>>());
    // They go while one call reads its pages, which moves the rest up.
    let (left, owned) =
        (world.fake.with(|vendor| vendor.droplets()), world.compute.owned().unwrap());
    let (first, query) = (left.len(), ListMachines::new(world.request().labels));
    assert!(first > 100, "{first} are one page");
    let delete = async {
        for droplet in left.iter().rev().take(2) {
            let (sort, id) = (OwnedResource::MACHINE, droplet.id.to_string());
            let resource = OwnedResource::new(sort, id, query.labels.clone());
            owned.delete_owned(&resource).await.unwrap();
        }
    };
    let list = async { world.compute.list_machines(&query).await.unwrap().items };
    let ((), listed) = world.run(async { futures_util::join!(delete, list) });
    let listed: Vec<String> = listed.into_iter().map(|machine| machine.provider_id).collect();
    let expected: Vec<String> =
        left.iter().take(100).map(|droplet| droplet.id.to_string()).collect();
    assert_eq!(listed, expected);
    assert!(world.fake.count("GET", "/v2/droplets") > 9);
    let unclear = ListMachines::default().with_after(Some("nonsense".to_owned()));
    let error = world.run(world.compute.list_machines(&unclear)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    world.check_contract();
}

pub(crate) fn a_machine_that_does_not_listen_is_switched_off() {
    let world = World::bare();
    let request = world.request();
    world.create(&request).unwrap();
    let power = world.compute.power().unwrap();
    let status = |world: &World| world.fake.with(|vendor| vendor.droplets())[0].status;
    let orders = |world: &World, verb: &str| {
        let asked = world.fake.exchanges();
        let says = |body: &[u8]| String::from_utf8_lossy(body).contains(&format!("{verb:?}"));
        asked.iter().filter(|exchange| says(exchange.request.body())).count()
    };
    // One that listens gets no order to pull the plug.
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    assert_eq!(status(&world), "off");
    assert_eq!((orders(&world, "shutdown"), orders(&world, "power_off")), (1, 0));
    world.run(power.set_power(&request.key, Power::On)).unwrap();
    world.fake.with(|vendor| vendor.set_ignores_shutdown(true));
    world.run(power.set_power(&request.key, Power::Off)).unwrap();
    assert_eq!(status(&world), "off");
    assert_eq!((orders(&world, "shutdown"), orders(&world, "power_off")), (2, 1));
    world.delete(&request.key);
    world.check();
}
