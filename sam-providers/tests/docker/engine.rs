//! The real engine, and a provider over an empty scope of it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::{API_DEFAULT_VERSION, Docker};
use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Deletion, Labels, ListOwned, MachineKey,
    OwnedResources as _,
};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome};
use sam_core::{NodeId, Secret};
use sam_providers::docker::{DockerCompute, DockerConfig};

/// A token that must be seen nowhere.
pub(crate) const TOKEN: &str = "canary-c0ffee-single-use";

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// What whoever runs the tests says of their peers.
#[expect(clippy::disallowed_methods, reason = "tests are told of their peers by variables")]
pub(crate) fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

pub(crate) fn socket() -> String {
    named("SAM_TEST_DOCKER_SOCKET").unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}

pub(crate) fn image() -> String {
    named("SAM_TEST_DOCKER_IMAGE").unwrap_or_else(|| "sam-test-node:latest".to_owned())
}

/// A configuration whose node is a shell that ends when it is told to.
pub(crate) fn config() -> DockerConfig {
    let script = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done";
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    DockerConfig::new(socket(), image()).with_node_command(command.into())
}

/// Speaks to the engine beside the provider.
pub(crate) async fn docker() -> Docker {
    let path = socket();
    let path = path.trim_start_matches("unix://").trim_start_matches("unix:");
    let docker = Docker::connect_with_unix(path, 60, API_DEFAULT_VERSION).expect("a socket");
    docker.negotiate_version().await.expect("an engine")
}

/// Returns why there is no engine to test with.
pub(crate) fn absent() -> Option<String> {
    block_on(async {
        let compute = DockerCompute::new(config()).map_err(|error| error.to_string());
        let verified = match compute {
            Ok(compute) => compute
                .verify_credentials()
                .await
                .map_err(|error| format!("{error}; hint: {}", error.hint().unwrap_or_default())),
            Err(error) => Err(error),
        };
        verified.err()
    })
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    #[expect(clippy::disallowed_methods, reason = "a test that hangs must fail")]
    let bounded = async { tokio::time::timeout(PATIENCE * 3, work).await };
    runtime.expect("a runtime").block_on(bounded).expect("a test ends")
}

/// A provider with labels of its own.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) compute: DockerCompute,
    pub(crate) labels: Labels,
    asked: Mutex<Vec<MachineKey>>,
}

pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Home {
    /// With a network of its own: what is owned goes when others still work.
    pub(crate) fn new() -> Self {
        Self::of(config().with_network(format!("sam-test-{:x}", random())))
    }

    pub(crate) fn of(config: DockerConfig) -> Self {
        let compute = DockerCompute::new(config).expect("a good configuration");
        let name = format!("test-{:x}", random());
        let labels = Labels::default().with(Labels::INSTALLATION, &name).expect("a legal label");
        Self { compute, labels, asked: Mutex::default() }
    }

    /// A request that says where the control plane is.
    pub(crate) fn request_to(&self, url: &str) -> CreateMachine {
        let node = NodeId::from_bits(u128::from(random()) << 64 | u128::from(random()));
        let boot = BootData::new(node, url.to_owned(), Secret::new(TOKEN.to_owned()));
        let key = MachineKey::of(node);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        CreateMachine::new(key, boot).with_labels(self.labels.clone())
    }

    pub(crate) async fn delete(&self, key: &MachineKey) {
        for _ in 0..600 {
            match self.compute.delete_machine(key).await.expect("a deletion") {
                Deletion::Gone => return,
                _ => pause().await,
            }
        }
        panic!("{key} does not go");
    }

    /// Deletes what was made, and fails when something stays.
    pub(crate) async fn close(&self) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        for key in asked {
            self.delete(&key).await;
        }
        let owned = self.compute.list_owned(&ListOwned::new(self.labels.clone())).await;
        assert!(owned.as_ref().is_ok_and(|page| page.items.is_empty()), "left behind: {owned:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a real engine needs time, and nobody tells when")]
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[async_trait]
impl ComputeHarness for Home {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.compute
    }

    fn request(&self) -> CreateMachine {
        self.request_to("http://control.invalid:7070")
    }

    fn machines_per_page(&self) -> Option<usize> {
        // Each is a container: a hundred and one of them are too dear. Pages are tried on the fake.
        None
    }

    async fn pause(&self) {
        pause().await;
    }
}

impl Harness for Home {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        block_on(async {
            let outcome = case.await;
            if outcome.is_err() {
                // Leaves nothing behind all the same.
                self.close().await;
                return outcome;
            }
            self.close().await;
            Ok::<(), Failure>(())
        })
    }
}
