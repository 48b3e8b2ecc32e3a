//! What an engine of a simulation is made of.

use std::sync::Arc;
use std::time::Duration;

use super::compute::SimCompute;
use crate::Secret;
use crate::compute::ComputeProvider;
use crate::entropy::Entropy;
use crate::node_link::NodeLink;
use crate::policy::Policy;
use crate::published_name::Publishing;
use crate::sam::Sam;
use crate::store::Store;
use crate::time::Clock;

/// What an engine of a simulation is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parts {
    /// The store, with its faults.
    pub store: Arc<dyn Store>,
    /// The simulation's own provider, with its faults.
    pub compute: SimCompute,
    /// The provider to use: the simulation's own, or what
    /// [`Simulation::with_compute`](super::Simulation::with_compute) made of it.
    pub provider: Arc<dyn ComputeProvider>,
    /// The link, with its faults.
    pub link: Arc<dyn NodeLink>,
    /// The clock that stands still until everybody waits.
    pub clock: Arc<dyn Clock>,
    /// This engine's own random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// How names are published, in runs that publish any.
    pub publishing: Option<Publishing>,
    /// The spans of decisions.
    pub policy: Policy,
    /// The key of bootstrap tokens.
    pub boot_key: Secret<[u8; 32]>,
}

impl Parts {
    /// Waits, on the clock of the simulation.
    pub(super) async fn pause(&self, millis: u64) {
        self.rest(Duration::from_millis(millis)).await;
    }

    /// Waits for a span, on the clock of the simulation.
    pub(super) async fn rest(&self, span: Duration) {
        self.clock.sleep_until(self.clock.monotonic() + span).await;
    }

    /// Puts the product together over these parts, with the provider given.
    ///
    /// # Errors
    /// Never for the parts of a simulation.
    pub fn sam(&self, compute: Arc<dyn ComputeProvider>) -> crate::Result<Sam> {
        let builder = Sam::builder(Arc::clone(&self.store), compute);
        let builder = match &self.publishing {
            Some(publishing) => builder.publish(publishing.clone()),
            None => builder,
        };
        builder
            .clock(Arc::clone(&self.clock))
            .entropy(Arc::clone(&self.entropy))
            .link(Arc::clone(&self.link))
            .policy(self.policy.clone())
            .boot_key(self.boot_key.clone())
            .build()
    }
}
