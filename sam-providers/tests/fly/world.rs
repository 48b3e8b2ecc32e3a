//! The adapter and a Fly of its own, on a clock that moves by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Deletion, Labels, Machine, MachineKey,
};
use sam_core::entropy::SeededEntropy;
use sam_core::http::HttpTransport;
use sam_core::layer::{RetryPolicy, Stack};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome};
use sam_core::time::{Clock, ManualClock, Timestamp};
use sam_core::{NodeId, Result, Secret};
use sam_providers::api::{Outside, UserData};
use sam_providers::fly::{FlyCompute, FlyConfig};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::testkit::fly::FlyModel;
use sam_providers::testkit::{Exchange, Fake, Served};

use crate::contract::Contract;
use crate::drive::{JumpingClock, drive};

/// The token of the organisation.
pub(crate) const API_TOKEN: &str = "canary-api-token-51c7";
/// The token of the first boot.
pub(crate) const BOOT_TOKEN: &str = "canary-boot-token-9e02";
/// The installation that the tests are.
pub(crate) const INSTALLATION: &str = "tests";

/// The organisation.
pub(crate) const ORG: &str = "acme";
/// The app.
pub(crate) const APP: &str = "sam-tests";

/// The image of the nodes.
pub(crate) const IMAGE: &str = "registry.fly.io/node:7";

/// The middle of 2026, when everything of the contracts holds.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_788_000_000_000_000);

/// What stands in for the boot file: it is told everything that there is to tell.
pub(crate) fn boot() -> UserData {
    UserData::new(|boot| {
        let (node, url, token) = (boot.node_id, &boot.control_url, boot.token.expose());
        Ok(Secret::new(format!("{node} {url} {token}\n")))
    })
}

pub(crate) fn config() -> FlyConfig {
    FlyConfig::new(Secret::new(API_TOKEN.to_owned()), ORG, APP, IMAGE, boot())
        .with_installation(INSTALLATION)
        .with_regions(["ams", "fra"])
}

/// A world in the process.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) fake: Fake<FlyModel>,
    pub(crate) compute: Arc<dyn ComputeProvider>,
    keys: Keys,
}

impl World {
    /// The adapter alone.
    pub(crate) fn bare() -> Self {
        Self::of(config())
    }

    /// The adapter alone, told something else.
    pub(crate) fn of(config: FlyConfig) -> Self {
        let clock = ManualClock::new(START);
        let fake = Fake::new(FlyModel::new(API_TOKEN, ORG), Arc::new(clock.clone()));
        let compute = adapter(config, Arc::new(fake.clone()), &clock);
        Self { clock, fake, compute, keys: Keys::default() }
    }

    /// The adapter within the layers that a host puts around it.
    pub(crate) fn stacked() -> Self {
        Self::stacked_of(config())
    }

    pub(crate) fn stacked_of(config: FlyConfig) -> Self {
        let world = Self::of(config);
        let compute = stack(&world.clock).compute(Arc::clone(&world.compute));
        Self { compute, ..world }
    }

    /// Runs something on the clock of this world.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        drive(&self.clock, future)
    }

    pub(crate) fn create(&self, request: &CreateMachine) -> Result<Machine> {
        self.run(self.compute.create_machine(request))
    }

    /// Deletes until the provider is sure, and sees that nothing is left.
    pub(crate) fn delete(&self, key: &MachineKey) {
        for _ in 0..100 {
            if self.run(self.compute.delete_machine(key)).expect("it is deleted") == Deletion::Gone
            {
                return;
            }
            self.clock.advance(Duration::from_secs(1));
        }
        panic!("{key} is not gone: {:?}", left(&self.fake));
    }

    /// Fails when something is left, or an exchange was not as the vendor describes it.
    pub(crate) fn check(&self) {
        assert_eq!(left(&self.fake), Vec::<String>::new(), "left behind");
        self.check_contract();
    }

    pub(crate) fn check_contract(&self) {
        let complaints = complaints(&self.fake.exchanges());
        assert!(complaints.is_empty(), "not as described: {complaints:#?}");
    }
}

pub(crate) fn adapter(
    config: FlyConfig,
    http: Arc<dyn HttpTransport>,
    clock: &(impl Clock + Clone),
) -> Arc<dyn ComputeProvider> {
    Arc::new(FlyCompute::new(config, Outside::new(http, Arc::new(clock.clone()))))
}

pub(crate) fn stack(clock: &ManualClock) -> Stack {
    Stack::new(Arc::new(clock.clone()))
        .with_limit(8)
        .with_retry(RetryPolicy::default(), Arc::new(SeededEntropy::new(7)))
}

/// What the vendor's description says of exchanges; nothing where there is none.
pub(crate) fn complaints(exchanges: &[Exchange]) -> Vec<String> {
    static CONTRACT: LazyLock<Mutex<Option<Contract>>> =
        LazyLock::new(|| Mutex::new(Contract::of("fly", FlyModel::PREFIX)));
    let mut contract = CONTRACT.lock().unwrap_or_else(PoisonError::into_inner);
    contract.as_mut().map(|contract| contract.complaints(exchanges)).unwrap_or_default()
}

/// Requests for machines that nobody asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Keys(AtomicU64);

impl Keys {
    pub(crate) fn request(&self) -> CreateMachine {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let node = NodeId::from_bits(u128::from(number) << 64 | 0x7000);
        let token = Secret::new(BOOT_TOKEN.to_owned());
        let boot = BootData::new(node, "https://control.example".to_owned(), token);
        let labels = Labels::default().with(Labels::INSTALLATION, INSTALLATION);
        CreateMachine::new(MachineKey::of(node), boot).with_labels(labels.expect("it is legal"))
    }
}

#[async_trait]
impl ComputeHarness for World {
    fn compute(&self) -> &dyn ComputeProvider {
        &*self.compute
    }

    fn request(&self) -> CreateMachine {
        self.keys.request()
    }

    fn machines_per_page(&self) -> Option<usize> {
        Some(50)
    }

    async fn pause(&self) {
        self.clock.sleep_until(self.clock.monotonic() + Duration::from_secs(1)).await;
    }
}

impl Harness for World {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        drive(&self.clock, case)?;
        sound(&self.fake)
    }
}

/// Lists what is left but for the app, which stays.
pub(crate) fn left(fake: &Fake<FlyModel>) -> Vec<String> {
    fake.left().into_iter().filter(|thing| *thing != format!("app {APP}")).collect()
}

/// Fails when something is left, or an exchange was not as described.
fn sound(fake: &Fake<FlyModel>) -> Outcome {
    let (left, complaints) = (left(fake), complaints(&fake.exchanges()));
    if left.is_empty() && complaints.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("left behind: {left:?}, not as described: {complaints:#?}")))
}

/// The adapter, a real transport, a socket, and the same Fly behind it.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) fake: Fake<FlyModel>,
    compute: Arc<dyn ComputeProvider>,
    keys: Keys,
    pub(crate) runtime: tokio::runtime::Runtime,
    _served: Served,
}

impl Wired {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let clock = JumpingClock::new(START);
        let fake = Fake::new(FlyModel::new(API_TOKEN, ORG), Arc::new(clock.clone()));
        let served = runtime.block_on(fake.serve()).expect("a free port");
        let base_url = served.url(FlyModel::PREFIX).parse().expect("it is on this computer");
        let http = Arc::new(Http::new(&HttpConfig::default()).expect("a transport"));
        let compute = adapter(config().with_base_url(base_url), http, &clock);
        Self { fake, compute, keys: Keys::default(), runtime, _served: served }
    }
}

#[async_trait]
impl ComputeHarness for Wired {
    fn compute(&self) -> &dyn ComputeProvider {
        &*self.compute
    }

    fn request(&self) -> CreateMachine {
        self.keys.request()
    }

    fn machines_per_page(&self) -> Option<usize> {
        Some(50)
    }

    async fn pause(&self) {}
}

impl Harness for Wired {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        self.runtime.block_on(case)?;
        sound(&self.fake)
    }
}
