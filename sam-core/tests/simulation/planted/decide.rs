//! Decisions that are wrong.

use std::sync::Arc;

use async_trait::async_trait;
use sam_core::Result;
use sam_core::auth::BootKey;
use sam_core::compute::Providers;
use sam_core::engine::{Asked, Decision, Engine, EngineConfig, InvalidTransition, Lane, Resource};
use sam_core::node::{NodeEffect, NodeObservation, NodeRecord, NodeResource, NodeState, NodeWish};
use sam_core::published_name::{NameObservation, NameRecord, NameResource};
use sam_core::store::{Due, WorkerId};
use sam_core::testkit::sim::{Parts, Simulation};
use sam_core::time::Timestamp;
use sam_core::workspace::{
    WorkspaceObservation, WorkspaceRecord, WorkspaceResource, WorkspaceState, WorkspaceWish,
};

use super::Planted;

pub(super) fn planted() -> Vec<Planted> {
    let bug = |name, breaks, invariant, plant| Planted { name, breaks, invariant, plant };
    vec![
        bug(
            "effect-first",
            "a machine is bought before the record says so",
            "I1: machine nd-",
            |simulation| of_nodes(simulation, Checks::None, effect_first),
        ),
        bug(
            "effect-unannounced",
            "the same, where the engine still checks: it refuses, and nothing is ever placed",
            "not settled: ",
            |simulation| of_nodes(simulation, Checks::All, effect_first),
        ),
        bug(
            "create-forgotten",
            "a create whose reply was lost is not waited for before the node is called deleted",
            "I4: machine nd-",
            |simulation| of_nodes(simulation, Checks::All, create_forgotten),
        ),
        bug(
            "deletion-unasked",
            "a node is called deleted without asking the provider",
            "I4: machine nd-",
            |simulation| of_nodes(simulation, Checks::All, deletion_unasked),
        ),
        bug("terminal-left", "a deleted node is deleted again", "I5: nd-", |simulation| {
            of_nodes(simulation, Checks::None, terminal_left)
        }),
        bug(
            "wish-taken-back",
            "a node that was to go is kept because it became ready meanwhile",
            "wish: nd-",
            |simulation| of_nodes(simulation, Checks::All, wish_taken_back),
        ),
        bug(
            "wish-dropped",
            "a wish that came while a workspace was prepared is not looked at when it runs",
            "not settled: ",
            |simulation| of_workspaces(simulation, wish_dropped),
        ),
        bug(
            "wish-overwritten",
            "a wish that came while a workspace was prepared is overwritten when it runs",
            "wish: ",
            |simulation| of_workspaces(simulation, wish_overwritten),
        ),
        bug(
            "node-forgotten",
            "a workspace is called deleted without telling its node to go",
            "not settled: ",
            |simulation| of_workspaces(simulation, node_forgotten),
        ),
        bug(
            "name-kept",
            "a deleted workspace keeps its name for ever",
            "orphan: ann/",
            |simulation| of_workspaces(simulation, name_kept),
        ),
        bug(
            "rests-for-nothing",
            "a workspace that waits is looked at again at once, for ever",
            "not settled: ",
            |simulation| of_workspaces(simulation, rests_for_nothing),
        ),
    ]
}

type NameBend = fn(
    &NameResource,
    &NameRecord,
    Option<&NameObservation>,
    Timestamp,
) -> Result<Decision<NameResource>>;
type NodeBend = fn(
    &NodeResource,
    &NodeRecord,
    Option<&NodeObservation>,
    Timestamp,
) -> Result<Decision<NodeResource>>;
type WorkspaceBend = fn(
    &WorkspaceResource,
    &WorkspaceRecord,
    Option<&WorkspaceObservation>,
    Timestamp,
) -> Result<Decision<WorkspaceResource>>;

/// Buys while the record still says that nothing was bought.
fn effect_first(
    inner: &NodeResource,
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
) -> Result<Decision<NodeResource>> {
    let fresh = node.state == NodeState::Requested && node.wish == NodeWish::Kept;
    if fresh && observation.is_none() {
        return Ok(Decision::Act(None, NodeEffect::CreateMachine));
    }
    inner.decide(node, observation, now)
}

fn create_forgotten(
    inner: &NodeResource,
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
) -> Result<Decision<NodeResource>> {
    let mut node = node.clone();
    node.create_unsettled = false;
    let mut decision = inner.decide(&node, observation, now)?;
    if let Decision::Act(Some(transition), _) | Decision::Write(transition) = &mut decision {
        transition.record.create_unsettled = false;
    }
    Ok(decision)
}

fn deletion_unasked(
    inner: &NodeResource,
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
) -> Result<Decision<NodeResource>> {
    if node.state == NodeState::Deleting {
        return inner.decide(
            node,
            Some(&NodeObservation::Deleted(Ok(sam_core::compute::Deletion::Gone))),
            now,
        );
    }
    let decision = inner.decide(node, observation, now)?;
    Ok(match decision {
        Decision::Act(Some(transition), NodeEffect::DeleteMachine) => Decision::Write(transition),
        other => other,
    })
}

fn terminal_left(
    inner: &NodeResource,
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
) -> Result<Decision<NodeResource>> {
    if node.state == NodeState::Deleted {
        let next = node.moved_to(NodeState::Deleting, now);
        let transition = sam_core::engine::Transition::new(next, "deletion_started");
        return Ok(Decision::Write(Box::new(transition)));
    }
    let mut decision = inner.decide(node, observation, now)?;
    if let Decision::Write(transition) = &mut decision
        && transition.record.state == NodeState::Deleted
    {
        transition.due = Due::NOW;
    }
    Ok(decision)
}

fn wish_taken_back(
    inner: &NodeResource,
    node: &NodeRecord,
    observation: Option<&NodeObservation>,
    now: Timestamp,
) -> Result<Decision<NodeResource>> {
    let mut kept = node.clone();
    kept.wish = NodeWish::Kept;
    if node.state == NodeState::Booting {
        return inner.decide(&kept, observation, now);
    }
    inner.decide(node, observation, now)
}

fn wish_dropped(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let mut decision = inner.decide(workspace, observation, now)?;
    if let Decision::Write(transition) = &mut decision
        && transition.record.state == WorkspaceState::Running
    {
        transition.due = Due::Never;
    }
    Ok(decision)
}

fn wish_overwritten(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let mut decision = inner.decide(workspace, observation, now)?;
    if let Decision::Write(transition) = &mut decision
        && transition.record.state == WorkspaceState::Running
    {
        transition.record.wish = WorkspaceWish::Running;
    }
    Ok(decision)
}

fn node_forgotten(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let mut forgetful = workspace.clone();
    if workspace.state == WorkspaceState::Deleting {
        forgetful.node = None;
    }
    inner.decide(&forgetful, observation, now)
}

fn name_kept(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    let mut decision = inner.decide(workspace, observation, now)?;
    if let Decision::Write(transition) = &mut decision {
        transition.unique.clear();
    }
    Ok(decision)
}

fn rests_for_nothing(
    inner: &WorkspaceResource,
    workspace: &WorkspaceRecord,
    observation: Option<&WorkspaceObservation>,
    now: Timestamp,
) -> Result<Decision<WorkspaceResource>> {
    Ok(match inner.decide(workspace, observation, now)? {
        Decision::Rest(Due::In(_)) => Decision::Rest(Due::NOW),
        other => other,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// The engine refuses what the tables of states do not have.
    All,
    /// It is told that everything is fine.
    None,
}

fn of_nodes(simulation: Simulation, checks: Checks, bend: NodeBend) -> Simulation {
    simulation.with_engine(move |parts: Parts| {
        Box::pin(async move {
            let workspace = workspace(&parts);
            let node = Bent { inner: node(&parts), bend, checks };
            let names = names(&parts);
            run(parts, node, workspace, names).await;
        })
    })
}

pub(super) fn of_workspaces(simulation: Simulation, bend: WorkspaceBend) -> Simulation {
    simulation.with_engine(move |parts: Parts| {
        Box::pin(async move {
            let node = node(&parts);
            let workspace = Bent { inner: workspace(&parts), bend, checks: Checks::All };
            let names = names(&parts);
            run(parts, node, workspace, names).await;
        })
    })
}

pub(super) fn of_names(simulation: Simulation, bend: NameBend) -> Simulation {
    simulation.with_engine(move |parts: Parts| {
        Box::pin(async move {
            let (node, workspace) = (node(&parts), workspace(&parts));
            let wrapped = |inner| Bent { inner, bend, checks: Checks::All };
            let names = names(&parts).map(wrapped);
            run(parts, node, workspace, names).await;
        })
    })
}

fn providers(parts: &Parts) -> Arc<Providers> {
    Arc::new(Providers::of(Arc::clone(&parts.provider)).expect("it has a name"))
}

fn node(parts: &Parts) -> NodeResource {
    let (store, compute) = (Arc::clone(&parts.store), providers(parts));
    let (link, key) = (Arc::clone(&parts.link), BootKey::new(parts.boot_key.clone()));
    NodeResource::new(store, compute, link, key, String::new()).with_policy(parts.policy.clone())
}

fn workspace(parts: &Parts) -> WorkspaceResource {
    let (store, link) = (Arc::clone(&parts.store), Arc::clone(&parts.link));
    let (clock, entropy) = (Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
    let compute = providers(parts);
    WorkspaceResource::new(store, link, clock, entropy, compute).with_policy(parts.policy.clone())
}

fn names(parts: &Parts) -> Option<NameResource> {
    let (store, clock) = (Arc::clone(&parts.store), Arc::clone(&parts.clock));
    let names = NameResource::new(store, clock, parts.publishing.clone()?, "local".to_owned());
    Some(names.with_policy(parts.policy.clone()))
}

async fn run(
    parts: Parts,
    node: impl Resource,
    workspace: impl Resource,
    names: Option<impl Resource>,
) {
    let mut name = [0; 8];
    parts.entropy.fill(&mut name);
    let worker = WorkerId::new(format!("{name:?}"));
    let config = EngineConfig::default();
    let engine = Engine::new(parts.store, parts.clock, parts.entropy, worker, config)
        .with_resource(node)
        .with_resource(workspace);
    let engine = match names {
        Some(names) => engine.with_resource(names),
        None => engine,
    };
    while engine.run(std::future::pending()).await.is_err() {}
}

/// A resource whose decisions are bent.
#[derive(Debug)]
struct Bent<R: Resource> {
    inner: R,
    #[expect(clippy::type_complexity, reason = "the signature of a decision")]
    bend: fn(&R, &R::Record, Option<&R::Observation>, Timestamp) -> Result<Decision<R>>,
    checks: Checks,
}

#[async_trait]
impl<R: Resource> Resource for Bent<R> {
    type Record = R::Record;
    type Look = R::Look;
    type Effect = R::Effect;
    type Observation = R::Observation;

    fn decide(
        &self,
        record: &R::Record,
        observation: Option<&R::Observation>,
        now: Timestamp,
    ) -> Result<Decision<Self>> {
        Ok(match (self.bend)(&self.inner, record, observation, now)? {
            Decision::Act(transition, effect) => Decision::Act(transition, effect),
            Decision::Forget { event } => Decision::Forget { event },
            Decision::Look(look) => Decision::Look(look),
            Decision::Rest(due) => Decision::Rest(due),
            Decision::Write(transition) => Decision::Write(transition),
            other => panic!("a decision this test does not know: {other:?}"),
        })
    }

    fn intends(&self, record: &R::Record, effect: &R::Effect) -> bool {
        self.checks == Checks::None || self.inner.intends(record, effect)
    }

    fn check(&self, from: &R::Record, to: &R::Record) -> Result<(), InvalidTransition> {
        match self.checks {
            Checks::All => self.inner.check(from, to),
            Checks::None => Ok(()),
        }
    }

    fn lane(&self, record: &R::Record, asked: Asked<'_, R::Look, R::Effect>) -> Option<Lane> {
        self.inner.lane(record, asked)
    }

    async fn look(&self, record: &R::Record, look: &R::Look) -> R::Observation {
        self.inner.look(record, look).await
    }

    async fn act(&self, record: &R::Record, effect: &R::Effect) -> R::Observation {
        self.inner.act(record, effect).await
    }
}
