//! The product under the simulator, and deliberate bugs that it must find.
//!
//! The long run is the `sim` stage of `.ci/run`; this is the part every `cargo test` does.

#[cfg(test)]
mod simulation {
    use std::fmt;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use sam_core::Page;
    use sam_core::compute::{
        Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
        Machine, MachineKey, OwnedResources, PowerControl,
    };
    use sam_core::engine::{
        Asked, Decision, Engine, EngineConfig, InvalidTransition, Lane, Resource,
    };
    use sam_core::node::{
        NodeEffect, NodeLook, NodeObservation, NodeRecord, NodeResource, NodeState, NodeWish,
    };
    use sam_core::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
    use sam_core::store::WorkerId;
    use sam_core::testkit::sim::{Parts, SimCompute, Simulation};
    use sam_core::time::Timestamp;
    use sam_core::volume::VolumeProvider;
    use sam_core::workspace::WorkspaceResource;
    use sam_core::{NodeId, Result, WorkspaceId, auth::BootKey};

    #[test]
    fn no_seed_leaks_and_every_seed_settles() {
        let mut idle_stops = 0;
        for seed in 0..150 {
            match Simulation::new(seed).run() {
                Ok(summary) => idle_stops += summary.idle_stops,
                Err(failure) => panic!("{failure}"),
            }
        }
        assert!(idle_stops > 10, "only {idle_stops} workspaces were idle: the rule is not tried");
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let first = Simulation::new(77).run().unwrap();
        assert_eq!(first, Simulation::new(77).run().unwrap());
    }

    /// Returns the first seed below `limit` that fails, with what was broken.
    fn first_failure(limit: u64, plant: impl Fn(Simulation) -> Simulation) -> Option<String> {
        (0..limit)
            .find_map(|seed| plant(Simulation::new(seed)).run().err())
            .map(|failure| failure.broken)
    }

    /// A provider that ignores the key: it makes another machine instead of adopting.
    #[derive(Debug)]
    struct NoAdoption(SimCompute);

    impl fmt::Display for NoAdoption {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no-adoption")
        }
    }

    #[async_trait]
    impl ComputeProvider for NoAdoption {
        fn capabilities(&self) -> ComputeCapabilities {
            self.0.capabilities()
        }
        async fn catalog(&self) -> Result<Catalog> {
            self.0.catalog().await
        }
        async fn verify_credentials(&self) -> Result<()> {
            self.0.verify_credentials().await
        }
        async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
            let honest = self.0.create_machine(request).await;
            let created = request.labels.value("sam-node").is_some();
            match honest {
                // The reply was lost, and the retry buys a second machine.
                Err(error) if created && error.effect() == sam_core::Effect::Unknown => {
                    Ok(self.0.world().create_regardless(&request.key, &request.labels))
                }
                other => other,
            }
        }
        async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
            self.0.machine(key).await
        }
        async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
            self.0.list_machines(query).await
        }
        async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
            self.0.delete_machine(key).await
        }
        fn power(&self) -> Option<&dyn PowerControl> {
            self.0.power()
        }
        fn volumes(&self) -> Option<&dyn VolumeProvider> {
            None
        }
        fn owned(&self) -> Option<&dyn OwnedResources> {
            self.0.owned()
        }
    }

    #[test]
    fn a_create_that_does_not_adopt_is_found() {
        let broken = first_failure(100, |simulation| {
            simulation.with_engine(|parts: Parts| {
                Box::pin(async move {
                    let sam = parts.sam(Arc::new(NoAdoption(parts.compute.clone()))).unwrap();
                    while sam.run(std::future::pending()).await.is_err() {}
                })
            })
        });
        assert!(broken.expect("the bug is found").starts_with("I2: two machines of nd-"));
    }

    /// A link that hides work and claims that everybody was warned.
    #[derive(Debug)]
    struct HidesWork(Arc<dyn NodeLink>);

    #[async_trait]
    impl NodeLink for HidesWork {
        async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
            self.0.readiness(node).await
        }
        async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
            self.0.prepare(node, request).await
        }
        async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
            self.0.activity(node, workspace).await?;
            let long = Duration::from_mins(10);
            Ok(Activity::quiet(long).with_warned_for(Some(Duration::from_mins(1))))
        }
        async fn warn(&self, node: NodeId, workspace: WorkspaceId, notice: &str) -> Result<()> {
            self.0.warn(node, workspace, notice).await
        }
        async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
            self.0.stop_idle(node, workspace).await
        }
        async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
            self.0.stop(node, workspace).await
        }
        async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
            self.0.remove(node, workspace).await
        }
        async fn drain(&self, node: NodeId) -> Result<()> {
            self.0.drain(node).await
        }
    }

    #[test]
    fn an_idle_stop_in_the_middle_of_work_is_found() {
        let broken = first_failure(20, |simulation| {
            simulation.with_engine(|mut parts: Parts| {
                Box::pin(async move {
                    parts.link = Arc::new(HidesWork(parts.link));
                    let sam = parts.sam(Arc::new(parts.compute.clone())).unwrap();
                    while sam.run(std::future::pending()).await.is_err() {}
                })
            })
        });
        let broken = broken.expect("the bug is found");
        assert!(broken.ends_with("was stopped as idle and never seen idle and warned"), "{broken}");
    }

    /// Decisions that act before they say so: the machine is bought while the record still says
    /// that nothing was.
    #[derive(Debug)]
    struct EffectFirst {
        inner: NodeResource,
        lying: bool,
    }

    #[async_trait]
    impl Resource for EffectFirst {
        type Record = NodeRecord;
        type Look = NodeLook;
        type Effect = NodeEffect;
        type Observation = NodeObservation;

        fn decide(
            &self,
            record: &NodeRecord,
            observation: Option<&NodeObservation>,
            now: Timestamp,
        ) -> Result<Decision<Self>> {
            if record.state == NodeState::Requested
                && record.wish == NodeWish::Kept
                && observation.is_none()
            {
                return Ok(Decision::Act(None, NodeEffect::CreateMachine));
            }
            Ok(match self.inner.decide(record, observation, now)? {
                Decision::Act(transition, effect) => Decision::Act(transition, effect),
                Decision::Forget { event } => Decision::Forget { event },
                Decision::Look(look) => Decision::Look(look),
                Decision::Rest(due) => Decision::Rest(due),
                Decision::Write(transition) => Decision::Write(transition),
                other => panic!("a decision this test does not know: {other:?}"),
            })
        }

        fn intends(&self, record: &NodeRecord, effect: &NodeEffect) -> bool {
            self.lying || self.inner.intends(record, effect)
        }

        fn check(&self, from: &NodeRecord, to: &NodeRecord) -> Result<(), InvalidTransition> {
            self.inner.check(from, to)
        }

        fn lane(
            &self,
            record: &NodeRecord,
            asked: Asked<'_, NodeLook, NodeEffect>,
        ) -> Option<Lane> {
            self.inner.lane(record, asked)
        }

        async fn look(&self, record: &NodeRecord, look: &NodeLook) -> NodeObservation {
            self.inner.look(record, look).await
        }

        async fn act(&self, record: &NodeRecord, effect: &NodeEffect) -> NodeObservation {
            self.inner.act(record, effect).await
        }
    }

    fn effect_first(simulation: Simulation, lying: bool) -> Simulation {
        simulation.with_engine(move |parts: Parts| {
            Box::pin(async move {
                let compute: Arc<dyn ComputeProvider> = Arc::new(parts.compute.clone());
                let link = Arc::clone(&parts.link);
                let boot_key = BootKey::new(parts.boot_key.clone());
                let node = NodeResource::new(
                    Arc::clone(&parts.store),
                    Arc::clone(&compute),
                    Arc::clone(&link),
                    boot_key,
                    String::new(),
                )
                .with_policy(parts.policy.clone());
                let (store, clock, entropy) = (
                    Arc::clone(&parts.store),
                    Arc::clone(&parts.clock),
                    Arc::clone(&parts.entropy),
                );
                let workspace = WorkspaceResource::new(store, link, clock, entropy, compute)
                    .with_policy(parts.policy.clone());
                let mut name = [0; 8];
                parts.entropy.fill(&mut name);
                let engine = Engine::new(
                    parts.store,
                    parts.clock,
                    parts.entropy,
                    WorkerId::new(format!("{name:?}")),
                    EngineConfig::default(),
                )
                .with_resource(EffectFirst { inner: node, lying })
                .with_resource(workspace);
                while engine.run(std::future::pending()).await.is_err() {}
            })
        })
    }

    #[test]
    fn an_effect_before_its_intention_is_found() {
        let broken = first_failure(100, |simulation| effect_first(simulation, true));
        assert!(broken.expect("the bug is found").starts_with("I1: machine nd-"));
    }

    #[test]
    fn the_engine_itself_refuses_an_effect_that_the_record_does_not_announce() {
        // Without lying about intentions the machine is never bought: the record is parked, and
        // the run does not settle.
        let broken = first_failure(1, |simulation| effect_first(simulation, false));
        assert!(broken.expect("nothing is ever placed").starts_with("not settled"));
    }
}
