//! What the contracts tell of Fly's behaviour, step by step, through the layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use sam_core::Error;
use sam_core::compute::{ComputeProvider, CreateMachine, Power};
use sam_core::http::HttpTransport;
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_providers::testkit::Fake;
use sam_providers::testkit::fly::FlyModel;

use crate::scenario::Scenario;
use crate::world::{World, adapter, config, stack};

/// The app and the machine of the scenarios.
const PLACE: (&str, &str) = ("demo", "m1");

/// The scenario changes a machine by an update, which the adapter never does: a stop stands for it, and
/// is carried out behind the scenario when that allows it.
#[derive(Debug)]
struct StopForUpdate {
    scenario: Arc<Scenario>,
    fake: Fake<FlyModel>,
}

#[async_trait]
impl HttpTransport for StopForUpdate {
    async fn send(&self, mut request: Request<Bytes>) -> sam_core::Result<Response<Bytes>> {
        let Some(path) = request.uri().path().strip_suffix("/stop").map(str::to_owned) else {
            return self.scenario.send(request).await;
        };
        let stop = request.clone();
        *request.uri_mut() = format!("https://api.machines.dev{path}").parse().expect("a URL");
        let answer = self.scenario.send(request).await?;
        if answer.status().is_success() {
            self.fake.send(stop).await?;
        }
        Ok(answer)
    }
}

/// A world behind a scenario, with a machine of ours in it.
struct Scene {
    world: World,
    scenario: Arc<Scenario>,
    compute: Arc<dyn ComputeProvider>,
    request: CreateMachine,
}

impl Scene {
    fn new(name: &str, state: &str) -> Self {
        let world = World::bare();
        let request = world.request();
        let key = request.key.as_str();
        let mut metadata = BTreeMap::from([("sam-key".to_owned(), key.to_owned())]);
        metadata.extend(request.labels.iter().map(|(name, value)| (name.into(), value.into())));
        world.fake.with(|fly| fly.add_machine(PLACE.0, [PLACE.1, key, state], &metadata));
        let scenario = Scenario::new(name, &world.clock, Arc::new(world.fake.clone()));
        let scenario = Arc::new(scenario);
        let fake = world.fake.clone();
        let http = StopForUpdate { scenario: Arc::clone(&scenario), fake };
        let mut config = config();
        PLACE.0.clone_into(&mut config.app);
        let compute = stack(&world.clock).compute(adapter(config, Arc::new(http), &world.clock));
        Self { world, scenario, compute, request }
    }
}

pub(crate) fn a_change_takes_the_lease_and_gives_it_back() {
    let scene = Scene::new("fly-lease", "started");
    let power = scene.compute.power().unwrap();
    let outcome: Result<(), Error> =
        scene.world.run(power.set_power(&scene.request.key, Power::Off));
    scene.scenario.judge(outcome.as_ref().copied(), &[]);
    let routes: Vec<_> = scene.scenario.asked().iter().map(|asked| asked.route).collect();
    assert_eq!(routes, [0, 1, 3], "taken, used, given back");
    assert_eq!(scene.world.fake.with(|fly| fly.machines())[0].state, "stopped");
}

pub(crate) fn a_wait_that_times_out_is_asked_again() {
    let scene = Scene::new("fly-wait-408", "starting");
    let outcome = scene.world.run(scene.compute.create_machine(&scene.request)).map(drop);
    scene.scenario.judge(outcome.as_ref().copied(), &["outcome", "query_max"]);
    outcome.expect("408 is no failure");
    let asked = scene.scenario.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for wait in asked {
        let seconds = wait.target.split_once("timeout=").expect("it says how long").1;
        let seconds: u64 = seconds.split('&').next().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
}

pub(crate) fn the_vendors_own_examples_can_be_read() {
    use sam_core::http::ScriptedHttp;
    for name in ["machines_create_resp", "machines_create_serv_resp", "machines_update_resp"] {
        let machine = crate::contract::read(&format!("fly/examples/{name}.json")).unwrap();
        let world = World::bare();
        let list = serde_json::json!([machine]).to_string();
        let compute =
            adapter(config(), Arc::new(ScriptedHttp::new().answer(200, list)), &world.clock);
        // It is not ours, so it is passed over; that it can be read is the point.
        let listed = world.run(compute.list_machines(&sam_core::compute::ListMachines::default()));
        assert_eq!(listed.unwrap().items, [], "{name}");
    }
}
