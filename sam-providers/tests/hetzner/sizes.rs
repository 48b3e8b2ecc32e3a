//! Sizes, types, and where they are bought.

use std::time::Duration;

use sam_core::compute::{Size, SizeOffer};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, Error, ErrorKind, Retry};

use crate::world::{World, config};

fn offers(world: &World) -> Vec<SizeOffer> {
    world.run(world.compute.catalog()).unwrap().sizes
}

pub(crate) fn sizes_are_the_cheapest_that_fit_today() {
    let world = World::stacked();
    let told: Vec<_> = offers(&world)
        .iter()
        .map(|offer| {
            let price = offer.price_micros_per_hour.unwrap();
            (offer.size, offer.provider_size.clone(), offer.cpus, offer.memory_mib, price)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Size::Small, "cx23".to_owned(), 2, 4_096, 5_900),
            (Size::Medium, "cx33".to_owned(), 4, 8_192, 9_500),
            (Size::Large, "cx43".to_owned(), 8, 16_384, 17_800),
        ]
    );
    assert_eq!(world.run(world.compute.catalog()).unwrap().regions, ["fsn1", "nbg1"]);
    // Elsewhere other types are sold, and none with two processors and 4 GiB.
    let world = World::of(config().with_locations(["ash"]));
    let names: Vec<_> = offers(&world).into_iter().map(|offer| offer.provider_size).collect();
    assert_eq!(names, ["cpx21", "cpx31", "cpx41"]);
    world.create(&world.request()).unwrap();
    assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].server_type, "cpx31");
    // A type of one's own is used where it is sold.
    let world = World::of(config().with_server_type(Size::Small, "ccx13"));
    let offer = offers(&world).remove(0);
    assert_eq!((&*offer.provider_size, offer.memory_mib, offer.replaces), ("ccx13", 8_192, None));
    world.check_contract();
}

pub(crate) fn a_retired_type_is_replaced_and_the_offer_says_so() {
    let config = || {
        config()
            .with_server_type(Size::Small, "cx22")
            .with_server_type(Size::Medium, "cx32")
            .with_server_type(Size::Large, "cx42")
    };
    // On the list with an end that has come, and not on the list any more.
    for forgotten in [false, true] {
        let world = World::of(config());
        if forgotten {
            world
                .fake
                .with(|hetzner| ["cx22", "cx32", "cx42"].map(|name| hetzner.forget_type(name)));
        }
        let told: Vec<_> = offers(&world)
            .into_iter()
            .map(|offer| (offer.provider_size, offer.replaces.unwrap()))
            .collect();
        let expected = [("cx23", "cx22"), ("cx33", "cx32"), ("cx43", "cx42")];
        assert_eq!(told, expected.map(|(new, old)| (new.to_owned(), old.to_owned())));
        let request = world.request();
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].server_type, "cx33");
        world.delete(&request.key);
        world.check();
    }
    // The day comes for every type, and then a larger one may be the cheapest.
    let world = World::of(config());
    world.fake.with(|hetzner| hetzner.retire_type("cx23"));
    let offer = offers(&world).remove(0);
    assert_eq!((&*offer.provider_size, offer.cpus), ("cx33", 4));
}

pub(crate) fn a_type_that_is_none_is_explained() {
    let world = World::stacked_of(config().with_server_type(Size::Medium, "cx34"));
    for error in [
        world.create(&world.request()).unwrap_err(),
        world.run(world.compute.catalog()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::BadInput, Retry::Never));
        assert!(error.hint().unwrap().contains("cx33"), "{:?}", error.hint());
    }
    world.check();
}

pub(crate) fn a_region_that_is_none_is_explained() {
    let explained = |error: Error, name: &str| {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
        assert!(error.hint().unwrap().contains(name), "{:?}", error.hint());
    };
    let world = World::stacked();
    let asked = |region: &str| world.request().with_region(Some(region.to_owned()));
    explained(world.create(&asked("fns1")).unwrap_err(), "fsn1");
    // There is such a location, but it is not allowed here.
    explained(world.create(&asked("ash")).unwrap_err(), "nbg1");
    world.check();
    // A location that is allowed and does not exist.
    let world = World::stacked_of(config().with_locations(["hel2"]));
    explained(world.create(&world.request()).unwrap_err(), "hel1");
    world.check();
}

pub(crate) fn what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed() {
    let orders = |world: &World| {
        let asked = world.fake.exchanges();
        asked
            .iter()
            .filter(|exchange| {
                exchange.request.method() == "POST"
                    && exchange.request.uri().path() == "/v1/servers"
            })
            .count()
    };
    let world = World::stacked();
    world.fake.with(|hetzner| hetzner.set_sold_out("fsn1", true));
    let request = world.request();
    world.create(&request).unwrap();
    assert_eq!(world.fake.with(|hetzner| hetzner.servers())[0].location, "nbg1");
    assert_eq!(orders(&world), 2);
    world.delete(&request.key);
    // Who names a region gets none else; who allows one location has no other.
    for (allowed, region) in [(vec!["fsn1", "nbg1"], Some("fsn1")), (vec!["fsn1", "fsn1"], None)] {
        let world = World::stacked_of(config().with_locations(allowed));
        world.fake.with(|hetzner| hetzner.set_sold_out("fsn1", true));
        let request = world.request().with_region(region.map(str::to_owned));
        let error = world.create(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
        assert_eq!(error.provider_code(), Some("resource_unavailable"));
        assert_eq!(error.retry(), Retry::After(Duration::from_mins(1)), "not by any layer");
        assert_eq!((error.effect(), orders(&world)), (Effect::NotApplied, 1));
        // Its firewall went with it.
        world.check();
    }
}

pub(crate) fn the_list_of_types_is_read_again_after_an_hour_or_a_refusal() {
    let world = World::bare();
    let reads = |world: &World| world.fake.count("GET", "/v1/server_types");
    for _ in 0..3 {
        offers(&world);
    }
    assert_eq!(reads(&world), 1);
    world.clock.advance(Duration::from_hours(1));
    offers(&world);
    assert_eq!(reads(&world), 2);
    // It was retired since: Hetzner refuses it, and the next attempt knows better.
    world.fake.with(|hetzner| hetzner.retire_type("cx33"));
    let request = world.request();
    let error = world.create(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert_eq!(world.fake.left(), Vec::<String>::new());
    world.create(&request).unwrap();
    assert_eq!(reads(&world), 3);
    world.delete(&request.key);
    world.check();
}
