//! What the contracts tell of Hetzner's behaviour, step by step, through the layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use sam_core::compute::{ComputeProvider, ListMachines, Power};
use sam_core::http::ScriptedHttp;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, Error, ErrorKind, Retry};
use sam_providers::hetzner::HetznerConfig;

use crate::contract;
use crate::scenario::Scenario;
use crate::world::{World, adapter, config, stack};

/// A world behind a scenario.
struct Scene {
    world: World,
    scenario: Arc<Scenario>,
    compute: Arc<dyn ComputeProvider>,
}

impl Scene {
    fn new(name: &str, config: HetznerConfig) -> Self {
        let world = World::bare();
        let scenario = Scenario::new(name, &world.clock, Arc::new(world.fake.clone()));
        let scenario = Arc::new(scenario);
        let plain = adapter(config, Arc::clone(&scenario) as _, &world.clock);
        let compute = stack(&world.clock).compute(plain);
        Self { world, scenario, compute }
    }

    fn create(&self) -> Result<(), Error> {
        let request = self.world.request();
        self.world.run(self.compute.create_machine(&request)).map(drop)
    }
}

pub(crate) fn a_creation_waits_for_all_of_its_actions() {
    let scene = Scene::new("hetzner-create-and-wait", config());
    let outcome = scene.create();
    scene.scenario.judge(outcome.as_ref().copied(), &["waits_for_actions"]);
    let asked = scene.scenario.asked();
    let looks: Vec<_> = asked.iter().filter(|asked| asked.route == 1).collect();
    assert_eq!(looks.len(), 2, "{looks:?}");
    assert!(looks[0].target.ends_with("?id=1&id=2"), "{looks:?}");
}

pub(crate) fn an_action_that_fails_is_named() {
    let scene = Scene::new("hetzner-action-fails", config());
    let outcome = scene.create();
    scene.scenario.judge(outcome.as_ref().copied(), &["error_names"]);
    let error = outcome.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("create_server") && told.contains("(1)"), "{told}");
    assert!(error.context().iter().any(|(name, value)| *name == "action" && value == "1"));
    assert_eq!(error.effect(), Effect::NotApplied, "what was left is deleted");
    assert_eq!(scene.world.fake.count("DELETE", "/v1/servers/42"), 1);
    assert_eq!(scene.world.fake.left(), Vec::<String>::new());
}

pub(crate) fn a_location_that_is_sold_out_is_left_for_an_allowed_one() {
    let scene = Scene::new("hetzner-location-unavailable", config());
    let outcome = scene.create();
    scene.scenario.judge(outcome.as_ref().copied(), &["outcome"]);
    outcome.expect("nbg1 is allowed");
}

pub(crate) fn a_location_that_is_sold_out_is_asked_once() {
    let scene = Scene::new("hetzner-location-unavailable", config().with_locations(["fsn1"]));
    let outcome = scene.create();
    scene.scenario.judge(outcome.as_ref().copied(), &["outcome"]);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::CapacityUnavailable);
}

pub(crate) fn what_is_locked_is_tried_again_later() {
    let scene = Scene::new("hetzner-locked", config());
    let request = scene.world.request();
    let key = request.key.as_str();
    scene.world.fake.with(|hetzner| {
        hetzner.add_server(42, key, BTreeMap::from([("sam-key".to_owned(), key.to_owned())]));
        hetzner.set_ignores_shutdown(true);
    });
    let power = scene.compute.power().unwrap();
    let outcome = scene.world.run(power.set_power(&request.key, Power::Off));
    scene.scenario.judge(outcome.as_ref().copied(), &["if_error"]);
    outcome.expect("the second time it is free");
    assert_eq!(scene.scenario.asked().len(), 2);
}

pub(crate) fn a_limit_is_waited_for() {
    let scene = Scene::new("hetzner-rate-limited-once", config());
    let query = ListMachines::default();
    let outcome = scene.world.run(scene.compute.list_machines(&query)).map(drop);
    scene.scenario.judge(outcome.as_ref().copied(), &[]);
}

pub(crate) fn the_vendors_own_examples_can_be_read() {
    // Whole answers of the vendor's client, older ones among them: what is not ours is passed over, and
    // nothing of it is a reason to fail.
    let folder = contract::folder().unwrap().join("hetzner/fixtures");
    let mut read = 0;
    for name in ["servers", "volumes", "firewalls", "primary_ips"] {
        let mut files: Vec<_> = std::fs::read_dir(folder.join(name)).unwrap().flatten().collect();
        files.sort_by_key(std::fs::DirEntry::path);
        for file in files {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            if !value[name].is_array() {
                continue;
            }
            let sort = match name {
                "volumes" => "volume@",
                "firewalls" => "firewall@",
                "primary_ips" => "address@",
                _ => "machine@",
            };
            let world = World::bare();
            let http = Arc::new(ScriptedHttp::new().answer(200, text));
            let compute = adapter(config(), http, &world.clock);
            let query = sam_core::compute::ListOwned::default().with_after(Some(sort.to_owned()));
            let page = world.run(compute.owned().unwrap().list_owned(&query));
            let listed = page.unwrap_or_else(|error| panic!("{:?}: {error:?}", file.path()));
            let there = value[name].as_array().map_or(0, Vec::len);
            assert_eq!(listed.items.len(), there, "{:?}", file.path());
            read += 1;
        }
    }
    assert!(read >= 4, "only {read} examples were found");
    // A refusal for good is none that is waited for.
    let world = World::bare();
    let body = r#"{"error":{"code":"forbidden","message":"no","details":null}}"#;
    let compute = adapter(config(), Arc::new(ScriptedHttp::new().answer(403, body)), &world.clock);
    let error = world.run(compute.verify_credentials()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Denied, Retry::Never));
}
