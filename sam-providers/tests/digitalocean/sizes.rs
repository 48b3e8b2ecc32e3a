//! What is sold, where, and what stands in for it.

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
            (Size::Small, "s-2vcpu-4gb".to_owned(), 2, 4_096, 35_710),
            (Size::Medium, "s-4vcpu-8gb".to_owned(), 4, 8_192, 71_430),
            (Size::Large, "s-8vcpu-16gb".to_owned(), 8, 16_384, 142_860),
        ]
    );
    assert_eq!(world.run(world.compute.catalog()).unwrap().regions, ["fra1", "ams3"]);
    // A size of one's own is used where it is sold, and it alone.
    let world = World::of(config().with_size(Size::Small, "s-2vcpu-4gb-120gb-intel"));
    let offer = offers(&world).remove(0);
    assert_eq!((&*offer.provider_size, offer.replaces), ("s-2vcpu-4gb-120gb-intel", None));
    // The lists are read again after an hour.
    let reads = |world: &World| world.fake.count("GET", "/v2/sizes");
    offers(&world);
    assert_eq!(reads(&world), 1);
    world.clock.advance(Duration::from_hours(1));
    offers(&world);
    assert_eq!(reads(&world), 2);
    world.check_contract();
}

pub(crate) fn a_size_that_is_not_sold_any_more_is_replaced() {
    for forgotten in [false, true] {
        let world =
            World::of(config().with_size(Size::Medium, "s-4vcpu-8gb").with_regions(["nyc3"]));
        world.fake.with(|vendor| vendor.retire_size("s-4vcpu-8gb", forgotten));
        let offer = offers(&world).remove(1);
        assert_eq!(
            (&*offer.provider_size, offer.replaces.as_deref()),
            ("c-4", Some("s-4vcpu-8gb"))
        );
        let request = world.request();
        world.create(&request).unwrap();
        assert_eq!(world.fake.with(|vendor| vendor.droplets())[0].size, "c-4");
        world.delete(&request.key);
        world.check();
    }
    // One that never was is explained.
    let world = World::stacked_of(config().with_size(Size::Medium, "s4vcpu8gb"));
    for error in [
        world.create(&world.request()).unwrap_err(),
        world.run(world.compute.catalog()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::BadInput, Retry::Never));
        assert!(error.hint().unwrap().contains("s-4vcpu-8gb"), "{:?}", error.hint());
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
    explained(world.create(&asked("fra2")).unwrap_err(), "fra1");
    // There is such a region, but it is not allowed here.
    explained(world.create(&asked("nyc3")).unwrap_err(), "ams3");
    world.check();
    // A region that is allowed and does not exist.
    let world = World::stacked_of(config().with_regions(["nyc4"]));
    explained(world.create(&world.request()).unwrap_err(), "nyc3");
    world.check();
}

pub(crate) fn what_is_sold_out_is_bought_elsewhere_only_where_that_is_allowed() {
    let orders = |world: &World| world.fake.count("POST", "/v2/droplets");
    let world = World::stacked();
    world.fake.with(|vendor| vendor.set_sold_out("fra1", true));
    let request = world.request();
    world.create(&request).unwrap();
    assert_eq!(world.fake.with(|vendor| vendor.droplets())[0].region, "ams3");
    assert_eq!(orders(&world), 2);
    world.delete(&request.key);
    // A region that says that it is closed is not even asked.
    let world = World::stacked();
    world.fake.with(|vendor| vendor.close_region("fra1"));
    let request = world.request();
    world.create(&request).unwrap();
    assert_eq!(orders(&world), 1);
    assert_eq!(world.run(world.compute.catalog()).unwrap().regions, ["ams3"]);
    world.delete(&request.key);
    world.check();
    // Who names a region gets none else; who allows one region has no other.
    for (allowed, region) in [(vec!["fra1", "ams3"], Some("fra1")), (vec!["fra1", "fra1"], None)] {
        let world = World::stacked_of(config().with_regions(allowed));
        world.fake.with(|vendor| vendor.set_sold_out("fra1", true));
        let request = world.request().with_region(region.map(str::to_owned));
        let error = world.create(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
        assert_eq!(error.retry(), Retry::After(Duration::from_mins(1)), "not by any layer");
        assert_eq!((error.effect(), orders(&world)), (Effect::NotApplied, 1));
        world.check();
    }
}
