//! A run to be made: its plan, and the parts that are to be tried in it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::compute::SimCompute;
use super::executor::give_way;
use super::failure::{Broken, Failure};
use super::faults::Faults;
use super::parts::Parts;
use super::plan::Plan;
use super::run::{Run, Summary};
use super::shrink;
use crate::compute::ComputeProvider;
use crate::node_link::NodeLink;
use crate::store::Store;

type EngineMaker = Arc<dyn Fn(Parts) -> BoxFuture<'static, ()> + Send + Sync>;
type ComputeMaker = Arc<dyn Fn(SimCompute) -> Arc<dyn ComputeProvider> + Send + Sync>;
type LinkMaker = Arc<dyn Fn(Arc<dyn NodeLink>) -> Arc<dyn NodeLink> + Send + Sync>;
type StoreMaker = Arc<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync>;

/// A run to be made.
#[derive(Clone)]
pub struct Simulation {
    pub(super) plan: Plan,
    pub(super) engine: EngineMaker,
    pub(super) compute: ComputeMaker,
    pub(super) link: LinkMaker,
    pub(super) store: StoreMaker,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Simulation {
    /// Prepares a run of the product itself, with everything drawn from the seed.
    pub fn new(seed: u64) -> Self {
        Self::of(Plan::drawn(seed))
    }

    /// Prepares a run of the product itself by a plan.
    pub fn of(plan: Plan) -> Self {
        let engine: EngineMaker = Arc::new(|parts: Parts| {
            Box::pin(async move {
                if let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) {
                    // A store that is down at the start ends the run: the host starts it again.
                    while sam.run(std::future::pending()).await.is_err() {
                        give_way().await;
                    }
                }
            })
        });
        let compute: ComputeMaker = Arc::new(|compute| Arc::new(compute));
        Self { plan, engine, compute, link: Arc::new(|link| link), store: Arc::new(|store| store) }
    }

    /// Uses another plan with the same parts.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Uses these faults instead of drawn ones.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.plan.faults = faults;
        self
    }

    /// Runs another engine than the product's own.
    #[must_use]
    pub fn with_engine(
        mut self,
        engine: impl Fn(Parts) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.engine = Arc::new(engine);
        self
    }

    /// Puts something around the provider: what a host adds to one is tried under every fault.
    #[must_use]
    pub fn with_compute(
        mut self,
        compute: impl Fn(SimCompute) -> Arc<dyn ComputeProvider> + Send + Sync + 'static,
    ) -> Self {
        self.compute = Arc::new(compute);
        self
    }

    /// Puts something around the link.
    #[must_use]
    pub fn with_link(
        mut self,
        link: impl Fn(Arc<dyn NodeLink>) -> Arc<dyn NodeLink> + Send + Sync + 'static,
    ) -> Self {
        self.link = Arc::new(link);
        self
    }

    /// Puts something around the store, below the faults: the simulation keeps books on it. It
    /// must answer without waiting, as the store in memory does.
    #[must_use]
    pub fn with_store(
        mut self,
        store: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'static,
    ) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Returns the plan of the run.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Makes the run.
    ///
    /// # Errors
    /// The first invariant that does not hold, with what happened up to then.
    pub fn run(&self) -> Result<Summary, Failure> {
        self.attempt().map_err(|broken| self.told(&broken))
    }

    /// Makes the run, and where it fails looks for the smallest one that fails alike.
    ///
    /// # Errors
    /// The first invariant that does not hold in that smaller run, with what happened up to then.
    pub fn run_and_shrink(&self) -> Result<Summary, Failure> {
        self.attempt().map_err(|broken| shrink::smallest(self, broken))
    }

    /// Makes the run without writing down what happens.
    pub(super) fn attempt(&self) -> Result<Summary, Broken> {
        Run::new(self, false).and_then(Run::through).map_err(|stopped| stopped.broken)
    }

    /// Makes a failing run again and writes down what happens.
    pub(super) fn told(&self, broken: &Broken) -> Failure {
        let history = match Run::new(self, true).and_then(Run::through) {
            Err(stopped) => stopped.history,
            Ok(_) => {
                vec!["the same run did not fail again: something is not repeatable".to_owned()]
            }
        };
        Failure::new(&self.plan, broken.clone(), history)
    }
}
